// Which rows and inputs the hardware hashes of sse-vectors.json stand for: deterministic, from a seed per form.

import { mmxRows } from '../../src-core/isa/mmx.ts'
import type { Row } from '../../src-core/isa/row.ts'
import { parseEncoding } from '../../src-core/isa/encoding.ts'
import { rmForms, nameOf } from '../../src-core/isa/operand.ts'
import { sseConvert } from '../../src-core/isa/sse-convert.ts'
import { sseFloat } from '../../src-core/isa/sse-float.ts'
import { sseInteger } from '../../src-core/isa/sse-integer.ts'
import { sseMove } from '../../src-core/isa/sse-move.ts'
import { sseString } from '../../src-core/isa/sse-string.ts'

export const rows: readonly Row[] = [...mmxRows, ...sseMove, ...sseInteger, ...sseFloat, ...sseConvert, ...sseString]

export interface SseForm {
  readonly key: string
  readonly row: Row
  readonly memory: boolean
  readonly size: 8 | 16 | 32 | 64
}
/** Forms a test can compare bit for bit: not the approximations, assists, and the one that only empties tags. */
export const forms: readonly SseForm[] = rows
  .filter((r) => !/^(RCP|RSQRT|MASKMOV|EMMS)/.test(r.mnemonic))
  .flatMap((row): SseForm[] => {
    const rm = row.operands
      .split(', ')
      .map((t) => rmForms(nameOf(t)))
      .find((f) => f !== undefined)!
    const memories = [...(rm.register ? [false] : []), ...(rm.memory ? [true] : [])]
    return (row.attributes.sizes ?? [32 as const]).flatMap((size) =>
      memories.map((memory) => ({ key: `${row.mnemonic} ${row.encoding} ${size} ${memory ? 'm' : 'r'}`, row, memory, size })),
    )
  })

/** Machine code of a form: ModRM.reg 1 (or its digit), ModRM.rm register 2 or [RDI]. */
export function encode({ row, memory, size }: SseForm, immediate: number): number[] {
  const e = parseEncoding(row.encoding)
  const prefixes = [
    ...(size === 16 ? [0x66] : []),
    ...(e.prefix === '66' || e.prefix === 'F2' || e.prefix === 'F3' ? [parseInt(e.prefix, 16)] : []),
    ...(e.rexW ? [0x48] : []),
  ]
  const map = e.map === 0 ? [] : e.map === 1 ? [0x0f] : e.map === 2 ? [0x0f, 0x38] : [0x0f, 0x3a]
  const reg = e.modrm === 'r' ? 1 : Number(e.modrm)
  return [...prefixes, ...map, e.opcode, (memory ? 7 : 0xc2) | (reg << 3), ...(e.immediates.includes('ib') ? [immediate] : [])]
}

/** 112 bytes: xmm0…2, memory, mm0…2, rax rcx rdx as 32-bit words; MXCSR; the immediate. */
export interface Case {
  readonly words: Uint32Array
  readonly mxcsr: number
  readonly immediate: number
}

export function* cases(form: SseForm, count: number, salt = 0): Generator<Case> {
  let seed = (0x2545f491 ^ salt) | 0
  for (const c of form.key) seed = Math.imul(seed ^ c.charCodeAt(0), 0x01000193)
  seed ||= 1
  const random = (): number => {
    seed ^= seed << 13
    seed ^= seed >>> 17
    seed ^= seed << 5
    return seed >>> 0
  }
  const double = form.row.mnemonic.includes('D')
  const text = /^PCMP.STR/.test(form.row.mnemonic)
  const lane = (): number => {
    switch (random() % 12) {
      case 0:
        return 0
      case 1:
        return (random() & 1) << 31
      case 2:
        return 0x7fc00000 | random()
      case 3:
        return 0x7f800000 | (random() & 0x80400001)
      case 4:
        return random() & 0x807fffff
      case 5:
        return 0x80008000 ^ (random() & 0x7fff7fff & -(random() & 1))
      case 6:
        return (random() & 0x03030303) * 0x55
      case 7:
        return 0x4b000000 + (random() % 0x6000000)
      default:
        return random()
    }
  }
  for (let n = 0; n < count; n++) {
    const words = new Uint32Array(28)
    const ordinary = random() % 3 === 0
    for (let i = 0; i < 28; i++) {
      if (text && i < 16) words[i] = (random() & 0x03030303) | (random() & 1 ? 0x61616161 : random() & 1 ? 0x01010101 : 0)
      else if (ordinary)
        words[i] = double
          ? (i & 1 ? 0x3fe00000 + (random() % 0x700000) : random()) | (i & 1 ? (random() & 1) << 31 : 0)
          : (0x3e000000 + (random() % 0x4000000)) | ((random() & 1) << 31)
      else words[i] = lane()
    }
    if (random() % 3 === 0) words.copyWithin(8, 4, 8) // equal operands
    if (random() % 3 === 0) words.copyWithin(12, 4, 8)
    const shift = /^PS[RL]/.test(form.row.mnemonic) && random() % 4 !== 0
    if (shift) for (const i of [8, 12, 20]) words.set([random() % 70, 0], i)
    if (text) for (const i of [22, 26]) words.set([(random() % 40) - 20, random() & 1 ? -(random() & 1) : random()], i)
    const masked = random() % 8 !== 0 ? 0x1f80 : (random() & 0x3f) << 7
    const control = random() & 1 ? 0x20 : (random() & 0x6000 & -(random() & 1)) | (random() & 0x8040 & -(random() & 1))
    yield { words, mxcsr: masked | control, immediate: shift && random() & 1 ? random() % 70 : random() & 0xff }
  }
}

/** Cases per form in sse-vectors.json. */
export const RECORDED = 8

/** FNV-1a over 32-bit words. */
export function hash(words: ArrayLike<number>): number {
  let h = 0x811c9dc5
  for (let i = 0; i < words.length; i++) h = Math.imul(h ^ words[i]!, 0x01000193) ^ (h >>> 15)
  return h >>> 0
}

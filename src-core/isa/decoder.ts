// The decoder, built from the rows' encodings: opcode → mandatory prefix → ModRM → form (SDM vol. 2 chapter 2).
// Results are cached by page, so it is written for clarity first.

import { RBP, RSP } from '../arch/registers.ts'
import { hasModrm, type Encoding } from './encoding.ts'
import type { Form, Repeat } from './forms.ts'
import type { Feature, Row } from './row.ts'

/** Code size: 16, 32 (CS.D) or 64 (CS.L in IA-32e mode). */
export type CodeSize = 16 | 32 | 64

/** Register number standing for "none" and "RIP" in `base` and `index`. */
export const NO_REGISTER = -1
export const RIP_REGISTER = 16

/** One decoded instruction. Reused by the decoder: copy what must stay. */
export interface Decoded {
  form: Form
  length: number
  operandSize: 16 | 32 | 64
  addressSize: 16 | 32 | 64
  rexW: boolean
  /** Any REX prefix: byte registers 4…7 are SPL BPL SIL DIL. */
  rex: boolean
  lock: boolean
  repeat: Repeat
  /** ModRM.reg with REX.R or the opcode's register; ModRM.rm with REX.B; register numbers. */
  reg: number
  rm: number
  memory: boolean
  base: number
  index: number
  scale: number
  displacement: number
  segment: number
  /** Immediate as two 32-bit halves, sign-extended; the second one (ENTER). */
  immediateLow: number
  immediateHigh: number
  immediate2: number
  /** The ModRM byte and the last opcode byte, as fetched. */
  modrm: number
  opcode: number
}

export type DecodeFailure =
  | { kind: 'ud'; length: number } // no row claims the bytes, or LOCK is not allowed
  | { kind: 'long' } // over 15 bytes: #GP(0)
  | { kind: 'more' } // needs a byte behind the end of what was given

interface Slot {
  readonly row: Row
  readonly encoding: Encoding
  readonly forms: readonly Form[]
  /** Longer and prefixed encodings first. */
  readonly rank: number
}

const digits = (e: Encoding): number => (e.literal !== undefined ? 4 : typeof e.modrm === 'number' ? 2 : 0)

export class Decoder {
  private readonly slots = new Map<number, Slot[]>()
  private readonly result: Decoded = {
    form: undefined as unknown as Form, length: 0, operandSize: 32, addressSize: 64, rexW: false, rex: false, lock: false, repeat: '',
    reg: 0, rm: 0, memory: false, base: NO_REGISTER, index: NO_REGISTER, scale: 0, displacement: 0, segment: 3,
    immediateLow: 0, immediateHigh: 0, immediate2: 0, modrm: 0, opcode: 0,
  }

  /** Throws SyntaxError naming both rows when two claim the same bytes. */
  constructor(forms: readonly Form[], features: ReadonlySet<Feature>) {
    const byRow = new Map<Row, Form[]>()
    for (const f of forms) {
      const list = byRow.get(f.row)
      if (list) list.push(f)
      else byRow.set(f.row, [f])
    }
    for (const [row, list] of byRow) {
      if (row.attributes.feature && !features.has(row.attributes.feature)) continue
      const encoding = list[0]!.encoding
      const rank = digits(encoding) + (encoding.prefix !== '' ? 1 : 0) * 8 + (encoding.rexW ? 16 : 0) + (encoding.plusRegister ? 0 : 1)
      for (let r = 0; r < (encoding.plusRegister ? 8 : 1); r++) {
        const key = (encoding.map << 8) | (encoding.opcode + r)
        let slots = this.slots.get(key)
        if (!slots) this.slots.set(key, (slots = []))
        slots.push({ row, encoding, forms: list, rank })
      }
    }
    for (const slots of this.slots.values()) {
      slots.sort((a, b) => b.rank - a.rank)
      slots.forEach((x, i) => slots.slice(i + 1).forEach((y) => refuseClash(x, y)))
    }
  }

  /** Decodes at `at`; bytes end at `end`. The result is valid until the next call. */
  decode(bytes: Uint8Array, at: number, end: number, mode: CodeSize): Decoded | DecodeFailure {
    const d = this.result
    const limit = Math.min(end, at + 15)
    const short = (): DecodeFailure => (end < at + 15 ? { kind: 'more' } : { kind: 'long' })
    let i = at
    let operandOverride = false
    let addressOverride = false
    let mandatory: '' | 'F2' | 'F3' = ''
    let rex = 0
    let override = -1
    d.lock = false
    for (; ; i++) {
      if (i >= limit) return short()
      const b = bytes[i]!
      if (b === 0x66) operandOverride = true
      else if (b === 0x67) addressOverride = true
      else if (b === 0xf2) mandatory = 'F2'
      else if (b === 0xf3) mandatory = 'F3'
      else if (b === 0xf0) d.lock = true
      else if (b === 0x2e || b === 0x36 || b === 0x3e || b === 0x26) {
        // ES CS SS DS overrides do nothing in 64-bit mode, but do not undo FS or GS
        if (mode !== 64) override = b === 0x26 ? 0 : b === 0x2e ? 1 : b === 0x36 ? 2 : 3
      } else if (b === 0x64 || b === 0x65) override = b - 0x60
      else if (mode === 64 && (b & 0xf0) === 0x40) {
        rex = b
        continue
      } else break
      rex = 0 // a REX not directly before the opcode is void
    }
    let map = 0
    let opcode = bytes[i++]!
    if (opcode === 0x0f) {
      if (i >= limit) return short()
      map = 1
      opcode = bytes[i++]!
      if (opcode === 0x38 || opcode === 0x3a) {
        if (i >= limit) return short()
        map = opcode === 0x38 ? 2 : 3
        opcode = bytes[i++]!
      }
    }
    const slots = this.slots.get((map << 8) | opcode)
    if (!slots) return { kind: 'ud', length: i - at }
    const rexW = (rex & 8) !== 0
    let modrm = -1
    const wantsModrm = slots.some((s) => hasModrm(s.encoding))
    if (wantsModrm && i < limit) modrm = bytes[i]!

    let chosen: Slot | undefined
    for (const s of slots) {
      const e = s.encoding
      if (s.row.attributes.modes === 'only64' && mode !== 64) continue
      if (s.row.attributes.modes === 'not64' && mode === 64) continue
      if (e.rexW && !rexW) continue
      if (s.row.attributes.noRepeat && mandatory !== '') continue
      if (e.prefix === 'NP' ? mandatory !== '' || operandOverride : e.prefix === '66' ? !operandOverride || mandatory !== '' : e.prefix !== '' && e.prefix !== mandatory) continue
      if (opcode === 0x90 && map === 0 && e.prefix === '' && !e.plusRegister && rex & 1) continue // XCHG r8, rAX
      if (hasModrm(e)) {
        if (modrm < 0) return short()
        if (e.literal !== undefined && (e.literalPlusIndex ? (modrm & 0xf8) !== e.literal : modrm !== e.literal)) continue
        if (typeof e.modrm === 'number' && ((modrm >> 3) & 7) !== e.modrm) continue
        const wanted = e.literal !== undefined || s.row.attributes.modIgnored ? false : modrm < 0xc0
        if (e.literal === undefined && !s.forms.some((f) => f.memory === wanted)) continue
      }
      chosen = s
      break
    }
    if (!chosen) return { kind: 'ud', length: i - at }
    const e = chosen.encoding
    const attributes = chosen.row.attributes

    // operand and address size (SDM vol. 1 3.6, vol. 2 2.2.1.2)
    const override66 = operandOverride && e.prefix !== '66'
    d.operandSize =
      mode === 64
        ? attributes.size64 === 'forced' ? 64
          : rexW ? 64
          : attributes.size64 === 'default' ? (override66 ? 16 : 64)
          : override66 ? 16 : 32
        : (mode === 32) !== override66 ? 32 : 16
    d.addressSize = mode === 64 ? (addressOverride ? 32 : 64) : (mode === 32) !== addressOverride ? 32 : 16
    d.rexW = rexW
    d.modrm = modrm
    d.opcode = opcode
    d.rex = rex !== 0
    d.repeat = mandatory === 'F3' ? 'rep' : mandatory === 'F2' ? 'repne' : ''
    d.base = d.index = NO_REGISTER
    d.scale = d.displacement = d.immediateLow = d.immediateHigh = d.immediate2 = 0
    d.reg = d.rm = 0
    d.memory = false
    d.segment = override >= 0 ? override : 3

    if (e.plusRegister) d.reg = (opcode & 7) | ((rex & 1) << 3)
    if (hasModrm(e)) {
      i++
      d.reg = ((modrm >> 3) & 7) | ((rex & 4) << 1)
      d.rm = (modrm & 7) | ((rex & 1) << 3)
      if (e.literalPlusIndex) d.reg = d.rm = modrm & 7
      d.memory = modrm < 0xc0 && e.literal === undefined && !attributes.modIgnored
      if (d.memory) {
        const next = d.addressSize === 16 ? this.address16(bytes, i, limit, modrm) : this.address32(bytes, i, limit, modrm, rex, mode)
        if (next < 0) return short()
        i = next
        if (override < 0 && (d.base === RSP || d.base === RBP)) d.segment = 2
      }
    }
    for (const [position, kind] of e.immediates.entries()) {
      const size =
        kind === 'ib' || kind === 'cb' ? 1
        : kind === 'iw' || kind === 'cw' ? 2
        : kind === 'id' || kind === 'cd' ? 4
        : kind === 'io' ? 8
        : kind === 'mo' ? d.addressSize >> 3
        : d.operandSize === 16 ? 2 : 4
      if (i + size > limit) return short()
      const low = size === 1 ? (bytes[i]! << 24) >> 24 : size === 2 ? ((bytes[i]! | (bytes[i + 1]! << 8)) << 16) >> 16 : word(bytes, i)
      if (position > 0) d.immediate2 = low
      else {
        d.immediateLow = low
        d.immediateHigh = size === 8 ? word(bytes, i + 4) : kind === 'mo' ? 0 : low >> 31
        if (kind === 'mo' && size === 2) d.immediateLow = low & 0xffff
      }
      i += size
    }
    d.length = i - at

    const repeats = attributes.rep !== undefined && mandatory !== ''
    const want = d.operandSize
    const repeat = repeats ? d.repeat : ''
    let best: Form | undefined
    for (const f of chosen.forms) {
      if (f.memory !== d.memory || f.repeat !== repeat) continue
      if (f.size === want || !best || (best.size !== want && Math.abs(f.size - want) < Math.abs(best.size - want))) best = f
    }
    if (!best) return { kind: 'ud', length: d.length }
    if (best.operands.some((o) => o.file === 'sreg' && o.place === 'reg')) {
      d.reg &= 7 // REX.R does not extend segment registers
      if (d.reg > 5) return { kind: 'ud', length: d.length }
    }
    if (d.lock && !(attributes.lock && d.memory)) return { kind: 'ud', length: d.length }
    d.form = best
    return d
  }

  /** 16-bit forms (SDM vol. 2 table 2-1). Answers the offset behind, or -1. */
  private address16(bytes: Uint8Array, i: number, limit: number, modrm: number): number {
    const d = this.result
    const mod = modrm >> 6
    const rm = modrm & 7
    d.base = [3, 3, RBP, RBP, 6, 7, RBP, 3][rm]!
    d.index = [6, 7, 6, 7, NO_REGISTER, NO_REGISTER, NO_REGISTER, NO_REGISTER][rm]!
    if (mod === 0 && rm === 6) d.base = NO_REGISTER
    const size = mod === 1 ? 1 : mod === 2 || (mod === 0 && rm === 6) ? 2 : 0
    if (i + size > limit) return -1
    if (size === 1) d.displacement = (bytes[i]! << 24) >> 24
    else if (size === 2) d.displacement = ((bytes[i]! | (bytes[i + 1]! << 8)) << 16) >> 16
    return i + size
  }

  /** 32- and 64-bit forms with SIB (SDM vol. 2 tables 2-2, 2-3; 2.2.1.6 RIP-relative). */
  private address32(bytes: Uint8Array, i: number, limit: number, modrm: number, rex: number, mode: CodeSize): number {
    const d = this.result
    const mod = modrm >> 6
    let rm = modrm & 7
    let size = mod === 1 ? 1 : mod === 2 ? 4 : 0
    if (rm === 4) {
      if (i >= limit) return -1
      const sib = bytes[i++]!
      rm = sib & 7
      const index = ((sib >> 3) & 7) | ((rex & 2) << 2)
      if (index !== 4) {
        d.index = index
        d.scale = sib >> 6
      }
      if (mod === 0 && rm === 5) size = 4
      else d.base = rm | ((rex & 1) << 3)
    } else if (mod === 0 && rm === 5) {
      size = 4
      if (mode === 64) d.base = RIP_REGISTER
    } else d.base = rm | ((rex & 1) << 3)
    if (i + size > limit) return -1
    if (size === 1) d.displacement = (bytes[i]! << 24) >> 24
    else if (size === 4) d.displacement = word(bytes, i)
    return i + size
  }
}

const word = (b: Uint8Array, i: number): number => b[i]! | (b[i + 1]! << 8) | (b[i + 2]! << 16) | (b[i + 3]! << 24)

/** Same bytes claimed twice: neither prefix, mode, digit, literal nor register and memory form tells the rows apart. */
function refuseClash(x: Slot, y: Slot): void {
  const a = x.encoding
  const b = y.encoding
  if (a.prefix !== b.prefix || a.rexW !== b.rexW || a.plusRegister !== b.plusRegister) return
  if (x.row.attributes.modes && y.row.attributes.modes && x.row.attributes.modes !== y.row.attributes.modes) return
  if (digits(a) !== digits(b)) return
  if (typeof a.modrm === 'number' && a.modrm !== b.modrm) return
  if (a.literal !== undefined && a.literal !== b.literal) return
  if (!x.forms.some((f) => y.forms.some((g) => f.memory === g.memory))) return
  if (x.row.attributes.feature !== y.row.attributes.feature) return
  throw new SyntaxError(`two rows claim the same bytes: ${x.row.mnemonic} ${a.opcode.toString(16)} "${x.row.encoding}" and ${y.row.mnemonic} "${y.row.encoding}"`)
}

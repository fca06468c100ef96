// Compares rows with iced-x86's opcodes, both ways: by spelling, modes, LOCK, register and memory forms, explicit operands.

import { parseEncoding } from '../../src-core/isa/encoding.ts'
import { rmForms } from '../../src-core/isa/operand.ts'
import { hex, type Row } from '../../src-core/isa/row.ts'
import type { Opcode } from './iced.ts'
import { noRow, otherModes, otherOperands } from './missing.ts'

const operandsOf = (row: Row): string[] => (row.operands === '' ? [] : row.operands.split(', ')).map((t) => t.replace(/^[=+~@]/, ''))
/** Operand names that have the operand size. */
const follows = (name: string): boolean => /^(r\/m|r|r\.rm|m\.W|r\/m:bit|imm|simm8|moffs|<r[ABCD]X>|<rBP>|<DS:rSI>|<ES:rDI>)$/.test(name)

/** Operand sizes a row has; undefined: it does not depend on them. */
export function sizesOf(row: Row): readonly number[] | undefined {
  if (row.attributes.sizes) return row.attributes.sizes
  if (/REX\.W/.test(row.encoding)) return [64]
  return operandsOf(row).some(follows) || / (i|c)\b/.test(row.encoding) || row.attributes.size64 ? [16, 32, 64] : undefined
}

/** A row at one operand size (0: any), in the terms of an opcode column. */
export interface Spelling {
  readonly row: Row
  readonly size: number
  readonly prefix: string
  readonly bytes: string
  readonly modrm: string
  readonly immediates: string
}

const near: Record<string, string> = { i: 'id', c: 'cd' }
const immediatesOf = (kinds: readonly string[], size: number): string => {
  if (kinds.join(' ') === 'i iw') return size === 16 ? 'cd' : 'cp' // ptr16:16, ptr16:32
  return kinds.map((k) => (k in near ? (size === 16 ? near[k]!.replace('d', 'w') : near[k]!) : k)).join(' ')
}

export function spellings(row: Row): Spelling[] {
  const e = parseEncoding(row.encoding)
  const opcode = ['', '0F ', '0F 38 ', '0F 3A '][e.map]! + hex(e.opcode) + (e.plusRegister ? '+r' : '')
  const literal = e.literal === undefined ? '' : ` ${hex(e.literal)}${e.literalPlusIndex ? '+i' : ''}`
  return (sizesOf(row) ?? [0]).map((size) => ({
    row,
    size: size === 8 ? 0 : size,
    prefix: e.prefix,
    bytes: opcode + literal,
    modrm: e.modrm === undefined ? '' : `/${e.modrm}`,
    immediates: immediatesOf(e.immediates, size),
  }))
}

const key = (s: { prefix: string; bytes: string }): string => `${s.prefix}|${s.bytes}`
const overlaps = (a: string, b: string): boolean => a === b || (a === '/r' && /^\/\d$/.test(b)) || (b === '/r' && /^\/\d$/.test(a))
const corresponds = (s: Spelling, o: Opcode): boolean =>
  overlaps(s.modrm, o.modrm) && s.immediates === o.immediates && (s.size === 0 || o.operandSize === 0 || s.size === o.operandSize)
/** Without an operand size iced-x86 means "not o64" where it lists an o64 form too; a REX.W row hides unsized ones from o64. */
const preferred = (found: readonly Spelling[], o: Opcode, with64: ReadonlySet<string>): Spelling[] => {
  const rexW = (s: Spelling) => /REX\.W/.test(s.row.encoding)
  if (o.operandSize === 0 && with64.has(key(o) + o.modrm)) return found.filter((s) => s.size !== 64)
  return o.operandSize === 64 && found.some(rexW) ? found.filter((s) => s.size !== 0) : [...found]
}

/** Operand words of iced-x86 that our rows spell explicitly: without fixed registers and the constant 1. */
const explicitText = (text: string): string[] => {
  const at = text.indexOf(' ')
  if (at < 0) return []
  return text
    .slice(at + 1)
    .split(', ')
    .filter((w) => !/^(AL|AX|EAX|RAX|CL|DX|[CDEFGS]S|1|<.*>|ST(\(0\))?)$/.test(w))
}
const explicitOperands = (row: Row): string[] => operandsOf(row).filter((n) => !/^(<.*>|1)$/.test(n))

/** Our operand name as iced-x86 may write it, at one operand size. */
function sameOperand(name: string, size: number, word: string): boolean {
  const w = size || 32
  const [register, memory] = word.includes('/m') ? [word.replace(/\/m.*/, ''), `m${word.replace(/.*\/m/, '')}`] : [word, word]
  const fits = (ours: string) => ours === word || ours === register || ours === memory || ours.replace('r/m', 'm') === memory
  switch (name) {
    case 'r/m':
    case 'r/m:bit':
      return fits(`r/m${w}`) || fits(`r${w}`)
    case 'r':
      return word === `r${w}`
    case 'r.rm':
      return register === `r${w}` || register === 'r'
    case 'm.W':
      return memory === `m${w}`
    case 'm':
      return /^m/.test(memory)
    case 'imm':
      return word === `imm${w === 16 ? 16 : 32}` || /^ptr/.test(word)
    case 'imm16':
      return word === 'imm16' || /^ptr/.test(word)
    case 'simm8':
      return word === 'imm8'
    case 'moffs':
      return word === `moffs${w}`
    case 'rel':
      return /^rel(8|16|32)$/.test(word)
    case 'CR':
      return word === 'cr'
    case 'DR':
      return word === 'dr'
    default:
      return fits(name.replace('.rm', '')) || (name === 'r/m16' && /^r(32|64)\/m16$|^r\/m16$/.test(word))
  }
}

export interface Difference {
  readonly opcode: string
  readonly problem: string
}
export interface Coverage {
  /** Opcodes with at least one row; those with none. */
  readonly covered: number
  readonly missing: readonly string[]
  readonly differences: readonly Difference[]
  /** Rows (at a size) that match no opcode. */
  readonly extra: readonly string[]
  /** The opcodes each row covers. */
  readonly byRow: ReadonlyMap<Row, readonly Opcode[]>
}

interface Modes {
  readonly mode32: boolean
  readonly mode64: boolean
}
const modesOf = (s: Spelling): Modes => {
  const { modes, size64 } = s.row.attributes
  const only32In64 = size64 !== undefined && s.size === 32
  const ignored = size64 === 'forced' && s.size === 16
  return { mode32: modes !== 'only64' && s.size !== 64, mode64: modes !== 'not64' && !only32In64 && !ignored }
}

// Near branches with 66H in 64-bit mode: Intel parts ignore the prefix, iced-x86 also knows AMD's 16-bit ones.
const sharesMode = (s: Spelling, o: Opcode): boolean => {
  const ours = s.row.attributes.modes
  return !(ours === 'only64' && !o.mode64) && !(ours === 'not64' && !o.mode32)
}

/** Words of iced-x86 that name ModRM.rm: which forms must exist. */
function formsNeeded(o: Opcode): { register: boolean; memory: boolean } {
  const words = explicitText(o.text)
  const both = words.some((w) => /\/m\d/.test(w))
  const memory = words.some((w) => /^m(\d|em|$)/.test(w))
  return { register: both || !memory, memory: both || memory }
}

/** Compares; `general`: also the explicit operands' names, which vector and x87 rows spell in their own way. */
export function coverage(rows: readonly Row[], opcodes: readonly Opcode[], general: (o: Opcode) => boolean): Coverage {
  const index = new Map<string, Spelling[]>()
  const all = rows.flatMap(spellings)
  for (const s of all) index.set(key(s), [...(index.get(key(s)) ?? []), s])
  const with64 = new Set(opcodes.filter((o) => o.operandSize === 64).map((o) => key(o) + o.modrm))
  const matched = new Set<Spelling>()
  const known = new Map<Spelling, Modes>()
  const missing: string[] = []
  const differences: Difference[] = []
  const byRow = new Map<Row, Opcode[]>()
  let covered = 0

  for (const o of opcodes) {
    if (o.withWait || o.name in noRow) continue
    const matching = (index.get(key(o)) ?? []).filter((s) => corresponds(s, o) && sharesMode(s, o))
    const found = preferred(matching, o, with64)
    for (const s of found) matched.add(s)
    const digits = new Set(found.map((s) => s.modrm))
    const whole = o.modrm !== '/r' || digits.has('/r') || digits.size === 8
    if (found.length === 0 || !whole) {
      missing.push(`${o.opcode}  ${o.text}  (${o.features})`)
      continue
    }
    covered++
    for (const row of new Set(found.map((s) => s.row))) byRow.set(row, [...(byRow.get(row) ?? []), o])
    const problem = (p: string) => differences.push({ opcode: `${o.opcode}  ${o.text}`, problem: p })

    for (const s of found) known.set(s, { mode32: o.mode32 || !!known.get(s)?.mode32, mode64: o.mode64 || !!known.get(s)?.mode64 })
    const ignores66 = o.operandSize === 16 && found.every((s) => s.row.attributes.size64 === 'forced')
    if (!(o.name in otherModes)) {
      if (o.mode32 && !found.some((s) => modesOf(s).mode32)) problem('no row outside 64-bit mode')
      if (o.mode64 && !found.some((s) => modesOf(s).mode64) && !ignores66) problem('no row in 64-bit mode')
    }

    const forms = found.map((s) =>
      operandsOf(s.row)
        .map(rmForms)
        .find((f) => f !== undefined),
    )
    const needed = formsNeeded(o)
    if (o.modrm !== '' && forms.some((f) => f !== undefined)) {
      if (needed.memory && !forms.some((f) => f?.memory)) problem('no memory form')
      if (needed.register && !forms.some((f) => f?.register)) problem('no register form')
      if (!needed.memory && forms.every((f) => f?.memory && !f.register)) problem('memory form only')
    }
    const lockable = found.filter((_, i) => forms[i]?.memory)
    if (lockable.length > 0 && lockable.some((s) => (s.row.attributes.lock ?? false) !== o.lock)) problem(`LOCK: iced-x86 says ${o.lock}`)

    if (!general(o)) continue
    const words = explicitText(o.text)
    for (const s of found) {
      const names = explicitOperands(s.row)
      const joined = words.some((w) => /^ptr/.test(w)) ? [words[0]!, words[0]!] : words
      const size = s.size || o.operandSize
      if (o.name in otherOperands || /^(NOP|RESERVEDNOP|PREFETCH|UD)/.test(o.text)) continue
      if (names.length !== joined.length || !names.every((n, i) => sameOperand(n, size, joined[i]!)))
        problem(`operands: row says ${s.row.operands}`)
    }
  }
  for (const [s, modes] of known) {
    const ours = modesOf(s)
    if ((ours.mode32 && !modes.mode32) || (ours.mode64 && !modes.mode64))
      differences.push({
        opcode: `${s.row.mnemonic} ${s.row.encoding}`,
        problem: `row exists in a mode that iced-x86 does not know, at size ${s.size}`,
      })
  }
  const extra = all.filter((s) => !matched.has(s)).map((s) => `${s.row.mnemonic} ${s.size ? `o${s.size} ` : ''}${s.row.encoding}`)
  return { covered, missing, differences, extra, byRow }
}

// From rows to forms: one row × operand size × register or memory × repeat prefix.

import { hasModrm, parseEncoding, type Encoding } from './encoding.ts'
import { accessOf, nameOf, operand, rmForms, variesWithSize, type Operand } from './operand.ts'
import type { Row } from './row.ts'

export type Repeat = '' | 'rep' | 'repne'

export interface Form {
  readonly id: number
  readonly row: Row
  readonly encoding: Encoding
  /** Operand size the row's meaning is printed for; for rows of fixed widths, that width. */
  readonly size: 8 | 16 | 32 | 64
  /** The row has forms for other operand sizes too. */
  readonly sized: boolean
  /** ModRM.rm names memory. */
  readonly memory: boolean
  readonly repeat: Repeat
  readonly operands: readonly Operand[]
  /** Operands the meaning gets, and those it returns. */
  readonly read: readonly Operand[]
  readonly written: readonly Operand[]
  /** SDM spelling, "o64 83 /2 ib". */
  readonly opcode: string
}

export const operandTexts = (row: Row): string[] => (row.operands === '' ? [] : row.operands.split(', '))

/** Do the row's widths follow the operand size? */
export function isSized(row: Row): boolean {
  return operandTexts(row).some((t) => variesWithSize(nameOf(t))) || / (i|c)$/.test(row.encoding) || row.attributes.size64 !== undefined || row.attributes.sizes !== undefined
}

const fixedWidth = (row: Row): 8 | 16 | 32 | 64 => {
  const first = operandTexts(row)[0]
  const m = first ? /^(?:r\/m|r|imm|moffs)(\d+)/.exec(nameOf(first)) : null
  return m ? (Number(m[1]) as 8 | 16 | 32 | 64) : first && /<A[LH]>/.test(first) ? 8 : 32
}

export function sizesOf(row: Row): readonly (8 | 16 | 32 | 64)[] {
  if (row.attributes.sizes) return row.attributes.sizes
  if (/REX\.W/.test(row.encoding) && isSized(row)) return [64]
  return isSized(row) ? [16, 32, 64] : [fixedWidth(row)]
}

/** The SDM's (and iced-x86's) spelling of the opcode column for one operand size. */
export function canonical(row: Row, size: number): string {
  const sized = isSized(row) && size !== 8
  const e = parseEncoding(row.encoding)
  const text = row.encoding
    .replace(/^(NP|66|F2|F3) (?=[0-9A-F]|REX)/, '')
    .replace(/REX\.W( \+)? /, '')
    .replace(/ i$/, size === 16 ? ' iw' : ' id')
    .replace(/ c$/, size === 16 ? ' cw' : ' cd')
    .replace(/\+r\b/, size === 8 ? '+rb' : size === 16 ? '+rw' : size === 32 ? '+rd' : '+ro')
  const size_ = sized || e.rexW ? `o${e.rexW ? 64 : size} ` : ''
  if (e.prefix === '' ) return `${size_}${text}`
  return size_ === 'o64 ' ? `${e.prefix} o64 ${text}` : `${size_}${e.prefix} ${text}`
}

/** All forms of the rows, in order; ids are positions. */
export function forms(rows: readonly Row[]): Form[] {
  const out: Form[] = []
  for (const row of rows) {
    const encoding = parseEncoding(row.encoding)
    const texts = operandTexts(row)
    const rm = texts.map((t) => rmForms(nameOf(t))).find((f) => f !== undefined)
    // a digit or /r without an rm operand matches both forms
    const memories = rm ? [...(rm.register ? [false] : []), ...(rm.memory ? [true] : [])] : encoding.literal === undefined && hasModrm(encoding) && !row.attributes.modIgnored ? [false, true] : [false]
    for (const size of sizesOf(row))
      for (const memory of memories)
        for (const repeat of (row.attributes.rep ? ['', 'rep', 'repne'] : ['']) as Repeat[]) {
          const operands = texts.map((t) => operand(t, size, memory))
          out.push({
            id: out.length,
            row,
            encoding,
            size,
            sized: isSized(row),
            memory,
            repeat,
            operands,
            read: operands.filter((o) => o.access !== '=' && o.access !== '@'),
            written: operands.filter((o) => accessOf(o.access) !== '' && o.access !== '@'),
            opcode: canonical(row, size),
          })
        }
  }
  return out
}

// Addition, subtraction, comparison and decimal adjustment (SDM 2A: ADD ADC SUB SBB CMP INC DEC NEG DAA DAS AAA AAS AAM AAD).

import type { E } from './context.ts'
import { hex, row, type Row } from './row.ts'
import type { Bit, Done, OpSize, Val } from './value.ts'

export type Binary = <W extends OpSize>(e: E<W>, a: Val<W>, b: Val<W>) => Val<W>
export type Compare = <W extends OpSize>(e: E<W>, a: Val<W>, b: Val<W>) => Done
export type Unary = <W extends OpSize>(e: E<W>, a: Val<W>) => Val<W>

/** The ten encodings shared by ADD OR ADC SBB AND SUB XOR (SDM 2D appendix A, group 1). */
export const group1 = (mnemonic: string, n: number, f: Binary): Row[] => [
  row(mnemonic, `${hex(8 * n)} /r`, '+r/m8, r8', f, { lock: true }),
  row(mnemonic, `${hex(8 * n + 1)} /r`, '+r/m, r', f, { lock: true }),
  row(mnemonic, `${hex(8 * n + 2)} /r`, '+r8, r/m8', f),
  row(mnemonic, `${hex(8 * n + 3)} /r`, '+r, r/m', f),
  row(mnemonic, `${hex(8 * n + 4)} ib`, '+<AL>, imm8', f),
  row(mnemonic, `${hex(8 * n + 5)} i`, '+<rAX>, imm', f),
  row(mnemonic, `80 /${n} ib`, '+r/m8, imm8', f, { lock: true }),
  row(mnemonic, `81 /${n} i`, '+r/m, imm', f, { lock: true }),
  row(mnemonic, `82 /${n} ib`, '+r/m8, imm8', f, { lock: true, modes: 'not64' }),
  row(mnemonic, `83 /${n} ib`, '+r/m, simm8', f, { lock: true }),
]

const group1Compare = (mnemonic: string, n: number, f: Compare): Row[] => [
  row(mnemonic, `${hex(8 * n)} /r`, 'r/m8, r8', f),
  row(mnemonic, `${hex(8 * n + 1)} /r`, 'r/m, r', f),
  row(mnemonic, `${hex(8 * n + 2)} /r`, 'r8, r/m8', f),
  row(mnemonic, `${hex(8 * n + 3)} /r`, 'r, r/m', f),
  row(mnemonic, `${hex(8 * n + 4)} ib`, '<AL>, imm8', f),
  row(mnemonic, `${hex(8 * n + 5)} i`, '<rAX>, imm', f),
  row(mnemonic, `80 /${n} ib`, 'r/m8, imm8', f),
  row(mnemonic, `81 /${n} i`, 'r/m, imm', f),
  row(mnemonic, `82 /${n} ib`, 'r/m8, imm8', f, { modes: 'not64' }),
  row(mnemonic, `83 /${n} ib`, 'r/m, simm8', f),
]

/** INC and DEC: opcode extensions of FEH and FFH, and the one-byte forms that REX displaced. */
const step = (mnemonic: string, n: number, f: Unary): Row[] => [
  row(mnemonic, `FE /${n}`, '+r/m8', f, { lock: true }),
  row(mnemonic, `FF /${n}`, '+r/m', f, { lock: true }),
  row(mnemonic, `${hex(0x40 + 8 * n)}+r`, '+r', f, { modes: 'not64', sizes: [16, 32] }),
]

/** NOT and NEG: opcode extensions of F6H and F7H. */
export const group3 = (mnemonic: string, n: number, f: Unary): Row[] => [
  row(mnemonic, `F6 /${n}`, '+r/m8', f, { lock: true }),
  row(mnemonic, `F7 /${n}`, '+r/m', f, { lock: true }),
]

const above = (e: E<8>, a: Val<8>, limit: number): Bit => e.ltu(e.k(8, limit), a)
/** The low digit needs correction: above 9, or AF. */
const digitOverflows = (e: E<8>, al: Val<8>): Bit => e.or(above(e, e.and(al, e.k(8, 15)), 9), e.adjust())

const daa = (e: E<8>, al: Val<8>): Val<8> => {
  const low = digitOverflows(e, al)
  const high = e.or(above(e, al, 0x99), e.carry())
  const r = e.add(e.add(al, e.select(low, e.k(8, 0x06), e.k(8, 0))), e.select(high, e.k(8, 0x60), e.k(8, 0)))
  e.flags({ result: r, CF: high, AF: low, OF: { undefined: e.no } })
  return r
}
// Unlike DAA, the borrow out of AL − 6 reaches CF when the high digit is not corrected.
const das = (e: E<8>, al: Val<8>): Val<8> => {
  const low = digitOverflows(e, al)
  const high = e.or(above(e, al, 0x99), e.carry())
  const r = e.sub(e.sub(al, e.select(low, e.k(8, 0x06), e.k(8, 0))), e.select(high, e.k(8, 0x60), e.k(8, 0)))
  e.flags({ result: r, CF: e.or(high, e.and(low, e.ltu(al, e.k(8, 6)))), AF: low, OF: { undefined: e.no } })
  return r
}
/** AAA, AAS: AX ± 106H, then AL keeps its low digit. */
const ascii =
  (operation: 'add' | 'sub') =>
  (e: E<OpSize>, ax: Val<16>): Val<16> => {
    const over = e.or(e.ltu(e.k(16, 9), e.and(ax, e.k(16, 15))), e.adjust())
    const r = e.and(e.select(over, e[operation](ax, e.k(16, 0x106)), ax), e.k(16, 0xff0f))
    e.flags({ result: { undefined: e.low(r, 8) }, CF: over, AF: over, OF: { undefined: e.no } })
    return r
  }
const decimalFlags = (e: E<8>, al: Val<8>): Done =>
  e.flags({ result: al, CF: { undefined: e.no }, AF: { undefined: e.no }, OF: { undefined: e.no } })

export const arithmetic: Row[] = [
  ...group1('ADD', 0, (e, a, b) => {
    const r = e.add(a, b)
    e.flagsAdd(a, b, r)
    return r
  }),
  ...group1('ADC', 2, (e, a, b) => {
    const r = e.add(e.add(a, b), e.sized(e.carry()))
    e.flagsAdd(a, b, r)
    return r
  }),
  ...group1('SBB', 3, (e, a, b) => {
    const r = e.sub(e.sub(a, b), e.sized(e.carry()))
    e.flagsSub(a, b, r)
    return r
  }),
  ...group1('SUB', 5, (e, a, b) => {
    const r = e.sub(a, b)
    e.flagsSub(a, b, r)
    return r
  }),
  ...group1Compare('CMP', 7, (e, a, b) => e.flagsSub(a, b, e.sub(a, b))),
  ...step('INC', 0, (e, a) => {
    const r = e.add(a, e.n(1))
    e.flagsAdd(a, e.n(1), r, 'keep')
    return r
  }),
  ...step('DEC', 1, (e, a) => {
    const r = e.sub(a, e.n(1))
    e.flagsSub(a, e.n(1), r, 'keep')
    return r
  }),
  ...group3('NEG', 3, (e, a) => {
    const r = e.sub(e.n(0), a)
    e.flagsSub(e.n(0), a, r)
    return r
  }),

  row('DAA', '27', '+<AL>', daa, { modes: 'not64' }),
  row('DAS', '2F', '+<AL>', das, { modes: 'not64' }),
  row('AAA', '37', '+<AX>', ascii('add'), { modes: 'not64' }),
  row('AAS', '3F', '+<AX>', ascii('sub'), { modes: 'not64' }),
  row(
    'AAM',
    'D4 ib',
    '=<AH>, +<AL>, imm8',
    (e, al, base) => {
      const { q, r, overflow } = e.divU([al, e.k(8, 0)], base)
      e.fault(overflow, '#DE')
      decimalFlags(e, r)
      return [q, r]
    },
    { modes: 'not64' },
  ),
  row(
    'AAD',
    'D5 ib',
    '+<AH>, +<AL>, imm8',
    (e, ah, al, base) => {
      const r = e.add(al, e.mul(ah, base))
      decimalFlags(e, r)
      return [e.k(8, 0), r]
    },
    { modes: 'not64' },
  ),
]

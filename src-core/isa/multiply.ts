// Multiplication and division (SDM 2A/2B: MUL IMUL DIV IDIV). A quotient that does not fit is #DE, as is a divisor of 0.

import type { E } from './context.ts'
import { row, type Row } from './row.ts'
import type { Bit, OpSize, Pair, Val } from './value.ts'

/** CF = OF: the upper half carries information. SF ZF PF AF are undefined. */
const product = <W extends OpSize>(e: E<W>, low: Val<W>, spills: Bit) =>
  e.flags({ result: { undefined: low }, CF: spills, OF: spills, AF: { undefined: e.no } })
const spillsSigned = <W extends OpSize>(e: E<W>, [low, high]: Pair<W>): Bit => e.not(e.eq(high, e.sar(low, e.n(e.bits - 1))))

type Wide = <W extends OpSize>(e: E<W>, a: Val<W>, b: Val<W>) => readonly [high: Val<W>, low: Val<W>]
const mul: Wide = (e, a, b) => {
  const [low, high] = e.mulU(a, b)
  product(e, low, e.not(e.isZero(high)))
  return [high, low]
}
const imulWide: Wide = (e, a, b) => {
  const p = e.mulS(a, b)
  product(e, p[0], spillsSigned(e, p))
  return [p[1], p[0]]
}
const imul = <W extends OpSize>(e: E<W>, a: Val<W>, b: Val<W>): Val<W> => imulWide(e, a, b)[1]

type Divide = <W extends OpSize>(e: E<W>, high: Val<W>, low: Val<W>, d: Val<W>) => readonly [r: Val<W>, q: Val<W>]
const divide =
  (operation: 'divU' | 'divS'): Divide =>
  (e, high, low, d) => {
    const { q, r, overflow } = e[operation]([low, high], d)
    e.fault(overflow, '#DE')
    e.flagsUndefined()
    return [r, q]
  }

export const multiply: Row[] = [
  row('MUL', 'F6 /4', '=<AH>, +<AL>, r/m8', mul),
  row('MUL', 'F7 /4', '=<rDX>, +<rAX>, r/m', mul),
  row('IMUL', 'F6 /5', '=<AH>, +<AL>, r/m8', imulWide),
  row('IMUL', 'F7 /5', '=<rDX>, +<rAX>, r/m', imulWide),
  row('IMUL', '0F AF /r', '+r, r/m', imul),
  row('IMUL', '69 /r i', '=r, r/m, imm', imul),
  row('IMUL', '6B /r ib', '=r, r/m, simm8', imul),
  row('DIV', 'F6 /6', '+<AH>, +<AL>, r/m8', divide('divU')),
  row('DIV', 'F7 /6', '+<rDX>, +<rAX>, r/m', divide('divU')),
  row('IDIV', 'F6 /7', '+<AH>, +<AL>, r/m8', divide('divS')),
  row('IDIV', 'F7 /7', '+<rDX>, +<rAX>, r/m', divide('divS')),
]

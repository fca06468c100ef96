// Bit tests, bit scans and counts (SDM 2A: BT BTC BTR BTS BSF BSR; 2B: LZCNT POPCNT TZCNT).
// Without their features F3 0F BC and F3 0F BD fall back to BSF and BSR.

import type { E } from './context.ts'
import { hex, row, type Row } from './row.ts'
import type { Bit, Done, If, OpSize, Val } from './value.ts'

/** The mask of the bit addressed, after its old value went to CF. ZF stays, and so do the undefined flags. */
const selected = <W extends OpSize>(e: E<W>, a: Val<W>, index: Val<W>): Val<W> => {
  const n = e.and(index, e.n(e.bits - 1))
  const old = { undefined: 'keep' } as const
  e.flags({ result: 'keep', CF: e.bit(e.shr(a, n), 0), SF: old, PF: old, OF: old, AF: old })
  return e.shl(e.n(1), n)
}
type Change = <W extends OpSize>(e: E<W>, a: Val<W>, mask: Val<W>) => Val<W>
const bt = <W extends OpSize>(e: E<W>, a: Val<W>, index: Val<W>): Done => void selected(e, a, index) as Done
const change = (mnemonic: string, n: number, f: Change): Row[] => [
  row(mnemonic, `0F ${hex(0x83 + 8 * n)} /r`, '+r/m:bit, r', (e, a, b) => f(e, a, selected(e, a, b)), { lock: true }),
  row(mnemonic, `0F BA /${n} ib`, '+r/m, imm8', (e, a, b) => f(e, a, selected(e, a, e.sized(b))), { lock: true }),
]

type Scan = <W extends OpSize>(e: E<W>, old: Val<W>, v: Val<W>) => If<Val<W>>
/** A source of 0 sets ZF and leaves the destination alone, its upper half too. */
const scan =
  (index: <W extends OpSize>(e: E<W>, v: Val<W>) => Val<W>): Scan =>
  (e, _old, v) => {
    const none = e.isZero(v)
    const off = { undefined: e.no }
    e.flags({ ZF: none, SF: off, PF: off, CF: off, OF: off, AF: off })
    return { when: e.not(none), write: index(e, v) }
  }
const count = <W extends OpSize>(e: E<W>, v: Val<W>, zeros: Val<W>): Val<W> => {
  const none: Bit = e.isZero(v)
  const r = e.select(none, e.n(e.bits), zeros)
  const off = { undefined: e.no }
  e.flags({ ZF: e.isZero(r), CF: none, SF: off, PF: off, OF: off, AF: off })
  return r
}

export const bit: Row[] = [
  row('BT', '0F A3 /r', 'r/m:bit, r', bt),
  row('BT', '0F BA /4 ib', 'r/m, imm8', (e, a, b) => bt(e, a, e.sized(b))),
  ...change('BTS', 5, (e, a, mask) => e.or(a, mask)),
  ...change('BTR', 6, (e, a, mask) => e.and(a, e.not(mask))),
  ...change('BTC', 7, (e, a, mask) => e.xor(a, mask)),
  row(
    'BSF',
    '0F BC /r',
    '~r, r/m',
    scan((e, v) => e.ctz(v)),
  ),
  row(
    'BSR',
    '0F BD /r',
    '~r, r/m',
    scan((e, v) => e.sub(e.n(e.bits - 1), e.clz(v))),
  ),
  row('TZCNT', 'F3 0F BC /r', '=r, r/m', (e, v) => count(e, v, e.ctz(v)), { feature: 'BMI1' }),
  row('LZCNT', 'F3 0F BD /r', '=r, r/m', (e, v) => count(e, v, e.clz(v)), { feature: 'LZCNT' }),
  row(
    'POPCNT',
    'F3 0F B8 /r',
    '=r, r/m',
    (e, v) => {
      e.flags({ ZF: e.isZero(v), SF: e.no, PF: e.no, CF: e.no, OF: e.no, AF: e.no })
      return e.popcnt(v)
    },
    { feature: 'POPCNT' },
  ),
]

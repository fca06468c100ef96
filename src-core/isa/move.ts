// Data movement (SDM 2B: MOV MOVNTI XCHG XADD CMPXCHG CMPXCHG8B/16B CMOVcc SETcc LEA XLAT).
// MOV to and from segment registers: segment.ts; control and debug registers: system.ts.

import type { E } from './context.ts'
import { hex, row, type Row } from './row.ts'
import { conditions, type Bit, type Done, type If, type OpSize, type Val } from './value.ts'

const same = <V>(_e: unknown, v: V): V => v
const xadd = <W extends OpSize>(e: E<W>, a: Val<W>, b: Val<W>): readonly [Val<W>, Val<W>] => {
  const r = e.add(a, b)
  e.flagsAdd(a, b, r)
  return [r, a]
}
// Of two 32-bit registers hardware writes one and leaves all 64 bits of the other; memory is always written.
const cmpxchg = <W extends OpSize>(e: E<W>, old: Val<W>, a: Val<W>, b: Val<W>): readonly [If<Val<W>>, If<Val<W>>] => {
  const equal = e.eq(a, old)
  e.flagsSub(a, old, e.sub(a, old))
  return [
    { when: equal, write: b },
    { when: e.not(equal), write: old },
  ]
}
const cmpxchgMemory = <W extends OpSize>(e: E<W>, old: Val<W>, a: Val<W>, b: Val<W>): readonly [Val<W>, If<Val<W>>] => {
  const [destination, accumulator] = cmpxchg(e, old, a, b)
  return [e.select(destination.when, b, old), accumulator]
}
const onlyZf = (e: E<OpSize>, ZF: Bit): Done => e.flags({ ZF, SF: 'keep', PF: 'keep', CF: 'keep', OF: 'keep', AF: 'keep' })

const exchange: Row[] = [
  row('XCHG', '86 /r', '+r/m8, +r8', (_e, a, b) => [b, a], { lock: true }),
  row('XCHG', '87 /r', '+r/m, +r', (_e, a, b) => [b, a], { lock: true }),
  row('XCHG', '90+r', '+r, +<rAX>', (_e, a, b) => [b, a]),
  row('XADD', '0F C0 /r', '+r/m8, +r8', xadd, { lock: true }),
  row('XADD', '0F C1 /r', '+r/m, +r', xadd, { lock: true }),
  row('CMPXCHG', '0F B0 /r', '+r/m8, ~<AL>, r8', cmpxchgMemory, { lock: true }),
  row('CMPXCHG', '0F B1 /r', '+m.W, ~<rAX>, r', cmpxchgMemory, { lock: true }),
  row('CMPXCHG', '0F B1 /r', '~r.rm, ~<rAX>, r', cmpxchg),
  row(
    'CMPXCHG8B',
    '0F C7 /1',
    '+m64, ~<EDX>, ~<EAX>, <ECX>, <EBX>',
    (e, old, d, a, c, b) => {
      const join = (high: Val<32>, low: Val<32>) => e.or(e.shl(e.zx(high, 64), e.k(64, 32)), e.zx(low, 64))
      const equal = e.eq(old, join(d, a))
      onlyZf(e, equal)
      const differs = e.not(equal)
      return [
        e.select(equal, join(c, b), old),
        { when: differs, write: e.low(e.shr(old, e.k(64, 32)), 32) },
        { when: differs, write: e.low(old, 32) },
      ]
    },
    { lock: true, feature: 'CX8' },
  ),
  row(
    'CMPXCHG16B',
    'REX.W + 0F C7 /1',
    '+m128, +<RDX>, +<RAX>, <RCX>, <RBX>',
    (e, [low, high], d, a, c, b) => {
      const equal = e.and(e.eq(low, a), e.eq(high, d))
      onlyZf(e, equal)
      return [[e.select(equal, b, low), e.select(equal, c, high)], e.select(equal, d, high), e.select(equal, a, low)]
    },
    { lock: true, align: 16, feature: 'CX16' },
  ),
]

const conditional: Row[] = conditions.flatMap((c, i) => [
  row(`CMOV${c.toUpperCase()}`, `0F ${hex(0x40 + i)} /r`, '+r, r/m', (e, old, v) => e.select(e.cond(c), v, old), { feature: 'CMOV' }),
  row(`SET${c.toUpperCase()}`, `0F ${hex(0x90 + i)} /r`, '=r/m8', (e) => e.zx(e.cond(c), 8)),
])

export const move: Row[] = [
  row('MOV', '88 /r', '=r/m8, r8', same),
  row('MOV', '89 /r', '=r/m, r', same),
  row('MOV', '8A /r', '=r8, r/m8', same),
  row('MOV', '8B /r', '=r, r/m', same),
  row('MOV', 'A0 mo', '=<AL>, moffs8', same),
  row('MOV', 'A1 mo', '=<rAX>, moffs', same),
  row('MOV', 'A2 mo', '=moffs8, <AL>', same),
  row('MOV', 'A3 mo', '=moffs, <rAX>', same),
  row('MOV', 'B0+r ib', '=r8, imm8', same),
  row('MOV', 'B8+r i', '=r, imm', same, { sizes: [16, 32] }),
  row('MOV', 'REX.W + B8+r io', '=r64, imm64', same),
  row('MOV', 'C6 /0 ib', '=r/m8, imm8', same),
  row('MOV', 'C7 /0 i', '=r/m, imm', same),
  row('MOVNTI', 'NP 0F C3 /r', '=m.W, r', same, { feature: 'SSE2', sizes: [32, 64] }),
  row('LEA', '8D /r', '=r, m', (e, address) => e.sized(address)),
  row('XLAT', 'D7', '=<AL>, <DS:rBX+AL>', same),
  ...exchange,
  ...conditional,
]

// MMX technology (SDM vol. 1, chapter 9): the MM forms of the integer vector instructions. An MM register is the significand of a
// physical x87 register; writing it sets the exponent to FFFFH (the operand does), and every instruction but EMMS enters MMX mode.

import type { E } from './context.ts'
import { row, type Feature, type Row } from './row.ts'
import { absolutes, joined, packed, PSHUFB, shifts, unpacked, type Packed } from './sse-integer.ts'
import { lanes, mmx, sseAndMmx } from './sse-family.ts'
import type { OpSize, V128, Val } from './value.ts'

/** An MM value in both halves of a vector. */
const wide = <W extends OpSize>(e: E<W>, a: Val<64>): V128 => e.i64x2.splat(a)
const narrow = <W extends OpSize>(e: E<W>, v: V128): Val<64> => {
  e.mmxEnter()
  return e.i64x2.extract(v, 0)
}
const moved = <W extends OpSize>(e: E<W>, v: Val<64>): Val<64> => {
  e.mmxEnter()
  return v
}

const lanewise = (p: Packed): Row =>
  row(p.mnemonic, `NP 0F ${p.opcode} /r`, '+mm, mm/m64', (e, a, b) => narrow(e, p.meaning(e, wide(e, a), wide(e, b))), mmx(p.mmx))

/** a and b as one vector, taken twice. */
const horizontal = (p: Packed): Row =>
  row(
    p.mnemonic,
    `NP 0F ${p.opcode} /r`,
    '+mm, mm/m64',
    (e, a, b) => {
      const v = e.i64x2.make(a, b)
      return narrow(e, p.meaning(e, v, v))
    },
    mmx(p.mmx),
  )

const fixed = (mnemonic: string, encoding: string, feature: Feature, permute: <W extends OpSize>(e: E<W>, a: V128, b: V128) => V128): Row =>
  row(mnemonic, encoding, '+mm, mm/m64', (e, a, b) => narrow(e, permute(e, wide(e, a), wide(e, b))), mmx(feature))

/** PSHUFW as PSHUFD on lanes spread to 32 bits. */
const PSHUFW = <W extends OpSize>(e: E<W>, a: Val<64>, n: Val<8>): Val<64> => {
  const v = wide(e, a)
  const chosen = e.i32x4.permute(e.v128.shuffle(v, v, lanes(2, 0, 0, 1, 1, 2, 2, 3, 3)), n)
  return narrow(e, e.v128.shuffle(chosen, chosen, lanes(2, 0, 2, 4, 6, 0, 2, 4, 6)))
}

/** Word n & 3 of an MM value; the second half of the vector repeats the first, so the lane number's bit 2 does not matter. */
const PEXTRW = <W extends OpSize>(e: E<W>, a: Val<64>, n: Val<8>): Val<32> => {
  e.mmxEnter()
  return e.zx(e.i16x8.at(wide(e, a), n), 32)
}

export const mmxRows: readonly Row[] = [
  row('MOVD', 'NP 0F 6E /r', '=mm, r/m32', (e, v) => moved(e, e.zx(v, 64)), mmx('MMX')),
  row('MOVQ', 'NP REX.W + 0F 6E /r', '=mm, r/m64', moved, mmx('MMX')),
  row('MOVD', 'NP 0F 7E /r', '=r/m32, mm', (e, v) => e.low(moved(e, v), 32), mmx('MMX')),
  row('MOVQ', 'NP REX.W + 0F 7E /r', '=r/m64, mm', moved, mmx('MMX')),
  row('MOVQ', 'NP 0F 6F /r', '=mm, mm/m64', moved, mmx('MMX')),
  row('MOVQ', 'NP 0F 7F /r', '=mm/m64, mm', moved, mmx('MMX')),
  row('MOVNTQ', 'NP 0F E7 /r', '=m64, mm', moved, mmx('SSE')),
  row('MOVDQ2Q', 'F2 0F D6 /r', '=mm, xmm.rm:i64', moved, sseAndMmx('SSE2')),
  row('MOVQ2DQ', 'F3 0F D6 /r', '=xmm, mm.rm', (e, v) => e.i64x2.make(moved(e, v), e.k(64, 0)), sseAndMmx('SSE2')),
  row('MASKMOVQ', 'NP 0F F7 /r', '@mm, @mm.rm', (e) => e.assist('maskmovq'), mmx('SSE')),
  row('EMMS', 'NP 0F 77', '', (e) => e.mmxEmpty(), mmx('MMX')),
  ...packed.map(lanewise),
  ...joined.map(horizontal),
  // interleaved, the low halves of both operands make one register, the high halves (repeated below) the other
  ...unpacked.flatMap(({ low, high }) => [
    row(
      low.mnemonic,
      `NP 0F ${low.opcode} /r`,
      '+mm, mm/m32',
      (e, a, b) => narrow(e, low.meaning(e, wide(e, a), e.i64x2.splat(e.zx(b, 64)))),
      mmx('MMX'),
    ),
    row(
      low.mnemonic.replace('CKL', 'CKH'),
      `NP 0F ${high} /r`,
      '+mm, mm/m64',
      (e, a, b) => {
        e.mmxEnter()
        return e.i64x2.extract(low.meaning(e, wide(e, a), wide(e, b)), 1)
      },
      mmx('MMX'),
    ),
  ]),
  ...shifts.flatMap((s) => [
    row(s.mnemonic, `NP 0F ${s.opcode} /r`, '+mm, mm/m64', (e, a, n) => narrow(e, s.meaning(e, wide(e, a), n)), mmx('MMX')),
    row(s.mnemonic, `NP 0F ${s.group} /${s.digit} ib`, '+mm.rm, imm8', (e, a, n) => narrow(e, s.meaning(e, wide(e, a), n)), mmx('MMX')),
  ]),
  ...absolutes.map((p) =>
    row(p.mnemonic, `NP 0F ${p.opcode} /r`, '=mm, mm/m64', (e, a) => narrow(e, p.meaning(e, wide(e, a))), mmx('SSSE3')),
  ),
  fixed('PSHUFB', 'NP 0F 38 00 /r', 'SSSE3', (e, a, b) => PSHUFB(e, a, b, 0x87)),
  row(
    'PALIGNR',
    'NP 0F 3A 0F /r ib',
    '+mm, mm/m64, imm8',
    (e, a, b, n) => narrow(e, e.v128.align(e.v128.zero, e.i64x2.make(b, a), n)),
    mmx('SSSE3'),
  ),
  row('PSHUFW', 'NP 0F 70 /r ib', '=mm, mm/m64, imm8', PSHUFW, mmx('SSE')),
  row(
    'PINSRW',
    'NP 0F C4 /r ib',
    '+mm, r32/m16, imm8',
    (e, a, v, n) => narrow(e, e.i16x8.put(wide(e, a), e.and(n, e.k(8, 3)), v)),
    mmx('SSE'),
  ),
  row('PEXTRW', 'NP 0F C5 /r ib', '=r32, mm.rm, imm8', PEXTRW, mmx('SSE')),
  row(
    'PMOVMSKB',
    'NP 0F D7 /r',
    '=r32, mm.rm',
    (e, a) => {
      e.mmxEnter()
      return e.and(e.i8x16.bitmask(wide(e, a)), e.k(32, 0xff))
    },
    mmx('SSE'),
  ),
]

// Integer vector instructions on XMM registers: SSE2, SSSE3, SSE4.1, SSE4.2 (SDM vol. 2B: P…). Those that exist for MM registers too
// are listed in `packed`, `joined` and `shifts`, from which mmx.ts takes its forms.

import type { E } from './context.ts'
import type { Lanes } from './lanes.ts'
import { hex, row, type Feature, type Row } from './row.ts'
import { lanes, sse } from './sse-family.ts'
import type { OpSize, V128, Val } from './value.ts'

type Constants = Lanes & { k(width: 8, x: number): Val<8> }
type Meaning2 = (e: Constants, a: V128, b: V128) => V128
export interface Packed {
  readonly mnemonic: string
  /** Opcode bytes behind 0FH. */
  readonly opcode: string
  readonly meaning: Meaning2
  readonly mmx: Feature
  readonly sse: Feature
}
const both = (mnemonic: string, opcode: string, mmx: Feature, sse: Feature, meaning: Meaning2): Packed => ({
  mnemonic,
  opcode,
  meaning,
  mmx,
  sse,
})

const repeated = (width: number, ...bytes: number[]): number[] => Array.from({ length: 16 / width }, () => bytes).flat()
const EVEN16 = lanes(2, 0, 2, 4, 6, 8, 10, 12, 14)
const ODD16 = lanes(2, 1, 3, 5, 7, 9, 11, 13, 15)
const EVEN32 = lanes(4, 0, 2, 4, 6)
const ODD32 = lanes(4, 1, 3, 5, 7)

/** The top halves of 16-bit lanes' products. */
const highProduct =
  (signed: boolean): Meaning2 =>
  (e, a, b) => {
    const low = signed ? e.i32x4.extmulLowS(a, b) : e.i32x4.extmulLowU(a, b)
    const high = signed ? e.i32x4.extmulHighS(a, b) : e.i32x4.extmulHighU(a, b)
    return e.v128.shuffle(low, high, ODD16)
  }
/** Unsigned bytes of a by signed bytes of b. */
const PMADDUBSW: Meaning2 = (e, a, b) => {
  const eight = e.k(8, 8)
  const even = e.i16x8.mul(e.v128.and(a, e.v128.constant(repeated(2, 0xff, 0))), e.i16x8.sar(e.i16x8.shl(b, eight), eight))
  const odd = e.i16x8.mul(e.i16x8.shr(a, eight), e.i16x8.sar(b, eight))
  return e.i16x8.addSatS(even, odd)
}
const PSADBW: Meaning2 = (e, a, b) => {
  const difference = e.v128.or(e.i8x16.subSatU(a, b), e.i8x16.subSatU(b, a))
  const four = e.i32x4.extaddPairwiseU(e.i16x8.extaddPairwiseU(difference))
  const low = e.v128.constant(repeated(8, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0))
  const swapped = e.v128.shuffle(four, four, lanes(4, 1, 0, 3, 2))
  return e.v128.and(e.i32x4.add(four, swapped), low)
}
const PMULUDQ: Meaning2 = (e, a, b) => e.i64x2.extmulLowU(e.v128.shuffle(a, a, EVEN32), e.v128.shuffle(b, b, EVEN32))
/** −1 · −1 does not saturate: 8000H. */
const PMULHRSW: Meaning2 = (e, a, b) => {
  const r = e.i16x8.q15mulrSatS(a, b)
  const smallest = e.v128.constant(repeated(2, 0, 0x80))
  return e.v128.xor(r, e.v128.and(e.i16x8.eq(a, smallest), e.i16x8.eq(b, smallest)))
}
/** Negated under b's sign, zero under its zero. */
const sign =
  (shape: 'i8x16' | 'i16x8' | 'i32x4'): Meaning2 =>
  (e, a, b) => {
    const negative = e[shape].gtS(e.v128.zero, b)
    const value = e[shape].sub(e.v128.xor(a, negative), negative)
    return e.v128.andnot(value, e[shape].eq(b, e.v128.zero))
  }
const interleave = (width: number, high: boolean): Meaning2 => {
  const n = 16 / width
  const first = high ? n / 2 : 0
  const order = Array.from({ length: n }, (_, i) => first + (i >> 1) + (i & 1 ? n : 0))
  return (e, a, b) => e.v128.shuffle(a, b, lanes(width, ...order))
}

/** Lane by lane: the MM form is the low half of the XMM form on the same lanes. */
export const packed: readonly Packed[] = [
  both('PADDB', 'FC', 'MMX', 'SSE2', (e, a, b) => e.i8x16.add(a, b)),
  both('PADDW', 'FD', 'MMX', 'SSE2', (e, a, b) => e.i16x8.add(a, b)),
  both('PADDD', 'FE', 'MMX', 'SSE2', (e, a, b) => e.i32x4.add(a, b)),
  both('PADDQ', 'D4', 'SSE2', 'SSE2', (e, a, b) => e.i64x2.add(a, b)),
  both('PADDSB', 'EC', 'MMX', 'SSE2', (e, a, b) => e.i8x16.addSatS(a, b)),
  both('PADDSW', 'ED', 'MMX', 'SSE2', (e, a, b) => e.i16x8.addSatS(a, b)),
  both('PADDUSB', 'DC', 'MMX', 'SSE2', (e, a, b) => e.i8x16.addSatU(a, b)),
  both('PADDUSW', 'DD', 'MMX', 'SSE2', (e, a, b) => e.i16x8.addSatU(a, b)),
  both('PSUBB', 'F8', 'MMX', 'SSE2', (e, a, b) => e.i8x16.sub(a, b)),
  both('PSUBW', 'F9', 'MMX', 'SSE2', (e, a, b) => e.i16x8.sub(a, b)),
  both('PSUBD', 'FA', 'MMX', 'SSE2', (e, a, b) => e.i32x4.sub(a, b)),
  both('PSUBQ', 'FB', 'SSE2', 'SSE2', (e, a, b) => e.i64x2.sub(a, b)),
  both('PSUBSB', 'E8', 'MMX', 'SSE2', (e, a, b) => e.i8x16.subSatS(a, b)),
  both('PSUBSW', 'E9', 'MMX', 'SSE2', (e, a, b) => e.i16x8.subSatS(a, b)),
  both('PSUBUSB', 'D8', 'MMX', 'SSE2', (e, a, b) => e.i8x16.subSatU(a, b)),
  both('PSUBUSW', 'D9', 'MMX', 'SSE2', (e, a, b) => e.i16x8.subSatU(a, b)),
  both('PMULLW', 'D5', 'MMX', 'SSE2', (e, a, b) => e.i16x8.mul(a, b)),
  both('PMULHW', 'E5', 'MMX', 'SSE2', highProduct(true)),
  both('PMULHUW', 'E4', 'SSE', 'SSE2', highProduct(false)),
  both('PMULUDQ', 'F4', 'SSE2', 'SSE2', PMULUDQ),
  both('PMADDWD', 'F5', 'MMX', 'SSE2', (e, a, b) => e.i32x4.dot(a, b)),
  both('PSADBW', 'F6', 'SSE', 'SSE2', PSADBW),
  both('PAVGB', 'E0', 'SSE', 'SSE2', (e, a, b) => e.i8x16.avgrU(a, b)),
  both('PAVGW', 'E3', 'SSE', 'SSE2', (e, a, b) => e.i16x8.avgrU(a, b)),
  both('PMINUB', 'DA', 'SSE', 'SSE2', (e, a, b) => e.i8x16.minU(a, b)),
  both('PMAXUB', 'DE', 'SSE', 'SSE2', (e, a, b) => e.i8x16.maxU(a, b)),
  both('PMINSW', 'EA', 'SSE', 'SSE2', (e, a, b) => e.i16x8.minS(a, b)),
  both('PMAXSW', 'EE', 'SSE', 'SSE2', (e, a, b) => e.i16x8.maxS(a, b)),
  both('PAND', 'DB', 'MMX', 'SSE2', (e, a, b) => e.v128.and(a, b)),
  both('PANDN', 'DF', 'MMX', 'SSE2', (e, a, b) => e.v128.andnot(b, a)),
  both('POR', 'EB', 'MMX', 'SSE2', (e, a, b) => e.v128.or(a, b)),
  both('PXOR', 'EF', 'MMX', 'SSE2', (e, a, b) => e.v128.xor(a, b)),
  both('PCMPEQB', '74', 'MMX', 'SSE2', (e, a, b) => e.i8x16.eq(a, b)),
  both('PCMPEQW', '75', 'MMX', 'SSE2', (e, a, b) => e.i16x8.eq(a, b)),
  both('PCMPEQD', '76', 'MMX', 'SSE2', (e, a, b) => e.i32x4.eq(a, b)),
  both('PCMPGTB', '64', 'MMX', 'SSE2', (e, a, b) => e.i8x16.gtS(a, b)),
  both('PCMPGTW', '65', 'MMX', 'SSE2', (e, a, b) => e.i16x8.gtS(a, b)),
  both('PCMPGTD', '66', 'MMX', 'SSE2', (e, a, b) => e.i32x4.gtS(a, b)),
  both('PMADDUBSW', '38 04', 'SSSE3', 'SSSE3', PMADDUBSW),
  both('PMULHRSW', '38 0B', 'SSSE3', 'SSSE3', PMULHRSW),
  both('PSIGNB', '38 08', 'SSSE3', 'SSSE3', sign('i8x16')),
  both('PSIGNW', '38 09', 'SSSE3', 'SSSE3', sign('i16x8')),
  both('PSIGND', '38 0A', 'SSSE3', 'SSSE3', sign('i32x4')),
]

/** Horizontal: both operands' lanes in one result. The MM form works on the pair a, b as one vector. */
export const joined: readonly Packed[] = [
  both('PACKSSWB', '63', 'MMX', 'SSE2', (e, a, b) => e.i8x16.narrowS(a, b)),
  both('PACKUSWB', '67', 'MMX', 'SSE2', (e, a, b) => e.i8x16.narrowU(a, b)),
  both('PACKSSDW', '6B', 'MMX', 'SSE2', (e, a, b) => e.i16x8.narrowS(a, b)),
  both('PHADDW', '38 01', 'SSSE3', 'SSSE3', (e, a, b) => e.i16x8.add(e.v128.shuffle(a, b, EVEN16), e.v128.shuffle(a, b, ODD16))),
  both('PHADDD', '38 02', 'SSSE3', 'SSSE3', (e, a, b) => e.i32x4.add(e.v128.shuffle(a, b, EVEN32), e.v128.shuffle(a, b, ODD32))),
  both('PHADDSW', '38 03', 'SSSE3', 'SSSE3', (e, a, b) => e.i16x8.addSatS(e.v128.shuffle(a, b, EVEN16), e.v128.shuffle(a, b, ODD16))),
  both('PHSUBW', '38 05', 'SSSE3', 'SSSE3', (e, a, b) => e.i16x8.sub(e.v128.shuffle(a, b, EVEN16), e.v128.shuffle(a, b, ODD16))),
  both('PHSUBD', '38 06', 'SSSE3', 'SSSE3', (e, a, b) => e.i32x4.sub(e.v128.shuffle(a, b, EVEN32), e.v128.shuffle(a, b, ODD32))),
  both('PHSUBSW', '38 07', 'SSSE3', 'SSSE3', (e, a, b) => e.i16x8.subSatS(e.v128.shuffle(a, b, EVEN16), e.v128.shuffle(a, b, ODD16))),
]

/** Interleavings by lane bytes; the MM forms are the halves of the low one. */
export const unpacked: readonly { readonly low: Packed; readonly high: string }[] = [
  { low: both('PUNPCKLBW', '60', 'MMX', 'SSE2', interleave(1, false)), high: '68' },
  { low: both('PUNPCKLWD', '61', 'MMX', 'SSE2', interleave(2, false)), high: '69' },
  { low: both('PUNPCKLDQ', '62', 'MMX', 'SSE2', interleave(4, false)), high: '6A' },
]

export interface Shift {
  readonly mnemonic: string
  readonly opcode: string
  readonly group: string
  readonly digit: number
  readonly meaning: (e: Lanes, a: V128, n: Val<8> | Val<64>) => V128
}
/** Count in a register or memory (`opcode`), or an immediate (`group` /`digit`). */
export const shifts: readonly Shift[] = (
  [
    ['W', 'i16x8', 1],
    ['D', 'i32x4', 2],
    ['Q', 'i64x2', 3],
  ] as const
).flatMap(([letter, shape, n]): Shift[] => [
  { mnemonic: `PSRL${letter}`, opcode: hex(0xd0 + n), group: hex(0x70 + n), digit: 2, meaning: (e, a, count) => e[shape].shr(a, count) },
  { mnemonic: `PSLL${letter}`, opcode: hex(0xf0 + n), group: hex(0x70 + n), digit: 6, meaning: (e, a, count) => e[shape].shl(a, count) },
  ...(shape === 'i64x2'
    ? []
    : [
        {
          mnemonic: `PSRA${letter}`,
          opcode: hex(0xe0 + n),
          group: hex(0x70 + n),
          digit: 4,
          meaning: (e: Lanes, a: V128, count: Val<8> | Val<64>) => e[shape].sar(a, count),
        },
      ]),
])

/** PABSx: one operand. */
export const absolutes = [
  { mnemonic: 'PABSB', opcode: '38 1C', meaning: (e: Lanes, a: V128): V128 => e.i8x16.abs(a) },
  { mnemonic: 'PABSW', opcode: '38 1D', meaning: (e: Lanes, a: V128): V128 => e.i16x8.abs(a) },
  { mnemonic: 'PABSD', opcode: '38 1E', meaning: (e: Lanes, a: V128): V128 => e.i32x4.abs(a) },
]

/** Bit 7 of a byte number gives 0; else it counts modulo the register's bytes. */
export const PSHUFB = (e: Lanes, a: V128, b: V128, mask: number): V128 =>
  e.v128.swizzle(a, e.v128.and(b, e.v128.constant(repeated(1, mask))))

const binary = (mnemonic: string, opcode: string, feature: Feature, meaning: Meaning2): Row =>
  row(mnemonic, `66 0F ${opcode} /r`, '+xmm, xmm/m128', meaning, sse(feature))

/** Sums of four absolute differences at eight offsets of a against one group of b. */
const MPSADBW = <W extends OpSize>(e: E<W>, a: V128, b: V128, control: Val<8>): V128 => {
  const group = e.i32x4.splat(e.i32x4.at(b, control))
  const start = e.and(control, e.k(8, 4))
  const from = e.v128.align(e.v128.zero, a, start)
  const sums = (first: number): V128 => {
    const window = e.v128.shuffle(
      from,
      from,
      Array.from({ length: 16 }, (_, i) => first + (i >> 2) + (i & 3)),
    )
    const difference = e.v128.or(e.i8x16.subSatU(window, group), e.i8x16.subSatU(group, window))
    return e.i32x4.extaddPairwiseU(e.i16x8.extaddPairwiseU(difference))
  }
  return e.i16x8.narrowU(sums(0), sums(4))
}

/** Each word above its own number, so that the least word comes with its first position. */
const PHMINPOSUW = <W extends OpSize>(e: E<W>, a: V128): V128 => {
  const three = e.k(8, 3)
  const high = e.v128.shuffle(a, a, lanes(8, 1, 0))
  const numbers = (first: number): V128 =>
    e.v128.constant(lanes(1, ...[0, 1, 2, 3].flatMap((i) => [first + i, 16, 16, 16])).map((x) => (x === 16 ? 0 : x)))
  const low4 = e.v128.or(e.i32x4.shl(e.i32x4.extendLowU(a), three), numbers(0))
  const high4 = e.v128.or(e.i32x4.shl(e.i32x4.extendLowU(high), three), numbers(4))
  const four = e.i32x4.minU(low4, high4)
  const two = e.i32x4.minU(four, e.v128.shuffle(four, four, lanes(4, 2, 3, 0, 1)))
  const one = e.i32x4.extract(e.i32x4.minU(two, e.v128.shuffle(two, two, lanes(4, 1, 0, 3, 2))), 0)
  const word = e.shr(one, e.k(32, 3))
  const position = e.shl(e.and(one, e.k(32, 7)), e.k(32, 16))
  return e.i64x2.make(e.zx(e.or(word, position), 64), e.k(64, 0))
}

/** ZF: no bit of a and b; CF: no bit of b outside a. */
const PTEST = <W extends OpSize>(e: E<W>, a: V128, b: V128) =>
  e.flags({
    ZF: e.not(e.v128.anyTrue(e.v128.and(a, b))),
    CF: e.not(e.v128.anyTrue(e.v128.andnot(b, a))),
    SF: e.no,
    PF: e.no,
    OF: e.no,
    AF: e.no,
  })

type Extend = (e: Lanes, a: V128) => V128
const bw = (signed: boolean): Extend => (signed ? (e, a) => e.i16x8.extendLowS(a) : (e, a) => e.i16x8.extendLowU(a))
const wd = (signed: boolean): Extend => (signed ? (e, a) => e.i32x4.extendLowS(a) : (e, a) => e.i32x4.extendLowU(a))
const dq = (signed: boolean): Extend => (signed ? (e, a) => e.i64x2.extendLowS(a) : (e, a) => e.i64x2.extendLowU(a))
/** PMOVSXxx at 66 0F 38 2x, PMOVZXxx at 3x. */
const extensions = (name: string, high: number, signed: boolean): Row[] => {
  const bd: Extend = (e, a) => wd(signed)(e, bw(signed)(e, a))
  const wq: Extend = (e, a) => dq(signed)(e, wd(signed)(e, a))
  const bq: Extend = (e, a) => dq(signed)(e, bd(e, a))
  const at = (n: number): string => `66 0F 38 ${hex(high + n)} /r`
  return [
    row(`${name}BW`, at(0), '=xmm, xmm/m64:i64', (e, v) => bw(signed)(e, e.i64x2.splat(v)), sse('SSE4.1')),
    row(`${name}BD`, at(1), '=xmm, xmm/m32:i32', (e, v) => bd(e, e.i32x4.splat(v)), sse('SSE4.1')),
    row(`${name}BQ`, at(2), '=xmm, xmm/m16:i16', (e, v) => bq(e, e.i16x8.splat(v)), sse('SSE4.1')),
    row(`${name}WD`, at(3), '=xmm, xmm/m64:i64', (e, v) => wd(signed)(e, e.i64x2.splat(v)), sse('SSE4.1')),
    row(`${name}WQ`, at(4), '=xmm, xmm/m32:i32', (e, v) => wq(e, e.i32x4.splat(v)), sse('SSE4.1')),
    row(`${name}DQ`, at(5), '=xmm, xmm/m64:i64', (e, v) => dq(signed)(e, e.i64x2.splat(v)), sse('SSE4.1')),
  ]
}

/** Four 16-bit lanes of one half chosen as PSHUFD chooses 32-bit ones: spread to 32 bits, chosen, put together again. */
const words =
  (half: 'low' | 'high') =>
  <W extends OpSize>(e: E<W>, a: V128, n: Val<8>): V128 => {
    const spread = half === 'low' ? lanes(2, 0, 0, 1, 1, 2, 2, 3, 3) : lanes(2, 4, 4, 5, 5, 6, 6, 7, 7)
    const chosen = e.i32x4.permute(e.v128.shuffle(a, a, spread), n)
    return e.v128.shuffle(a, chosen, half === 'low' ? lanes(2, 8, 10, 12, 14, 4, 5, 6, 7) : lanes(2, 0, 1, 2, 3, 8, 10, 12, 14))
  }

export const sseInteger: readonly Row[] = [
  ...packed.map((p) => binary(p.mnemonic, p.opcode, p.sse, p.meaning)),
  ...joined.map((p) => binary(p.mnemonic, p.opcode, p.sse, p.meaning)),
  ...unpacked.flatMap(({ low, high }, i) => [
    binary(low.mnemonic, low.opcode, 'SSE2', low.meaning),
    binary(low.mnemonic.replace('CKL', 'CKH'), high, 'SSE2', interleave(1 << i, true)),
  ]),
  binary('PUNPCKLQDQ', '6C', 'SSE2', interleave(8, false)),
  binary('PUNPCKHQDQ', '6D', 'SSE2', interleave(8, true)),
  ...shifts.flatMap((s) => [
    row(s.mnemonic, `66 0F ${s.opcode} /r`, '+xmm, xmm/m128', (e, a, n) => s.meaning(e, a, e.i64x2.extract(n, 0)), sse('SSE2')),
    row(s.mnemonic, `66 0F ${s.group} /${s.digit} ib`, '+xmm.rm, imm8', (e, a, n) => s.meaning(e, a, n), sse('SSE2')),
  ]),
  row('PSRLDQ', '66 0F 73 /3 ib', '+xmm.rm, imm8', (e, a, n) => e.v128.align(e.v128.zero, a, n), sse('SSE2')),
  row('PSLLDQ', '66 0F 73 /7 ib', '+xmm.rm, imm8', (e, a, n) => e.v128.shiftBytesLeft(a, n), sse('SSE2')),
  ...absolutes.map((p) => row(p.mnemonic, `66 0F ${p.opcode} /r`, '=xmm, xmm/m128', p.meaning, sse('SSSE3'))),
  row('PSHUFB', '66 0F 38 00 /r', '+xmm, xmm/m128', (e, a, b) => PSHUFB(e, a, b, 0x8f), sse('SSSE3')),
  row('PALIGNR', '66 0F 3A 0F /r ib', '+xmm, xmm/m128, imm8', (e, a, b, n) => e.v128.align(a, b, n), sse('SSSE3')),
  row('PSHUFD', '66 0F 70 /r ib', '=xmm, xmm/m128, imm8', (e, a, n) => e.i32x4.permute(a, n), sse('SSE2')),
  row('PSHUFLW', 'F2 0F 70 /r ib', '=xmm, xmm/m128, imm8', words('low'), sse('SSE2')),
  row('PSHUFHW', 'F3 0F 70 /r ib', '=xmm, xmm/m128, imm8', words('high'), sse('SSE2')),
  row('PINSRB', '66 0F 3A 20 /r ib', '+xmm, r32/m8, imm8', (e, a, v, n) => e.i8x16.put(a, n, v), sse('SSE4.1')),
  row('PINSRW', '66 0F C4 /r ib', '+xmm, r32/m16, imm8', (e, a, v, n) => e.i16x8.put(a, n, v), sse('SSE2')),
  row('PINSRD', '66 0F 3A 22 /r ib', '+xmm, r/m32, imm8', (e, a, v, n) => e.i32x4.put(a, n, v), sse('SSE4.1')),
  row('PINSRQ', '66 REX.W + 0F 3A 22 /r ib', '+xmm, r/m64, imm8', (e, a, v, n) => e.i64x2.put(a, n, v), sse('SSE4.1')),
  row('PEXTRB', '66 0F 3A 14 /r ib', '=r32/m8, xmm, imm8', (e, a, n) => e.i8x16.at(a, n), sse('SSE4.1')),
  row('PEXTRW', '66 0F C5 /r ib', '=r32, xmm.rm, imm8', (e, a, n) => e.zx(e.i16x8.at(a, n), 32), sse('SSE2')),
  row('PEXTRW', '66 0F 3A 15 /r ib', '=r32/m16, xmm, imm8', (e, a, n) => e.i16x8.at(a, n), sse('SSE4.1')),
  row('PEXTRD', '66 0F 3A 16 /r ib', '=r/m32, xmm, imm8', (e, a, n) => e.i32x4.at(a, n), sse('SSE4.1')),
  row('PEXTRQ', '66 REX.W + 0F 3A 16 /r ib', '=r/m64, xmm, imm8', (e, a, n) => e.i64x2.at(a, n), sse('SSE4.1')),
  row('PMOVMSKB', '66 0F D7 /r', '=r32, xmm.rm', (e, a) => e.i8x16.bitmask(a), sse('SSE2')),
  ...extensions('PMOVSX', 0x20, true),
  ...extensions('PMOVZX', 0x30, false),
  binary('PACKUSDW', '38 2B', 'SSE4.1', (e, a, b) => e.i16x8.narrowU(a, b)),
  binary('PCMPEQQ', '38 29', 'SSE4.1', (e, a, b) => e.i64x2.eq(a, b)),
  binary('PCMPGTQ', '38 37', 'SSE4.2', (e, a, b) => e.i64x2.gtS(a, b)),
  binary('PMULDQ', '38 28', 'SSE4.1', (e, a, b) => e.i64x2.extmulLowS(e.v128.shuffle(a, a, EVEN32), e.v128.shuffle(b, b, EVEN32))),
  binary('PMULLD', '38 40', 'SSE4.1', (e, a, b) => e.i32x4.mul(a, b)),
  binary('PMINSB', '38 38', 'SSE4.1', (e, a, b) => e.i8x16.minS(a, b)),
  binary('PMINSD', '38 39', 'SSE4.1', (e, a, b) => e.i32x4.minS(a, b)),
  binary('PMINUW', '38 3A', 'SSE4.1', (e, a, b) => e.i16x8.minU(a, b)),
  binary('PMINUD', '38 3B', 'SSE4.1', (e, a, b) => e.i32x4.minU(a, b)),
  binary('PMAXSB', '38 3C', 'SSE4.1', (e, a, b) => e.i8x16.maxS(a, b)),
  binary('PMAXSD', '38 3D', 'SSE4.1', (e, a, b) => e.i32x4.maxS(a, b)),
  binary('PMAXUW', '38 3E', 'SSE4.1', (e, a, b) => e.i16x8.maxU(a, b)),
  binary('PMAXUD', '38 3F', 'SSE4.1', (e, a, b) => e.i32x4.maxU(a, b)),
  row('PHMINPOSUW', '66 0F 38 41 /r', '=xmm, xmm/m128', PHMINPOSUW, sse('SSE4.1')),
  row('MPSADBW', '66 0F 3A 42 /r ib', '+xmm, xmm/m128, imm8', MPSADBW, sse('SSE4.1')),
  row('PTEST', '66 0F 38 17 /r', 'xmm, xmm/m128', PTEST, sse('SSE4.1')),
  row(
    'PBLENDVB',
    '66 0F 38 10 /r',
    '+xmm, xmm/m128, <XMM0>',
    (e, a, b, m) => e.v128.bitselect(b, a, e.i8x16.gtS(e.v128.zero, m)),
    sse('SSE4.1'),
  ),
  row('PBLENDW', '66 0F 3A 0E /r ib', '+xmm, xmm/m128, imm8', (e, a, b, n) => e.v128.bitselect(b, a, e.i16x8.mask(n)), sse('SSE4.1')),
]

// Moves, logic and shuffles of XMM registers that compute nothing: SSE, SSE2, SSE3, SSE4.1 (SDM vol. 2B: MOV…, SHUF…, UNPCK…, BLEND…).
// Non-temporal stores are ordinary stores: there is no cache to bypass.

import type { E } from './context.ts'
import { row, type Feature, type Row } from './row.ts'
import { lanes, sse } from './sse-family.ts'
import type { OpSize, V128, Val } from './value.ts'

const same = <W extends OpSize, T>(_e: E<W>, v: T): T => v
const low64 = <W extends OpSize>(e: E<W>, v: Val<64>): V128 => e.i64x2.make(v, e.k(64, 0))
const low32 = <W extends OpSize>(e: E<W>, v: Val<32>): V128 => low64(e, e.zx(v, 64))
const high64 = <W extends OpSize>(e: E<W>, v: V128): Val<64> => e.i64x2.extract(v, 1)
const putHigh = <W extends OpSize>(e: E<W>, a: V128, v: Val<64>): V128 => e.i64x2.replace(a, 1, v)

/** A load and a store of whole registers. */
const pair = (mnemonic: string, prefix: string, load: string, store: string, operand: 'xmm/m128' | 'xmm/m128u', feature: Feature): Row[] =>
  operand === 'xmm/m128'
    ? [
        row(mnemonic, `${prefix} 0F ${load} /r`, '=xmm, xmm/m128', same, sse(feature)),
        row(mnemonic, `${prefix} 0F ${store} /r`, '=xmm/m128, xmm', same, sse(feature)),
      ]
    : [
        row(mnemonic, `${prefix} 0F ${load} /r`, '=xmm, xmm/m128u', same, sse(feature)),
        row(mnemonic, `${prefix} 0F ${store} /r`, '=xmm/m128u, xmm', same, sse(feature)),
      ]

type Two = <W extends OpSize>(e: E<W>, a: V128, b: V128) => V128
/** The PS form and the PD form. */
const psAndPd = (name: string, opcode: string, ps: Two, pd: Two): Row[] => [
  row(`${name}PS`, `NP 0F ${opcode} /r`, '+xmm, xmm/m128', ps, sse('SSE')),
  row(`${name}PD`, `66 0F ${opcode} /r`, '+xmm, xmm/m128', pd, sse('SSE2')),
]
const shuffle =
  (width: number, ...order: number[]): Two =>
  (e, a, b) =>
    e.v128.shuffle(a, b, lanes(width, ...order))

/** Low lanes from a, high lanes from b, each by two bits of the immediate. */
const SHUFPS = <W extends OpSize>(e: E<W>, a: V128, b: V128, n: Val<8>): V128 =>
  e.v128.shuffle(e.i32x4.permute(a, n), e.i32x4.permute(b, n), lanes(4, 0, 1, 6, 7))
const SHUFPD = <W extends OpSize>(e: E<W>, a: V128, b: V128, n: Val<8>): V128 =>
  e.i64x2.make(e.i64x2.at(a, n), e.i64x2.at(b, e.shr(n, e.k(8, 1))))

/** Bits 5:4 the destination lane, 3:0 lanes to clear. */
const insert = <W extends OpSize>(e: E<W>, a: V128, v: Val<32>, n: Val<8>): V128 =>
  e.v128.andnot(e.i32x4.put(a, e.shr(n, e.k(8, 4)), v), e.i32x4.mask(n))

export const sseMove: readonly Row[] = [
  ...pair('MOVAPS', 'NP', '28', '29', 'xmm/m128', 'SSE'),
  ...pair('MOVAPD', '66', '28', '29', 'xmm/m128', 'SSE2'),
  ...pair('MOVUPS', 'NP', '10', '11', 'xmm/m128u', 'SSE'),
  ...pair('MOVUPD', '66', '10', '11', 'xmm/m128u', 'SSE2'),
  ...pair('MOVDQA', '66', '6F', '7F', 'xmm/m128', 'SSE2'),
  ...pair('MOVDQU', 'F3', '6F', '7F', 'xmm/m128u', 'SSE2'),
  row('LDDQU', 'F2 0F F0 /r', '=xmm, m128u:v', same, sse('SSE3')),
  row('MOVNTPS', 'NP 0F 2B /r', '=m128:v, xmm', same, sse('SSE')),
  row('MOVNTPD', '66 0F 2B /r', '=m128:v, xmm', same, sse('SSE2')),
  row('MOVNTDQ', '66 0F E7 /r', '=m128:v, xmm', same, sse('SSE2')),
  row('MOVNTDQA', '66 0F 38 2A /r', '=xmm, m128:v', same, sse('SSE4.1')),
  row('MASKMOVDQU', '66 0F F7 /r', '@xmm, @xmm.rm', (e) => e.assist('maskmovdqu'), sse('SSE2')),

  // scalars: a load clears the rest of the register, a move between registers keeps it
  row('MOVSS', 'F3 0F 10 /r', '+xmm, xmm.rm', (e, a, b) => e.v128.shuffle(a, b, lanes(4, 4, 1, 2, 3)), sse('SSE')),
  row('MOVSS', 'F3 0F 10 /r', '=xmm, m32', low32, sse('SSE')),
  row('MOVSS', 'F3 0F 11 /r', '+xmm.rm, xmm', (e, a, b) => e.v128.shuffle(a, b, lanes(4, 4, 1, 2, 3)), sse('SSE')),
  row('MOVSS', 'F3 0F 11 /r', '=m32, xmm:i32', same, sse('SSE')),
  row('MOVSD', 'F2 0F 10 /r', '=xmm:i64, xmm.rm:i64', same, sse('SSE2')),
  row('MOVSD', 'F2 0F 10 /r', '=xmm, m64', low64, sse('SSE2')),
  row('MOVSD', 'F2 0F 11 /r', '=xmm.rm:i64, xmm:i64', same, sse('SSE2')),
  row('MOVSD', 'F2 0F 11 /r', '=m64, xmm:i64', same, sse('SSE2')),
  row('MOVD', '66 0F 6E /r', '=xmm, r/m32', low32, sse('SSE2')),
  row('MOVQ', '66 REX.W + 0F 6E /r', '=xmm, r/m64', low64, sse('SSE2')),
  row('MOVD', '66 0F 7E /r', '=r/m32, xmm:i32', same, sse('SSE2')),
  row('MOVQ', '66 REX.W + 0F 7E /r', '=r/m64, xmm:i64', same, sse('SSE2')),
  row('MOVQ', 'F3 0F 7E /r', '=xmm, xmm/m64:i64', low64, sse('SSE2')),
  row('MOVQ', '66 0F D6 /r', '=xmm.rm, xmm:i64', low64, sse('SSE2')),
  row('MOVQ', '66 0F D6 /r', '=m64, xmm:i64', same, sse('SSE2')),

  // halves
  row('MOVLPS', 'NP 0F 12 /r', '=xmm:i64, m64', same, sse('SSE')),
  row('MOVHLPS', 'NP 0F 12 /r', '=xmm:i64, xmm.rm', high64, sse('SSE')),
  row('MOVLPS', 'NP 0F 13 /r', '=m64, xmm:i64', same, sse('SSE')),
  row('MOVLPD', '66 0F 12 /r', '=xmm:i64, m64', same, sse('SSE2')),
  row('MOVLPD', '66 0F 13 /r', '=m64, xmm:i64', same, sse('SSE2')),
  row('MOVHPS', 'NP 0F 16 /r', '+xmm, m64', putHigh, sse('SSE')),
  row('MOVLHPS', 'NP 0F 16 /r', '+xmm, xmm.rm:i64', putHigh, sse('SSE')),
  row('MOVHPS', 'NP 0F 17 /r', '=m64, xmm', high64, sse('SSE')),
  row('MOVHPD', '66 0F 16 /r', '+xmm, m64', putHigh, sse('SSE2')),
  row('MOVHPD', '66 0F 17 /r', '=m64, xmm', high64, sse('SSE2')),
  row('MOVDDUP', 'F2 0F 12 /r', '=xmm, xmm/m64:i64', (e, v) => e.i64x2.splat(v), sse('SSE3')),
  row('MOVSLDUP', 'F3 0F 12 /r', '=xmm, xmm/m128', (e, v) => e.v128.shuffle(v, v, lanes(4, 0, 0, 2, 2)), sse('SSE3')),
  row('MOVSHDUP', 'F3 0F 16 /r', '=xmm, xmm/m128', (e, v) => e.v128.shuffle(v, v, lanes(4, 1, 1, 3, 3)), sse('SSE3')),

  row('MOVMSKPS', 'NP 0F 50 /r', '=r32, xmm.rm', (e, v) => e.i32x4.bitmask(v), sse('SSE')),
  row('MOVMSKPD', '66 0F 50 /r', '=r32, xmm.rm', (e, v) => e.i64x2.bitmask(v), sse('SSE2')),
  ...psAndPd('UNPCKL', '14', shuffle(4, 0, 4, 1, 5), shuffle(8, 0, 2)),
  ...psAndPd('UNPCKH', '15', shuffle(4, 2, 6, 3, 7), shuffle(8, 1, 3)),
  ...psAndPd(
    'AND',
    '54',
    (e, a, b) => e.v128.and(a, b),
    (e, a, b) => e.v128.and(a, b),
  ),
  ...psAndPd(
    'ANDN',
    '55',
    (e, a, b) => e.v128.andnot(b, a),
    (e, a, b) => e.v128.andnot(b, a),
  ),
  ...psAndPd(
    'OR',
    '56',
    (e, a, b) => e.v128.or(a, b),
    (e, a, b) => e.v128.or(a, b),
  ),
  ...psAndPd(
    'XOR',
    '57',
    (e, a, b) => e.v128.xor(a, b),
    (e, a, b) => e.v128.xor(a, b),
  ),
  row('SHUFPS', 'NP 0F C6 /r ib', '+xmm, xmm/m128, imm8', SHUFPS, sse('SSE')),
  row('SHUFPD', '66 0F C6 /r ib', '+xmm, xmm/m128, imm8', SHUFPD, sse('SSE2')),

  row('BLENDPS', '66 0F 3A 0C /r ib', '+xmm, xmm/m128, imm8', (e, a, b, n) => e.v128.bitselect(b, a, e.i32x4.mask(n)), sse('SSE4.1')),
  row('BLENDPD', '66 0F 3A 0D /r ib', '+xmm, xmm/m128, imm8', (e, a, b, n) => e.v128.bitselect(b, a, e.i64x2.mask(n)), sse('SSE4.1')),
  row(
    'BLENDVPS',
    '66 0F 38 14 /r',
    '+xmm, xmm/m128, <XMM0>',
    (e, a, b, m) => e.v128.bitselect(b, a, e.i32x4.gtS(e.v128.zero, m)),
    sse('SSE4.1'),
  ),
  row(
    'BLENDVPD',
    '66 0F 38 15 /r',
    '+xmm, xmm/m128, <XMM0>',
    (e, a, b, m) => e.v128.bitselect(b, a, e.i64x2.gtS(e.v128.zero, m)),
    sse('SSE4.1'),
  ),
  row(
    'INSERTPS',
    '66 0F 3A 21 /r ib',
    '+xmm, xmm.rm, imm8',
    (e, a, b, n) => insert(e, a, e.i32x4.at(b, e.shr(n, e.k(8, 6))), n),
    sse('SSE4.1'),
  ),
  row('INSERTPS', '66 0F 3A 21 /r ib', '+xmm, m32, imm8', insert, sse('SSE4.1')),
  row('EXTRACTPS', '66 0F 3A 17 /r ib', '=r/m32, xmm, imm8', (e, a, n) => e.i32x4.at(a, n), sse('SSE4.1')),
]

// Floating-point arithmetic and comparison on XMM registers: SSE, SSE2, SSE3, SSE4.1 (SDM vol. 2A, 2B; MXCSR: vol. 1, 10.2.3, 11.5).

import type { E } from './context.ts'
import { row, type Row } from './row.ts'
import { lanes, sse } from './sse-family.ts'
import type { Done, OpSize, V128, Val } from './value.ts'

type Operation = 'add' | 'sub' | 'mul' | 'div' | 'min' | 'max'
/** The PS, PD, SS and SD forms. */
const binary = (name: string, opcode: string, op: Operation): Row[] => [
  row(`${name}PS`, `NP 0F ${opcode} /r`, '+xmm, xmm/m128', (e, a, b) => e.f32x4[op](a, b), sse('SSE')),
  row(`${name}PD`, `66 0F ${opcode} /r`, '+xmm, xmm/m128', (e, a, b) => e.f64x2[op](a, b), sse('SSE2')),
  row(`${name}SS`, `F3 0F ${opcode} /r`, '+xmm:f32, xmm/m32:f32', (e, a, b) => e.f32[op](a, b), sse('SSE')),
  row(`${name}SD`, `F2 0F ${opcode} /r`, '+xmm:f64, xmm/m64:f64', (e, a, b) => e.f64[op](a, b), sse('SSE2')),
]

const compared = <W extends OpSize>(e: E<W>, r: Val<32>): Done =>
  e.flags({ CF: e.bit(r, 0), PF: e.bit(r, 1), ZF: e.bit(r, 2), SF: e.no, OF: e.no, AF: e.no })

const even32 = lanes(4, 0, 2, 4, 6)
const odd32 = lanes(4, 1, 3, 5, 7)
const even64 = lanes(8, 0, 2)
const odd64 = lanes(8, 1, 3)

/** Products where the immediate's high bits select (elsewhere 0 · 0, which raises nothing), pairwise sums, kept where its low bits select. */
const DPPS = <W extends OpSize>(e: E<W>, a: V128, b: V128, n: Val<8>): V128 => {
  const selected = e.i32x4.mask(e.shr(n, e.k(8, 4)))
  const products = e.f32x4.mul(e.v128.and(a, selected), e.v128.and(b, selected))
  const pairs = e.f32x4.add(
    e.v128.shuffle(products, products, lanes(4, 0, 2, 0, 2)),
    e.v128.shuffle(products, products, lanes(4, 1, 3, 1, 3)),
  )
  const total = e.f32x4.add(e.v128.shuffle(pairs, pairs, lanes(4, 0, 0, 0, 0)), e.v128.shuffle(pairs, pairs, lanes(4, 1, 1, 1, 1)))
  return e.v128.and(total, e.i32x4.mask(n))
}
const DPPD = <W extends OpSize>(e: E<W>, a: V128, b: V128, n: Val<8>): V128 => {
  const selected = e.i64x2.mask(e.shr(n, e.k(8, 4)))
  const products = e.f64x2.mul(e.v128.and(a, selected), e.v128.and(b, selected))
  const total = e.f64x2.add(e.v128.shuffle(products, products, lanes(8, 0, 0)), e.v128.shuffle(products, products, lanes(8, 1, 1)))
  return e.v128.and(total, e.i64x2.mask(n))
}

export const sseFloat: readonly Row[] = [
  ...binary('ADD', '58', 'add'),
  ...binary('MUL', '59', 'mul'),
  ...binary('SUB', '5C', 'sub'),
  ...binary('MIN', '5D', 'min'),
  ...binary('DIV', '5E', 'div'),
  ...binary('MAX', '5F', 'max'),
  row('SQRTPS', 'NP 0F 51 /r', '=xmm, xmm/m128', (e, a) => e.f32x4.sqrt(a), sse('SSE')),
  row('SQRTPD', '66 0F 51 /r', '=xmm, xmm/m128', (e, a) => e.f64x2.sqrt(a), sse('SSE2')),
  row('SQRTSS', 'F3 0F 51 /r', '=xmm:f32, xmm/m32:f32', (e, a) => e.f32.sqrt(a), sse('SSE')),
  row('SQRTSD', 'F2 0F 51 /r', '=xmm:f64, xmm/m64:f64', (e, a) => e.f64.sqrt(a), sse('SSE2')),
  row('RSQRTPS', 'NP 0F 52 /r', '=xmm, xmm/m128', (e, a) => e.call('rsqrtps', a), sse('SSE')),
  row('RSQRTSS', 'F3 0F 52 /r', '=xmm:f32, xmm/m32:f32', (e, a) => e.call('rsqrtss', a), sse('SSE')),
  row('RCPPS', 'NP 0F 53 /r', '=xmm, xmm/m128', (e, a) => e.call('rcpps', a), sse('SSE')),
  row('RCPSS', 'F3 0F 53 /r', '=xmm:f32, xmm/m32:f32', (e, a) => e.call('rcpss', a), sse('SSE')),
  row('CMPPS', 'NP 0F C2 /r ib', '+xmm, xmm/m128, imm8', (e, a, b, n) => e.f32x4.compare(a, b, n), sse('SSE')),
  row('CMPPD', '66 0F C2 /r ib', '+xmm, xmm/m128, imm8', (e, a, b, n) => e.f64x2.compare(a, b, n), sse('SSE2')),
  row('CMPSS', 'F3 0F C2 /r ib', '+xmm:f32, xmm/m32:f32, imm8', (e, a, b, n) => e.f32.ofBits(e.f32.compare(a, b, n)), sse('SSE')),
  row('CMPSD', 'F2 0F C2 /r ib', '+xmm:f64, xmm/m64:f64, imm8', (e, a, b, n) => e.f64.ofBits(e.f64.compare(a, b, n)), sse('SSE2')),
  row('UCOMISS', 'NP 0F 2E /r', 'xmm:f32, xmm/m32:f32', (e, a, b) => compared(e, e.f32.order(a, b, true)), sse('SSE')),
  row('UCOMISD', '66 0F 2E /r', 'xmm:f64, xmm/m64:f64', (e, a, b) => compared(e, e.f64.order(a, b, true)), sse('SSE2')),
  row('COMISS', 'NP 0F 2F /r', 'xmm:f32, xmm/m32:f32', (e, a, b) => compared(e, e.f32.order(a, b, false)), sse('SSE')),
  row('COMISD', '66 0F 2F /r', 'xmm:f64, xmm/m64:f64', (e, a, b) => compared(e, e.f64.order(a, b, false)), sse('SSE2')),
  row('ADDSUBPS', 'F2 0F D0 /r', '+xmm, xmm/m128', (e, a, b) => e.f32x4.addsub(a, b), sse('SSE3')),
  row('ADDSUBPD', '66 0F D0 /r', '+xmm, xmm/m128', (e, a, b) => e.f64x2.addsub(a, b), sse('SSE3')),
  row(
    'HADDPS',
    'F2 0F 7C /r',
    '+xmm, xmm/m128',
    (e, a, b) => e.f32x4.add(e.v128.shuffle(a, b, even32), e.v128.shuffle(a, b, odd32)),
    sse('SSE3'),
  ),
  row(
    'HADDPD',
    '66 0F 7C /r',
    '+xmm, xmm/m128',
    (e, a, b) => e.f64x2.add(e.v128.shuffle(a, b, even64), e.v128.shuffle(a, b, odd64)),
    sse('SSE3'),
  ),
  row(
    'HSUBPS',
    'F2 0F 7D /r',
    '+xmm, xmm/m128',
    (e, a, b) => e.f32x4.sub(e.v128.shuffle(a, b, even32), e.v128.shuffle(a, b, odd32)),
    sse('SSE3'),
  ),
  row(
    'HSUBPD',
    '66 0F 7D /r',
    '+xmm, xmm/m128',
    (e, a, b) => e.f64x2.sub(e.v128.shuffle(a, b, even64), e.v128.shuffle(a, b, odd64)),
    sse('SSE3'),
  ),
  row('DPPS', '66 0F 3A 40 /r ib', '+xmm, xmm/m128, imm8', DPPS, sse('SSE4.1')),
  row('DPPD', '66 0F 3A 41 /r ib', '+xmm, xmm/m128, imm8', DPPD, sse('SSE4.1')),
  row('ROUNDPS', '66 0F 3A 08 /r ib', '=xmm, xmm/m128, imm8', (e, a, n) => e.f32x4.round(a, n), sse('SSE4.1')),
  row('ROUNDPD', '66 0F 3A 09 /r ib', '=xmm, xmm/m128, imm8', (e, a, n) => e.f64x2.round(a, n), sse('SSE4.1')),
  row('ROUNDSS', '66 0F 3A 0A /r ib', '=xmm:f32, xmm/m32:f32, imm8', (e, a, n) => e.f32.round(a, n), sse('SSE4.1')),
  row('ROUNDSD', '66 0F 3A 0B /r ib', '=xmm:f64, xmm/m64:f64, imm8', (e, a, n) => e.f64.round(a, n), sse('SSE4.1')),
]

// Conversions between floating-point formats and integers: SSE, SSE2 (SDM vol. 2A: CVT…). CVTT… truncates, CVT… rounds by MXCSR.

import type { E } from './context.ts'
import { row, type Row } from './row.ts'
import { sse, sseAndMmx } from './sse-family.ts'
import type { OpSize, V128, Val } from './value.ts'

/** A quadword with nothing above it, so that the high lanes raise nothing. */
const low = <W extends OpSize>(e: E<W>, v: Val<64>): V128 => e.i64x2.make(v, e.k(64, 0))
const toMm = <W extends OpSize>(e: E<W>, v: V128): Val<64> => {
  e.mmxEnter()
  return e.i64x2.extract(v, 0)
}

const toGeneral = (mnemonic: string, opcode: string, truncate: boolean): Row[] => [
  row(mnemonic.replace('F', 'SS'), `F3 0F ${opcode} /r`, '=r32, xmm/m32:f32', (e, a) => e.f32.toInt32(a, truncate), sse('SSE')),
  row(mnemonic.replace('F', 'SS'), `F3 REX.W + 0F ${opcode} /r`, '=r64, xmm/m32:f32', (e, a) => e.f32.toInt64(a, truncate), sse('SSE')),
  row(mnemonic.replace('F', 'SD'), `F2 0F ${opcode} /r`, '=r32, xmm/m64:f64', (e, a) => e.f64.toInt32(a, truncate), sse('SSE2')),
  row(mnemonic.replace('F', 'SD'), `F2 REX.W + 0F ${opcode} /r`, '=r64, xmm/m64:f64', (e, a) => e.f64.toInt64(a, truncate), sse('SSE2')),
]

export const sseConvert: readonly Row[] = [
  row('CVTSI2SS', 'F3 0F 2A /r', '=xmm:f32, r/m32', (e, a) => e.f32.fromInt32(a), sse('SSE')),
  row('CVTSI2SS', 'F3 REX.W + 0F 2A /r', '=xmm:f32, r/m64', (e, a) => e.f32.fromInt64(a), sse('SSE')),
  row('CVTSI2SD', 'F2 0F 2A /r', '=xmm:f64, r/m32', (e, a) => e.f64.fromInt32(a), sse('SSE2')),
  row('CVTSI2SD', 'F2 REX.W + 0F 2A /r', '=xmm:f64, r/m64', (e, a) => e.f64.fromInt64(a), sse('SSE2')),
  ...toGeneral('CVTTF2SI', '2C', true),
  ...toGeneral('CVTF2SI', '2D', false),

  row('CVTSS2SD', 'F3 0F 5A /r', '=xmm:f64, xmm/m32:f32', (e, a) => e.f64.fromF32(a), sse('SSE2')),
  row('CVTSD2SS', 'F2 0F 5A /r', '=xmm:f32, xmm/m64:f64', (e, a) => e.f32.fromF64(a), sse('SSE2')),
  row('CVTPS2PD', 'NP 0F 5A /r', '=xmm, xmm/m64:i64', (e, a) => e.f64x2.fromF32x4(low(e, a)), sse('SSE2')),
  row('CVTPD2PS', '66 0F 5A /r', '=xmm, xmm/m128', (e, a) => e.f32x4.fromF64x2(a), sse('SSE2')),
  row('CVTDQ2PS', 'NP 0F 5B /r', '=xmm, xmm/m128', (e, a) => e.f32x4.fromInt32(a), sse('SSE2')),
  row('CVTPS2DQ', '66 0F 5B /r', '=xmm, xmm/m128', (e, a) => e.f32x4.toInt32(a, false), sse('SSE2')),
  row('CVTTPS2DQ', 'F3 0F 5B /r', '=xmm, xmm/m128', (e, a) => e.f32x4.toInt32(a, true), sse('SSE2')),
  row('CVTDQ2PD', 'F3 0F E6 /r', '=xmm, xmm/m64:i64', (e, a) => e.f64x2.fromInt32(low(e, a)), sse('SSE2')),
  row('CVTPD2DQ', 'F2 0F E6 /r', '=xmm, xmm/m128', (e, a) => e.f64x2.toInt32(a, false), sse('SSE2')),
  row('CVTTPD2DQ', '66 0F E6 /r', '=xmm, xmm/m128', (e, a) => e.f64x2.toInt32(a, true), sse('SSE2')),

  row(
    'CVTPI2PS',
    'NP 0F 2A /r',
    '=xmm:i64, mm/m64',
    (e, a) => {
      e.mmxEnter()
      return e.i64x2.extract(e.f32x4.fromInt32(low(e, a)), 0)
    },
    sseAndMmx('SSE'),
  ),
  row(
    'CVTPI2PD',
    '66 0F 2A /r',
    '=xmm, mm.rm',
    (e, a) => {
      e.mmxEnter()
      return e.f64x2.fromInt32(low(e, a))
    },
    sseAndMmx('SSE2'),
  ),
  // from memory it leaves the x87 alone (SDM vol. 2A, CVTPI2PD)
  row('CVTPI2PD', '66 0F 2A /r', '=xmm, m64', (e, a) => e.f64x2.fromInt32(low(e, a)), sse('SSE2')),
  row('CVTTPS2PI', 'NP 0F 2C /r', '=mm, xmm/m64:i64', (e, a) => toMm(e, e.f32x4.toInt32(low(e, a), true)), sseAndMmx('SSE')),
  row('CVTPS2PI', 'NP 0F 2D /r', '=mm, xmm/m64:i64', (e, a) => toMm(e, e.f32x4.toInt32(low(e, a), false)), sseAndMmx('SSE')),
  row('CVTTPD2PI', '66 0F 2C /r', '=mm, xmm/m128', (e, a) => toMm(e, e.f64x2.toInt32(a, true)), sseAndMmx('SSE2')),
  row('CVTPD2PI', '66 0F 2D /r', '=mm, xmm/m128', (e, a) => toMm(e, e.f64x2.toInt32(a, false)), sseAndMmx('SSE2')),
]

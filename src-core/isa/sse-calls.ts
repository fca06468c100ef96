// Calls of the SSE rows: the soft-float that serves rounding modes, exceptions and denormals where native arithmetic cannot,
// and the instructions that are tables or loops. Implemented by cpu/sse/calls.ts.

import type { Signature } from './calls.ts'

const ps2 = { in: ['v128', 'v128'], out: ['v128'], faults: true } as const
const ss2 = { in: ['f32', 'f32'], out: ['f32'], faults: true } as const
const sd2 = { in: ['f64', 'f64'], out: ['f64'], faults: true } as const
const ps1 = { in: ['v128'], out: ['v128'], faults: true } as const
const compared = { in: ['v128', 'v128', 'i32'], out: ['v128'], faults: true } as const
const controlled = { in: ['v128', 'i32'], out: ['v128'], faults: true } as const

export const sseCalls = {
  addps: ps2, addpd: ps2, addss: ss2, addsd: sd2,
  subps: ps2, subpd: ps2, subss: ss2, subsd: sd2,
  mulps: ps2, mulpd: ps2, mulss: ss2, mulsd: sd2,
  divps: ps2, divpd: ps2, divss: ss2, divsd: sd2,
  minps: ps2, minpd: ps2, minss: ss2, minsd: sd2,
  maxps: ps2, maxpd: ps2, maxss: ss2, maxsd: sd2,
  sqrtps: ps1, sqrtpd: ps1,
  sqrtss: { in: ['f32'], out: ['f32'], faults: true },
  sqrtsd: { in: ['f64'], out: ['f64'], faults: true },
  addsubps: ps2, addsubpd: ps2,
  // with the predicate; a scalar's mask as an integer
  cmpps: compared, cmppd: compared,
  cmpss: { in: ['f32', 'f32', 'i32'], out: ['i32'], faults: true },
  cmpsd: { in: ['f64', 'f64', 'i32'], out: ['i64'], faults: true },
  // third: 1 for UCOMIxx; result: CF bit 0, PF bit 1, ZF bit 2
  comiss: { in: ['f32', 'f32', 'i32'], out: ['i32'], faults: true },
  comisd: { in: ['f64', 'f64', 'i32'], out: ['i32'], faults: true },
  // with the immediate
  roundps: controlled, roundpd: controlled,
  roundss: { in: ['f32', 'i32'], out: ['f32'], faults: true },
  roundsd: { in: ['f64', 'i32'], out: ['f64'], faults: true },
  rcpps: { in: ['v128'], out: ['v128'] },
  rcpss: { in: ['f32'], out: ['f32'] },
  rsqrtps: { in: ['v128'], out: ['v128'] },
  rsqrtss: { in: ['f32'], out: ['f32'] },
  cvtdq2ps: ps1,
  cvtsi2ss32: { in: ['i32'], out: ['f32'], faults: true },
  cvtsi2ss64: { in: ['i64'], out: ['f32'], faults: true },
  cvtsi2sd64: { in: ['i64'], out: ['f64'], faults: true },
  cvtss2sd: { in: ['f32'], out: ['f64'], faults: true },
  cvtsd2ss: { in: ['f64'], out: ['f32'], faults: true },
  cvtps2pd: ps1, cvtpd2ps: ps1,
  // second: 1 truncates (CVTTxx)
  cvtps2dq: controlled, cvtpd2dq: controlled,
  cvtss2si32: { in: ['f32', 'i32'], out: ['i32'], faults: true },
  cvtss2si64: { in: ['f32', 'i32'], out: ['i64'], faults: true },
  cvtsd2si32: { in: ['f64', 'i32'], out: ['i32'], faults: true },
  cvtsd2si64: { in: ['f64', 'i32'], out: ['i64'], faults: true },
  // control word as in cpu/sse/string.ts; results: mask, then flags and index
  pcmpstr: { in: ['v128', 'v128', 'i32'], out: ['v128', 'i32'] },
  // sum, data, bytes of data
  crc32: { in: ['i32', 'i64', 'i32'], out: ['i32'] },
} as const satisfies Record<string, Signature>

// The functions behind `sseCalls` (isa/sse-calls.ts): operands in the processor's call slots, 0 or a vector returned.

import type { sseCalls } from '../../isa/sse-calls.ts'
import type { ProcessorState } from '../../isa/state.ts'
import { approximate } from './approximate.ts'
import { ADD, alternate, arithmetic, DIV, MAX, MIN, MUL, SQRT, SUB } from './arithmetic.ts'
import { compare, order } from './compare.ts'
import { fromInteger32, fromInteger64, resize, roundIntegral, toInteger } from './convert.ts'
import { crc32 } from './crc32.ts'
import { compareStrings } from './string.ts'

export type CallImplementation = (s: ProcessorState) => number

/** Name → function. It reads its arguments from `scratch`, slot by slot, and leaves results there from slot 0. */
export const sseImplementations = {
  addps: (s) => arithmetic(s, ADD, true, 4),
  addpd: (s) => arithmetic(s, ADD, false, 2),
  addss: (s) => arithmetic(s, ADD, true, 1),
  addsd: (s) => arithmetic(s, ADD, false, 1),
  subps: (s) => arithmetic(s, SUB, true, 4),
  subpd: (s) => arithmetic(s, SUB, false, 2),
  subss: (s) => arithmetic(s, SUB, true, 1),
  subsd: (s) => arithmetic(s, SUB, false, 1),
  mulps: (s) => arithmetic(s, MUL, true, 4),
  mulpd: (s) => arithmetic(s, MUL, false, 2),
  mulss: (s) => arithmetic(s, MUL, true, 1),
  mulsd: (s) => arithmetic(s, MUL, false, 1),
  divps: (s) => arithmetic(s, DIV, true, 4),
  divpd: (s) => arithmetic(s, DIV, false, 2),
  divss: (s) => arithmetic(s, DIV, true, 1),
  divsd: (s) => arithmetic(s, DIV, false, 1),
  minps: (s) => arithmetic(s, MIN, true, 4),
  minpd: (s) => arithmetic(s, MIN, false, 2),
  minss: (s) => arithmetic(s, MIN, true, 1),
  minsd: (s) => arithmetic(s, MIN, false, 1),
  maxps: (s) => arithmetic(s, MAX, true, 4),
  maxpd: (s) => arithmetic(s, MAX, false, 2),
  maxss: (s) => arithmetic(s, MAX, true, 1),
  maxsd: (s) => arithmetic(s, MAX, false, 1),
  sqrtps: (s) => arithmetic(s, SQRT, true, 4),
  sqrtpd: (s) => arithmetic(s, SQRT, false, 2),
  sqrtss: (s) => arithmetic(s, SQRT, true, 1),
  sqrtsd: (s) => arithmetic(s, SQRT, false, 1),
  addsubps: (s) => alternate(s, true),
  addsubpd: (s) => alternate(s, false),
  cmpps: (s) => compare(s, true, 4),
  cmppd: (s) => compare(s, false, 2),
  cmpss: (s) => compare(s, true, 1),
  cmpsd: (s) => compare(s, false, 1),
  comiss: (s) => order(s, true),
  comisd: (s) => order(s, false),
  roundps: (s) => roundIntegral(s, true, 4),
  roundpd: (s) => roundIntegral(s, false, 2),
  roundss: (s) => roundIntegral(s, true, 1),
  roundsd: (s) => roundIntegral(s, false, 1),
  rcpps: (s) => approximate(s, 4, false),
  rcpss: (s) => approximate(s, 1, false),
  rsqrtps: (s) => approximate(s, 4, true),
  rsqrtss: (s) => approximate(s, 1, true),
  cvtdq2ps: (s) => fromInteger32(s, 4),
  cvtsi2ss32: (s) => fromInteger32(s, 1),
  cvtsi2ss64: (s) => fromInteger64(s, true),
  cvtsi2sd64: (s) => fromInteger64(s, false),
  cvtss2sd: (s) => resize(s, false, 1, 2),
  cvtsd2ss: (s) => resize(s, true, 1, 1),
  cvtps2pd: (s) => resize(s, false, 2, 4),
  cvtpd2ps: (s) => resize(s, true, 2, 4),
  cvtps2dq: (s) => toInteger(s, true, 4, 32, 4),
  cvtpd2dq: (s) => toInteger(s, false, 2, 32, 4),
  cvtss2si32: (s) => toInteger(s, true, 1, 32, 1),
  cvtss2si64: (s) => toInteger(s, true, 1, 64, 2),
  cvtsd2si32: (s) => toInteger(s, false, 1, 32, 1),
  cvtsd2si64: (s) => toInteger(s, false, 1, 64, 2),
  pcmpstr: compareStrings,
  crc32,
} satisfies Record<keyof typeof sseCalls, CallImplementation>

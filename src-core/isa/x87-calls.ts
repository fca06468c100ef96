// Calls of the x87 rows: soft-float over the register stack held in the processor block.
// `i` arguments are stack indices; a stored value comes with a flag, 0 = an unmasked exception forbids the store.

import type { CallType, Signature } from './calls.ts'

const sig = <const I extends readonly CallType[], const O extends readonly CallType[]>(inputs: I, out: O) => ({ in: inputs, out }) as const
const none = sig([], [])
const word = sig(['i32'], [])
const long = sig(['i64'], [])
/** An 80-bit operand: significand, then sign and exponent in the low 16 bits. */
const ten = sig(['i64', 'i32'], [])
const gives = sig([], ['i32'])
/** EFLAGS of FCOMI: bits 0 CF, 2 PF, 6 ZF; bit 7 set: they stay (unmasked #IA). */
const asksFlags = sig(['i32'], ['i32'])
/** The value and, in bit 0 of the second result, whether to store it. */
const stores32 = sig([], ['i32', 'i32'])
const stores64 = sig([], ['i64', 'i32'])
/** Significand; sign and exponent with the store flag in bit 16. */
const stores80 = stores64
/** May raise #NM or #MF. */
const waits = { in: [], out: [], faults: true } as const

export const x87Calls = {
  // ST(0) = ST(0) op ST(i) · ST(i) = ST(i) op ST(0), then popping · memory as single, double, integer
  fadd: word, faddTo: word, faddPop: word, faddM32: word, faddM64: long, fiadd: word,
  fmul: word, fmulTo: word, fmulPop: word, fmulM32: word, fmulM64: long, fimul: word,
  fsub: word, fsubTo: word, fsubPop: word, fsubM32: word, fsubM64: long, fisub: word,
  fsubr: word, fsubrTo: word, fsubrPop: word, fsubrM32: word, fsubrM64: long, fisubr: word,
  fdiv: word, fdivTo: word, fdivPop: word, fdivM32: word, fdivM64: long, fidiv: word,
  fdivr: word, fdivrTo: word, fdivrPop: word, fdivrM32: word, fdivrM64: long, fidivr: word,
  // comparison
  fcom: word, fcomp: word, fcompp: none, fucom: word, fucomp: word, fucompp: none, ftst: none, fxam: none,
  fcomM32: word, fcompM32: word, fcomM64: long, fcompM64: long, ficom: word, ficomp: word,
  fcomi: asksFlags, fcomip: asksFlags, fucomi: asksFlags, fucomip: asksFlags,
  // loads
  fld: word, fldM32: word, fldM64: long, fldM80: ten, fild: word, fildM64: long, fbld: ten,
  fld1: none, fldl2t: none, fldl2e: none, fldpi: none, fldlg2: none, fldln2: none, fldz: none,
  // stores
  fst: word, fstp: word, fstpnce: word, fstM32: stores32, fstpM32: stores32, fstM64: stores64, fstpM64: stores64, fstpM80: stores80,
  fistM16: stores32, fistpM16: stores32, fistM32: stores32, fistpM32: stores32, fistpM64: stores64, fbstp: stores80,
  fisttpM16: stores32, fisttpM32: stores32, fisttpM64: stores64,
  // the stack; FCMOVcc takes the condition as its second argument
  fxch: word, ffree: word, ffreep: word, fincstp: none, fdecstp: none, fcmov: sig(['i32', 'i32'], []),
  // one and two operands on the stack
  fabs: none, fchs: none, fsqrt: none, fscale: none, frndint: none, fxtract: none, fprem: none, fprem1: none,
  f2xm1: none, fyl2x: none, fyl2xp1: none, fptan: none, fpatan: none, fsin: none, fcos: none, fsincos: none,
  // control
  fninit: none, fnclex: none, fldcw: word, fnstcw: gives, fnstsw: gives, fnop: none, fwait: waits, stmxcsr: gives,
} as const satisfies Record<string, Signature>

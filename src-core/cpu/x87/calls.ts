// The x87 rows' calls (isa/x87-calls.ts): arguments and results in scratch slots, everything else in the processor block.
// SDM 1 8.3 (instructions), 8.5 (exceptions), 8.1.3.3 (condition codes). The result is 0 or the vector to raise.

import type { x87Calls } from '../../isa/x87-calls.ts'
import type { ProcessorState } from '../../isa/state.ts'
import { updateAvailability, waitVector } from './availability.ts'
import { fromDouble, fromInt32, fromSingle } from './convert.ts'
import { Order, add, compare, div, divr, mul, ordering, sqrt, sub, subr, type Operation } from './arithmetic.ts'
import { C1, DE, IE, Z, ZE, give, indefinite, isNaN80 } from './float80.ts'
import { exponent, extract, remainderOf, roundToIntegral, scale } from './remainder.ts'
import { arctan, cos, exponential, second, sin, sincos, tan, ylog2x, ylog2xp1 } from './transcendental.ts'
import { classify, loads, on, stackCalls, stores } from './transfer.ts'
import {
  C2, FCW, FPR, FSW, SF, SLOT0, arithmetic, arithmeticMemory, bind, conclude, occupied, physical, pop, put, signal, summarize, take, underflow,
  withDenormal,
} from './unit.ts'

type Call = (s: ProcessorState) => number
/** ST(0) with ST(i), and ST(i) with ST(0) with or without a pop. */
const st = (operation: Operation): Call => (s) => {
  const w = bind(s)
  return arithmetic(w, operation, w[SLOT0]!, false, false)
}
const to = (operation: Operation): Call => (s) => {
  const w = bind(s)
  return arithmetic(w, operation, w[SLOT0]!, true, false)
}
const toPop = (operation: Operation): Call => (s) => {
  const w = bind(s)
  return arithmetic(w, operation, w[SLOT0]!, true, true)
}
const single = (operation: Operation): Call => (s) => {
  const w = bind(s)
  return arithmeticMemory(w, operation, fromSingle(w[SLOT0]!))
}
const double = (operation: Operation): Call => (s) => {
  const w = bind(s)
  return arithmeticMemory(w, operation, fromDouble(w[SLOT0]!, w[SLOT0 + 1]!))
}
const integer = (operation: Operation): Call => (s) => {
  const w = bind(s)
  fromInt32(w[SLOT0]!)
  return arithmeticMemory(w, operation, 0)
}

const codes = (w: Int32Array, code: number): void => {
  w[FSW] = (w[FSW]! & ~0x4500) | code
}
/** ST(0) : Z. `pops` registers leave the stack unless an exception is unmasked. */
function compareZ(w: Int32Array, quietly: boolean, pops: number, converting: number): void {
  const p = physical(w, 0)
  let flags = IE | SF
  let code: number = Order.unordered
  if (occupied(w, p)) {
    const a = FPR + p * 4
    flags = compare(w[a]!, w[a + 1]!, w[a + 2]! & 0xffff, Z[0]!, Z[1]!, Z[2]! & 0xffff, quietly)
    code = ordering()
    flags = code === Order.unordered ? flags : withDenormal(flags, converting, 0, 0, w[FCW]!)
  }
  settle(w, flags, code, pops)
}
function settle(w: Int32Array, flags: number, code: number, pops: number): void {
  const unmasked = signal(w, flags) & (IE | DE)
  codes(w, code)
  if (unmasked) return
  for (let i = 0; i < pops; i++) pop(w)
}
function compareStack(w: Int32Array, i: number, quietly: boolean, pops: number): void {
  const q = physical(w, i)
  if (!occupied(w, q)) return settle(w, IE | SF, Order.unordered, pops)
  take(w, q)
  compareZ(w, quietly, pops, 0)
}
const com = (quietly: boolean, pops: number) => on((w) => compareStack(w, w[SLOT0]!, quietly, pops))
const comSingle = (pops: number) => on((w) => {
  const de = fromSingle(w[SLOT0]!)
  compareZ(w, false, pops, de)
})
const comDouble = (pops: number) => on((w) => {
  const de = fromDouble(w[SLOT0]!, w[SLOT0 + 1]!)
  compareZ(w, false, pops, de)
})
const comInteger = (pops: number) => on((w) => {
  fromInt32(w[SLOT0]!)
  compareZ(w, false, pops, 0)
})
/** FCOMI and relatives: CF, PF, ZF in bits 0, 2, 6; bit 7 when they stay. The condition codes do not change. */
const comFlags = (quietly: boolean, popping: boolean) => on((w) => {
  const p = physical(w, 0)
  const q = physical(w, w[SLOT0]!)
  let flags = IE | SF
  let code: number = Order.unordered
  if (occupied(w, p) && occupied(w, q)) {
    const a = FPR + p * 4
    const b = FPR + q * 4
    flags = compare(w[a]!, w[a + 1]!, w[a + 2]! & 0xffff, w[b]!, w[b + 1]!, w[b + 2]! & 0xffff, quietly)
    code = ordering()
  }
  const unmasked = signal(w, flags) & (IE | DE)
  w[SLOT0] = unmasked & IE && !(flags & SF) ? 0x80 : code >> 8
  if (popping && !unmasked) pop(w)
})

type Unary = (lo: number, hi: number, se: number, fcw: number) => number
/** ST(0) = f(ST(0)); C2 follows f when `partial`. */
const unary = (f: Unary, partial = false) => on((w) => {
  const p = physical(w, 0)
  if (partial) w[FSW] = w[FSW]! & ~C2
  if (!occupied(w, p)) {
    if (underflow(w)) put(w, p)
    return
  }
  const at = FPR + p * 4
  conclude(w, f(w[at]!, w[at + 1]!, w[at + 2]! & 0xffff, w[FCW]!), p, false)
})
/** ST(1) = f(ST(0), ST(1)), popping; without popping the result goes to ST(0). */
const binary = (f: Operation, popping: boolean, quotient = false) => on((w) => {
  const p = physical(w, 0)
  const q = physical(w, 1)
  const d = popping ? q : p
  if (quotient) w[FSW] = w[FSW]! & ~C2
  if (!occupied(w, p) || !occupied(w, q)) {
    if (underflow(w)) {
      put(w, d)
      if (popping) pop(w)
    }
    return
  }
  const a = FPR + p * 4
  const b = FPR + q * 4
  const flags = f(w[a]!, w[a + 1]!, w[a + 2]! & 0xffff, w[b]!, w[b + 1]!, w[b + 2]! & 0xffff, w[FCW]!)
  if (quotient && !(flags & DE & ~w[FCW]!) && !isNaN80(Z[0]!, Z[1]!, Z[2]!)) codes(w, 0)
  conclude(w, flags, d, popping)
})
const rem = (nearest: boolean): Operation => (alo, ahi, ase, blo, bhi, bse, fcw) => remainderOf(alo, ahi, ase, blo, bhi, bse, fcw, nearest)

/** ST(0) = first result, then the second, which f leaves in `pushed`, is pushed (FPTAN, FSINCOS, FXTRACT). */
const pushing = (f: Unary, pushed: Int32Array, partial: boolean) => on((w) => {
  const p = physical(w, 0)
  const above = physical(w, 7)
  const full = occupied(w, above)
  if (partial) w[FSW] = w[FSW]! & ~C2
  if (full || !occupied(w, p)) {
    if (signal(w, IE | SF | (full && occupied(w, p) ? C1 : 0)) !== 0) return
    indefinite()
    pushed.set(Z)
  } else {
    const at = FPR + p * 4
    const flags = f(w[at]!, w[at + 1]!, w[at + 2]! & 0xffff, w[FCW]!)
    if (signal(w, flags) & (IE | DE | ZE) || flags & C2) return
  }
  put(w, p)
  give(pushed[0]!, pushed[1]!, pushed[2]!)
  w[FSW] = (w[FSW]! & ~0x3800) | (above << 11)
  put(w, above)
})
const tangent: Unary = (lo, hi, se, fcw) => {
  const flags = tan(lo, hi, se, fcw)
  // a NaN is pushed again, any number leaves 1.0 above it (SDM 2A FPTAN)
  if ((Z[2]! & 0x7fff) === 0x7fff && (Z[1]! & 0x40000000) !== 0) second.set(Z)
  else second.set([0, 0x80000000 | 0, 16383])
  return flags
}
const sineCosine: Unary = (lo, hi, se, fcw) => sincos(lo, hi, se, fcw)
/** FXTRACT leaves the exponent in ST(1) and the significand above. */
const exponentFirst: Unary = (lo, hi, se, fcw) => {
  const flags = extract(lo, hi, se, fcw)
  significand.set(Z)
  give(exponent[0]!, exponent[1]!, exponent[2]!)
  return flags
}
const significand = new Int32Array(3)

const sign = (change: (se: number) => number): Unary => (lo, hi, se) => {
  give(lo, hi, change(se))
  return 0
}

/** State after FNINIT and FNSAVE: registers keep their bits, all tags empty (SDM 2A FINIT). */
export function initialize(s: ProcessorState): void {
  s.fcw = 0x37f
  s.fsw = 0
  s.ftw = 0
  s.fop = 0
  s.fip = 0n
  s.fdp = 0n
  s.fcs = 0
  s.fds = 0
  updateAvailability(s)
}
/** Bits of FCW that exist; bit 6 reads as 1. */
const controlWord = (v: number): number => (v & 0x1f3f) | 0x40

/** Loads the control word: flags it newly unmasks become pending (SDM 2A FLDCW). */
export function loadControl(s: ProcessorState, fcw: number, fsw: number): void {
  s.fcw = controlWord(fcw)
  s.fsw = summarize(s.fcw, fsw & 0xffff)
  updateAvailability(s)
}

/** Implementations of every call in isa/x87-calls.ts. */
export const x87CallImplementations: Record<keyof typeof x87Calls, Call> = {
  fadd: st(add), faddTo: to(add), faddPop: toPop(add), faddM32: single(add), faddM64: double(add), fiadd: integer(add),
  fmul: st(mul), fmulTo: to(mul), fmulPop: toPop(mul), fmulM32: single(mul), fmulM64: double(mul), fimul: integer(mul),
  fsub: st(sub), fsubTo: to(sub), fsubPop: toPop(sub), fsubM32: single(sub), fsubM64: double(sub), fisub: integer(sub),
  fsubr: st(subr), fsubrTo: to(subr), fsubrPop: toPop(subr), fsubrM32: single(subr), fsubrM64: double(subr), fisubr: integer(subr),
  fdiv: st(div), fdivTo: to(div), fdivPop: toPop(div), fdivM32: single(div), fdivM64: double(div), fidiv: integer(div),
  fdivr: st(divr), fdivrTo: to(divr), fdivrPop: toPop(divr), fdivrM32: single(divr), fdivrM64: double(divr), fidivr: integer(divr),
  fcom: com(false, 0), fcomp: com(false, 1), fcompp: on((w) => compareStack(w, 1, false, 2)),
  fucom: com(true, 0), fucomp: com(true, 1), fucompp: on((w) => compareStack(w, 1, true, 2)),
  ftst: on((w) => {
    give(0, 0, 0)
    compareZ(w, false, 0, 0)
  }),
  fxam: on(classify),
  fcomM32: comSingle(0), fcompM32: comSingle(1), fcomM64: comDouble(0), fcompM64: comDouble(1), ficom: comInteger(0), ficomp: comInteger(1),
  fcomi: comFlags(false, false), fcomip: comFlags(false, true), fucomi: comFlags(true, false), fucomip: comFlags(true, true),
  ...loads,
  ...stores,
  ...stackCalls,
  fabs: unary(sign((se) => se & 0x7fff)),
  fchs: unary(sign((se) => se ^ 0x8000)),
  fsqrt: unary(sqrt),
  frndint: unary(roundToIntegral),
  fscale: binary(scale, false),
  fprem: binary(rem(false), false, true),
  fprem1: binary(rem(true), false, true),
  fxtract: pushing(exponentFirst, significand, false),
  f2xm1: unary(exponential),
  fyl2x: binary(ylog2x, true),
  fyl2xp1: binary(ylog2xp1, true),
  fpatan: binary(arctan, true),
  fptan: pushing(tangent, second, true),
  fsincos: pushing(sineCosine, second, true),
  fsin: unary(sin, true),
  fcos: unary(cos, true),
  fninit: (s) => {
    initialize(s)
    return 0
  },
  fnclex: (s) => {
    s.fsw &= 0x7f00
    updateAvailability(s)
    return 0
  },
  fldcw: (s) => {
    loadControl(s, bind(s)[SLOT0]!, s.fsw)
    return 0
  },
  fnstcw: on((w) => {
    w[SLOT0] = w[FCW]! & 0xffff
  }),
  fnstsw: on((w) => {
    w[SLOT0] = w[FSW]! & 0xffff
  }),
  fnop: () => 0,
  fwait: waitVector,
  stmxcsr: (s) => {
    bind(s)[SLOT0] = s.mxcsr
    return 0
  },
}

// Loads, stores, constants and the stack's own instructions (SDM 1 8.3.2 to 8.3.4, 8.5.1.1; SDM 2A FLD … FBSTP, FXCH, FCMOVcc).

import type { ProcessorState } from '../../isa/state.ts'
import { C1, IE, OE, PE, UE, Z, give, indefinite, isUnsupported } from './float80.ts'
import { fromDecimal, fromDouble, fromInt32, fromInt64, fromSingle, quietLoaded, stored, toDecimal, toDouble, toInt, toSingle } from './convert.ts'
import { FCW, FPR, FSW, FTW, SF, SLOT0, SLOT1, bind, occupied, physical, pop, push, put, signal, take, underflow } from './unit.ts'

/** A call over the bound words that raises nothing at once. */
export const on =
  (body: (w: Int32Array) => void) =>
  (s: ProcessorState): number => {
    body(bind(s))
    return 0
  }
const clearC1 = (w: Int32Array): void => {
  w[FSW] = w[FSW]! & ~C1
}

/** Pushes Z unless `flags`, from its conversion, hold an unmasked #IA; a full stack comes first (SDM 1 8.6). */
function load(w: Int32Array, flags: number): void {
  if (!occupied(w, physical(w, 7)) && signal(w, flags) & IE) return
  push(w)
}
const converted = (flags: number): number => quietLoaded() | flags

/** RC-dependent constants: the value rounded to nearest, and which way nearest went (SDM 2A FLD1…: as rounded by RC). */
const constant = (hi: number, lo: number, se: number, nearestIs: 'up' | 'down' | 'exact') =>
  on((w) => {
    const rc = (w[FCW]! >> 10) & 3
    const step = nearestIs === 'up' ? (rc & 1 ? -1 : 0) : nearestIs === 'down' && rc === 2 ? 1 : 0
    clearC1(w)
    give(lo + step, hi, se)
    push(w)
  })

const decimal = on((w) => {
  clearC1(w)
  fromDecimal(w[SLOT0]!, w[SLOT0 + 1]!, w[SLOT1]! & 0xffff)
  push(w)
})

export const loads = {
  fld: on((w) => {
    clearC1(w)
    const p = physical(w, w[SLOT0]!)
    if (occupied(w, p)) {
      take(w, p)
      push(w)
    } else if (underflow(w)) {
      const above = physical(w, 7)
      w[FSW] = (w[FSW]! & ~0x3800) | (above << 11)
      put(w, above)
    }
  }),
  fldM32: on((w) => load(w, converted(fromSingle(w[SLOT0]!)))),
  fldM64: on((w) => load(w, converted(fromDouble(w[SLOT0]!, w[SLOT0 + 1]!)))),
  fldM80: on((w) => {
    clearC1(w)
    give(w[SLOT0]!, w[SLOT0 + 1]!, w[SLOT1]! & 0xffff)
    push(w)
  }),
  fild: on((w) => {
    clearC1(w)
    fromInt32(w[SLOT0]!)
    push(w)
  }),
  fildM64: on((w) => {
    clearC1(w)
    fromInt64(w[SLOT0]!, w[SLOT0 + 1]!)
    push(w)
  }),
  fbld: decimal,
  fld1: constant(0x80000000, 0, 0x3fff, 'exact'),
  fldl2t: constant(0xd49a784b, 0xcd1b8afe, 0x4000, 'down'),
  fldl2e: constant(0xb8aa3b29, 0x5c17f0bc, 0x3fff, 'up'),
  fldpi: constant(0xc90fdaa2, 0x2168c235, 0x4000, 'up'),
  fldlg2: constant(0x9a209a84, 0xfbcff799, 0x3ffd, 'up'),
  fldln2: constant(0xb17217f7, 0xd1cf79ac, 0x3ffe, 'up'),
  fldz: constant(0, 0, 0, 'exact'),
}

type Conversion = (lo: number, hi: number, se: number, fcw: number) => number
/** Converts ST(0) to memory form in slot 0; slot 1 says whether it may be stored. An empty register stores the indefinite. */
function store(w: Int32Array, convert: Conversion, popping: boolean): void {
  const p = physical(w, 0)
  let go = true
  if (!occupied(w, p)) {
    go = underflow(w)
    if (go) convert(0, 0xc0000000 | 0, 0xffff, w[FCW]!)
  } else {
    const at = FPR + p * 4
    let flags = convert(w[at]!, w[at + 1]!, w[at + 2]! & 0xffff, w[FCW]!)
    // inexactness is not reported beside an unmasked overflow or underflow to memory (SDM 1 8.5.6)
    if (flags & ~w[FCW]! & (OE | UE)) flags &= ~(PE | C1)
    go = (signal(w, flags) & (IE | OE | UE)) === 0
  }
  w[SLOT0] = stored[0]!
  w[SLOT0 + 1] = stored[1]!
  w[SLOT1] = go ? 1 : 0
  if (go && popping) pop(w)
}
const storing = (convert: Conversion, popping: boolean) => on((w) => store(w, convert, popping))
const integer =
  (bits: 16 | 32 | 64): Conversion =>
  (lo, hi, se, fcw) =>
    toInt(lo, hi, se, (fcw >> 10) & 3, bits)
const truncated =
  (bits: 16 | 32 | 64): Conversion =>
  (lo, hi, se) =>
    toInt(lo, hi, se, 3, bits)

/** ST(0) to ST(i). An empty source stores the indefinite. */
function copy(w: Int32Array, popping: boolean): void {
  clearC1(w)
  const p = physical(w, 0)
  if (occupied(w, p)) take(w, p)
  else if (!underflow(w)) return
  put(w, physical(w, w[SLOT0]!))
  if (popping) pop(w)
}

export const stores = {
  fst: on((w) => copy(w, false)),
  fstp: on((w) => copy(w, true)),
  /** As FSTP, but an empty ST(0) raises nothing and is not copied. */
  fstpnce: on((w) => {
    clearC1(w)
    const p = physical(w, 0)
    if (occupied(w, p)) {
      take(w, p)
      put(w, physical(w, w[SLOT0]!))
    }
    pop(w)
  }),
  fstM32: storing(toSingle, false),
  fstpM32: storing(toSingle, true),
  fstM64: storing(toDouble, false),
  fstpM64: storing(toDouble, true),
  fstpM80: on((w) => {
    clearC1(w)
    const p = physical(w, 0)
    let go = true
    if (occupied(w, p)) take(w, p)
    else go = underflow(w)
    w[SLOT0] = Z[0]!
    w[SLOT0 + 1] = Z[1]!
    w[SLOT1] = (Z[2]! & 0xffff) | (go ? 0x10000 : 0)
    if (go) pop(w)
  }),
  fistM16: storing(integer(16), false),
  fistpM16: storing(integer(16), true),
  fistM32: storing(integer(32), false),
  fistpM32: storing(integer(32), true),
  fistpM64: storing(integer(64), true),
  fisttpM16: storing(truncated(16), true),
  fisttpM32: storing(truncated(32), true),
  fisttpM64: storing(truncated(64), true),
  fbstp: on((w) => {
    let top = 0
    const convert: Conversion = (lo, hi, se, fcw) => {
      const d = toDecimal(lo, hi, se, (fcw >> 10) & 3)
      top = d.top
      return d.flags
    }
    store(w, convert, true)
    w[SLOT1] = top | (w[SLOT1]! << 16)
  }),
}

/** Fills an empty register with the indefinite. */
function fill(w: Int32Array, p: number): void {
  if (occupied(w, p)) return
  indefinite()
  put(w, p)
}
const rotate = (by: number) =>
  on((w) => {
    const fsw = w[FSW]! & ~C1
    w[FSW] = (fsw & ~0x3800) | ((fsw + (by << 11)) & 0x3800)
  })

export const stackCalls = {
  fxch: on((w) => {
    clearC1(w)
    const p = physical(w, 0)
    const q = physical(w, w[SLOT0]!)
    if (!occupied(w, p) || !occupied(w, q)) {
      if (signal(w, IE | SF) !== 0) return
      fill(w, p)
      fill(w, q)
    }
    take(w, p)
    const at = FPR + q * 4
    const lo = w[at]!
    const hi = w[at + 1]!
    const se = w[at + 2]!
    put(w, q)
    give(lo, hi, se)
    put(w, p)
  }),
  ffree: on((w) => {
    clearC1(w)
    w[FTW] = w[FTW]! & ~(1 << physical(w, w[SLOT0]!))
  }),
  ffreep: on((w) => {
    clearC1(w)
    w[FTW] = w[FTW]! & ~(1 << physical(w, w[SLOT0]!))
    pop(w)
  }),
  fincstp: rotate(1),
  fdecstp: rotate(7),
  fcmov: on((w) => {
    const p = physical(w, 0)
    const q = physical(w, w[SLOT0]!)
    if (!occupied(w, p) || !occupied(w, q)) {
      if (underflow(w)) put(w, p)
    } else if (w[SLOT1]! & 1) {
      take(w, q)
      put(w, p)
    }
  }),
}

/** FXAM's class of a register in C3 C2 C0, its sign in C1 (SDM 2A table 3-32). */
export function classify(w: Int32Array): void {
  const p = physical(w, 0)
  const at = FPR + p * 4
  const lo = w[at]!
  const hi = w[at + 1]!
  const e = w[at + 2]! & 0x7fff
  let code = w[at + 2]! & 0x8000 ? C1 : 0
  if (!occupied(w, p)) code |= 0x4100
  else if (isUnsupported(hi, e)) code |= 0
  else if (e === 0) code |= (hi | lo) === 0 ? 0x4000 : 0x4400
  else if (e !== 0x7fff) code |= 0x400
  else code |= ((hi << 1) | lo) === 0 ? 0x500 : 0x100
  w[FSW] = (w[FSW]! & ~0x4700) | code
}

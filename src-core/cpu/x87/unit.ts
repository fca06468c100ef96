// The x87 register stack, status and tag words of one processor block (SDM 1 8.1), as 32-bit words for the soft-float.
// Registers are physical and do not rotate; FTW has one bit each, 1 = not empty. A call binds the block, then works on words.

import { FIELDS_SIZE, offsets, type ProcessorState } from '../../isa/state.ts'
import { SCRATCH_SLOT } from '../../isa/calls.ts'
import { Unavailable } from './availability.ts'
import type { Operation } from './arithmetic.ts'
import { C1, DE, IE, Z, ZE, give, indefinite } from './float80.ts'

/** Word indices into a bound block. */
export const FPR = offsets.fpr >> 2
export const FCW = offsets.fcw >> 2
export const FSW = offsets.fsw >> 2
export const FTW = offsets.ftw >> 2
const UNAVAILABLE = offsets.unavailable >> 2
/** Scratch slots, where arguments and results lie. */
export const SLOT0 = offsets.scratch >> 2
export const SLOT1 = (offsets.scratch + SCRATCH_SLOT) >> 2

/** Stack fault, error summary, busy. */
export const SF = 0x40
const ES_B = 0x8080
export const C0 = 0x100
export const C2 = 0x400
export const C3 = 0x4000

const views = new WeakMap<ProcessorState, Int32Array>()
let last: ProcessorState | undefined
let lastView: Int32Array = new Int32Array(0)

/** The block's fields as 32-bit words. */
export const bind = (s: ProcessorState): Int32Array => (s === last ? lastView : rebind(s))
function rebind(s: ProcessorState): Int32Array {
  let view = views.get(s)
  if (!view) {
    view = new Int32Array(s.fpr.buffer, s.base, FIELDS_SIZE >> 2)
    views.set(s, view)
  }
  last = s
  lastView = view
  return view
}

/** Physical number of ST(i). */
export const physical = (w: Int32Array, i: number): number => (((w[FSW]! >> 11) & 7) + i) & 7
export const occupied = (w: Int32Array, p: number): boolean => ((w[FTW]! >> p) & 1) !== 0

/** Puts Z into physical register p and marks it. */
export function put(w: Int32Array, p: number): void {
  const at = FPR + p * 4
  w[at] = Z[0]!
  w[at + 1] = Z[1]!
  w[at + 2] = Z[2]! & 0xffff
  w[FTW] = w[FTW]! | (1 << p)
}
/** Takes physical register p into Z. */
export function take(w: Int32Array, p: number): void {
  const at = FPR + p * 4
  give(w[at]!, w[at + 1]!, w[at + 2]! & 0xffff)
}

/**
 * Enters exceptions (and C1, SF) into FSW, C1 cleared before; an unmasked one sets ES and B for the next waiting
 * instruction. Returns the unmasked exceptions.
 */
export function signal(w: Int32Array, flags: number): number {
  const unmasked = flags & ~w[FCW]! & 0x3f
  let fsw = (w[FSW]! & ~C1) | flags
  if (unmasked !== 0) {
    fsw |= ES_B
    w[UNAVAILABLE] = w[UNAVAILABLE]! | Unavailable.x87 | Unavailable.mmx
  }
  w[FSW] = fsw
  return unmasked
}

/** After FCW or FSW were loaded: ES and B follow from flags and masks (SDM 1 8.1.3.3). The caller updates availability. */
export function summarize(fcw: number, fsw: number): number {
  return fsw & ~fcw & 0x3f ? fsw | ES_B : fsw & ~ES_B
}

/** Frees the top register and advances TOP. */
export function pop(w: Int32Array): void {
  const fsw = w[FSW]!
  w[FTW] = w[FTW]! & ~(1 << ((fsw >> 11) & 7))
  w[FSW] = (fsw & ~0x3800) | ((fsw + 0x800) & 0x3800)
}

/** Pushes Z. A full stack is #IS with C1 = 1: the indefinite if masked, nothing otherwise (SDM 1 8.5.1.1). */
export function push(w: Int32Array): void {
  const p = physical(w, 7)
  if (occupied(w, p)) {
    if (signal(w, IE | SF | C1) !== 0) return
    indefinite()
  }
  w[FSW] = (w[FSW]! & ~0x3800) | (p << 11)
  put(w, p)
}

/** #IS for an empty register; false when unmasked, else Z is the indefinite. */
export function underflow(w: Int32Array): boolean {
  if (signal(w, IE | SF) !== 0) return false
  indefinite()
  return true
}

/** Ends an operation: Z goes to p unless #IA, #Z or #D is unmasked; so does the pop. */
export function conclude(w: Int32Array, flags: number, p: number, popping: boolean): void {
  if (signal(w, flags) & (IE | DE | ZE)) return
  put(w, p)
  if (popping) pop(w)
}

/** ST(0) = ST(0) op ST(i) or, with `toI`, ST(i) = ST(i) op ST(0). Raises nothing at once: 0. */
export function arithmetic(w: Int32Array, operation: Operation, i: number, toI: boolean, popping: boolean): number {
  const p = physical(w, 0)
  const q = (p + i) & 7
  const d = toI ? q : p
  if (!occupied(w, p) || !occupied(w, q)) {
    if (underflow(w)) {
      put(w, d)
      if (popping) pop(w)
    }
    return 0
  }
  const a = FPR + d * 4
  const b = FPR + (toI ? p : q) * 4
  conclude(w, operation(w[a]!, w[a + 1]!, w[a + 2]! & 0xffff, w[b]!, w[b + 1]!, w[b + 2]! & 0xffff, w[FCW]!), d, popping)
  return 0
}

/** ST(0) = ST(0) op Z, where Z was converted from memory and raised `converting` (DE or nothing). */
export function arithmeticMemory(w: Int32Array, operation: Operation, converting: number): number {
  const p = physical(w, 0)
  if (!occupied(w, p)) {
    if (underflow(w)) put(w, p)
    return 0
  }
  const a = FPR + p * 4
  const flags = operation(w[a]!, w[a + 1]!, w[a + 2]! & 0xffff, Z[0]!, Z[1]!, Z[2]!, w[FCW]!)
  conclude(w, withDenormal(flags, converting, w[a + 1]!, w[a + 2]!, w[FCW]!), p, false)
  return 0
}

/** Adds the DE of a memory operand: not beside #IA, #Z or a NaN, and alone when unmasked (SDM 1 8.6). */
export function withDenormal(flags: number, converting: number, hi: number, se: number, fcw: number): number {
  if (converting === 0 || flags & (IE | ZE) || ((se & 0x7fff) === 0x7fff && hi << 1 !== 0)) return flags
  return converting & ~fcw ? DE : flags | converting
}

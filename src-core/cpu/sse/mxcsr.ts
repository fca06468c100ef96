// The environment of one SSE floating-point operation: MXCSR (SDM vol. 1, 10.2.3), its exceptions (11.5), and the call slots.
//
//   15 FTZ │ 14:13 RC │ 12:7 masks PM UM OM ZM DM IM │ 6 DAZ │ 5:0 flags PE UE OE ZE DE IE

import { offsets, type ProcessorState } from '../../isa/state.ts'

export const IE = 1
export const DE = 2
export const ZE = 4
export const OE = 8
export const UE = 16
export const PE = 32
const DAZ = 0x40
const MASKS = 0x1f80
const RC = 0x6000
const FTZ = 0x8000
const CR4_OSXMMEXCPT = 1n << 10n

/** RC and ROUNDxx's immediate: nearest even, down, up, toward zero. */
export const NEAREST = 0
export const DOWN = 1
export const UP = 2
export const ZERO = 3

// The state word `sseNative`: what WebAssembly's floating point may stand for under the MXCSR in force (isa/lanes-emit.ts). FTZ and DAZ
// play no part: compiled code hands every denormal operand and every tiny result to the soft-float.
const NATIVE_ROUNDED = 1 // all masked, nearest, PE set already: arithmetic on ordinary numbers changes no flag
const NATIVE_EXACT = 2 // all masked: comparisons and exact conversions

function nativeWord(mxcsr: number): number {
  if ((mxcsr & MASKS) !== MASKS) return 0
  return (mxcsr & RC) === 0 && mxcsr & PE ? NATIVE_ROUNDED | NATIVE_EXACT : NATIVE_EXACT
}

/** To be called whenever MXCSR has changed: LDMXCSR, FXRSTOR, XRSTOR, reset, restored state. */
export function updateSseNative(s: ProcessorState): void {
  s.sseNative = nativeWord(s.mxcsr)
}

/** One processor's call slots (four of 16 bytes) and the words the soft-float changes. */
export interface Slots {
  readonly words: Uint32Array
  readonly floats: Float32Array
  readonly doubles: Float64Array
  readonly mxcsr: Uint32Array
  readonly native: Uint32Array
}
const known = new WeakMap<ProcessorState, Slots>()
let lastState: ProcessorState | undefined
let lastSlots: Slots

export function slotsOf(s: ProcessorState): Slots {
  if (s === lastState) return lastSlots
  let slots = known.get(s)
  if (!slots) {
    const { buffer } = s.scratch
    const at = s.base + offsets.scratch
    slots = {
      words: new Uint32Array(buffer, at, 16),
      floats: new Float32Array(buffer, at, 16),
      doubles: new Float64Array(buffer, at, 8),
      mxcsr: new Uint32Array(buffer, s.base + offsets.mxcsr, 1),
      native: new Uint32Array(buffer, s.base + offsets.sseNative, 1),
    }
    known.set(s, slots)
  }
  lastState = s
  lastSlots = slots
  return slots
}

/** The operation in progress. `masked` has a flag's bit set where the exception is masked. */
export const environment = { rounding: NEAREST, denormalsAreZero: false, flushToZero: false, masked: 0x3f, flags: 0 }

/** Takes the control bits of MXCSR; no flags raised yet. */
export function begin(s: ProcessorState): Slots {
  const slots = slotsOf(s)
  const mxcsr = slots.mxcsr[0]!
  environment.rounding = (mxcsr & RC) >> 13
  environment.denormalsAreZero = (mxcsr & DAZ) !== 0
  environment.flushToZero = (mxcsr & FTZ) !== 0
  environment.masked = (mxcsr & MASKS) >> 7
  environment.flags = 0
  return slots
}

/** An exception raised so far is unmasked: 11.5.3, the operation ends before its result. */
export const unmasked = (): boolean => (environment.flags & ~environment.masked) !== 0

const words = new Uint32Array(4)
/** Result bytes of the operation in progress, before it is known to complete. */
export const result = { words, floats: new Float32Array(words.buffer), doubles: new Float64Array(words.buffer) } as const

/**
 * Makes the flags sticky, then stores `count` result words to slot 0.
 * Returns 0, or the vector of an unmasked exception: #XM, or #UD without CR4.OSXMMEXCPT (SDM vol. 3A, 2.5); nothing is stored then.
 */
export function complete(s: ProcessorState, slots: Slots, count: number): number {
  const { flags } = environment
  if (flags) {
    const mxcsr = slots.mxcsr[0]! | flags
    slots.mxcsr[0] = mxcsr
    slots.native[0] = nativeWord(mxcsr)
    if (unmasked()) return s.cr4 & CR4_OSXMMEXCPT ? 19 : 6
  }
  for (let i = 0; i < count; i++) slots.words[i] = result.words[i]!
  return 0
}

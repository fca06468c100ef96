// Operands of SSE arithmetic: classes of numbers, denormals-are-zeros, NaN results (SDM vol. 1, 4.8.3, table 4-7, 10.2.3.4).

import { environment, result, type Slots } from './mxcsr.ts'

/** What `load` found. */
export let nan = false
export let signalling = false
export let denormal = false

/** Lane `index`, counted from slot 0, as a number; a NaN's bits stay in the slot. DAZ applies. */
export function load(slots: Slots, single: boolean, index: number): number {
  let high: number
  if (single) {
    high = slots.words[index]!
    const magnitude = high & 0x7fffffff
    nan = magnitude > 0x7f800000
    signalling = nan && !(high & 0x400000)
    denormal = magnitude < 0x800000 && magnitude !== 0
  } else {
    high = slots.words[2 * index + 1]!
    const rest = slots.words[2 * index]!
    const magnitude = high & 0x7fffffff
    nan = magnitude > 0x7ff00000 || (magnitude === 0x7ff00000 && rest !== 0)
    signalling = nan && !(high & 0x80000)
    denormal = magnitude < 0x100000 && (magnitude | rest) !== 0
  }
  if (nan) return NaN
  if (denormal && environment.denormalsAreZero) {
    denormal = false
    return high >>> 31 ? -0 : 0
  }
  return single ? slots.floats[index]! : slots.doubles[index]!
}

/** Result lane := the QNaN floating-point indefinite. */
export function writeIndefinite(single: boolean, lane: number): void {
  if (single) result.words[lane] = 0xffc00000
  else {
    result.words[2 * lane] = 0
    result.words[2 * lane + 1] = 0xfff80000
  }
}

/** Result lane := the NaN in lane `index`, made quiet. */
export function writeQuiet(slots: Slots, single: boolean, lane: number, index: number): void {
  if (single) result.words[lane] = slots.words[index]! | 0x400000
  else {
    result.words[2 * lane] = slots.words[2 * index]!
    result.words[2 * lane + 1] = slots.words[2 * index + 1]! | 0x80000
  }
}

/** Result lane := lane `index` as it is, signalling or not (MIN, MAX). */
export function writeSame(slots: Slots, single: boolean, lane: number, index: number): void {
  if (single) result.words[lane] = slots.words[index]!
  else {
    result.words[2 * lane] = slots.words[2 * index]!
    result.words[2 * lane + 1] = slots.words[2 * index + 1]!
  }
}

/** Result lane := a number (never NaN) that the format holds exactly. */
export function writeNumber(single: boolean, lane: number, x: number): void {
  if (single) result.floats[lane] = x
  else result.doubles[lane] = x
}

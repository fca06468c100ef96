// RCPxx and RSQRTxx (SDM vol. 2B): relative error within 1.5 · 2^-12. Intel does not publish its table; ours is the exact value
// rounded to 12 fraction bits. MXCSR plays no part: denormals count as zeros, tiny results become zeros, no exception.

import type { ProcessorState } from '../../isa/state.ts'
import { slotsOf, type Slots } from './mxcsr.ts'

const float = new Float32Array(1)
const word = new Uint32Array(float.buffer)

/** To 12 fraction bits; below the smallest normal number, zero of the same sign. */
function shorten(x: number): number {
  float[0] = x
  const bits = word[0]!
  const magnitude = bits & 0x7fffffff
  if (magnitude < 0x800000) return bits & 0x80000000
  return magnitude >= 0x7f800000 ? bits : (bits + 0x400) & ~0x7ff
}

function lane(slots: Slots, i: number, squareRoot: boolean): number {
  const bits = slots.words[i]!
  const magnitude = bits & 0x7fffffff
  const sign = bits & 0x80000000
  if (magnitude > 0x7f800000) return bits | 0x400000
  if (magnitude < 0x800000) return sign | 0x7f800000
  if (squareRoot && sign) return 0xffc00000
  const x = slots.floats[i]!
  return shorten(squareRoot ? 1 / Math.sqrt(x) : 1 / x)
}

/** `lanes` lanes of slot 0. */
export function approximate(s: ProcessorState, lanes: number, squareRoot: boolean): number {
  const slots = slotsOf(s)
  for (let i = 0; i < lanes; i++) slots.words[i] = lane(slots, i, squareRoot)
  return 0
}

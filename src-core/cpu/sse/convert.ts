// CVTxx and ROUNDxx (SDM vol. 1, 4.8.4.1, 11.4.1.6; integer indefinite: table 4-1; vol. 2B, ROUNDPS table 4-18).

import type { ProcessorState } from '../../isa/state.ts'
import { begin, complete, DE, DOWN, environment, IE, NEAREST, PE, result, unmasked, UP, ZERO } from './mxcsr.ts'
import { denormal, load, nan, signalling, writeNumber, writeQuiet } from './operand.ts'
import { round, sumError } from './round.ts'

/** x as an integral value; keeps the sign of zero. */
function integral(x: number, rounding: number): number {
  const magnitude = Math.abs(x)
  if (!(magnitude < 2 ** 52)) return x
  let r: number
  switch (rounding) {
    case NEAREST:
      r = magnitude + 2 ** 52 - 2 ** 52
      break
    case DOWN:
      return Math.floor(x)
    case UP:
      return Math.ceil(x)
    default:
      return Math.trunc(x)
  }
  return x < 0 || Object.is(x, -0) ? -r : r
}

/** Floating point to integers of `bits` bits; a non-zero word 4 (slot 1) truncates. Fills `lanes` and zeroes up to `words` words. */
export function toInteger(s: ProcessorState, single: boolean, lanes: number, bits: 32 | 64, words: number): number {
  const slots = begin(s)
  const rounding = slots.words[4] ? ZERO : environment.rounding
  const limit = bits === 64 ? 2 ** 63 : 2 ** 31
  result.words.fill(0)
  let inexact = false
  for (let i = 0; i < lanes; i++) {
    const x = load(slots, single, i)
    const r = nan ? NaN : integral(x, rounding)
    const fits = r >= -limit && r < limit
    if (!fits) environment.flags |= IE
    else if (r !== x) inexact = true
    if (bits === 32) result.words[i] = fits ? r : 0x80000000
    else {
      const high = fits ? Math.floor(r / 2 ** 32) : 0x80000000
      result.words[2 * i] = fits ? r - high * 2 ** 32 : 0
      result.words[2 * i + 1] = high
    }
  }
  if (inexact && !unmasked()) environment.flags |= PE
  return complete(s, slots, words)
}

/** Signed 32-bit lanes to binary32. */
export function fromInteger32(s: ProcessorState, lanes: number): number {
  const slots = begin(s)
  for (let i = 0; i < lanes; i++) {
    const x = slots.words[i]! | 0
    writeNumber(true, i, x === 0 ? 0 : round(true, x, 0, 0))
  }
  return complete(s, slots, lanes)
}

/** A signed 64-bit integer to either format. */
export function fromInteger64(s: ProcessorState, single: boolean): number {
  const slots = begin(s)
  const high = (slots.words[1]! | 0) * 2 ** 32
  const low = slots.words[0]!
  const x = high + low
  writeNumber(single, 0, x === 0 ? 0 : round(single, x, sumError(high, low, x), 0))
  return complete(s, slots, single ? 1 : 2)
}

/** The NaN in lane `i` of the other format, quiet: the significand's top bits stay aligned. */
function writeOtherNan(slots: ReturnType<typeof begin>, toSingle: boolean, i: number): void {
  if (toSingle) {
    const low = slots.words[2 * i]!
    const high = slots.words[2 * i + 1]!
    result.words[i] = (high & 0x80000000) | 0x7fc00000 | ((high & 0x7ffff) << 3) | (low >>> 29)
  } else {
    const w = slots.words[i]!
    result.words[2 * i] = w << 29
    result.words[2 * i + 1] = (w & 0x80000000) | 0x7ff80000 | ((w & 0x3fffff) >>> 3)
  }
}

/** Between the formats: `lanes` low lanes, the rest of `words` words zero. */
export function resize(s: ProcessorState, toSingle: boolean, lanes: number, words: number): number {
  const slots = begin(s)
  const values = [0, 0]
  result.words.fill(0)
  for (let i = 0; i < lanes; i++) {
    const x = load(slots, !toSingle, i)
    values[i] = x
    if (nan) {
      if (signalling) environment.flags |= IE
      writeOtherNan(slots, toSingle, i)
    } else if (denormal) environment.flags |= DE
  }
  if (!unmasked())
    for (let i = 0; i < lanes; i++) {
      const x = values[i]!
      if (x !== x) continue
      writeNumber(toSingle, i, !toSingle || x === 0 || Math.abs(x) === Infinity ? x : round(true, x, 0, 0))
    }
  return complete(s, slots, words)
}

/** ROUNDxx by the immediate in slot 1: bit 3 no PE, bit 2 mode from MXCSR, bits 1:0 mode. */
export function roundIntegral(s: ProcessorState, single: boolean, lanes: number): number {
  const slots = begin(s)
  const immediate = slots.words[4]!
  const rounding = immediate & 4 ? environment.rounding : immediate & 3
  let inexact = false
  for (let i = 0; i < lanes; i++) {
    const x = load(slots, single, i)
    if (nan) {
      if (signalling) environment.flags |= IE
      writeQuiet(slots, single, i, i)
      continue
    }
    const r = integral(x, rounding)
    if (r !== x && !(immediate & 8)) inexact = true
    writeNumber(single, i, r)
  }
  if (inexact && !unmasked()) environment.flags |= PE
  return complete(s, slots, single ? lanes : 2 * lanes)
}

// Rounding to a format in any mode, with overflow, underflow, precision and FTZ (SDM vol. 1, 4.8.4, 4.9.1.4 … 4.9.1.6, 10.2.3.3).
// Input is a binary64 value nearest to the exact one, and the sign of what it misses.

import { DOWN, environment, NEAREST, OE, PE, UE, UP, ZERO } from './mxcsr.ts'

const LOWEST = -1074
const powers = Float64Array.from({ length: 1024 - LOWEST }, (_, i) => 2 ** (i + LOWEST))
/** 2^n for n in −1074 … 1023. */
export const power = (n: number): number => powers[n - LOWEST]!

const double = new Float64Array(1)
const halves = new Int32Array(double.buffer)

/** Splits a finite non-zero x: sets `exponent`, returns the significand with x = significand · 2^exponent, 1 ≤ |significand| < 2. */
export let exponent = 0
export function significand(x: number): number {
  double[0] = x
  let adjust = 1023
  if (!(halves[1]! & 0x7ff00000)) {
    double[0] = x * 2 ** 54
    adjust += 54
  }
  const high = halves[1]!
  exponent = ((high >> 20) & 0x7ff) - adjust
  halves[1] = (high & ~0x7ff00000) | 0x3ff00000
  return double[0]!
}

/** Sign of a·b − p for p nearest to a·b, exactly (Dekker); no overflow or underflow in range. */
const SPLIT = 2 ** 27 + 1
export function productError(a: number, b: number, p: number): number {
  const aSplit = a * SPLIT
  const aHigh = aSplit - (aSplit - a)
  const aLow = a - aHigh
  const bSplit = b * SPLIT
  const bHigh = bSplit - (bSplit - b)
  const bLow = b - bHigh
  return aHigh * bHigh - p + aHigh * bLow + aLow * bHigh + aLow * bLow
}

/** a + b − s for s nearest to a + b, exactly (Knuth). */
export function sumError(a: number, b: number, s: number): number {
  const bPart = s - a
  return a - (s - bPart) + (b - bPart)
}

/** Halfway between two binary32 numbers of the normal range. */
function isTie(x: number): boolean {
  double[0] = x
  return (halves[0]! & 0x1fffffff) === 0x10000000
}

const float = new Float32Array(1)
const floatBits = new Int32Array(float.buffer)
/** The next number of the format above (`up`) or below x. */
function neighbour(single: boolean, x: number, up: boolean): number {
  const step = up === x > 0 ? 1 : -1
  if (single) {
    float[0] = x
    floatBits[0]! += step
    return float[0]!
  }
  double[0] = x
  const low = (halves[0]! + step) | 0
  if (low === (step > 0 ? 0 : -1)) halves[1]! += step
  halves[0] = low
  return double[0]!
}

let inexact = false
/** m / 2^k as an integer. `below`: the exact magnitude lies above half a unit of m; `sticky`: it is not m. */
function quantize(m: number, k: number, sticky: boolean, below: boolean, negative: boolean): number {
  const { rounding } = environment
  const away = rounding === UP ? !negative : rounding === DOWN ? negative : false
  if (k === 0) {
    inexact = sticky
    return sticky && (rounding === NEAREST ? below : away) ? m + 1 : m
  }
  const unit = power(k > 60 ? 60 : k)
  const q = Math.floor(m / unit)
  const rest = m - q * unit
  inexact = sticky || rest !== 0
  if (!inexact) return q
  const half = unit / 2
  const up = rounding === NEAREST ? rest > half || (rest === half && (sticky || q % 2 === 1)) : away
  return up ? q + 1 : q
}

/**
 * Rounds (x + error) · 2^scale to binary32 (`single`) or binary64 and raises OE, UE, PE. x is finite and not zero, and the binary64
 * nearest to the exact significand; of `error` only the sign counts.
 */
export function round(single: boolean, x: number, error: number, scale: number): number {
  if (scale === 0) {
    // well inside the normal range: the nearest value, or its neighbour on the other side of the exact one
    const r = single ? Math.fround(x) : x
    const magnitude = r < 0 ? -r : r
    if (magnitude > (single ? 2 ** -126 : 2 ** -1022) && magnitude < (single ? 2 ** 127 : 2 ** 1023)) {
      const missing = r === x ? error : x - r
      if (missing === 0) return r
      const { rounding } = environment
      if (rounding !== NEAREST) {
        environment.flags |= PE
        const up = rounding === UP || (rounding === ZERO && r < 0)
        return (up ? missing > 0 : missing < 0) ? neighbour(single, r, up) : r
      }
      if (!single || error === 0 || !isTie(x)) {
        environment.flags |= PE
        return r
      }
    }
  }
  const negative = x < 0
  const below = negative ? error > 0 : error < 0
  const sticky = error !== 0
  const sign = negative ? -1 : 1
  // m: 53-bit integer, cut toward zero
  let m = Math.abs(significand(x)) * 2 ** 52
  let unit = exponent - 52 + scale
  if (below) {
    m -= 1
    if (m < 2 ** 52) {
      m = 2 ** 53 - 1
      unit -= 1
    }
  }
  const precision = single ? 24 : 53
  const smallest = single ? -126 : -1022
  const largest = single ? 127 : 1023
  let top = unit + 52
  const limit = single ? 2 ** 24 : 2 ** 53
  const q = quantize(m, 53 - precision, sticky, below, negative)
  const fullInexact = inexact
  if (q === limit) top++
  if (top < smallest) {
    // tiny after rounding as if the exponent were unbounded
    const underflowMasked = (environment.masked & UE) !== 0
    if (environment.flushToZero && underflowMasked) {
      environment.flags |= UE | PE
      return sign * 0
    }
    if (!underflowMasked) {
      // the handler's view of the result has an unbounded exponent: PE speaks of that one
      environment.flags |= fullInexact ? UE | PE : UE
      return sign * 0
    }
    const denormal = quantize(m, smallest - precision + 1 - unit, sticky, below, negative)
    if (inexact) environment.flags |= UE | PE
    return sign * denormal * power(smallest - precision + 1)
  }
  if (top > largest) {
    environment.flags |= fullInexact || (environment.masked & OE) !== 0 ? OE | PE : OE
    const { rounding } = environment
    const infinite = rounding === NEAREST || rounding === (negative ? DOWN : UP)
    return infinite ? sign * Infinity : sign * (limit - 1) * power(largest - precision + 1)
  }
  if (fullInexact) environment.flags |= PE
  return sign * q * power(unit + 53 - precision)
}

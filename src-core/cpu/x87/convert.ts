// Conversions between double extended and the memory formats: single, double, integers, packed decimal.
// SDM 1 4.2, 4.7, 8.2 (data types), 8.5 (exceptions), tables 8-10 and 4-3 (integer and decimal indefinite).

import { C1, DE, IE, PE, Z, give, isDenormal, isNaN80, isUnsupported, isZero80, round, wide, type Format } from './float80.ts'

const single: Format = { precision: 24, low: 16383 - 126, high: 16383 + 128 }
const double: Format = { precision: 53, low: 16383 - 1022, high: 16383 + 1024 }

/** Single to Z; DE for a denormal. A signaling NaN stays one: what it raises depends on the instruction. */
export function fromSingle(bits: number): number {
  const sign = (bits >>> 31) << 15
  const e = (bits >>> 23) & 0xff
  const f = bits & 0x7fffff
  if (e === 0xff) give(0, 0x80000000 | (f << 8), sign | 0x7fff)
  else if (e !== 0) give(0, 0x80000000 | (f << 8), sign | (e + 16383 - 127))
  else if (f === 0) give(0, 0, sign)
  else {
    const n = Math.clz32(f)
    give(0, f << n, sign | (16383 - 126 + 8 - n))
    return DE
  }
  return 0
}

/** Double to Z; DE for a denormal. */
export function fromDouble(lo: number, hi: number): number {
  const sign = (hi >>> 31) << 15
  const e = (hi >>> 20) & 0x7ff
  const f = hi & 0xfffff
  const h = (f << 11) | (lo >>> 21)
  const l = lo << 11
  if (e === 0x7ff) give(l, 0x80000000 | h, sign | 0x7fff)
  else if (e !== 0) give(l, 0x80000000 | h, sign | (e + 16383 - 1023))
  else if ((h | l) === 0) give(0, 0, sign)
  else {
    if (h === 0) {
      const n = Math.clz32(l)
      give(0, l << n, sign | (16383 - 1022 - 32 - n))
    } else {
      const n = Math.clz32(h)
      give(l << n, n === 0 ? h : (h << n) | (l >>> (32 - n)), sign | (16383 - 1022 - n))
    }
    return DE
  }
  return 0
}

export function fromInt32(v: number): void {
  if (v === 0) return give(0, 0, 0)
  const magnitude = v < 0 ? -v | 0 : v
  const n = Math.clz32(magnitude)
  give(0, magnitude << n, (v < 0 ? 0x8000 : 0) | (16383 + 31 - n))
}

export function fromInt64(lo: number, hi: number): void {
  const sign = hi < 0 ? 0x8000 : 0
  if (sign) {
    lo = -lo | 0
    hi = (~hi + (lo === 0 ? 1 : 0)) | 0
  }
  if ((hi | lo) === 0) return give(0, 0, 0)
  let e = 16383 + 63
  if (hi === 0) {
    hi = lo
    lo = 0
    e -= 32
  }
  const n = Math.clz32(hi)
  give(lo << n, n === 0 ? hi : (hi << n) | (lo >>> (32 - n)), sign | (e - n))
}

/** Stored bits of the last conversion: low and high word. */
export const stored = new Int32Array(2)

/** Significand, normalized unless zero; denormals of the register format are far below every destination's range. */
function narrow(lo: number, hi: number, se: number, fcw: number, format: Format): number {
  let e = (se & 0x7fff) || 1
  if (hi >= 0) {
    if (hi === 0) {
      hi = lo
      lo = 0
      e -= 32
    }
    const n = Math.clz32(hi)
    hi = n === 0 ? hi : (hi << n) | (lo >>> (32 - n))
    lo <<= n
    e -= n
  }
  return round(se >> 15, e, hi, lo, 0, fcw, format)
}

/** To `stored`[0]. An unmasked overflow or underflow leaves rubbish there: nothing is stored then (SDM 1 8.5.4). */
export function toSingle(lo: number, hi: number, se: number, fcw: number): number {
  const sign = (se & 0x8000) << 16
  stored[1] = 0
  if (isUnsupported(hi, se)) {
    stored[0] = 0xffc00000 | 0
    return IE
  }
  if (isNaN80(lo, hi, se)) {
    stored[0] = sign | 0x7fc00000 | ((hi >>> 8) & 0x3fffff)
    return hi & 0x40000000 ? 0 : IE
  }
  if ((se & 0x7fff) === 0x7fff || isZero80(lo, hi, se)) {
    stored[0] = sign | ((se & 0x7fff) === 0 ? 0 : 0x7f800000)
    return 0
  }
  const flags = narrow(lo, hi, se, fcw, single)
  const e = Z[2]! & 0x7fff
  const field = e === 0x7fff ? 255 : e < single.low ? 0 : e - 16383 + 127
  stored[0] = sign | ((field & 0xff) << 23) | ((Z[1]! >>> 8) & 0x7fffff)
  return flags
}

/** To `stored`. */
export function toDouble(lo: number, hi: number, se: number, fcw: number): number {
  const sign = (se & 0x8000) << 16
  if (isUnsupported(hi, se)) {
    stored[0] = 0
    stored[1] = 0xfff80000 | 0
    return IE
  }
  let flags = 0
  let field = 0x7ff
  if (isNaN80(lo, hi, se)) {
    give(lo, hi | 0x40000000, se)
    flags = hi & 0x40000000 ? 0 : IE
  } else if ((se & 0x7fff) === 0x7fff || isZero80(lo, hi, se)) {
    give(0, 0x80000000 | 0, se)
    if ((se & 0x7fff) === 0) field = 0
  } else {
    flags = narrow(lo, hi, se, fcw, double)
    const e = Z[2]! & 0x7fff
    field = e === 0x7fff ? 0x7ff : e < double.low ? 0 : e - 16383 + 1023
  }
  stored[0] = (Z[0]! >>> 11) | (Z[1]! << 21)
  stored[1] = sign | ((field & 0x7ff) << 20) | ((Z[1]! >>> 11) & 0xfffff)
  return flags
}

const magnitude = new Int32Array(3) // lo, hi, "2^64 reached"
/** |value| rounded to an integer by `rc` into `magnitude`; needs |value| < 2^64. Returns PE and C1. */
function toInteger(lo: number, hi: number, se: number, rc: number): number {
  const sign = se >> 15
  const e = (se & 0x7fff) - 16383
  let half = 0 // the fraction: bit 31 the half, the rest sticky
  let wlo = 0
  let whi = 0
  if (e < -1) half = (hi | lo) !== 0 ? 1 : 0
  else if (e === -1) half = hi | (lo !== 0 ? 1 : 0)
  else if (e < 31) {
    const n = 31 - e
    wlo = hi >>> n
    const rest = hi << (32 - n)
    half = rest | (lo !== 0 ? 1 : 0)
  } else if (e === 31) {
    wlo = hi
    half = lo
  } else {
    const n = 63 - e
    whi = hi >>> n
    wlo = n === 0 ? lo : (hi << (32 - n)) | (lo >>> n)
    half = n === 0 ? 0 : lo << (32 - n)
  }
  let flags = 0
  magnitude[2] = 0
  if (half !== 0) {
    flags = PE
    const up = rc === 0 ? half < 0 && (half !== (0x80000000 | 0) || (wlo & 1) !== 0) : rc === 1 ? sign === 1 : rc === 2 && sign === 0
    if (up) {
      flags |= C1
      wlo = (wlo + 1) | 0
      if (wlo === 0) whi = (whi + 1) | 0
      if ((wlo | whi) === 0) magnitude[2] = 1
    }
  }
  magnitude[0] = wlo
  magnitude[1] = whi
  return flags
}

/** To a signed integer of 16, 32 or 64 bits in `stored`; IE and the integer indefinite when it does not fit. */
export function toInt(lo: number, hi: number, se: number, rc: number, bits: 16 | 32 | 64): number {
  const negative = se >> 15 === 1
  const e = se & 0x7fff
  let flags = IE
  if (!isUnsupported(hi, se) && e < 16383 + 64) {
    flags = toInteger(lo, hi, se, rc)
    const h = magnitude[1]!
    const l = magnitude[0]!
    const top = bits === 64 ? h : l
    const limit = bits === 16 ? 0x8000 : 0x80000000
    let fits = magnitude[2] === 0 && (bits === 64 || h === 0)
    if (fits) fits = top >>> 0 < limit || (negative && top >>> 0 === limit && (bits !== 64 || l === 0))
    if (fits) {
      stored[0] = negative ? -l | 0 : l
      stored[1] = negative ? (~h + (l === 0 ? 1 : 0)) | 0 : h
      return flags
    }
    flags = IE
  }
  stored[0] = bits === 16 ? 0x8000 : bits === 32 ? 0x80000000 | 0 : 0
  stored[1] = bits === 64 ? 0x80000000 | 0 : 0
  return flags
}

/** Rounds to an integral value into Z (FRNDINT); value and class have been checked: finite, not zero. */
export function toIntegral(lo: number, hi: number, se: number, rc: number): number {
  if ((se & 0x7fff) >= 16383 + 63) {
    give(lo, hi, se)
    return 0
  }
  const flags = toInteger(lo, hi, se, rc)
  const l = magnitude[0]!
  const h = magnitude[1]!
  if ((h | l) === 0) give(0, 0, se & 0x8000)
  else {
    const n = h === 0 ? 32 + Math.clz32(l) : Math.clz32(h)
    const v = wide(l, h) << BigInt(n)
    give(Number(v & 0xffffffffn) | 0, Number(v >> 32n) | 0, (se & 0x8000) | (16383 + 63 - n))
  }
  return flags
}

/** Eighteen decimal digits, two a byte, and the sign in bit 79 (SDM 1 4.7). Nibbles above 9 count as their value. */
export function fromDecimal(lo: number, hi: number, top: number): void {
  let v = 0n
  for (let i = 17; i >= 0; i--) {
    const word = i >= 16 ? top : i >= 8 ? hi : lo
    v = v * 10n + BigInt((word >>> ((i & 7) * 4)) & 15)
  }
  fromInt64(Number(v & 0xffffffffn) | 0, Number((v >> 32n) & 0xffffffffn) | 0)
  Z[2] = (Z[2]! & 0x7fff) | (top & 0x8000)
}

/** To packed decimal: the low 64 bits in `stored`, the top 16 bits and the exceptions returned. */
export function toDecimal(lo: number, hi: number, se: number, rc: number): { top: number; flags: number } {
  if (!isUnsupported(hi, se) && (se & 0x7fff) < 16383 + 63) {
    const flags = toInteger(lo, hi, se, rc)
    let v = wide(magnitude[0]!, magnitude[1]!)
    if (v < 1_000_000_000_000_000_000n) {
      const words = [0, 0, 0]
      for (let i = 0; i < 18; i++) {
        words[i >> 3] = words[i >> 3]! | (Number(v % 10n) << ((i & 7) * 4))
        v /= 10n
      }
      stored[0] = words[0]!
      stored[1] = words[1]!
      return { top: (se & 0x8000) | words[2]!, flags }
    }
  }
  stored[0] = 0
  stored[1] = 0xc0000000 | 0
  return { top: 0xffff, flags: IE }
}

/** Does a single or double load have to raise DE or IE? Quiets Z in place. */
export function quietLoaded(): number {
  if (isNaN80(Z[0]!, Z[1]!, Z[2]!) && !(Z[1]! & 0x40000000)) {
    Z[1] = Z[1]! | 0x40000000
    return IE
  }
  return isDenormal(Z[0]!, Z[1]!, Z[2]!) ? DE : 0
}

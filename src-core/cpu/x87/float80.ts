// Double extended on two 32-bit halves: classes, NaNs, normalizing, rounding with its exceptions.
// SDM 1 4.8 (formats, NaNs), 4.9 and 8.5 (exceptions, masked and unmasked responses), 8.1.5 (precision and rounding control).
// Operands are lo, hi (significand) and se (sign bit 15, biased exponent); results go to `Z`, exceptions are returned.

/** Exception bits as in FSW, and C1 = "rounded up". */
export const IE = 1
export const DE = 2
export const ZE = 4
export const OE = 8
export const UE = 16
export const PE = 32
export const C1 = 0x200

export const TOP = -0x80000000 // bit 31, the integer bit of `hi`
/** Result of the last operation: lo, hi, se. */
export const Z = new Int32Array(3)

export function give(lo: number, hi: number, se: number): void {
  Z[0] = lo
  Z[1] = hi
  Z[2] = se
}
/** The real indefinite QNaN (SDM 1 4.8.3.7). */
export const indefinite = (): number => {
  give(0, 0xc0000000 | 0, 0xffff)
  return IE
}

/** Any class in which a general path must look closer: zero, denormal, unsupported, infinity, NaN. */
export const special = (hi: number, se: number): boolean => hi >= 0 || (se & 0x7fff) === 0 || (se & 0x7fff) === 0x7fff
export const isNaN80 = (lo: number, hi: number, se: number): boolean => (se & 0x7fff) === 0x7fff && hi < 0 && ((hi << 1) | lo) !== 0
export const isInfinity = (lo: number, hi: number, se: number): boolean => (se & 0x7fff) === 0x7fff && hi === TOP && lo === 0
export const isZero80 = (lo: number, hi: number, se: number): boolean => (se & 0x7fff) === 0 && (hi | lo) === 0
export const isDenormal = (lo: number, hi: number, se: number): boolean => (se & 0x7fff) === 0 && (hi | lo) !== 0
/** Unnormals, pseudo-infinities, pseudo-NaNs (SDM 1 8.2.2). */
export const isUnsupported = (hi: number, se: number): boolean => hi >= 0 && (se & 0x7fff) !== 0
/** A NaN is signaling when its bit 62 is clear. */
export const quiet = (hi: number): boolean => (hi & 0x40000000) !== 0

/** Choice between two operands of which one is a NaN (SDM 1 table 4-7, x87 column). */
export function propagate(alo: number, ahi: number, ase: number, blo: number, bhi: number, bse: number): number {
  const na = isNaN80(alo, ahi, ase)
  const nb = isNaN80(blo, bhi, bse)
  const signaling = (na && !quiet(ahi)) || (nb && !quiet(bhi))
  let first = na
  if (na && nb) {
    if (quiet(ahi) !== quiet(bhi)) first = quiet(ahi)
    else if (ahi !== bhi) first = ahi >>> 0 > bhi >>> 0
    else if (alo !== blo) first = alo >>> 0 > blo >>> 0
    else first = (ase & 0x8000) === 0
  }
  if (first) give(alo, ahi | 0x40000000, ase)
  else give(blo, bhi | 0x40000000, bse)
  return signaling ? IE : 0
}

const rounded = new Int32Array(3) // significand after rounding; [2] 1 when it carried out of bit 63

/** Rounds hi:lo.ext to `precision` leading bits of the 64-bit field (24, 53, 64); `rc` as in FCW. Returns PE and C1. */
function roundAt(sign: number, hi: number, lo: number, ext: number, rc: number, precision: number): number {
  let odd = lo & 1
  if (precision === 53) {
    ext = (lo << 21) | (ext >>> 11) | ((ext & 0x7ff) !== 0 ? 1 : 0)
    lo &= ~0x7ff
    odd = lo & 0x800
  } else if (precision === 24) {
    ext = (hi << 24) | (lo >>> 8) | ((lo & 0xff) !== 0 || ext !== 0 ? 1 : 0)
    hi &= ~0xff
    lo = 0
    odd = hi & 0x100
  }
  let flags = 0
  let carry = 0
  if (ext !== 0) {
    flags = PE
    const up = rc === 0 ? ext < 0 && (ext !== TOP || odd !== 0) : rc === 1 ? sign !== 0 : rc === 2 && sign === 0
    if (up) {
      flags |= C1
      if (precision === 24) hi = (hi + 0x100) | 0
      else {
        lo = (lo + (precision === 53 ? 0x800 : 1)) | 0
        if (lo === 0) hi = (hi + 1) | 0
      }
      if (hi === 0 && lo === 0) {
        hi = TOP
        carry = 1
      }
    }
  }
  rounded[0] = lo
  rounded[1] = hi
  rounded[2] = carry
  return flags
}

const shifted = new Int32Array(3) // lo, hi, ext
/** Shifts hi:lo.ext right by n ≥ 0 places, everything lost kept as the sticky bit 0 of ext. */
function shiftRight(hi: number, lo: number, ext: number, n: number): void {
  while (n >= 32) {
    ext = lo | (ext !== 0 ? 1 : 0)
    lo = hi
    hi = 0
    n -= 32
  }
  if (n > 0) {
    const lost = ext << (32 - n)
    ext = (lo << (32 - n)) | (ext >>> n) | (lost !== 0 ? 1 : 0)
    lo = (hi << (32 - n)) | (lo >>> n)
    hi >>>= n
  }
  shifted[0] = lo
  shifted[1] = hi
  shifted[2] = ext
}

/** A destination format in terms of the double-extended bias: precision, smallest normal and first too large exponent. */
export interface Format {
  readonly precision: number
  readonly low: number
  readonly high: number
}
const extended: Record<number, Format> = {
  0: { precision: 24, low: 1, high: 0x7fff },
  1: { precision: 64, low: 1, high: 0x7fff },
  2: { precision: 53, low: 1, high: 0x7fff },
  3: { precision: 64, low: 1, high: 0x7fff },
}
/** Double extended with all 64 bits, whatever precision control says (SDM 1 8.1.5.2: only five operations obey it). */
export const full = extended[3]!

/**
 * Rounds sign, (hi:lo.ext) × 2^(exp − 16446), hi's bit 31 set, into a format. Tininess is found after rounding; a masked
 * underflow denormalizes, an unmasked overflow or underflow wraps the exponent by 24576 (SDM 1 8.5.4, 8.5.5). In Z the
 * exponent of a denormal is `low` − 1.
 */
export function round(sign: number, exp: number, hi: number, lo: number, ext: number, fcw: number, format: Format): number {
  const rc = (fcw >> 10) & 3
  const { precision, low } = format
  let flags = roundAt(sign, hi, lo, ext, rc, precision)
  if (exp < low) {
    const tiny = exp < low - 1 || rounded[2] === 0
    if (tiny && !(fcw & UE)) {
      give(rounded[0]!, rounded[1]!, (sign << 15) | ((exp + rounded[2]! + 0x6000) & 0x7fff))
      return flags | UE
    }
    shiftRight(hi, lo, ext, Math.min(low - exp, 200))
    flags = roundAt(sign, shifted[1]!, shifted[0]!, shifted[2]!, rc, precision)
    give(rounded[0]!, rounded[1]!, (sign << 15) | (rounded[1]! < 0 ? low : low - 1))
    return tiny && flags & PE ? flags | UE : flags
  }
  exp += rounded[2]!
  if (exp >= format.high) {
    if (!(fcw & OE)) {
      give(rounded[0]!, rounded[1]!, (sign << 15) | ((exp - 0x6000) & 0x7fff))
      return flags | OE
    }
    if (rc === 0 || (rc === 1 && sign !== 0) || (rc === 2 && sign === 0)) {
      give(0, TOP, (sign << 15) | 0x7fff)
      return OE | PE | C1
    }
    const largest = precision === 64 ? -1 : precision === 53 ? ~0x7ff : 0
    give(largest, precision === 24 ? ~0xff : -1, (sign << 15) | (format.high - 1))
    return OE | PE
  }
  give(rounded[0]!, rounded[1]!, (sign << 15) | exp)
  return flags
}

/** `round` to double extended under precision control. */
export function finish(sign: number, exp: number, hi: number, lo: number, ext: number, fcw: number): number {
  if ((fcw & 0xf00) !== 0x300 || exp <= 0 || exp >= 0x7ffe) return round(sign, exp, hi, lo, ext, fcw, extended[(fcw >> 8) & 3]!)
  let flags = 0
  if (ext !== 0) {
    flags = PE
    if (ext < 0 && (ext !== TOP || (lo & 1) !== 0)) {
      flags = PE | C1
      lo = (lo + 1) | 0
      if (lo === 0) {
        hi = (hi + 1) | 0
        if (hi === 0) {
          hi = TOP
          exp++
        }
      }
    }
  }
  Z[0] = lo
  Z[1] = hi
  Z[2] = (sign << 15) | exp
  return flags
}

/** A normalized copy of a denormal: its exponent is returned, hi:lo go to `normal`. */
export const normal = new Int32Array(2)
export function normalize(lo: number, hi: number, exp: number): number {
  if (hi === 0) {
    hi = lo
    lo = 0
    exp -= 32
  }
  const n = Math.clz32(hi)
  normal[0] = n === 0 ? lo : lo << n
  normal[1] = n === 0 ? hi : (hi << n) | (lo >>> (32 - n))
  return exp - n
}

export const zero = (sign: number): number => {
  give(0, 0, sign << 15)
  return 0
}
export const infinity = (sign: number): number => {
  give(0, TOP, (sign << 15) | 0x7fff)
  return 0
}

/** The significand as a bigint. */
export const wide = (lo: number, hi: number): bigint => (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)

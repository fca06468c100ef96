// F2XM1, FYL2X, FYL2XP1, FSIN, FCOS, FPTAN, FPATAN (SDM 1 8.3.7, 8.3.10; SDM 2A tables of special operands).
// Evaluated with at least 120 good bits and rounded once, so within 0.5001 ulp. Trigonometric arguments beyond π/4 are first
// reduced by the 66-bit π that the processor has (SDM 1 8.3.8), exactly; the results are those of the reduced argument.

import {
  C1, DE, OE, PE, UE, Z, ZE, full, give, indefinite, isDenormal,
  isInfinity, isNaN80, isUnsupported, isZero80, normal, normalize, propagate, round, wide,
} from './float80.ts'
import { F, ONE, REDUCTION, arctanEighths, arctanFactor, ln2, logarithm, pi, reducingPi } from './constants.ts'
import { C2 } from './unit.ts'

const INTEGER_BIT = 0x80000000 | 0
const f = BigInt(F)

/** A finite number: magnitude m × 2^e. */
interface Real {
  readonly m: bigint
  readonly e: number
}
const bitLength = (v: bigint): number => {
  const s = v.toString(16)
  return s.length * 4 - Math.clz32(parseInt(s[0]!, 16)) + 28
}
/** Keeps about `bits` leading bits. */
const trim = (r: Real, bits: number): Real => {
  const extra = bitLength(r.m) - bits
  return extra > 0 ? { m: r.m >> BigInt(extra), e: r.e + extra } : r
}
/** m × 2^e with `bits` fraction bits. */
const fixed = (r: Real, bits: number): bigint => (r.e + bits >= 0 ? r.m << BigInt(r.e + bits) : r.m >> BigInt(-r.e - bits))
const times = (a: Real, b: bigint): Real => ({ m: a.m * b, e: a.e - F })

/** Rounds to 64 bits into Z; always inexact, as the processor reports it. */
function deliver(sign: number, r: Real, fcw: number): number {
  const n = bitLength(r.m)
  const m = n > 96 ? r.m >> BigInt(n - 96) : r.m << BigInt(96 - n)
  const ext = Number(m & 0xffffffffn) | 1
  const exp = r.e + n - 1 + 16383
  const hi = Number(m >> 64n) | 0
  const lo = Number((m >> 32n) & 0xffffffffn) | 0
  if (!(fcw & UE) && exp + 0x6000 <= 0) {
    give(0, 0, sign << 15)
    return UE | PE
  }
  if (!(fcw & OE) && exp - 0x6000 >= 0x7fff) {
    give(0, INTEGER_BIT, (sign << 15) | 0x7fff)
    return OE | PE | C1
  }
  return round(sign, exp, hi, lo, ext, fcw, full)
}

/** Magnitude of a finite nonzero operand, 64 significant bits. */
function real(lo: number, hi: number, se: number): Real {
  const e = normalize(lo, hi, (se & 0x7fff) || 1)
  return { m: wide(normal[0]!, normal[1]!), e: e - 16383 - 63 }
}
const exponentOf = (r: Real): number => r.e + bitLength(r.m) - 1

const zero = (sign: number, flags = 0): number => {
  give(0, 0, sign << 15)
  return flags
}
const infinity = (sign: number, flags = 0): number => {
  give(0, INTEGER_BIT, (sign << 15) | 0x7fff)
  return flags
}

/** sin r / r and cos r in F bits, 0 < r ≤ π/4. A tail below the last bit still pulls the value under 1. */
function series(square: bigint, first: bigint): bigint {
  let sum = ONE
  let term = ONE
  for (let k = first, minus = true; term !== 0n; k += 2n, minus = !minus) {
    term = ((term * square) >> f) / (k * (k + 1n))
    sum += minus ? -term : term
  }
  return sum === ONE ? ONE - 1n : sum
}

/** |x| modulo π/2 to the nearest multiple: quadrant, whether the rest is negative, and the rest. */
function reduce(x: Real): { quadrant: number; negative: boolean; rest: Real } {
  if (exponentOf(x) < -1) return { quadrant: 0, negative: false, rest: x }
  const v = fixed(x, REDUCTION)
  const half = reducingPi >> 1n
  let n = v / half
  let rest = v - n * half
  if (rest * 2n > half) {
    n += 1n
    rest -= half
  }
  return { quadrant: Number(n & 3n), negative: rest < 0n, rest: trim({ m: rest < 0n ? -rest : rest, e: -REDUCTION }, 160) }
}
const squareOf = (r: Real): bigint => fixed({ m: r.m * r.m, e: 2 * r.e }, F)
const sineOf = (r: Real): Real => times(r, series(squareOf(r), 2n))
const cosineOf = (r: Real): Real => ({ m: series(squareOf(r), 1n), e: -F })

/** Sign and magnitude of the sine of ±x, or of its cosine. */
function sine(x: Real, sign: number, cosine: boolean): { sign: number; value: Real } {
  const { quadrant, negative, rest } = reduce(x)
  const q = (quadrant + (cosine ? 1 : 0)) & 3 // cos x = sin(x + π/2), x ≥ 0
  const s = cosine ? 0 : sign
  if (q & 1) return { sign: s ^ (q >> 1), value: cosineOf(rest) }
  return { sign: s ^ (q >> 1) ^ (negative ? 1 : 0), value: sineOf(rest) }
}

/** Common classes of the trigonometric operand; −1 when the function must be computed. C2 = out of range (|x| ≥ 2^63). */
function trigonometric(lo: number, hi: number, se: number, fcw: number): number {
  if (isUnsupported(hi, se)) return indefinite()
  if (isNaN80(lo, hi, se)) return propagate(lo, hi, se, lo, hi, se)
  if (isInfinity(lo, hi, se)) return indefinite()
  if ((se & 0x7fff) >= 16383 + 63) {
    give(lo, hi, se)
    return C2
  }
  return isDenormal(lo, hi, se) && !(fcw & DE) ? DE : -1
}
const denormal = (lo: number, hi: number, se: number): number => (isDenormal(lo, hi, se) ? DE : 0)

export function sin(lo: number, hi: number, se: number, fcw: number): number {
  const done = trigonometric(lo, hi, se, fcw)
  if (done >= 0) return done
  if (isZero80(lo, hi, se)) return zero(se >> 15)
  const r = sine(real(lo, hi, se), se >> 15, false)
  return denormal(lo, hi, se) | deliver(r.sign, r.value, fcw)
}
export function cos(lo: number, hi: number, se: number, fcw: number): number {
  const done = trigonometric(lo, hi, se, fcw)
  if (done >= 0) return done
  if (isZero80(lo, hi, se)) {
    give(0, INTEGER_BIT, 16383)
    return 0
  }
  const r = sine(real(lo, hi, se), se >> 15, true)
  return denormal(lo, hi, se) | deliver(r.sign, r.value, fcw)
}
export function tan(lo: number, hi: number, se: number, fcw: number): number {
  const done = trigonometric(lo, hi, se, fcw)
  if (done >= 0) return done
  if (isZero80(lo, hi, se)) return zero(se >> 15)
  const x = real(lo, hi, se)
  const s = sine(x, se >> 15, false)
  const c = sine(x, 0, true)
  return denormal(lo, hi, se) | deliver(s.sign ^ c.sign, quotient(s.value, c.value), fcw)
}
/** a ÷ b to 160 bits or so. */
function quotient(a: Real, b: Real): Real {
  const up = Math.max(0, 160 + bitLength(b.m) - bitLength(a.m))
  return { m: (a.m << BigInt(up)) / b.m, e: a.e - b.e - up }
}

/** arctan(y/x) in the quadrant of both signs (SDM 2A table 3-29). a is ST(0) = x, b is ST(1) = y. */
export function arctan(alo: number, ahi: number, ase: number, blo: number, bhi: number, bse: number, fcw: number): number {
  if (isUnsupported(ahi, ase) || isUnsupported(bhi, bse)) return indefinite()
  if (isNaN80(alo, ahi, ase) || isNaN80(blo, bhi, bse)) return propagate(alo, ahi, ase, blo, bhi, bse)
  const sign = bse >> 15
  const left = ase >> 15 === 1
  const de = denormal(alo, ahi, ase) | denormal(blo, bhi, bse)
  if (de & ~fcw) return DE
  const eighth = (n: bigint): number => de | deliver(sign, { m: n * pi, e: -F - 3 }, fcw) // n × π/8
  const ix = isInfinity(alo, ahi, ase)
  const iy = isInfinity(blo, bhi, bse)
  if (iy) return eighth(ix ? (left ? 6n : 2n) : 4n)
  if (isZero80(blo, bhi, bse) || ix) return left ? eighth(8n) : zero(sign, de)
  if (isZero80(alo, ahi, ase)) return eighth(4n)
  const x = real(alo, ahi, ase)
  const y = real(blo, bhi, bse)
  const steep = exponentOf(y) > exponentOf(x) || (exponentOf(y) === exponentOf(x) && y.m > x.m)
  const [num, den] = steep ? [x, y] : [y, x]
  const distance = num.e - den.e // at most 0: both have 64 bits
  let angle: Real
  const k = distance < -8 ? 0n : ((num.m << 4n) / (den.m << BigInt(-distance)) + 1n) >> 1n // nearest eighth of the tangent
  if (k === 0n) {
    const t = quotient(num, den)
    const factor = arctanFactor(squareOf(t))
    // a tail below the last bit still keeps the angle under the tangent
    angle = times(t, factor === ONE ? ONE - 1n : factor)
  } else {
    const n = num.m
    const d = den.m << BigInt(-distance)
    const z = ((8n * n - k * d) << f) / (8n * d + k * n)
    angle = { m: arctanEighths[Number(k)]! + ((z * arctanFactor((z * z) >> f)) >> f), e: -F }
  }
  if (!steep && !left) return de | deliver(sign, angle, fcw)
  const a = fixed(angle, F) + (angle.e < -F ? 1n : 0n)
  const whole = steep ? (left ? (pi >> 1n) + a : (pi >> 1n) - a) : pi - a
  return de | deliver(sign, { m: whole, e: -F }, fcw)
}

/** 2^x − 1 for −1 ≤ x ≤ 1; outside, undefined by the manual, the operand stays and counts as inexact. */
export function exponential(lo: number, hi: number, se: number, fcw: number): number {
  if (isUnsupported(hi, se)) return indefinite()
  if (isNaN80(lo, hi, se)) return propagate(lo, hi, se, lo, hi, se)
  const sign = se >> 15
  if (isInfinity(lo, hi, se)) {
    if (sign) give(0, INTEGER_BIT, 0x8000 | 16383)
    else infinity(0)
    return 0
  }
  if (isZero80(lo, hi, se)) return zero(sign)
  const de = denormal(lo, hi, se)
  if (de & ~fcw) return DE
  const e = (se & 0x7fff) - 16383
  if (e >= 0) {
    if (e > 0 || hi !== INTEGER_BIT || lo !== 0) {
      give(lo, hi, se)
      return PE
    }
    give(0, INTEGER_BIT, sign ? 0x8000 | 16382 : 16383)
    return PE
  }
  const z = trim(times(real(lo, hi, se), ln2), 160)
  const t = fixed(z, F)
  // (e^z − 1) / z = 1 + z/2 + z²/6 + …
  let sum = ONE
  let term = ONE
  for (let k = 2n; term !== 0n; k++) {
    term = ((term * t) >> f) / k
    sum += sign && (k & 1n) === 0n ? -term : term
  }
  return de | deliver(sign, times(z, sum), fcw)
}

/** y × log2, from the magnitude of the natural logarithm. */
function timesLog(sign: number, y: Real, log: Real, fcw: number): number {
  return deliver(sign, { m: (y.m * log.m << f) / ln2, e: y.e + log.e }, fcw)
}

/** 2 artanh(n/d), n/d of any size above 2^−16500, |n/d| ≤ 0.18. */
function artanh2(n: bigint, d: bigint): Real {
  const s = quotient({ m: n, e: 0 }, { m: d, e: 0 })
  if (exponentOf(s) > -90) {
    const square = squareOf(s)
    let sum = 0n
    let power = ONE
    for (let k = 1n; power !== 0n; k += 2n) {
      sum += power / k
      power = (power * square) >> f
    }
    return { m: s.m * sum * 2n, e: s.e - F }
  }
  return { m: s.m * 2n, e: s.e }
}

/** y × log2(x): a is ST(0) = x, b is ST(1) = y (SDM 2A table 3-48). */
export function ylog2x(alo: number, ahi: number, ase: number, blo: number, bhi: number, bse: number, fcw: number): number {
  if (isUnsupported(ahi, ase) || isUnsupported(bhi, bse)) return indefinite()
  if (isNaN80(alo, ahi, ase) || isNaN80(blo, bhi, bse)) return propagate(alo, ahi, ase, blo, bhi, bse)
  const sy = bse >> 15
  const zx = isZero80(alo, ahi, ase)
  const zy = isZero80(blo, bhi, bse)
  const iy = isInfinity(blo, bhi, bse)
  if (ase >> 15 && !zx) return indefinite()
  if (isInfinity(alo, ahi, ase)) return zy ? indefinite() : denormalOr(blo, bhi, bse, fcw, () => infinity(sy))
  if (zx) {
    if (zy) return indefinite()
    return iy ? infinity(sy ^ 1) : infinity(sy ^ 1, ZE)
  }
  const de = denormal(alo, ahi, ase) | denormal(blo, bhi, bse)
  const x = real(alo, ahi, ase)
  let k = exponentOf(x)
  const unit = x.m === 1n << 63n
  if (iy) {
    if (unit && k === 0) return indefinite()
    if (de & ~fcw) return DE
    return de | infinity(k < 0 ? sy ^ 1 : sy)
  }
  if (de & ~fcw) return DE
  if (zy) return zero(k < 0 ? sy ^ 1 : sy, de)
  const y = real(blo, bhi, bse)
  if (unit) {
    if (k === 0) return zero(sy, de)
    return de | deliver(k < 0 ? sy ^ 1 : sy, { m: y.m * BigInt(Math.abs(k)), e: y.e }, fcw)
  }
  // the significand in [√½, √2): m / 2^63 or m / 2^64
  let one = 1n << 63n
  if (x.m * x.m > 1n << 127n) {
    one <<= 1n
    k++
  }
  const above = x.m > one
  const small = artanh2(above ? x.m - one : one - x.m, x.m + one)
  if (k === 0) return de | timesLog(above ? sy : sy ^ 1, y, small, fcw)
  const whole = BigInt(k) * ln2 + (above ? fixed(small, F) : -fixed(small, F))
  return de | timesLog(whole < 0n ? sy ^ 1 : sy, y, { m: whole < 0n ? -whole : whole, e: -F }, fcw)
}
function denormalOr(lo: number, hi: number, se: number, fcw: number, result: () => number): number {
  const de = denormal(lo, hi, se)
  return de & ~fcw ? DE : de | result()
}

/** y × log2(x + 1) (SDM 2A table 3-49). Defined for |x| < 1 − √½; beyond, computed while x > −1, else x. */
export function ylog2xp1(alo: number, ahi: number, ase: number, blo: number, bhi: number, bse: number, fcw: number): number {
  if (isUnsupported(ahi, ase) || isUnsupported(bhi, bse)) return indefinite()
  if (isNaN80(alo, ahi, ase) || isNaN80(blo, bhi, bse)) return propagate(alo, ahi, ase, blo, bhi, bse)
  const sx = ase >> 15
  const sy = bse >> 15
  const zx = isZero80(alo, ahi, ase)
  const zy = isZero80(blo, bhi, bse)
  const iy = isInfinity(blo, bhi, bse)
  if (isInfinity(alo, ahi, ase)) return sx || zy ? indefinite() : denormalOr(blo, bhi, bse, fcw, () => infinity(sy))
  if (iy) return zx ? indefinite() : denormalOr(alo, ahi, ase, fcw, () => infinity(sx ^ sy))
  const de = denormal(alo, ahi, ase) | denormal(blo, bhi, bse)
  if (de & ~fcw) return DE
  if (zx || zy) return zero(sx ^ sy, de)
  const x = real(alo, ahi, ase)
  const y = real(blo, bhi, bse)
  const e = exponentOf(x)
  if (sx && e >= 0) {
    give(alo, ahi, ase)
    return de | PE
  }
  if (e < -2) {
    if (x.e < -400) return de | timesLog(sx ^ sy, y, x, fcw) // ln(1 + x) = x far beyond the last bit
    // artanh's argument x / (2 + x) = ±m / (2^(1 − e) ± m)
    const two = 1n << BigInt(1 - x.e)
    return de | timesLog(sx ^ sy, y, artanh2(x.m, sx ? two - x.m : two + x.m), fcw)
  }
  // 1 + x as a fraction n / 2^b, then as above
  const b = Math.max(0, -x.e)
  const n = sx ? (1n << BigInt(b)) - x.m : (1n << BigInt(b)) + (x.m << BigInt(Math.max(0, x.e)))
  let k = bitLength(n) - 1
  let one = 1n << BigInt(k)
  if (n * n > one * one * 2n) {
    one <<= 1n
    k++
  }
  k -= b
  const log = BigInt(k) * ln2 + signedLog(n - one, n + one)
  return de | timesLog(log < 0n ? sy ^ 1 : sy, y, { m: log < 0n ? -log : log, e: -F }, fcw)
}
const signedLog = (num: bigint, den: bigint): bigint => (num < 0n ? -logarithm(-num, den, F) : logarithm(num, den, F))

/** FSINCOS: the sine in Z as it returns, the cosine in `second`; flags of both. */
export const second = new Int32Array(3)
export function sincos(lo: number, hi: number, se: number, fcw: number): number {
  const c = cos(lo, hi, se, fcw)
  second.set(Z)
  const s = sin(lo, hi, se, fcw)
  return (c & ~0x200) | s
}

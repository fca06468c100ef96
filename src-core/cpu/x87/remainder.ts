// FPREM, FPREM1, FSCALE, FXTRACT, FRNDINT (SDM 2A, and 1 8.3.6, 8.3.9). Each takes ST(0), ST(1) from the caller as lo, hi, se.

import {
  C1, DE, OE, PE, UE, Z, ZE, full, give, indefinite, isDenormal,
  isInfinity, isNaN80, isUnsupported, isZero80, normal, normalize, propagate, round, wide,
} from './float80.ts'
import { toIntegral } from './convert.ts'
import { C0, C2, C3 } from './unit.ts'

const INTEGER_BIT = 0x80000000 | 0
/** Low quotient bits as FPREM reports them: Q2 in C0, Q1 in C3, Q0 in C1. */
const quotientBits = (q: number): number => (q & 4 ? C0 : 0) | (q & 2 ? C3 : 0) | (q & 1 ? C1 : 0)

/** Partial remainder; `nearest` = FPREM1. Bits 8, 9, 10, 14 of the result are C0, C1, C2, C3. */
export function remainderOf(alo: number, ahi: number, ase: number, blo: number, bhi: number, bse: number, fcw: number, nearest: boolean): number {
  if (isUnsupported(ahi, ase) || isUnsupported(bhi, bse)) return indefinite()
  if (isNaN80(alo, ahi, ase) || isNaN80(blo, bhi, bse)) return propagate(alo, ahi, ase, blo, bhi, bse)
  if (isInfinity(alo, ahi, ase) || isZero80(blo, bhi, bse)) return indefinite()
  const de = isDenormal(alo, ahi, ase) || isDenormal(blo, bhi, bse) ? DE : 0
  if (de & ~fcw) return DE
  const sign = ase >> 15
  if (isZero80(alo, ahi, ase)) {
    give(alo, ahi, ase)
    return de
  }
  let ea = normalize(alo, ahi, (ase & 0x7fff) || 1)
  let n = wide(normal[0]!, normal[1]!)
  if (isInfinity(blo, bhi, bse)) return de | pack(sign, ea, n, fcw)
  const eb = normalize(blo, bhi, (bse & 0x7fff) || 1)
  const d = wide(normal[0]!, normal[1]!)
  const distance = ea - eb
  if (distance >= 64) {
    // reduce the exponents' distance by 32 to 63, without a quotient (SDM 2A FPREM, "Operation")
    const step = (distance & 31) + 32
    n = (n << BigInt(step)) % d
    ea = eb + distance - step
    return C2 | de | (n === 0n ? pack(sign, 1, 0n, fcw) : pack(sign, ea, n, fcw))
  }
  let q = 0n
  let result = sign
  if (distance >= 0) {
    n <<= BigInt(distance)
    q = n / d
    n -= q * d
    ea = eb
  }
  if (nearest && distance >= -1) {
    // with distance −1 the operand counts in half units of the divisor
    const divisor = distance === -1 ? d << 1n : d
    const twice = n << 1n
    if (twice > divisor || (twice === divisor && (q & 1n) === 1n)) {
      n = divisor - n
      q += 1n
      result ^= 1
    }
  }
  const bits = quotientBits(Number(q & 7n))
  return bits | de | (n === 0n ? pack(sign, 1, 0n, fcw) : pack(result, ea, n, fcw))
}

/** n × 2^(exp − 16446) to Z; always exact. */
function pack(sign: number, exp: number, n: bigint, fcw: number): number {
  if (n === 0n) {
    give(0, 0, sign << 15)
    return 0
  }
  const e = normalize(Number(n & 0xffffffffn) | 0, Number((n >> 32n) & 0xffffffffn) | 0, exp)
  return round(sign, e, normal[1]!, normal[0]!, 0, fcw, full)
}

/** ST(0) × 2^trunc(ST(1)) (SDM 2A table 3-30). */
export function scale(alo: number, ahi: number, ase: number, blo: number, bhi: number, bse: number, fcw: number): number {
  if (isUnsupported(ahi, ase) || isUnsupported(bhi, bse)) return indefinite()
  if (isNaN80(alo, ahi, ase) || isNaN80(blo, bhi, bse)) return propagate(alo, ahi, ase, blo, bhi, bse)
  const sign = ase >> 15
  const negative = bse >> 15 === 1
  const de = isDenormal(alo, ahi, ase) || isDenormal(blo, bhi, bse) ? DE : 0
  const za = isZero80(alo, ahi, ase)
  const ia = isInfinity(alo, ahi, ase)
  if (isInfinity(blo, bhi, bse)) {
    if (negative ? ia : za) return indefinite()
    if (de & ~fcw) return DE
    if (negative) give(0, 0, sign << 15)
    else give(0, INTEGER_BIT, (sign << 15) | 0x7fff)
    return de
  }
  if (de & ~fcw) return DE
  if (ia || za) {
    give(alo, ahi, ase)
    return de
  }
  const e = (bse & 0x7fff) - 16383
  const magnitude = e < 0 ? 0 : e > 16 ? 0x20000 : bhi >>> (31 - e)
  const start = normalize(alo, ahi, (ase & 0x7fff) || 1)
  const exp = start + (negative ? -magnitude : magnitude)
  // past what a wrapped exponent can say, unmasked responses deliver infinity or zero
  if (!(fcw & OE) && exp - 0x6000 >= 0x7fff) {
    give(0, INTEGER_BIT, (sign << 15) | 0x7fff)
    return de | OE | PE | C1
  }
  if (!(fcw & UE) && exp + 0x6000 <= 0) {
    give(0, 0, sign << 15)
    return de | UE | PE
  }
  return de | round(sign, exp, normal[1]!, normal[0]!, 0, fcw, full)
}

/** Exponent and significand as values: the exponent in `exponent`, the significand in Z. */
export const exponent = new Int32Array(3)
export function extract(lo: number, hi: number, se: number, fcw: number): number {
  const both = (flags: number): number => {
    exponent.set(Z)
    return flags
  }
  if (isUnsupported(hi, se)) return both(indefinite())
  if (isNaN80(lo, hi, se)) return both(propagate(lo, hi, se, lo, hi, se))
  if (isInfinity(lo, hi, se)) {
    exponent.set([0, INTEGER_BIT, 0x7fff])
    give(lo, hi, se)
    return 0
  }
  if (isZero80(lo, hi, se)) {
    exponent.set([0, INTEGER_BIT, 0xffff])
    give(lo, hi, se)
    return ZE
  }
  const de = isDenormal(lo, hi, se) ? DE : 0
  if (de & ~fcw) return DE
  const e = normalize(lo, hi, (se & 0x7fff) || 1) - 16383
  const n = Math.clz32(Math.abs(e))
  exponent.set(e === 0 ? [0, 0, 0] : [0, Math.abs(e) << n, (e < 0 ? 0x8000 : 0) | (16383 + 31 - n)])
  give(normal[0]!, normal[1]!, (se & 0x8000) | 16383)
  return de
}

export function roundToIntegral(lo: number, hi: number, se: number, fcw: number): number {
  if (isUnsupported(hi, se)) return indefinite()
  if (isNaN80(lo, hi, se)) return propagate(lo, hi, se, lo, hi, se)
  if ((se & 0x7fff) === 0x7fff || isZero80(lo, hi, se)) {
    give(lo, hi, se)
    return 0
  }
  const de = isDenormal(lo, hi, se) ? DE : 0
  if (de & ~fcw) return DE
  return de | (toIntegral(lo, hi, se, (fcw >> 10) & 3))
}

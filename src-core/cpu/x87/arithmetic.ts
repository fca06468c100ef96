// Add, subtract, multiply, divide, square root and compare on double extended (SDM 1 8.3.5, 8.3.6; special operands in SDM 2A).
// Operands are lo, hi (significand) and se (sign bit 15, biased exponent); results go to `Z`, exceptions are returned.

import {
  DE, IE, TOP, ZE, finish, give, indefinite, infinity, isDenormal, isInfinity, isNaN80, isUnsupported, isZero80, normal, normalize, propagate, quiet,
  special, wide, zero,
} from './float80.ts'

/** Two float80 values to flags; the FCW decides precision, rounding and what unmasked exceptions deliver. */
export type Operation = (alo: number, ahi: number, ase: number, blo: number, bhi: number, bse: number, fcw: number) => number

export const add: Operation = (alo, ahi, ase, blo, bhi, bse, fcw) =>
  special(ahi, ase) || special(bhi, bse)
    ? addSpecial(alo, ahi, ase, blo, bhi, bse, fcw)
    : addFinite(ase >> 15, ase & 0x7fff, ahi, alo, bse >> 15, bse & 0x7fff, bhi, blo, fcw)
export const sub: Operation = (alo, ahi, ase, blo, bhi, bse, fcw) =>
  special(ahi, ase) || special(bhi, bse)
    ? isNaN80(blo, bhi, bse)
      ? addSpecial(alo, ahi, ase, blo, bhi, bse, fcw)
      : addSpecial(alo, ahi, ase, blo, bhi, bse ^ 0x8000, fcw)
    : addFinite(ase >> 15, ase & 0x7fff, ahi, alo, (bse >> 15) ^ 1, bse & 0x7fff, bhi, blo, fcw)

function addSpecial(alo: number, ahi: number, ase: number, blo: number, bhi: number, bse: number, fcw: number): number {
  if (isUnsupported(ahi, ase) || isUnsupported(bhi, bse)) return indefinite()
  if (isNaN80(alo, ahi, ase) || isNaN80(blo, bhi, bse)) return propagate(alo, ahi, ase, blo, bhi, bse)
  const sa = ase >> 15
  const sb = bse >> 15
  const de = isDenormal(alo, ahi, ase) || isDenormal(blo, bhi, bse) ? DE : 0
  const ia = isInfinity(alo, ahi, ase)
  if (ia || isInfinity(blo, bhi, bse)) {
    if (ia && isInfinity(blo, bhi, bse) && sa !== sb) return indefinite()
    return de | infinity(ia ? sa : sb)
  }
  if (de & ~fcw) return DE
  const za = isZero80(alo, ahi, ase)
  const zb = isZero80(blo, bhi, bse)
  if (za && zb) return zero(sa === sb ? sa : (fcw & 0xc00) === 0x400 ? 1 : 0)
  const ea = normalize(alo, ahi, (ase & 0x7fff) || 1)
  const hi = normal[1]!
  const lo = normal[0]!
  if (zb) return de | finish(sa, ea, hi, lo, 0, fcw)
  const eb = normalize(blo, bhi, (bse & 0x7fff) || 1)
  if (za) return de | finish(sb, eb, normal[1]!, normal[0]!, 0, fcw)
  return de | addFinite(sa, ea, hi, lo, sb, eb, normal[1]!, normal[0]!, fcw)
}

function addFinite(sa: number, ea: number, ahi: number, alo: number, sb: number, eb: number, bhi: number, blo: number, fcw: number): number {
  let n = ea - eb
  if (n < 0 || (n === 0 && (ahi === bhi ? alo >>> 0 < blo >>> 0 : ahi >>> 0 < bhi >>> 0))) {
    let t = ahi
    ahi = bhi
    bhi = t
    t = alo
    alo = blo
    blo = t
    t = sa
    sa = sb
    sb = t
    ea = eb
    n = -n
  }
  // b, the smaller, moves right by n; a keeps its place
  let ext = 0
  if (n > 66) {
    ext = 1
    bhi = 0
    blo = 0
  } else {
    if (n >= 32) {
      if (n >= 64) {
        ext = bhi | (blo !== 0 ? 1 : 0)
        blo = 0
        n -= 64
      } else {
        ext = blo
        blo = bhi
        n -= 32
      }
      bhi = 0
    }
    if (n > 0) {
      const lost = ext << (32 - n)
      ext = (blo << (32 - n)) | (ext >>> n) | (lost !== 0 ? 1 : 0)
      blo = (bhi << (32 - n)) | (blo >>> n)
      bhi >>>= n
    }
  }
  if (sa === sb) {
    let lo = (alo + blo) | 0
    const carry = lo >>> 0 < alo >>> 0 ? 1 : 0
    let hi = (ahi + bhi + carry) | 0
    if (carry !== 0 ? hi >>> 0 <= ahi >>> 0 : hi >>> 0 < ahi >>> 0) {
      ext = (lo << 31) | (ext >>> 1) | (ext & 1)
      lo = (hi << 31) | (lo >>> 1)
      hi = (hi >>> 1) | TOP
      ea++
    }
    return finish(sa, ea, hi, lo, ext, fcw)
  }
  const borrow = ext !== 0 ? 1 : 0
  ext = -ext | 0
  let lo = (alo - blo - borrow) | 0
  let hi = (ahi - bhi - (borrow !== 0 ? (alo >>> 0 <= blo >>> 0 ? 1 : 0) : alo >>> 0 < blo >>> 0 ? 1 : 0)) | 0
  if ((hi | lo | ext) === 0) return zero((fcw & 0xc00) === 0x400 ? 1 : 0)
  while (hi === 0) {
    hi = lo
    lo = ext
    ext = 0
    ea -= 32
  }
  const up = Math.clz32(hi)
  if (up > 0) {
    hi = (hi << up) | (lo >>> (32 - up))
    lo = (lo << up) | (ext >>> (32 - up))
    ext <<= up
    ea -= up
  }
  return finish(sa, ea, hi, lo, ext, fcw)
}

/** Upper half of an unsigned 32 × 32 product, as int32. */
function mulHigh(a: number, b: number): number {
  const a0 = a & 0xffff
  const a1 = a >>> 16
  const b0 = b & 0xffff
  const b1 = b >>> 16
  const m = (Math.imul(a1, b0) + (Math.imul(a0, b0) >>> 16)) | 0
  const n = (Math.imul(a0, b1) + (m & 0xffff)) | 0
  return (Math.imul(a1, b1) + (m >>> 16) + (n >>> 16)) | 0
}

export const mul: Operation = (alo, ahi, ase, blo, bhi, bse, fcw) => {
  if (special(ahi, ase) || special(bhi, bse)) return mulSpecial(alo, ahi, ase, blo, bhi, bse, fcw)
  return mulFinite((ase ^ bse) >> 15, (ase & 0x7fff) + (bse & 0x7fff), ahi, alo, bhi, blo, fcw)
}
function mulSpecial(alo: number, ahi: number, ase: number, blo: number, bhi: number, bse: number, fcw: number): number {
  if (isUnsupported(ahi, ase) || isUnsupported(bhi, bse)) return indefinite()
  if (isNaN80(alo, ahi, ase) || isNaN80(blo, bhi, bse)) return propagate(alo, ahi, ase, blo, bhi, bse)
  const sign = (ase ^ bse) >> 15
  const de = isDenormal(alo, ahi, ase) || isDenormal(blo, bhi, bse) ? DE : 0
  const none = isZero80(alo, ahi, ase) || isZero80(blo, bhi, bse)
  if (isInfinity(alo, ahi, ase) || isInfinity(blo, bhi, bse)) return none ? indefinite() : de | infinity(sign)
  if (none) return de | zero(sign)
  if (de & ~fcw) return DE
  const ea = normalize(alo, ahi, (ase & 0x7fff) || 1)
  const hi = normal[1]!
  const lo = normal[0]!
  const eb = normalize(blo, bhi, (bse & 0x7fff) || 1)
  return de | mulFinite(sign, ea + eb, hi, lo, normal[1]!, normal[0]!, fcw)
}
function mulFinite(sign: number, exponents: number, ahi: number, alo: number, bhi: number, blo: number, fcw: number): number {
  const p0 = Math.imul(alo, blo)
  const x = Math.imul(ahi, blo)
  const y = Math.imul(alo, bhi)
  const xh = mulHigh(ahi, blo)
  const z = Math.imul(ahi, bhi)
  let p1 = (mulHigh(alo, blo) + x) | 0
  let carry = p1 >>> 0 < x >>> 0 ? 1 : 0
  p1 = (p1 + y) | 0
  if (p1 >>> 0 < y >>> 0) carry++
  let p2 = (mulHigh(alo, bhi) + xh) | 0
  let carry2 = p2 >>> 0 < xh >>> 0 ? 1 : 0
  p2 = (p2 + z) | 0
  if (p2 >>> 0 < z >>> 0) carry2++
  p2 = (p2 + carry) | 0
  if (p2 >>> 0 < carry) carry2++
  let p3 = (mulHigh(ahi, bhi) + carry2) | 0
  let exp = exponents - 16382
  if (p0 !== 0) p1 |= 1 // sticky; bit 0 of p1 stays below every rounding position
  if (p3 >= 0) {
    p3 = (p3 << 1) | (p2 >>> 31)
    p2 = (p2 << 1) | (p1 >>> 31)
    p1 = (p1 << 1) | (p1 & 1)
    exp--
  }
  return finish(sign, exp, p3, p2, p1, fcw)
}

export const div: Operation = (alo, ahi, ase, blo, bhi, bse, fcw) => {
  const sign = (ase ^ bse) >> 15
  if (!special(ahi, ase) && !special(bhi, bse)) return divFinite(sign, (ase & 0x7fff) - (bse & 0x7fff), ahi, alo, bhi, blo, fcw)
  if (isUnsupported(ahi, ase) || isUnsupported(bhi, bse)) return indefinite()
  if (isNaN80(alo, ahi, ase) || isNaN80(blo, bhi, bse)) return propagate(alo, ahi, ase, blo, bhi, bse)
  const de = isDenormal(alo, ahi, ase) || isDenormal(blo, bhi, bse) ? DE : 0
  const za = isZero80(alo, ahi, ase)
  const zb = isZero80(blo, bhi, bse)
  if (isInfinity(alo, ahi, ase)) return isInfinity(blo, bhi, bse) ? indefinite() : de | infinity(sign)
  if (za && zb) return indefinite()
  if (isInfinity(blo, bhi, bse) || za) return de | zero(sign)
  if (zb) return infinity(sign) | ZE
  if (de & ~fcw) return DE
  const ea = normalize(alo, ahi, (ase & 0x7fff) || 1)
  const hi = normal[1]!
  const lo = normal[0]!
  const eb = normalize(blo, bhi, (bse & 0x7fff) || 1)
  return de | divFinite(sign, ea - eb, hi, lo, normal[1]!, normal[0]!, fcw)
}

const remainder = new Int32Array(2) // lo, hi
/** One 32-bit digit of (rh:rl:n) ÷ (bhi:blo) with rh:rl < b; the remainder goes to `remainder`. */
function digit(rh: number, rl: number, n: number, bhi: number, blo: number): number {
  const B = (bhi >>> 0) * 4294967296 + (blo >>> 0)
  const R = ((rh >>> 0) * 4294967296 + (rl >>> 0)) * 4294967296 + (n >>> 0)
  let q = Math.min(Math.floor(R / B), 0xffffffff) | 0 // off by one at most
  const p0 = Math.imul(q, blo)
  const middle = (mulHigh(q, blo) >>> 0) + (Math.imul(q, bhi) >>> 0)
  const p2 = (mulHigh(q, bhi) + (middle > 0xffffffff ? 1 : 0)) | 0
  const d0 = (n >>> 0) - (p0 >>> 0)
  const d1 = (rl >>> 0) - ((middle | 0) >>> 0) - (d0 < 0 ? 1 : 0)
  const s2 = (rh - p2 - (d1 < 0 ? 1 : 0)) | 0
  let s0 = d0 | 0
  let s1 = d1 | 0
  if (s2 < 0) {
    q--
    const c = (s0 >>> 0) + (blo >>> 0)
    s0 = c | 0
    s1 = (s1 + bhi + (c > 0xffffffff ? 1 : 0)) | 0
  } else if (s2 > 0 || s1 >>> 0 > bhi >>> 0 || (s1 === bhi && s0 >>> 0 >= blo >>> 0)) {
    q++
    const c = (s0 >>> 0) - (blo >>> 0)
    s0 = c | 0
    s1 = (s1 - bhi - (c < 0 ? 1 : 0)) | 0
  }
  remainder[0] = s0
  remainder[1] = s1
  return q | 0
}
function divFinite(sign: number, exponents: number, ahi: number, alo: number, bhi: number, blo: number, fcw: number): number {
  let exp = exponents + 16383
  let n1 = 0
  if (ahi >>> 0 > bhi >>> 0 || (ahi === bhi && alo >>> 0 >= blo >>> 0)) {
    n1 = alo << 31
    alo = (ahi << 31) | (alo >>> 1)
    ahi >>>= 1
  } else exp--
  const hi = digit(ahi, alo, n1, bhi, blo)
  const lo = digit(remainder[1]!, remainder[0]!, 0, bhi, blo)
  const r1 = remainder[1]!
  const r0 = remainder[0]!
  let ext = 0
  if ((r0 | r1) !== 0) {
    const d1 = (r1 << 1) | (r0 >>> 31)
    const d0 = r0 << 1
    if (r1 < 0 || d1 >>> 0 > bhi >>> 0 || (d1 === bhi && d0 >>> 0 > blo >>> 0)) ext = 0xc0000000 | 0
    else ext = d1 === bhi && d0 === blo ? TOP : 1
  }
  return finish(sign, exp, hi, lo, ext, fcw)
}

/** Operands exchanged: b − a, b ÷ a. */
export const subr: Operation = (alo, ahi, ase, blo, bhi, bse, fcw) => sub(blo, bhi, bse, alo, ahi, ase, fcw)
export const divr: Operation = (alo, ahi, ase, blo, bhi, bse, fcw) => div(blo, bhi, bse, alo, ahi, ase, fcw)

export function sqrt(lo: number, hi: number, se: number, fcw: number): number {
  if (isUnsupported(hi, se)) return indefinite()
  if (isNaN80(lo, hi, se)) return propagate(lo, hi, se, lo, hi, se)
  if (isZero80(lo, hi, se)) {
    give(lo, hi, se)
    return 0
  }
  if (se & 0x8000) return indefinite()
  if (isInfinity(lo, hi, se)) return infinity(0)
  const de = isDenormal(lo, hi, se) ? DE : 0
  if (de & ~fcw) return DE
  const e = normalize(lo, hi, (se & 0x7fff) || 1) - 16383
  const odd = e & 1
  const n = wide(normal[0]!, normal[1]!) << BigInt(63 + odd)
  let r = BigInt(Math.floor(Math.sqrt(Number(n))))
  r = (r + n / r) >> 1n
  while (r * r > n) r--
  while ((r + 1n) * (r + 1n) <= n) r++
  const rest = n - r * r
  const ext = rest === 0n ? 0 : rest > r ? 0xc0000000 | 0 : 1 // above or below r + ½
  return de | finish(0, (e - odd) / 2 + 16383, Number(r >> 32n) | 0, Number(r & 0xffffffffn) | 0, ext, fcw)
}

/** C3, C2, C0 as comparisons set them. */
export const Order = { greater: 0, less: 0x100, equal: 0x4000, unordered: 0x4500 } as const
const order = { code: 0 }
/** Result of the last `compare`: one of `Order`. */
export const ordering = (): number => order.code

/** a : b; quiet comparisons (FUCOM) raise IE for signaling NaNs only. Returns exceptions. */
export function compare(alo: number, ahi: number, ase: number, blo: number, bhi: number, bse: number, quietly: boolean): number {
  order.code = Order.unordered
  if (isUnsupported(ahi, ase) || isUnsupported(bhi, bse)) return IE
  const na = isNaN80(alo, ahi, ase)
  const nb = isNaN80(blo, bhi, bse)
  if (na || nb) return !quietly || (na && !quiet(ahi)) || (nb && !quiet(bhi)) ? IE : 0
  const de = isDenormal(alo, ahi, ase) || isDenormal(blo, bhi, bse) ? DE : 0
  const sa = ase >> 15
  const sb = bse >> 15
  if (isZero80(alo, ahi, ase) && isZero80(blo, bhi, bse)) order.code = Order.equal
  else if (sa !== sb) order.code = sa ? Order.less : Order.greater
  else {
    // a pseudo-denormal has the value of exponent 1
    const ea = (ase & 0x7fff) || (ahi < 0 ? 1 : 0)
    const eb = (bse & 0x7fff) || (bhi < 0 ? 1 : 0)
    const more = ea !== eb ? ea > eb : ahi !== bhi ? ahi >>> 0 > bhi >>> 0 : alo >>> 0 > blo >>> 0
    if (ea === eb && ahi === bhi && alo === blo) order.code = Order.equal
    else order.code = more !== (sa === 1) ? Order.greater : Order.less
  }
  return de
}

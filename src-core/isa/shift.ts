// Shifts and rotates (SDM 2B: SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD).
// OF is defined for a count of 1 only; other counts give what Intel parts do. Count 0 leaves all flags.

import type { E } from './context.ts'
import { row, type Row } from './row.ts'
import type { Bit, FlagBit, OpSize, Val } from './value.ts'

/** `once`: the count is the constant 1, so OF is defined. */
type Shift = <W extends OpSize>(e: E<W>, a: Val<W>, count: Val<8>, once: boolean) => Val<W>

const group2 = (mnemonic: string, n: number, f: Shift): Row[] => {
  const many = <W extends OpSize>(e: E<W>, a: Val<W>, count: Val<8>) => f(e, a, count, false)
  const once = <W extends OpSize>(e: E<W>, a: Val<W>, count: Val<8>) => f(e, a, count, true)
  return [
    row(mnemonic, `C0 /${n} ib`, '+r/m8, imm8', many),
    row(mnemonic, `C1 /${n} ib`, '+r/m, imm8', many),
    row(mnemonic, `D0 /${n}`, '+r/m8, 1', once),
    row(mnemonic, `D1 /${n}`, '+r/m, 1', once),
    row(mnemonic, `D2 /${n}`, '+r/m8, <CL>', many),
    row(mnemonic, `D3 /${n}`, '+r/m, <CL>', many),
  ]
}

const masked = <W extends OpSize>(e: E<W>, count: Val<8>, once = false): Val<8> =>
  once ? count : e.and(count, e.k(8, e.bits === 64 ? 63 : 31))
/** The constant 1 needs no test for 0. */
const unlessZero = (zero: Bit, once: boolean) => (once ? {} : { unless: zero })
const overflow = (of: Bit, once: boolean): FlagBit => (once ? of : { undefined: of })
/** OF after a shift or rotate to the right: the sign changed by the last step. */
const topTwoDiffer = <W extends OpSize>(e: E<W>, r: Val<W>): Bit => e.xor(e.msb(r), e.bit(r, e.bits - 2))
const bitAt = <W extends OpSize>(e: E<W>, a: Val<W>, index: Val<W>): Bit => e.bit(e.shr(a, index), 0)

// 8 and 16-bit operands shift in 64 bits: counts reach 31.
const shl: Shift = (e, a, count, once) => {
  const n = masked(e, count, once)
  const wide = e.shl(e.zx(a, 64), e.zx(n, 64))
  const r = e.low(wide, e.bits)
  const out = e.bits === 64 ? bitAt(e, a, e.sized(e.sub(e.k(8, 64), n))) : e.bit(wide, e.bits)
  e.flags({ result: r, CF: out, OF: overflow(e.xor(e.msb(r), out), once), AF: { undefined: e.no }, ...unlessZero(e.isZero(n), once) })
  return r
}
const right =
  (extend: 'zx' | 'sx'): Shift =>
  (e, a, count, once) => {
    const n = masked(e, count, once)
    const wide = e[extend](a, 64)
    const N = e.zx(n, 64)
    const shift = extend === 'sx' ? e.sar(wide, N) : e.shr(wide, N)
    const r = e.low(shift, e.bits)
    const before = e.sub(N, e.k(64, 1))
    const out = e.bit(extend === 'sx' ? e.sar(wide, before) : e.shr(wide, before), 0)
    const of = extend === 'sx' ? e.no : topTwoDiffer(e, r)
    e.flags({ result: r, CF: out, OF: overflow(of, once), AF: { undefined: e.no }, ...unlessZero(e.isZero(n), once) })
    return r
  }
// Both halves of a rotate by 0 are the operand itself. A multiple of the width, not 0, still sets CF and OF.
const rol: Shift = (e, a, count, once) => {
  const n = masked(e, count, once)
  const left = e.sized(e.and(n, e.k(8, e.bits - 1)))
  const back = e.and(e.sub(e.n(0), left), e.n(e.bits - 1))
  const r = e.or(e.shl(a, left), e.shr(a, back))
  const out = e.bit(r, 0)
  e.flags({ result: 'keep', CF: out, OF: overflow(e.xor(e.msb(r), out), once), AF: 'keep', ...unlessZero(e.isZero(n), once) })
  return r
}
const ror: Shift = (e, a, count, once) => {
  const n = masked(e, count, once)
  const back = e.sized(e.and(n, e.k(8, e.bits - 1)))
  const left = e.and(e.sub(e.n(0), back), e.n(e.bits - 1))
  const r = e.or(e.shr(a, back), e.shl(a, left))
  e.flags({ result: 'keep', CF: e.msb(r), OF: overflow(topTwoDiffer(e, r), once), AF: 'keep', ...unlessZero(e.isZero(n), once) })
  return r
}
/** RCL and RCR rotate width + 1 bits: counts of bytes and words are taken modulo 9 and 17. */
const throughCarry = <W extends OpSize>(e: E<W>, count: Val<8>, once: boolean): Val<8> => {
  const n = masked(e, count, once)
  if (once || e.bits > 16) return n
  const modulus = e.bits + 1
  const below = (x: Val<8>, limit: number) => e.select(e.ltu(x, e.k(8, limit)), x, e.sub(x, e.k(8, limit)))
  return below(e.bits === 8 ? below(n, 2 * modulus) : n, modulus)
}
// With n = 1 … width, every shift below is by at most width − 1; n = 0 is selected away.
const rcl: Shift = (e, a, count, once) => {
  const n = throughCarry(e, count, once)
  const N = e.sized(n)
  const less = e.sub(N, e.n(1))
  const wrapped = e.shr(a, e.sub(e.n(e.bits), N))
  const rotated = e.or(e.or(e.shl(e.shl(a, less), e.n(1)), e.shl(e.sized(e.carry()), less)), e.shr(wrapped, e.n(1)))
  const nothing = e.isZero(n)
  const r = once ? rotated : e.select(nothing, a, rotated)
  const out = e.bit(wrapped, 0)
  e.flags({ result: 'keep', CF: out, OF: overflow(e.xor(e.msb(r), out), once), AF: 'keep', ...unlessZero(nothing, once) })
  return r
}
const rcr: Shift = (e, a, count, once) => {
  const n = throughCarry(e, count, once)
  const N = e.sized(n)
  const back = e.sub(e.n(e.bits), N)
  const shifted = e.shr(a, e.sub(N, e.n(1)))
  const rotated = e.or(e.or(e.shr(shifted, e.n(1)), e.shl(e.sized(e.carry()), back)), e.shl(e.shl(a, back), e.n(1)))
  const nothing = e.isZero(n)
  const r = once ? rotated : e.select(nothing, a, rotated)
  e.flags({ result: 'keep', CF: e.bit(shifted, 0), OF: overflow(topTwoDiffer(e, r), once), AF: 'keep', ...unlessZero(nothing, once) })
  return r
}

type DoubleShift = <W extends OpSize>(e: E<W>, a: Val<W>, b: Val<W>, count: Val<8>) => Val<W>
/** 16-bit operands: the pattern a:b:a, which is what counts above 16 show; 32-bit ones: high:low. */
const pattern = <W extends OpSize>(e: E<W>, high: Val<W>, low: Val<W>): Val<64> => {
  const at = (v: Val<W>, position: number) => e.shl(e.zx(v, 64), e.k(64, position))
  return e.or(at(high, 32), e.zx(low, 64))
}
const words = <W extends OpSize>(e: E<W>, a: Val<W>, b: Val<W>): Val<64> => e.or(pattern(e, a, a), e.shl(e.zx(b, 64), e.k(64, 16)))

const shld: DoubleShift = (e, a, b, count) => {
  const n = masked(e, count)
  let r, out: Bit
  if (e.bits === 64) {
    r = e.or(e.shl(a, e.sized(n)), e.shr(e.shr(b, e.sized(e.sub(e.k(8, 63), n))), e.n(1)))
    out = bitAt(e, a, e.sized(e.sub(e.k(8, 64), n)))
  } else {
    const x = e.bits === 16 ? words(e, a, b) : pattern(e, a, b)
    const N = e.zx(n, 64)
    r = e.low(e.shr(e.shl(x, N), e.k(64, 32)), e.bits)
    out = e.bit(e.shr(x, e.sub(e.k(64, 32 + e.bits), N)), 0)
  }
  e.flags({ result: r, CF: out, OF: { undefined: e.xor(e.msb(r), out) }, AF: { undefined: e.no }, unless: e.isZero(n) })
  return r
}
const shrd: DoubleShift = (e, a, b, count) => {
  const n = masked(e, count)
  let r, out: Bit
  if (e.bits === 64) {
    r = e.or(e.shr(a, e.sized(n)), e.shl(e.shl(b, e.sized(e.sub(e.k(8, 63), n))), e.n(1)))
    out = bitAt(e, a, e.sized(e.sub(n, e.k(8, 1))))
  } else {
    const x = e.bits === 16 ? words(e, a, b) : pattern(e, b, a)
    const N = e.zx(n, 64)
    r = e.low(e.shr(x, N), e.bits)
    out = e.bit(e.shr(x, e.sub(N, e.k(64, 1))), 0)
  }
  e.flags({ result: r, CF: out, OF: { undefined: topTwoDiffer(e, r) }, AF: { undefined: e.no }, unless: e.isZero(n) })
  return r
}

export const shift: Row[] = [
  ...group2('ROL', 0, rol),
  ...group2('ROR', 1, ror),
  ...group2('RCL', 2, rcl),
  ...group2('RCR', 3, rcr),
  ...group2('SHL', 4, shl),
  ...group2('SHR', 5, right('zx')),
  ...group2('SAL', 6, shl), // undocumented alias of /4
  ...group2('SAR', 7, right('sx')),
  row('SHLD', '0F A4 /r ib', '+r/m, r, imm8', shld),
  row('SHLD', '0F A5 /r', '+r/m, r, <CL>', shld),
  row('SHRD', '0F AC /r ib', '+r/m, r, imm8', shrd),
  row('SHRD', '0F AD /r', '+r/m, r, <CL>', shrd),
]

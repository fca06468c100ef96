// Integer vectors of the emit context: WebAssembly's lane operations as arena nodes, x86's shift counts, lanes and shuffles chosen by
// an immediate.

import { Type } from '../wasm/module.ts'
import { Integers } from './integers.ts'
import { Simd } from './lane-opcodes.ts'
import type { Lanes, VectorBinary, VectorShift, VectorUnary } from './lanes.ts'
import type { Bit, V128, Val } from './value.ts'

export const ZEROS = new Uint8Array(16)
const BYTES = Uint8Array.from({ length: 16 }, (_, i) => i)
/** Sixteen bytes of equal lanes: lane i has the value f(i). */
export const ramp = (lanes: number, f: (i: number) => number): Uint8Array => {
  const width = 16 / lanes
  return Uint8Array.from({ length: 16 }, (_, i) => Math.floor(f(Math.floor(i / width)) / 256 ** (i % width)) & 0xff)
}

type IntegerLanes = Pick<Lanes, 'v128' | 'i8x16' | 'i16x8' | 'i32x4' | 'i64x2'>

export abstract class VectorsEmit extends Integers implements IntegerLanes {
  // ---- nodes ----------------------------------------------------------------------------------
  protected v1(op: number): VectorUnary {
    return (a) => this.unary(0x100 + op, Type.v128, 128, a) as V128
  }
  protected v2(op: number): VectorBinary {
    return (a, b) => this.binary(0x100 + op, Type.v128, 128, a, b) as V128
  }
  protected truth(op: number, a: number): Bit {
    return this.unary(0x100 + op, Type.i32, 1, a) as Bit
  }
  protected vector(bytes: ArrayLike<number>): V128 {
    return this.v128Const(bytes) as V128
  }
  protected pick<T extends number>(c: Bit, a: T, b: T): T {
    return this.select(c, a as unknown as Val<64>, b as unknown as Val<64>) as number as T
  }
  /** 0 or −1 in 32 bits. */
  protected spread(bit: number): Val<32> {
    return this.sub(this.k(32, 0), this.alias(this.clean(bit), 32) as Val<32>)
  }
  protected fixed(x: number): number | undefined {
    return this.isConst(x) ? this.a[x] : undefined
  }

  // ---- shifts and lanes by immediate ----------------------------------------------------------
  private shift(op: number, width: number, signed = false): VectorShift {
    return (a, n) => {
      const most = signed ? width - 1 : width
      const shifted = (count: number): V128 => this.binary(0x100 + op, Type.v128, 128, a, count) as V128
      const fixed = this.fixed(n)
      if (fixed !== undefined && this.width[n] === 8) {
        if (fixed < width) return shifted(this.k(32, fixed))
        return signed ? shifted(this.k(32, most)) : this.vector(ZEROS)
      }
      const N = this.zx(n, 64)
      const within = this.ltu(N, this.k(64, width))
      const count = this.low(N, 32)
      if (signed) return shifted(this.select(within, count, this.k(32, most)))
      return this.pick(within, shifted(count), this.vector(ZEROS))
    }
  }

  private access<W extends 8 | 16 | 32 | 64>(width: W) {
    const lanes = 128 / width
    const shape = width === 8 ? Simd.i8x16 : width === 16 ? Simd.i16x8 : width === 32 ? Simd.i32x4 : Simd.i64x2
    const type = width === 64 ? Type.i64 : Type.i32
    const splat = (x: Val<W>): V128 => this.unary(0x100 + shape.splat, Type.v128, 128, x) as V128
    const extract = (a: V128, lane: number): Val<W> => this.lane(0x100 + shape.extract, type, width, lane, a) as Val<W>
    const replace = (a: V128, lane: number, x: Val<W>): V128 => this.lane(0x100 + shape.replace, Type.v128, 128, lane, a, x) as V128
    const at = (a: V128, lane: Val<8>): Val<W> => {
      const fixed = this.fixed(lane)
      if (fixed !== undefined) return extract(a, fixed % lanes)
      const index = this.mul(this.and(this.zx(lane, 32), this.k(32, lanes - 1)), this.k(32, width / 8))
      const bytes = this.i8x16.add(this.i8x16.splat(this.low(index, 8)), this.vector(BYTES))
      return extract(this.v128.swizzle(a, bytes), 0)
    }
    const put = (a: V128, lane: Val<8>, x: Val<W>): V128 => {
      const fixed = this.fixed(lane)
      if (fixed !== undefined) return replace(a, fixed % lanes, x)
      const index = this.zx(this.and(lane, this.k(8, lanes - 1)), width) as Val<W>
      const chosen = this.v2(shape.eq)(splat(index), this.vector(ramp(lanes, (i) => i)))
      return this.v128.bitselect(splat(x), a, chosen)
    }
    const mask = (bits: Val<8>): V128 => {
      const fixed = this.fixed(bits)
      if (fixed !== undefined) return this.vector(Uint8Array.from(BYTES, (i) => ((fixed >> Math.floor((8 * i) / width)) & 1 ? 0xff : 0)))
      const each = this.vector(ramp(lanes, (i) => (i < 8 ? 1 << i : 0)))
      return this.v2(shape.eq)(this.v128.and(splat(this.zx(bits, width) as Val<W>), each), each)
    }
    return { splat, extract, replace, at, put, mask }
  }

  private integral(shape: (typeof Simd)['i8x16']) {
    return {
      add: this.v2(shape.add),
      sub: this.v2(shape.sub),
      bitmask: (a: V128) => this.unary(0x100 + shape.bitmask, Type.i32, 32, a) as Val<32>,
      eq: this.v2(shape.eq),
      gtS: this.v2(shape.gtS),
    }
  }
  private shifts(shape: (typeof Simd)['i8x16'], width: number) {
    return { shl: this.shift(shape.shl, width), shr: this.shift(shape.shr, width), sar: this.shift(shape.sar, width, true) }
  }
  private extremes(minS: number) {
    return { minS: this.v2(minS), minU: this.v2(minS + 1), maxS: this.v2(minS + 2), maxU: this.v2(minS + 3) }
  }
  private saturating(addSatS: number, avgrU: number) {
    return {
      addSatS: this.v2(addSatS),
      addSatU: this.v2(addSatS + 1),
      subSatS: this.v2(addSatS + 3),
      subSatU: this.v2(addSatS + 4),
      avgrU: this.v2(avgrU),
    }
  }
  private products(low: number) {
    return { extmulLowS: this.v2(low), extmulHighS: this.v2(low + 1), extmulLowU: this.v2(low + 2), extmulHighU: this.v2(low + 3) }
  }

  readonly v128 = this.vectors128()
  readonly i8x16 = {
    ...this.integral(Simd.i8x16),
    ...this.extremes(0x76),
    ...this.saturating(0x6f, 0x7b),
    ...this.access(8),
    abs: this.v1(0x60),
    narrowS: this.v2(0x65),
    narrowU: this.v2(0x66),
  }
  readonly i16x8 = {
    ...this.integral(Simd.i16x8),
    ...this.extremes(0x96),
    ...this.saturating(0x8f, 0x9b),
    ...this.access(16),
    ...this.shifts(Simd.i16x8, 16),
    ...this.products(0x9c),
    abs: this.v1(0x80),
    mul: this.v2(0x95),
    q15mulrSatS: this.v2(0x82),
    narrowS: this.v2(0x85),
    narrowU: this.v2(0x86),
    extendLowS: this.v1(0x87),
    extendLowU: this.v1(0x89),
    extaddPairwiseU: this.v1(0x7d),
  }
  readonly i32x4 = {
    ...this.integral(Simd.i32x4),
    ...this.extremes(0xb6),
    ...this.access(32),
    ...this.shifts(Simd.i32x4, 32),
    ...this.products(0xbc),
    abs: this.v1(0xa0),
    mul: this.v2(0xb5),
    dot: this.v2(0xba),
    extendLowS: this.v1(0xa7),
    extendLowU: this.v1(0xa9),
    extaddPairwiseU: this.v1(0x7f),
    permute: (a: V128, immediate: Val<8>): V128 => this.permute(a, immediate),
  }
  readonly i64x2 = {
    ...this.integral(Simd.i64x2),
    ...this.access(64),
    ...this.shifts(Simd.i64x2, 64),
    extendLowS: this.v1(0xc7),
    extendLowU: this.v1(0xc9),
    extmulLowS: this.v2(0xdc),
    extmulLowU: this.v2(0xde),
    make: (low: Val<64>, high: Val<64>): V128 => this.i64x2.replace(this.i64x2.splat(low), 1, high),
  }

  private vectors128() {
    const fresh = (): V128 => this.vector(ZEROS)
    return {
      get zero() {
        return fresh()
      },
      constant: (bytes: ArrayLike<number>) => this.vector(bytes),
      and: this.v2(Simd.and),
      andnot: this.v2(Simd.andnot),
      or: this.v2(Simd.or),
      xor: this.v2(Simd.xor),
      bitselect: (a: V128, b: V128, mask: V128) => this.ternary(0x100 + Simd.bitselect, Type.v128, 128, a, b, mask) as V128,
      anyTrue: (a: V128) => this.truth(Simd.anyTrue, a),
      shuffle: (a: V128, b: V128, bytes: ArrayLike<number>) => this.shuffle(a, b, bytes) as V128,
      swizzle: this.v2(Simd.swizzle),
      align: (a: V128, b: V128, n: Val<8>) => this.align(a, b, n),
      shiftBytesLeft: (a: V128, n: Val<8>) => this.align(a, this.vector(ZEROS), this.sub(this.k(8, 16), this.atMost(n, 16))),
    }
  }

  private atMost(n: Val<8>, most: number): Val<8> {
    const fixed = this.fixed(n)
    if (fixed !== undefined) return this.k(8, Math.min(fixed, most))
    return this.select(this.ltu(n, this.k(8, most)), n, this.k(8, most))
  }

  private align(a: V128, b: V128, n: Val<8>): V128 {
    const fixed = this.fixed(n)
    const zero = this.vector(ZEROS)
    if (fixed !== undefined) {
      const from = (first: number): number[] => Array.from({ length: 16 }, (_, i) => i + first)
      if (fixed >= 32) return zero
      return fixed < 16 ? (this.shuffle(b, a, from(fixed)) as V128) : (this.shuffle(a, zero, from(fixed - 16)) as V128)
    }
    // byte numbers past 15, and those below 0, choose nothing
    const first = this.i8x16.add(this.i8x16.splat(this.atMost(n, 32)), this.vector(BYTES))
    const second = this.i8x16.sub(first, this.vector(new Uint8Array(16).fill(16)))
    return this.v128.or(this.v128.swizzle(b, first), this.v128.swizzle(a, second))
  }

  private permute(a: V128, immediate: Val<8>): V128 {
    const fixed = this.fixed(immediate)
    if (fixed !== undefined)
      return this.shuffle(
        a,
        a,
        Array.from({ length: 16 }, (_, i) => 4 * ((fixed >> (2 * (i >> 2))) & 3) + (i & 3)),
      ) as V128
    // lane i: (imm · 4^(3−i)) >> 6 & 3, then its four byte numbers
    const spread = this.i32x4.mul(this.i32x4.splat(this.zx(immediate, 32)), this.vector(ramp(4, (i) => 4 ** (3 - i))))
    const chosen = this.v128.and(this.i32x4.shr(spread, this.k(8, 6)), this.vector(ramp(4, () => 3)))
    const bytes = this.i32x4.add(this.i32x4.mul(chosen, this.vector(ramp(4, () => 0x04040404))), this.vector(ramp(4, () => 0x03020100)))
    return this.v128.swizzle(a, bytes)
  }
}

// Scalar floating point of the emit context, and MMX's effect on the x87 state: the last of the layers that implement `Lanes`.

import { Type } from '../wasm/module.ts'
import type { CallName } from './calls.ts'
import { Float } from './lane-opcodes.ts'
import type { Lanes } from './lanes.ts'
import { EXACT, PackedEmit, ROUNDED } from './packed-emit.ts'
import type { Bit, Done, F32, F64, Val } from './value.ts'

export type { LaneField } from './packed-emit.ts'

const done = undefined as Done

export abstract class LanesEmit extends PackedEmit implements Lanes {
  private mmx: 'same' | 'valid' | 'empty' = 'same'

  override reset(): void {
    super.reset()
    this.mmx = 'same'
  }

  mmxEnter(): Done {
    this.mmx = 'valid'
    return done
  }
  mmxEmpty(): Done {
    this.mmx = 'empty'
    return done
  }
  /** Prints what the row left pending for the x87 state; part of the instruction's commit, behind the last fault. */
  protected commitMmx(): void {
    const state = this.mmx
    if (state === 'same') return
    this.mmx = 'same'
    const fsw = this.and(this.laneField('fsw'), this.k(32, ~0x3800)) // TOP, bits 13:11
    this.setLaneField('fsw', () => this.emit(fsw))
    this.setLaneField('ftw', () => this.i32(state === 'valid' ? 0xff : 0))
  }

  // ---- scalar floating point ------------------------------------------------------------------
  readonly f32 = {
    ...this.scalar<F32, 32>('f32'),
    fromInt32: (a: Val<32>): F32 =>
      this.guarded(
        ROUNDED,
        [a],
        this.unary(Float.f32.fromInt32, Type.f32, 0, a) as F32,
        () => this.yes,
        () => this.call('cvtsi2ss32', a),
      ),
    fromInt64: (a: Val<64>): F32 =>
      this.guarded(
        ROUNDED,
        [a],
        this.unary(Float.f32.fromInt64, Type.f32, 0, a) as F32,
        () => this.yes,
        () => this.call('cvtsi2ss64', a),
      ),
    fromF64: (a: F64): F32 =>
      this.guarded(
        ROUNDED,
        [a],
        this.unary(Float.f32.other, Type.f32, 0, a) as F32,
        () => {
          // zero, or 2^-126 < |a| < the least that rounds to infinity
          const t = this.shl(this.f64.bits(a), this.k(64, 1))
          return this.or(this.isZero(t), this.ltu(this.sub(t, this.k64(1, 0x70200000)), this.k64(0xdfffffff | 0, 0x1fbfffff)))
        },
        () => this.call('cvtsd2ss', a),
      ),
  }
  readonly f64 = {
    ...this.scalar<F64, 64>('f64'),
    fromInt32: (a: Val<32>): F64 => this.unary(Float.f64.fromInt32, Type.f64, 0, a) as F64,
    fromInt64: (a: Val<64>): F64 =>
      this.guarded(
        ROUNDED,
        [a],
        this.unary(Float.f64.fromInt64, Type.f64, 0, a) as F64,
        () => this.yes,
        () => this.call('cvtsi2sd64', a),
      ),
    fromF32: (a: F32): F64 =>
      this.guarded(
        EXACT,
        [a],
        this.unary(Float.f64.other, Type.f64, 0, a) as F64,
        () => this.numberTest(a),
        () => this.call('cvtss2sd', a),
      ),
  }

  /** The bits of a scalar without their sign, at the top of an integer: magnitudes compare as unsigned numbers. */
  private magnitude(a: number): { t: Val<64>; single: boolean } {
    const single = this.type[a] === Type.f32
    const bits = this.unary(single ? Float.f32.bits : Float.f64.bits, single ? Type.i32 : Type.i64, single ? 32 : 64, a) as Val<64>
    return { t: this.shl(bits, (single ? this.k(32, 1) : this.k(64, 1)) as Val<64>), single }
  }
  private k2(single: boolean, high: number, low: number): Val<64> {
    return (single ? this.k(32, high) : this.k64(low, high)) as Val<64>
  }
  /** A normal number, not the smallest (it may be a tiny result rounded up), not an infinity. */
  private normalTest(r: number): Bit {
    const { t, single } = this.magnitude(r)
    const above = this.sub(t, single ? this.k2(true, 0x1000001, 0) : this.k2(false, 0x200000, 1))
    return this.ltu(above, single ? this.k2(true, 0xfdffffff | 0, 0) : this.k2(false, 0xffbfffff | 0, -1))
  }
  /** A normal number, a zero or an infinity. */
  private numberTest(a: number): Bit {
    const { t, single } = this.magnitude(a)
    const above = this.sub(t, this.k2(single, single ? 0x1000000 : 0x200000, 0))
    return this.or(this.isZero(t), this.ltu(above, single ? this.k2(true, 0xfe000001 | 0, 0) : this.k2(false, 0xffc00000 | 0, 1)))
  }
  /** Not a denormal. */
  private dense(a: number): Bit {
    const { t, single } = this.magnitude(a)
    const below = this.sub(t, this.k2(single, single ? 1 : 0, 1))
    return this.not(this.ltu(below, single ? this.k2(true, 0xffffff, 0) : this.k2(false, 0x1fffff, -1)))
  }
  private zeroTest(a: number): Bit {
    return this.isZero(this.magnitude(a).t)
  }

  private scalar<T extends F32 | F64, W extends 32 | 64>(format: 'f32' | 'f64') {
    const op = Float[format]
    const single = format === 'f32'
    const type = single ? Type.f32 : Type.f64
    const s = single ? 'ss' : 'sd'
    const width = (single ? 32 : 64) as W
    const float1 = (code: number, a: number): T => this.unary(code, type, 0, a) as T
    const float2 = (code: number, a: T, b: T): T => this.binary(code, type, 0, a, b) as T
    const holds = (code: number, a: number, b: number): Bit => this.binary(code, Type.i32, 1, a, b) as Bit
    const call = (name: CallName, ...values: number[]): number => this.call(name as 'addsd', ...(values as [F64, F64]))
    const constant = (high32: number, high64: number): number =>
      single ? this.unary(op.ofBits, type, 0, this.k(32, high32)) : this.unary(op.ofBits, type, 0, this.k64(0, high64))
    const dense = (a: T, b: T): Bit => this.and(this.dense(a), this.dense(b))
    const numbers = (a: T, b: T): Bit => this.and(this.numberTest(a), this.numberTest(b))
    const rounded = (a: T, immediate: Val<8>): T => {
      const modes = [op.nearest, op.floor, op.ceil, op.trunc] as const
      const fixed = this.fixed(immediate)
      if (fixed !== undefined) return float1(modes[(fixed & 4 ? 0 : fixed & 3) as 0 | 1 | 2 | 3], a)
      const mode = this.roundingMode(immediate)
      const is = (m: number): Bit => this.eq(mode, this.k(32, m))
      return this.pick(
        is(0),
        float1(op.nearest, a),
        this.pick(is(1), float1(op.floor, a), this.pick(is(2), float1(op.ceil, a), float1(op.trunc, a))),
      )
    }
    const toInteger = <X extends 32 | 64>(a: T, truncate: boolean, to: X): Val<X> => {
      const whole = float1(truncate ? op.trunc : op.nearest, a)
      this.settle(a)
      this.force(whole)
      const [low, high] =
        to === 32
          ? [constant(0xcf000000 | 0, 0xc1e00000 | 0), constant(0x4f000000, 0x41e00000)]
          : [constant(0xdf000000 | 0, 0xc3e00000 | 0), constant(0x5f000000, 0x43e00000)]
      const fits = this.and(holds(op.ge, whole, low), holds(op.lt, whole, high))
      const integerType = to === 32 ? Type.i32 : Type.i64
      const native = (): number => this.unary(to === 32 ? op.toInt32 : op.toInt64, integerType, to, whole)
      return this.either(ROUNDED, [a], integerType, to, fits, native, () => call(`cvt${s}2si${to}`, a, this.k(32, truncate ? 1 : 0)))
    }
    return {
      bits: (a: T) => this.unary(op.bits, single ? Type.i32 : Type.i64, width, a) as Val<W>,
      ofBits: (a: Val<W>) => float1(op.ofBits, a),
      add: (a: T, b: T): T =>
        this.guarded(
          ROUNDED,
          [a, b],
          float2(op.add, a, b),
          (r) => this.and(this.or(this.normalTest(r), this.zeroTest(r)), dense(a, b)),
          () => call(`add${s}`, a, b),
        ),
      sub: (a: T, b: T): T =>
        this.guarded(
          ROUNDED,
          [a, b],
          float2(op.sub, a, b),
          (r) => this.and(this.or(this.normalTest(r), this.zeroTest(r)), dense(a, b)),
          () => call(`sub${s}`, a, b),
        ),
      // a zero product or quotient is exact only if it comes from a zero and not from an underflow
      mul: (a: T, b: T): T =>
        this.guarded(
          ROUNDED,
          [a, b],
          float2(op.mul, a, b),
          (r) => {
            const exact = this.and(this.zeroTest(r), this.or(this.zeroTest(a), this.zeroTest(b)))
            return this.and(this.or(this.normalTest(r), exact), dense(a, b))
          },
          () => call(`mul${s}`, a, b),
        ),
      div: (a: T, b: T): T =>
        this.guarded(
          ROUNDED,
          [a, b],
          float2(op.div, a, b),
          (r) => {
            const exact = this.and(this.zeroTest(r), this.zeroTest(a))
            return this.and(this.or(this.normalTest(r), exact), dense(a, b))
          },
          () => call(`div${s}`, a, b),
        ),
      sqrt: (a: T): T =>
        this.guarded(
          ROUNDED,
          [a],
          float1(op.sqrt, a),
          (r) => this.and(this.or(this.normalTest(r), this.zeroTest(r)), this.dense(a)),
          () => call(`sqrt${s}`, a),
        ),
      min: (a: T, b: T): T =>
        this.guarded(
          EXACT,
          [a, b],
          this.pick(holds(op.lt, a, b), a, b),
          () => numbers(a, b),
          () => call(`min${s}`, a, b),
        ),
      max: (a: T, b: T): T =>
        this.guarded(
          EXACT,
          [a, b],
          this.pick(holds(op.gt, a, b), a, b),
          () => numbers(a, b),
          () => call(`max${s}`, a, b),
        ),
      round: (a: T, immediate: Val<8>): T =>
        this.guarded(
          ROUNDED,
          [a, immediate],
          rounded(a, immediate),
          () => this.numberTest(a),
          () => call(`round${s}`, a, this.zx(immediate, 32)),
        ),
      compare: (a: T, b: T, predicate: Val<8>): Val<W> => {
        // one truth table per predicate, indexed by greater 0, less 1, equal 2
        const nibble = this.shl(this.and(this.zx(predicate, 32), this.k(32, 7)), this.k(32, 2))
        const which = this.or(
          this.alias(holds(op.lt, a, b), 32) as Val<32>,
          this.shl(this.alias(holds(op.eq, a, b), 32) as Val<32>, this.k(32, 1)),
        )
        const yes = this.bit(this.shr(this.shr(this.k(32, 0x71530624), nibble), which), 0)
        const native = this.sx(this.spread(yes), width) as number as Val<W>
        return this.guarded(
          EXACT,
          [a, b, predicate],
          native,
          () => numbers(a, b),
          () => call(`cmp${s}`, a, b, this.zx(predicate, 32)),
        )
      },
      order: (a: T, b: T, quiet: boolean): Val<32> => {
        const flags = this.or(
          this.alias(holds(op.lt, a, b), 32) as Val<32>,
          this.shl(this.alias(holds(op.eq, a, b), 32) as Val<32>, this.k(32, 2)),
        )
        return this.guarded(
          EXACT,
          [a, b],
          flags,
          () => numbers(a, b),
          () => call(`comi${s}`, a, b, this.k(32, quiet ? 1 : 0)),
        )
      },
      toInt32: (a: T, truncate: boolean): Val<32> => toInteger(a, truncate, 32),
      toInt64: (a: T, truncate: boolean): Val<64> => toInteger(a, truncate, 64),
    }
  }
}

// Packed floating point of the emit context, and the choice between native and soft arithmetic: native where operands and result
// are ordinary and MXCSR allows it (state word `sseNative`), else a call of the soft-float (isa/sse-calls.ts).
// WebAssembly leaves the bits of a NaN result open: no NaN is ever taken from a native operation.

import { Type, type TypeCode } from '../wasm/module.ts'
import { Op } from '../wasm/opcodes.ts'
import { Kind } from './arena.ts'
import type { CallArguments, CallName, CallResult } from './calls.ts'
import { Simd } from './lane-opcodes.ts'
import type { Bit, V128, Val } from './value.ts'
import { ramp, VectorsEmit, ZEROS } from './vectors-emit.ts'

/** Bits of `sseNative` (cpu/sse/mxcsr.ts). */
export const ROUNDED = 1
export const EXACT = 2
type Level = typeof ROUNDED | typeof EXACT

/** Fields of the processor block that vector instructions touch. */
export type LaneField = 'sseNative' | 'fsw' | 'ftw'

const doubles = new Float64Array(2)
const singles = new Float32Array(4)
const repeat64 = (x: number): Uint8Array => new Uint8Array(doubles.fill(x).buffer.slice(0))
const repeat32 = (x: number): Uint8Array => new Uint8Array(singles.fill(x).buffer.slice(0))
/** Bounds of ordinary numbers as lanes: smallest normal, largest finite, 2^31. */
const bounds = {
  f32: {
    smallest: repeat32(2 ** -126),
    largest: repeat32((2 - 2 ** -23) * 2 ** 127),
    integer: repeat32(2 ** 31),
    negative: repeat32(-(2 ** 31)),
  },
  f64: { smallest: repeat64(2 ** -1022), largest: repeat64(Number.MAX_VALUE), integer: repeat64(2 ** 31), negative: repeat64(-(2 ** 31)) },
  /** What CVTPD2PS gets through without tiny result or overflow, exclusive. */
  narrow: { smallest: repeat64(2 ** -126), largest: repeat64((2 - 2 ** -24) * 2 ** 127), exact: repeat64(2 ** -126) },
}

export abstract class PackedEmit extends VectorsEmit {
  /** A 32-bit field of the processor block, read where the node is printed. */
  protected abstract laneField(name: LaneField): Val<32>
  protected abstract setLaneField(name: LaneField, value: () => void): void
  abstract call<K extends CallName>(name: K, ...values: CallArguments<K>): CallResult<K>

  // ---- native or soft -------------------------------------------------------------------------
  /** Evaluates an operand that is used more than once, on both sides of a branch. */
  protected settle(x: number): void {
    if (this.kind[x] !== Kind.Local) this.force(x)
  }

  /**
   * The native value where `level` of MXCSR and `ordinary` allow it, else the call's. `native` is evaluated in any case, so it must not
   * trap; `ordinary` may look at it.
   */
  protected guarded<T extends number>(
    level: Level,
    operands: readonly number[],
    native: T,
    ordinary: (r: T) => Bit,
    slow: () => number,
  ): T {
    for (const x of operands) this.settle(x)
    const type = this.type[native] as TypeCode
    const t = this.temp(type)
    this.use(native)
    this.emit(native)
    this.set(t)
    const r = this.localNode(t, type, this.width[native]!) as T
    this.emit(this.allowed(level, ordinary(r)))
    this.code.u8(Op.i32Eqz)
    this.arm(() => this.assign(t, slow()))
    return r
  }

  /** As `guarded` for a native value that may be evaluated only if `ordinary`. */
  protected either<T extends number>(
    level: Level,
    operands: readonly number[],
    type: TypeCode,
    width: number,
    ordinary: Bit,
    native: () => number,
    slow: () => number,
  ): T {
    for (const x of operands) this.settle(x)
    const t = this.temp(type)
    this.emit(this.allowed(level, ordinary))
    this.arm(
      () => this.assign(t, native()),
      () => this.assign(t, slow()),
    )
    return this.localNode(t, type, width) as T
  }

  protected assign(local: number, value: number): void {
    this.use(value)
    this.emit(value)
    this.set(local)
  }

  protected allowed(level: Level, ordinary: Bit): number {
    const field = this.laneField('sseNative')
    const word = level === EXACT ? this.shr(field, this.k(32, 1)) : field
    return this.binary(Op.i32And, Type.i32, 32, word, this.clean(ordinary))
  }

  // ---- packed floating point ------------------------------------------------------------------
  readonly f32x4 = {
    ...this.packed('f32'),
    fromInt32: (a: V128): V128 =>
      this.guarded(
        ROUNDED,
        [a],
        this.v1(Simd.f32x4.convert)(a),
        () => this.yes,
        () => this.call('cvtdq2ps', a),
      ),
    fromF64x2: (a: V128): V128 =>
      this.guarded(
        ROUNDED,
        [a],
        this.v1(Simd.f32x4.demote)(a),
        () => {
          const m = this.v1(Simd.f64x2.abs)(a)
          const inside = this.v128.and(
            this.v2(Simd.f64x2.gt)(m, this.vector(bounds.narrow.smallest)),
            this.v2(Simd.f64x2.lt)(m, this.vector(bounds.narrow.largest)),
          )
          return this.truth(Simd.i64x2.allTrue, this.v128.or(inside, this.v2(Simd.f64x2.eq)(a, this.vector(ZEROS))))
        },
        () => this.call('cvtpd2ps', a),
      ),
  }
  readonly f64x2 = {
    ...this.packed('f64'),
    fromInt32: this.v1(Simd.f64x2.convert),
    fromF32x4: (a: V128): V128 =>
      this.guarded(
        EXACT,
        [a],
        this.v1(Simd.f64x2.promote)(a),
        (r) => {
          const normal = this.v2(Simd.f64x2.ge)(this.v1(Simd.f64x2.abs)(r), this.vector(bounds.narrow.exact))
          return this.truth(Simd.i64x2.allTrue, this.v128.or(normal, this.v2(Simd.f64x2.eq)(r, this.vector(ZEROS))))
        },
        () => this.call('cvtps2pd', a),
      ),
  }

  private packed(format: 'f32' | 'f64') {
    const op = format === 'f32' ? Simd.f32x4 : Simd.f64x2
    const allTrue = format === 'f32' ? Simd.i32x4.allTrue : Simd.i64x2.allTrue
    const { smallest, largest, integer, negative } = bounds[format]
    const p = format === 'f32' ? 'ps' : 'pd'
    const abs = this.v1(op.abs)
    const isZero = (a: V128): V128 => this.v2(op.eq)(a, this.vector(ZEROS))
    const or = (a: V128, b: V128): V128 => this.binary(0x100 + Simd.or, Type.v128, 128, a, b) as V128
    const and = (a: V128, b: V128): V128 => this.binary(0x100 + Simd.and, Type.v128, 128, a, b) as V128
    const all = (mask: V128): Bit => this.truth(allTrue, mask)
    /** Normal and not the smallest, which may be a tiny result rounded up. */
    const normal = (r: V128): V128 => {
      const m = abs(r)
      return and(this.v2(op.gt)(m, this.vector(smallest)), this.v2(op.le)(m, this.vector(largest)))
    }
    /** A normal number, a zero or an infinity. */
    const number = (a: V128): V128 => or(this.v2(op.ge)(abs(a), this.vector(smallest)), isZero(a))
    const both = (a: V128, b: V128): V128 => and(number(a), number(b))
    const min = this.v2(op.pmin)
    const max = this.v2(op.pmax)
    const rounded = (a: V128, immediate: Val<8>): V128 => {
      const fixed = this.fixed(immediate)
      const modes = [op.nearest, op.floor, op.ceil, op.trunc] as const
      if (fixed !== undefined) return this.v1(modes[(fixed & 4 ? 0 : fixed & 3) as 0 | 1 | 2 | 3])(a)
      const mode = this.roundingMode(immediate)
      const is = (m: number): Bit => this.eq(mode, this.k(32, m))
      return this.pick(
        is(0),
        this.v1(op.nearest)(a),
        this.pick(is(1), this.v1(op.floor)(a), this.pick(is(2), this.v1(op.ceil)(a), this.v1(op.trunc)(a))),
      )
    }
    return {
      add: (a: V128, b: V128): V128 =>
        this.guarded(
          ROUNDED,
          [a, b],
          this.v2(op.add)(a, b),
          (r) => all(and(or(normal(r), isZero(r)), both(a, b))),
          () => this.call(`add${p}`, a, b),
        ),
      sub: (a: V128, b: V128): V128 =>
        this.guarded(
          ROUNDED,
          [a, b],
          this.v2(op.sub)(a, b),
          (r) => all(and(or(normal(r), isZero(r)), both(a, b))),
          () => this.call(`sub${p}`, a, b),
        ),
      mul: (a: V128, b: V128): V128 =>
        this.guarded(
          ROUNDED,
          [a, b],
          this.v2(op.mul)(a, b),
          (r) => all(and(or(normal(r), and(isZero(r), or(isZero(a), isZero(b)))), both(a, b))),
          () => this.call(`mul${p}`, a, b),
        ),
      div: (a: V128, b: V128): V128 =>
        this.guarded(
          ROUNDED,
          [a, b],
          this.v2(op.div)(a, b),
          (r) => all(and(or(normal(r), and(isZero(r), isZero(a))), both(a, b))),
          () => this.call(`div${p}`, a, b),
        ),
      sqrt: (a: V128): V128 =>
        this.guarded(
          ROUNDED,
          [a],
          this.v1(op.sqrt)(a),
          (r) => all(and(or(normal(r), isZero(r)), number(a))),
          () => this.call(`sqrt${p}`, a),
        ),
      min: (a: V128, b: V128): V128 =>
        this.guarded(
          EXACT,
          [a, b],
          min(b, a),
          () => all(both(a, b)),
          () => this.call(`min${p}`, a, b),
        ),
      max: (a: V128, b: V128): V128 =>
        this.guarded(
          EXACT,
          [a, b],
          max(b, a),
          () => all(both(a, b)),
          () => this.call(`max${p}`, a, b),
        ),
      addsub: (a: V128, b: V128): V128 => {
        // even lanes negated, then added: for numbers the same as subtracting
        const signs = ramp(format === 'f32' ? 4 : 2, (i) => (i & 1 ? 0 : format === 'f32' ? 2 ** 31 : 2 ** 63))
        const native = this.v2(op.add)(a, this.v128.xor(b, this.vector(signs)))
        return this.guarded(
          ROUNDED,
          [a, b],
          native,
          (r) => all(and(or(normal(r), isZero(r)), both(a, b))),
          () => this.call(`addsub${p}`, a, b),
        )
      },
      compare: (a: V128, b: V128, predicate: Val<8>): V128 => {
        const wide = this.zx(predicate, 32)
        const lanes = (bit: number): V128 => this.unary(0x100 + Simd.i32x4.splat, Type.v128, 128, this.spread(bit)) as V128
        const equal = lanes(this.not(this.bit(wide, 0))) // EQ, LE
        const less = lanes(this.bit(this.xor(wide, this.shr(wide, this.k(32, 1))), 0)) // LT, LE
        const base = or(and(this.v2(op.eq)(a, b), equal), and(this.v2(op.lt)(a, b), less))
        const native = this.v128.xor(base, lanes(this.bit(wide, 2)))
        return this.guarded(
          EXACT,
          [a, b, predicate],
          native,
          () => all(both(a, b)),
          () => this.call(`cmp${p}`, a, b, this.zx(predicate, 32)),
        )
      },
      round: (a: V128, immediate: Val<8>): V128 =>
        this.guarded(
          ROUNDED,
          [a, immediate],
          rounded(a, immediate),
          () => all(number(a)),
          () => this.call(`round${p}`, a, this.zx(immediate, 32)),
        ),
      toInt32: (a: V128, truncate: boolean): V128 => {
        const whole = this.v1(truncate ? op.trunc : op.nearest)(a)
        this.settle(a)
        this.force(whole)
        const fits = and(this.v2(op.ge)(whole, this.vector(negative)), this.v2(op.lt)(whole, this.vector(integer)))
        const slow = (): number => this.call(format === 'f32' ? 'cvtps2dq' : 'cvtpd2dq', a, this.k(32, truncate ? 1 : 0))
        return this.guarded(ROUNDED, [a], this.v1(op.truncate)(whole), () => all(fits), slow)
      },
    }
  }

  protected roundingMode(immediate: Val<8>): Val<32> {
    const wide = this.zx(immediate, 32)
    return this.select(this.bit(wide, 2), this.k(32, 0), this.and(wide, this.k(32, 3)))
  }
}

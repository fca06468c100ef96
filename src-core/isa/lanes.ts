// Vector and floating-point operations of the emit context, in namespaces named as WebAssembly's lane shapes.
// Arithmetic has x86's results and MXCSR flags for every operand and mode; what raises #XM leaves as `call` does.

import type { Bit, Done, F32, F64, V128, Val } from './value.ts'

export type VectorUnary = (a: V128) => V128
export type VectorBinary = (a: V128, b: V128) => V128
/** x86's shifts: a count at or past the lane's width gives zeros (sar: signs). The count is an imm8 or a whole quadword. */
export type VectorShift = (a: V128, n: Val<8> | Val<64>) => V128
/** A lane number fixed by the row, 0 the lowest. */
type Lane = number
type Immediate = Val<8>

interface Compared {
  readonly eq: VectorBinary
  readonly gtS: VectorBinary
}
interface Extremes {
  readonly minS: VectorBinary
  readonly minU: VectorBinary
  readonly maxS: VectorBinary
  readonly maxU: VectorBinary
}
interface Saturating {
  readonly addSatS: VectorBinary
  readonly addSatU: VectorBinary
  readonly subSatS: VectorBinary
  readonly subSatU: VectorBinary
  readonly avgrU: VectorBinary
}
interface Integral {
  readonly add: VectorBinary
  readonly sub: VectorBinary
  /** The lanes' top bits, lowest lane first. */
  readonly bitmask: (a: V128) => Val<32>
}
interface Shifts {
  readonly shl: VectorShift
  readonly shr: VectorShift
  readonly sar: VectorShift
}
/** Lanes of the next narrower shape, the low or the high half, each to twice its width. */
interface Widening {
  readonly extendLowS: VectorUnary
  readonly extendLowU: VectorUnary
}
interface Products {
  readonly extmulLowS: VectorBinary
  readonly extmulHighS: VectorBinary
  readonly extmulLowU: VectorBinary
  readonly extmulHighU: VectorBinary
}
/** Lanes by number: `extract` and `replace` fixed by the row, `at` and `put` by an immediate modulo the number of lanes. */
interface Access<W extends number> {
  readonly splat: (x: Val<W>) => V128
  readonly extract: (a: V128, lane: Lane) => Val<W>
  readonly replace: (a: V128, lane: Lane, x: Val<W>) => V128
  readonly at: (a: V128, lane: Immediate) => Val<W>
  readonly put: (a: V128, lane: Immediate, x: Val<W>) => V128
  /** All ones in lane i where bit i of the immediate is set. */
  readonly mask: (bits: Immediate) => V128
}
interface Arithmetic<T> {
  readonly add: (a: T, b: T) => T
  readonly sub: (a: T, b: T) => T
  readonly mul: (a: T, b: T) => T
  readonly div: (a: T, b: T) => T
  /** MIN: a < b ? a : b, so b for NaNs and zeros. */
  readonly min: (a: T, b: T) => T
  readonly max: (a: T, b: T) => T
  readonly sqrt: (a: T) => T
  /** ROUNDxx by its immediate. */
  readonly round: (a: T, immediate: Immediate) => T
}
interface Vector extends Arithmetic<V128> {
  /** ADDSUBxx. */
  readonly addsub: VectorBinary
  /** CMPxx: masks, by the predicate in bits 2:0. */
  readonly compare: (a: V128, b: V128, predicate: Immediate) => V128
  /** CVTxx2DQ; `truncate` as CVTTxx. Lanes without a source are zero. */
  readonly toInt32: (a: V128, truncate: boolean) => V128
}
interface Scalar<T, W extends 32 | 64> extends Arithmetic<T> {
  readonly bits: (a: T) => Val<W>
  readonly ofBits: (a: Val<W>) => T
  readonly compare: (a: T, b: T, predicate: Immediate) => Val<W>
  /** COMIxx, or UCOMIxx if `quiet`: CF bit 0, PF bit 1, ZF bit 2. */
  readonly order: (a: T, b: T, quiet: boolean) => Val<32>
  readonly toInt32: (a: T, truncate: boolean) => Val<32>
  readonly toInt64: (a: T, truncate: boolean) => Val<64>
  readonly fromInt32: (a: Val<32>) => T
  readonly fromInt64: (a: Val<64>) => T
}

export interface Lanes {
  readonly v128: {
    readonly zero: V128
    readonly constant: (bytes: ArrayLike<number>) => V128
    readonly and: VectorBinary
    /** a and not b. */
    readonly andnot: VectorBinary
    readonly or: VectorBinary
    readonly xor: VectorBinary
    /** Bits of a where the mask is set, else of b. */
    readonly bitselect: (a: V128, b: V128, mask: V128) => V128
    readonly anyTrue: (a: V128) => Bit
    /** Sixteen byte numbers: 0 … 15 of a, 16 … 31 of b. */
    readonly shuffle: (a: V128, b: V128, bytes: ArrayLike<number>) => V128
    /** Bytes of a by number; numbers past 15 give 0. */
    readonly swizzle: VectorBinary
    /** Bytes n … n+15 of b (low) and a (high), zeros behind: PALIGNR. Zeros shift in by way of a zero operand. */
    readonly align: (a: V128, b: V128, n: Immediate) => V128
    /** PSLLDQ. */
    readonly shiftBytesLeft: (a: V128, n: Immediate) => V128
  }
  readonly i8x16: Integral &
    Compared &
    Extremes &
    Saturating &
    Access<8> & { readonly abs: VectorUnary; readonly narrowS: VectorBinary; readonly narrowU: VectorBinary }
  readonly i16x8: Integral &
    Compared &
    Extremes &
    Saturating &
    Access<16> &
    Shifts &
    Widening &
    Products & {
      readonly abs: VectorUnary
      readonly mul: VectorBinary
      /** Rounded product of fractions, −1 · −1 saturated. */
      readonly q15mulrSatS: VectorBinary
      /** From 32-bit lanes of a, then b. */
      readonly narrowS: VectorBinary
      readonly narrowU: VectorBinary
      /** Sums of neighbouring unsigned bytes. */
      readonly extaddPairwiseU: VectorUnary
    }
  readonly i32x4: Integral &
    Compared &
    Extremes &
    Access<32> &
    Shifts &
    Widening &
    Products & {
      readonly abs: VectorUnary
      readonly mul: VectorBinary
      /** Sums of two signed products of 16-bit lanes. */
      readonly dot: VectorBinary
      readonly extaddPairwiseU: VectorUnary
      /** Lane i := lane (immediate >> 2i) & 3: PSHUFD. */
      readonly permute: (a: V128, immediate: Immediate) => V128
    }
  readonly i64x2: Integral &
    Compared &
    Access<64> &
    Shifts &
    Widening & {
      readonly make: (low: Val<64>, high: Val<64>) => V128
      readonly extmulLowS: VectorBinary
      readonly extmulLowU: VectorBinary
    }
  readonly f32x4: Vector & { readonly fromInt32: VectorUnary; readonly fromF64x2: VectorUnary }
  readonly f64x2: Vector & {
    /** The two low lanes. */
    readonly fromInt32: VectorUnary
    readonly fromF32x4: VectorUnary
  }
  readonly f32: Scalar<F32, 32> & { readonly fromF64: (a: F64) => F32 }
  readonly f64: Scalar<F64, 64> & { readonly fromF32: (a: F32) => F64 }
  /** Pending: x87 TOP := 0 and all tags valid (SDM vol. 1, 9.5.1), as every MMX instruction but EMMS does. */
  mmxEnter(): Done
  /** Pending: x87 TOP := 0 and all tags empty (EMMS; SDM vol. 3A, table 12-2). */
  mmxEmpty(): Done
}

// What a row's meaning computes with: handles whose width exists only in the type.

export type Size = 8 | 16 | 32 | 64
/** The operand size W an instance of a row is printed for. */
export type OpSize = Size
declare const width: unique symbol

/** A handle to an integer of W bits inside the emit context. */
export type Val<W extends number> = number & { readonly [width]: W }
export type Bit = Val<1>
/** A linear offset or code address, before segment base. */
export type Addr = Val<64>
export type V128 = Val<128>
export type F64 = number & { readonly [width]: 'f64' }
export type F32 = number & { readonly [width]: 'f32' }
/** Two halves of a double-width integer. */
export type Pair<W extends number> = readonly [low: Val<W>, high: Val<W>]
/** An 80-bit memory operand: significand, then sign and exponent. */
export type M80 = readonly [significand: Val<64>, exponent: Val<16>]
/** The result of a `~` operand: the whole register stays as it was unless `when`. */
export interface If<V> {
  readonly when: Bit
  readonly write: V
}
/** What effects return; rows that write no operand return it. */
export type Done = undefined & { readonly [width]?: 'done' }

export type Condition = 'o' | 'no' | 'b' | 'ae' | 'e' | 'ne' | 'be' | 'a' | 's' | 'ns' | 'p' | 'np' | 'l' | 'ge' | 'le' | 'g'
/** In the order of the opcodes' low four bits (SDM vol. 2 appendix B.1.4.7). */
export const conditions: readonly Condition[] = [
  'o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g',
]

export type FaultName = '#DE' | '#UD' | '#GP' | '#NM' | '#MF' | '#XM' | '#SS' | '#BP' | '#OF' | '#BR' | '#DB'
/** A flag a row writes: a value, the old one, or what recorded Intel hardware gives where the SDM says undefined. */
export type FlagBit = Bit | 'keep' | { readonly undefined: Bit | 'keep' }

/** Flags a row states one by one. ZF, SF and PF come from `result`, or ZF is given and SF and PF (else 0). `unless`: all flags stay. */
export interface FlagValues<X extends number> {
  readonly result?: Val<X> | 'keep' | { readonly undefined: Val<X> }
  readonly ZF?: Bit
  readonly SF?: FlagBit
  readonly PF?: FlagBit
  readonly CF: FlagBit
  readonly OF: FlagBit
  readonly AF: FlagBit
  readonly unless?: Bit
}

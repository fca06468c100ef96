// Attributes shared by the rows of the vector families (SDM vol. 2, "Exceptions Type"; vol. 3A, 13.1): which feature, which checks first.

import type { E } from './context.ts'
import type { Attributes, Feature } from './row.ts'
import type { Done, OpSize } from './value.ts'

/** CR0.EM, CR4.OSFXSR, CR0.TS. */
export const sse = (feature: Feature): Attributes => ({ feature, before: (e: E<OpSize>): Done => e.available('sse') })
/** CR0.EM, CR0.TS, a pending x87 exception. */
export const mmx = (feature: Feature): Attributes => ({ feature, before: (e: E<OpSize>): Done => e.available('mmx') })
/** XMM and MM operands in one instruction. */
export const sseAndMmx = (feature: Feature): Attributes => ({
  feature,
  before: (e: E<OpSize>): Done => {
    e.available('sse')
    return e.available('mmx')
  },
})

/** Byte numbers for a shuffle of whole lanes of `width` bytes; lanes count through the first operand, then the second. */
export const lanes = (width: number, ...order: number[]): number[] =>
  order.flatMap((lane) => Array.from({ length: width }, (_, i) => lane * width + i))

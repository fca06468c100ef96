// Functions of values that a row may call (README.md, "Calls and assists"). Operands travel through scratch slots of the processor block,
// never as BigInt over the WebAssembly boundary; `faults` lists what a call may raise instead of returning.

import type { F32, F64, V128, Val } from './value.ts'

export type CallType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128'
interface HandleOf {
  i32: Val<32>
  i64: Val<64>
  f32: F32
  f64: F64
  v128: V128
}

/** A call's signature: types of arguments and results, at most four and two; `faults` when it can raise #XM or #MF. */
export interface Signature {
  readonly in: readonly CallType[]
  readonly out: readonly CallType[]
  readonly faults?: true
}

import { x87Calls } from './x87-calls.ts'
import { sseCalls } from './sse-calls.ts'

export const calls = { ...x87Calls, ...sseCalls } as const satisfies Record<string, Signature>
export type Calls = typeof calls
export type CallName = keyof Calls

type Handles<T extends readonly CallType[]> = { -readonly [I in keyof T]: HandleOf[T[I]] }
export type CallArguments<K extends CallName> = Handles<Calls[K]['in']> extends infer T extends readonly unknown[] ? T : never
/** Nothing, one handle, or a tuple of two. */
export type CallResult<K extends CallName> = Calls[K]['out'] extends readonly []
  ? undefined
  : Calls[K]['out'] extends readonly [infer A extends CallType]
    ? HandleOf[A]
    : Handles<Calls[K]['out']>

/** Where arguments and results lie: slots of 16 bytes from the processor block's `scratch` field; results overwrite from slot 0. */
export const SCRATCH_SLOT = 16

// The emit context E: everything a row's meaning may say (README.md, "What a meaning can say").
// The interpreter prints it as WebAssembly (emit.ts and what it extends); tests work it out on values.

import type { Assists } from './assists.ts'
import type { CallArguments, CallName, CallResult } from './calls.ts'
import type { Lanes } from './lanes.ts'
import type { Addr, Bit, Condition, Done, FaultName, FlagValues, OpSize, Pair, Size, Val } from './value.ts'

/** Which family's availability `before` checks: CR0.EM/TS, CR4.OSFXSR, pending x87 errors (SDM 3A 2.5, 13.1). */
export type Family = 'x87' | 'x87NoWait' | 'mmx' | 'sse'

export interface E<W extends OpSize> extends Lanes {
  /** Operand size of this instance of the row. */
  readonly bits: W
  n(x: number): Val<W>
  k<X extends Size>(width: X, x: number): Val<X>
  /** A 64-bit constant from two 32-bit halves. */
  k64(low: number, high: number): Val<64>
  readonly no: Bit
  readonly yes: Bit

  add<X extends Size>(a: Val<X>, b: Val<X>): Val<X>
  sub<X extends Size>(a: Val<X>, b: Val<X>): Val<X>
  mul<X extends Size>(a: Val<X>, b: Val<X>): Val<X>
  and<X extends number>(a: Val<X>, b: Val<X>): Val<X>
  or<X extends number>(a: Val<X>, b: Val<X>): Val<X>
  xor<X extends number>(a: Val<X>, b: Val<X>): Val<X>
  not<X extends number>(a: Val<X>): Val<X>
  /** Shift counts are values of the same width and must be below it (WebAssembly masks them to 31 or 63). */
  shl<X extends Size>(a: Val<X>, n: Val<X>): Val<X>
  shr<X extends Size>(a: Val<X>, n: Val<X>): Val<X>
  sar<X extends Size>(a: Val<X>, n: Val<X>): Val<X>
  ctz<X extends Size>(a: Val<X>): Val<X>
  clz<X extends Size>(a: Val<X>): Val<X>
  popcnt<X extends Size>(a: Val<X>): Val<X>
  mulU<X extends Size>(a: Val<X>, b: Val<X>): Pair<X>
  mulS<X extends Size>(a: Val<X>, b: Val<X>): Pair<X>
  /** Division of a double-width value. `overflow` also covers d = 0; q and r are rubbish then. */
  divU<X extends Size>(n: Pair<X>, d: Val<X>): { q: Val<X>; r: Val<X>; overflow: Bit }
  divS<X extends Size>(n: Pair<X>, d: Val<X>): { q: Val<X>; r: Val<X>; overflow: Bit }
  zx<X extends Size>(a: Val<number>, to: X): Val<X>
  sx<X extends Size>(a: Val<number>, to: X): Val<X>
  low<X extends number>(a: Val<number>, to: X): Val<X>
  /** Zero-extend or truncate to operand size. */
  sized(a: Val<number>): Val<W>
  bit<X extends number>(a: Val<X>, index: number): Bit
  msb<X extends number>(a: Val<X>): Bit
  eq<X extends number>(a: Val<X>, b: Val<X>): Bit
  ltu<X extends number>(a: Val<X>, b: Val<X>): Bit
  lts<X extends number>(a: Val<X>, b: Val<X>): Bit
  isZero(a: Val<number>): Bit
  select<X extends number>(c: Bit, a: Val<X>, b: Val<X>): Val<X>

  carry(): Bit
  /** AF. */
  adjust(): Bit
  cond(c: Condition): Bit

  // Pending: takes effect after the row has returned, so a row never sees its own writes.
  flagsAdd<X extends Size>(a: Val<X>, b: Val<X>, r: Val<X>, carry?: 'keep'): Done
  flagsSub<X extends Size>(a: Val<X>, b: Val<X>, r: Val<X>, carry?: 'keep'): Done
  flagsLogic<X extends Size>(r: Val<X>): Done
  /** ZF, SF and PF come from `result`, or one by one (then ZF must be given; SF and PF default to 0). `unless`: all flags stay. */
  flags<X extends Size>(f: FlagValues<X>): Done
  /** All six flags are undefined in the SDM and recorded hardware leaves them: prints nothing, tests look for it. */
  flagsUndefined(): Done
  /** RFLAGS.DF and the step of string instructions. */
  direction(down: boolean): Done
  push(v: Val<number>): Done
  jump(to: Addr): Done
  jumpIf(c: Bit, to: Addr): Done
  readonly nextRip: Addr

  // Ordered: printed where it stands.
  /** The value at the top of the stack, W bits; rSP moves when the instruction completes. */
  pop(): Val<W>
  /** As `pop`, with rSP taken to be `frame` first (LEAVE). */
  popAt(frame: Addr): Val<W>
  /** After a pop: rSP moves by `bytes` more (RET imm16). */
  release(bytes: Val<16>): Done
  /** Raises the fault with error code 0 (or none, by vector) when the bit is set; nothing has been written yet. */
  fault(when: Bit, vector: FaultName): Done
  /** #UD, #NM or #MF if the family cannot be used now. */
  available(family: Family): Done
  /** Calls a function of values (soft-float, wide division) listed in calls.ts; may touch x87/MXCSR state but no operand. */
  call<K extends CallName>(name: K, ...values: CallArguments<K>): CallResult<K>
  /** Leaves for a TypeScript function that may change anything; ends the instruction. */
  assist<K extends keyof Assists>(name: K, ...args: Assists[K]): Done
}

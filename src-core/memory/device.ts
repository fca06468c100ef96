// What a chip may know of the machine around it: registers at offsets, an interrupt line, a clock.
// A chip never learns its own address, another chip, or the processor (ARCHITECTURE.md, "Devices").

/** Access width in bytes. Wider guest accesses are split by the bus, low half first. */
export type AccessSize = 1 | 2 | 4

/** A chip's registers as a bus sees them: `offset` counts from where the region was mapped. */
export interface Registers {
  /** Returns an unsigned value of `size` bytes. Must not throw, whatever the offset. */
  read(offset: number, size: AccessSize): number
  /** `value` is unsigned and fits `size` bytes. Must not throw, whatever the offset. */
  write(offset: number, size: AccessSize, value: number): void
}

/** An interrupt (or reset, or NMI) wire: true asserts it. Driving the level it already has changes nothing. */
export type Line = (level: boolean) => void

/** A message-signalled interrupt: one 32-bit write to an address in FEE0_0000H…FEEF_FFFFH (SDM 3A 10.11). */
export type MessageSink = (address: number, data: number) => void

/** Virtual time. Cycles of the machine's time-stamp counter, as a number below 2^53. */
export interface Clock {
  /** Cycles a second. */
  readonly frequency: number
  /** Now, in cycles since power-on. */
  now(): number
  /** An alarm with a stable name (for tracing); disarmed until `arm`. */
  timer(name: string, expired: () => void): Timer
}

export interface Timer {
  /** Fires once when virtual time reaches `deadline` (cycles since power-on); replaces an earlier deadline. */
  arm(deadline: number): void
  cancel(): void
  /** The deadline in force, or undefined. */
  readonly deadline: number | undefined
}

/** JSON-safe state. Binary content is base64 text; quantities over 2^53 are decimal or hex text. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

/** One chip's saved state: named fields and the version of their meaning. */
export interface SavedState {
  version: number
  fields: { [name: string]: Json }
}

/** A chip: it can write its state down and take it back. Its registers are separate objects, one for each mapped region. */
export interface Device {
  /** Unique among the machine's parts, stable over releases: "lapic0", "pit", "uart0". */
  readonly id: string
  save(): SavedState
  /** Throws StateError when the state is of another version or shape; then nothing was changed. */
  restore(state: SavedState): void
  /** Power-on or hard reset values. */
  reset(): void
}

export class StateError extends Error {
  constructor(
    readonly part: string,
    message: string,
  ) {
    super(`${part}: ${message}`)
    this.name = 'StateError'
  }
}

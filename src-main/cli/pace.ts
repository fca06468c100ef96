// Virtual time against wall time (ARCHITECTURE.md, "Time"): how far an idle guest may go, and how long to wait.

export interface IdleClock {
  readonly frequency: number
  /** Virtual time in cycles. */
  readonly time: number
  /** The next thing due, in cycles; Infinity when there is none. */
  readonly next: number
}

export class Pace {
  private readonly origin: number
  private readonly began: number

  /** `skip`: idle time passes at once. `now`: wall time in ms. */
  constructor(
    private readonly clock: IdleClock,
    private readonly skip: boolean,
    private readonly now: () => number,
  ) {
    this.origin = clock.time
    this.began = now()
  }

  /** An idle guest may skip to events due up to here. */
  idleUntil(): number {
    // a second at a time, so that a guest which only sleeps gives way to the host too
    if (this.skip) return Math.max(this.clock.time + this.clock.frequency, this.clock.next === Infinity ? 0 : this.clock.next)
    return this.origin + ((this.now() - this.began) / 1000) * this.clock.frequency
  }

  /** Milliseconds until something is due; Infinity: nothing is. */
  get wait(): number {
    if (this.clock.next === Infinity) return Infinity
    if (this.skip) return 0
    return Math.max(0, ((this.clock.next - this.idleUntil()) / this.clock.frequency) * 1000)
  }
}

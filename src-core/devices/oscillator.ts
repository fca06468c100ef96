// A crystal that runs beside the time-stamp counter: its ticks are computed from virtual time, exactly.

import type { Clock, Timer } from '../memory/device.ts'

/** No repeating alarm comes more often than this many cycles: a guest's period of one tick must not stop the host. */
export const SHORTEST_PERIOD = 1024

const END_OF_TIME = 2 ** 53

const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b))

export class Oscillator {
  private readonly cyclesPer: number
  private readonly ticksPer: number
  private readonly exact: boolean

  /** `frequency` in ticks a second. */
  constructor(
    readonly clock: Clock,
    readonly frequency: number,
  ) {
    const cycles = Math.round(clock.frequency)
    const g = divisor(cycles, frequency)
    this.cyclesPer = cycles / g
    this.ticksPer = frequency / g
    this.exact = this.cyclesPer * this.ticksPer < END_OF_TIME
  }

  /** Whole ticks since power-on. */
  now(): number {
    return this.ticks(this.clock.now())
  }

  /** Whole ticks that have passed at `cycles`. */
  ticks(cycles: number): number {
    const whole = Math.floor(cycles / this.cyclesPer)
    const rest = cycles - whole * this.cyclesPer
    const part = this.exact
      ? Math.floor((rest * this.ticksPer) / this.cyclesPer)
      : Number((BigInt(rest) * BigInt(this.ticksPer)) / BigInt(this.cyclesPer))
    return whole * this.ticksPer + part
  }

  /** The first cycle at which `ticks` have passed; Infinity if virtual time (2^53) ends before. */
  cycles(ticks: number): number {
    if (ticks <= 0) return 0
    const whole = Math.floor(ticks / this.ticksPer)
    const rest = ticks - whole * this.ticksPer
    const part = this.exact
      ? Math.ceil((rest * this.cyclesPer) / this.ticksPer)
      : Number((BigInt(rest) * BigInt(this.cyclesPer) + BigInt(this.ticksPer - 1)) / BigInt(this.ticksPer))
    const at = whole * this.cyclesPer + part
    return at < END_OF_TIME ? at : Infinity
  }
}

/** Arms `timer` for `deadline`, or cancels it when that is beyond the end of virtual time. */
export function armAt(timer: Timer, deadline: number): void {
  if (deadline < END_OF_TIME) timer.arm(deadline)
  else timer.cancel()
}

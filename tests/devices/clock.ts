// A clock for tests: virtual time moves only by advance(), alarms fire in order of their deadlines.

import type { Clock, Line, Timer } from '../../src-core/memory/device.ts'

class FakeTimer implements Timer {
  deadline: number | undefined
  constructor(
    readonly name: string,
    readonly expired: () => void,
  ) {}
  arm(deadline: number): void {
    if (!Number.isFinite(deadline) || deadline > 2 ** 53) throw new Error(`${this.name}: deadline ${deadline}`)
    this.deadline = deadline
  }
  cancel(): void {
    this.deadline = undefined
  }
}

export class FakeClock implements Clock {
  private cycles = 0
  readonly timers: FakeTimer[] = []
  /** Alarms that fired. */
  fired = 0

  constructor(readonly frequency = 2_200_000_000) {}

  now(): number {
    return this.cycles
  }

  timer(name: string, expired: () => void): Timer {
    const t = new FakeTimer(name, expired)
    this.timers.push(t)
    return t
  }

  /** Moves to cycle `to`; what falls due on the way fires at its deadline. */
  runTo(to: number): void {
    for (;;) {
      let next: FakeTimer | undefined
      for (const t of this.timers) if (t.deadline !== undefined && t.deadline <= to && t.deadline < (next?.deadline ?? Infinity)) next = t
      if (!next) break
      this.cycles = Math.max(this.cycles, next.deadline!)
      next.deadline = undefined
      this.fired++
      next.expired()
    }
    this.cycles = Math.max(this.cycles, to)
  }

  advance(cycles: number): void {
    this.runTo(this.cycles + cycles)
  }

  /** Jumps, then fires what fell due: a host that looks late. */
  jump(cycles: number): void {
    this.cycles += cycles
    this.runTo(this.cycles)
  }

  seconds(s: number): void {
    this.advance(Math.ceil(s * this.frequency))
  }
}

/** A wire that counts its rising edges. */
export function probe(): { line: Line; level: boolean; edges: number } {
  const p = {
    level: false,
    edges: 0,
    line: (level: boolean) => {
      if (level && !p.level) p.edges++
      p.level = level
    },
  }
  return p
}

// Virtual time: timers in order of deadline, then of creation (ARCHITECTURE.md, "Time"). Nothing here reads the host's clock.

import type { Clock, Timer } from '../memory/device.ts'

class Alarm implements Timer {
  deadline: number | undefined

  constructor(
    private readonly clock: VirtualClock,
    readonly name: string,
    readonly expired: () => void,
  ) {}

  arm(deadline: number): void {
    this.deadline = deadline
    this.clock.changed()
  }
  cancel(): void {
    if (this.deadline === undefined) return
    this.deadline = undefined
    this.clock.changed()
  }
}

export class VirtualClock implements Clock {
  private readonly alarms: Alarm[] = []
  private earliest: Alarm | undefined
  private known = true
  /** Time of the last event, in cycles; the running processor's own time is ahead of it. */
  time = 0
  /** The running processor's time, while one runs. */
  running: (() => number) | undefined

  constructor(readonly frequency: number) {}

  /** The latest time shown to anybody: processors run a little apart, and what they read must not run backwards. */
  latest = 0

  now(): number {
    return this.shown(this.running ? this.running() : this.time)
  }

  shown(time: number): number {
    if (time > this.latest) this.latest = time
    return this.latest
  }

  timer(name: string, expired: () => void): Timer {
    const alarm = new Alarm(this, name, expired)
    this.alarms.push(alarm)
    return alarm
  }

  changed(): void {
    this.known = false
  }

  /** All alarms off, time as given: before restored chips arm theirs again. */
  restart(time: number, latest: number): void {
    for (const a of this.alarms) a.deadline = undefined
    this.known = false
    this.time = time
    this.latest = latest
  }

  /** The next deadline, or Infinity. */
  get next(): number {
    return this.first()?.deadline ?? Infinity
  }

  private first(): Alarm | undefined {
    if (this.known) return this.earliest
    let best: Alarm | undefined
    for (const a of this.alarms) if (a.deadline !== undefined && (best?.deadline === undefined || a.deadline < best.deadline)) best = a
    this.earliest = best
    this.known = true
    return best
  }

  /** Fires everything due at `time`, each at its own deadline; time never runs backwards. */
  advance(time: number): void {
    for (;;) {
      const a = this.first()
      if (a?.deadline === undefined || a.deadline > time) break
      this.time = Math.max(this.time, a.deadline)
      a.deadline = undefined
      this.known = false
      a.expired()
    }
    this.time = Math.max(this.time, time)
  }
}

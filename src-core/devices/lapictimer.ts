// The local APIC timer (SDM 3A 11.5.4): one-shot and periodic from a divided crystal, and TSC-deadline.
// A periodic count shorter than SHORTEST_PERIOD cycles interrupts at that rate; its current count stays exact.

import type { Clock, Timer } from '../memory/device.ts'
import { armAt, Oscillator, SHORTEST_PERIOD } from './oscillator.ts'
import { integer, optional, time, uint, word64, type Values } from './state.ts'

const TIMER_MODE = { oneShot: 0, periodic: 1, deadline: 2 } as const

export const lapicTimerShape = {
  mode: integer(0, 2),
  divide: uint(4), // divide configuration register
  initial: uint(32),
  start: optional(integer(-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)), // crystal tick in which `initial` was loaded
  deadline: word64, // IA32_TSC_DEADLINE, 0 = disarmed
  alarm: optional(time), // cycles
}

const power = (): Values<typeof lapicTimerShape> => ({ mode: 0, divide: 0, initial: 0, start: undefined, deadline: 0n, alarm: undefined })

export class LapicTimer {
  private r = power()
  private readonly oscillator: Oscillator
  private readonly timer: Timer

  /** `crystal` in Hz, as CPUID 15H reports it; `tscOffset` is the processor's TSC minus the machine's, modulo 2^64. */
  constructor(
    name: string,
    private readonly clock: Clock,
    crystal: number,
    private readonly tscOffset: () => bigint,
    private readonly expire: () => void,
  ) {
    this.oscillator = new Oscillator(clock, crystal)
    this.timer = clock.timer(name, () => this.expired())
  }

  get state(): Values<typeof lapicTimerShape> {
    return this.r
  }

  set state(state: Values<typeof lapicTimerShape>) {
    this.r = state
    armAt(this.timer, state.alarm ?? Infinity)
  }

  reset(): void {
    this.state = power()
  }

  /** Divide configuration: bits 3, 1, 0; 111 divides by 1. */
  private get divisor(): number {
    const code = (this.r.divide & 3) | ((this.r.divide >> 1) & 4)
    return code === 7 ? 1 : 2 << code
  }

  /** Counts since the initial count was loaded. */
  private get counted(): number {
    return this.r.start === undefined ? 0 : Math.floor((this.oscillator.now() - this.r.start) / this.divisor)
  }

  get initial(): number {
    return this.r.mode === TIMER_MODE.deadline ? 0 : this.r.initial
  }

  get current(): number {
    const { mode, initial, start } = this.r
    if (start === undefined || initial === 0) return 0
    return mode === TIMER_MODE.periodic ? initial - (this.counted % initial) : Math.max(0, initial - this.counted)
  }

  get divide(): number {
    return this.r.divide
  }

  /** IA32_TSC_DEADLINE. */
  get deadline(): bigint {
    return this.r.deadline
  }

  /** Initial count register: 0 stops the timer; ignored in TSC-deadline mode (11.5.4.1). */
  load(initial: number): void {
    if (this.r.mode === TIMER_MODE.deadline) return
    this.r.initial = initial
    this.r.start = initial === 0 ? undefined : this.oscillator.now()
    this.arm()
  }

  setDivide(value: number): void {
    const counted = this.counted
    this.r.divide = value & 0xb
    if (this.r.start !== undefined) this.r.start = this.oscillator.now() - counted * this.divisor
    this.arm()
  }

  /** LVT timer bits 18:17. Entering or leaving TSC-deadline mode disarms the timer. Mode 3 is reserved and stops it. */
  setMode(mode: number): void {
    if (mode > 2) mode = TIMER_MODE.oneShot
    if (mode === this.r.mode) return
    if (mode === TIMER_MODE.deadline || this.r.mode === TIMER_MODE.deadline) {
      this.r = { ...power(), divide: this.r.divide }
    } else if (this.r.start !== undefined && this.r.initial > 0) {
      // The count goes on from where it stands.
      this.r.start = this.oscillator.now() - (this.r.initial - this.current) * this.divisor
    }
    this.r.mode = mode
    this.arm()
  }

  /** Writes IA32_TSC_DEADLINE; ignored outside TSC-deadline mode. */
  setDeadline(deadline: bigint): void {
    if (this.r.mode !== TIMER_MODE.deadline) return
    this.r.deadline = deadline
    this.arm()
  }

  /** The processor's TSC was written: the deadline stands in its time. */
  tscChanged(): void {
    if (this.r.mode === TIMER_MODE.deadline && this.r.deadline !== 0n) this.arm()
  }

  private arm(earliest = 0): void {
    const { mode, initial, start, deadline } = this.r
    let at = Infinity
    if (mode === TIMER_MODE.deadline) {
      if (deadline !== 0n) {
        const now = this.clock.now()
        const tsc = BigInt.asUintN(64, BigInt(now) + this.tscOffset())
        if (deadline <= tsc) return this.expired()
        at = now + Number(deadline - tsc)
      }
    } else if (start !== undefined && initial > 0) {
      const turns = mode === TIMER_MODE.periodic ? Math.floor(this.counted / initial) + 1 : 1
      at = Math.max(this.oscillator.cycles(start + turns * initial * this.divisor), earliest)
    }
    this.r.alarm = at <= Number.MAX_SAFE_INTEGER ? at : undefined
    armAt(this.timer, this.r.alarm ?? Infinity)
  }

  private expired(): void {
    this.r.alarm = undefined
    this.timer.cancel()
    if (this.r.mode === TIMER_MODE.deadline) this.r.deadline = 0n
    else if (this.r.mode === TIMER_MODE.periodic) this.arm(this.clock.now() + SHORTEST_PERIOD)
    else this.r.start = undefined
    this.expire()
  }
}

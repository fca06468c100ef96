// High precision event timers (IA-PC HPET specification 1.0a): a 64-bit counter at 100 MHz and three comparators.
// Comparators are 64 bits wide, each can be periodic, level or edge triggered, or send a message (FSB).
// Not modelled: a repeating comparator faster than SHORTEST_PERIOD cycles interrupts at that rate, its counts stay exact.

import type { Clock, Device, Line, MessageSink, Registers, SavedState, Timer } from '../memory/device.ts'
import { armAt, Oscillator, SHORTEST_PERIOD } from './oscillator.ts'
import { dwordRegisters } from './registers.ts'
import { flag, list, optional, record, restoreAs, saveAs, time, uint, word64, type Values } from './state.ts'

const HPET_FREQUENCY = 100_000_000
const PERIOD = 10_000_000 // femtoseconds
const TIMERS = 3
const ALL = (1n << 64n) - 1n
const LOW = 0xffffffffn

// Tn_CONF (2.3.8): 15 FSB_CAP  14 FSB_EN  13:9 INT_ROUTE  8 32MODE  6 VAL_SET  5 SIZE_CAP  4 PER_CAP  3 TYPE  2 INT_ENB  1 INT_TYPE
const LEVEL = 1 << 1
const ENABLE = 1 << 2
const PERIODIC = 1 << 3
const VALUE_SET = 1 << 6
const NARROW = 1 << 8
const FSB = 1 << 14
const CAPABILITIES = (1 << 15) | (1 << 5) | (1 << 4)
const WRITABLE = LEVEL | ENABLE | PERIODIC | VALUE_SET | (0x1f << 9) | NARROW | FSB

const shape = {
  enabled: flag,
  legacy: flag,
  status: uint(TIMERS),
  counter: word64, // its value when `since` was
  since: time, // ticks
  halfSet: uint(2), // the timer whose low comparator half was just written under VAL_SET, 3 = none
  timers: list(
    record({
      config: uint(16),
      comparator: word64, // the next match
      period: word64,
      address: uint(32),
      data: uint(32),
      output: flag,
      earliest: time, // cycles: no match interrupts before
      deadline: optional(time), // cycles: what the alarm is set for
    }),
    TIMERS,
  ),
}

const power = (): Values<typeof shape> => ({
  enabled: false,
  legacy: false,
  status: 0,
  counter: 0n,
  since: 0,
  halfSet: TIMERS,
  timers: Array.from({ length: TIMERS }, () => ({
    config: 0,
    comparator: ALL,
    period: 0n,
    address: 0,
    data: 0,
    output: false,
    earliest: 0,
    deadline: undefined,
  })),
})

/** Where interrupts go. */
export interface HpetOutputs {
  /** IOAPIC inputs, index = pin; an absent one is no choice in INT_ROUTE_CAP. */
  readonly routes: readonly (Line | undefined)[]
  /** With LEG_RT_CNF: timer 0 in the place of the 8254's IRQ0, timer 1 in the place of the RTC's IRQ8. */
  readonly legacyTimer: Line
  readonly legacyClock: Line
  readonly message: MessageSink
  /** LEG_RT_CNF changed: while true, the board keeps the 8254 and the RTC off their inputs. */
  readonly legacyChanged: Line
}

export class Hpet implements Device {
  private r = power()
  private readonly oscillator: Oscillator
  private readonly alarms: readonly Timer[]
  private readonly routeMask: number
  /** 1 KiB at FED0_0000H. */
  readonly registers: Registers

  constructor(
    readonly id: string,
    private readonly clock: Clock,
    private readonly outputs: HpetOutputs,
  ) {
    this.oscillator = new Oscillator(clock, HPET_FREQUENCY)
    this.alarms = this.r.timers.map((_, n) => clock.timer(`${id}.timer${n}`, () => this.expired(n)))
    this.routeMask = outputs.routes.slice(0, 32).reduce((mask, line, n) => (line ? mask | (1 << n) : mask), 0) >>> 0
    this.registers = dwordRegisters(
      (offset) => this.read(offset),
      (offset, value, lanes) => this.write(offset, value, lanes),
    )
  }

  /** LEG_RT_CNF. */
  get legacyRouting(): boolean {
    return this.r.legacy
  }

  private counter(): bigint {
    return this.r.enabled ? (this.r.counter + BigInt(this.oscillator.now() - this.r.since)) & ALL : this.r.counter
  }

  private read(offset: number): number {
    const half = (value: bigint): number => Number((offset & 4) !== 0 ? value >> 32n : value & LOW)
    const register = offset & ~7
    // GCAP_ID: period | vendor 8086H, legacy capable, 64 bits, timers - 1, revision 1
    if (offset === 0) return ((0x8086 << 16) | 0xa001 | ((TIMERS - 1) << 8)) >>> 0
    if (offset === 4) return PERIOD
    if (offset === 0x10) return (this.r.enabled ? 1 : 0) | (this.r.legacy ? 2 : 0)
    if (offset === 0x20) return this.r.status
    if (register === 0xf0) return half(this.counter())
    const n = (offset - 0x100) >> 5
    const t = offset < 0x100 ? undefined : this.r.timers[n]
    if (!t) return 0
    switch (register & 0x18) {
      case 0:
        return (offset & 4) !== 0 ? this.routeMask : t.config | CAPABILITIES
      case 8:
        this.advance(n)
        return half(t.comparator)
      case 0x10:
        return (offset & 4) !== 0 ? t.address : t.data
      default:
        return 0
    }
  }

  private write(offset: number, value: number, lanes: number): void {
    const shift = (offset & 4) !== 0 ? 32n : 0n
    const wide = (old: bigint): bigint => (old & (ALL ^ (BigInt(lanes) << shift))) | (BigInt((value & lanes) >>> 0) << shift)
    const register = offset & ~7
    if (offset === 0x10) this.configure(value, lanes)
    else if (offset === 0x20) {
      this.r.status &= ~(value & lanes)
      this.r.timers.forEach((t, n) => {
        if ((t.config & LEVEL) !== 0 && (this.r.status & (1 << n)) === 0) this.drive(n, false)
      })
    } else if (register === 0xf0) {
      // The counter may only be written while it is halted (2.3.7); a running one keeps going from the new value.
      this.r.counter = wide(this.counter())
      this.r.since = this.oscillator.now()
      this.arm()
    } else if (offset >= 0x100 && offset < 0x100 + TIMERS * 0x20) this.writeTimer((offset - 0x100) >> 5, offset, value, lanes, wide)
  }

  private configure(value: number, lanes: number): void {
    if ((lanes & 1) === 0) return
    const enabled = (value & 1) !== 0
    const legacy = (value & 2) !== 0
    if (enabled !== this.r.enabled) {
      for (let n = 0; n < TIMERS; n++) this.advance(n)
      this.r.counter = this.counter()
      this.r.since = this.oscillator.now()
      this.r.enabled = enabled
      for (const t of this.r.timers) t.deadline = undefined
      if (!enabled) for (let n = 0; n < TIMERS; n++) this.drive(n, false)
    }
    if (legacy !== this.r.legacy) {
      for (let n = 0; n < TIMERS; n++) this.drive(n, false)
      this.r.legacy = legacy
      this.outputs.legacyChanged(legacy)
    }
    this.redrive()
    this.arm()
  }

  private writeTimer(n: number, offset: number, value: number, lanes: number, wide: (old: bigint) => bigint): void {
    const t = this.r.timers[n]!
    this.advance(n)
    if ((offset & 0x1c) !== 0xc) this.r.halfSet = TIMERS
    switch (offset & 0x1c) {
      case 0:
        this.drive(n, false)
        t.config = ((t.config & ~lanes) | (value & lanes)) & WRITABLE
        // 32MODE cuts the comparator to 32 bits (2.3.8).
        if ((t.config & NARROW) !== 0) {
          t.comparator &= LOW
          t.period &= LOW
        }
        this.redrive()
        break
      case 8:
      case 0xc: {
        const mask = (t.config & NARROW) !== 0 ? LOW : ALL
        // Periodic (2.3.9.2.2): a write is the period; VAL_SET, which it clears, makes it the next match as well. A 64-bit
        // write comes as two halves: the high one belongs to the low one just before it.
        const set = (t.config & VALUE_SET) !== 0 || ((offset & 4) !== 0 && this.r.halfSet === n)
        if ((t.config & PERIODIC) === 0 || set) t.comparator = wide(t.comparator) & mask
        if ((t.config & PERIODIC) !== 0) t.period = wide(t.period) & mask
        t.config &= ~VALUE_SET
        this.r.halfSet = set && (offset & 4) === 0 ? n : TIMERS
        break
      }
      case 0x10:
        t.data = ((t.data & ~lanes) | (value & lanes)) >>> 0
        return
      case 0x14:
        t.address = ((t.address & ~lanes) | (value & lanes)) >>> 0
        return
    }
    this.armTimer(n)
  }

  /** Ticks from now until the comparator matches; a match now is a whole turn away, as it was acted on already. */
  private distance(n: number): bigint {
    const t = this.r.timers[n]!
    const mask = (t.config & NARROW) !== 0 ? LOW : ALL
    return (t.comparator - this.counter()) & mask
  }

  /** Moves a periodic comparator past the counter, as if it had added its period at every match. */
  private advance(n: number): void {
    const t = this.r.timers[n]!
    if (!this.r.enabled || (t.config & PERIODIC) === 0 || t.period === 0n) return
    const mask = (t.config & NARROW) !== 0 ? LOW : ALL
    const behind = (this.counter() - t.comparator) & mask
    // More than half the range "behind" is a comparator that lies ahead.
    if (behind > mask >> 1n) return
    t.comparator = (t.comparator + (behind / t.period + 1n) * t.period) & mask
  }

  /** Sets every alarm but those that are due and have yet to be heard. */
  private arm(): void {
    const now = this.clock.now()
    this.r.timers.forEach((t, n) => {
      if (t.deadline === undefined || t.deadline > now) this.armTimer(n)
    })
  }

  private armTimer(n: number): void {
    const t = this.r.timers[n]!
    t.deadline = undefined
    // A level timer's match sets its status bit even with interrupts off (2.3.6); edge timers only interrupt.
    if (this.r.enabled && (t.config & (ENABLE | LEVEL)) !== 0) {
      const mask = (t.config & NARROW) !== 0 ? LOW : ALL
      const ticks = this.distance(n) || mask + 1n
      if (ticks < 1n << 53n) {
        const at = Math.max(this.oscillator.cycles(this.oscillator.now() + Number(ticks)), t.earliest)
        if (at <= Number.MAX_SAFE_INTEGER) t.deadline = at
      }
    }
    armAt(this.alarms[n]!, t.deadline ?? Infinity)
  }

  private expired(n: number): void {
    const t = this.r.timers[n]!
    const periodic = (t.config & PERIODIC) !== 0 && t.period !== 0n
    t.deadline = undefined
    // A clamped period, or a late alarm: the comparator goes on from where the counter is.
    this.advance(n)
    if (periodic) t.earliest = Math.min(this.clock.now() + SHORTEST_PERIOD, Number.MAX_SAFE_INTEGER)
    if ((t.config & LEVEL) !== 0) this.r.status |= 1 << n
    if ((t.config & ENABLE) !== 0) {
      if ((t.config & FSB) !== 0) this.outputs.message(t.address, t.data)
      else {
        if ((t.config & LEVEL) === 0) this.drive(n, false)
        this.drive(n, true)
      }
    }
    this.armTimer(n)
  }

  private line(n: number): Line | undefined {
    if (this.r.legacy && n < 2) return n === 0 ? this.outputs.legacyTimer : this.outputs.legacyClock
    return this.outputs.routes[(this.r.timers[n]!.config >> 9) & 0x1f]
  }

  private drive(n: number, level: boolean): void {
    const t = this.r.timers[n]!
    if (t.output === level) return
    t.output = level
    this.line(n)?.(level)
  }

  /** Level outputs follow their status bits. */
  private redrive(): void {
    this.r.timers.forEach((t, n) => {
      if ((t.config & LEVEL) === 0) return
      this.drive(n, this.r.enabled && (t.config & (ENABLE | FSB)) === ENABLE && (this.r.status & (1 << n)) !== 0)
    })
  }

  save(): SavedState {
    return saveAs(1, shape, this.r)
  }

  restore(state: SavedState): void {
    this.r = restoreAs(this.id, 1, shape, state)
    this.r.timers.forEach((t, n) => armAt(this.alarms[n]!, t.deadline ?? Infinity))
  }

  reset(): void {
    for (let n = 0; n < TIMERS; n++) this.drive(n, false)
    const legacy = this.r.legacy
    this.r = power()
    if (legacy) this.outputs.legacyChanged(false)
    this.arm()
  }
}

// 8254 programmable interval timer (Intel 231164). Counters are computed from virtual time; an alarm is set only for
// the next change of an OUT that is wired. Not modelled: the undefined count read in the CLK in which CE is loaded.

import type { Clock, Device, Line, Registers, SavedState, Timer } from '../memory/device.ts'
import { armAt, Oscillator } from './oscillator.ts'
import { byteRegisters } from './registers.ts'
import { flag, integer, list, optional, record, restoreAs, saveAs, uint, type Values } from './state.ts'

/** CLK of the PC's 8254 in Hz: 14.31818 MHz / 12. */
export const PIT_FREQUENCY = 1193182

const tick = integer(-1, Number.MAX_SAFE_INTEGER)

const channelShape = {
  mode: integer(0, 5),
  access: integer(1, 3), // 1 low byte, 2 high byte, 3 low then high
  bcd: flag,
  written: integer(0, 0x10000), // CR as a count, 0 = never written
  low: optional(uint(8)), // first byte of a two-byte write
  secondRead: flag,
  latch: optional(uint(16)),
  status: optional(uint(8)),
  unloaded: flag, // CR not yet in CE
  count: integer(0, 0x10000), // what CE was loaded with, 0 = never
  origin: optional(tick), // the CLK in which CE was loaded
  held: optional(tick), // clocks counted when the gate stopped it
  next: optional(record({ count: integer(1, 0x10000), at: tick })), // takes over at the end of this (half) period
  gate: flag,
  out: flag,
  edge: optional(tick), // the change of OUT the alarm stands for
}
type Channel = Values<typeof channelShape>
const shape = { channels: list(record(channelShape), 3) }

const channel = (gate: boolean): Channel => ({
  mode: 0,
  access: 3,
  bcd: false,
  written: 0,
  low: undefined,
  secondRead: false,
  latch: undefined,
  status: undefined,
  unloaded: true,
  count: 0,
  origin: undefined,
  held: undefined,
  next: undefined,
  gate,
  out: false,
  edge: undefined,
})

/** Clocks that channel has counted at `now`, -1 before CE is loaded; undefined while it waits for a count or a trigger. */
const elapsed = (c: Channel, now: number): number | undefined =>
  c.held ?? (c.origin === undefined ? undefined : Math.max(-1, now - c.origin))

/** Mode 3: clocks of the high half, one more than the low half if the count is odd. */
const highHalf = (count: number): number => Math.ceil(count / 2)

function outAt(c: Channel, now: number): boolean {
  const e = elapsed(c, now)
  const n = c.count
  if (e === undefined) return c.mode !== 0
  switch (c.mode) {
    case 0:
      return e >= n
    case 1:
      return e < 0 || e >= n
    case 2:
      return c.held !== undefined || e < 0 || e % n !== n - 1
    case 3:
      return c.held !== undefined || e < 0 || e % n < highHalf(n)
    default:
      return e !== n
  }
}

/** The next CLK after `now` in which OUT changes, or undefined. */
function nextChange(c: Channel, now: number): number | undefined {
  if (c.held !== undefined || c.origin === undefined) return undefined
  const e = Math.max(-1, now - c.origin)
  const n = c.count
  let at: number | undefined
  if (c.mode === 2 || c.mode === 3) {
    if (n < 2) return undefined
    const high = c.mode === 2 ? n - 1 : highHalf(n)
    const phase = e < 0 ? -1 : e % n
    at = e - phase + (phase < high ? high : n)
  } else if (c.mode === 1 && e < 0) at = 0
  else if (e < n) at = n
  else if (e === n && c.mode >= 4) at = n + 1
  return at === undefined ? undefined : c.origin + at
}

/** CE at `now`, binary. */
function countAt(c: Channel, now: number): number {
  const e = elapsed(c, now)
  const n = c.count
  if (e === undefined || e < 0 || n === 0) return n
  const phase = e % n
  if (c.mode === 2) return n - phase
  if (c.mode === 3) return (n & ~1) - 2 * (phase < highHalf(n) ? phase : phase - highHalf(n))
  const modulus = c.bcd ? 10000 : 0x10000
  return (((n - e) % modulus) + modulus) % modulus
}

/** Mode 2 and 3: a new count is taken over when the running (half) period has ended. */
function settle(c: Channel, now: number): void {
  const next = c.next
  if (next === undefined || c.origin === undefined || now < next.at) return
  const endsHigh = c.mode === 3 && (next.at - c.origin) % c.count === highHalf(c.count)
  c.origin = endsHigh ? next.at - highHalf(next.count) : next.at
  c.count = next.count
  c.next = undefined
  c.unloaded = false
}

const toDigits = (n: number): number =>
  (n % 10) | ((Math.floor(n / 10) % 10) << 4) | ((Math.floor(n / 100) % 10) << 8) | ((Math.floor(n / 1000) % 10) << 12)
const fromDigits = (v: number): number => (v & 15) + ((v >> 4) & 15) * 10 + ((v >> 8) & 15) * 100 + (v >> 12) * 1000

export class Pit8254 implements Device {
  private channels = [channel(true), channel(true), channel(false)]
  private readonly oscillator: Oscillator
  private readonly alarms: readonly Timer[]
  /** Ports 40H–43H. */
  readonly registers: Registers

  /** `outputs[n]` is OUT n; an absent one can still be polled by `output(n)`. GATE 0 and 1 are tied high. */
  constructor(
    readonly id: string,
    clock: Clock,
    private readonly outputs: readonly (Line | undefined)[],
  ) {
    this.oscillator = new Oscillator(clock, PIT_FREQUENCY)
    this.alarms = this.channels.map((_, n) => clock.timer(`${id}.out${n}`, () => this.expired(n)))
    this.registers = byteRegisters(
      (offset) => (offset < 3 ? this.read(this.channels[offset]!) : 0xff),
      (offset, value) => {
        if (offset < 3) this.write(offset, value)
        else if (offset === 3) this.control(value)
      },
    )
  }

  /** OUT n now. */
  output(n: number): boolean {
    const c = this.channels[n]!
    const now = this.oscillator.now()
    settle(c, now)
    return outAt(c, now)
  }

  /** Drives GATE n. */
  gate(n: number, level: boolean): void {
    const c = this.channels[n]!
    if (c.gate === level) return
    const now = this.oscillator.now()
    settle(c, now)
    c.gate = level
    const triggered = c.mode === 1 || c.mode === 5
    if (level && (triggered || c.mode === 2 || c.mode === 3)) {
      if (c.written > 0 && (triggered || c.origin !== undefined)) this.load(c, now + 1)
    } else if (level && c.held !== undefined) {
      c.origin = now - c.held
      c.held = undefined
    } else if (!level && !triggered && c.origin !== undefined) {
      c.held = c.mode === 2 || c.mode === 3 ? 0 : Math.max(0, now - c.origin)
    }
    this.drive(n, now)
  }

  /** CE takes the count register at CLK `at`. */
  private load(c: Channel, at: number): void {
    c.count = c.written
    c.origin = at
    c.held = undefined
    c.next = undefined
    c.unloaded = false
  }

  private control(value: number): void {
    const select = value >> 6
    if (select === 3) {
      // Read-back: 1 1 /COUNT /STATUS CNT2 CNT1 CNT0 0
      for (let n = 0; n < 3; n++) {
        if ((value & (2 << n)) === 0) continue
        if ((value & 0x20) === 0) this.latch(this.channels[n]!)
        if ((value & 0x10) === 0) this.latchStatus(this.channels[n]!)
      }
      return
    }
    const c = this.channels[select]!
    const access = (value >> 4) & 3
    if (access === 0) return this.latch(c)
    const mode = (value >> 1) & 7
    const { gate, out } = c
    const fresh = { ...channel(gate), access, out, mode: mode > 5 ? mode - 4 : mode, bcd: (value & 1) !== 0, count: c.count }
    this.channels[select] = fresh
    this.drive(select, this.oscillator.now())
  }

  private latch(c: Channel): void {
    if (c.latch === undefined) c.latch = this.current(c)
  }

  private latchStatus(c: Channel): void {
    if (c.status !== undefined) return
    const now = this.oscillator.now()
    settle(c, now)
    const none = c.unloaded || (c.origin !== undefined && c.origin > now)
    c.status = (outAt(c, now) ? 0x80 : 0) | (none ? 0x40 : 0) | (c.access << 4) | (c.mode << 1) | (c.bcd ? 1 : 0)
  }

  private current(c: Channel): number {
    const now = this.oscillator.now()
    settle(c, now)
    const n = countAt(c, now)
    return c.bcd ? toDigits(n) : n & 0xffff
  }

  private read(c: Channel): number {
    if (c.status !== undefined) {
      const status = c.status
      c.status = undefined
      return status
    }
    const value = c.latch ?? this.current(c)
    const high = c.access === 2 || (c.access === 3 && c.secondRead)
    if (c.access === 3) c.secondRead = !c.secondRead
    if (c.access !== 3 || high) c.latch = undefined
    return high ? value >> 8 : value & 0xff
  }

  private write(n: number, value: number): void {
    const c = this.channels[n]!
    const now = this.oscillator.now()
    settle(c, now)
    let raw = c.access === 2 ? value << 8 : value
    if (c.access === 3) {
      if (c.low === undefined) {
        c.low = value
        // Mode 0: the first byte stops the count and OUT is low at once.
        if (c.mode === 0) {
          c.origin = undefined
          c.held = undefined
          this.drive(n, now)
        }
        return
      }
      raw = c.low | (value << 8)
      c.low = undefined
    }
    c.written = (c.bcd ? fromDigits(raw) : raw) || (c.bcd ? 10000 : 0x10000)
    c.unloaded = true
    if (c.mode === 0 || c.mode === 4) {
      this.load(c, now + 1)
      if (!c.gate) c.held = 0
    } else if (c.mode === 2 || c.mode === 3) {
      if (c.origin === undefined || c.held !== undefined) {
        this.load(c, now + 1)
        if (!c.gate) c.held = 0
      } else {
        // Taken over at the end of the period (mode 2) or half period (mode 3).
        const e = now - c.origin
        const phase = e < 0 ? 0 : e % c.count
        const half = c.mode === 3 && phase < highHalf(c.count) && c.count > 1 ? highHalf(c.count) : c.count
        c.next = { count: c.written, at: (e < 0 ? c.origin : c.origin + e - phase) + half }
      }
    }
    this.drive(n, now)
  }

  /** Brings the OUT line to its level and sets the alarm for its next change. */
  private drive(n: number, now: number): void {
    const c = this.channels[n]!
    const output = this.outputs[n]
    const level = outAt(c, now)
    if (c.out !== level) {
      c.out = level
      output?.(level)
    }
    c.edge = output ? nextChange(c, now) : undefined
    if (c.edge === undefined) this.alarms[n]!.cancel()
    else armAt(this.alarms[n]!, this.oscillator.cycles(c.edge))
  }

  /** However late it is, a pulse that went by is shown once, so that no period passes without its edge. */
  private expired(n: number): void {
    const c = this.channels[n]!
    if (c.edge === undefined) return
    const edge = c.edge
    settle(c, edge)
    c.out = outAt(c, edge)
    this.outputs[n]?.(c.out)
    const now = this.oscillator.now()
    const following = nextChange(c, edge)
    settle(c, now)
    if (following !== undefined && following <= now) {
      c.out = !c.out
      this.outputs[n]?.(c.out)
    }
    this.drive(n, now)
  }

  save(): SavedState {
    return saveAs(1, shape, { channels: this.channels })
  }

  restore(state: SavedState): void {
    const { channels } = restoreAs(this.id, 1, shape, state)
    // A running counter has a count to run over.
    for (const c of channels) if (c.count === 0) c.origin = c.held = undefined
    this.channels = channels
    channels.forEach((c, n) => {
      if (c.edge === undefined) this.alarms[n]!.cancel()
      else armAt(this.alarms[n]!, this.oscillator.cycles(c.edge))
    })
  }

  /** The 8254 has no reset pin; all channels stand as if mode 0 had just been selected. */
  reset(): void {
    this.channels = this.channels.map((c, n) => ({ ...channel(n < 2), out: c.out }))
    for (let n = 0; n < 3; n++) this.drive(n, this.oscillator.now())
  }
}

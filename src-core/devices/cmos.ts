// MC146818 real-time clock with 128 bytes of battery-backed RAM (Motorola MC146818A; PIIX3 290550 4.7; century in 32H).
// The calendar is computed from virtual time. UIP is set for the last 2,228 µs of a second, then all changes at once.
// Not modelled: daylight saving (DSE), SQW output, the 4.19/1.05 MHz time bases (taken as halted).

import type { Clock, Device, Line, Registers, SavedState, Timer } from '../memory/device.ts'
import { armAt, Oscillator } from './oscillator.ts'
import { byteRegisters } from './registers.ts'
import { bytes, flag, integer, optional, restoreAs, saveAs, time, uint, type Values } from './state.ts'

const CRYSTAL = 32768
const UPDATE_TICKS = 73 // 2,228 µs: UIP leads by 244 µs, the update takes 1,984 µs

const CENTURY = 0x32
// Register A: 7 UIP, 6:4 divider, 3:0 rate. B: 7 SET 6 PIE 5 AIE 4 UIE 3 SQWE 2 binary 1 24h 0 DSE. C: 7 IRQF 6 PF 5 AF 4 UF.
const SET = 0x80
const PF = 0x40
const AF = 0x20
const UF = 0x10
const BINARY = 4
const H24 = 2
const RUNNING = 0x20 // divider for a 32,768 Hz crystal

const shape = {
  index: uint(7),
  nmiMasked: flag,
  ram: bytes(128), // 00H–09H and 32H hold the calendar while SET or a halted divider stops it
  epoch: integer(-(2 ** 45), 2 ** 45), // seconds since 1970 at crystal tick `origin`
  origin: integer(-CRYSTAL, Number.MAX_SAFE_INTEGER),
  seen: time, // crystal tick up to which the flags of register C are up to date
  flags: uint(7),
  output: flag,
  edge: optional(time),
}

const toBcd = (n: number): number => ((Math.floor(n / 10) % 10) << 4) | (n % 10)
const fromBcd = (v: number): number => (v >> 4) * 10 + (v & 15)

/** Days since 1970-01-01 of a proleptic Gregorian date; month and day may lie outside their usual range. */
function daysOf(year: number, month: number, day: number): number {
  // Years that begin in March make the leap day the last one.
  const shifted = month > 2 ? year : year - 1
  const era = Math.floor(shifted / 400)
  const yearOfEra = shifted - era * 400
  const dayOfYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1
  return era * 146097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719468
}

function dateOf(days: number): { year: number; month: number; day: number } {
  const shifted = days + 719468
  const era = Math.floor(shifted / 146097)
  const dayOfEra = shifted - era * 146097
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36524) - Math.floor(dayOfEra / 146096)) / 365,
  )
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const m = Math.floor((5 * dayOfYear + 2) / 153)
  const month = m < 10 ? m + 3 : m - 9
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day: dayOfYear - Math.floor((153 * m + 2) / 5) + 1 }
}

export class Cmos implements Device {
  private r: Values<typeof shape>
  private readonly oscillator: Oscillator
  private readonly alarm: Timer
  /** Ports 70H (index, bit 7 masks NMI) and 71H (data). */
  readonly registers: Registers

  /** `epoch`: seconds since 1970 at power-on. `contents`: what a firmware left in the RAM, as [register, byte]. */
  constructor(
    readonly id: string,
    clock: Clock,
    private readonly irq: Line,
    epoch: number,
    contents: Iterable<readonly [number, number]> = [],
  ) {
    this.oscillator = new Oscillator(clock, CRYSTAL)
    this.r = {
      index: 0,
      nmiMasked: false,
      ram: new Uint8Array(128),
      epoch: Math.floor(epoch),
      origin: 0,
      seen: 0,
      flags: 0,
      output: false,
      edge: undefined,
    }
    this.r.ram[0xa] = 0x26
    this.r.ram[0xb] = H24
    for (const [register, byte] of contents) this.r.ram[register & 0x7f] = byte
    this.alarm = clock.timer(`${id}.alarm`, () => this.update())
    this.registers = byteRegisters(
      (offset) => (offset === 1 ? this.read(this.r.index) : 0xff),
      (offset, value) => {
        if (offset === 1) this.write(this.r.index, value)
        else if (offset === 0) {
          this.r.index = value & 0x7f
          this.r.nmiMasked = value > 0x7f
        }
      },
    )
  }

  get nmiMasked(): boolean {
    return this.r.nmiMasked
  }

  /** Seconds since 1970 by this clock. */
  get seconds(): number {
    return this.secondsAt(this.oscillator.now())
  }

  private get a(): number {
    return this.r.ram[0xa]!
  }

  private get b(): number {
    return this.r.ram[0xb]!
  }

  /** The divider runs. */
  private get ticking(): boolean {
    return (this.a & 0x70) === RUNNING
  }

  /** The calendar advances each second. */
  private get updating(): boolean {
    return this.ticking && (this.b & SET) === 0
  }

  private secondsAt(tick: number): number {
    return this.r.epoch + Math.floor((tick - this.r.origin) / CRYSTAL)
  }

  private encode(n: number): number {
    return (this.b & BINARY) !== 0 ? n : toBcd(n)
  }

  private decode(v: number): number {
    return (this.b & BINARY) !== 0 ? v : fromBcd(v)
  }

  private encodeHour(hour: number): number {
    if ((this.b & H24) !== 0) return this.encode(hour)
    return this.encode(hour % 12 || 12) | (hour >= 12 ? 0x80 : 0)
  }

  private decodeHour(v: number): number {
    if ((this.b & H24) !== 0) return this.decode(v)
    return (this.decode(v & 0x7f) % 12) + (v >= 0x80 ? 12 : 0)
  }

  /** Writes the calendar at `tick` into its registers. */
  private store(tick: number): void {
    const total = this.secondsAt(tick)
    const days = Math.floor(total / 86400)
    const second = total - days * 86400
    const { year, month, day } = dateOf(days)
    const ram = this.r.ram
    ram[0] = this.encode(second % 60)
    ram[2] = this.encode(Math.floor(second / 60) % 60)
    ram[4] = this.encodeHour(Math.floor(second / 3600))
    ram[6] = ((((days + 4) % 7) + 7) % 7) + 1 // 1 = Sunday; 1970-01-01 was a Thursday
    ram[7] = this.encode(day)
    ram[8] = this.encode(month)
    ram[9] = this.encode(((year % 100) + 100) % 100)
    ram[CENTURY] = this.encode((Math.floor(year / 100) + 100) % 100)
  }

  /** Takes the calendar from its registers; impossible dates run over into the next month. */
  private load(origin: number): void {
    const ram = this.r.ram
    const year = this.decode(ram[CENTURY]!) * 100 + this.decode(ram[9]!)
    const month = Math.min(12, Math.max(1, this.decode(ram[8]!)))
    const days = daysOf(year, month, this.decode(ram[7]!))
    this.r.epoch = days * 86400 + this.decodeHour(ram[4]!) * 3600 + this.decode(ram[2]!) * 60 + this.decode(ram[0]!)
    this.r.origin = origin
  }

  /** Crystal ticks between periodic interrupts, 0 = none (table 5 of the datasheet). */
  private get period(): number {
    const rate = this.a & 15
    if (rate === 0 || !this.ticking) return 0
    return 1 << (rate < 3 ? rate + 6 : rate - 1)
  }

  private alarmMatches(seconds: number): boolean {
    const second = ((seconds % 86400) + 86400) % 86400
    const ram = this.r.ram
    // C0H–FFH is "don't care".
    const at = (register: number, now: number, decoded: (v: number) => number): boolean =>
      ram[register]! >= 0xc0 || decoded(ram[register]!) === now
    return (
      at(1, second % 60, (v) => this.decode(v)) &&
      at(3, Math.floor(second / 60) % 60, (v) => this.decode(v)) &&
      at(5, Math.floor(second / 3600), (v) => this.decodeHour(v))
    )
  }

  /** Raises the flags of all that happened since the last look. */
  private catchUp(): void {
    const now = this.oscillator.now()
    const r = this.r
    const period = this.period
    if (period > 0 && Math.floor(now / period) > Math.floor(r.seen / period)) r.flags |= PF
    if (this.updating) {
      const first = this.secondsAt(Math.max(r.seen, r.origin)) + 1
      const last = this.secondsAt(now)
      if (last >= first) r.flags |= UF
      // An alarm matches within a day or never.
      for (let s = Math.max(first, last - 86399); s <= last && (r.flags & AF) === 0; s++) if (this.alarmMatches(s)) r.flags |= AF
    }
    r.seen = now
  }

  /** IRQ follows the enabled flags; the alarm is set for the next tick that could raise one. */
  private update(): void {
    this.catchUp()
    const r = this.r
    const level = (r.flags & this.b & (PF | AF | UF)) !== 0
    if (level !== r.output) {
      r.output = level
      this.irq(level)
    }
    let next = Infinity
    const period = this.period
    if ((this.b & PF) !== 0 && period > 0) next = (Math.floor(r.seen / period) + 1) * period
    if ((this.b & (AF | UF)) !== 0 && this.updating) next = Math.min(next, r.origin + (this.secondsAt(r.seen) - r.epoch + 1) * CRYSTAL)
    // While the line is up nothing new can be seen.
    r.edge = level || !Number.isSafeInteger(next) ? undefined : next
    armAt(this.alarm, r.edge === undefined ? Infinity : this.oscillator.cycles(r.edge))
  }

  private static calendar(register: number): boolean {
    return register <= 9 ? (register & 1) === 0 || register >= 7 : register === CENTURY
  }

  private read(register: number): number {
    const now = this.oscillator.now()
    if (register === 0xc) {
      this.catchUp()
      const flags = this.r.flags | ((this.r.flags & this.b & (PF | AF | UF)) !== 0 ? 0x80 : 0)
      this.r.flags = 0
      this.update()
      return flags
    }
    if (register === 0xd) return 0x80 // VRT: the battery is good
    if (register === 0xa) {
      const phase = (((now - this.r.origin) % CRYSTAL) + CRYSTAL) % CRYSTAL
      return this.a | (this.updating && phase >= CRYSTAL - UPDATE_TICKS ? 0x80 : 0)
    }
    if (Cmos.calendar(register) && this.updating) this.store(now)
    return this.r.ram[register]!
  }

  private write(register: number, value: number): void {
    const r = this.r
    const now = this.oscillator.now()
    if (register === 0xc || register === 0xd) return
    this.catchUp()
    if (this.updating) this.store(now)
    // What was left of the running second stays.
    const origin = this.updating ? now - ((((now - r.origin) % CRYSTAL) + CRYSTAL) % CRYSTAL) : now
    if (register === 0xa) {
      const before = this.updating
      r.ram[0xa] = value & 0x7f
      // Out of divider reset the first update comes half a second later.
      if (!before && this.updating) this.load(now - CRYSTAL / 2)
    } else if (register === 0xb) {
      const before = this.updating
      r.ram[0xb] = (value & SET) !== 0 ? value & ~UF : value
      // Changing DM or 24/12 does not convert the registers: they are taken as they stand.
      if (this.updating) this.load(before ? origin : now)
    } else {
      r.ram[register] = value
      if (Cmos.calendar(register) && this.updating) this.load(origin)
    }
    this.update()
  }

  save(): SavedState {
    return saveAs(1, shape, this.r)
  }

  restore(state: SavedState): void {
    this.r = restoreAs(this.id, 1, shape, state)
    armAt(this.alarm, this.r.edge === undefined ? Infinity : this.oscillator.cycles(this.r.edge))
  }

  /** RESET# clears the interrupt enables and flags; calendar and RAM live on the battery. */
  reset(): void {
    this.catchUp()
    this.r.ram[0xb] = this.b & ~(PF | AF | UF | 8)
    this.r.flags = 0
    this.r.index = 0
    this.r.nmiMasked = false
    this.update()
  }
}

// 16550A UART (National PC16550D, June 1995). The transmitter empties at once: a byte written to THR is in the sink
// before the write returns. Host input waits in a queue and enters the receiver as the guest makes room.
// Not modelled: line timing (baud rate only sets the character timeout), DMA pins.

import type { Clock, Device, Line, Registers, SavedState, Timer } from '../memory/device.ts'
import { armAt } from './oscillator.ts'
import { byteRegisters } from './registers.ts'
import { bytes, flag, optional, queue, restoreAs, saveAs, time, uint, type Values } from './state.ts'

const CRYSTAL = 1_843_200 / 16 // baud at divisor 1
const FIFO = 16
const TRIGGERS = [1, 4, 8, 14]

// IER and the causes, in rising bit order; LSR; MCR
const RECEIVED = 1
const TRANSMIT_EMPTY = 2
const LINE_STATUS = 4
const MODEM_STATUS = 8
const DATA_READY = 1
const OVERRUN = 2
const BREAK = 0x10
const LSR_ERRORS = 0x1e
const OUT2 = 8
const LOOP = 0x10

const shape = {
  receiver: queue(uint(13), FIFO), // 12:8 the LSR error bits that came with the byte, 7:0 data
  waiting: bytes(2 ** 31, 0), // host input not yet received
  ier: uint(4),
  fcr: uint(8),
  lcr: uint(8),
  mcr: uint(5),
  scratch: uint(8),
  divisor: uint(16),
  errors: uint(5), // LSR 4:1, latched until read
  modem: uint(4), // inputs from the line: 3 DCD 2 RI 1 DSR 0 CTS
  delta: uint(4), // MSR 3:0
  emptied: flag, // the THRE interrupt is pending
  timedOut: flag,
  timeout: optional(time), // deadline of the character timeout
  output: flag,
}

const power = (): Values<typeof shape> => ({
  receiver: [],
  waiting: new Uint8Array(0),
  ier: 0,
  fcr: 0,
  lcr: 0,
  mcr: 0,
  scratch: 0,
  divisor: 12,
  errors: 0,
  modem: 0xb, // a terminal is there: CTS, DSR and DCD
  delta: 0,
  emptied: false,
  timedOut: false,
  timeout: undefined,
  output: false,
})

export class Uart16550 implements Device {
  private r = power()
  private at = 0 // first byte of `waiting` not yet received
  private readonly timer: Timer
  /** Eight byte-wide registers. */
  readonly registers: Registers

  /** `transmit` gets each byte the guest sends, at once and in order. */
  constructor(
    readonly id: string,
    private readonly clock: Clock,
    private readonly irq: Line,
    private readonly transmit: (byte: number) => void,
  ) {
    this.timer = clock.timer(`${id}.timeout`, () => {
      this.r.timeout = undefined
      this.r.timedOut = this.r.receiver.length > 0
      this.update()
    })
    this.registers = byteRegisters(
      (offset) => this.read(offset & 7),
      (offset, value) => this.write(offset & 7, value),
    )
  }

  /** Host input. Whatever the receiver cannot take yet waits, without limit and without loss. */
  receive(data: Uint8Array): void {
    const rest = this.r.waiting.subarray(this.at)
    const all = new Uint8Array(rest.length + data.length)
    all.set(rest)
    all.set(data, rest.length)
    this.r.waiting = all
    this.at = 0
    this.fill()
    this.update()
  }

  /** Host input not yet in the receiver, in bytes. */
  get backlog(): number {
    return this.r.waiting.length - this.at
  }

  /** A break condition on the line: a zero byte with BI, if there is room for it. */
  receiveBreak(): void {
    if ((this.r.mcr & LOOP) === 0) this.accept((BREAK << 8) & 0x1f00)
    this.update()
  }

  /** Modem inputs, asserted = true. */
  modemLines(cts: boolean, dsr: boolean, ri: boolean, dcd: boolean): void {
    const before = this.modemInputs()
    this.r.modem = (cts ? 1 : 0) | (dsr ? 2 : 0) | (ri ? 4 : 0) | (dcd ? 8 : 0)
    this.modemChanged(before)
    this.update()
  }

  private get fifoEnabled(): boolean {
    return (this.r.fcr & 1) !== 0
  }

  /** Moves waiting input into the receiver as far as it goes; the loopback disconnects the line (8.6.7). */
  private fill(): void {
    if ((this.r.mcr & LOOP) !== 0) return
    const room = this.fifoEnabled ? FIFO : 1
    while (this.at < this.r.waiting.length && this.r.receiver.length < room) this.accept(this.r.waiting[this.at++]!)
    if (this.at === this.r.waiting.length && this.at > 0) {
      this.r.waiting = new Uint8Array(0)
      this.at = 0
    }
  }

  /** A character from the line: byte and error bits. A full FIFO keeps what it has, RBR alone is overwritten; both report OE. */
  private accept(character: number): void {
    const r = this.r
    if (r.receiver.length >= (this.fifoEnabled ? FIFO : 1)) {
      r.errors |= OVERRUN
      if (!this.fifoEnabled) r.receiver[0] = character
    } else r.receiver.push(character)
    if (r.receiver.length === 1) r.errors |= (character >> 8) & LSR_ERRORS
    this.restartTimeout()
  }

  /** Four character times without a read or a receipt while the FIFO holds less than its trigger (8.4.2). */
  private restartTimeout(): void {
    const r = this.r
    r.timedOut = false
    if (!this.fifoEnabled || r.receiver.length === 0) {
      r.timeout = undefined
      this.timer.cancel()
      return
    }
    const bits = 2 + 5 + (r.lcr & 3) + ((r.lcr >> 2) & 1) + ((r.lcr >> 3) & 1)
    const cycles = Math.ceil((4 * bits * Math.max(1, r.divisor) * this.clock.frequency) / CRYSTAL)
    r.timeout = this.clock.now() + cycles
    armAt(this.timer, r.timeout)
  }

  private modemInputs(): number {
    const { mcr, modem } = this.r
    // Loopback: RTS to CTS, DTR to DSR, OUT1 to RI, OUT2 to DCD
    return (mcr & LOOP) === 0 ? modem : ((mcr >> 1) & 1) | ((mcr & 1) << 1) | (mcr & 4) | (mcr & 8)
  }

  private modemChanged(before: number): void {
    const now = this.modemInputs()
    // TERI is set by the trailing edge of RI only.
    this.r.delta |= ((before ^ now) & 0xb) | (before & ~now & 4)
  }

  /** IIR bits 3:0 by priority (table II). */
  private cause(): number {
    const r = this.r
    if ((r.ier & LINE_STATUS) !== 0 && r.errors !== 0) return 6
    if ((r.ier & RECEIVED) !== 0) {
      const trigger = this.fifoEnabled ? TRIGGERS[r.fcr >> 6]! : 1
      if (r.receiver.length >= trigger) return 4
      if (r.timedOut) return 0xc
    }
    if ((r.ier & TRANSMIT_EMPTY) !== 0 && r.emptied) return 2
    if ((r.ier & MODEM_STATUS) !== 0 && r.delta !== 0) return 0
    return 1
  }

  /** The PC gates INTR with OUT2, which the loopback forces inactive. */
  private update(): void {
    const level = this.cause() !== 1 && (this.r.mcr & (OUT2 | LOOP)) === OUT2
    if (level === this.r.output) return
    this.r.output = level
    this.irq(level)
  }

  private read(offset: number): number {
    const r = this.r
    const dlab = (r.lcr & 0x80) !== 0
    switch (offset) {
      case 0:
        return dlab ? r.divisor & 0xff : this.readBuffer()
      case 1:
        return dlab ? r.divisor >> 8 : r.ier
      case 2: {
        const cause = this.cause()
        if (cause === 2) {
          r.emptied = false
          this.update()
        }
        return cause | (this.fifoEnabled ? 0xc0 : 0)
      }
      case 3:
        return r.lcr
      case 4:
        return r.mcr
      case 5: {
        const marked = this.fifoEnabled && r.receiver.some((c) => c > 0xff)
        const status = (r.receiver.length > 0 ? DATA_READY : 0) | r.errors | 0x60 | (marked ? 0x80 : 0)
        r.errors = 0
        this.update()
        return status
      }
      case 6: {
        const status = (this.modemInputs() << 4) | r.delta
        r.delta = 0
        this.update()
        return status
      }
      default:
        return r.scratch
    }
  }

  private readBuffer(): number {
    const r = this.r
    const character = r.receiver.shift() ?? 0
    if (r.receiver.length > 0) r.errors |= (r.receiver[0]! >> 8) & LSR_ERRORS
    this.fill()
    this.restartTimeout()
    this.update()
    return character & 0xff
  }

  private write(offset: number, value: number): void {
    const r = this.r
    const dlab = (r.lcr & 0x80) !== 0
    switch (offset) {
      case 0:
        if (dlab) r.divisor = (r.divisor & 0xff00) | value
        else {
          if ((r.mcr & LOOP) !== 0) this.accept(value & ((1 << (5 + (r.lcr & 3))) - 1))
          else this.transmit(value)
          r.emptied = true
        }
        break
      case 1:
        if (dlab) r.divisor = (r.divisor & 0xff) | (value << 8)
        else {
          // Enabling the interrupt while THR is empty raises it (8.6.6).
          if ((value & ~r.ier & TRANSMIT_EMPTY) !== 0) r.emptied = true
          r.ier = value & 15
        }
        break
      case 2:
        this.control(value)
        break
      case 3:
        r.lcr = value
        break
      case 4: {
        const before = this.modemInputs()
        r.mcr = value & 0x1f
        this.modemChanged(before)
        this.fill()
        break
      }
      case 7:
        r.scratch = value
        break
    }
    // An acknowledged THRE that is pending again is a new request: the line has been low in between.
    if (offset === 0 && !dlab && r.output && this.cause() === 2) {
      r.output = false
      this.irq(false)
    }
    this.update()
  }

  /** FCR: 7:6 trigger, 2 clear transmitter, 1 clear receiver, 0 enable. Changing the enable clears both (8.6.4). */
  private control(value: number): void {
    const r = this.r
    const enable = (value & 1) !== 0
    if (enable !== this.fifoEnabled || (enable && (value & 2) !== 0)) {
      r.receiver = []
      r.fcr = enable ? value & 0xc9 : 0
      this.fill()
      this.restartTimeout()
    }
    r.fcr = enable ? value & 0xc9 : 0
  }

  save(): SavedState {
    return saveAs(1, shape, { ...this.r, waiting: this.r.waiting.subarray(this.at) })
  }

  restore(state: SavedState): void {
    this.r = restoreAs(this.id, 1, shape, state)
    this.at = 0
    if (this.r.timeout === undefined) this.timer.cancel()
    else armAt(this.timer, this.r.timeout)
  }

  /** Master reset. Host input that waits, and the line's state, are outside the chip. */
  reset(): void {
    const { modem, output } = this.r
    const waiting = this.r.waiting.subarray(this.at)
    this.r = { ...power(), modem, waiting, output }
    this.at = 0
    this.timer.cancel()
    this.fill()
    this.update()
  }
}

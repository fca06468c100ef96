// 8042 keyboard controller with a PS/2 keyboard and mouse (IBM PS/2 Hardware Interface Technical Reference, keyboard and
// auxiliary device controller). Replies are ready at once. Keyboard input is scan code set 2, translated to set 1
// when the command byte says so. Not modelled: scan code set 3, password mode, the diagnostic dump (ACH).

import type { Device, Line, Registers, SavedState } from '../memory/device.ts'
import { byteRegisters } from './registers.ts'
import { bytes, flag, integer, optional, queue, restoreAs, saveAs, uint, type Values } from './state.ts'
import { SET_2_TO_1 } from './scancodes.ts'

// Command byte: 6 XLAT 5 aux off 4 keyboard off 2 SYS 1 IRQ12 0 IRQ1. Status: 5 AUXB 4 unlocked 3 CMD 2 SYS 0 OBF.
const KEYBOARD_IRQ = 1
const AUX_IRQ = 2
const SYSTEM = 4
const KEYBOARD_OFF = 0x10
const AUX_OFF = 0x20
const TRANSLATE = 0x40

const ACK = 0xfa
const RESEND = 0xfe
/** Bytes a device holds for the controller; a keyboard then drops keys, a mouse movements. */
const DEPTH = 64

const shape = {
  ram: bytes(32), // [0] is the command byte
  outputPort: uint(8), // D0H/D1H: 1 A20, 0 reset#
  data: uint(8),
  source: integer(0, 2), // of the byte in `data`: 0 empty, 1 keyboard or controller, 2 aux
  lastCommand: flag, // status bit 3
  pending: optional(uint(8)), // controller command that waits for its data byte
  replies: queue(uint(8), 4), // of the controller
  keyboard: queue(uint(8), DEPTH),
  mouse: queue(uint(8), DEPTH),
  keyboardCommand: optional(uint(8)),
  mouseCommand: optional(uint(8)),
  scanning: flag,
  scanSet: integer(1, 2),
  leds: uint(8),
  released: flag, // translation saw F0H
  lastKey: uint(8),
  lastMouse: uint(8),
  reporting: flag,
  remote: flag,
  wrap: flag,
  scaling: flag,
  resolution: uint(2),
  rate: uint(8),
  buttons: uint(3),
  moved: queue(integer(-255, 255), 2, 2),
  irq1: flag,
  irq12: flag,
}

const power = (): Values<typeof shape> => ({
  ram: Uint8Array.of(KEYBOARD_IRQ | TRANSLATE | AUX_OFF | SYSTEM, ...new Array<number>(31).fill(0)),
  outputPort: 0xcf,
  data: 0,
  source: 0,
  lastCommand: false,
  pending: undefined,
  replies: [],
  keyboard: [],
  mouse: [],
  keyboardCommand: undefined,
  mouseCommand: undefined,
  scanning: true,
  scanSet: 2,
  leds: 0,
  released: false,
  lastKey: 0,
  lastMouse: 0,
  reporting: false,
  remote: false,
  wrap: false,
  scaling: false,
  resolution: 2,
  rate: 100,
  buttons: 0,
  moved: [0, 0],
  irq1: false,
  irq12: false,
})

export interface I8042Outputs {
  readonly irq1: Line
  readonly irq12: Line
  /** Output port bit 1. */
  readonly a20: Line
  /** Output port bit 0 was pulsed low. */
  readonly resetPulse: () => void
}

export class I8042 implements Device {
  private r = power()
  /** Port 60H. */
  readonly dataPort: Registers
  /** Port 64H. */
  readonly commandPort: Registers

  constructor(
    readonly id: string,
    private readonly outputs: I8042Outputs,
  ) {
    this.dataPort = byteRegisters(
      (offset) => (offset === 0 ? this.readData() : 0xff),
      (offset, value) => {
        if (offset === 0) this.writeData(value)
      },
    )
    this.commandPort = byteRegisters(
      (offset) => (offset === 0 ? this.status() : 0xff),
      (offset, value) => {
        if (offset === 0) this.command(value)
      },
    )
  }

  /** Keys as a set 2 keyboard sends them (make, or F0H and make; E0H prefixed). Dropped while scanning is off or the buffer full. */
  keyPress(scancodes: Iterable<number>): void {
    if (!this.r.scanning) return
    const codes = [...scancodes].map((c) => c & 0xff)
    if (this.r.keyboard.length + codes.length > DEPTH) return
    let released = false
    for (const code of codes) {
      if (this.r.scanSet === 2) this.r.keyboard.push(code)
      else if (code === 0xf0) released = true
      else {
        this.r.keyboard.push(SET_2_TO_1[code]! | (released ? 0x80 : 0))
        released = false
      }
    }
    this.deliver()
  }

  /** Movement in counts (right and up positive) and buttons (bit 0 left, 1 right, 2 middle). */
  mouseMove(dx: number, dy: number, buttons: number): void {
    const r = this.r
    const clamp = (n: number): number => Math.max(-255, Math.min(255, Math.trunc(n)))
    r.moved = [clamp(r.moved[0]! + dx), clamp(r.moved[1]! + dy)]
    r.buttons = buttons & 7
    if (r.reporting && !r.remote && r.mouse.length + 3 <= DEPTH) {
      r.mouse.push(...this.packet())
      this.deliver()
    }
  }

  /** A movement packet: 7 Y overflow 6 X overflow 5 Y sign 4 X sign 3 always 1 2:0 buttons; X; Y. */
  private packet(): number[] {
    const [dx, dy] = this.r.moved as [number, number]
    this.r.moved = [0, 0]
    return [8 | this.r.buttons | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0), dx & 0xff, dy & 0xff]
  }

  private status(): number {
    const { source, lastCommand, ram } = this.r
    return (source !== 0 ? 1 : 0) | (ram[0]! & SYSTEM) | (lastCommand ? 8 : 0) | 0x10 | (source === 2 ? 0x20 : 0)
  }

  private readData(): number {
    const value = this.r.data
    this.r.source = 0
    this.irq()
    this.deliver()
    return value
  }

  /** Fills the output buffer: the controller's own replies first, then keyboard, then aux. */
  private deliver(): void {
    const r = this.r
    if (r.source === 0) {
      if (r.replies.length > 0) {
        r.data = r.replies.shift()!
        r.source = 1
      } else if ((r.ram[0]! & KEYBOARD_OFF) === 0 && r.keyboard.length > 0) this.deliverKey()
      if (r.source === 0 && (r.ram[0]! & AUX_OFF) === 0 && r.mouse.length > 0) {
        r.data = r.mouse.shift()!
        r.source = 2
      }
    }
    this.irq()
  }

  private deliverKey(): void {
    const r = this.r
    while (r.keyboard.length > 0 && r.source === 0) {
      const code = r.keyboard.shift()!
      if ((r.ram[0]! & TRANSLATE) === 0 || r.scanSet === 1) {
        r.data = code
        r.source = 1
      } else if (code === 0xf0) r.released = true
      else {
        r.data = SET_2_TO_1[code]! | (r.released ? 0x80 : 0)
        r.released = false
        r.source = 1
      }
    }
  }

  private irq(): void {
    const { source, ram } = this.r
    const irq1 = source === 1 && (ram[0]! & KEYBOARD_IRQ) !== 0
    const irq12 = source === 2 && (ram[0]! & AUX_IRQ) !== 0
    if (irq1 !== this.r.irq1) this.outputs.irq1((this.r.irq1 = irq1))
    if (irq12 !== this.r.irq12) this.outputs.irq12((this.r.irq12 = irq12))
  }

  private reply(value: number): void {
    if (this.r.replies.length < 4) this.r.replies.push(value)
    this.deliver()
  }

  /** Puts a byte into the output buffer as if a device had sent it (D2H, D3H). */
  private force(value: number, source: 1 | 2): void {
    this.r.source = 0
    this.irq()
    this.r.data = value
    this.r.source = source
    this.irq()
  }

  private setCommandByte(value: number): void {
    this.r.ram[0] = value
    this.deliver()
  }

  private setOutputPort(value: number): void {
    const changed = this.r.outputPort ^ value
    this.r.outputPort = value | 1
    if ((changed & 2) !== 0) this.outputs.a20((value & 2) !== 0)
    if ((value & 1) === 0) this.outputs.resetPulse()
  }

  private command(value: number): void {
    const r = this.r
    r.lastCommand = true
    r.pending = undefined
    if (value >= 0x20 && value < 0x40) return this.reply(r.ram[value & 0x1f]!)
    if (value >= 0x60 && value < 0x80) {
      r.pending = value
      return
    }
    if (value >= 0xf0) {
      // Pulses the output port bits whose command bit is 0; only reset is wired.
      if ((value & 1) === 0) this.outputs.resetPulse()
      return
    }
    switch (value) {
      case 0xa4: // test password: none installed
        return this.reply(0xf1)
      case 0xa7:
        return this.setCommandByte(r.ram[0]! | AUX_OFF)
      case 0xa8:
        return this.setCommandByte(r.ram[0]! & ~AUX_OFF)
      case 0xa9: // aux interface test
      case 0xab: // keyboard interface test
        return this.reply(0)
      case 0xaa:
        r.ram[0] = r.ram[0]! | SYSTEM
        return this.reply(0x55)
      case 0xad:
        return this.setCommandByte(r.ram[0]! | KEYBOARD_OFF)
      case 0xae:
        return this.setCommandByte(r.ram[0]! & ~KEYBOARD_OFF)
      case 0xc0: // input port: not locked, no manufacturing jumper
        return this.reply(0xb0)
      case 0xd0:
        return this.reply((r.outputPort & 0xcf) | (r.source === 1 ? 0x10 : 0) | (r.source === 2 ? 0x20 : 0))
      case 0xd1:
      case 0xd2:
      case 0xd3:
      case 0xd4:
        r.pending = value
    }
  }

  private writeData(value: number): void {
    const r = this.r
    const pending = r.pending
    r.lastCommand = false
    r.pending = undefined
    if (pending === undefined) {
      // Data for the keyboard also enables its interface.
      r.ram[0] = r.ram[0]! & ~KEYBOARD_OFF
      this.toKeyboard(value)
    } else if (pending === 0x60) return this.setCommandByte(value)
    else if (pending < 0x80) r.ram[pending & 0x1f] = value
    else if (pending === 0xd1) this.setOutputPort(value)
    else if (pending === 0xd2) this.force(value, 1)
    else if (pending === 0xd3) this.force(value, 2)
    else this.toMouse(value)
    this.deliver()
  }

  private fromKeyboard(...values: number[]): void {
    for (const v of values) {
      if (this.r.keyboard.length >= DEPTH) return
      if (v !== RESEND) this.r.lastKey = v
      this.r.keyboard.push(v)
    }
  }

  private toKeyboard(value: number): void {
    const r = this.r
    const waiting = r.keyboardCommand
    r.keyboardCommand = undefined
    if (waiting !== undefined && value < 0xed) {
      if (waiting === 0xed) r.leds = value
      if (waiting !== 0xf0) return this.fromKeyboard(ACK)
      if (value === 0) return this.fromKeyboard(ACK, r.scanSet)
      if (value > 2) return this.fromKeyboard(RESEND)
      r.scanSet = value
      return this.fromKeyboard(ACK)
    }
    switch (value) {
      case 0xed: // LEDs
      case 0xf0: // scan code set
      case 0xf3: // typematic rate
        r.keyboardCommand = value
        return this.fromKeyboard(ACK)
      case 0xee:
        return this.fromKeyboard(0xee)
      case 0xf2:
        return this.fromKeyboard(ACK, 0xab, 0x83)
      case 0xf4:
        r.keyboard = []
        r.scanning = true
        return this.fromKeyboard(ACK)
      case 0xf5:
      case 0xf6:
      case 0xff:
        r.keyboard = []
        r.released = false
        r.scanning = value !== 0xf5
        r.scanSet = 2
        r.leds = value === 0xff ? 0 : r.leds
        return value === 0xff ? this.fromKeyboard(ACK, 0xaa) : this.fromKeyboard(ACK)
      case 0xf7: // key type commands of set 3: accepted, of no effect in sets 1 and 2
      case 0xf8:
      case 0xf9:
      case 0xfa:
        return this.fromKeyboard(ACK)
      case 0xfe:
        return this.fromKeyboard(r.lastKey)
      default:
        return this.fromKeyboard(RESEND)
    }
  }

  private fromMouse(...values: number[]): void {
    for (const v of values) {
      if (this.r.mouse.length >= DEPTH) return
      if (v !== RESEND) this.r.lastMouse = v
      this.r.mouse.push(v)
    }
  }

  private toMouse(value: number): void {
    const r = this.r
    const waiting = r.mouseCommand
    r.mouseCommand = undefined
    if (waiting !== undefined) {
      if (waiting === 0xf3) r.rate = value
      else r.resolution = value & 3
      return this.fromMouse(ACK)
    }
    if (r.wrap && value !== 0xff && value !== 0xec) return this.fromMouse(value)
    switch (value) {
      case 0xe6:
      case 0xe7:
        r.scaling = value === 0xe7
        return this.fromMouse(ACK)
      case 0xe8: // resolution
      case 0xf3: // sample rate
        r.mouseCommand = value
        return this.fromMouse(ACK)
      case 0xe9: {
        const { remote, reporting, scaling, buttons } = r
        const pressed = ((buttons & 1) << 2) | ((buttons >> 2) << 1) | ((buttons >> 1) & 1)
        return this.fromMouse(ACK, (remote ? 0x40 : 0) | (reporting ? 0x20 : 0) | (scaling ? 0x10 : 0) | pressed, r.resolution, r.rate)
      }
      case 0xea:
        r.remote = false
        return this.fromMouse(ACK)
      case 0xeb:
        return this.fromMouse(ACK, ...this.packet())
      case 0xec:
      case 0xee:
        r.wrap = value === 0xee
        return this.fromMouse(ACK)
      case 0xf0:
        r.remote = true
        return this.fromMouse(ACK)
      case 0xf2: // a standard PS/2 mouse
        return this.fromMouse(ACK, 0)
      case 0xf4:
      case 0xf5:
        r.reporting = value === 0xf4
        return this.fromMouse(ACK)
      case 0xf6:
      case 0xff: {
        const { resolution, rate } = power()
        Object.assign(r, { reporting: false, remote: false, wrap: false, scaling: false, resolution, rate, moved: [0, 0] })
        r.mouse = []
        return value === 0xff ? this.fromMouse(ACK, 0xaa, 0) : this.fromMouse(ACK)
      }
      case 0xfe:
        return this.fromMouse(r.lastMouse)
      default:
        return this.fromMouse(RESEND)
    }
  }

  save(): SavedState {
    return saveAs(1, shape, this.r)
  }

  restore(state: SavedState): void {
    this.r = restoreAs(this.id, 1, shape, state)
  }

  reset(): void {
    const { irq1, irq12, outputPort } = this.r
    this.r = { ...power(), irq1, irq12 }
    this.irq()
    if ((outputPort & 2) === 0) this.outputs.a20(true)
  }
}

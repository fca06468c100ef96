// 8259A programmable interrupt controller, one chip (Intel 231468, 8259A datasheet), with the edge/level control
// register PIIX3 puts beside it (290550, 4.5). Not modelled: MCS-80 mode (ICW4.uPM is taken as 1), buffered mode,
// and ICW1.LTIM, which PIIX3 ignores in favour of ELCR.

import type { Device, Line, Registers, SavedState } from '../memory/device.ts'
import { byteRegisters } from './registers.ts'
import { flag, integer, restoreAs, saveAs, uint, type Values } from './state.ts'

const shape = {
  input: uint(8), // IR0…IR7 as the chips drive them
  irr: uint(8),
  isr: uint(8),
  imr: uint(8),
  elcr: uint(8),
  expect: integer(0, 4), // the ICW expected next, 0 = initialised
  icw1: uint(8),
  base: uint(8),
  cascade: uint(8), // ICW3: inputs with a slave (master) or the identity (slave)
  icw4: uint(8),
  lowest: uint(3), // the input of lowest priority
  rotateOnAeoi: flag,
  specialMask: flag,
  readIsr: flag,
  poll: flag,
}

const power = (): Values<typeof shape> => ({
  input: 0,
  irr: 0,
  isr: 0,
  imr: 0,
  elcr: 0,
  expect: 0,
  icw1: 0,
  base: 0,
  cascade: 0,
  icw4: 0,
  lowest: 7,
  rotateOnAeoi: false,
  specialMask: false,
  readIsr: false,
  poll: false,
})

const SNGL = 2 // ICW1
const IC4 = 1
const AEOI = 2 // ICW4
const SFNM = 0x10

export class Pic8259 implements Device {
  private r = power()
  /** Ports 20H/21H of the master, A0H/A1H of the slave. */
  readonly registers: Registers
  /** Port 4D0H of the master, 4D1H of the slave. */
  readonly elcr: Registers

  /**
   * `slave` is the master's cascade bus: given the input whose slave is addressed, the slave's acknowledge(), or
   * undefined where no slave answers. A chip without it is a slave, or stands alone.
   */
  constructor(
    readonly id: string,
    private readonly intr: Line,
    private readonly slave?: (input: number) => number | undefined,
  ) {
    this.registers = byteRegisters(
      (offset) => this.read(offset & 1),
      (offset, value) => this.write(offset & 1, value),
    )
    // 290550 4.5.1: IRQ0, 1, 2 and IRQ8, 13 are always edge triggered.
    const selectable = slave ? 0xf8 : 0xde
    this.elcr = byteRegisters(
      (offset) => (offset === 0 ? this.r.elcr : 0xff),
      (offset, value) => {
        if (offset !== 0) return
        this.r.elcr = value & selectable
        this.r.irr = (this.r.irr & ~this.r.elcr) | (this.r.input & this.r.elcr)
        this.update()
      },
    )
  }

  /** Interrupt input `n`, 0…7. */
  line(n: number): Line {
    const bit = 1 << n
    return (level) => {
      if (((this.r.input & bit) !== 0) === level) return
      // An edge request lasts only while its input stays high (datasheet, "IR trigger modes"): else INTA finds IR7.
      if (level) {
        this.r.input |= bit
        this.r.irr |= bit
      } else {
        this.r.input &= ~bit
        this.r.irr &= ~bit
      }
      this.update()
    }
  }

  /** INTR as this chip drives it. */
  get requesting(): boolean {
    return this.r.expect === 0 && this.highest() >= 0
  }

  /** The INTA sequence: the vector, and the request is in service. IR7's vector with nothing in service if none is left. */
  acknowledge(): number {
    const n = this.highest()
    if (n < 0) return this.r.base | 7
    this.accept(n)
    const slaved = (this.r.icw1 & SNGL) === 0 && (this.r.cascade & (1 << n)) !== 0
    const vector = slaved ? this.slave?.(n) : undefined
    this.update()
    return vector ?? this.r.base | n
  }

  /** Puts input `n` in service; AEOI ends it at once. */
  private accept(n: number): void {
    const bit = 1 << n
    if ((this.r.elcr & bit) === 0) this.r.irr &= ~bit
    if ((this.r.icw4 & AEOI) === 0) this.r.isr |= bit
    else if (this.r.rotateOnAeoi) this.r.lowest = n
  }

  /** The input of highest priority that may interrupt now, or -1. */
  private highest(): number {
    const { irr, imr, isr, lowest } = this.r
    const requests = irr & ~imr
    const blocking = this.r.specialMask ? isr & ~imr : isr
    for (let i = 1; i <= 8; i++) {
      const n = (lowest + i) & 7
      const bit = 1 << n
      // Special fully nested mode: a slave in service does not lock out its own further requests.
      const nested = (this.r.icw4 & SFNM) !== 0 && this.slave !== undefined && (this.r.cascade & bit) !== 0
      if ((requests & bit) !== 0 && ((blocking & bit) === 0 || nested)) return n
      if ((blocking & bit) !== 0) return -1
    }
    return -1
  }

  private update(): void {
    this.intr(this.requesting)
  }

  private read(a0: number): number {
    if (this.r.poll) {
      this.r.poll = false
      const n = this.highest()
      if (n < 0) return 7
      this.accept(n)
      this.update()
      return 0x80 | n
    }
    return a0 ? this.r.imr : this.r.readIsr ? this.r.isr : this.r.irr
  }

  private write(a0: number, value: number): void {
    const r = this.r
    if (a0 === 0 && (value & 0x10) !== 0) {
      // ICW1: edge sense, IMR and ISR are cleared, IR7 is lowest, special mask off, status read is IRR.
      const { input, elcr, base } = r
      this.r = { ...power(), input, elcr, base, irr: input & elcr, icw1: value, expect: 2 }
    } else if (a0 === 0 && (value & 8) !== 0) {
      // OCW3: 0 ESMM SMM 0 1 P RR RIS
      if ((value & 0x40) !== 0) r.specialMask = (value & 0x20) !== 0
      if ((value & 4) !== 0) r.poll = true
      else if ((value & 2) !== 0) r.readIsr = (value & 1) !== 0
    } else if (a0 === 0) this.ocw2(value)
    else if (r.expect === 0) r.imr = value
    else if (r.expect === 2) {
      r.base = value & 0xf8
      r.expect = (r.icw1 & SNGL) === 0 ? 3 : (r.icw1 & IC4) !== 0 ? 4 : 0
    } else if (r.expect === 3) {
      r.cascade = value
      r.expect = (r.icw1 & IC4) !== 0 ? 4 : 0
    } else {
      r.icw4 = value
      r.expect = 0
    }
    this.update()
  }

  /** OCW2: R SL EOI 0 0 L2 L1 L0 */
  private ocw2(value: number): void {
    const r = this.r
    const rotate = (value & 0x80) !== 0
    const specific = (value & 0x40) !== 0
    if ((value & 0x20) === 0) {
      if (specific && rotate) r.lowest = value & 7
      else if (!specific) r.rotateOnAeoi = rotate
      return
    }
    const n = specific ? value & 7 : this.inService()
    if (n < 0) return
    r.isr &= ~(1 << n)
    if (rotate) r.lowest = n
  }

  /** The in-service input a non-specific EOI ends: the highest, but never one that is masked in special mask mode. */
  private inService(): number {
    const candidates = this.r.specialMask ? this.r.isr & ~this.r.imr : this.r.isr
    for (let i = 1; i <= 8; i++) {
      const n = (this.r.lowest + i) & 7
      if ((candidates & (1 << n)) !== 0) return n
    }
    return -1
  }

  save(): SavedState {
    return saveAs(1, shape, this.r)
  }

  restore(state: SavedState): void {
    this.r = restoreAs(this.id, 1, shape, state)
  }

  /** Inputs keep the level their chips drive. */
  reset(): void {
    this.r = { ...power(), input: this.r.input }
    this.update()
  }
}

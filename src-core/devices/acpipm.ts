// ACPI fixed hardware (ACPI 6.5, 4.8.3–4.8.4) in the layout of PIIX4's power management block:
//   00 PM1_STS  02 PM1_EN  04 PM1_CNT  08 PM_TMR (24 bits, 3.579545 MHz)  0C GPE0_STS  0E GPE0_EN
// with the SMI command port (B2H, B3H) and the reset register (CF9H). Not modelled: SMI itself, throttling, sleep states'
// loss of context (the callback decides what SLP_EN does).

import type { Clock, Device, Line, Registers, SavedState, Timer } from '../memory/device.ts'
import { armAt, Oscillator } from './oscillator.ts'
import { byteRegisters } from './registers.ts'
import { flag, optional, restoreAs, saveAs, time, uint, type Values } from './state.ts'

export const PM_TIMER_FREQUENCY = 3579545
/** Length of the register block in bytes. */
export const PM_LENGTH = 0x40
/** Values of the SMI command port that switch ACPI mode on and off, for the FADT. */
export const ACPI_ENABLE = 0xf1
export const ACPI_DISABLE = 0xf0

// PM1_STS and PM1_EN: 15 WAK 10 RTC 9 SLPBTN 8 PWRBTN 5 GBL 4 BM 0 TMR. PM1_CNT: 13 SLP_EN 12:10 SLP_TYP 2 GBL_RLS 1 BM_RLD 0 SCI_EN
const TIMER = 1
const POWER_BUTTON = 0x100
const STATUS_BITS = 0x8731
const ENABLE_BITS = 0x0721
const SCI_EN = 1
const HALF_TURN = 2 ** 23 // TMR_STS follows changes of bit 23

const shape = {
  status: uint(16),
  enable: uint(16),
  control: uint(16),
  gpeStatus: uint(16),
  gpeEnable: uint(16),
  seen: time, // half turns of the timer already in TMR_STS
  command: uint(8),
  commandStatus: uint(8),
  resetControl: uint(8),
  sci: flag,
  alarm: optional(time),
}

export interface AcpiOutputs {
  readonly sci: Line
  /** SLP_EN was written with this SLP_TYP. */
  readonly sleep: (type: number) => void
  /** A system reset through CF9H. */
  readonly reset: () => void
}

export class AcpiPm implements Device {
  private r: Values<typeof shape>
  private readonly oscillator: Oscillator
  private readonly timer: Timer
  /** The register block, PM_LENGTH bytes. */
  readonly registers: Registers
  /** APM ports B2H (command) and B3H (status). */
  readonly smiCommand: Registers
  /** CF9H: 2 reset CPU (its rising edge resets), 1 system reset. */
  readonly resetControl: Registers

  /** `alwaysAcpi`: SCI_EN is 1 from reset on, for a board whose FADT names no SMI command port (ACPI 6.5 5.2.9). */
  constructor(
    readonly id: string,
    clock: Clock,
    private readonly outputs: AcpiOutputs,
    private readonly alwaysAcpi = false,
  ) {
    this.r = this.power()
    this.oscillator = new Oscillator(clock, PM_TIMER_FREQUENCY)
    this.timer = clock.timer(`${id}.overflow`, () => this.update())
    this.registers = byteRegisters(
      (offset) => this.read(offset),
      (offset, value) => this.write(offset, value),
    )
    this.smiCommand = byteRegisters(
      (offset) => (offset === 0 ? this.r.command : offset === 1 ? this.r.commandStatus : 0xff),
      (offset, value) => {
        if (offset === 1) this.r.commandStatus = value
        if (offset !== 0) return
        this.r.command = value
        if (value === ACPI_ENABLE) this.r.control |= SCI_EN
        if (value === ACPI_DISABLE && !this.alwaysAcpi) this.r.control &= ~SCI_EN
        this.update()
      },
    )
    this.resetControl = byteRegisters(
      () => this.r.resetControl,
      (offset, value) => {
        if (offset !== 0) return
        const rising = value & ~this.r.resetControl & 4
        this.r.resetControl = value & 0x0e
        if (rising !== 0) this.outputs.reset()
      },
    )
  }

  private power(): Values<typeof shape> {
    const control = this.alwaysAcpi ? SCI_EN : 0
    const zero = { status: 0, enable: 0, gpeStatus: 0, gpeEnable: 0, seen: 0, command: 0, commandStatus: 0, resetControl: 0 }
    return { ...zero, control, sci: false, alarm: undefined }
  }

  pressPowerButton(): void {
    this.r.status |= POWER_BUTTON
    this.update()
  }

  /** Raises general-purpose event `n`, 0…15. */
  event(n: number): void {
    this.r.gpeStatus |= (1 << n) & 0xffff
    this.update()
  }

  /** TMR_STS is caught up, SCI driven, and an alarm set for bit 23's next change if it would interrupt. */
  private update(): void {
    const r = this.r
    const turns = Math.floor(this.oscillator.now() / HALF_TURN)
    if (turns > r.seen) r.status |= TIMER
    r.seen = turns
    const sci = (r.control & SCI_EN) !== 0 && ((r.status & r.enable & ENABLE_BITS) !== 0 || (r.gpeStatus & r.gpeEnable) !== 0)
    if (sci !== r.sci) {
      r.sci = sci
      this.outputs.sci(sci)
    }
    const waits = (r.enable & TIMER) !== 0 && (r.status & TIMER) === 0
    const at = waits ? this.oscillator.cycles((turns + 1) * HALF_TURN) : Infinity
    r.alarm = at <= Number.MAX_SAFE_INTEGER ? at : undefined
    armAt(this.timer, r.alarm ?? Infinity)
  }

  private read(offset: number): number {
    const r = this.r
    const byte = (value: number): number => (value >> (8 * (offset & 1))) & 0xff
    switch (offset & ~1) {
      case 0:
        this.update()
        return byte(r.status)
      case 2:
        return byte(r.enable)
      case 4:
        return byte(r.control)
      case 8:
      case 0xa:
        return Math.floor((this.oscillator.now() % 0x1000000) / 2 ** (8 * (offset & 3))) & 0xff
      case 0xc:
        return byte(r.gpeStatus)
      case 0xe:
        return byte(r.gpeEnable)
      default:
        return 0
    }
  }

  private write(offset: number, value: number): void {
    const r = this.r
    const shift = 8 * (offset & 1)
    const put = (old: number, writable: number): number => ((old & ~(0xff << shift)) | (value << shift)) & writable
    switch (offset & ~1) {
      case 0: // write 1 to clear
        this.update()
        r.status &= ~((value << shift) & STATUS_BITS)
        break
      case 2:
        r.enable = put(r.enable, ENABLE_BITS)
        break
      case 4: {
        const control = put(r.control, 0x1c03)
        r.control = this.alwaysAcpi ? control | SCI_EN : control
        // SLP_EN is write-only and acts with the SLP_TYP now in force.
        if (shift === 8 && (value & 0x20) !== 0) this.outputs.sleep((r.control >> 10) & 7)
        break
      }
      case 0xc:
        r.gpeStatus &= ~(value << shift)
        break
      case 0xe:
        r.gpeEnable = put(r.gpeEnable, 0xffff)
        break
      default:
        return
    }
    this.update()
  }

  save(): SavedState {
    return saveAs(1, shape, this.r)
  }

  restore(state: SavedState): void {
    this.r = restoreAs(this.id, 1, shape, state)
    armAt(this.timer, this.r.alarm ?? Infinity)
  }

  reset(): void {
    const { sci } = this.r
    this.r = { ...this.power(), sci, seen: Math.floor(this.oscillator.now() / HALF_TURN) }
    this.update()
  }
}

// Local APIC: xAPIC register page and x2APIC MSRs (SDM 3A chapter 11; version 14H, six LVT entries, EOI-broadcast
// suppression). Destinations are decoded in apicbus.ts, the timer is lapictimer.ts.
// Not modelled: CMCI, focus processor checking, arbitration priority of the serial APIC bus (APR reads as PPR).

import type { AccessSize, Clock, Device, Line, Registers, SavedState } from '../memory/device.ts'
import { DELIVERY, type ApicAgent, type ApicMessage, type InterruptBus } from './apicbus.ts'
import * as bits from './lapicregisters.ts'
import { LEVEL, LVT, MASKED, R, REMOTE_IRR, highest, power, put, test } from './lapicregisters.ts'
import { LapicTimer } from './lapictimer.ts'
import { restoreAs, saveAs } from './state.ts'

/** The wires from a local APIC to its processor. */
export interface ProcessorPins {
  /** What pendingVector() returns has changed. */
  interruptChanged(): void
  nmi(): void
  smi(): void
  /** The processor calls Lapic.initialise() when it takes the INIT. */
  init(): void
  startup(vector: number): void
}

/** pendingVector() when an external interrupt is pending: acknowledge() gets its vector from the 8259. */
export const EXTERNAL_INTERRUPT = 256

export interface LapicOptions {
  readonly apicId: number
  readonly bootstrap: boolean
  /** Timer crystal in Hz, the one CPUID 15H reports. */
  readonly crystal: number
  /** MAXPHYADDR, for the reserved bits of IA32_APIC_BASE. */
  readonly physicalBits: number
  /** The 8259 pair's INTA cycle. */
  readonly readPic: () => number
  /** This processor's TSC minus Clock.now(), modulo 2^64 (IA32_TSC writes, IA32_TSC_ADJUST). */
  readonly tscOffset?: () => bigint
  /** IA32_APIC_BASE changed: mode or address of the page. */
  readonly baseChanged?: () => void
}

export const IA32_APIC_BASE = 0x1b
export const IA32_TSC_DEADLINE = 0x6e0

export class Lapic implements Device, ApicAgent {
  private r = power()
  private readonly timer: LapicTimer
  private notified = -1
  /** The 4 KiB page at `pageAddress`, in xAPIC mode; all ones otherwise. */
  readonly registers: Registers
  /** The LINT0 (INTR of the 8259) and LINT1 (NMI) inputs. */
  readonly lint0: Line = (level) => this.lint(0, level)
  readonly lint1: Line = (level) => this.lint(1, level)

  constructor(
    readonly id: string,
    clock: Clock,
    private readonly bus: InterruptBus,
    private readonly pins: ProcessorPins,
    private readonly options: LapicOptions,
  ) {
    const offset = options.tscOffset ?? (() => 0n)
    this.timer = new LapicTimer(`${id}.timer`, clock, options.crystal, offset, () => this.local(LVT.timer))
    this.registers = { read: (o, size) => this.readPage(o, size), write: (o, size, value) => this.writePage(o, size, value) }
  }

  get apicId(): number {
    return this.options.apicId
  }

  get mode(): 'disabled' | 'xapic' | 'x2apic' {
    return !this.r.enabled ? 'disabled' : this.r.extended ? 'x2apic' : 'xapic'
  }

  get logicalId(): number {
    const id = this.options.apicId
    return this.r.extended ? (((id >>> 4) << 16) | (1 << (id & 15))) >>> 0 : this.r.ldr
  }

  get flat(): boolean {
    return this.r.dfr >>> 28 === 15
  }

  get arbitration(): number {
    return this.softwareEnabled ? this.ppr : Infinity
  }

  /** Physical address of the register page. */
  get pageAddress(): number {
    return this.r.page
  }

  get tpr(): number {
    return this.r.tpr
  }

  set tpr(value: number) {
    this.r.tpr = value & 0xff
    this.changed()
  }

  /** CR8: TPR bits 7:4 (11.8.6). Works with the APIC disabled, too. */
  get cr8(): number {
    return this.r.tpr >> 4
  }

  set cr8(value: number) {
    this.tpr = (value & 15) << 4
  }

  private get softwareEnabled(): boolean {
    return (this.r.svr & bits.SOFTWARE_ENABLE) !== 0
  }

  /** Processor priority (11.8.3.1). */
  get ppr(): number {
    const inService = Math.max(0, highest(this.r.isr))
    return this.r.tpr >> 4 >= inService >> 4 ? this.r.tpr : inService & 0xf0
  }

  /** -1 none, a vector whose class is above PPR, or EXTERNAL_INTERRUPT. */
  pendingVector(): number {
    const { lint, lvt } = this.r
    if (!this.r.enabled) return lint[0] ? EXTERNAL_INTERRUPT : -1
    const entry = lvt[LVT.lint0]!
    const external = this.r.extInt || (lint[0] && (entry & MASKED) === 0 && ((entry >> 8) & 7) === DELIVERY.extInt)
    if (external) return EXTERNAL_INTERRUPT
    const vector = highest(this.r.irr)
    return vector >= 0 && vector >> 4 > this.ppr >> 4 ? vector : -1
  }

  /** Interrupt acknowledge: the vector, now in service. The spurious vector if nothing is deliverable any more (11.9). */
  acknowledge(): number {
    const vector = this.pendingVector()
    if (vector === EXTERNAL_INTERRUPT) {
      this.r.extInt = false
      const external = this.options.readPic() & 0xff
      this.changed()
      return external
    }
    if (vector < 0) return this.r.svr & 0xff
    put(this.r.irr, vector, false)
    put(this.r.isr, vector, true)
    this.changed()
    return vector
  }

  /** The state after INIT (11.4.7.3): as after power-on, but identity, IA32_APIC_BASE and input levels stay. */
  initialise(): void {
    const { page, enabled, extended, lint } = this.r
    this.r = { ...power(), page, enabled, extended, lint }
    this.timer.reset()
    this.changed()
  }

  /** The processor's TSC was written. */
  tscChanged(): void {
    this.timer.tscChanged()
  }

  /** A performance counter overflowed; the entry masks itself (SDM 3B 20.6.3). */
  performanceInterrupt(): void {
    this.local(LVT.performance)
    this.r.lvt[LVT.performance]! |= MASKED
  }

  thermalInterrupt(): void {
    this.local(LVT.thermal)
  }

  private changed(): void {
    const pending = this.pendingVector()
    if (pending === this.notified) return
    this.notified = pending
    this.pins.interruptChanged()
  }

  private error(bit: number): void {
    if ((this.r.errors & bit) !== 0) return
    this.r.errors |= bit
    const entry = this.r.lvt[LVT.error]!
    if ((entry & MASKED) === 0) this.accept(entry & 0xff, false)
  }

  private accept(vector: number, level: boolean): void {
    if (vector < 16) return this.error(bits.RECEIVE_ILLEGAL_VECTOR)
    put(this.r.irr, vector, true)
    put(this.r.tmr, vector, level)
    this.changed()
  }

  /** A message from the bus. Software-disabled, only NMI, SMI, INIT and start-up are heard (11.4.7.2). */
  deliver(message: ApicMessage): void {
    switch (message.delivery) {
      case DELIVERY.fixed:
      case DELIVERY.lowestPriority:
        if (this.softwareEnabled) this.accept(message.vector, message.level)
        return
      case DELIVERY.extInt:
        if (this.softwareEnabled) this.r.extInt = true
        return this.changed()
      case DELIVERY.smi:
        return this.pins.smi()
      case DELIVERY.nmi:
        return this.pins.nmi()
      case DELIVERY.init:
        return this.pins.init()
      case DELIVERY.startup:
        return this.pins.startup(message.vector)
    }
  }

  /** A local source fires through its LVT entry. */
  private local(index: number): void {
    const entry = this.r.lvt[index]!
    if ((entry & MASKED) !== 0 || !this.r.enabled) return
    const delivery = index === LVT.timer || index === LVT.error ? DELIVERY.fixed : (entry >> 8) & 7
    const level = (index === LVT.lint0 || index === LVT.lint1) && (entry & LEVEL) !== 0
    if (delivery === DELIVERY.fixed) {
      if (level) {
        if ((entry & REMOTE_IRR) !== 0) return
        this.r.lvt[index]! |= REMOTE_IRR
      }
      this.accept(entry & 0xff, level)
    } else if (delivery === DELIVERY.nmi) this.pins.nmi()
    else if (delivery === DELIVERY.smi) this.pins.smi()
    else if (delivery === DELIVERY.init) this.pins.init()
    else if (delivery === DELIVERY.extInt && index < LVT.lint0) this.r.extInt = true
    this.changed()
  }

  private lint(n: 0 | 1, level: boolean): void {
    if (this.r.lint[n] === level) return
    this.r.lint[n] = level
    if (level) {
      if (this.r.enabled) this.local(LVT.lint0 + n)
      else if (n === 1) this.pins.nmi()
    }
    this.changed()
  }

  private eoi(): void {
    const vector = highest(this.r.isr)
    if (vector < 0) return
    put(this.r.isr, vector, false)
    if (test(this.r.tmr, vector)) {
      if ((this.r.svr & bits.SUPPRESS_EOI) === 0) this.bus.eoi(vector)
      for (const n of [0, 1]) {
        const entry = this.r.lvt[LVT.lint0 + n]!
        if ((entry & REMOTE_IRR) === 0 || (entry & 0xff) !== vector) continue
        this.r.lvt[LVT.lint0 + n] = entry & ~REMOTE_IRR
        if (this.r.lint[n]) this.local(LVT.lint0 + n)
      }
    }
    this.changed()
  }

  /** ICR: 19:18 shorthand 15 level 14 assert 11 logical 10:8 delivery 7:0 vector. */
  private sendIpi(): void {
    const low = this.r.icrLow
    const delivery = (low >> 8) & 7
    const shorthand = (low >> 18) & 3
    const vector = low & 0xff
    if (delivery === 3 || delivery === DELIVERY.extInt) return
    // INIT level de-assert only synchronised arbitration IDs (11.6.1): nothing to do.
    if (delivery === DELIVERY.init && (low & LEVEL) !== 0 && (low & 0x4000) === 0) return
    if (delivery <= DELIVERY.lowestPriority && vector < 16) return this.error(bits.SEND_ILLEGAL_VECTOR)
    const wide = this.r.extended
    const destination = wide ? this.r.icrHigh : this.r.icrHigh >>> 24
    const message = { destination, wide, logical: (low & 0x800) !== 0, delivery, vector, level: false }
    if (shorthand === 0) return this.bus.send(message)
    if (shorthand === 3) return this.bus.broadcast(message, this)
    // Including oneself, only fixed and NMI make sense (table 11-3).
    if (delivery === DELIVERY.init || delivery === DELIVERY.startup) return
    if (shorthand === 1) this.deliver(message)
    else this.bus.broadcast(message)
  }

  /** A register both faces have; undefined where there is none. */
  private get(register: number): number | undefined {
    const r = this.r
    if (register >= R.isr && register < R.irr + 8) return [r.isr, r.tmr, r.irr][(register - R.isr) >> 3]![register & 7]
    if (register >= R.lvt && register < R.lvt + 6) return r.lvt[register - R.lvt]
    switch (register) {
      case R.version:
        return bits.VERSION
      case R.tpr:
        return r.tpr
      case R.ppr:
        return this.ppr
      case R.svr:
        return r.svr
      case R.esr:
        return r.esr
      case R.initialCount:
        return this.timer.initial
      case R.currentCount:
        return this.timer.current
      case R.divide:
        return this.timer.divide
      default:
        return undefined
    }
  }

  /** Writes a register both faces have, reserved bits ignored. False where there is none or it is read-only. */
  private set(register: number, value: number): boolean {
    const r = this.r
    if (register >= R.lvt && register < R.lvt + 6) {
      this.setLvt(register - R.lvt, value)
      return true
    }
    switch (register) {
      case R.tpr:
        this.tpr = value
        return true
      case R.eoi:
        this.eoi()
        return true
      case R.svr:
        r.svr = value & 0x11ff
        // Software-disabled, every LVT entry is masked and stays so (11.4.7.2).
        if (!this.softwareEnabled) r.lvt = r.lvt.map((entry) => entry | MASKED)
        this.changed()
        return true
      case R.esr:
        r.esr = r.errors
        r.errors = 0
        return true
      case R.initialCount:
        this.timer.load(value)
        return true
      case R.divide:
        this.timer.setDivide(value)
        return true
      default:
        return false
    }
  }

  private setLvt(index: number, value: number): void {
    const before = this.r.lvt[index]!
    let entry = (value & bits.LVT_WRITABLE[index]!) | (this.softwareEnabled ? 0 : MASKED)
    // Remote IRR outlives a rewrite while the entry stays level triggered.
    if ((entry & LEVEL) !== 0) entry |= before & REMOTE_IRR
    this.r.lvt[index] = entry
    if (index === LVT.timer) this.timer.setMode((entry >> 17) & 3)
    else if ((index === LVT.lint0 || index === LVT.lint1) && this.r.lint[index - LVT.lint0] && (entry & (LEVEL | MASKED)) === LEVEL) {
      if (((entry >> 8) & 7) === DELIVERY.fixed) this.local(index)
    }
    this.changed()
  }

  private readPage(offset: number, size: AccessSize): number {
    const ones = size === 4 ? 0xffffffff : size === 2 ? 0xffff : 0xff
    if (this.mode !== 'xapic') return ones
    // Only the first four bytes of each 16 are a register; narrower reads give its bytes.
    if ((offset & 15) + size > 4) return 0
    return ((this.readXapic((offset >> 4) & 0xff) >>> ((offset & 3) * 8)) & ones) >>> 0
  }

  private readXapic(register: number): number {
    switch (register) {
      case R.id:
        return ((this.options.apicId & 0xff) << 24) >>> 0
      case R.apr:
        return this.ppr
      case R.eoi:
      case R.rrd:
        return 0
      case R.ldr:
        return this.r.ldr
      case R.dfr:
        return this.r.dfr
      case R.icr:
        return this.r.icrLow
      case R.icrHigh:
        return this.r.icrHigh
    }
    const value = this.get(register)
    if (value === undefined) this.error(bits.ILLEGAL_REGISTER)
    return value ?? 0
  }

  /** Registers take aligned 32-bit writes (11.4.1); others are ignored. */
  private writePage(offset: number, size: AccessSize, value: number): void {
    if (this.mode !== 'xapic' || size !== 4 || (offset & 15) !== 0) return
    const register = (offset >> 4) & 0xff
    switch (register) {
      case R.ldr:
        this.r.ldr = (value & 0xff000000) >>> 0
        return
      case R.dfr:
        this.r.dfr = (value | 0x0fffffff) >>> 0
        return
      case R.icr:
        this.r.icrLow = value & 0xccfff & ~0x1000
        return this.sendIpi()
      case R.icrHigh:
        this.r.icrHigh = (value & 0xff000000) >>> 0
        return
    }
    if (this.set(register, value)) return
    if (this.get(register) === undefined && register !== R.id && register !== R.apr && register !== R.rrd) this.error(bits.ILLEGAL_REGISTER)
  }

  /** RDMSR of IA32_APIC_BASE, IA32_TSC_DEADLINE or 800H–8FFH; undefined is #GP(0). */
  readMsr(index: number): bigint | undefined {
    if (index === IA32_APIC_BASE) {
      const flags = (this.options.bootstrap ? bits.BSP : 0) | (this.r.extended ? bits.EXTD : 0) | (this.r.enabled ? bits.EN : 0)
      return BigInt(this.r.page + flags)
    }
    if (index === IA32_TSC_DEADLINE) return this.timer.deadline
    if (this.mode !== 'x2apic') return undefined
    const register = index - 0x800
    if (register === R.id) return BigInt(this.options.apicId)
    if (register === R.ldr) return BigInt(this.logicalId)
    if (register === R.icr) return (BigInt(this.r.icrHigh) << 32n) | BigInt(this.r.icrLow)
    const value = register >= 0 && register <= R.selfIpi ? this.get(register) : undefined
    return value === undefined ? undefined : BigInt(value)
  }

  /** WRMSR; false is #GP(0), and nothing was changed (11.12.1.2–3, table 11-6). */
  writeMsr(index: number, value: bigint): boolean {
    if (index === IA32_APIC_BASE) return this.writeBase(value)
    if (index === IA32_TSC_DEADLINE) {
      this.timer.setDeadline(value)
      return true
    }
    if (this.mode !== 'x2apic') return false
    const register = index - 0x800
    const low = Number(value & 0xffffffffn)
    if (register === R.icr) {
      if ((low & 0xfff32000) !== 0) return false
      this.r.icrLow = low & ~0x1000
      this.r.icrHigh = Number(value >> 32n)
      this.sendIpi()
      return true
    }
    if (value >> 32n !== 0n) return false
    if (register >= R.lvt && register < R.lvt + 6) {
      if ((low & ~(bits.LVT_WRITABLE[register - R.lvt]! | bits.READ_ONLY_LVT)) !== 0) return false
      if (register === R.lvt + LVT.timer && (low & 0x60000) === 0x60000) return false
    } else if (register === R.tpr && low > 0xff) return false
    else if ((register === R.eoi || register === R.esr) && low !== 0) return false
    else if (register === R.svr && (low & ~0x11ff) !== 0) return false
    else if (register === R.divide && (low & ~0xb) !== 0) return false
    else if (register === R.selfIpi) {
      if (low > 0xff) return false
      if (low < 16) this.error(bits.SEND_ILLEGAL_VECTOR)
      else if (this.softwareEnabled) this.accept(low, false)
      return true
    }
    return this.set(register, low)
  }

  /** IA32_APIC_BASE and its transitions (figure 11-27). */
  private writeBase(value: bigint): boolean {
    const low = Number(value & 0xfffn)
    const page = value - BigInt(low)
    if ((low & 0x2ff) !== 0 || page >> BigInt(this.options.physicalBits) !== 0n) return false
    const enabled = (low & bits.EN) !== 0
    const extended = (low & bits.EXTD) !== 0
    if (extended && !enabled) return false
    if (this.r.extended && enabled && !extended) return false
    if (!this.r.enabled && extended) return false
    if (this.r.enabled && !enabled) {
      // Off and on again is a reset of the registers; CR8 keeps its value.
      const { tpr, lint } = this.r
      this.r = { ...power(), tpr, lint }
      this.timer.reset()
    }
    const moved = Number(page) !== this.r.page || enabled !== this.r.enabled || extended !== this.r.extended
    this.r.page = Number(page)
    this.r.enabled = enabled
    this.r.extended = extended
    if (moved) this.options.baseChanged?.()
    this.changed()
    return true
  }

  save(): SavedState {
    return saveAs(1, bits.lapicShape, { ...this.r, timer: this.timer.state })
  }

  /** The pins are not driven, but the processor should look at pendingVector() again. */
  restore(state: SavedState): void {
    const { timer, ...rest } = restoreAs(this.id, 1, bits.lapicShape, state)
    this.r = rest
    this.timer.state = timer
    this.notified = this.pendingVector()
  }

  reset(): void {
    this.r = { ...power(), lint: this.r.lint }
    this.timer.reset()
    this.options.baseChanged?.()
    this.changed()
  }
}

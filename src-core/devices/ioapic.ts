// I/O APIC with 24 inputs (82093AA, 290566) and the EOI register of version 20H. An input is true when asserted, so the
// polarity bit is kept but has no effect. Edges on a masked input are lost (290566, 3.2.4).

import type { Device, Line, Registers, SavedState } from '../memory/device.ts'
import { DELIVERY, type ApicMessage } from './apicbus.ts'
import { dwordRegisters, merge } from './registers.ts'
import { list, restoreAs, saveAs, uint } from './state.ts'

export const IOAPIC_INPUTS = 24
const VERSION = 0x20 | ((IOAPIC_INPUTS - 1) << 16)

// Redirection entry, low half: 16 mask 15 level 14 remote IRR 13 active low 12 pending 11 logical 10:8 delivery 7:0 vector
const MASKED = 1 << 16
const LEVEL = 1 << 15
const REMOTE_IRR = 1 << 14
const WRITABLE = 0x1afff

const shape = {
  select: uint(8),
  apicId: uint(4),
  inputs: uint(24),
  low: list(uint(17), IOAPIC_INPUTS),
  high: list(uint(32), IOAPIC_INPUTS), // 31:24 destination
}

export class IoApic implements Device {
  private r
  /** Register select at 00H, window at 10H, EOI at 40H. */
  readonly registers: Registers

  /** `send` puts a message on the interrupt bus; that bus calls eoi() for every EOI broadcast. */
  constructor(
    readonly id: string,
    private readonly apicId: number,
    private readonly send: (message: ApicMessage) => void,
  ) {
    this.r = this.power()
    this.registers = dwordRegisters(
      (offset) => (offset === 0 ? this.r.select : offset === 0x10 ? this.read(this.r.select) : 0),
      (offset, value, lanes) => {
        if (offset === 0) this.r.select = merge(this.r.select, value, lanes) & 0xff
        else if (offset === 0x10) this.write(this.r.select, value, lanes)
        else if (offset === 0x40 && (lanes & 0xff) !== 0) this.eoi(value & 0xff)
      },
    )
  }

  private power() {
    const low = new Array<number>(IOAPIC_INPUTS).fill(MASKED)
    return { select: 0, apicId: this.apicId & 15, inputs: 0, low, high: new Array<number>(IOAPIC_INPUTS).fill(0) }
  }

  /** Input `n`, 0…23; true asserts it whatever its polarity. */
  line(n: number): Line {
    const bit = 1 << n
    return (level) => {
      if (((this.r.inputs & bit) !== 0) === level) return
      this.r.inputs ^= bit
      if (level) this.request(n)
    }
  }

  private request(n: number): void {
    const entry = this.r.low[n]!
    const delivery = (entry >> 8) & 7
    if ((entry & MASKED) !== 0 || delivery === 3 || delivery === DELIVERY.startup) return
    // Only fixed and lowest priority have an EOI to wait for; the others are edges whatever the entry says.
    const level = (entry & LEVEL) !== 0 && delivery <= DELIVERY.lowestPriority
    if (level) {
      if ((entry & REMOTE_IRR) !== 0) return
      this.r.low[n] = entry | REMOTE_IRR
    }
    const destination = this.r.high[n]! >>> 24
    this.send({ destination, wide: false, logical: (entry & 0x800) !== 0, delivery, vector: entry & 0xff, level })
  }

  /** An EOI for `vector`: its level inputs that are still asserted ask again. */
  eoi(vector: number): void {
    for (let n = 0; n < IOAPIC_INPUTS; n++) {
      const entry = this.r.low[n]!
      if ((entry & (LEVEL | REMOTE_IRR)) !== (LEVEL | REMOTE_IRR) || (entry & 0xff) !== vector) continue
      this.r.low[n] = entry & ~REMOTE_IRR
      if ((this.r.inputs & (1 << n)) !== 0) this.request(n)
    }
  }

  private read(index: number): number {
    if (index === 0 || index === 2) return this.r.apicId << 24
    if (index === 1) return VERSION
    const n = (index - 0x10) >> 1
    if (index < 0x10 || n >= IOAPIC_INPUTS) return 0
    return (index & 1) === 0 ? this.r.low[n]! : this.r.high[n]!
  }

  private write(index: number, value: number, lanes: number): void {
    if (index === 0) this.r.apicId = (merge(this.r.apicId << 24, value, lanes) >>> 24) & 15
    const n = (index - 0x10) >> 1
    if (index < 0x10 || n >= IOAPIC_INPUTS) return
    if ((index & 1) !== 0) {
      this.r.high[n] = (merge(this.r.high[n]!, value, lanes) & 0xff000000) >>> 0
      return
    }
    const before = this.r.low[n]!
    let entry = merge(before, value, lanes) & WRITABLE
    // Switching to edge drops remote IRR; system software uses that as an EOI.
    if ((entry & LEVEL) !== 0) entry |= before & REMOTE_IRR
    this.r.low[n] = entry
    const waits = (entry & LEVEL) !== 0 && ((entry >> 8) & 7) <= DELIVERY.lowestPriority
    if (waits && (this.r.inputs & (1 << n)) !== 0) this.request(n)
  }

  save(): SavedState {
    return saveAs(1, shape, this.r)
  }

  restore(state: SavedState): void {
    this.r = restoreAs(this.id, 1, shape, state)
  }

  /** Inputs keep the level their chips drive. */
  reset(): void {
    this.r = { ...this.power(), inputs: this.r.inputs }
  }
}

// The parts of PIIX3 and PIIX4 (290550, 290562) a PC keeps in its south bridge: the ISA bridge with PIRQ routing, and
// the power management function that tells where the ACPI registers are. Not modelled: IDE, USB, DMA, X-bus chip selects.

import type { Device, Line, SavedState } from '../memory/device.ts'
import { PciFunction, type PciPorts } from './pcifunction.ts'
import { list, queue, restoreAs, saveAs, uint } from './state.ts'
import { StateError } from '../memory/device.ts'

const PIRQ_ROUTE = 0x60 // four registers: 7 off, 3:0 ISA interrupt
const ROUTABLE = 0xdef8 // 3–7, 9–12, 14, 15

const shape = { inputs: list(queue(uint(1), 256), 4), driven: uint(16) }

/** 8086:7000 at 00:01.0, and the wires INTA#…INTD# that PIRQA…PIRQD receive. */
export class IsaBridge implements Device {
  readonly function: PciFunction
  private inputs: number[][] = [[], [], [], []]
  private driven = 0 // ISA interrupts this bridge asserts

  /** `isa(n)` is the 8259 input of interrupt n; `pirq(n)`, if given, the IOAPIC input PIRQ n has of its own. */
  constructor(
    readonly id: string,
    ports: PciPorts,
    private readonly isa: (interrupt: number, level: boolean) => void,
    private readonly pirq: (n: number, level: boolean) => void = () => {},
  ) {
    const identity = { vendor: 0x8086, device: 0x7000, classCode: 0x060100, multifunction: true }
    this.function = new PciFunction(`${id}.function`, identity, ports)
    for (let n = 0; n < 4; n++) {
      this.function.config[PIRQ_ROUTE + n] = 0x80
      this.function.writable[PIRQ_ROUTE + n] = 0x8f
    }
    this.function.keep()
    this.function.onWrite = (offset, size) => {
      if (offset < PIRQ_ROUTE + 4 && offset + size > PIRQ_ROUTE) this.route()
    }
  }

  /** A new input of PIRQ `n` (0…3), wired-or with its others. The order of these calls is part of the saved state's meaning. */
  input(n: number): Line {
    const inputs = this.inputs[n & 3]!
    const own = inputs.push(0) - 1
    return (level) => {
      const wires = this.inputs[n & 3]!
      const before = wires.includes(1)
      wires[own] = level ? 1 : 0
      const after = wires.includes(1)
      if (before === after) return
      this.pirq(n & 3, after)
      this.route()
    }
  }

  private route(): void {
    let wanted = 0
    for (let n = 0; n < 4; n++) {
      const register = this.function.config[PIRQ_ROUTE + n]!
      if (register < 0x80 && this.inputs[n]!.includes(1)) wanted |= 1 << (register & 15)
    }
    wanted &= ROUTABLE
    const changed = wanted ^ this.driven
    this.driven = wanted
    for (let i = 0; i < 16; i++) if ((changed & (1 << i)) !== 0) this.isa(i, (wanted & (1 << i)) !== 0)
  }

  save(): SavedState {
    return saveAs(1, shape, { inputs: this.inputs, driven: this.driven })
  }

  restore(state: SavedState): void {
    const { inputs, driven } = restoreAs(this.id, 1, shape, state)
    if (inputs.some((wires, n) => wires.length !== this.inputs[n]!.length)) throw new StateError(this.id, 'other PIRQ inputs')
    this.inputs = inputs
    this.driven = driven
  }

  /** Inputs keep their levels; the function is reset on its own. */
  reset(): void {
    this.route()
  }
}

/** 8086:7113, for 00:01.3: PMBA (40H) says where the ACPI registers are, PMREGMISC (80H) that they decode. */
export function powerManagement(id: string, ports: PciPorts, pmBase: number): PciFunction {
  const f = new PciFunction(id, { vendor: 0x8086, device: 0x7113, classCode: 0x068000, revision: 3, interruptPin: 1 }, ports)
  f.config[0x40] = (pmBase & 0xc0) | 1
  f.config[0x41] = pmBase >> 8
  f.config[0x80] = 1
  f.keep()
  return f
}

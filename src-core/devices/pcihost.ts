// PCI host bridge like Intel's 440FX (290549): configuration mechanism #1 at CF8H/CFCH and its own function 00:00.0.
// Not modelled: PAM and SMRAM (the registers keep what is written), the AGP bridge, buses other than 0.

import type { AccessSize, Device, Registers, SavedState } from '../memory/device.ts'
import { PciFunction, type PciPorts } from './pcifunction.ts'
import { restoreAs, saveAs, uint } from './state.ts'

const shape = { address: uint(32) }

/** CONFIG_ADDRESS: 31 enable, 23:16 bus, 15:11 device, 10:8 function, 7:2 register. */
const ADDRESS_WRITABLE = 0x80fffffc

export class PciHost implements Device {
  private address = 0
  private readonly functions = new Map<number, PciFunction>()
  /** Eight ports from CF8H. */
  readonly registers: Registers

  /** `resetControl` answers byte accesses to CF9H, which lies inside CONFIG_ADDRESS. */
  constructor(
    readonly id: string,
    private readonly resetControl?: Registers,
  ) {
    this.registers = { read: (o, size) => this.read(o, size), write: (o, size, value) => this.write(o, size, value) }
  }

  /** Puts a function at 00:`device`.`number`. Throws RangeError if the place is taken. */
  attach(device: number, number: number, f: PciFunction): void {
    const key = (device << 3) | number
    if (this.functions.has(key)) throw new RangeError(`${this.id}: 00:${device.toString(16)}.${number} is taken`)
    this.functions.set(key, f)
    f.onRelease = () => {
      for (const other of this.functions.values()) if (other !== f) other.place()
    }
  }

  /** The functions by device << 3 | function. */
  get attached(): ReadonlyMap<number, PciFunction> {
    return this.functions
  }

  private target(): PciFunction | undefined {
    if (this.address < 0x80000000 || (this.address & 0xff0000) !== 0) return undefined
    return this.functions.get((this.address >>> 8) & 0xff)
  }

  private read(offset: number, size: AccessSize): number {
    const ones = size === 4 ? 0xffffffff : size === 2 ? 0xffff : 0xff
    if (offset >= 4 && offset + size <= 8) return this.target()?.read((this.address & 0xfc) | (offset & 3), size) ?? ones
    if (offset === 0 && size === 4) return this.address
    if (offset === 1 && size === 1) return this.resetControl?.read(0, 1) ?? ones
    return ones
  }

  private write(offset: number, size: AccessSize, value: number): void {
    if (offset >= 4 && offset + size <= 8) this.target()?.write((this.address & 0xfc) | (offset & 3), size, value)
    else if (offset === 0 && size === 4) this.address = (value & ADDRESS_WRITABLE) >>> 0
    else if (offset === 1 && size === 1) this.resetControl?.write(0, 1, value)
  }

  save(): SavedState {
    return saveAs(1, shape, { address: this.address })
  }

  restore(state: SavedState): void {
    this.address = restoreAs(this.id, 1, shape, state).address
  }

  reset(): void {
    this.address = 0
  }
}

/** The bridge's own function, 8086:1237, for 00:00.0. */
export function hostBridge(id: string, ports: PciPorts): PciFunction {
  const f = new PciFunction(
    id,
    { vendor: 0x8086, device: 0x1237, classCode: 0x060000, revision: 2, subsystemVendor: 0x1af4, subsystem: 0x1100 },
    ports,
  )
  f.writable.fill(0xff, 0x50, 0x60) // PMC configuration, PAM0–PAM6
  f.writable[0x72] = 0x7f // SMRAM
  return f
}

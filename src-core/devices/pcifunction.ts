// One PCI function: its 256-byte type 0 configuration space (PCI 2.2 chapter 6), BARs that map and unmap regions as the
// command register and their address say, a capability list, INTx, MSI and MSI-X.
// Not modelled: expansion ROM, BIST, power management capability, bus mastering limits (DMA is the chip's own affair).

import type { Bus } from '../memory/bus.ts'
import type { AccessSize, Device, Line, MessageSink, Registers, SavedState } from '../memory/device.ts'
import { Msi, Msix, msixShape, type MessageSource } from './pcimessages.ts'
import { bytes, flag, optional, record, restoreAs, saveAs, type Values } from './state.ts'

export interface PciIdentity {
  readonly vendor: number
  readonly device: number
  /** Base class, sub-class and programming interface, 24 bits. */
  readonly classCode: number
  readonly revision?: number
  readonly subsystemVendor?: number
  readonly subsystem?: number
  /** 1…4 for INTA#…INTD#, 0 for none. */
  readonly interruptPin?: number
  /** Function 0 of a device with several. */
  readonly multifunction?: boolean
}

/** A region behind a BAR: `size` is a power of two, at least 4 (I/O) or 16 (memory). 'memory64' takes two BARs. */
export interface BarRegion {
  readonly kind: 'io' | 'memory' | 'memory64'
  readonly size: number
  readonly prefetchable?: boolean
  readonly registers: Registers
}

export interface PciPorts {
  readonly memory: Bus
  readonly io: Bus
  readonly message: MessageSink
  /** INTx#, true asserted. */
  readonly intx: Line
}

// Command: 10 INTx disable 8 SERR# 6 parity 2 bus master 1 memory 0 I/O. Status: 4 capabilities 3 INTx.
const COMMAND = 4
const STATUS = 6
const COMMAND_WRITABLE = 0x0547
const IO = 1
const MEMORY = 2
const MASTER = 4
const INTX_DISABLE = 0x400
const BAR0 = 0x10
const CAPABILITIES = 0x34
const INTERRUPT_LINE = 0x3c
const INTERRUPT_PIN = 0x3d

const shape = { config: bytes(256), intx: flag, output: flag, msix: optional(record(msixShape)) }

interface Placed {
  readonly bus: Bus
  readonly address: number
  readonly undo: () => void
}

export class PciFunction implements Device {
  /** What reads see. */
  readonly config = new Uint8Array(256)
  /** Bits a guest's write may change. */
  readonly writable = new Uint8Array(256)
  private readonly initial = new Uint8Array(256)
  private readonly placed: (Placed | undefined)[] = []
  private nextCapability = 0x40
  private intxLevel = false
  private output = false
  private msi: Msi | undefined
  private msix: Msix | undefined
  /** Called when a region was unmapped, so that others that wanted its place can take it. The host bridge sets it. */
  onRelease: () => void = () => {}
  /** Called after a configuration write touched `offset`…`offset + size - 1`. */
  onWrite: (offset: number, size: number) => void = () => {}

  /** `bars[n]` is BAR n; after a 'memory64' one the next entry is undefined. */
  constructor(
    readonly id: string,
    identity: PciIdentity,
    private readonly ports: PciPorts,
    private readonly bars: readonly (BarRegion | undefined)[] = [],
  ) {
    const view = new DataView(this.config.buffer)
    view.setUint16(0, identity.vendor, true)
    view.setUint16(2, identity.device, true)
    view.setUint32(8, ((identity.classCode << 8) | (identity.revision ?? 0)) >>> 0, true)
    this.config[0xe] = identity.multifunction ? 0x80 : 0
    view.setUint16(0x2c, identity.subsystemVendor ?? 0, true)
    view.setUint16(0x2e, identity.subsystem ?? 0, true)
    this.config[INTERRUPT_PIN] = identity.interruptPin ?? 0
    const masks = new DataView(this.writable.buffer)
    masks.setUint16(COMMAND, COMMAND_WRITABLE, true)
    this.writable[0xc] = 0xff // cache line size
    this.writable[0xd] = 0xf8 // latency timer
    this.writable[INTERRUPT_LINE] = 0xff
    bars.forEach((bar, n) => {
      if (!bar) return
      const at = BAR0 + 4 * n
      // Sizing (6.2.5.1): bits below the size read as their type whatever is written.
      view.setUint32(at, bar.kind === 'io' ? 1 : (bar.kind === 'memory64' ? 4 : 0) | (bar.prefetchable ? 8 : 0), true)
      masks.setUint32(at, bar.size >= 2 ** 32 ? 0 : ~(bar.size - 1) >>> 0, true)
      if (bar.kind === 'memory64') masks.setUint32(at + 4, ~(Math.ceil(bar.size / 2 ** 32) - 1) >>> 0, true)
    })
    this.initial.set(this.config)
  }

  /**
   * Appends a capability: `body` follows its two header bytes, `writable` has a mask for each byte of it.
   * Returns its offset. Throws RangeError when the configuration space is full; only boards call it.
   */
  addCapability(id: number, body: Uint8Array, writable: Uint8Array = new Uint8Array(body.length)): number {
    const at = this.nextCapability
    if (at + 2 + body.length > 256) throw new RangeError(`${this.id}: no room for capability ${id.toString(16)}H`)
    let link = CAPABILITIES
    while (this.config[link] !== 0) link = this.config[link]! + 1
    this.config[link] = at
    this.config[at] = id
    this.config.set(body, at + 2)
    this.writable.set(writable, at + 2)
    this.config[STATUS] = this.config[STATUS]! | 0x10
    this.nextCapability = (at + 2 + body.length + 3) & ~3
    this.initial.set(this.config)
    return at
  }

  /** Makes what `config` holds now its state after reset. For boards that preset registers of their own. */
  keep(): void {
    this.initial.set(this.config)
  }

  private get source(): MessageSource {
    return {
      config: this.config,
      message: (address, data) => {
        // A message is a memory write of the function: it needs bus mastering.
        if ((this.config[COMMAND]! & MASTER) !== 0) this.ports.message(address, data)
      },
    }
  }

  /** MSI with 1, 2, 4 … 32 vectors. */
  addMsi(vectors: number): Msi {
    this.msi = new Msi(this.source, vectors, (body, writable) => this.addCapability(5, body, writable))
    return this.msi
  }

  /** MSI-X with 1…2048 vectors; `table` and `pending` of the result belong at the given offsets of BAR `bar`. */
  addMsix(vectors: number, bar: number, tableOffset: number, pendingOffset: number): Msix {
    const add = (body: Uint8Array, writable: Uint8Array): number => this.addCapability(0x11, body, writable)
    this.msix = new Msix(this.source, vectors, bar, tableOffset, pendingOffset, add)
    return this.msix
  }

  /** Sends message `vector` by MSI-X or MSI. False if neither is enabled: the function then uses intx(). */
  interrupt(vector: number): boolean {
    const way = this.msix?.enabled ? this.msix : this.msi?.enabled ? this.msi : undefined
    way?.raise(vector)
    return way !== undefined
  }

  /** The function's interrupt condition, for INTx#. */
  intx(level: boolean): void {
    this.intxLevel = level
    this.drive()
  }

  /** INTx# is silent while disabled, or while messages are in use (PCI 3.0 6.8.1.3). */
  private drive(): void {
    this.config[STATUS] = (this.config[STATUS]! & ~8) | (this.intxLevel ? 8 : 0)
    const silent = (this.command & INTX_DISABLE) !== 0 || this.msi?.enabled || this.msix?.enabled
    const level = this.intxLevel && !silent
    if (level === this.output) return
    this.output = level
    this.ports.intx(level)
  }

  private get command(): number {
    return this.config[COMMAND]! | (this.config[COMMAND + 1]! << 8)
  }

  /** Configuration read; `offset` 0…255. */
  read(offset: number, size: AccessSize): number {
    let value = 0
    for (let i = 0; i < size; i++) value |= (this.config[(offset + i) & 0xff] ?? 0xff) << (8 * i)
    return value >>> 0
  }

  write(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) {
      const at = (offset + i) & 0xff
      const mask = this.writable[at]!
      this.config[at] = (this.config[at]! & ~mask) | ((value >>> (8 * i)) & mask)
    }
    const command = this.command
    if (offset < BAR0 + 24 && offset + size > COMMAND) this.place(command)
    this.msi?.changed()
    this.msix?.changed()
    this.drive()
    this.onWrite(offset, size)
  }

  /** Where BAR `n` decodes, or undefined. */
  private address(n: number, bar: BarRegion, command: number): number | undefined {
    if ((command & (bar.kind === 'io' ? IO : MEMORY)) === 0) return undefined
    const low = this.read(BAR0 + 4 * n, 4)
    const base = (bar.kind === 'io' ? low & ~3 : low & ~15) >>> 0
    const address = base + (bar.kind === 'memory64' ? this.read(BAR0 + 4 * n + 4, 4) * 2 ** 32 : 0)
    const end = bar.kind === 'io' ? 0x10000 : bar.kind === 'memory' ? 2 ** 32 : 2 ** 52
    // Address 0 is what an unassigned BAR holds.
    return address === 0 || address + bar.size > end ? undefined : address
  }

  /** Maps what should be mapped and is not. A region that would overlap another stays unmapped until there is room. */
  place(command = this.command): void {
    let released = false
    this.bars.forEach((bar, n) => {
      if (!bar) return
      const wanted = this.address(n, bar, command)
      const bus = bar.kind === 'io' ? this.ports.io : this.ports.memory
      const now = this.placed[n]
      if (now && now.address !== wanted) {
        this.placed[n] = undefined
        now.undo()
        released = true
      }
      if (wanted === undefined || this.placed[n]) return
      if (bus.list().some((m) => m.start < wanted + bar.size && wanted < m.end)) return
      this.placed[n] = { bus, address: wanted, undo: bus.map(`${this.id}.bar${n}`, wanted, bar.size, bar.registers) }
    })
    if (released) this.onRelease()
  }

  /** The address at which BAR `n` is mapped now, or undefined. */
  mappedAt(n: number): number | undefined {
    return this.placed[n]?.address
  }

  save(): SavedState {
    const values: Values<typeof shape> = { config: this.config, intx: this.intxLevel, output: this.output, msix: this.msix?.state }
    return saveAs(1, shape, values)
  }

  restore(state: SavedState): void {
    const { config, intx, output, msix } = restoreAs(this.id, 1, shape, state)
    // What a guest cannot write is this function's own, not the state's.
    for (let i = 0; i < 256; i++) this.config[i] = (this.initial[i]! & ~this.writable[i]!) | (config[i]! & this.writable[i]!)
    this.config[STATUS] = (this.config[STATUS]! & ~8) | (intx ? 8 : 0)
    this.intxLevel = intx
    this.output = output
    if (this.msix && msix) this.msix.state = msix
    this.msi?.restored(config)
    this.place()
  }

  reset(): void {
    this.config.set(this.initial)
    this.intxLevel = false
    this.msix?.reset()
    this.place()
    this.drive()
  }
}

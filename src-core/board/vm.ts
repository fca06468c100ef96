// A server with our hypervisor on it and one VM under that: a machine whose guest runs in VMX non-root operation.
// The VM's chips are a second set of the server's, its local APICs too; they are reached by exits alone.
// Does not model: save and restore, several VMs, more virtual than real processors.

import { Cr0, Cr4, Efer, MAXPHYADDR } from '../arch/registers.ts'
import { Msr } from '../arch/msr.ts'
import { FeatureControl } from '../arch/vmx.ts'
import { Activity } from '../cpu/halt.ts'
import { Again } from '../cpu/fault.ts'
import type { Core } from '../cpu/run.ts'
import { DELIVERY } from '../devices/apicbus.ts'
import { Lapic } from '../devices/lapic.ts'
import type { EntryState } from '../guests/entry.ts'
import type { Segment } from '../guests/image.ts'
import { FrameAllocator } from '../hypervisor/frames.ts'
import { GuestMemory } from '../hypervisor/guest-memory.ts'
import { placement, type PlacementName } from '../hypervisor/placement.ts'
import type { VirtualApic, VirtualChips } from '../hypervisor/virtual-devices.ts'
import { VirtualMachine } from '../hypervisor/virtual-machine.ts'
import { VirtualProcessor, type HostContext } from '../hypervisor/virtual-processor.ts'
import { Bus } from '../memory/bus.ts'
import { buildChips, type Chips } from './chips.ts'
import { resolveBoard, type BoardConfig } from './config.ts'
import { COSTS } from './costs.ts'
import { enter } from './entry.ts'
import { firmware } from './firmware.ts'
import { LAPIC, MIB } from './layout.ts'
import { CRYSTAL, Machine, type MachineOptions, type Stop } from './machine.ts'
import { PRESETS } from './presets.ts'
import { enterVirtualWireMode } from './virtual-wire.ts'
import { enterVirtual } from './vm-entry.ts'
import { hostMemory, ProcessorPort } from './vm-port.ts'

export type VmStop = Stop | { readonly kind: 'monitor'; readonly reason: string }

export interface VmOptions extends Omit<MachineOptions, 'vmx'> {
  /** Of the guest: MiB of memory, virtual processors (at most the server's), where its pages go. */
  readonly guest: { readonly megabytes: number; readonly processors: number; readonly placement?: PlacementName }
}

/** The board a guest believes to have: one node. Throws TopologyError when there is none such. */
export const virtualBoard = (guest: VmOptions['guest']): BoardConfig =>
  resolveBoard(PRESETS.get('uma-1n')!, { megabytes: guest.megabytes, processors: guest.processors })

const MONITOR = 'monitor'
/** The host vector that says: look at your virtual processor. */
const NOTIFY = 0xf2
const SVR = 0x80f
const X2APIC = 0xc00n
const selectors = { codeSelector: 0x10, dataSelector: 0x18, taskSelector: 0x20 } as const

const { vmcall, cpuidExit, portReadExit, portWriteExit, deviceAccess, localMemory } = COSTS
/** What is left of a measured exit behind the bare round trip. */
const beyond = (cost: number): number => Math.max(0, cost - vmcall.value)
const handlerCosts = {
  simple: beyond(cpuidExit.value),
  cpuid: beyond(cpuidExit.value),
  portRead: beyond(portReadExit.value),
  portWrite: beyond(portWriteExit.value),
  chip: beyond(portReadExit.value) + deviceAccess.value,
  fill: 4 * localMemory.value,
} as const

export class VmMachine {
  readonly server: Machine
  /** The guest's. */
  readonly config: BoardConfig
  readonly io = new Bus('virtual ports')
  readonly mmio = new Bus('virtual memory')
  readonly chips: Chips
  readonly lapics: readonly Lapic[]
  /** Valid from `load` on. */
  vm: VirtualMachine | undefined
  private stop: VmStop | undefined
  private readonly locals: Bus[] = []

  /** Throws TopologyError when the guest cannot be had, RangeError for more virtual processors than the server has. */
  constructor(private readonly options: VmOptions) {
    const { guest } = options
    if (guest.processors > options.config.processors.length) throw new RangeError(`${guest.processors} virtual processors on ${options.config.processors.length} real ones`)
    this.server = new Machine({ ...options, vmx: true, serial: () => {}, debug: () => {} })
    this.config = virtualBoard(guest)
    this.chips = buildChips(this.config, this.server.clock, this.io, this.mmio, options.epoch ?? 0, {
      serial: (port, byte) => options.serial?.(port, byte),
      debug: (byte) => options.debug?.(byte),
      powerOff: () => this.halt({ kind: 'powerOff' }),
      reset: () => this.halt({ kind: 'reset' }),
      exit: (code) => this.halt({ kind: 'exit', code }),
      intr: (level) => {
        for (const lapic of this.lapics) lapic.lint0(level)
      },
    })
    this.lapics = this.config.processors.map((p) => this.lapic(p.index, p.apicId))
    for (const lapic of this.lapics) this.chips.apicBus.attach(lapic)
  }

  private lapic(index: number, apicId: number): Lapic {
    const local = new Bus(`virtual local${index}`)
    this.locals.push(local)
    const signals = () => this.vm?.processors[index]?.events.signals
    let unmap: (() => void) | undefined
    const place = (): void => {
      unmap?.()
      unmap = local.map('LAPIC', lapic.pageAddress, LAPIC.length, lapic.registers)
    }
    const lapic: Lapic = new Lapic(
      `vlapic${index}`,
      this.server.clock,
      this.chips.apicBus,
      {
        interruptChanged: () => this.notify(index),
        nmi: () => {
          const s = signals()
          if (s) s.nmi = true
          this.notify(index)
        },
        smi: () => {},
        init: () => {
          const s = signals()
          if (s) [s.init, s.startup] = [true, -1]
          this.notify(index)
        },
        startup: (vector) => {
          const s = signals()
          if (!s || !(s.init || this.vm!.processors[index]!.waitingForStartup)) return
          s.startup = vector
          this.notify(index)
        },
      },
      {
        apicId,
        bootstrap: index === 0,
        crystal: CRYSTAL,
        physicalBits: MAXPHYADDR,
        readPic: this.chips.readPic,
        tscOffset: () => BigInt.asUintN(64, (this.vm?.processors[index]?.tscOffset ?? 0n) + this.server.cores[index]!.state.tscOffset),
        baseChanged: place,
      },
    )
    place()
    return lapic
  }

  /** A virtual processor has something to look at: inside its guest, an interrupt of the server brings it out. */
  private notify(index: number): void {
    const processor = this.vm?.processors[index]
    if (!processor) return
    if (!processor.inGuest) return processor.changed()
    const { apicId } = this.server.config.processors[index]!
    this.server.chips.apicBus.send({ destination: apicId, wide: true, logical: false, delivery: DELIVERY.fixed, vector: NOTIFY, level: false })
  }

  private halt(stop: VmStop): void {
    this.stop ??= stop
    this.server.interrupt()
  }

  /** Server and chips as at power-on, without a VM. */
  powerOn(): void {
    this.vm = undefined
    this.stop = undefined
    this.server.powerOn()
    for (const core of this.server.cores) core.rootProgram = undefined
    for (const d of [...this.chips.devices, ...this.lapics]) d.reset()
  }

  /** Power-on, a new VM, a guest's bytes in its memory, its bootstrap processor at the first instruction. Throws RangeError for bytes outside its memory, MonitorError when VT-x does not serve. */
  load(segments: readonly Segment[], entry: EntryState): void {
    const { server, config, options } = this
    this.powerOn()
    const { topology } = server.config
    const free = server.config.ranges.filter((r) => r.start >= MIB || r.start + r.length > MIB).map((r) => {
      const start = Math.max(r.start, MIB)
      return { start, length: r.start + r.length - start, node: r.node }
    })
    const frames = new FrameAllocator(free, topology.distances)
    const memory = hostMemory(server.cores[0]!, frames)
    const take = (node: number): number => {
      const frame = frames.take(node, MONITOR)
      if (frame === undefined) throw new RangeError('the server has no memory for its monitor')
      memory.clear(frame)
      return frame
    }
    const home = server.config.processors[0]!.node
    const where = placement(options.guest.placement ?? 'first-touch', frames.nodeCount)
    const guestMemory = new GuestMemory('vm0', config.ranges, memory, frames, where, (frame) => server.physical.node(frame), home)
    const { processors, coreBits } = config
    const vm = new VirtualMachine('vm0', guestMemory, { processors: processors.length, coreBits, threadBits: 0 }, handlerCosts, (why) => this.halt(why))
    const cr3 = identityMap(take(home), take(home), (at, value) => {
      memory.write(at, 4, value % 2 ** 32)
      memory.write(at + 4, 4, Math.floor(value / 2 ** 32))
    })
    for (const p of processors) {
      const core = server.cores[p.index]!
      const { node } = server.config.processors[p.index]!
      const scratch = take(node)
      const port = new ProcessorPort(core, node, memory, scratch)
      const context = boot(core, port, cr3, scratch)
      const processor = new VirtualProcessor(vm, p.index, p.apicId, port, this.apic(p.index), this.seen(p.index))
      vm.processors.push(processor)
      processor.begin({ vmxon: take(node), vmcs: take(node), msrBitmap: take(node) }, context)
      core.rootProgram = this.rootProgram(core, processor)
    }
    for (const s of [...firmware(config).segments, ...segments]) {
      guestMemory.load(s.address, s.data)
      if (s.length > s.data.length) guestMemory.load(s.address + s.data.length, new Uint8Array(s.length - s.data.length))
    }
    enterVirtualWireMode(guestMemory, this.io, this.lapics[0]!.registers)
    enterVirtual(vm.processors[0]!, entry)
    this.vm = vm
  }

  private rootProgram(core: Core, processor: VirtualProcessor): () => void {
    let handled = true // nothing has exited yet
    return () => {
      if (this.stop) {
        core.state.activity = Activity.halted // the monitor waits with interrupts off
        return
      }
      try {
        core.synchronize()
      } catch (reason) {
        if (!(reason instanceof Again)) throw reason
        core.yielded = true
        return
      }
      const before = core.delivering
      core.delivering = true
      if (!handled) {
        processor.exit()
        handled = true
      }
      if (!this.stop) {
        const result = processor.enter()
        if (result.kind === 'succeed') handled = false
        else if (result.kind === 'notYet') core.yielded = true
      }
      core.delivering = before
    }
  }

  private apic(index: number): VirtualApic {
    const lapic = this.lapics[index]!
    return {
      pendingVector: () => lapic.pendingVector(),
      acknowledge: () => lapic.acknowledge(),
      readTaskPriority: () => lapic.cr8,
      writeTaskPriority: (value) => {
        lapic.cr8 = value
      },
      readMsr: (n) => lapic.readMsr(n),
      writeMsr: (n, value) => lapic.writeMsr(n, value),
      initialise: () => lapic.initialise(),
      tscChanged: () => lapic.tscChanged(),
    }
  }

  private seen(index: number): VirtualChips {
    const { io, mmio } = this
    const local = this.locals[index]!
    const bus = (address: number): Bus => (local.find(address) ? local : mmio)
    return {
      readPort: (port, size) => io.read(port, size),
      writePort: (port, size, value) => io.write(port, size, value),
      readMemory: (address, size) => bus(address).read(address, size),
      writeMemory: (address, size, value) => bus(address).write(address, size, value),
    }
  }

  get time(): number {
    return this.server.time
  }
  /** No interrupt can wake the guest any more. */
  get deaf(): boolean {
    return this.server.deaf
  }
  get clock(): Machine['clock'] {
    return this.server.clock
  }

  /** As of a machine: `run` returns at the next instruction boundary. */
  interrupt(): void {
    this.server.interrupt()
  }

  /** Runs as a machine does; `stop` is the VM's. */
  run(idleUntil = Infinity): { readonly stop: VmStop | undefined; readonly idle: boolean } {
    if (this.stop) return { stop: this.stop, idle: false }
    const { stop, idle } = this.server.run(idleUntil)
    return { stop: this.stop ?? stop, idle: idle && !this.stop }
  }
}

/** One PML4 entry to a table of 512 pages of 1 GiB: linear is physical. Answers CR3. */
function identityMap(pml4: number, pdpt: number, write: (at: number, value: number) => void): number {
  write(pml4, pdpt + 3)
  for (let n = 0; n < 512; n++) write(pdpt + 8 * n, n * 2 ** 30 + 0x83)
  return pml4
}

/** What a loader and the monitor's first instructions do: 64-bit mode, VT-x allowed and locked, the local APIC in x2APIC mode and on. */
function boot(core: Core, port: ProcessorPort, cr3: number, stack: number): HostContext {
  const flat = { base: 0 }
  enter(core, {
    mode: 'long', rip: stack, rflags: 2, gprs: {}, cr3,
    cs: { ...flat, selector: selectors.codeSelector }, data: { ...flat, selector: selectors.dataSelector },
  })
  const s = core.state
  s.cr0 |= Cr0.NE | Cr0.WP
  s.cr4 |= Cr4.VMXE | Cr4.OSFXSR | Cr4.OSXSAVE
  s.efer |= Efer.NXE
  core.modeChanged()
  port.wrmsr(Msr.FEATURE_CONTROL, FeatureControl.lock | FeatureControl.vmxOutsideSmx)
  port.wrmsr(Msr.APIC_BASE, (port.rdmsr(Msr.APIC_BASE) ?? 0n) | X2APIC)
  port.wrmsr(SVR, 0x1ffn)
  return { cr0: s.cr0, cr3: s.cr3, cr4: s.cr4, efer: s.efer, ...selectors, stack }
}

// A VM on a server with our hypervisor: a machine whose guest runs in VMX non-root operation. Several may share a server.
// The VM's chips are a second set of the server's, its local APICs too; they are reached by exits alone.
// Does not model: save and restore, several virtual processors on one real.

import { MAXPHYADDR } from '../arch/registers.ts'
import { Activity } from '../cpu/halt.ts'
import { Again } from '../cpu/fault.ts'
import type { Core } from '../cpu/run.ts'
import { DELIVERY } from '../devices/apicbus.ts'
import { Lapic } from '../devices/lapic.ts'
import type { EntryState } from '../guests/entry.ts'
import type { Segment } from '../guests/image.ts'
import { GuestMemory } from '../hypervisor/guest-memory.ts'
import { placement, type PlacementName } from '../hypervisor/placement.ts'
import type { VirtualApic, VirtualChips } from '../hypervisor/virtual-devices.ts'
import { VirtualMachine } from '../hypervisor/virtual-machine.ts'
import { VirtualProcessor } from '../hypervisor/virtual-processor.ts'
import { Bus } from '../memory/bus.ts'
import { buildChips, type Chips } from './chips.ts'
import { resolveBoard, type BoardConfig } from './config.ts'
import { COSTS } from './costs.ts'
import { firmware } from './firmware.ts'
import { LAPIC } from './layout.ts'
import { CRYSTAL, Machine, type MachineOptions, type Stop } from './machine.ts'
import { PRESETS } from './presets.ts'
import { enterVirtualWireMode } from './virtual-wire.ts'
import { enterVirtual } from './vm-entry.ts'
import { VmServer } from './vm-server.ts'

export type VmStop = Stop | { readonly kind: 'monitor'; readonly reason: string }

export interface VmOptions extends Omit<MachineOptions, 'vmx'> {
  /** Of the guest: MiB of memory, virtual processors (at most the server's), where its pages go. */
  readonly guest: { readonly megabytes: number; readonly processors: number; readonly placement?: PlacementName }
}

/** The board a guest believes to have: one node. Throws TopologyError when there is none such. */
export const virtualBoard = (guest: VmOptions['guest']): BoardConfig =>
  resolveBoard(PRESETS.get('uma-1n')!, { megabytes: guest.megabytes, processors: guest.processors })

/** The host vector that says: look at your virtual processor. */
const NOTIFY = 0xf2

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
  private readonly own: readonly Core[]
  private readonly host: VmServer

  /**
   * `first`: the server's processor that runs the first virtual one; the others follow. VMs on one `host` have processors of their own.
   * Throws TopologyError when the guest cannot be had, RangeError for more virtual processors than the server has from there on.
   */
  constructor(
    private readonly options: VmOptions,
    host?: VmServer,
    readonly id = 'vm0',
    first = 0,
  ) {
    const { guest } = options
    const there = (host?.machine.config ?? options.config).processors.length - first
    if (guest.processors > there) throw new RangeError(`${guest.processors} virtual processors on ${there} real ones`)
    const { serial: _serial, debug: _debug, ...rest } = options
    this.host = host ?? new VmServer(rest)
    this.server = this.host.machine
    this.own = this.server.cores.slice(first, first + guest.processors)
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
        tscOffset: () => BigInt.asUintN(64, (this.vm?.processors[index]?.tscOffset ?? 0n) + this.own[index]!.state.tscOffset),
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
    const { apicId } = this.own[index]!
    this.server.chips.apicBus.send({ destination: apicId, wide: true, logical: false, delivery: DELIVERY.fixed, vector: NOTIFY, level: false })
  }

  private halt(stop: VmStop): void {
    this.stop ??= stop
    this.server.interrupt()
  }

  /** Chips as at power-on, its processors reset, its frames given back. */
  powerOn(): void {
    this.vm?.memory.release()
    this.vm = undefined
    this.stop = undefined
    for (const core of this.own) {
      core.rootProgram = undefined
      core.reset(false)
      core.time = Math.max(core.time, this.server.clock.time)
      for (const frame of this.regions.splice(0)) this.host.frames.release(frame, this.server.physical.node(frame), this.id)
    }
    for (const d of [...this.chips.devices, ...this.lapics]) d.reset()
  }
  /** Frames of the monitor for this VM: VMX regions and bitmaps. */
  private readonly regions: number[] = []

  /** Power-on, a new VM, a guest's bytes in its memory, its bootstrap processor at the first instruction. Throws RangeError for bytes outside its memory, MonitorError when VT-x does not serve. */
  load(segments: readonly Segment[], entry: EntryState): void {
    const { server, config, options, host, id } = this
    this.powerOn()
    const nodeOf = (core: Core): number => server.config.processors[core.index]!.node
    const { frames, memory } = host
    const where = placement(options.guest.placement ?? 'first-touch', frames.nodeCount)
    const guestMemory = new GuestMemory(id, config.ranges, memory, frames, where, (frame) => server.physical.node(frame), nodeOf(this.own[0]!))
    const { processors, coreBits } = config
    const vm = new VirtualMachine(id, guestMemory, { processors: processors.length, coreBits, threadBits: 0 }, handlerCosts, (why) => this.halt(why))
    for (const p of processors) {
      const core = this.own[p.index]!
      const region = (): number => {
        const frame = host.take(nodeOf(core), id)
        this.regions.push(frame)
        return frame
      }
      const { port, context } = host.boot(core)
      const processor = new VirtualProcessor(vm, p.index, p.apicId, port, this.apic(p.index), this.seen(p.index))
      vm.processors.push(processor)
      processor.begin({ vmxon: region(), vmcs: region(), msrBitmap: region() }, context)
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

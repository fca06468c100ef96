// The server: DRAM in one shared WebAssembly memory, chips, processors, and the order in which they run.
//
// One thread runs all processors. The runnable one that is least far in virtual time goes next, until it is QUANTUM ahead of
// the second or virtual time must stop for a timer. Nothing else decides the order, so a run repeats to the cycle.

import { MAXPHYADDR } from '../arch/registers.ts'
import { CodeCache, CODE_TLB_BYTES } from '../cpu/code.ts'
import { engine } from '../cpu/engine.ts'
import type { Processor } from '../cpu/processor.ts'
import { restoreCore, saveCore } from '../cpu/core-state.ts'
import { Core } from '../cpu/run.ts'
import { FIELDS_SIZE } from '../isa/state.ts'
import { sseImplementations } from '../cpu/sse/calls.ts'
import { x87CallImplementations } from '../cpu/x87/calls.ts'
import { features } from '../cpu/cpuid.ts'
import { Lapic } from '../devices/lapic.ts'
import type { EntryState } from '../guests/entry.ts'
import type { Segment } from '../guests/image.ts'
import { calls, type CallName } from '../isa/calls.ts'
import { Bus } from '../memory/bus.ts'
import { StateError, type Device, type Json, type SavedState } from '../memory/device.ts'
import { PhysicalMemory } from '../memory/physical.ts'
import { CodePages } from '../paging/code-pages.ts'
import { TLB_SIZE } from '../paging/tlb.ts'
import { assists } from './assists.ts'
import { buildChips, type Chips } from './chips.ts'
import type { BoardConfig } from './config.ts'
import { COSTS, latency, WALK_REFERENCE } from './costs.ts'
import { enter } from './entry.ts'
import { firmware } from './firmware.ts'
import { LAPIC, MIB } from './layout.ts'
import { machineState, requireNear, STATE_VERSION } from './machine-state.ts'
import { enterVirtualWireMode } from './virtual-wire.ts'
import { VirtualClock } from './virtual-clock.ts'
import { guestSupport } from '../vmx/intercepts.ts'
import { Vmx } from '../vmx/vmx.ts'

/** Frequency of the LAPIC timer's input, which CPUID 15H reports. */
export const CRYSTAL = 25_000_000
const QUANTUM = 10_000
/** A slice of one processor at most: compiled code must return often, or the engine never optimises it. */
const SLICE = 200_000
/** Runs return at multiples of this, whoever asks, so that asking does not change the order of processors. */
const CHUNK = 4_000_000

/** And after so many returns of compiled code, each some microseconds of the host's time; the slice goes on with the next run. */
const PATIENCE = 8_000

const CONTROL_START = 0x10000
const ARENA_BYTES = 96 * MIB
const callNames = Object.keys(calls) as CallName[]
const implementations = { ...x87CallImplementations, ...sseImplementations }

export type Stop =
  | { readonly kind: 'powerOff' }
  | { readonly kind: 'reset' }
  | { readonly kind: 'exit'; readonly code: number }
  | { readonly kind: 'tripleFault'; readonly processor: number }

export interface MachineOptions {
  readonly config: BoardConfig
  /** Seconds since 1970 shown by the clock chip at power-on. */
  readonly epoch?: number
  readonly serial?: (port: number, byte: number) => void
  readonly debug?: (byte: number) => void
  /** Charge memory by distance (default true). */
  readonly costs?: boolean
  /** Processors with VT-x (default false). */
  readonly vmx?: boolean
  /** Told once for each thing the guest used that the processor does not have. */
  readonly unimplemented?: (what: string) => void
}

export interface Progress {
  /** Why the machine stopped for good, if it did. */
  readonly stop: Stop | undefined
  /** All processors wait, and nothing is due before the idle limit. */
  readonly idle: boolean
}

export class Machine {
  readonly config: BoardConfig
  readonly memory: WebAssembly.Memory
  readonly physical: PhysicalMemory
  readonly io = new Bus('ports')
  readonly clock: VirtualClock
  readonly chips: Chips
  readonly cores: readonly Core[]
  readonly lapics: readonly Lapic[]
  readonly code: CodeCache
  readonly unimplemented = new Map<string, number>()
  private stop: Stop | undefined
  private interrupted = false
  private readonly patience = { left: 0, over: () => this.interrupt() }
  /** The slice that `interrupt` broke off: its processor and its end. */
  private slice: { readonly core: Core; readonly end: number } | undefined
  private readonly placeLapic: (() => void)[] = []
  private current: Core | undefined
  private readonly wakeTimes: number[]
  private readonly parked: boolean[]

  constructor(options: MachineOptions) {
    const { config } = options
    this.config = config
    const count = config.processors.length
    const perCore = FIELDS_SIZE + TLB_SIZE + 2 * CODE_TLB_BYTES
    const arena = CONTROL_START + count * perCore
    const dramBase = Math.ceil((arena + ARENA_BYTES) / MIB) * MIB
    const bytes = config.ranges.reduce((sum, r) => sum + r.length, 0)
    const pages = Math.ceil((dramBase + bytes) / 65536)
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: 65536, shared: true })
    this.physical = new PhysicalMemory(this.memory, dramBase, config.ranges)
    this.clock = new VirtualClock(config.topology.frequency)

    const built = engine(features(options.vmx))
    const codePages = new CodePages(this.memory.buffer.byteLength)
    const isAssist = (form: { id: number }): boolean => built.interpreter.assists[form.id] !== undefined
    this.code = new CodeCache(this.memory, { start: arena, end: dramBase }, built.decoder, built.interpreter, isAssist, codePages)
    const run = callNames.map((name) => implementations[name])
    const instance = new WebAssembly.Instance(built.module, {
      env: {
        memory: this.memory,
        slow: (record: number, low: number, high: number, info: number) => this.current!.slow(record, low, high, info),
        call: (index: number) => run[index]!(this.current!.state),
      },
    })
    const execute = instance.exports['run'] as (record: number, block: number, tlb: number, budget: number) => number

    this.chips = buildChips(config, this.clock, this.io, this.physical.mmio, options.epoch ?? 0, {
      serial: (port, byte) => options.serial?.(port, byte),
      debug: (byte) => options.debug?.(byte),
      powerOff: () => this.halt({ kind: 'powerOff' }),
      reset: () => this.halt({ kind: 'reset' }),
      exit: (code) => this.halt({ kind: 'exit', code }),
      intr: (level) => {
        for (const lapic of this.lapics) lapic.lint0(level)
      },
    })

    const cores: Core[] = []
    const lapics: Lapic[] = []
    this.wakeTimes = config.processors.map(() => 0)
    this.parked = config.processors.map(() => false)
    for (const p of config.processors) {
      const local = new Bus(`local${p.index}`)
      const wake = (): void => {
        const core = cores[p.index]
        if (!core) return
        core.attention = true
        this.wakeTimes[p.index] = this.clock.now()
      }
      const alarm = this.clock.timer(`processor${p.index}`, () => {
        const core = cores[p.index]!
        core.time = Math.max(core.time, this.clock.time)
        core.attention = true
        this.wakeTimes[p.index] = core.time
      })
      let unmap: (() => void) | undefined
      const place = (): void => {
        unmap?.()
        unmap = local.map('LAPIC', lapic.pageAddress, LAPIC.length, lapic.registers)
        cores[p.index]?.mmu.flushAll()
      }
      const lapic = new Lapic(
        `lapic${p.index}`,
        this.clock,
        this.chips.apicBus,
        {
          interruptChanged: wake,
          nmi: () => {
            cores[p.index]!.signals.nmi = true
            wake()
          },
          smi: () => {},
          init: () => {
            cores[p.index]!.signals.init = true
            cores[p.index]!.signals.sipi = -1
            wake()
          },
          startup: (vector) => {
            if (cores[p.index]!.state.activity !== 3 && !cores[p.index]!.signals.init) return
            cores[p.index]!.signals.sipi = vector
            wake()
          },
        },
        {
          apicId: p.apicId,
          bootstrap: p.index === 0,
          crystal: CRYSTAL,
          physicalBits: MAXPHYADDR,
          readPic: this.chips.readPic,
          tscOffset: () => cores[p.index]?.state.tscOffset ?? 0n,
          baseChanged: () => place(),
        },
      )
      place()
      this.placeLapic.push(place)
      this.chips.apicBus.attach(lapic)
      lapics.push(lapic)
      const block = CONTROL_START + p.index * perCore
      const byNode = options.costs === false ? [] : config.topology.nodes.map((_, node) => latency(config.topology, p.node, node))
      cores.push(
        new Core({
          index: p.index,
          apicId: p.apicId,
          layout: { block, tlb: block + FIELDS_SIZE, codeTlb: block + FIELDS_SIZE + TLB_SIZE },
          physical: this.physical,
          io: this.io,
          apic: {
            pendingVector: () => lapic.pendingVector(),
            acknowledge: () => lapic.acknowledge(),
            readTaskPriority: () => lapic.tpr >> 4,
            writeTaskPriority: (value) => {
              lapic.tpr = value << 4
            },
            readMsr: (index) => lapic.readMsr(index),
            writeMsr: (index, value) => lapic.writeMsr(index, value),
            initialise: () => lapic.initialise(),
            tscChanged: () => lapic.tscChanged(),
          },
          board: {
            processors: count,
            coreBits: config.coreBits,
            threadBits: 0,
            frequency: config.topology.frequency,
            crystal: CRYSTAL,
            costs: {
              pause: COSTS.pause.value,
              rdtsc: COSTS.rdtsc.value,
              cpuid: COSTS.cpuid.value,
              port: COSTS.portAccess.value,
              msr: COSTS.msrAccess.value,
              vmEntry: COSTS.vmEntry.value,
              vmExit: COSTS.vmExit.value,
            },
            alarm: (time) => {
              if (time === undefined) alarm.cancel()
              else alarm.arm(time)
            },
            tripleFault: (processor: Processor) => this.halt({ kind: 'tripleFault', processor: processor.index }),
            unimplemented: (what: string) => {
              const seen = this.unimplemented.get(what) ?? 0
              this.unimplemented.set(what, seen + 1)
              if (seen === 0) options.unimplemented?.(what)
            },
          },
          engine: built,
          code: this.code,
          codePages,
          assists,
          local,
          costs: { byNode, reference: options.costs === false ? 0 : WALK_REFERENCE, chip: COSTS.deviceAccess.value },
          execute: (record, block, tlb, budget) => {
            this.current = cores[p.index]
            return execute(record, block, tlb, budget)
          },
          patience: this.patience,
          othersBehind: (time) => this.othersBehind(p.index, time),
          shownTime: (time) => this.clock.shown(time),
          nextDeadline: () => (this.stop || this.interrupted ? 0 : this.clock.next),
        }),
      )
    }
    if (options.vmx) for (const core of cores) guestSupport(new Vmx(core))
    this.cores = cores
    this.lapics = lapics
    this.powerOn()
  }

  /** All chips and processors as at power-on; DRAM is left as it is. */
  powerOn(): void {
    this.stop = undefined
    for (const d of this.devices) d.reset()
    this.code.flush()
    for (const core of this.cores) {
      core.reset(core.index === 0)
      core.rest()
      core.time = this.clock.time
      this.parked[core.index] = core.index !== 0
      this.wakeTimes[core.index] = 0
    }
  }

  /** Chips and LAPICs in the order of save and restore. */
  get devices(): readonly Device[] {
    return [...this.chips.devices, ...this.lapics]
  }

  /** Firmware's bytes and a guest's into DRAM, and the bootstrap processor at the guest's first instruction. Throws RangeError for bytes outside DRAM. */
  load(segments: readonly Segment[], entry: EntryState): void {
    for (const s of [...firmware(this.config).segments, ...segments]) {
      this.physical.load(s.address, s.data)
      if (s.length > s.data.length) this.physical.load(s.address + s.data.length, new Uint8Array(s.length - s.data.length))
    }
    enterVirtualWireMode(this.physical, this.io, this.lapics[0]!.registers)
    this.code.flush()
    enter(this.cores[0]!, entry)
  }

  /** Virtual time in cycles: how far all running processors have come. */
  get time(): number {
    const running = this.cores.filter((core) => core.running && !this.parked[core.index]).map((core) => core.time)
    return running.length === 0 ? this.clock.time : Math.max(this.clock.time, Math.min(...running))
  }

  /** All processors are halted with interrupts off, shut down, or wait to be started: nothing the board does by itself will wake one. */
  get deaf(): boolean {
    return this.cores.every((core) => !core.runnable && core.deaf)
  }

  /** `run` returns at the next instruction boundary, without a stop; a later `run` goes on as if nothing had been. */
  interrupt(): void {
    this.interrupted = true
    this.current?.cut()
  }

  private halt(stop: Stop): void {
    this.stop ??= stop
    this.current?.cut()
  }

  private othersBehind(index: number, time: number): boolean {
    for (const core of this.cores) {
      if (core.index === index || !core.runnable) continue
      const at = this.parked[core.index] ? Math.max(core.time, this.wakeTimes[core.index]!) : core.time
      if (at < time) return true
    }
    return false
  }

  /** Runs to the next multiple of CHUNK cycles, or until the machine stops, or idles with nothing due up to `idleUntil`. */
  run(idleUntil = Infinity): Progress {
    const until = (Math.floor(this.clock.time / CHUNK) + 1) * CHUNK
    this.patience.left = PATIENCE
    for (;;) {
      if (this.stop) return { stop: this.stop, idle: false }
      if (this.interrupted) {
        this.interrupted = false
        return { stop: undefined, idle: false }
      }
      if (this.slice) {
        const { core, end } = this.slice
        this.slice = undefined
        this.runSlice(core, end)
        continue
      }
      const [first, second] = this.least()
      if (!first) {
        const next = this.clock.next
        if (next > idleUntil || next === Infinity) return { stop: undefined, idle: true }
        this.clock.advance(Math.min(next, until))
        if (next > until) return { stop: undefined, idle: false }
        continue
      }
      if (this.clock.next <= first.time) {
        this.clock.advance(first.time)
        continue
      }
      if (first.time >= until) {
        this.clock.advance(until)
        return { stop: undefined, idle: false }
      }
      const end = Math.min(until, second === Infinity ? first.time + SLICE : second + QUANTUM, first.time + SLICE)
      this.runSlice(first, end)
    }
  }

  private runSlice(core: Core, end: number): void {
    this.clock.running = () => core.ownTime()
    core.run(end)
    this.clock.running = undefined
    if (this.interrupted && core.running && !core.yielded && core.time < Math.min(end, this.clock.next)) this.slice = { core, end }
    else if (!core.running) this.parked[core.index] = true
  }

  // ---- save and restore -------------------------------------------------------------------------
  /** Everything but DRAM, as named versioned fields. Only between runs. */
  save(): Json {
    return {
      version: STATE_VERSION,
      time: this.clock.time,
      latest: this.clock.latest,
      wakeTimes: [...this.wakeTimes],
      parked: [...this.parked],
      slice: this.slice ? { processor: this.slice.core.index, end: this.slice.end } : null,
      processors: this.cores.map((core) => saveCore(core) as unknown as Json),
      chips: Object.fromEntries(this.devices.map((d) => [d.id, d.save() as unknown as Json])),
    }
  }

  /** Takes a state of a board like this one; DRAM is the caller's. Throws StateError when it does not fit; then nothing was changed. */
  restore(state: Json): void {
    const before = this.save()
    try {
      this.take(state)
    } catch (error) {
      this.take(before)
      throw error
    }
  }

  private take(state: Json): void {
    const s = machineState(state, this.cores.length)
    for (const d of this.devices) if (!(d.id in s.chips)) throw new StateError(d.id, 'missing in the saved machine')
    this.stop = undefined
    this.code.flush()
    this.clock.restart(s.time, s.latest)
    for (const d of this.devices) d.restore(s.chips[d.id] as unknown as SavedState)
    this.chips.restored()
    for (const place of this.placeLapic) place()
    this.cores.forEach((core, n) => {
      restoreCore(core, s.processors[n] as unknown as SavedState)
      core.rest()
    })
    s.wakeTimes.forEach((t, n) => (this.wakeTimes[n] = t))
    s.parked.forEach((p, n) => (this.parked[n] = p))
    this.slice = s.slice ? { core: this.cores[s.slice.processor]!, end: s.slice.end } : undefined
    if (this.clock.next < s.time) requireNear('timers', s.time, this.clock.next)
    for (const core of this.cores) {
      const at = this.parked[core.index] ? Math.max(core.time, this.wakeTimes[core.index]!) : core.time
      if (core.runnable || at > s.time) requireNear(`processor${core.index}`, s.time, at)
    }
  }

  /** The runnable processor least far in time (the lowest number among equals), and the time of the second. */
  private least(): [Core | undefined, number] {
    let first: Core | undefined
    let second = Infinity
    for (const core of this.cores) {
      if (!core.runnable) continue
      if (this.parked[core.index]) {
        this.parked[core.index] = false
        core.time = Math.max(core.time, this.wakeTimes[core.index]!)
      }
      if (!first || core.time < first.time) {
        if (first) second = first.time
        first = core
      } else if (core.time < second) second = core.time
    }
    return [first, second]
  }
}

// Drives one logical processor: compiled code until something happens, then what happened, in the SDM's priority order
// (SDM 3A 6.9). Time is counted in cycles: one an instruction, more where the cost model charges (ARCHITECTURE.md, "Time").

import { Vector } from '../arch/exceptions.ts'
import { Dr6 } from '../arch/pte.ts'
import { CS, FS, GS, Rflags, Rights, SS } from '../arch/registers.ts'
import type { Bus } from '../memory/bus.ts'
import type { PhysicalMemory } from '../memory/physical.ts'
import { LinearAccess } from '../paging/access.ts'
import { Mmu } from '../paging/mmu.ts'
import { SecondStageStop } from '../paging/second-stage.ts'
import { TLB_TABLE } from '../paging/tlb.ts'
import type { Assists } from '../isa/assists.ts'
import type { Family } from '../isa/context.ts'
import { ES_REFERENCE } from './interpreter/record-operands.ts'
import { CODE_TLB_BYTES, type CodeCache } from './code.ts'
import type { Event } from './event.ts'
import { CodeFetch } from './fetch.ts'
import { couldWake, takeEvents } from './boundary.ts'
import { powerOn } from './reset.ts'
import type { CodeSize } from '../isa/decoder.ts'
import { deliver } from './events.ts'
import { Again, Fault, again } from './fault.ts'
import { readRflags, writeRflags } from './flags.ts'
import type { Instruction } from './instruction.ts'
import { InstructionView } from './instruction-view.ts'
import { hasInstructionBreakpoints, instructionBreakpointsAt } from './instruction-breakpoint.ts'
import { Intercepted, type Intercepts } from './intercepts.ts'
import { codeSize, deriveMode, deriveSegment, writeConstants, isMode64, isRealMode, isVirtual8086 } from './mode.ts'
import type { CoreParts } from './core-parts.ts'
import type { BoardPort, LocalApicPort, Processor, Signals, VmxPort } from './processor.ts'
import { Exit, Record, SegmentBits } from './record.ts'
import { offsets, processorState, type FieldName, type ProcessorState } from '../isa/state.ts'
import { updateSseNative } from './sse/mxcsr.ts'
import { unavailableVector, updateAvailability } from './x87/availability.ts'

const NO_DEADLINE = 0x3fffffff
/** How far ahead of the others a processor may be, in cycles, when it looks at a clock or reaches a chip. */
const SKEW = 2000
const TF = 1 << 8
const RF = 1 << 16
const families: readonly Family[] = ['x87', 'x87NoWait', 'mmx', 'sse']
/** After these a trap that TF asked for before does not come if they cleared TF themselves (SDM 3B 17.3.1.4). */
const UNTRAPPED: ReadonlySet<keyof Assists> = new Set(['int', 'int1', 'into'])
/** For these TF counts as it is when they end: FMASK keeps traps out of a handler, and SYSRET into a traced program traps at once. */
const TRAPPED_AT_END: ReadonlySet<keyof Assists> = new Set(['syscall', 'sysret'])

export class Core implements Processor {
  readonly index: number
  readonly apicId: number
  readonly state: ProcessorState
  readonly physical: PhysicalMemory
  readonly memory: LinearAccess
  readonly mmu: Mmu
  readonly io: Bus
  readonly apic: LocalApicPort
  readonly board: BoardPort
  readonly signals: Signals = { nmi: false, init: false, sipi: -1, smi: false }
  vmx: VmxPort | undefined
  intercepts: Intercepts | undefined
  delivery: Event | undefined
  instruction: Instruction | undefined
  nmiUnblocked = false
  shadow = 0
  private next = 0n
  private branched = false
  get nextRip(): bigint {
    return this.branched ? this.next : this.view.nextRip
  }
  set nextRip(value: bigint) {
    this.next = value
    this.branched = true
  }
  /** Virtual time in cycles. */
  time = 0
  instructions = 0
  faults = 0
  interrupts = 0
  /** An interrupt source changed: look before the next instruction. */
  attention = true
  /** The run ended because this processor must wait for others. */
  yielded = false
  /** The board's own software in VMX root operation, which then runs in the place of code in memory. It enters a guest, waits or halts. */
  rootProgram: (() => void) | undefined

  private readonly words: Int32Array
  private readonly parts: CoreParts
  /** Decoded code, shared by the machine's processors. */
  readonly code: CodeCache
  private readonly view: InstructionView
  /** Indexes of fields in `words`. */
  private readonly at: { readonly [K in 'rip' | 'ripBase' | 'csBase' | 'codeTlb' | 'budget' | 'exit' | 'rflags' | 'activity' | 'interruptibility' | 'pendingDebug' | 'cr0' | 'cr4' | 'efer']: number }
  private readonly fetch: CodeFetch
  private given = 0
  private executing = false
  private mode64_ = false
  private real = true
  private v86 = false
  codeSize: CodeSize = 16
  // what the code TLB's entries were made for
  private knownSize = 0
  private knownCr0 = 0
  private knownCr4 = 0
  private knownEfer = 0
  private knownBase = -1
  private knownLimit = -1

  constructor(parts: CoreParts) {
    this.parts = parts
    this.code = parts.code
    this.index = parts.index
    this.apicId = parts.apicId
    this.physical = parts.physical
    this.io = parts.io
    this.apic = parts.apic
    this.board = parts.board
    const memory = parts.physical.memory
    this.words = new Int32Array(memory.buffer)
    this.state = processorState(memory, parts.layout.block)
    const index = (name: FieldName): number => (parts.layout.block + offsets[name]) >>> 2
    this.at = {
      rip: index('rip'), ripBase: index('ripBase'), csBase: index('csBase'), codeTlb: index('codeTlb'), budget: index('budget'), exit: index('exit'),
      rflags: index('rflags'), activity: index('activity'), interruptibility: index('interruptibility'), pendingDebug: index('pendingDebug'), cr0: index('cr0'), cr4: index('cr4'), efer: index('efer'),
    }
    this.mmu = new Mmu({
      physical: parts.physical,
      base: parts.layout.block,
      offsets,
      tlb: parts.layout.tlb,
      code: parts.codePages,
      local: parts.local,
      costs: parts.costs,
      ports: {
        fault: (vector, errorCode, address) => new Fault(vector, errorCode, address),
        synchronize: () => this.synchronize(),
        flushed: () => this.fetch.forget(),
        charge: (cycles) => this.charge(cycles),
      },
    })
    this.memory = new LinearAccess(this.mmu)
    this.view = new InstructionView(this)
    writeConstants(this.state)
    this.fetch = new CodeFetch(this, parts.code, parts.layout.block, parts.layout.codeTlb)
  }

  // ---- Processor ------------------------------------------------------------------------------
  get mode64(): boolean {
    return this.mode64_
  }
  get realMode(): boolean {
    return this.real
  }
  get virtual8086(): boolean {
    return this.v86
  }
  now(): number {
    return this.parts.shownTime(this.ownTime())
  }
  /** This processor's own virtual time at this very instruction. */
  ownTime(): number {
    return this.executing ? this.time + this.given - this.mmu.remaining() : this.time
  }
  charge(cycles: number): void {
    if (this.executing) this.mmu.charge(cycles)
    else this.time += cycles
  }
  /** Ends the slice behind the instruction that runs, if compiled code runs it. */
  cut(): void {
    if (this.executing) this.mmu.cut()
  }
  synchronize(): void {
    if (this.delivering) return // an event is delivered at once, even through tables inside a chip
    if (this.parts.othersBehind(this.ownTime() - SKEW)) throw again
  }
  rflags(): bigint {
    return readRflags(this.state)
  }
  setRflags(value: bigint): void {
    const changed = value ^ this.state.rflags
    writeRflags(this.state, value)
    if (changed & Rflags.VM) this.modeChanged()
    else if (changed & Rflags.AC) this.mmu.modeChanged()
    if (value & Rflags.IF) this.attention = true
  }
  modeChanged(): void {
    const s = this.state
    this.attention = true
    const w = this.words
    const { cr0, cr4, efer } = this.at
    const same = this.mode64_ && w[cr0] === this.knownCr0 && w[cr4] === this.knownCr4 && w[efer] === this.knownEfer
    if (this.mode64_ && isMode64(s)) {
      // within 64-bit mode: of segments only FS and GS count
      s.cpl = (s.segRights.get(SS) >> Rights.dplShift) & 3
      deriveSegment(s, FS)
      deriveSegment(s, GS)
    } else this.derive()
    s.codeTlb = this.parts.layout.codeTlb + (s.cpl === 3 ? CODE_TLB_BYTES : 0)
    this.mmu.modeChanged()
    if (same && this.mode64_) return
    this.knownCr0 = w[cr0]!
    this.knownCr4 = w[cr4]!
    this.knownEfer = w[efer]!
    updateAvailability(s)
    updateSseNative(s)
  }
  private derive(): void {
    const s = this.state
    deriveMode(s)
    this.mode64_ = isMode64(s)
    this.real = isRealMode(s)
    this.v86 = isVirtual8086(s)
    this.codeSize = codeSize(s)
    const base = Number(s.csBase)
    const limit = s.segLimit.get(CS)
    if (this.codeSize === this.knownSize && base === this.knownBase && limit === this.knownLimit) return
    this.knownSize = this.codeSize
    this.knownBase = base
    this.knownLimit = limit
    this.fetch.forget()
  }
  segmentChanged(index: number): void {
    if (index === CS || index === 2) this.modeChanged()
    else deriveSegment(this.state, index)
  }

  // ---- called by compiled code ------------------------------------------------------------------
  slow(record: number, low: number, high: number, info: number): number {
    const throughSs = !(info & ES_REFERENCE) && (this.physical.bytes[record + Record.segment]! & SegmentBits.register) === 2
    return this.mmu.slow(record, low, high, throughSs ? info | 0x200 : info)
  }

  // ---- the loop -----------------------------------------------------------------------------------
  /** Runs until virtual time `until`, a halt, or a wait for other processors. */
  run(until: number): void {
    const w = this.words
    this.yielded = false
    while (this.time < until && !this.yielded) {
      if (this.rootProgram !== undefined && this.vmx?.mode === 'root' && w[this.at.activity] === 0) {
        this.rootProgram()
        continue
      }
      const guest = this.intercepts?.guest
      if (guest !== undefined && this.time >= guest.deadline) this.attention = true
      if (this.attention) {
        const events = takeEvents(this)
        if (events === 'inactive') return this.rest()
        if (events === 'taken') {
          const current = this.intercepts?.guest
          if (current !== undefined && current === guest && current.steps) current.stepped()
          continue
        }
      }
      if (w[this.at.activity] !== 0) return this.rest()
      const shadow = w[this.at.interruptibility]! & 3
      const single = shadow !== 0 || (w[this.at.rflags]! & (TF | RF)) !== 0 || this.codeBreakpoints || (guest !== undefined && guest.steps)
      const given = single ? 1 : Math.min(Math.min(until, this.parts.nextDeadline(), guest === undefined ? Infinity : guest.deadline) - this.time, NO_DEADLINE)
      if (given <= 0) return
      if (this.alarmed) this.alarm(undefined)
      if (single) {
        this.step(shadow)
        if (guest !== undefined && guest === this.intercepts?.guest && guest.steps && !this.yielded) guest.stepped()
      } else this.burst(given)
    }
  }

  private alarmed = false
  private alarm(time: number | undefined): void {
    this.alarmed = time !== undefined
    this.board.alarm(time)
  }
  /** The processor is inactive; a monitor's timer may still be due. Call when an inactive processor has been restored, too. */
  rest(): void {
    const deadline = this.intercepts?.guest?.deadline ?? Infinity
    const due = deadline < Infinity && deadline > this.time && this.state.activity !== 0
    if (due || this.alarmed) this.alarm(due ? deadline : undefined)
  }

  /** One instruction with what surrounds it when TF, RF, a shadow or instruction breakpoints are on. */
  private step(shadow: number): void {
    const s = this.state
    const resumed = (s.rflags & Rflags.RF) !== 0n
    // MOV SS and POP SS hold instruction breakpoints and single-step traps back for one instruction (SDM 3A 6.8.3)
    if (!resumed && this.codeBreakpoints && !(shadow & 2) && this.breakpointHere()) return
    const trapping = (s.rflags & Rflags.TF) !== 0n
    const before = this.faults
    s.interruptibility &= ~3
    this.untrapped = this.loadedRf = false
    this.shadow = shadow
    this.stepping = true
    this.burst(1)
    this.stepping = false
    this.shadow = 0
    this.attention = true
    if (this.yielded) {
      s.interruptibility |= shadow
      return
    }
    if (this.faults !== before) return
    if (resumed && !this.loadedRf) s.rflags &= ~Rflags.RF
    if (trapping && !this.untrapped && !(s.interruptibility & 2) && s.activity !== 2) s.pendingDebug |= Dr6.BS
  }
  private untrapped = false
  private stepping = false
  private loadedRf = false
  /** After a VM entry or exit: TF and RF of the instruction that ends so were the other side's (SDM 3C 26.1, 27.5.6). */
  transferred(): void {
    this.untrapped = this.loadedRf = this.attention = true
  }

  /** DR7 enables an instruction breakpoint (SDM 3B 17.2.4). */
  codeBreakpoints = false
  debugRegistersChanged(): void {
    this.codeBreakpoints = hasInstructionBreakpoints(this.state)
    this.mmu.debugChanged()
  }
  private breakpointHere(): boolean {
    const bits = instructionBreakpointsAt(this.state)
    if (bits) this.raise(new Fault(Vector.DB, undefined, undefined, bits))
    return bits !== 0
  }

  /** Runs compiled code for at most `given` cycles and deals with why it came back. */
  private burst(given: number, record = this.fetch.lookup()): void {
    if (record === 0) return this.endedWithoutEffect(1)
    if (--this.parts.patience.left === 0) this.parts.patience.over()
    this.given = given
    const w = this.words
    const at = this.at
    w[at.budget] = given
    w[at.exit] = Exit.Budget
    this.executing = true
    const last = this.parts.execute(record, this.parts.layout.block, this.parts.layout.tlb + this.mmu.world() * TLB_TABLE, given)
    this.executing = false
    this.mmu.endCut()
    const consumed = given - w[at.budget]!
    this.time += consumed
    this.instructions += consumed - this.mmu.takeCharged()
    const exit = w[at.exit]!
    if (exit !== Exit.Jump) this.setRip(this.view16(last + Record.offset))
    if (this.mmu.deferred) {
      if (exit === Exit.Pending || exit === Exit.Vector || exit === Exit.Family) this.mmu.discardDeferred()
      else this.mmu.commitDeferred()
    }
    switch (exit) {
      case Exit.Budget:
      case Exit.Leave:
        break
      case Exit.Jump:
        this.fetch.jumped()
        break
      case Exit.Pending:
        this.endedWithoutEffect(0)
        break
      case Exit.Vector: {
        const vector = this.state.exitInfo
        this.raise(new Fault(vector, vector >= 10 && vector <= 13 ? 0 : undefined))
        break
      }
      case Exit.Family:
        this.raise(new Fault(unavailableVector(this.state, families[this.state.exitInfo]!)))
        break
      case Exit.Assist:
        this.assist(last)
        break
      case Exit.Cross:
        this.burst(1, this.fetch.crossing(last))
        break
    }
    if (w[at.pendingDebug]) this.attention = true
  }

  /** RIP := ripBase + offset, in the width of the code. */
  private setRip(offset: number): void {
    const w = this.words
    const { rip, ripBase } = this.at
    const low = (w[ripBase]! >>> 0) + offset
    w[rip] = low | 0
    w[rip + 1] = this.mode64_ ? w[ripBase + 1]! + (low > 0xffffffff ? 1 : 0) : 0
  }

  /** RIP := RIP + length, in the width of the code. */
  private advance(length: number): void {
    const w = this.words
    const { rip } = this.at
    const low = (w[rip]! >>> 0) + length
    w[rip] = low | 0
    w[rip + 1] = this.mode64_ ? w[rip + 1]! + (low > 0xffffffff ? 1 : 0) : 0
  }

  private view16(at: number): number {
    return this.physical.view.getUint16(at, true)
  }

  /** What the memory unit recorded: a fault, or that the instruction must wait. `cost`: cycles not yet counted. */
  private endedWithoutEffect(cost: number): void {
    const reason = this.mmu.takePending()
    this.mmu.discardDeferred()
    this.time += cost
    this.finish(reason)
  }

  /** Deals with what an assist threw or the memory unit recorded. RIP is at the instruction. */
  private finish(reason: unknown): void {
    if (reason instanceof Fault) return this.raise(reason)
    if (reason instanceof Again) {
      // it will run, and be counted, again
      this.time -= 1
      this.instructions -= 1
      this.yielded = true
      return
    }
    if (reason instanceof Intercepted) {
      this.attention = true
      return
    }
    if (reason instanceof SecondStageStop && this.intercepts) {
      this.attention = true
      if (!this.intercepts.taken('secondStage', reason)) this.raise(new Fault(Vector.VE))
      return
    }
    throw reason
  }

  /** No processor waits for others now: an event, or a change between a monitor and its guest, is under way. */
  delivering = false
  deliver(event: Event): void {
    this.delivering = true
    try {
      deliver(this, event)
    } finally {
      this.delivering = false
    }
  }

  private raise(fault: Fault): void {
    this.faults++
    this.attention = true
    this.state.pendingDebug &= ~0xf // watchpoints of an instruction that did not complete
    this.deliver({
      vector: fault.vector,
      kind: 'exception',
      ...(fault.errorCode === undefined ? {} : { errorCode: fault.errorCode }),
      ...(fault.address === undefined ? {} : { address: fault.address }),
      ...(fault.debug === undefined ? {} : { debug: fault.debug }),
      returnRip: this.state.rip,
    })
  }

  /** What an assist means for the single-step trap and for RF. */
  private stepped(name: keyof Assists): void {
    const s = this.state
    if (UNTRAPPED.has(name) && (s.rflags & Rflags.TF) === 0n) this.untrapped = true
    if (TRAPPED_AT_END.has(name)) {
      this.untrapped = true
      if (s.rflags & Rflags.TF) s.pendingDebug |= Dr6.BS
    }
    if (name === 'interruptReturn') this.loadedRf = true
  }

  private assist(record: number): void {
    const s = this.state
    const d = this.parts.code.decodedAt(record)
    const call = this.parts.engine.interpreter.assists[d.form.id]!
    const insn = this.view.at(d)
    this.instruction = insn
    this.branched = false
    try {
      const run = this.parts.assists[call.name] as (cpu: Processor, insn: Instruction, ...args: readonly unknown[]) => void
      run(this, insn, ...call.args)
      if (this.branched) s.rip = this.next
      else this.advance(d.length)
      if (this.stepping || (this.words[this.at.rflags]! & TF) !== 0) this.stepped(call.name)
      if (this.signals.nmi) this.attention = true // IRET may have unblocked it
      if (call.name === 'writeDr') this.debugRegistersChanged()
    } catch (reason) {
      this.finish(reason)
    } finally {
      this.instruction = undefined
    }
  }

  /** Not halted, shut down or waiting for a start-up IPI. */
  get running(): boolean {
    return this.state.activity === 0
  }

  /** Stopped, and no maskable interrupt could change that. */
  get deaf(): boolean {
    return !this.running && (this.state.activity !== 1 || (this.state.rflags & Rflags.IF) === 0n)
  }

  /** Could the processor run, or be woken by what is pending? */
  get runnable(): boolean {
    return this.state.activity === 0 || (this.attention && couldWake(this))
  }

  reset(bootstrap: boolean): void {
    powerOn(this, bootstrap)
  }
}

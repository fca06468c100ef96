// Drives one logical processor: compiled code until something happens, then what happened, in the SDM's priority order
// (SDM 3A 6.9). Time is counted in cycles: one an instruction, more where the cost model charges (ARCHITECTURE.md, "Time").

import { SIGNATURE } from '../arch/cpuid.ts'
import { Vector } from '../arch/exceptions.ts'
import { Dr6 } from '../arch/pte.ts'
import { Cr0, CS, FS, GS, Rflags, Rights, SS } from '../arch/registers.ts'
import type { Bus } from '../memory/bus.ts'
import type { PhysicalMemory } from '../memory/physical.ts'
import { LinearAccess } from '../paging/access.ts'
import { Mmu } from '../paging/mmu.ts'
import type { CodePages } from '../paging/code-pages.ts'
import { TLB_TABLE } from '../paging/tlb.ts'
import type { Assists } from '../isa/assists.ts'
import type { Family } from '../isa/context.ts'
import { ES_REFERENCE } from './interpreter/handler.ts'
import { CodeTlb } from './interpreter/intrinsics.ts'
import { clearCodeTlb, codeMode, CODE_TLB_BYTES, type CodeCache } from './code.ts'
import type { Engine } from './engine.ts'
import type { Event } from './event.ts'
import { deliver } from './events.ts'
import { Again, Fault, again } from './fault.ts'
import { readRflags, writeRflags } from './flags.ts'
import type { Instruction } from './instruction.ts'
import { InstructionView } from './instruction-view.ts'
import { Intercepted, type Intercepts } from './intercepts.ts'
import { codeSize, deriveMode, deriveSegment, writeConstants, isMode64, isRealMode, isVirtual8086 } from './mode.ts'
import { modelRegisters } from './model-registers.ts'
import type { BoardPort, LocalApicPort, Processor, Signals } from './processor.ts'
import { Exit, Record, SegmentBits } from './record.ts'
import { offsets, processorState, type FieldName, type ProcessorState } from './state.ts'
import { updateSseNative } from './sse/mxcsr.ts'
import { unavailableVector, updateAvailability } from './x87/availability.ts'

export type AssistTable = { [K in keyof Assists]: (cpu: Processor, insn: Instruction, ...args: Assists[K]) => void }

/** Host addresses of one processor's part of the control area. */
export interface CoreLayout {
  readonly block: number
  readonly tlb: number
  /** Two code TLBs of CODE_TLB_BYTES: supervisor, user. */
  readonly codeTlb: number
}

export interface CoreParts {
  readonly index: number
  readonly apicId: number
  readonly layout: CoreLayout
  readonly physical: PhysicalMemory
  readonly io: Bus
  readonly apic: LocalApicPort
  readonly board: BoardPort
  readonly engine: Engine
  readonly code: CodeCache
  readonly codePages: CodePages
  readonly assists: AssistTable
  /** Chips only this processor sees (its local APIC's page). */
  readonly local: Bus
  readonly costs: { readonly byNode: readonly number[]; readonly reference: number; readonly chip: number }
  /** The compiled run loop: (record, block, TLB, budget) → record. */
  readonly execute: (record: number, block: number, tlb: number, budget: number) => number
  /** Is some other running processor behind this time? */
  readonly othersBehind: (time: number) => boolean
  /** What clocks show to a processor whose own time is `time`: never less than they showed any other. */
  readonly shownTime: (time: number) => number
  /** The next thing virtual time must stop for. */
  readonly nextDeadline: () => number
}

/** An instruction that crosses two pages: its bytes on the second, and its records. */
interface Crossing {
  readonly rest: Uint8Array
  readonly records: Int32Array
}
const CROSSINGS = 8192
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
  intercepts: Intercepts | undefined
  nextRip = 0n
  /** Virtual time in cycles. */
  time = 0
  instructions = 0
  faults = 0
  interrupts = 0
  /** An interrupt source changed: look before the next instruction. */
  attention = true
  /** The run ended because this processor must wait for others. */
  yielded = false

  private readonly words: Int32Array
  private readonly parts: CoreParts
  /** Decoded code, shared by the machine's processors. */
  readonly code: CodeCache
  private readonly view: InstructionView
  /** Indexes of fields in `words`. */
  private readonly at: { readonly [K in 'rip' | 'ripBase' | 'csBase' | 'codeTlb' | 'budget' | 'exit' | 'rflags' | 'activity' | 'interruptibility' | 'pendingDebug' | 'cr0' | 'cr4' | 'efer']: number }
  private readonly record0: number
  private given = 0
  private executing = false
  private mode64_ = false
  private real = true
  private v86 = false
  private size: 16 | 32 | 64 = 16
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
        flushed: () => this.forgetCodeTlb(),
        charge: (cycles) => this.charge(cycles),
      },
    })
    this.memory = new LinearAccess(this.mmu)
    this.view = new InstructionView(this)
    writeConstants(this.state)
    this.record0 = parts.layout.block + offsets.insnRecord
    parts.code.tlbs.push(parts.layout.codeTlb, parts.layout.codeTlb + CODE_TLB_BYTES)
    this.forgetCodeTlb()
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
    const same = w[cr0] === this.knownCr0 && w[cr4] === this.knownCr4 && w[efer] === this.knownEfer
    if (same && this.mode64_ && s.segRights.get(CS) & Rights.L) {
      // between privilege levels of 64-bit mode: nothing else depends on them
      s.cpl = (s.segRights.get(SS) >> Rights.dplShift) & 3
      s.codeTlb = this.parts.layout.codeTlb + (s.cpl === 3 ? CODE_TLB_BYTES : 0)
      deriveSegment(s, FS)
      deriveSegment(s, GS)
      this.mmu.modeChanged()
      return
    }
    this.knownCr0 = w[cr0]!
    this.knownCr4 = w[cr4]!
    this.knownEfer = w[efer]!
    deriveMode(s)
    this.mode64_ = isMode64(s)
    this.real = isRealMode(s)
    this.v86 = isVirtual8086(s)
    this.size = codeSize(s)
    const base = Number(s.csBase)
    const limit = s.segLimit.get(CS)
    if (this.size !== this.knownSize || base !== this.knownBase || limit !== this.knownLimit) {
      this.knownSize = this.size
      this.knownBase = base
      this.knownLimit = limit
      this.forgetCodeTlb()
    }
    s.codeTlb = this.parts.layout.codeTlb + (s.cpl === 3 ? CODE_TLB_BYTES : 0)
    updateAvailability(s)
    updateSseNative(s)
    this.mmu.modeChanged()
  }
  segmentChanged(index: number): void {
    if (index === CS || index === 2) this.modeChanged()
    else deriveSegment(this.state, index)
  }
  flushCode(): void {
    this.parts.code.flush()
  }

  private forgetCodeTlb(): void {
    clearCodeTlb(this.words, this.parts.layout.codeTlb)
    clearCodeTlb(this.words, this.parts.layout.codeTlb + CODE_TLB_BYTES)
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
      if (this.attention && !this.takeEvents()) return
      if (w[this.at.activity] !== 0) return
      const shadow = w[this.at.interruptibility]! & 3
      const single = shadow !== 0 || (w[this.at.rflags]! & (TF | RF)) !== 0 || this.codeBreakpoints
      const given = single ? 1 : Math.min(Math.min(until, this.parts.nextDeadline()) - this.time, NO_DEADLINE)
      if (given <= 0) return
      if (single) this.step(shadow)
      else this.burst(given)
    }
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
    this.burst(1)
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
  private loadedRf = false

  /** DR7 enables an instruction breakpoint (SDM 3B 17.2.4). */
  codeBreakpoints = false
  debugRegistersChanged(): void {
    const dr7 = Number(this.state.dr.get(7) & 0xffff_ffffn)
    this.codeBreakpoints = [0, 1, 2, 3].some((n) => (dr7 >> (2 * n)) & 3 && ((dr7 >> (16 + 4 * n)) & 3) === 0)
    this.mmu.debugChanged()
  }
  private breakpointHere(): boolean {
    const s = this.state
    const dr7 = Number(s.dr.get(7) & 0xffff_ffffn)
    const linear = (s.rip + s.csBase) & s.linearMask
    let bits = 0n
    for (let n = 0; n < 4; n++) if ((dr7 >> (2 * n)) & 3 && ((dr7 >> (16 + 4 * n)) & 3) === 0 && s.dr.get(n) === linear) bits |= 1n << BigInt(n)
    if (!bits) return false
    s.dr.set(6, (s.dr.get(6) & ~0xfn) | bits)
    this.raise(new Fault(Vector.DB))
    return true
  }

  /** Runs compiled code for at most `given` cycles and deals with why it came back. */
  private burst(given: number): void {
    const s = this.state
    const record = this.crossRecord || this.lookup()
    this.crossRecord = 0
    if (record === 0) return this.endedWithoutEffect(1)
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
        this.jumped()
        break
      case Exit.Pending:
        this.endedWithoutEffect(0)
        break
      case Exit.Vector: {
        const vector = s.exitInfo
        this.raise(new Fault(vector, vector >= 10 && vector <= 13 ? 0 : undefined))
        break
      }
      case Exit.Family:
        this.raise(new Fault(unavailableVector(s, families[s.exitInfo]!)))
        break
      case Exit.Assist:
        this.assist(last)
        break
      case Exit.Cross:
        this.crossing(last)
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
    throw reason
  }

  private delivering = false
  private deliver(event: Event): void {
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
      returnRip: this.state.rip,
    })
  }

  private assist(record: number): void {
    const s = this.state
    const d = this.parts.code.decodedAt(record)
    const call = this.parts.engine.interpreter.assists[d.form.id]!
    const next = (s.rip + BigInt(d.length)) & s.linearMask
    this.nextRip = next
    const insn = this.view.at(d, s.rip, next)
    try {
      const run = this.parts.assists[call.name] as (cpu: Processor, insn: Instruction, ...args: readonly unknown[]) => void
      run(this, insn, ...call.args)
      s.rip = this.nextRip
      if (UNTRAPPED.has(call.name) && (s.rflags & Rflags.TF) === 0n) this.untrapped = true
      if (TRAPPED_AT_END.has(call.name)) {
        this.untrapped = true
        if (s.rflags & Rflags.TF) s.pendingDebug |= Dr6.BS
      }
      if (this.signals.nmi) this.attention = true // IRET may have unblocked it
      if (call.name === 'interruptReturn') this.loadedRf = true
      if (call.name === 'writeDr') this.debugRegistersChanged()
    } catch (reason) {
      this.finish(reason)
    }
  }

  // ---- finding code -------------------------------------------------------------------------------
  /** Record at RIP; 0: `mmu.pending` says why not. Sets ripBase. */
  private lookup(): number {
    const s = this.state
    const w = this.words
    const { rip: ripAt, ripBase, csBase, codeTlb } = this.at
    // linear = RIP + CS base, in 32 bits outside 64-bit mode
    const low = (w[ripAt]! + w[csBase]!) | 0
    const high = this.mode64_ ? w[ripAt + 1]! : 0
    const offset = low & 0xfff
    const entry = (w[codeTlb]! >>> 2) + ((low >>> 12) & (CodeTlb.entries - 1)) * (CodeTlb.entrySize >>> 2)
    const below = w[ripAt]! >>> 0 < offset
    w[ripBase] = w[ripAt]! - offset
    w[ripBase + 1] = w[ripAt + 1]! - (below ? 1 : 0)
    if (w[entry] === (low & ~0xfff) && w[entry + 1] === high) {
      const known = w[(w[entry + 2]! >>> 2) + offset]!
      if (known !== 0) return known
    }
    const limit = this.mode64_ ? Infinity : s.segLimit.get(CS)
    const rip = this.mode64_ ? 0 : w[ripAt]! >>> 0
    if (rip > limit) {
      this.mmu.pending = new Fault(Vector.GP, 0)
      return 0
    }
    const physical = this.mmu.translateFetch(low, high)
    if (physical < 0) return 0
    const host = this.physical.host(physical)
    // code outside DRAM, and code close to the segment's end, is decoded an instruction at a time
    if (host === 0 || limit - rip < 4096) return this.single(offset)
    const mode = codeMode(this.size)
    const page = this.parts.code.page(host - offset, mode)
    const record = this.parts.code.record(page, offset)
    const current = this.parts.code.page(host - offset, mode)
    if (limit - (rip - offset) >= 4095) {
      w[entry] = low & ~0xfff
      w[entry + 1] = high
      w[entry + 2] = current.table
    }
    return record
  }

  /** After a jump that found no record: links it if it stayed in its page, so that the next time is direct. */
  private jumped(): void {
    const s = this.state
    const from = s.from
    if (from === 0) return
    const w = this.words
    const at = this.at
    const baseLow = w[at.ripBase]!
    const baseHigh = w[at.ripBase + 1]!
    const distance = (w[at.rip]! - baseLow) | 0
    const flushes = this.parts.code.counters.flushes + this.parts.code.counters.dropped
    if (distance < 0 || distance >= 4096 || from === this.record0) return
    const record = this.lookup()
    if (record === 0) {
      this.mmu.pending = undefined // found again, and raised, when the code is run
      return
    }
    if (w[at.ripBase] === baseLow && w[at.ripBase + 1] === baseHigh && record !== this.record0 && flushes === this.parts.code.counters.flushes + this.parts.code.counters.dropped) this.parts.code.link(from, record)
  }

  /** The instruction at RIP crosses a page: decoded from both, run by itself. */
  private crossing(crossing: number): void {
    const w = this.words
    const from = this.record0 >>> 2
    if (this.crossingsOf !== this.parts.code.counters.flushes) {
      this.crossingsOf = this.parts.code.counters.flushes
      this.crossings.clear()
    }
    const known = this.crossings.get(crossing)
    if (known && this.sameBytes(known)) {
      w.set(known.records, from)
      this.crossRecord = this.record0
    } else {
      this.crossRecord = this.single(w[this.at.rip]! & 0xfff)
      if (this.crossRecord === 0) return this.endedWithoutEffect(1)
      const length = this.physical.bytes[this.record0 + Record.length]!
      const inFirst = 4096 - ((w[this.at.rip]! + w[this.at.csBase]!) & 0xfff)
      if (this.mode64_ && length > inFirst && !this.parts.code.isAssistAt(this.record0)) {
        if (this.crossings.size >= CROSSINGS) this.crossings.clear()
        const rest = this.fetchedBytes.slice(inFirst, length)
        this.crossings.set(crossing, { rest, records: w.slice(from, from + (2 * Record.size) / 4) })
      }
    }
    this.burst(1)
  }

  /** Does the second page still hold the rest of a page-crossing instruction? (A store into the first drops the record itself.) */
  private sameBytes(known: Crossing): boolean {
    const w = this.words
    const page = w[this.at.rip]! & ~0xfff
    const physical = this.mmu.translateFetch((page + 4096) | 0, w[this.at.rip + 1]! + (page === -4096 ? 1 : 0))
    if (physical < 0) {
      this.mmu.takePending()
      return false
    }
    const host = this.physical.host(physical)
    return host !== 0 && known.rest.every((b, i) => this.physical.bytes[host + i] === b)
  }
  private readonly crossings = new Map<number, Crossing>()
  /** The arena's generation that `crossings` speaks of. */
  private crossingsOf = 0
  private fetchedBytes = new Uint8Array(15)
  /** The record to run next instead of the one at RIP. */
  private crossRecord = 0

  /** Fetches and decodes one instruction byte by byte into the processor's own record. 0: `mmu.pending` says why not. */
  private single(offset: number): number {
    const s = this.state
    const bytes = this.fetchedBytes
    const limit = this.mode64_ ? Infinity : s.segLimit.get(CS)
    let n = 0
    while (n < 15) {
      const rip = s.rip + BigInt(n)
      if (!this.mode64_ && Number(rip) > limit) {
        this.mmu.pending = new Fault(Vector.GP, 0)
        return 0
      }
      const linear = (rip + s.csBase) & s.linearMask
      const low = Number(linear & 0xffff_ffffn) | 0
      const physical = this.mmu.translateFetch(low, Number(linear >> 32n) | 0)
      if (physical < 0) return 0
      const host = this.physical.host(physical)
      bytes[n++] = host === 0 ? this.physical.read(physical, 1) : this.physical.bytes[host]!
      if (this.parts.code.lengthOf(bytes.subarray(0, n), this.size) > 0) break
    }
    this.parts.code.writeCrossing(this.record0, bytes.subarray(0, n), offset, this.size)
    return this.record0
  }

  // ---- events ---------------------------------------------------------------------------------------
  /** Debug traps, INIT, SIPI, NMI, interrupts, in priority order. False: the processor does not run now. */
  private takeEvents(): boolean {
    const s = this.state
    this.attention = false
    if (this.signals.init) {
      if (this.intercepts?.taken('init')) return true
      this.signals.init = false
      this.initialise()
      this.apic.initialise()
      return false
    }
    if (s.activity === 3) {
      if (this.signals.sipi < 0) return false
      const vector = this.signals.sipi
      this.signals.sipi = -1
      this.startAt(vector)
    }
    if (s.activity === 2) return false
    const shadow = s.interruptibility & 3
    if (s.pendingDebug && !(shadow & 2)) {
      const bits = s.pendingDebug
      s.pendingDebug = 0
      s.dr.set(6, (s.dr.get(6) & ~0xfn) | BigInt(bits)) // B0–B3 are this exception's, the rest stays (SDM 3B 17.2.3)
      s.activity = 0
      this.attention = true
      this.deliver({ vector: Vector.DB, kind: 'exception', returnRip: s.rip })
      return true
    }
    if (this.signals.nmi && !(s.interruptibility & 8) && !shadow) {
      if (!this.intercepts?.taken('nmi')) {
        this.signals.nmi = false
        s.activity = 0
        s.interruptibility |= 8
        this.attention = true
        this.deliver({ vector: Vector.NMI, kind: 'nmi', returnRip: s.rip })
      }
      return true
    }
    if (s.rflags & Rflags.IF && !shadow && this.apic.pendingVector() >= 0) {
      if (!this.intercepts?.taken('externalInterrupt')) {
        s.activity = 0
        this.interrupts++
        this.attention = true
        this.deliver({ vector: this.apic.acknowledge(), kind: 'external', returnRip: s.rip })
      }
      return true
    }
    if (shadow && (this.signals.nmi || this.apic.pendingVector() >= 0)) this.attention = true
    return true
  }

  /** Not halted, shut down or waiting for a start-up IPI. */
  get running(): boolean {
    return this.state.activity === 0
  }

  /** Could the processor run, or be woken by what is pending? */
  get runnable(): boolean {
    const a = this.state.activity
    if (a === 0) return true
    if (!this.attention) return false
    if (this.signals.init) return true
    if (a === 3) return this.signals.sipi >= 0
    if (a === 2) return false
    return this.signals.nmi || this.state.pendingDebug !== 0 || ((this.state.rflags & Rflags.IF) !== 0n && this.apic.pendingVector() >= 0)
  }

  // ---- reset ------------------------------------------------------------------------------------------
  /** Power-on values (SDM 3A table 9-1). */
  reset(bootstrap: boolean): void {
    const s = this.state
    this.initialise()
    s.xmm.fill(0)
    s.fpr.fill(0)
    s.fcw = 0x40
    s.fsw = 0
    s.ftw = 0
    s.mxcsr = 0x1f80
    s.xcr0 = 1n
    s.tscOffset = 0n
    modelRegisters(this).reset()
    s.cr0 = Cr0.ET | Cr0.NW | Cr0.CD
    s.activity = bootstrap ? 0 : 3
    this.signals.nmi = this.signals.init = this.signals.smi = false
    this.signals.sipi = -1
    this.mmu.flushAll()
    this.modeChanged()
  }

  /** INIT (SDM 3A 10.4.7.3, table 9-1): processors other than the first wait for a start-up IPI. */
  initialise(): void {
    const s = this.state
    for (let i = 0; i < 16; i++) s.gpr.set(i, 0n)
    s.gpr.set(2, BigInt(SIGNATURE)) // family, model, stepping
    s.rip = 0xfff0n
    for (let i = 0; i < 8; i++) {
      s.segSelector.set(i, 0)
      s.segBase.set(i, 0n)
      s.segLimit.set(i, 0xffff)
      s.segRights.set(i, i === 6 ? 0x82 : i === 7 ? 0x8b : 0x93)
    }
    s.segSelector.set(CS, 0xf000)
    s.segBase.set(CS, 0xffff0000n)
    s.segRights.set(CS, 0x9b)
    s.gdtrBase = s.idtrBase = 0n
    s.gdtrLimit = s.idtrLimit = 0xffff
    s.cr0 = (s.cr0 & (Cr0.CD | Cr0.NW)) | Cr0.ET
    s.cr2 = s.cr3 = s.cr4 = 0n
    s.efer = 0n
    for (let i = 0; i < 4; i++) s.dr.set(i, 0n)
    s.dr.set(6, 0xffff0ff0n)
    s.dr.set(7, 0x400n)
    writeRflags(s, 2n)
    s.interruptibility = 0
    s.pendingDebug = 0
    s.activity = this.index === 0 ? 0 : 3
    this.debugRegistersChanged()
    this.mmu.flushAll()
    this.modeChanged()
  }

  private startAt(vector: number): void {
    const s = this.state
    s.segSelector.set(CS, vector << 8)
    s.segBase.set(CS, BigInt(vector << 12))
    s.segLimit.set(CS, 0xffff)
    s.rip = 0n
    s.activity = 0
    this.modeChanged()
  }
}


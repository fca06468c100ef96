// Drives one logical processor: compiled code until something happens, then what happened, in the SDM's priority order
// (SDM 3A 6.9). Time is counted in cycles: one an instruction, more where the cost model charges (ARCHITECTURE.md, "Time").

import { Vector } from '../arch/exceptions.ts'
import { Cr0, CS, Rflags } from '../arch/registers.ts'
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
import { deliver } from './events.ts'
import { Again, Fault, again } from './fault.ts'
import { readRflags, writeRflags } from './flags.ts'
import type { Instruction } from './instruction.ts'
import { InstructionView } from './instruction-view.ts'
import { Intercepted, type Intercepts } from './intercepts.ts'
import { codeSize, deriveMode, deriveSegment, isMode64, isRealMode, isVirtual8086 } from './mode.ts'
import type { BoardPort, LocalApicPort, Processor, Signals } from './processor.ts'
import { Exit, Record, SegmentBits } from './record.ts'
import { offsets, processorState, type ProcessorState } from './state.ts'
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
  readonly costs: { readonly byNode: readonly number[]; readonly reference: number }
  /** The compiled run loop: (record, block, TLB, budget) → record. */
  readonly execute: (record: number, block: number, tlb: number, budget: number) => number
  /** Is some other running processor behind this time? */
  readonly othersBehind: (time: number) => boolean
  /** The next thing virtual time must stop for. */
  readonly nextDeadline: () => number
}

const NO_DEADLINE = 0x3fffffff
const families: readonly Family[] = ['x87', 'x87NoWait', 'mmx', 'sse']
/** After these a trap that TF asked for before does not come: they cleared TF themselves (SDM 3B 17.3.1.4). */
const UNTRAPPED: ReadonlySet<keyof Assists> = new Set(['int', 'int1', 'into', 'syscall'])

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
  private readonly record0: number
  private given = 0
  private executing = false
  private mode64_ = false
  private real = true
  private v86 = false
  private size: 16 | 32 | 64 = 16
  private csSignature = ''

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
      },
    })
    this.memory = new LinearAccess(this.mmu)
    this.view = new InstructionView(this)
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
    if (!this.executing) return this.time
    return this.time + this.given - this.mmu.remaining()
  }
  charge(cycles: number): void {
    if (this.executing) this.mmu.charge(cycles)
    else {
      this.time += cycles
    }
  }
  synchronize(): void {
    if (this.parts.othersBehind(this.now() - 1)) throw again
  }
  rflags(): bigint {
    return readRflags(this.state)
  }
  setRflags(value: bigint): void {
    const changed = (value ^ this.state.rflags) & (Rflags.VM | Rflags.AC)
    writeRflags(this.state, value)
    if (changed) this.modeChanged()
    if (value & Rflags.IF) this.attention = true
  }
  modeChanged(): void {
    const s = this.state
    deriveMode(s)
    this.mode64_ = isMode64(s)
    this.real = isRealMode(s)
    this.v86 = isVirtual8086(s)
    this.size = codeSize(s)
    const signature = `${this.size} ${s.csBase} ${s.segLimit.get(CS)}`
    if (signature !== this.csSignature) {
      this.csSignature = signature
      this.forgetCodeTlb()
    }
    s.codeTlb = this.parts.layout.codeTlb + (s.cpl === 3 ? CODE_TLB_BYTES : 0)
    updateAvailability(s)
    updateSseNative(s)
    this.mmu.modeChanged()
    this.attention = true
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
    const s = this.state
    this.yielded = false
    while (this.time < until && !this.yielded) {
      if (this.attention && !this.takeEvents()) return
      if (s.activity !== 0) return
      const shadow = s.interruptibility & 3
      const single = shadow !== 0 || (s.rflags & (Rflags.TF | Rflags.RF)) !== 0n || this.codeBreakpoints
      const end = Math.min(until, this.parts.nextDeadline())
      const given = single ? 1 : Math.min(end - this.time, NO_DEADLINE)
      if (given <= 0) return
      if (single) this.step(shadow)
      else this.burst(given)
    }
  }

  /** One instruction with what surrounds it when TF, RF, a shadow or instruction breakpoints are on. */
  private step(shadow: number): void {
    const s = this.state
    const resumed = (s.rflags & Rflags.RF) !== 0n
    if (!resumed && this.codeBreakpoints && this.breakpointHere()) return
    const trapping = (s.rflags & Rflags.TF) !== 0n
    const before = this.faults
    s.interruptibility &= ~3
    this.untrapped = false
    this.burst(1)
    this.attention = true
    if (this.yielded) {
      s.interruptibility |= shadow
      return
    }
    if (this.faults !== before) return
    if (resumed) s.rflags &= ~Rflags.RF
    if (trapping && !this.untrapped && s.activity !== 2) s.pendingDebug |= 1 << 14
  }
  private untrapped = false

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
    s.dr.set(6, s.dr.get(6) | bits)
    this.raise(new Fault(Vector.DB))
    return true
  }

  /** Runs compiled code for at most `given` cycles and deals with why it came back. */
  private burst(given: number): void {
    const s = this.state
    const record = this.crossRecord || this.lookup()
    this.crossRecord = 0
    if (record === 0) return this.endedWithoutEffect(1)
    this.time += this.mmu.takeCharged() // by assists and deliveries since
    this.given = given
    s.budget = given
    s.exit = Exit.Budget
    this.executing = true
    const last = this.parts.execute(record, this.parts.layout.block, this.parts.layout.tlb + this.mmu.world() * TLB_TABLE, given)
    this.executing = false
    this.mmu.endCut()
    const charged = this.mmu.takeCharged()
    const consumed = given - s.budget
    this.time += consumed
    this.instructions += consumed - charged
    const exit = s.exit
    if (exit !== Exit.Jump) s.rip = (s.ripBase + BigInt(this.view16(last + Record.offset))) & s.linearMask
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
        this.crossing()
        break
    }
    if (s.pendingDebug) this.attention = true
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

  private raise(fault: Fault): void {
    this.faults++
    this.attention = true
    deliver(this, {
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
      if (UNTRAPPED.has(call.name)) this.untrapped = true
      if (call.name === 'writeDr') this.debugRegistersChanged()
    } catch (reason) {
      this.finish(reason)
    }
  }

  // ---- finding code -------------------------------------------------------------------------------
  /** Record at RIP; 0: `mmu.pending` says why not. Sets ripBase. */
  private lookup(): number {
    const s = this.state
    const linear = (s.rip + s.csBase) & s.linearMask
    const low = Number(linear & 0xffff_ffffn) | 0
    const high = Number(linear >> 32n) | 0
    const offset = low & 0xfff
    const entry = (s.codeTlb >>> 2) + ((low >>> 12) & (CodeTlb.entries - 1)) * (CodeTlb.entrySize >>> 2)
    const w = this.words
    let table: number
    s.ripBase = BigInt.asUintN(64, s.rip - BigInt(offset))
    if (w[entry] === (low & ~0xfff) && w[entry + 1] === high) {
      table = w[entry + 2]!
      const known = w[(table >>> 2) + offset]!
      if (known !== 0) return known
    }
    const limit = this.mode64_ ? Infinity : s.segLimit.get(CS)
    const rip = this.mode64_ ? 0 : Number(s.rip)
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
    const base = s.ripBase
    const flushes = this.parts.code.counters.flushes + this.parts.code.counters.dropped
    if (BigInt.asUintN(64, s.rip - base) >= 4096n || from === this.record0) return
    const record = this.lookup()
    if (record === 0) {
      this.mmu.pending = undefined // found again, and raised, when the code is run
      return
    }
    if (s.ripBase === base && record !== this.record0 && flushes === this.parts.code.counters.flushes + this.parts.code.counters.dropped) this.parts.code.link(from, record)
  }

  /** The instruction at RIP crosses a page: decoded from both, run by itself. */
  private crossing(): void {
    const record = this.single(Number(this.state.rip - this.state.ripBase) & 0xfff)
    if (record === 0) return this.endedWithoutEffect(1)
    this.crossRecord = record
    this.burst(1)
  }
  /** The record to run next instead of the one at RIP. */
  private crossRecord = 0

  /** Fetches and decodes one instruction byte by byte into the processor's own record. 0: `mmu.pending` says why not. */
  private single(offset: number): number {
    const s = this.state
    const bytes = new Uint8Array(15)
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
      s.dr.set(6, s.dr.get(6) | BigInt(bits))
      s.activity = 0
      this.attention = true
      deliver(this, { vector: Vector.DB, kind: 'exception', returnRip: s.rip })
      return true
    }
    if (this.signals.nmi && !(s.interruptibility & 8) && !shadow) {
      if (!this.intercepts?.taken('nmi')) {
        this.signals.nmi = false
        s.activity = 0
        s.interruptibility |= 8
        this.attention = true
        deliver(this, { vector: Vector.NMI, kind: 'nmi', returnRip: s.rip })
      }
      return true
    }
    if (s.rflags & Rflags.IF && !shadow && this.apic.pendingVector() >= 0) {
      if (!this.intercepts?.taken('externalInterrupt')) {
        s.activity = 0
        this.interrupts++
        this.attention = true
        deliver(this, { vector: this.apic.acknowledge(), kind: 'external', returnRip: s.rip })
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
    s.gpr.set(2, 0x306f2n) // family, model, stepping
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


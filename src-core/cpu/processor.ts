// One logical processor: its state block, its memory, and the ports through which the board is seen.
// Assists (instructions in TypeScript) are functions over this interface; `run.ts` drives it.

import type { Bus } from '../memory/bus.ts'
import type { SavedState } from '../memory/device.ts'
import type { PhysicalMemory } from '../memory/physical.ts'
import type { LinearMemory } from '../paging/linear.ts'
import type { Event } from './event.ts'
import type { Instruction } from './instruction.ts'
import type { Intercepts } from './intercepts.ts'
import type { ProcessorState } from '../isa/state.ts'

export { offsets, type FieldName, type ProcessorState } from '../isa/state.ts'

/** The local APIC as its processor uses it. */
export interface LocalApicPort {
  /** Highest pending vector above the processor priority, or -1. */
  pendingVector(): number
  /** Accepts the pending interrupt: IRR to ISR. */
  acknowledge(): number
  /** CR8: task priority class, 0…15. */
  readTaskPriority(): number
  writeTaskPriority(value: number): void
  /** IA32_APIC_BASE (1BH), IA32_TSC_DEADLINE (6E0H), x2APIC 800H…8FFH: undefined means #GP(0). */
  readMsr(index: number): bigint | undefined
  /** false means #GP(0). */
  writeMsr(index: number, value: bigint): boolean
  /** INIT was taken (SDM 3A 10.4.7.3). */
  initialise(): void
  /** The TSC was written: a TSC deadline is compared anew. */
  tscChanged(): void
}

/** What else the board gives a processor. */
export interface BoardPort {
  /** Number of processors, and this one's topology for CPUID leaves 4, BH: bits of the APIC id for thread and core. */
  readonly processors: number
  readonly coreBits: number
  readonly threadBits: number
  /** TSC frequency and crystal (LAPIC timer input) in Hz, for CPUID 15H, 16H. */
  readonly frequency: number
  readonly crystal: number
  /** Cycles that instructions cost beyond their one (board/costs.ts). */
  readonly costs: {
    readonly pause: number
    readonly rdtsc: number
    readonly cpuid: number
    readonly port: number
    readonly msr: number
    readonly vmEntry: number
    readonly vmExit: number
  }
  /** Shutdown (SDM 3A 6.15, #DF). */
  tripleFault(processor: Processor): void
  /** Wakes this processor at a virtual time (cycles); undefined: no longer. */
  alarm(time: number | undefined): void
  /** The guest asked for something that the processor does not have: `what` names it, for the report. */
  unimplemented(what: string): void
}

/** What the local APIC has asked for and the processor has not yet done. */
export interface Signals {
  nmi: boolean
  init: boolean
  /** Vector of a start-up IPI, or -1. */
  sipi: number
  smi: boolean
}

/** VT-x of one processor, as the rest of the processor asks it (SDM 3C 23). */
export interface VmxPort {
  readonly mode: 'off' | 'root' | 'nonRoot'
  /** A capability MSR (480H…493H); undefined: #GP(0). */
  readMsr(index: number): bigint | undefined
  /** May CR0 or CR4 take this value now? In VMX operation some bits are fixed (23.8). */
  cr0Allowed(value: bigint): boolean
  cr4Allowed(value: bigint): boolean
  reset(): void
  save(): SavedState
  /** Throws StateError; then nothing was changed. */
  restore(state: SavedState): void
}

export interface Processor {
  readonly index: number
  readonly apicId: number
  readonly state: ProcessorState
  readonly physical: PhysicalMemory
  readonly memory: LinearMemory
  readonly io: Bus
  readonly apic: LocalApicPort
  readonly board: BoardPort
  readonly signals: Signals
  /** Plugged in by the board when the processor has VT-x. */
  vmx: VmxPort | undefined
  /** While a guest of VT-x runs: what its monitor watches. */
  intercepts: Intercepts | undefined

  /** The event on its way to its handler, for a monitor that breaks it off (SDM 3C 27.2.4, IDT vectoring). */
  delivery: Event | undefined
  /** IRET has unblocked NMIs and is not complete: it faulted, if anyone sees this (SDM 3C 27.2.3, bit 12). */
  nmiUnblocked: boolean
  /** The instruction at hand, while an assist runs it. */
  instruction: Instruction | undefined
  /** Blocking by STI (bit 0) and MOV SS (1) as it was when the instruction at hand began. */
  shadow: number

  /** During an assist: where execution goes on. Starts as the next instruction; an assist may set it. */
  nextRip: bigint
  /** Virtual time in cycles at this very instruction (TSC without offset). */
  now(): number
  /** Cycles an instruction costs beyond its one. */
  charge(cycles: number): void
  /**
   * Throws `again` unless no other running processor is behind this one in virtual time, so that what instructions read from
   * clocks and chips never runs backwards between processors. Call before any effect.
   */
  synchronize(): void
  /** Full RFLAGS, and setting them (arithmetic bits into the two flag words, derived fields updated). */
  rflags(): bigint
  setRflags(value: bigint): void
  /** Recomputes every derived field after a change of CR0, CR4, EFER, CPL, a segment cache, RFLAGS.VM/AC or FSW. */
  modeChanged(): void
  /** After a change of one segment cache only. */
  segmentChanged(index: number): void
  /** True in 64-bit mode (EFER.LMA and CS.L); in real-address mode; in virtual-8086 mode. */
  readonly mode64: boolean
  readonly realMode: boolean
  readonly virtual8086: boolean
}

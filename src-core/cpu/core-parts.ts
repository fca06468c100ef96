// What the board builds a processor from.

import type { Assists } from '../isa/assists.ts'
import type { Bus } from '../memory/bus.ts'
import type { PhysicalMemory } from '../memory/physical.ts'
import type { CodePages } from '../paging/code-pages.ts'
import type { CodeCache } from './code.ts'
import type { Engine } from './engine.ts'
import type { Instruction } from './instruction.ts'
import type { BoardPort, LocalApicPort, Processor } from './processor.ts'

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
  /** Counted down by every return of compiled code: what bounds the host time of a run, whatever the guest does. */
  readonly patience: { left: number; readonly over: () => void }
  /** Is some other running processor behind this time? */
  readonly othersBehind: (time: number) => boolean
  /** What clocks show to a processor whose own time is `time`: never less than they showed any other. */
  readonly shownTime: (time: number) => number
  /** The next thing virtual time must stop for. */
  readonly nextDeadline: () => number
}

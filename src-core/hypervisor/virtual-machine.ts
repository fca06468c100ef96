// A VM: its memory, its virtual processors, and how it ended.

import { exitReasonNames } from './exits/handlers.ts'
import type { GuestMemory } from './guest-memory.ts'
import type { HandlerCosts } from './virtual-devices.ts'
import type { VirtualProcessor } from './virtual-processor.ts'

/** What the guest's chips show of its processors (CPUID 1, 4, BH): bits of the APIC id for thread and core. */
export interface VirtualTopology {
  readonly processors: number
  readonly coreBits: number
  readonly threadBits: number
}

export interface VirtualMachineFigures {
  readonly entries: number
  /** By the SDM's name of the exit reason; only those that happened. */
  readonly exits: { readonly [reason: string]: number }
  readonly pages: number
  readonly pagesByNode: readonly number[]
  readonly tables: number
}

export class VirtualMachine {
  readonly processors: VirtualProcessor[] = []
  /** MSRs the guest named that it does not have, with how often. */
  readonly unknownMsrs = new Map<number, number>()
  failure: string | undefined

  /** `stopped`: the VM must not run any more; told once, with a reason for people or the processor of a triple fault. */
  constructor(
    readonly id: string,
    readonly memory: GuestMemory,
    readonly topology: VirtualTopology,
    readonly costs: HandlerCosts,
    private readonly stopped: (why: { readonly kind: 'tripleFault'; readonly processor: number } | { readonly kind: 'monitor'; readonly reason: string }) => void,
  ) {}

  /** The monitor cannot go on with this guest. */
  fail(reason: string): void {
    if (this.failure !== undefined) return
    this.failure = reason
    this.stopped({ kind: 'monitor', reason })
  }

  tripleFault(processor: number): void {
    if (this.failure !== undefined) return
    const p = this.processors[processor]!
    const shown = (['guestRip', 'guestRsp', 'guestCr0', 'guestCr3', 'guestCr4'] as const).map((f) => `${f.slice(5).toUpperCase()} ${p.get(f).toString(16).toUpperCase()}`)
    this.failure = `triple fault of virtual processor ${processor}: ${shown.join('  ')}`
    this.stopped({ kind: 'tripleFault', processor })
  }

  figures(): VirtualMachineFigures {
    const exits: { [reason: string]: number } = {}
    for (const p of this.processors) p.exits.forEach((n, reason) => {
      const name = exitReasonNames[reason]
      if (n > 0 && name !== undefined) exits[name] = (exits[name] ?? 0) + n
    })
    const { ept, pagesByNode } = this.memory
    return { entries: this.processors.reduce((n, p) => n + p.entries, 0), exits, pages: ept.pages, pagesByNode: [...pagesByNode], tables: ept.tables.length }
  }
}

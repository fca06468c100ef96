// The JSON report of a run; `ring1 help boot` names its fields.

import type { Machine } from '../../src-core/board/machine.ts'
import type { VirtualMachineFigures } from '../../src-core/hypervisor/virtual-machine.ts'
import type { MachineHash } from './machine-hash.ts'

/** Why a run ended. */
export type End =
  | { readonly kind: 'powerOff' | 'until' | 'stopAt' | 'left' | 'timeLimit' | 'stuck' | 'brokenPipe' }
  | { readonly kind: 'exit'; readonly code: number }
  | { readonly kind: 'tripleFault'; readonly processor: number }
  | { readonly kind: 'monitor'; readonly reason: string }
  | { readonly kind: 'signal'; readonly name: 'SIGINT' | 'SIGTERM' | 'SIGHUP' }

export interface RunFigures {
  readonly end: End
  readonly status: number
  readonly wallSeconds: number
  readonly resets: number
  readonly serialOut: number
  readonly serialIn: number
  readonly hash?: MachineHash | undefined
  readonly vm?: VirtualMachineFigures | undefined
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)

export function report(machine: Machine, run: RunFigures) {
  const { config, cores } = machine
  const instructions = sum(cores.map((c) => c.instructions))
  const nodeAccesses = config.topology.nodes.map((_, n) => sum(cores.map((c) => c.mmu.refills[n] ?? 0)))
  return {
    format: 'ring1-report',
    version: 1,
    stop: run.end,
    status: run.status,
    board: { host: config.topology.name, megabytes: config.megabytes, nodes: config.topology.nodes.length, processors: cores.length },
    resets: run.resets,
    wallSeconds: run.wallSeconds,
    instructions,
    mips: run.wallSeconds > 0 ? instructions / run.wallSeconds / 1e6 : 0,
    virtualCycles: machine.time,
    virtualSeconds: machine.time / machine.clock.frequency,
    faults: sum(cores.map((c) => c.faults)),
    pageFaults: sum(cores.map((c) => c.mmu.pageFaults)),
    interrupts: sum(cores.map((c) => c.interrupts)),
    pageWalks: sum(cores.map((c) => c.mmu.walks)),
    deviceAccesses: { ports: machine.io.accesses, memory: machine.physical.mmio.accesses },
    unclaimedAccesses: { ports: machine.io.unclaimed, memory: machine.physical.mmio.unclaimed },
    nodeAccesses,
    processors: cores.map((c) => ({
      index: c.index,
      apicId: c.apicId,
      node: config.processors[c.index]!.node,
      instructions: c.instructions,
      cycles: c.time,
      faults: c.faults,
      interrupts: c.interrupts,
      pageWalks: c.mmu.walks,
      nodeAccesses: config.topology.nodes.map((_, n) => c.mmu.refills[n] ?? 0),
    })),
    code: { ...machine.code.counters, bytes: machine.code.bytesUsed },
    serial: { out: run.serialOut, in: run.serialIn },
    unimplemented: Object.fromEntries(machine.unimplemented),
    ...(run.vm ? { vm: run.vm } : {}),
    ...(run.hash ? { hash: run.hash } : {}),
  }
}

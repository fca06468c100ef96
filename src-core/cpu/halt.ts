// Waiting (SDM 2A HLT, 2B MONITOR MWAIT PAUSE), and UD.
// MWAIT returns at once: the SDM lets an implementation wake for reasons of its own.

import type { Assists } from '../isa/assists.ts'
import type { Instruction } from './instruction.ts'
import { segmentLinear } from './instruction-view.ts'
import { generalProtection, intercept, privileged, readEcx, undefinedOpcode } from './privilege.ts'
import type { Processor } from './processor.ts'

type Assist = (cpu: Processor, insn: Instruction) => void

/** Values of `state.activity` (SDM 3C 24.4.2; 4 is ours). */
export const Activity = { running: 0, halted: 1, shutdown: 2, waitForSipi: 3, monitorWait: 4 } as const


const hlt: Assist = (cpu) => {
  privileged(cpu)
  intercept(cpu, 'hlt')
  cpu.state.activity = Activity.halted
}

const pause: Assist = (cpu) => {
  intercept(cpu, 'pause')
  cpu.charge(cpu.board.costs.pause)
}

const monitor: Assist = (cpu, insn) => {
  if (cpu.state.cpl !== 0) throw undefinedOpcode()
  if (readEcx(cpu) !== 0) throw generalProtection()
  const mask = insn.addressSize === 64 ? (1n << 64n) - 1n : insn.addressSize === 32 ? 0xffff_ffffn : 0xffffn
  const linear = segmentLinear(cpu, insn.segment, cpu.state.gpr.get(0) & mask, 1, false)
  intercept(cpu, 'monitor')
  cpu.memory.probe(linear, 1, false)
}

const mwait: Assist = (cpu) => {
  if (cpu.state.cpl !== 0) throw undefinedOpcode()
  if (readEcx(cpu) !== 0) throw generalProtection()
  intercept(cpu, 'mwait')
  cpu.charge(cpu.board.costs.pause)
}

const ud: Assist = () => {
  throw undefinedOpcode()
}

export const haltAssists = { hlt, pause, monitor, mwait, ud } satisfies Partial<Record<keyof Assists, Assist>>

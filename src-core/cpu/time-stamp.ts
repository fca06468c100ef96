// Time-stamp counter, performance counters, processor id (SDM 2B RDTSC RDTSCP RDPMC RDPID; SDM 3B 17.17).
// Does not model: performance counters; CPUID leaf 0AH reports none.

import { Cr0, Cr4 } from '../arch/registers.ts'
import type { Assists } from '../isa/assists.ts'
import type { Instruction } from './instruction.ts'
import { generalProtection, intercept, undefinedOpcode, writeEdxEax } from './privilege.ts'
import type { Processor } from './processor.ts'

type Assist = (cpu: Processor, insn: Instruction) => void


/** The TSC at this instruction; call `synchronize` first. */
export const timeStamp = (cpu: Processor): bigint => BigInt.asUintN(64, BigInt(cpu.now()) + cpu.state.tscOffset)

/** A value of the TSC as a guest sees it (SDM 3C 24.6.5, 25.3 RDTSC). */
export const shownTimeStamp = (cpu: Processor, value: bigint): bigint => cpu.intercepts?.guest?.timeStamp(value) ?? value

const checkTsd = (cpu: Processor): void => {
  if (cpu.state.cr4 & Cr4.TSD && cpu.state.cpl !== 0) throw generalProtection()
}

const rdtsc: Assist = (cpu) => {
  checkTsd(cpu)
  intercept(cpu, 'rdtsc')
  cpu.synchronize()
  writeEdxEax(cpu, shownTimeStamp(cpu, timeStamp(cpu)))
  cpu.charge(cpu.board.costs.rdtsc)
}

const rdtscp: Assist = (cpu) => {
  if (cpu.intercepts?.guest?.lacks('rdtscp')) throw undefinedOpcode()
  checkTsd(cpu)
  intercept(cpu, 'rdtscp')
  cpu.synchronize()
  writeEdxEax(cpu, shownTimeStamp(cpu, timeStamp(cpu)))
  cpu.state.gpr.set(1, cpu.state.tscAux & 0xffff_ffffn)
  cpu.charge(cpu.board.costs.rdtsc)
}

const rdpmc: Assist = (cpu) => {
  if (cpu.state.cpl !== 0 && !(cpu.state.cr4 & Cr4.PCE) && cpu.state.cr0 & Cr0.PE) throw generalProtection()
  intercept(cpu, 'rdpmc')
  throw generalProtection() // there is no counter that ECX could name
}

const rdpid: Assist = (cpu, insn) => {
  if (cpu.intercepts?.guest?.lacks('rdpid')) throw undefinedOpcode()
  insn.setOperand(0, cpu.state.tscAux & 0xffff_ffffn)
}

export const timeStampAssists = { rdtsc, rdtscp, rdpmc, rdpid } satisfies Partial<Record<keyof Assists, Assist>>

// FS and GS bases (SDM 2B RDFSBASE WRFSBASE SWAPGS; rows exist in 64-bit mode only).

import { Cr4, FS, GS } from '../arch/registers.ts'
import type { Assists } from '../isa/assists.ts'
import type { Instruction } from './instruction.ts'
import { generalProtection, isCanonical, privileged, undefinedOpcode } from './privilege.ts'
import type { Processor } from './processor.ts'

type Assist = (cpu: Processor, insn: Instruction) => void

const read = (segment: number): Assist => (cpu, insn) => {
  if (!(cpu.state.cr4 & Cr4.FSGSBASE)) throw undefinedOpcode()
  insn.setOperand(0, cpu.state.segBase.get(segment))
}

const write = (segment: number): Assist => (cpu, insn) => {
  if (!(cpu.state.cr4 & Cr4.FSGSBASE)) throw undefinedOpcode()
  const base = insn.operand(0)
  if (!isCanonical(base)) throw generalProtection()
  cpu.state.segBase.set(segment, base)
  cpu.segmentChanged(segment)
}

const swapgs: Assist = (cpu) => {
  privileged(cpu)
  const s = cpu.state
  const base = s.segBase.get(GS)
  s.segBase.set(GS, s.kernelGsBase)
  s.kernelGsBase = base
  cpu.segmentChanged(GS)
}

export const fsgsbaseAssists = {
  readFsBase: read(FS),
  readGsBase: read(GS),
  writeFsBase: write(FS),
  writeGsBase: write(GS),
  swapgs,
} satisfies Partial<Record<keyof Assists, Assist>>

// GDTR, IDTR, LDTR and TR (SDM 2A LGDT/LIDT, LLDT, LTR; 2B SLDT, STR; SDM 3A 2.4). SGDT and SIDT: descriptor-store.ts.

import { Vector } from '../arch/exceptions.ts'
import { Cr4, LDTR, TR } from '../arch/registers.ts'
import type { Assists } from '../isa/assists.ts'
import { gp, markBusy, selectorFault, systemDescriptorOf } from './descriptor-table.ts'
import { SystemType } from './descriptor.ts'
import { Fault } from './fault.ts'
import type { Instruction } from './instruction.ts'
import { isLongMode } from './mode.ts'
import { intercept, isCanonical, privileged } from './privilege.ts'
import type { Processor } from './processor.ts'
import { setFromDescriptor, setNull } from './segment-cache.ts'

/** Limit in bytes 0…1, then 24, 32 or 64 bits of base. */
function readPseudoDescriptor(cpu: Processor, insn: Instruction): { limit: number; base: bigint } {
  const m = cpu.memory
  const at = insn.linear(cpu.mode64 ? 10 : 6, false)
  const limit = m.read16(at)
  const behind = (at + 2n) & cpu.state.linearMask
  if (!cpu.mode64) return { limit, base: BigInt(m.read32(behind)) & (insn.operandSize === 16 ? 0xff_ffffn : 0xffff_ffffn) }
  const base = m.read64(behind)
  if (!isCanonical(base)) throw gp()
  return { limit, base }
}

function lgdt(cpu: Processor, insn: Instruction): void {
  privileged(cpu)
  intercept(cpu, 'descriptorTable', 'lgdt')
  const { limit, base } = readPseudoDescriptor(cpu, insn)
  cpu.state.gdtrLimit = limit
  cpu.state.gdtrBase = base
}

function lidt(cpu: Processor, insn: Instruction): void {
  privileged(cpu)
  intercept(cpu, 'descriptorTable', 'lidt')
  const { limit, base } = readPseudoDescriptor(cpu, insn)
  cpu.state.idtrLimit = limit
  cpu.state.idtrBase = base
}

function protectedOnly(cpu: Processor): void {
  if (cpu.realMode || cpu.virtual8086) throw new Fault(Vector.UD)
}

function lldt(cpu: Processor, insn: Instruction): void {
  protectedOnly(cpu)
  privileged(cpu)
  intercept(cpu, 'descriptorTable', 'lldt')
  const selector = Number(insn.operand(0) & 0xffffn)
  if ((selector & 0xfffc) === 0) return setNull(cpu.state, LDTR, selector)
  const d = selector & 4 ? undefined : systemDescriptorOf(cpu, selector)
  if (!d || d.isSegment || d.type !== SystemType.ldt || !isCanonical(d.base)) throw selectorFault(Vector.GP, selector)
  if (!d.present) throw selectorFault(Vector.NP, selector)
  setFromDescriptor(cpu.state, LDTR, selector, d)
}

function ltr(cpu: Processor, insn: Instruction): void {
  protectedOnly(cpu)
  privileged(cpu)
  intercept(cpu, 'descriptorTable', 'ltr')
  const s = cpu.state
  const selector = Number(insn.operand(0) & 0xffffn)
  if ((selector & 0xfffc) === 0) throw gp()
  const d = selector & 4 ? undefined : systemDescriptorOf(cpu, selector)
  const available = d && !d.isSegment && (d.type === SystemType.tss32 || (d.type === SystemType.tss16 && !isLongMode(s)))
  if (!available || !isCanonical(d.base)) throw selectorFault(Vector.GP, selector)
  if (!d.present) throw selectorFault(Vector.NP, selector)
  markBusy(cpu, d.address, true)
  setFromDescriptor(s, TR, selector, d)
  s.segRights.set(TR, d.rights | 2)
}

const store =
  (name: 'sldt' | 'str', index: number) =>
  (cpu: Processor, insn: Instruction): void => {
    protectedOnly(cpu)
    if (cpu.state.cr4 & Cr4.UMIP) privileged(cpu)
    intercept(cpu, 'descriptorTable', name)
    insn.setOperand(0, BigInt(cpu.state.segSelector.get(index)))
  }

export const tableRegisterAssists = {
  lgdt,
  lidt,
  lldt,
  ltr,
  sldt: store('sldt', LDTR),
  str: store('str', TR),
} satisfies Partial<Record<keyof Assists, unknown>>

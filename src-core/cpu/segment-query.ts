// Questions about selectors, answered in ZF (SDM 2A LAR LSL, 2B VERR VERW, 2A ARPL; SDM 3A 5.10).

import { Vector } from '../arch/exceptions.ts'
import { Rflags } from '../arch/registers.ts'
import type { Assists } from '../isa/assists.ts'
import { descriptorOf } from './descriptor-table.ts'
import { SystemType, type Descriptor } from './descriptor.ts'
import { Fault } from './fault.ts'
import type { Instruction } from './instruction.ts'
import { isLongMode } from './mode.ts'
import type { Processor } from './processor.ts'

const { tss16, ldt, tss16Busy, callGate16, taskGate, tss32, tss32Busy, callGate32 } = SystemType
const larTypes: readonly number[] = [tss16, ldt, tss16Busy, callGate16, taskGate, tss32, tss32Busy, callGate32]
const larTypesLong: readonly number[] = [ldt, tss32, tss32Busy, callGate32]
const lslTypes: readonly number[] = [tss16, ldt, tss16Busy, tss32, tss32Busy]
const lslTypesLong: readonly number[] = [ldt, tss32, tss32Busy]

function protectedOnly(cpu: Processor): void {
  if (cpu.realMode || cpu.virtual8086) throw new Fault(Vector.UD)
}

function setZero(cpu: Processor, zero: boolean): void {
  const flags = cpu.rflags()
  cpu.setRflags(zero ? flags | Rflags.ZF : flags & ~Rflags.ZF)
}

/** The descriptor, if CPL and RPL may see it; conforming code shows itself to everybody. */
function visible(cpu: Processor, selector: number): Descriptor | undefined {
  const d = selector & 0xfffc ? descriptorOf(cpu, selector) : undefined
  if (!d || d.isConforming) return d
  return d.dpl >= cpu.state.cpl && d.dpl >= (selector & 3) ? d : undefined
}

function ofType(d: Descriptor | undefined, types: readonly number[]): Descriptor | undefined {
  return d && (d.isSegment || types.includes(d.type)) ? d : undefined
}

const selectorIn = (insn: Instruction, i: number): number => Number(insn.operand(i) & 0xffffn)

function lar(cpu: Processor, insn: Instruction): void {
  protectedOnly(cpu)
  const d = ofType(visible(cpu, selectorIn(insn, 1)), isLongMode(cpu.state) ? larTypesLong : larTypes)
  if (d) insn.setOperand(0, BigInt(d.high & (insn.operandSize === 16 ? 0xff00 : 0xf0ff00)))
  setZero(cpu, d !== undefined)
}

function lsl(cpu: Processor, insn: Instruction): void {
  protectedOnly(cpu)
  const d = ofType(visible(cpu, selectorIn(insn, 1)), isLongMode(cpu.state) ? lslTypesLong : lslTypes)
  if (d) insn.setOperand(0, BigInt(d.limit))
  setZero(cpu, d !== undefined)
}

function verr(cpu: Processor, insn: Instruction): void {
  protectedOnly(cpu)
  setZero(cpu, visible(cpu, selectorIn(insn, 0))?.isReadable === true)
}

function verw(cpu: Processor, insn: Instruction): void {
  protectedOnly(cpu)
  setZero(cpu, visible(cpu, selectorIn(insn, 0))?.isWritableData === true)
}

function arpl(cpu: Processor, insn: Instruction): void {
  protectedOnly(cpu)
  const destination = selectorIn(insn, 0)
  const rpl = selectorIn(insn, 1) & 3
  const raise = (destination & 3) < rpl
  if (raise) insn.setOperand(0, BigInt((destination & 0xfffc) | rpl))
  setZero(cpu, raise)
}

export const segmentQueryAssists = { lar, lsl, verr, verw, arpl } satisfies Partial<Record<keyof Assists, unknown>>

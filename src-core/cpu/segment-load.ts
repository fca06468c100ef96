// Loading segment registers (SDM 2B MOV Sreg, POP Sreg, 2A LDS…LGS; SDM 3A 3.4.2, 5.4, 5.6, 5.7).

import { Vector } from '../arch/exceptions.ts'
import { CS, RSP, SS } from '../arch/registers.ts'
import type { Assists } from '../isa/assists.ts'
import { descriptorOf, gp, markAccessed, selectorFault } from './descriptor-table.ts'
import { Fault } from './fault.ts'
import type { Instruction } from './instruction.ts'
import type { Processor } from './processor.ts'
import { setFromDescriptor, setNull, setReal, setV86 } from './segment-cache.ts'
import { peek, type Width } from './stack.ts'

const MOV_SS_SHADOW = 2

/**
 * Loads ES, SS, DS, FS or GS as MOV does. Throws Fault with nothing changed: #GP(selector), #GP(0) for a null SS, #NP(selector),
 * #SS(selector) when SS is not present, #PF.
 */
export function loadSegmentRegister(cpu: Processor, index: number, selector: number): void {
  const s = cpu.state
  if (cpu.realMode) setReal(s, index, selector)
  else if (cpu.virtual8086) setV86(s, index, selector)
  else if ((selector & 0xfffc) === 0) {
    // A null SS exists in 64-bit mode below CPL 3 (SDM 3A 5.4.1.1).
    if (index === SS && (!cpu.mode64 || s.cpl === 3 || (selector & 3) !== s.cpl)) throw gp()
    setNull(s, index, selector, index === SS ? s.cpl : 0)
  } else {
    const d = descriptorOf(cpu, selector)
    const rpl = selector & 3
    const allowed =
      d !== undefined &&
      (index === SS
        ? rpl === s.cpl && d.dpl === s.cpl && d.isWritableData
        : d.isReadable && (d.isConforming || (rpl <= d.dpl && s.cpl <= d.dpl)))
    if (!allowed) throw selectorFault(Vector.GP, selector)
    if (!d.present) throw selectorFault(index === SS ? Vector.SS : Vector.NP, selector)
    markAccessed(cpu, d)
    setFromDescriptor(s, index, selector, d)
  }
  if (index === SS) cpu.modeChanged()
  else cpu.segmentChanged(index)
}

function loadSegment(cpu: Processor, insn: Instruction): void {
  // REX.R does not reach segment registers.
  const index = insn.reg & 7
  if (index === CS || index > 5) throw new Fault(Vector.UD)
  loadSegmentRegister(cpu, index, Number(insn.operand(1) & 0xffffn))
  if (index === SS) cpu.state.interruptibility |= MOV_SS_SHADOW
}

function popSegment(cpu: Processor, insn: Instruction, index: number): void {
  const s = cpu.state
  const width = (insn.operandSize >> 3) as Width
  const selector = Number(peek(cpu, 0, width) & 0xffffn)
  // The stack that was popped decides how wide rSP is, not the one just loaded.
  const { stackMask, stackKeep } = s
  loadSegmentRegister(cpu, index, selector)
  const rsp = s.gpr.get(RSP)
  s.gpr.set(RSP, (rsp & stackKeep) | ((rsp + BigInt(width)) & stackMask))
  if (index === SS) s.interruptibility |= MOV_SS_SHADOW
}

/** Offset, then selector, from memory: m16:16, m16:32, m16:64. Throws Fault. */
export function readFarPointer(cpu: Processor, insn: Instruction): { offset: bigint; selector: number } {
  const width = insn.operandSize >> 3
  const linear = insn.linear(width + 2, false)
  const m = cpu.memory
  const offset = width === 8 ? m.read64(linear) : BigInt(width === 4 ? m.read32(linear) : m.read16(linear))
  return { offset, selector: m.read16((linear + BigInt(width)) & cpu.state.linearMask) }
}

function loadFarPointer(cpu: Processor, insn: Instruction, index: number): void {
  const { offset, selector } = readFarPointer(cpu, insn)
  loadSegmentRegister(cpu, index, selector)
  insn.setOperand(0, offset)
}

export const segmentLoadAssists = { loadSegment, popSegment, loadFarPointer } satisfies Partial<Record<keyof Assists, unknown>>

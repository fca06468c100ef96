// Far RET (SDM 2B RET, Operation; SDM 3A 5.8.6), and the checks that IRET shares with it.

import { Vector } from '../arch/exceptions.ts'
import { CS, RSP, SS } from '../arch/registers.ts'
import type { Assists } from '../isa/assists.ts'
import { descriptorOf, gp, markAccessed, selectorFault } from './descriptor-table.ts'
import type { Descriptor } from './descriptor.ts'
import type { Instruction } from './instruction.ts'
import { isLongMode } from './mode.ts'
import type { Processor } from './processor.ts'
import { dropInnerSegments, setCode, setFromDescriptor, setNull, setReal, setV86 } from './segment-cache.ts'
import { peek, release, requireTarget, type Width } from './stack.ts'

/** The code segment a return goes to; its RPL is the privilege level. Throws Fault: #GP(0) when null, #GP(selector), #NP(selector). */
export function returnCode(cpu: Processor, selector: number): Descriptor {
  if ((selector & 0xfffc) === 0) throw gp()
  const rpl = selector & 3
  const d = rpl >= cpu.state.cpl ? descriptorOf(cpu, selector) : undefined
  if (!d || !d.isCode || (d.isConforming ? d.dpl > rpl : d.dpl !== rpl) || (isLongMode(cpu.state) && d.isReservedSize)) {
    throw selectorFault(Vector.GP, selector)
  }
  if (!d.present) throw selectorFault(Vector.NP, selector)
  return d
}

/**
 * The stack segment a return brings; undefined: null, as 64-bit code below CPL 3 may have. Throws Fault: #GP(0) when null,
 * #GP(selector), #SS(selector).
 */
export function returnStack(cpu: Processor, selector: number, cpl: number, long: boolean): Descriptor | undefined {
  if ((selector & 0xfffc) === 0) {
    if (!long || cpl === 3 || (selector & 3) !== cpl) throw gp()
    return undefined
  }
  const d = (selector & 3) === cpl ? descriptorOf(cpu, selector) : undefined
  if (!d || !d.isWritableData || d.dpl !== cpl) throw selectorFault(Vector.GP, selector)
  if (!d.present) throw selectorFault(Vector.SS, selector)
  return d
}

/** Loads SS and rSP of an outer level, as wide as the operation and the new segment allow. */
export function setReturnStack(
  cpu: Processor,
  selector: number,
  d: Descriptor | undefined,
  sp: bigint,
  cpl: number,
  narrow: boolean,
): void {
  const s = cpu.state
  if (d) setFromDescriptor(s, SS, selector, d)
  else setNull(s, SS, selector, cpl)
  s.gpr.set(RSP, narrow ? (s.gpr.get(RSP) & ~0xffffn) | (sp & 0xffffn) : sp)
}

function farReturn(cpu: Processor, insn: Instruction): void {
  const s = cpu.state
  const width = (insn.operandSize >> 3) as Width
  const extra = insn.form.operands.length > 0 ? Number(insn.operand(0) & 0xffffn) : 0
  const offset = peek(cpu, 0, width)
  const selector = Number(peek(cpu, width, width) & 0xffffn)
  if (cpu.realMode || cpu.virtual8086) {
    requireTarget(offset, cpu.virtual8086 ? 0xffff : s.segLimit.get(CS), false)
    release(cpu, 2 * width + extra)
    if (cpu.virtual8086) setV86(s, CS, selector)
    else setReal(s, CS, selector)
    cpu.modeChanged()
    cpu.nextRip = offset
    return
  }
  const code = returnCode(cpu, selector)
  const cpl = selector & 3
  const long = isLongMode(s) && code.isLong
  if (cpl === s.cpl) {
    requireTarget(offset, code.limit, long)
    markAccessed(cpu, code)
    release(cpu, 2 * width + extra)
  } else {
    const sp = peek(cpu, 2 * width + extra, width)
    const stackSelector = Number(peek(cpu, 3 * width + extra, width) & 0xffffn)
    const stack = returnStack(cpu, stackSelector, cpl, long)
    requireTarget(offset, code.limit, long)
    markAccessed(cpu, code)
    if (stack) markAccessed(cpu, stack)
    // The outer stack drops its copy of the parameters, too.
    const narrow = !long && stack !== undefined && !stack.isBig
    const mask = long ? 0xffff_ffff_ffff_ffffn : 0xffff_ffffn
    setReturnStack(cpu, stackSelector, stack, (sp + BigInt(extra)) & mask, cpl, narrow)
  }
  const outer = cpl !== s.cpl
  setCode(s, selector, code, cpl)
  if (outer) dropInnerSegments(s, cpl)
  cpu.modeChanged()
  cpu.nextRip = offset
}

export const farReturnAssists = { farReturn } satisfies Partial<Record<keyof Assists, unknown>>

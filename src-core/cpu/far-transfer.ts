// Far JMP and far CALL (SDM 2A JMP, CALL; SDM 3A 5.8, 7.3): code segments, call gates, task gates and tasks, real and virtual-8086 mode.

import { Vector } from '../arch/exceptions.ts'
import { CS, RSP, SS } from '../arch/registers.ts'
import type { Assists } from '../isa/assists.ts'
import {
  descriptorOf,
  gp,
  innerStackSegment,
  markAccessed,
  selectorCode,
  selectorFault,
  systemDescriptorOf,
  tssStack,
  tssStack64,
} from './descriptor-table.ts'
import { SystemType, type Descriptor } from './descriptor.ts'
import type { Instruction } from './instruction.ts'
import { isLongMode } from './mode.ts'
import type { Processor } from './processor.ts'
import { setCode, setFromDescriptor, setNull, setReal, setV86 } from './segment-cache.ts'
import { readFarPointer } from './segment-load.ts'
import { currentStack, flatStack, peek, pushFrame, requireRoom, requireTarget, setStackPointer, stackIn, type Width } from './stack.ts'
import { availableTask, switchTask } from './task-switch.ts'

const target = (cpu: Processor, insn: Instruction): { offset: bigint; selector: number } =>
  insn.memory ? readFarPointer(cpu, insn) : { offset: insn.operand(0), selector: Number(insn.operand(1) & 0xffffn) }

function transfer(cpu: Processor, insn: Instruction, call: boolean): void {
  const { offset, selector } = target(cpu, insn)
  const width = (insn.operandSize >> 3) as Width
  if (cpu.realMode || cpu.virtual8086) return transfer8086(cpu, insn, call, width, offset, selector)
  if ((selector & 0xfffc) === 0) throw gp()
  const d = descriptorOf(cpu, selector)
  if (!d) throw selectorFault(Vector.GP, selector)
  if (d.isCode) toCode(cpu, insn, call, width, offset, selector, d)
  else if (d.isSegment) throw selectorFault(Vector.GP, selector)
  else toSystem(cpu, insn, call, selector, d)
}

function transfer8086(cpu: Processor, insn: Instruction, call: boolean, width: Width, offset: bigint, selector: number): void {
  const s = cpu.state
  const stack = currentStack(cpu)
  if (call) requireRoom(stack, width, 2, 0)
  requireTarget(offset, cpu.virtual8086 ? 0xffff : s.segLimit.get(CS), false)
  if (call) setStackPointer(cpu, pushFrame(cpu, stack, width, [BigInt(s.segSelector.get(CS)), insn.nextRip], s.cpl))
  if (cpu.virtual8086) setV86(s, CS, selector)
  else setReal(s, CS, selector)
  cpu.modeChanged()
  cpu.nextRip = offset
}

/** The code segment may be entered without a change of privilege (SDM 3A 5.8.1). */
function requireEntry(cpu: Processor, selector: number, d: Descriptor, checkRpl: boolean): void {
  const cpl = cpu.state.cpl
  const fits = d.isConforming ? d.dpl <= cpl : d.dpl === cpl && (!checkRpl || (selector & 3) <= cpl)
  if (!fits || (isLongMode(cpu.state) && d.isReservedSize)) throw selectorFault(Vector.GP, selector)
  if (!d.present) throw selectorFault(Vector.NP, selector)
}

function toCode(cpu: Processor, insn: Instruction, call: boolean, width: Width, offset: bigint, selector: number, d: Descriptor): void {
  requireEntry(cpu, selector, d, true)
  finishSameLevel(cpu, insn, call, width, offset, selector, d)
}

function finishSameLevel(
  cpu: Processor,
  insn: Instruction,
  call: boolean,
  width: Width,
  offset: bigint,
  selector: number,
  d: Descriptor,
): void {
  const s = cpu.state
  const cpl = s.cpl
  const stack = currentStack(cpu)
  if (call) requireRoom(stack, width, 2, 0)
  requireTarget(offset, d.limit, isLongMode(s) && d.isLong)
  markAccessed(cpu, d)
  if (call) setStackPointer(cpu, pushFrame(cpu, stack, width, [BigInt(s.segSelector.get(CS)), insn.nextRip], cpl))
  setCode(s, selector, d, cpl)
  cpu.modeChanged()
  cpu.nextRip = offset
}

function toSystem(cpu: Processor, insn: Instruction, call: boolean, selector: number, d: Descriptor): void {
  const s = cpu.state
  const long = isLongMode(s)
  const allowed = d.dpl >= s.cpl && d.dpl >= (selector & 3)
  switch (d.type) {
    case SystemType.callGate16:
    case SystemType.callGate32: {
      const gate = long ? systemDescriptorOf(cpu, selector) : d
      if (!allowed || !gate || (long && d.type === SystemType.callGate16)) throw selectorFault(Vector.GP, selector)
      if (!d.present) throw selectorFault(Vector.NP, selector)
      return throughGate(cpu, insn, call, gate, long)
    }
    case SystemType.taskGate:
      if (long || !allowed) throw selectorFault(Vector.GP, selector)
      if (!d.present) throw selectorFault(Vector.NP, selector)
      return toTask(cpu, insn, call, d.gateSelector, availableTask(cpu, d.gateSelector))
    case SystemType.tss16:
    case SystemType.tss32:
      if (long || !allowed) throw selectorFault(Vector.GP, selector)
      return toTask(cpu, insn, call, selector, availableTask(cpu, selector))
    default:
      throw selectorFault(Vector.GP, selector)
  }
}

function toTask(cpu: Processor, insn: Instruction, call: boolean, selector: number, d: Descriptor): void {
  switchTask(cpu, selector, d, call ? 'call' : 'jmp', insn.nextRip, cpu.rflags())
  cpu.nextRip = cpu.state.rip
}

/** SDM 3A 5.8.3–5.8.5. */
function throughGate(cpu: Processor, insn: Instruction, call: boolean, gate: Descriptor, long: boolean): void {
  const s = cpu.state
  const selector = gate.gateSelector
  if ((selector & 0xfffc) === 0) throw gp()
  const code = descriptorOf(cpu, selector)
  if (!code || !code.isCode || code.dpl > s.cpl || (long && !code.isLong)) throw selectorFault(Vector.GP, selector)
  const width: Width = long ? 8 : gate.type & 8 ? 4 : 2
  if (!call || code.isConforming || code.dpl === s.cpl) {
    requireEntry(cpu, selector, code, false)
    return finishSameLevel(cpu, insn, call, width, gate.gateOffset, selector, code)
  }
  if (!code.present) throw selectorFault(Vector.NP, selector)
  const level = code.dpl
  const frame = [BigInt(s.segSelector.get(SS)), s.gpr.get(RSP) & s.stackMask]
  const callee = [BigInt(s.segSelector.get(CS)), insn.nextRip]
  if (long) {
    const stack = flatStack(tssStack64(cpu, 4 + level * 8, 0))
    requireRoom(stack, 8, 4, 0)
    requireTarget(gate.gateOffset, 0, true)
    markAccessed(cpu, code)
    s.gpr.set(RSP, pushFrame(cpu, stack, 8, [...frame, ...callee], level))
    setNull(s, SS, level, level)
  } else {
    const place = tssStack(cpu, level, 0)
    const segment = innerStackSegment(cpu, place.selector, level, 0)
    const stack = stackIn(segment, place.pointer)
    const count = gate.gateParameters
    requireRoom(stack, width, 4 + count, selectorCode(place.selector))
    requireTarget(gate.gateOffset, code.limit, false)
    for (let n = count - 1; n >= 0; n--) frame.push(peek(cpu, n * width, width))
    markAccessed(cpu, segment)
    markAccessed(cpu, code)
    const sp = pushFrame(cpu, stack, width, [...frame, ...callee], level)
    setFromDescriptor(s, SS, place.selector, segment)
    s.gpr.set(RSP, segment.isBig ? sp : (s.gpr.get(RSP) & ~0xffffn) | sp)
  }
  setCode(s, selector, code, level)
  cpu.modeChanged()
  cpu.nextRip = gate.gateOffset
}

export const farTransferAssists = {
  farJump: (cpu: Processor, insn: Instruction): void => transfer(cpu, insn, false),
  farCall: (cpu: Processor, insn: Instruction): void => transfer(cpu, insn, true),
} satisfies Partial<Record<keyof Assists, unknown>>

// Interrupt, trap and task gates of protected and virtual-8086 mode (SDM 3A 6.11, 6.12, 20.3.1; SDM 2A INT n, Operation).

import { Vector } from '../arch/exceptions.ts'
import { CS, DS, ES, FS, GS, Rflags, RSP, SS } from '../arch/registers.ts'
import {
  descriptorOf,
  gp,
  innerStackSegment,
  markAccessed,
  readDescriptor,
  selectorCode,
  selectorFault,
  tssStack,
} from './descriptor-table.ts'
import { SystemType, type Descriptor } from './descriptor.ts'
import type { Event } from './event.ts'
import { externalBit, savedFlags } from './event.ts'
import { Fault } from './fault.ts'
import { isVirtual8086 } from './mode.ts'
import type { Processor } from './processor.ts'
import { setCode, setFromDescriptor, setNull } from './segment-cache.ts'
import { currentStack, pushFrame, requireRoom, requireTarget, setStackPointer, stackIn, type Stack } from './stack.ts'
import { availableTask, switchTask } from './task-switch.ts'

export function enterThroughGate(cpu: Processor, e: Event): void {
  const s = cpu.state
  const ext = externalBit(e.kind)
  const vectorCode = (e.vector << 3) | 2 | ext
  if (e.vector * 8 + 7 > s.idtrLimit) throw gp(vectorCode)
  const gate = readDescriptor(cpu, (s.idtrBase + BigInt(e.vector * 8)) & 0xffff_ffffn)
  if (gate.isSegment || !isGate(gate.type)) throw gp(vectorCode)
  if ((e.kind === 'software' || e.kind === 'softwareException') && gate.dpl < s.cpl) throw gp(vectorCode)
  if (!gate.present) throw new Fault(Vector.NP, vectorCode)
  if (gate.type !== SystemType.taskGate) return enterHandler(cpu, e, gate, ext)
  const task = availableTask(cpu, gate.gateSelector, ext)
  switchTask(cpu, gate.gateSelector, task, 'gate', e.returnRip, savedFlags(cpu, e), ext, e.errorCode)
}

const isGate = (type: number): boolean =>
  type === SystemType.taskGate ||
  type === SystemType.interruptGate16 ||
  type === SystemType.trapGate16 ||
  type === SystemType.interruptGate32 ||
  type === SystemType.trapGate32

function enterHandler(cpu: Processor, e: Event, gate: Descriptor, ext: number): void {
  const s = cpu.state
  const selector = gate.gateSelector
  if ((selector & 0xfffc) === 0) throw gp(ext)
  const code = descriptorOf(cpu, selector)
  if (!code || !code.isCode || code.dpl > s.cpl) throw selectorFault(Vector.GP, selector, ext)
  if (!code.present) throw selectorFault(Vector.NP, selector, ext)
  const v86 = isVirtual8086(s)
  const level = code.isConforming ? s.cpl : code.dpl
  if (v86 && level !== 0) throw selectorFault(Vector.GP, selector, ext)
  const inner = level < s.cpl

  const frame: bigint[] = []
  let stack: Stack
  let stackSegment: Descriptor | undefined
  let stackSelector = 0
  let stackCode = ext
  if (inner) {
    const place = tssStack(cpu, level, ext)
    stackSelector = place.selector
    stackSegment = innerStackSegment(cpu, stackSelector, level, ext)
    stack = stackIn(stackSegment, place.pointer)
    stackCode = selectorCode(stackSelector, ext)
    if (v86) for (const index of [GS, FS, DS, ES]) frame.push(BigInt(s.segSelector.get(index)))
    frame.push(BigInt(s.segSelector.get(SS)), s.gpr.get(RSP))
  } else stack = currentStack(cpu)
  frame.push(savedFlags(cpu, e), BigInt(s.segSelector.get(CS)), e.returnRip)
  if (e.errorCode !== undefined) frame.push(BigInt(e.errorCode))

  const width = gate.type & 8 ? 4 : 2
  requireRoom(stack, width, frame.length, stackCode)
  const target = gate.gateOffset
  requireTarget(target, code.limit, false, ext)
  if (stackSegment) markAccessed(cpu, stackSegment)
  markAccessed(cpu, code)
  const sp = pushFrame(cpu, stack, width, frame, level)

  if (v86) for (const index of [GS, FS, DS, ES]) setNull(s, index, 0)
  if (stackSegment) {
    setFromDescriptor(s, SS, stackSelector, stackSegment)
    s.gpr.set(RSP, stackSegment.isBig ? sp : (s.gpr.get(RSP) & ~0xffffn) | sp)
  } else setStackPointer(cpu, sp)
  setCode(s, selector, code, level)
  s.rip = target
  s.rflags &= ~(Rflags.TF | Rflags.NT | Rflags.VM | Rflags.RF)
  if ((gate.type & 1) === 0) s.rflags &= ~Rflags.IF
  cpu.modeChanged()
}

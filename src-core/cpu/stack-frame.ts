// ENTER, PUSHA and POPA (SDM 2A ENTER, 2B PUSHA POPA).

import { RBP, RSP, SS } from '../arch/registers.ts'
import type { Assists } from '../isa/assists.ts'
import type { Instruction } from './instruction.ts'
import { segmentLinear } from './instruction-view.ts'
import type { Processor } from './processor.ts'
import { currentStack, peek, pushFrame, release, requireRoom, setStackPointer, type Width } from './stack.ts'

/** Writes a general register at operand size; 32 bits clear the upper half. */
function setRegister(cpu: Processor, n: number, width: Width, value: bigint): void {
  const gpr = cpu.state.gpr
  gpr.set(n, width === 2 ? (gpr.get(n) & ~0xffffn) | (value & 0xffffn) : value)
}

function pusha(cpu: Processor, insn: Instruction): void {
  const s = cpu.state
  const width = (insn.operandSize >> 3) as Width
  const stack = currentStack(cpu)
  requireRoom(stack, width, 8, 0)
  const values = [0, 1, 2, 3, 4, 5, 6, 7].map((n) => s.gpr.get(n))
  setStackPointer(cpu, pushFrame(cpu, stack, width, values, s.cpl))
}

function popa(cpu: Processor, insn: Instruction): void {
  const width = (insn.operandSize >> 3) as Width
  // EDI first; the saved ESP is skipped.
  const values = [7, 6, 5, 4, 3, 2, 1, 0].map((n, i) => (n === RSP ? 0n : peek(cpu, i * width, width)))
  values.forEach((v, i) => {
    if (7 - i !== RSP) setRegister(cpu, 7 - i, width, v)
  })
  release(cpu, 8 * width)
}

function enter(cpu: Processor, insn: Instruction): void {
  const s = cpu.state
  const width = (insn.operandSize >> 3) as Width
  const size = insn.operand(0) & 0xffffn
  const level = Number(insn.operand(1) & 31n)
  const stack = currentStack(cpu)
  requireRoom(stack, width, level === 0 ? 1 : level + 1, 0)
  const frame = BigInt.asUintN(64, stack.sp - BigInt(width)) & stack.mask
  const values: bigint[] = []
  const m = cpu.memory
  // Each push can be refused before the next value is read.
  const push = (value: bigint): void => {
    const at = BigInt.asUintN(64, stack.sp - BigInt(width * (values.length + 1))) & stack.mask
    m.probe(segmentLinear(cpu, SS, at, width, true), width, true)
    values.push(value)
  }
  push(s.gpr.get(RBP))
  // A display that overlaps the new frame is read with what has been pushed (nothing is stored before the last fault).
  const pushedOver = (offset: bigint, value: bigint): bigint => {
    for (let k = 0n; k < width; k++) {
      const depth = BigInt.asUintN(64, stack.sp - 1n - offset - k) & stack.mask
      const from = depth < width * values.length ? values[Math.floor(Number(depth) / width)]! : undefined
      if (from === undefined) continue
      const byte = (from >> (8n * (BigInt(width) - 1n - (depth % BigInt(width))))) & 0xffn
      value = (value & ~(0xffn << (8n * k))) | (byte << (8n * k))
    }
    return value
  }
  for (let n = 1; n < level; n++) {
    const offset = BigInt.asUintN(64, s.gpr.get(RBP) - BigInt(n * width)) & stack.mask
    const at = segmentLinear(cpu, SS, offset, width, false)
    push(pushedOver(offset, width === 8 ? m.read64(at) : BigInt(width === 4 ? m.read32(at) : m.read16(at))))
  }
  const frameValue = (s.gpr.get(RSP) & s.stackKeep) | frame
  if (level > 0) push(frameValue)
  // A write at the final stack pointer must be possible (SDM 2A ENTER).
  const last = BigInt.asUintN(64, stack.sp - BigInt(width * values.length) - size) & stack.mask
  m.probe(segmentLinear(cpu, SS, last, width, true), width, true)
  pushFrame(cpu, stack, width, values, s.cpl)
  setRegister(cpu, RBP, width, width === 4 ? frameValue & 0xffff_ffffn : frameValue)
  setStackPointer(cpu, last)
}

export const stackFrameAssists = { enter, pusha, popa } satisfies Partial<Record<keyof Assists, unknown>>

// INT n, INT3, INT1, INTO and BOUND (SDM 2A INT n/INTO/INT3/INT1, BOUND).

import { Vector } from '../arch/exceptions.ts'
import { Rflags } from '../arch/registers.ts'
import type { Assists } from '../isa/assists.ts'
import { interrupt } from './events.ts'
import { Fault } from './fault.ts'
import type { Instruction } from './instruction.ts'
import type { Processor } from './processor.ts'

function int(cpu: Processor, insn: Instruction, vector: number | 'immediate'): void {
  if (vector === 'immediate') interrupt(cpu, Number(insn.immediate & 0xffn), 'software', insn)
  else interrupt(cpu, vector, 'softwareException', insn)
  cpu.nextRip = cpu.state.rip
}

function int1(cpu: Processor, insn: Instruction): void {
  const s = cpu.state
  interrupt(cpu, Vector.DB, 'int1', insn)
  // A data breakpoint that MOV SS held back comes with this #DB, not after it.
  if (s.pendingDebug) {
    s.dr.set(6, (s.dr.get(6) & ~0xfn) | BigInt(s.pendingDebug))
    s.pendingDebug = 0
  }
  cpu.nextRip = cpu.state.rip
}

function into(cpu: Processor, insn: Instruction): void {
  if ((cpu.rflags() & Rflags.OF) === 0n) return
  interrupt(cpu, Vector.OF, 'softwareException', insn)
  cpu.nextRip = cpu.state.rip
}

/** Two signed bounds in memory, the lower first. */
function bound(cpu: Processor, insn: Instruction): void {
  const bits = insn.operandSize
  const linear = insn.linear(bits >> 2, false)
  const m = cpu.memory
  const read = (at: bigint): bigint => BigInt.asIntN(bits, BigInt(bits === 16 ? m.read16(at) : m.read32(at)))
  const lower = read(linear)
  const upper = read((linear + BigInt(bits >> 3)) & cpu.state.linearMask)
  const index = BigInt.asIntN(bits, insn.operand(0))
  if (index < lower || index > upper) throw new Fault(Vector.BR)
}

export const softwareInterruptAssists = { int, int1, into, bound } satisfies Partial<Record<keyof Assists, unknown>>

// Debug registers (SDM 2B MOV DR; SDM 3B 17.2). DR4 and DR5 are DR6 and DR7 unless CR4.DE.

import { Vector } from '../arch/exceptions.ts'
import { Dr6, Dr7 } from '../arch/pte.ts'
import { Cr4 } from '../arch/registers.ts'
import type { Assists } from '../isa/assists.ts'
import { Fault } from './fault.ts'
import type { Instruction } from './instruction.ts'
import { generalProtection, intercept, privileged, undefinedOpcode } from './privilege.ts'
import type { Processor } from './processor.ts'

type Assist = (cpu: Processor, insn: Instruction) => void

/** The register meant, after the checks common to both directions. */
function access(cpu: Processor, insn: Instruction, point: 'readDr' | 'writeDr'): number {
  const s = cpu.state
  if (insn.reg > 7) throw undefinedOpcode()
  intercept(cpu, point, insn.reg, insn.rm) // ahead of the other faults (SDM 3C 25.1.3)
  if ((insn.reg === 4 || insn.reg === 5) && s.cr4 & Cr4.DE) throw undefinedOpcode()
  privileged(cpu)
  // General detect (17.2.4): a fault ahead of the access. Delivery of #DB clears GD.
  if (s.dr.get(7) & BigInt(Dr7.GD)) {
    throw new Fault(Vector.DB, undefined, undefined, Dr6.BD)
  }
  return insn.reg === 4 ? 6 : insn.reg === 5 ? 7 : insn.reg
}

const readDr: Assist = (cpu, insn) => {
  insn.setOperand(0, cpu.state.dr.get(access(cpu, insn, 'readDr')))
}

const writeDr: Assist = (cpu, insn) => {
  const register = access(cpu, insn, 'writeDr')
  const value = insn.operand(1)
  if (register >= 6 && value >> 32n !== 0n) throw generalProtection()
  const s = cpu.state
  if (register === 6) s.dr.set(6, (value & BigInt(Dr6.writable)) | Dr6.fixed)
  else if (register === 7) s.dr.set(7, (value & 0xffff23ffn) | BigInt(Dr7.fixed))
  else s.dr.set(register, value)
  if (register === 6) return
  cpu.memory.debugChanged()
  cpu.modeChanged()
}

export const debugRegisterAssists = { readDr, writeDr } satisfies Partial<Record<keyof Assists, Assist>>

// RFLAGS as a whole, and the flags with privileges (SDM 2A CLI CLAC, 2B POPF PUSHF STI STAC; virtual interrupts: SDM 3B 20.3, 20.4).

import { Vector } from '../arch/exceptions.ts'
import { Cr0, Cr4, RSP, Rflags, SS } from '../arch/registers.ts'
import type { Assists } from '../isa/assists.ts'
import { Fault } from './fault.ts'
import type { Instruction } from './instruction.ts'
import { segmentLinear } from './instruction-view.ts'
import { generalProtection, undefinedOpcode } from './privilege.ts'
import type { Processor } from './processor.ts'

type Assist = (cpu: Processor, insn: Instruction) => void

const STI_SHADOW = 1
const iopl = (flags: bigint): number => Number((flags >> 12n) & 3n)

/** Which flag stands for IF now: IF itself, VIF under VME or PVI, or none (#GP). */
function interruptFlag(cpu: Processor, flags: bigint): bigint {
  if (!(cpu.state.cr0 & Cr0.PE)) return Rflags.IF
  if (cpu.virtual8086) return iopl(flags) === 3 ? Rflags.IF : cpu.state.cr4 & Cr4.VME ? Rflags.VIF : 0n
  if (iopl(flags) >= cpu.state.cpl) return Rflags.IF
  return cpu.state.cpl === 3 && cpu.state.cr4 & Cr4.PVI ? Rflags.VIF : 0n
}

const cli: Assist = (cpu) => {
  const flags = cpu.rflags()
  const flag = interruptFlag(cpu, flags)
  if (flag === 0n) throw generalProtection()
  cpu.setRflags(flags & ~flag)
}

const sti: Assist = (cpu) => {
  const flags = cpu.rflags()
  const flag = interruptFlag(cpu, flags)
  if (flag === 0n || (flag === Rflags.VIF && flags & Rflags.VIP)) throw generalProtection()
  cpu.setRflags(flags | flag)
  if (flag === Rflags.IF && !(flags & Rflags.IF)) cpu.state.interruptibility |= STI_SHADOW
}

const setAc = (on: boolean): Assist => (cpu) => {
  if (cpu.state.cpl !== 0) throw undefinedOpcode()
  const flags = cpu.rflags()
  if (((flags & Rflags.AC) !== 0n) !== on) cpu.setRflags(flags ^ Rflags.AC)
}

/** An access to the stack; #SS(0) where the segment or the address does not allow it. */
function stackLinear(cpu: Processor, pointer: bigint, bytes: number, write: boolean): bigint {
  const linear = segmentLinear(cpu, SS, pointer & cpu.state.stackMask, bytes, write)
  cpu.memory.probe(linear, bytes, write, 'data', true)
  return linear
}

const moveStack = (cpu: Processor, by: bigint): void => {
  const s = cpu.state
  const old = s.gpr.get(RSP)
  s.gpr.set(RSP, (old & s.stackKeep) | ((old + by) & s.stackMask))
}

/** Without IOPL 3 a virtual-8086 task may use PUSHF and POPF only with VME and 16-bit operands; IF is VIF then. */
function virtualised(cpu: Processor, insn: Instruction, flags: bigint): boolean {
  if (!cpu.virtual8086 || iopl(flags) === 3) return false
  if (insn.operandSize !== 16 || !(cpu.state.cr4 & Cr4.VME)) throw generalProtection()
  return true
}

const pushf: Assist = (cpu, insn) => {
  let image = cpu.rflags()
  if (virtualised(cpu, insn, image)) image = (image & ~Rflags.IF) | Rflags.IOPL | (image & Rflags.VIF ? Rflags.IF : 0n)
  else image &= ~(Rflags.VM | Rflags.RF)
  const bytes = insn.operandSize >> 3
  const linear = stackLinear(cpu, cpu.state.gpr.get(RSP) - BigInt(bytes), bytes, true)
  if (bytes === 2) cpu.memory.write16(linear, Number(image & 0xffffn))
  else if (bytes === 4) cpu.memory.write32(linear, Number(image & 0xffff_ffffn))
  else cpu.memory.write64(linear, image)
  moveStack(cpu, BigInt(-bytes))
}

const POPPED_ANY = Rflags.arithmetic | Rflags.TF | Rflags.DF | Rflags.NT

const popf: Assist = (cpu, insn) => {
  const flags = cpu.rflags()
  const virtual = virtualised(cpu, insn, flags)
  const bytes = insn.operandSize >> 3
  const linear = stackLinear(cpu, cpu.state.gpr.get(RSP), bytes, false)
  const m = cpu.memory
  const popped = bytes === 2 ? BigInt(m.read16(linear)) : bytes === 4 ? BigInt(m.read32(linear)) : m.read64(linear)
  let mask = POPPED_ANY | (bytes === 2 ? 0n : Rflags.AC | Rflags.ID)
  let next = flags
  if (virtual) {
    if (popped & Rflags.TF || (popped & Rflags.IF && flags & Rflags.VIP)) throw new Fault(Vector.GP, 0)
    next = popped & Rflags.IF ? next | Rflags.VIF : next & ~Rflags.VIF
  } else if (cpu.virtual8086) mask |= Rflags.IF
  else {
    if (cpu.state.cpl === 0) mask |= Rflags.IOPL
    if (cpu.state.cpl <= iopl(flags)) mask |= Rflags.IF
  }
  next = ((next & ~mask) | (popped & mask)) & ~(bytes === 2 ? 0n : Rflags.RF)
  moveStack(cpu, BigInt(bytes))
  cpu.setRflags(next)
}

export const interruptFlagAssists = { cli, sti, clac: setAc(false), stac: setAc(true), pushf, popf } satisfies Partial<Record<keyof Assists, Assist>>

// Cache and TLB instructions (SDM 2A INVD INVLPG INVPCID, 2C WBINVD; SDM 3A 4.10.4.1).
// Does not model: data caches; memory is always coherent, so INVD and WBINVD change nothing.

import { Cr4 } from '../arch/registers.ts'
import type { Assists } from '../isa/assists.ts'
import type { Instruction } from './instruction.ts'
import { generalProtection, intercept, isCanonical, privileged, undefinedOpcode } from './privilege.ts'
import type { Processor } from './processor.ts'

type Assist = (cpu: Processor, insn: Instruction) => void

const invd: Assist = (cpu) => {
  privileged(cpu)
  intercept(cpu, 'invd')
}

const wbinvd: Assist = (cpu) => {
  privileged(cpu)
  intercept(cpu, 'wbinvd')
}

/** Neither segment limits nor a non-canonical address fault. */
const invlpg: Assist = (cpu, insn) => {
  privileged(cpu)
  const linear = (cpu.state.segEffective.get(insn.segment) + insn.offset()) & cpu.state.linearMask
  intercept(cpu, 'invlpg', linear)
  if (isCanonical(linear)) cpu.memory.flushPage(linear)
}

// Descriptor: PCID in bits 11:0, 63:12 zero, linear address in 127:64. Types: 0 address, 1 context, 2 all, 3 all but global.
const invpcid: Assist = (cpu, insn) => {
  if (cpu.intercepts?.guest?.lacks('invpcid')) throw undefinedOpcode()
  privileged(cpu)
  intercept(cpu, 'invpcid')
  const type = insn.operand(0)
  const at = insn.linear(16, false)
  const pcid = cpu.memory.read64(at)
  const linear = cpu.memory.read64(BigInt.asUintN(64, at + 8n) & cpu.state.linearMask)
  if (type > 3n || pcid >> 12n !== 0n) throw generalProtection()
  if (type < 2n && pcid !== 0n && !(cpu.state.cr4 & Cr4.PCIDE)) throw generalProtection()
  if (type === 0n) {
    if (!isCanonical(linear)) throw generalProtection()
    cpu.memory.flushPage(linear)
  } else if (type === 1n) cpu.memory.flushPcid(Number(pcid))
  else if (type === 2n) cpu.memory.flushAll()
  else cpu.memory.flushNonGlobal()
}

export const cacheAssists = { invd, wbinvd, invlpg, invpcid } satisfies Partial<Record<keyof Assists, Assist>>

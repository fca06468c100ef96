// MASKMOVDQU and MASKMOVQ: bytes of a register stored at DS:rDI where the mask's top bits say so (SDM 2B).
// The whole range is checked for writing; bytes that are not chosen are not touched.

import { RDI } from '../arch/registers.ts'
import type { Assists } from '../isa/assists.ts'
import type { Instruction } from './instruction.ts'
import { segmentLinear } from './instruction-view.ts'
import type { Processor } from './processor.ts'

function maskedStore(cpu: Processor, insn: Instruction, file: Uint8Array, size: 8 | 16): void {
  const mask = insn.addressSize === 64 ? 0xffff_ffff_ffff_ffffn : insn.addressSize === 32 ? 0xffff_ffffn : 0xffffn
  const source = file.subarray(16 * insn.reg, 16 * insn.reg + size)
  const chosen = file.subarray(16 * insn.rm, 16 * insn.rm + size)
  const linear = segmentLinear(cpu, insn.segment, cpu.state.gpr.get(RDI) & mask, size, true)
  if (!chosen.some((b) => b & 0x80)) return
  cpu.memory.probe(linear, size, true)
  for (let i = 0; i < size; i++) if (chosen[i]! & 0x80) cpu.memory.write8(linear + BigInt(i), source[i]!)
}

export const maskMoveAssists = {
  maskmovdqu: (cpu: Processor, insn: Instruction): void => maskedStore(cpu, insn, cpu.state.xmm, 16),
  maskmovq: (cpu: Processor, insn: Instruction): void => {
    maskedStore(cpu, insn, cpu.state.fpr, 8)
    // as every MMX instruction: TOP = 0, all tags valid (SDM 1 9.5.1)
    cpu.state.fsw &= ~0x3800
    cpu.state.ftw = 0xff
  },
} satisfies Partial<Record<keyof Assists, unknown>>

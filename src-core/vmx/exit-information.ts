// What instructions leave for their monitor (SDM 3C 27.2.1, 27.2.5, tables 27-8 … 27-13): displacements and VM-exit instruction information.
//
//   31:28    29:28     27 no base, 26:23   22 no index, 21:18   17:15     11        10         9:7        6:3   1:0
//   reg2     identity  base                index                segment   operand   register   address    reg1  scale
//            (tables)                                           ES … GS   32 bits   form       16 32 64

import type { Instruction } from '../cpu/instruction.ts'
import type { InterceptPoints } from '../cpu/intercepts.ts'

type TableInstruction = InterceptPoints['descriptorTable'][0]

const REGISTER_FORM = 1 << 10
const OPERAND_32 = 1 << 11
const NO_INDEX = 1 << 22
const NO_BASE = 1 << 27
const IDENTITY: { readonly [K in TableInstruction]: number } = { sgdt: 0, sidt: 1, lgdt: 2, lidt: 3, sldt: 0, str: 1, lldt: 2, ltr: 3 }

const addressSize = (insn: Instruction): number => (insn.addressSize === 16 ? 0 : insn.addressSize === 32 ? 1 : 2) << 7

/** The operand in ModRM.rm: a register, or how an address is formed. */
function operand(insn: Instruction): number {
  if (!insn.memory) return REGISTER_FORM | (insn.rm << 3)
  const index = insn.index === undefined ? NO_INDEX : insn.scale | (insn.index << 18)
  const base = typeof insn.base === 'number' ? insn.base << 23 : NO_BASE
  return addressSize(insn) | (insn.segment << 15) | index | base
}

/** Exit qualification of an instruction with a memory operand: its displacement, plus RIP of the next instruction where relative to that. 0 without one. */
export function displacement(insn: Instruction): bigint {
  if (!insn.memory) return 0n
  return BigInt.asUintN(64, BigInt(insn.displacement) + (insn.base === 'rip' ? insn.nextRip : 0n))
}

/** INS and OUTS; `segment` is ES for INS. */
export const ioInformation = (insn: Instruction, segment: number): number => addressSize(insn) | (segment << 15)

/** VMX instructions and INVPCID: the operand in ModRM.rm, and the register in ModRM.reg where that is an operand too. Unsigned. */
export const vmxInformation = (insn: Instruction): number => (operand(insn) | (insn.form.operands.length > 1 ? insn.reg << 28 : 0)) >>> 0

/** LGDT, LIDT, SGDT, SIDT, LLDT, LTR, SLDT, STR. */
export function descriptorTableInformation(insn: Instruction, name: TableInstruction): number {
  const tables = name.endsWith('gdt') || name.endsWith('idt')
  return operand(insn) | (tables && insn.operandSize !== 16 ? OPERAND_32 : 0) | (IDENTITY[name] << 28)
}

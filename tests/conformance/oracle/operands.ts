// Operands of one instruction: registers, immediates, branch targets and memory addresses put into an iced-x86
// Instruction, with the registers that form addresses set so that the access falls where it was aimed.
import { Code, MemorySize, MemorySizeExt, OpCodeOperandKind as Kind, OpKind, Register, RegisterExt, type Instruction } from 'iced-x86'
import { layout, type Patch, type State } from './machine.ts'
import type { Opcode } from './opcodes.ts'
import { integer, type Seeded } from './seeded.ts'

const { data, dataSize, codeEnd } = layout
const dataEnd = data + dataSize

/** An instruction in the making. `pinned`: GPRs (hardware numbers) that form addresses. `at`: linear addresses of its memory operands. */
export interface Draft {
  r: Seeded
  op: Opcode
  instruction: Instruction
  state: State
  patches: Patch[]
  pinned: Set<number>
  at: bigint[]
  memoryForm: boolean
}

// prettier-ignore
const eitherKinds: ReadonlyMap<Kind, Register> = new Map([
  [Kind.r8_or_mem, Register.AL], [Kind.r16_or_mem, Register.AX], [Kind.r32_or_mem, Register.EAX], [Kind.r64_or_mem, Register.RAX],
  [Kind.mm_or_mem, Register.MM0], [Kind.xmm_or_mem, Register.XMM0],
])
// prettier-ignore
const registerKinds: ReadonlyMap<Kind, Register> = new Map([
  [Kind.r8_reg, Register.AL], [Kind.r8_opcode, Register.AL], [Kind.r16_reg, Register.AX], [Kind.r16_rm, Register.AX],
  [Kind.r16_opcode, Register.AX], [Kind.r32_reg, Register.EAX], [Kind.r32_rm, Register.EAX], [Kind.r32_opcode, Register.EAX],
  [Kind.r64_reg, Register.RAX], [Kind.r64_rm, Register.RAX], [Kind.r64_opcode, Register.RAX], [Kind.mm_reg, Register.MM0],
  [Kind.mm_rm, Register.MM0], [Kind.xmm_reg, Register.XMM0], [Kind.xmm_rm, Register.XMM0], [Kind.sti_opcode, Register.ST0],
  [Kind.seg_reg, Register.ES],
])
// prettier-ignore
const fixedKinds: ReadonlyMap<Kind, Register> = new Map([
  [Kind.al, Register.AL], [Kind.cl, Register.CL], [Kind.ax, Register.AX], [Kind.eax, Register.EAX], [Kind.rax, Register.RAX],
  [Kind.st0, Register.ST0], [Kind.fs, Register.FS], [Kind.gs, Register.GS],
])
// prettier-ignore
const immediateKinds: ReadonlyMap<Kind, readonly [OpKind, number]> = new Map([
  [Kind.imm8, [OpKind.Immediate8, 8]], [Kind.imm8sex16, [OpKind.Immediate8to16, 8]], [Kind.imm8sex32, [OpKind.Immediate8to32, 8]],
  [Kind.imm8sex64, [OpKind.Immediate8to64, 8]], [Kind.imm16, [OpKind.Immediate16, 16]], [Kind.imm32, [OpKind.Immediate32, 32]],
  [Kind.imm32sex64, [OpKind.Immediate32to64, 32]], [Kind.imm64, [OpKind.Immediate64, 64]],
])

export const canBeMemory = (op: Opcode): boolean => op.kinds.some((k) => eitherKinds.has(k) || isMemory(k))
export const canBeRegister = (op: Opcode): boolean => !op.kinds.some(isMemory)
const isMemory = (k: Kind): boolean =>
  k === Kind.mem || k === Kind.mem_offs || k === Kind.seg_rSI || k === Kind.es_rDI || k === Kind.seg_rDI || k === Kind.seg_rBX_al

/** Bytes the instruction accesses through its memory operand; 8 where the opcode has no size (LEA, NOP). */
export const memoryBytes = (op: Opcode): number => MemorySizeExt.size(op.info.memorySize) || 8

/** Hardware number of the GPR a register name belongs to. */
export const gprOf = (register: Register): number => RegisterExt.number(RegisterExt.fullRegister(register))

/** Where an access of `size` bytes is aimed: inside, crossing the pages, crossing either end, outside. `mapped`: never a fault. */
export function aim(r: Seeded, size: number, mapped: boolean): number {
  const step = size >= 16 ? 16 : 8
  const inside = (): number => data + step * r.below(Math.floor((dataSize - size) / step))
  const part = (): number => 1 + r.below(Math.max(1, size - 1))
  const kind = r.below(32)
  if (kind < 15 || (size >= 16 && kind < 25 && r.oneIn(2))) return inside()
  if (kind < 20) return data + r.below(dataSize - size)
  if (kind < 24) return data + 0x1000 - part()
  if (kind < 26 || mapped) return dataEnd - size
  if (kind < 28) return dataEnd - part()
  if (kind < 30) return dataEnd + r.below(64)
  return data - (size > 1 && r.oneIn(2) ? part() : size + r.below(32))
}

/** Sets the base, index and displacement of the memory operand so that its linear address is `target` (or, rarely, not canonical). */
export function address(d: Draft, operand: number, target: number, mapped: boolean): void {
  const { r, instruction: i, state } = d
  i.setOpKind(operand, OpKind.Memory)
  let ea = BigInt(target)
  if (r.oneIn(10)) {
    i.segmentPrefix = r.pick([Register.FS, Register.GS, Register.GS, Register.DS, Register.ES])
    if (i.segmentPrefix === Register.FS) ea -= state.fsBase
    if (i.segmentPrefix === Register.GS) ea -= state.gsBase
  }
  d.at.push(BigInt(target))
  const form = r.below(12)
  if (form === 0) {
    i.memoryBase = r.oneIn(8) ? Register.EIP : Register.RIP
    i.memoryDisplacement = BigInt.asUintN(64, ea)
    i.memoryDisplSize = i.memoryBase === Register.EIP ? 4 : 8
    return
  }
  if (form === 1) {
    i.memoryDisplacement = ea
    i.memoryDisplSize = r.oneIn(4) ? 4 : 8
    return
  }
  const narrow = r.oneIn(6)
  const first = narrow ? Register.EAX : Register.RAX
  const base = form === 2 ? undefined : r.below(16)
  const index = form < 7 ? r.pick([0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15].filter((n) => n !== base)) : undefined
  const scale = r.pick([1, 2, 4, 8])
  const displacement =
    base === undefined ? BigInt(r.pick([0, -64, 0x1000])) : r.pick([0n, 0n, 8n, -8n, 127n, -128n, 128n, -129n, 0x12345n, -0x7654321n])
  const bits = narrow ? 32 : 64
  if (base !== undefined) {
    i.memoryBase = first + base
    d.pinned.add(base)
  }
  if (index !== undefined) {
    i.memoryIndex = first + index
    i.memoryIndexScale = scale
    d.pinned.add(index)
  }
  i.memoryDisplacement = BigInt.asUintN(bits, displacement)
  i.memoryDisplSize = displacement === 0n && base !== undefined ? 0 : base === undefined ? bits / 8 : 1
  if (base === undefined) state.gpr[index!] = BigInt(r.below(16))
  let wanted = ea - displacement
  if (index !== undefined) {
    if (base === undefined) {
      const left = wanted & BigInt(scale - 1)
      state.gpr[index] = BigInt.asUintN(bits, wanted - left) / BigInt(scale)
      d.at[d.at.length - 1]! -= left
      return
    }
    wanted -= BigInt.asIntN(64, state.gpr[index]! * BigInt(scale))
  }
  const garbage = narrow && r.oneIn(2) ? BigInt(r.u32()) << 32n : 0n
  state.gpr[base!] = BigInt.asUintN(bits, wanted) | garbage
  if (!mapped && !narrow && r.oneIn(24)) {
    state.gpr[base!] = BigInt.asUintN(64, wanted + (1n << BigInt(47 + r.below(16)))) // not canonical: #GP(0), or #SS(0) by way of RSP and RBP
    d.at[d.at.length - 1] = -1n
  }
}

function implicit(d: Draft, operand: number, kinds: readonly [OpKind, OpKind], gpr: number, target: number, narrow: boolean): void {
  d.instruction.setOpKind(operand, kinds[narrow ? 1 : 0])
  d.state.gpr[gpr] = BigInt(target) | (narrow ? BigInt(d.r.u32()) << 32n : 0n)
  d.pinned.add(gpr)
  d.at.push(BigInt(target))
}

function immediate(d: Draft, operand: number, kind: OpKind, bits: number): void {
  const { r, op } = d
  let value = integer(r, bits)
  if (/^(Cmpps|Cmppd|Cmpss|Cmpsd)_xmm/.test(op.name)) value &= 7n // predicates 8…31 belong to AVX
  if (op.mnemonic.startsWith('Round')) value &= 15n
  if (op.mnemonic.startsWith('Pcmp')) value &= 127n
  if (op.mnemonic === 'Enter')
    value = bits === 16 ? r.pick([0n, 8n, 0x10n, 0x7fn, 0x200n, 0x1001n, 0x2000n]) : BigInt(r.pick([0, 0, 1, 2, 3, 31, 32, 33]))
  if (op.mnemonic === 'Ret') value &= 0x1fffn
  if (/^Sh[lr]d_rm16/.test(op.name)) value = BigInt(r.below(17) + 32 * r.below(8)) // a count above 16 leaves the result undefined
  d.instruction.setOpKind(operand, kind)
  d.instruction.setImmediateI64(operand, BigInt.asIntN(bits, value))
}

/** Fills every operand of the draft. May produce something not encodable (AH with REX): the caller then draws again. */
export function fill(d: Draft, mapped: boolean): void {
  const { r, op, instruction: i } = d
  const size = memoryBytes(op)
  const narrow = r.oneIn(5)
  let immediates = 0
  op.kinds.forEach((kind, n) => {
    const either = eitherKinds.get(kind)
    const first = either !== undefined && !d.memoryForm ? either : registerKinds.get(kind)
    const fixed = fixedKinds.get(kind)
    const imm = immediateKinds.get(kind)
    if (first !== undefined) {
      const count = first === Register.AL ? 20 : first === Register.ST0 || first === Register.MM0 ? 8 : first === Register.ES ? 6 : 16
      i.setOpKind(n, OpKind.Register)
      i.setOpRegister(n, first + r.below(count))
    } else if (fixed !== undefined) {
      i.setOpKind(n, OpKind.Register)
      i.setOpRegister(n, fixed)
    } else if (imm) immediate(d, n, immediates++ === 1 ? OpKind.Immediate8_2nd : imm[0], imm[1])
    else if (kind === Kind.imm8_const_1) {
      i.setOpKind(n, OpKind.Immediate8)
      i.setImmediateI64(n, 1n)
    } else if (kind === Kind.br64_1 || kind === Kind.br64_4) {
      i.setOpKind(n, OpKind.NearBranch64)
      const far = kind === Kind.br64_4
      const offset = Number(BigInt.asIntN(far ? 32 : 8, integer(r, far ? 32 : 8)))
      i.nearBranch64 = BigInt(codeEnd + (codeEnd + offset < 0 ? offset & 0xffff : offset))
    } else if (kind === Kind.seg_rSI) implicit(d, n, [OpKind.MemorySegRSI, OpKind.MemorySegESI], 6, aim(r, size, mapped), narrow)
    else if (kind === Kind.es_rDI) implicit(d, n, [OpKind.MemoryESRDI, OpKind.MemoryESEDI], 7, aim(r, size, mapped), narrow)
    else if (kind === Kind.seg_rDI) implicit(d, n, [OpKind.MemorySegRDI, OpKind.MemorySegEDI], 7, aim(r, size, mapped), narrow)
    else if (kind === Kind.seg_rBX_al) {
      i.setOpKind(n, OpKind.Memory)
      i.memoryBase = narrow ? Register.EBX : Register.RBX
      i.memoryIndex = Register.AL
      const target = aim(r, 1, mapped)
      d.state.gpr[3] = BigInt(target) - (d.state.gpr[0]! & 0xffn)
      d.at.push(BigInt(target))
      d.pinned.add(3)
    } else if (kind === Kind.mem_offs) {
      i.setOpKind(n, OpKind.Memory)
      const target = aim(r, size, mapped)
      i.memoryDisplacement = BigInt(target)
      i.memoryDisplSize = narrow ? 4 : 8
      d.at.push(BigInt(target))
    } else if (either !== undefined || kind === Kind.mem) address(d, n, aim(r, size, mapped), mapped)
    else throw new Error(`operand kind ${Kind[kind]} of ${Code[op.code]}`)
  })
}

/** Puts bytes at a linear address, the part inside the data pages only. */
export function poke(d: Draft, at: bigint, bytes: Uint8Array): void {
  const offset = Number(at) - data
  if (at < 0n || offset <= -bytes.length || offset >= dataSize) return
  const skip = Math.max(0, -offset)
  const part = bytes.slice(skip, Math.min(bytes.length, dataSize - offset))
  if (part.length > 0) d.patches.push({ offset: offset + skip, bytes: part })
}

export const memorySizeName = (op: Opcode): string => MemorySize[op.info.memorySize]!

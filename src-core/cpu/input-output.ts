// Port input and output (SDM 2A IN INS, 2B OUT OUTS; SDM 1 19.5: IOPL and the I/O permission bitmap; 17.2.4: I/O breakpoints).
// INS and OUTS do one iteration a call and stay at the instruction while rCX remains, so that interrupts come between.

import { Dr7 } from '../arch/pte.ts'
import { Cr0, Cr4, ES, RAX, RCX, RDI, RDX, RSI, Rights, TR } from '../arch/registers.ts'
import type { Assists } from '../isa/assists.ts'
import type { AccessSize } from '../memory/device.ts'
import type { Instruction } from './instruction.ts'
import { segmentLinear } from './instruction-view.ts'
import { generalProtection, intercept } from './privilege.ts'
import type { Processor } from './processor.ts'

const IO_MAP_BASE = 0x66

/** #GP(0) unless the current task may use all the ports of an access. */
function allowed(cpu: Processor, port: number, size: number): void {
  const s = cpu.state
  if (!(s.cr0 & Cr0.PE)) return
  if (!cpu.virtual8086 && s.cpl <= Number((s.rflags >> 12n) & 3n)) return
  const rights = s.segRights.get(TR)
  const type = rights & Rights.type
  if (rights & Rights.unusable || (type !== 9 && type !== 11)) throw generalProtection()
  const limit = s.segLimit.get(TR)
  if (limit < IO_MAP_BASE + 1) throw generalProtection()
  const base = s.segBase.get(TR)
  const at = cpu.memory.read16(base + BigInt(IO_MAP_BASE), 'system') + (port >> 3)
  // Two bytes are always read; an access can straddle them.
  if (at + 1 > limit) throw generalProtection()
  const bits = cpu.memory.read16(base + BigInt(at), 'system') >> (port & 7)
  if (bits & ((1 << size) - 1)) throw generalProtection()
}

/** I/O breakpoints trap behind the instruction; table 17-1's alignment rule holds. */
function watch(cpu: Processor, port: number, size: number): void {
  const s = cpu.state
  if (!(s.cr4 & Cr4.DE)) return
  const dr7 = Number(s.dr.get(7) & 0xffff_ffffn)
  if ((dr7 & 0xff) === 0) return
  for (let n = 0; n < 4; n++) {
    if (!Dr7.enabled(dr7, n) || Dr7.kind(dr7, n) !== 2) continue
    const length = Dr7.length(dr7, n)
    const first = Number(BigInt.asUintN(48, s.dr.get(n))) & -length
    if (port < first + length && first < port + size) s.pendingDebug |= 1 << n
  }
}

const read = (cpu: Processor, port: number, size: AccessSize): bigint => {
  watch(cpu, port, size)
  cpu.charge(cpu.board.costs.port)
  return BigInt(cpu.io.read(port, size))
}
const write = (cpu: Processor, port: number, size: AccessSize, value: bigint): void => {
  watch(cpu, port, size)
  cpu.charge(cpu.board.costs.port)
  cpu.io.write(port, size, Number(value))
}

const immediate = (insn: Instruction): boolean => insn.form.row.operands.includes('imm8')

function input(cpu: Processor, insn: Instruction, bits: number): void {
  const port = Number(insn.operand(1) & 0xffffn)
  const size = (bits >> 3) as AccessSize
  allowed(cpu, port, size)
  intercept(cpu, 'io', port, size, true, false, false, immediate(insn))
  cpu.synchronize()
  const value = read(cpu, port, size)
  const old = cpu.state.gpr.get(RAX)
  cpu.state.gpr.set(RAX, size === 4 ? value : size === 2 ? (old & ~0xffffn) | value : (old & ~0xffn) | value)
}

function output(cpu: Processor, insn: Instruction, bits: number): void {
  const port = Number(insn.operand(0) & 0xffffn)
  const size = (bits >> 3) as AccessSize
  allowed(cpu, port, size)
  intercept(cpu, 'io', port, size, false, false, false, immediate(insn))
  cpu.synchronize()
  write(cpu, port, size, BigInt.asUintN(bits, cpu.state.gpr.get(RAX)))
}

const addressMask = (insn: Instruction): bigint => (insn.addressSize === 64 ? (1n << 64n) - 1n : insn.addressSize === 32 ? 0xffff_ffffn : 0xffffn)

/** Writes a register at address size: 16 bits merge, 32 clear the upper half. */
function setAtAddressSize(cpu: Processor, insn: Instruction, register: number, value: bigint): void {
  const gpr = cpu.state.gpr
  const mask = addressMask(insn)
  gpr.set(register, insn.addressSize === 16 ? (gpr.get(register) & ~mask) | (value & mask) : value & mask)
}

/** rCX has iterations left, or there is no prefix. */
const due = (cpu: Processor, insn: Instruction): boolean => insn.rep === '' || (cpu.state.gpr.get(RCX) & addressMask(insn)) !== 0n

/** Steps the index register and the count; stays at the instruction while iterations remain. */
function step(cpu: Processor, insn: Instruction, index: number, size: number): void {
  const gpr = cpu.state.gpr
  setAtAddressSize(cpu, insn, index, gpr.get(index) + BigInt(size * cpu.state.direction))
  if (insn.rep === '') return
  const left = (gpr.get(RCX) - 1n) & addressMask(insn)
  setAtAddressSize(cpu, insn, RCX, left)
  if (left !== 0n) cpu.nextRip = insn.rip
}

function ins(cpu: Processor, insn: Instruction): void {
  if (!due(cpu, insn)) return
  const size = (insn.form.size >> 3) as AccessSize
  const port = Number(cpu.state.gpr.get(RDX) & 0xffffn)
  allowed(cpu, port, size)
  intercept(cpu, 'io', port, size, true, true, insn.rep !== '', false)
  const linear = segmentLinear(cpu, ES, cpu.state.gpr.get(RDI) & addressMask(insn), size, true)
  cpu.memory.probe(linear, size, true)
  cpu.synchronize()
  const value = Number(read(cpu, port, size))
  if (size === 1) cpu.memory.write8(linear, value)
  else if (size === 2) cpu.memory.write16(linear, value)
  else cpu.memory.write32(linear, value)
  step(cpu, insn, RDI, size)
}

function outs(cpu: Processor, insn: Instruction): void {
  if (!due(cpu, insn)) return
  const size = (insn.form.size >> 3) as AccessSize
  const port = Number(cpu.state.gpr.get(RDX) & 0xffffn)
  allowed(cpu, port, size)
  intercept(cpu, 'io', port, size, false, true, insn.rep !== '', false)
  cpu.synchronize()
  const linear = segmentLinear(cpu, insn.segment, cpu.state.gpr.get(RSI) & addressMask(insn), size, false)
  const value = size === 1 ? cpu.memory.read8(linear) : size === 2 ? cpu.memory.read16(linear) : cpu.memory.read32(linear)
  write(cpu, port, size, BigInt(value))
  step(cpu, insn, RSI, size)
}

export const inputOutputAssists = { in: input, out: output, ins, outs } satisfies {
  [K in 'in' | 'out' | 'ins' | 'outs']: (cpu: Processor, insn: Instruction, ...args: Assists[K]) => void
}

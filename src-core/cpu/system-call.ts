// Fast system calls (SDM 2B SYSCALL SYSRET SYSENTER SYSEXIT; SDM 3A 5.8.7, 5.8.8). Their segments are flat and need no descriptors.

import { Vector } from '../arch/exceptions.ts'
import { CS, Efer, R11, RCX, RDX, Rflags, Rights, RSP, SS } from '../arch/registers.ts'
import type { Assists } from '../isa/assists.ts'
import { gp } from './descriptor-table.ts'
import { Fault } from './fault.ts'
import type { Instruction } from './instruction.ts'
import { isLongMode } from './mode.ts'
import { isCanonical, privileged } from './privilege.ts'
import type { Processor } from './processor.ts'
import { flatRights, setSegment } from './segment-cache.ts'

const LOW32 = 0xffff_ffffn
/** RFLAGS that SYSRET takes from R11 (SDM 2B SYSRET). */
const SYSRET_FLAGS = 0x3c7fd7n

function setFlat(cpu: Processor, code: number, stack: number, cpl: number, long: boolean): void {
  const dpl = cpl << Rights.dplShift
  setSegment(cpu.state, CS, code | cpl, 0n, 0xffffffff, (long ? flatRights.code64 : flatRights.code32) | dpl)
  setSegment(cpu.state, SS, stack | cpl, 0n, 0xffffffff, flatRights.stack | dpl)
}

function syscall(cpu: Processor, insn: Instruction): void {
  const s = cpu.state
  if (!cpu.mode64 || (s.efer & Efer.SCE) === 0n) throw new Fault(Vector.UD)
  const flags = cpu.rflags()
  const base = Number((s.star >> 32n) & 0xffffn)
  s.gpr.set(RCX, insn.nextRip)
  s.gpr.set(R11, flags & ~Rflags.RF)
  setFlat(cpu, base & 0xfffc, (base + 8) & 0xffff, 0, true)
  cpu.setRflags(flags & ~s.fmask & ~Rflags.RF)
  cpu.modeChanged()
  cpu.nextRip = s.lstar
}

function sysret(cpu: Processor, insn: Instruction): void {
  const s = cpu.state
  if (!cpu.mode64 || (s.efer & Efer.SCE) === 0n) throw new Fault(Vector.UD)
  privileged(cpu)
  const long = insn.operandSize === 64
  const rcx = s.gpr.get(RCX)
  if (long && !isCanonical(rcx)) throw gp()
  const base = Number((s.star >> 48n) & 0xffffn)
  setFlat(cpu, (long ? base + 16 : base) & 0xffff, (base + 8) & 0xffff, 3, long)
  cpu.setRflags((s.gpr.get(R11) & SYSRET_FLAGS) | Rflags.fixed)
  cpu.modeChanged()
  cpu.nextRip = long ? rcx : rcx & LOW32
}

function sysenter(cpu: Processor): void {
  const s = cpu.state
  const selector = Number(s.sysenterCs & 0xfffcn)
  if (cpu.realMode || selector === 0) throw gp()
  const long = isLongMode(s)
  setFlat(cpu, selector, (selector + 8) & 0xffff, 0, long)
  s.gpr.set(RSP, long ? s.sysenterEsp : s.sysenterEsp & LOW32)
  cpu.setRflags(cpu.rflags() & ~(Rflags.VM | Rflags.IF | Rflags.RF))
  cpu.modeChanged()
  cpu.nextRip = long ? s.sysenterEip : s.sysenterEip & LOW32
}

function sysexit(cpu: Processor, insn: Instruction): void {
  const s = cpu.state
  const base = Number(s.sysenterCs & 0xfffcn)
  if (cpu.realMode || base === 0) throw gp()
  privileged(cpu)
  const long = insn.operandSize === 64
  const sp = s.gpr.get(RCX)
  const target = s.gpr.get(RDX)
  if (long && (!isCanonical(sp) || !isCanonical(target))) throw gp()
  const selector = (base + (long ? 32 : 16)) & 0xfffc
  setFlat(cpu, selector, (selector + 8) & 0xfffc, 3, long)
  s.gpr.set(RSP, long ? sp : sp & LOW32)
  cpu.modeChanged()
  cpu.nextRip = long ? target : target & LOW32
}

export const systemCallAssists = { syscall, sysret, sysenter, sysexit } satisfies Partial<Record<keyof Assists, unknown>>

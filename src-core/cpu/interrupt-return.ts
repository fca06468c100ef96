// IRET, IRETD, IRETQ (SDM 2A IRET, Operation; SDM 3A 6.12.1, 6.14.3, 7.4, 20.2.2, 20.3).

import { Vector } from '../arch/exceptions.ts'
import { Cr4, CS, DS, ES, FS, GS, Rflags, Rights, RSP, SS } from '../arch/registers.ts'
import type { Assists } from '../isa/assists.ts'
import { descriptorOf, gp, markAccessed, selectorFault, tssAddress } from './descriptor-table.ts'
import { SystemType } from './descriptor.ts'
import { returnCode, returnStack, setReturnStack } from './far-return.ts'
import type { Instruction } from './instruction.ts'
import { isLongMode } from './mode.ts'
import { isCanonical } from './privilege.ts'
import type { Processor } from './processor.ts'
import { dropInnerSegments, setCode, setReal, setV86 } from './segment-cache.ts'
import { peek, release, requireTarget, type Width } from './stack.ts'
import { switchTask } from './task-switch.ts'

const NMI_BLOCKED = 8
const F = Rflags
/** Bits of RFLAGS that any IRET replaces, and those of its 32- and 64-bit forms (SDM 2A IRET). */
const COMMON16 = F.arithmetic | F.TF | F.DF | F.NT
const COMMON32 = COMMON16 | F.RF | F.AC | F.ID

function interruptReturn(cpu: Processor, insn: Instruction): void {
  const s = cpu.state
  // NMIs are unblocked even if the instruction faults (SDM 3A 6.7.1; SDM 3C 25.3 on IRET).
  cpu.nmiUnblocked = false
  if (!cpu.intercepts?.guest?.interruptReturn(() => (cpu.nmiUnblocked = true))) {
    cpu.nmiUnblocked = (s.interruptibility & NMI_BLOCKED) !== 0
    s.interruptibility &= ~NMI_BLOCKED
  }
  leave(cpu, insn)
  cpu.nmiUnblocked = false
}

function leave(cpu: Processor, insn: Instruction): void {
  const s = cpu.state
  const width = (insn.operandSize >> 3) as Width
  if (cpu.mode64 && width === 8) return from64(cpu)
  if (cpu.realMode) return fromReal(cpu, width)
  if (cpu.virtual8086) return fromV86(cpu, width)
  if (s.rflags & F.NT) {
    if (isLongMode(s)) throw gp()
    return toPreviousTask(cpu, insn)
  }
  const offset = peek(cpu, 0, width)
  const selector = Number(peek(cpu, width, width) & 0xffffn)
  const flags = peek(cpu, 2 * width, width)
  if (width === 4 && flags & F.VM && s.cpl === 0 && !isLongMode(s)) return toV86(cpu, offset, selector, flags)
  protectedReturn(cpu, width, offset, selector, flags)
}

/** Replaces the bits that CPL and IOPL let a return change. */
function newFlags(cpu: Processor, popped: bigint, width: Width): bigint {
  const s = cpu.state
  let mask = width === 2 ? COMMON16 : COMMON32
  if (BigInt(s.cpl) <= (s.rflags & F.IOPL) >> 12n) mask |= F.IF
  if (s.cpl === 0) mask |= width === 2 ? F.IOPL : F.IOPL | F.VIF | F.VIP
  return (cpu.rflags() & ~mask) | (popped & mask)
}

/** IRETQ: five quadwords, SS:RSP even without a change of privilege. */
function from64(cpu: Processor): void {
  const s = cpu.state
  if (s.rflags & F.NT) throw gp()
  const m = cpu.memory
  const at = s.gpr.get(RSP)
  // A frame inside one page is canonical if its start is; elsewhere each word is checked.
  const near = (at & 0xfffn) <= 4056n && isCanonical(at)
  const word = (n: number): bigint => (near ? m.read64(at + BigInt(8 * n)) : peek(cpu, 8 * n, 8))
  const offset = word(0)
  const selector = Number(word(1) & 0xffffn)
  const flags = word(2)
  const sp = word(3)
  const stackSelector = Number(word(4) & 0xffffn)
  finish(cpu, 8, offset, selector, flags, sp, stackSelector)
}

function protectedReturn(cpu: Processor, width: Width, offset: bigint, selector: number, flags: bigint): void {
  const s = cpu.state
  if (cpu.mode64 || (selector & 3) > s.cpl) {
    // CS is judged before the rest of the frame is read.
    returnCode(cpu, selector)
    return finish(cpu, width, offset, selector, flags, peek(cpu, 3 * width, width), Number(peek(cpu, 4 * width, width) & 0xffffn))
  }
  const code = returnCode(cpu, selector)
  requireTarget(offset, code.limit, isLongMode(s) && code.isLong)
  const value = newFlags(cpu, flags, width)
  markAccessed(cpu, code)
  release(cpu, 3 * width)
  setCode(s, selector, code, s.cpl)
  cpu.setRflags(value)
  cpu.modeChanged()
  cpu.nextRip = offset
}

/** With SS:rSP from the frame. */
function finish(cpu: Processor, width: Width, offset: bigint, selector: number, flags: bigint, sp: bigint, stackSelector: number): void {
  const s = cpu.state
  const code = returnCode(cpu, selector)
  const cpl = selector & 3
  const long = isLongMode(s) && code.isLong
  const stack = returnStack(cpu, stackSelector, cpl, long)
  requireTarget(offset, code.limit, long)
  const value = newFlags(cpu, flags, width)
  markAccessed(cpu, code)
  if (stack) markAccessed(cpu, stack)
  const outer = cpl !== s.cpl
  const stackBig = s.segRights.get(SS) & Rights.DB
  const same = !outer && s.segRights.get(CS) === (code.rights | Rights.accessed) && long && cpu.mode64
  setReturnStack(cpu, stackSelector, stack, sp, cpl, !long && stack !== undefined && !stack.isBig)
  setCode(s, selector, code, cpl)
  const dropped = outer && dropInnerSegments(s, cpl)
  cpu.setRflags(value)
  cpu.nextRip = offset
  if (!same || dropped || (s.segRights.get(SS) & Rights.DB) !== stackBig) cpu.modeChanged()
}

function fromReal(cpu: Processor, width: Width): void {
  const s = cpu.state
  const offset = peek(cpu, 0, width)
  const selector = Number(peek(cpu, width, width) & 0xffffn)
  const flags = peek(cpu, 2 * width, width)
  requireTarget(offset, s.segLimit.get(CS), false)
  release(cpu, 3 * width)
  setReal(s, CS, selector)
  const mask = width === 2 ? 0x7fd5n : 0x257fd5n
  cpu.setRflags((cpu.rflags() & ~mask) | (flags & mask))
  cpu.modeChanged()
  cpu.nextRip = offset
}

function fromV86(cpu: Processor, width: Width): void {
  const s = cpu.state
  const trusted = (s.rflags & F.IOPL) === F.IOPL
  if (!trusted && ((s.cr4 & Cr4.VME) === 0n || width !== 2)) throw gp()
  const offset = peek(cpu, 0, width)
  const selector = Number(peek(cpu, width, width) & 0xffffn)
  const flags = peek(cpu, 2 * width, width)
  requireTarget(offset, 0xffff, false)
  let mask = (width === 2 ? COMMON16 : COMMON32) | (trusted ? F.IF : 0n)
  let value = flags
  if (!trusted) {
    // IF of the frame stands for VIF (SDM 3A 20.3.3.4).
    if (flags & F.TF || (flags & F.IF && s.rflags & F.VIP)) throw gp()
    mask |= F.VIF
    value = flags & F.IF ? value | F.VIF : value & ~F.VIF
  }
  release(cpu, 3 * width)
  setV86(s, CS, selector)
  cpu.setRflags((cpu.rflags() & ~mask) | (value & mask))
  cpu.modeChanged()
  cpu.nextRip = offset
}

/** EIP CS EFLAGS ESP SS ES DS FS GS. */
function toV86(cpu: Processor, offset: bigint, selector: number, flags: bigint): void {
  const s = cpu.state
  const sp = peek(cpu, 12, 4)
  const selectors = [4, 5, 6, 7, 8].map((n) => Number(peek(cpu, 4 * n, 4) & 0xffffn))
  requireTarget(offset, 0xffff, false)
  const value = newFlags(cpu, flags, 4) | F.VM
  s.gpr.set(RSP, sp)
  setV86(s, CS, selector)
  ;[SS, ES, DS, FS, GS].forEach((index, n) => setV86(s, index, selectors[n]!))
  cpu.setRflags(value)
  cpu.modeChanged()
  cpu.nextRip = offset
}

/** Task linking: the TSS of this task names the one to return to. */
function toPreviousTask(cpu: Processor, insn: Instruction): void {
  const link = cpu.memory.read16(tssAddress(cpu, 0), 'system')
  const d = link & 4 ? undefined : descriptorOf(cpu, link)
  if (!d || d.isSegment || (d.type !== SystemType.tss16Busy && d.type !== SystemType.tss32Busy)) throw selectorFault(Vector.TS, link)
  if (!d.present) throw selectorFault(Vector.NP, link)
  switchTask(cpu, link, d, 'iret', insn.nextRip, cpu.rflags())
  cpu.nextRip = cpu.state.rip
}

export const interruptReturnAssists = { interruptReturn } satisfies Partial<Record<keyof Assists, unknown>>

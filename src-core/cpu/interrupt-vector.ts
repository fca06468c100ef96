// Interrupts through the vector table of real-address mode (SDM 3A 20.1.4, IVT at IDTR) and their redirection in virtual-8086 mode
// with VME (SDM 3A 20.3, table 20-2).

import { Cr4, CS, Rflags, Rights, TR } from '../arch/registers.ts'
import { gp, tssAddress } from './descriptor-table.ts'
import type { Event } from './event.ts'
import { savedFlags } from './event.ts'
import type { Processor } from './processor.ts'
import { setReal, setV86 } from './segment-cache.ts'
import { currentStack, pushFrame, requireRoom, requireTarget, setStackPointer } from './stack.ts'

/** Vector table entry: IP in bits 15:0, CS in 31:16. */
function follow(cpu: Processor, entry: number, flags: bigint, returnRip: bigint, clear: bigint, load: typeof setReal): void {
  const s = cpu.state
  const stack = currentStack(cpu)
  requireRoom(stack, 2, 3, 0)
  requireTarget(BigInt(entry & 0xffff), load === setV86 ? 0xffff : s.segLimit.get(CS), false)
  const sp = pushFrame(cpu, stack, 2, [flags, BigInt(s.segSelector.get(CS)), returnRip], s.cpl)
  setStackPointer(cpu, sp)
  load(s, CS, entry >>> 16)
  s.rip = BigInt(entry & 0xffff)
  s.rflags &= ~clear
  cpu.modeChanged()
}

export function enterThroughVector(cpu: Processor, e: Event): void {
  const s = cpu.state
  if (e.vector * 4 + 3 > s.idtrLimit) throw gp()
  const entry = cpu.memory.read32((s.idtrBase + BigInt(e.vector * 4)) & 0xffff_ffffn, 'system')
  follow(cpu, entry, savedFlags(cpu, e), e.returnRip, Rflags.IF | Rflags.TF | Rflags.RF | Rflags.AC, setReal)
}

/** INT n in virtual-8086 mode. True: done by the program's own vector table; false: goes through the IDT. Throws Fault. */
export function softwareInterruptInV86(cpu: Processor, e: Event): boolean {
  const s = cpu.state
  const trusted = (s.rflags & Rflags.IOPL) === Rflags.IOPL
  if ((s.cr4 & Cr4.VME) === 0n || redirectionBit(cpu, e.vector)) {
    // An injected one is not checked against IOPL (SDM 3C 26.5.1.2).
    if (trusted || e.injected) return false
    throw gp()
  }
  const entry = cpu.memory.read32(BigInt(e.vector * 4))
  let flags = savedFlags(cpu, e)
  if (!trusted) flags = (flags & ~Rflags.IF) | Rflags.IOPL | (s.rflags & Rflags.VIF ? Rflags.IF : 0n)
  follow(cpu, entry, flags, e.returnRip, Rflags.TF | Rflags.RF | (trusted ? Rflags.IF : Rflags.VIF), setV86)
  return true
}

/** The 32 bytes below the I/O permission bitmap (SDM 3A figure 20-5). A 16-bit TSS, or one too short, has none: all set. */
function redirectionBit(cpu: Processor, vector: number): boolean {
  const s = cpu.state
  const limit = s.segLimit.get(TR)
  const rights = s.segRights.get(TR)
  if (rights & Rights.unusable || (rights & 8) === 0 || limit < 0x67) return true
  const at = cpu.memory.read16(tssAddress(cpu, 0x66), 'system') - 32 + (vector >> 3)
  if (at < 0 || at > limit) return true
  return ((cpu.memory.read8(tssAddress(cpu, at), 'system') >> (vector & 7)) & 1) !== 0
}

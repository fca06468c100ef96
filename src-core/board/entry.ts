// The bootstrap processor as a loader wants it at the guest's first instruction (guests/entry.ts).

import { Cr0, Cr4, CS, Efer, Rights, TR } from '../arch/registers.ts'
import { writeRflags } from '../cpu/flags.ts'
import type { Core } from '../cpu/run.ts'
import type { EntryState, GeneralRegister } from '../guests/entry.ts'

const GPRS: readonly GeneralRegister[] = [
  'rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15',
]
const CODE = Rights.P | Rights.S | 0xb
const DATA = Rights.P | Rights.S | 0x3
const BUSY_TSS = Rights.P | 0xb

/** Resets the processor and puts it into the entry state, with empty TLBs. */
export function enter(core: Core, entry: EntryState): void {
  const s = core.state
  core.reset(true)
  const real = entry.mode === 'real'
  const long = entry.mode === 'long'
  GPRS.forEach((name, n) => s.gpr.set(n, BigInt.asUintN(64, entry.gprs[name] ?? 0n)))
  s.rip = BigInt(entry.rip)
  writeRflags(s, BigInt(entry.rflags))
  s.cr0 = Cr0.ET | (real ? 0n : Cr0.PE) | (entry.cr3 === undefined ? 0n : Cr0.PG)
  s.cr3 = BigInt(entry.cr3 ?? 0)
  if (long) {
    s.cr4 = Cr4.PAE
    s.efer = Efer.LME | Efer.LMA
  }
  for (let i = 0; i < 6; i++) {
    const from = i === CS ? entry.cs : entry.data
    s.segSelector.set(i, from.selector)
    s.segBase.set(i, BigInt(from.base))
    s.segLimit.set(i, real ? 0xffff : 0xffffffff)
    const size = real ? 0 : Rights.G | (i === CS && long ? Rights.L : Rights.DB)
    s.segRights.set(i, (i === CS ? CODE : DATA) | size)
  }
  if (entry.gdtr) {
    s.gdtrBase = BigInt(entry.gdtr.base)
    s.gdtrLimit = entry.gdtr.limit
  }
  if (entry.tr) {
    s.segBase.set(TR, BigInt(entry.tr.base))
    s.segLimit.set(TR, entry.tr.limit)
    s.segRights.set(TR, BUSY_TSS)
  }
  core.mmu.flushAll()
  core.modeChanged()
}

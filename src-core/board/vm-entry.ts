// The guest-state area for a guest's first instruction, as its loader wants it (guests/entry.ts).

import { Cr0, Cr4, Efer, Rights } from '../arch/registers.ts'
import { EntryControl } from '../arch/vmx.ts'
import type { EntryState, GeneralRegister } from '../guests/entry.ts'
import { controlRegisters, segmentNames, type GuestFields } from '../hypervisor/guest-state.ts'
import type { VirtualProcessor } from '../hypervisor/virtual-processor.ts'

const GPRS: readonly GeneralRegister[] = [
  'rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15',
]
const CODE = Rights.P | Rights.S | 0xb
const DATA = Rights.P | Rights.S | 0x3
const BUSY_TSS = Rights.P | 0xb

export function enterVirtual(p: VirtualProcessor, entry: EntryState): void {
  const real = entry.mode === 'real'
  const long = entry.mode === 'long'
  GPRS.forEach((name, n) => p.setRegister(n, BigInt.asUintN(64, entry.gprs[name] ?? 0n)))
  const cr0 = Cr0.ET | (real ? 0n : Cr0.PE) | (entry.cr3 === undefined ? 0n : Cr0.PG)
  const fields: GuestFields = {
    ...controlRegisters(cr0, long ? Cr4.PAE : 0n),
    guestCr3: entry.cr3 ?? 0,
    guestEfer: long ? Efer.LME | Efer.LMA : 0n,
    guestRip: entry.rip,
    guestRflags: entry.rflags,
  }
  for (const name of segmentNames) {
    const from = name === 'Cs' ? entry.cs : entry.data
    fields[`guest${name}Selector`] = from.selector
    fields[`guest${name}Base`] = from.base
    fields[`guest${name}Limit`] = real ? 0xffff : 0xffffffff
    fields[`guest${name}AccessRights`] = (name === 'Cs' ? CODE : DATA) | (real ? 0 : Rights.G | (name === 'Cs' && long ? Rights.L : Rights.DB))
  }
  if (entry.gdtr) Object.assign(fields, { guestGdtrBase: entry.gdtr.base, guestGdtrLimit: entry.gdtr.limit })
  if (entry.tr) Object.assign(fields, { guestTrBase: entry.tr.base, guestTrLimit: entry.tr.limit, guestTrAccessRights: BUSY_TSS })
  p.setAll(fields)
  const control = p.getNumber('entryControls')
  p.set('entryControls', (long ? control | EntryControl.ia32eModeGuest : control & ~EntryControl.ia32eModeGuest) >>> 0)
}

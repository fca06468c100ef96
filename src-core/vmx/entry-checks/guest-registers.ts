// VM-entry checks on guest control registers, debug registers and MSRs (SDM 3C 26.3.1.1), descriptor-table registers (26.3.1.3),
// RIP and RFLAGS (26.3.1.4). One that fails is exit reason 33.

import type { WideField } from '../../arch/vmcs-fields.ts'
import { Cr0, Cr4, Efer, Rflags, Rights } from '../../arch/registers.ts'
import { EntryControl, InterruptionType, Secondary } from '../../arch/vmx.ts'
import { CR0_FIXED0, CR0_FIXED1, CR4_FIXED0, CR4_FIXED1 } from '../capabilities.ts'
import { within, type Candidate, type EntryCheck } from './check.ts'

const registers = within('26.3.1.1')
const tables = within('26.3.1.3')
const flow = within('26.3.1.4')

const PE = Number(Cr0.PE)
const PG = Number(Cr0.PG)
const CR4_RESERVED = ~Number(CR4_FIXED1)
const EFER_BITS = Number(Efer.SCE | Efer.LME | Efer.LMA | Efer.NXE)
const LMA = Number(Efer.LMA)
const LME = Number(Efer.LME)
/** LBR and BTF, as WRMSR accepts them. */
const DEBUGCTL_BITS = 3
/** 21:16, 14:6, 4, 2, 1, 0. */
const RFLAGS_BITS = 0x3f7fd7

const loads = (c: Candidate, control: number): boolean => (c.entry & control) !== 0
const canonical = (make: typeof registers, id: string, field: WideField): EntryCheck => make(id, [field], 'canonical', (c) => c.canonical(field))
const cr4 = (c: Candidate): number => c.low('guestCr4')
/** Bits of CR0 that must be 1: an unrestricted guest is free in PE and PG. */
const fixed0 = (c: Candidate): number => Number(CR0_FIXED0) & ~(c.secondary & Secondary.unrestrictedGuest ? PE | PG : 0)
const code64 = (c: Candidate): boolean => c.ia32e && (c.vmcs.guestCsAccessRights & Rights.L) !== 0

export const guestRegisterChecks: readonly EntryCheck[] = [
  registers(
    'guest.cr0.fixed', ['guestCr0', 'secondaryControls'], 'NE, and PE and PG of a guest that is not unrestricted, are 1; bits 63:32 are 0',
    (c) => c.high('guestCr0') === Number(CR0_FIXED1 >> 32n) && (fixed0(c) & ~c.cr0) === 0,
  ),
  registers('guest.cr0.pagingProtected', ['guestCr0'], 'PG only with PE', (c) => (c.cr0 & PG) === 0 || (c.cr0 & PE) !== 0),
  registers(
    'guest.cr4.fixed', ['guestCr4'], 'VMXE is 1, and only bits that IA32_VMX_CR4_FIXED1 allows',
    (c) => c.high('guestCr4') === 0 && (cr4(c) & CR4_RESERVED) === 0 && (Number(CR4_FIXED0) & ~cr4(c)) === 0,
  ),
  registers(
    'guest.debugctl.reserved', ['guestDebugctl', 'entryControls'], 'only LBR and BTF',
    (c) => !loads(c, EntryControl.loadDebugControls) || (c.high('guestDebugctl') === 0 && (c.low('guestDebugctl') & ~DEBUGCTL_BITS) === 0),
  ),
  registers('guest.ia32e.paging', ['guestCr0', 'entryControls'], 'PG is 1 in IA-32e mode', (c) => !c.ia32e || (c.cr0 & PG) !== 0),
  registers('guest.ia32e.pae', ['guestCr4', 'entryControls'], 'PAE is 1 in IA-32e mode', (c) => !c.ia32e || (cr4(c) & Number(Cr4.PAE)) !== 0),
  registers('guest.cr4.pcide', ['guestCr4', 'entryControls'], 'PCIDE is 0 outside IA-32e mode', (c) => c.ia32e || (cr4(c) & Number(Cr4.PCIDE)) === 0),
  registers('guest.cr3.width', ['guestCr3'], 'within the physical-address width', (c) => c.narrow('guestCr3')),
  registers(
    'guest.dr7.high', ['guestDr7', 'entryControls'], 'bits 63:32 are 0',
    (c) => !loads(c, EntryControl.loadDebugControls) || c.high('guestDr7') === 0,
  ),
  canonical(registers, 'guest.sysenterEsp.canonical', 'guestSysenterEsp'),
  canonical(registers, 'guest.sysenterEip.canonical', 'guestSysenterEip'),
  registers(
    'guest.perfGlobalCtrl.reserved', ['guestPerfGlobalCtrl', 'entryControls'], '0: there are no performance counters',
    (c) => !loads(c, EntryControl.loadPerfGlobalCtrl) || (c.low('guestPerfGlobalCtrl') | c.high('guestPerfGlobalCtrl')) === 0,
  ),
  registers('guest.pat.types', ['guestPat', 'entryControls'], 'memory types 0, 1, 4, 5, 6 or 7', (c) => !loads(c, EntryControl.loadPat) || c.pat('guestPat')),
  registers(
    'guest.efer.reserved', ['guestEfer', 'entryControls'], 'only SCE, LME, LMA and NXE',
    (c) => !loads(c, EntryControl.loadEfer) || (c.high('guestEfer') === 0 && (c.low('guestEfer') & ~EFER_BITS) === 0),
  ),
  registers(
    'guest.efer.lma', ['guestEfer', 'entryControls'], 'LMA is the IA-32e mode guest control',
    (c) => !loads(c, EntryControl.loadEfer) || ((c.low('guestEfer') & LMA) !== 0) === c.ia32e,
  ),
  registers(
    'guest.efer.lme', ['guestEfer', 'guestCr0', 'entryControls'], 'LMA is LME while PG is 1',
    (c) => !loads(c, EntryControl.loadEfer) || (c.cr0 & PG) === 0 || ((c.low('guestEfer') & LME) !== 0) === ((c.low('guestEfer') & LMA) !== 0),
  ),
  registers(
    'guest.bndcfgs.format', ['guestBndcfgs', 'entryControls'], 'bits 11:2 are 0, the base is canonical',
    (c) => !loads(c, EntryControl.loadBndcfgs) || ((c.low('guestBndcfgs') & 0xffc) === 0 && c.canonical('guestBndcfgs')),
  ),
]

export const guestTableChecks: readonly EntryCheck[] = [
  canonical(tables, 'guest.gdtr.base', 'guestGdtrBase'),
  canonical(tables, 'guest.idtr.base', 'guestIdtrBase'),
  tables('guest.gdtr.limit', ['guestGdtrLimit'], 'bits 31:16 are 0', (c) => c.vmcs.guestGdtrLimit >>> 16 === 0),
  tables('guest.idtr.limit', ['guestIdtrLimit'], 'bits 31:16 are 0', (c) => c.vmcs.guestIdtrLimit >>> 16 === 0),
]

export const guestFlowChecks: readonly EntryCheck[] = [
  flow('guest.rip.high', ['guestRip', 'guestCsAccessRights', 'entryControls'], 'bits 63:32 are 0 outside 64-bit code', (c) => code64(c) || c.high('guestRip') === 0),
  flow('guest.rip.canonical', ['guestRip'], 'canonical in 64-bit code', (c) => !code64(c) || c.canonical('guestRip')),
  flow(
    'guest.rflags.reserved', ['guestRflags'], 'bits 63:22, 15, 5 and 3 are 0, bit 1 is 1',
    (c) => c.high('guestRflags') === 0 && (c.rflags & ~RFLAGS_BITS) === 0 && (c.rflags & 2) !== 0,
  ),
  flow(
    'guest.rflags.vm', ['guestRflags', 'guestCr0', 'entryControls'], 'VM is 0 in IA-32e mode and outside protected mode',
    (c) => !c.v86 || (!c.ia32e && c.protectedMode),
  ),
  flow(
    'guest.rflags.if', ['guestRflags', 'entryInterruptionInformation'], 'IF is 1 when an external interrupt is injected',
    (c) => !c.injecting || c.type !== InterruptionType.externalInterrupt || (c.rflags & Number(Rflags.IF)) !== 0,
  ),
]

// VM-entry checks on guest non-register state (SDM 3C 26.3.1.5) and on PDPTEs (26.3.1.6). One that fails is exit reason 33.

import { Vector } from '../../arch/exceptions.ts'
import { PDPTE_RESERVED_HIGH, PDPTE_RESERVED_LOW, Pte } from '../../arch/pte.ts'
import { Cr0, Cr4, Rflags, Rights } from '../../arch/registers.ts'
import { ActivityState, Interruptibility, InterruptionType, PendingDebug, Pin, Secondary } from '../../arch/vmx.ts'
import { REVISION } from '../vmcs.ts'
import { within, type Candidate, type EntryCheck } from './check.ts'

const state = within('26.3.1.5')
const paging = within('26.3.1.6')
const T = InterruptionType
const { sti, movSs, smi, nmi } = Interruptibility
const BTF = 2

const activity = (c: Candidate): number => c.vmcs.guestActivityState
const blocking = (c: Candidate): number => c.vmcs.guestInterruptibilityState
const injects = (c: Candidate, type: number): boolean => c.injecting && c.type === type
const pending = (c: Candidate): number => c.low('guestPendingDebugExceptions')

/** May the event be injected into an inactive processor? */
function wakes(c: Candidate): boolean {
  const { type, vector } = c
  const machineCheck = type === T.hardwareException && vector === Vector.MC
  switch (activity(c)) {
    case ActivityState.hlt:
      return type === T.externalInterrupt || type === T.nmi || machineCheck || (type === T.hardwareException && vector === Vector.DB) || type === T.otherEvent
    case ActivityState.shutdown:
      return type === T.nmi || machineCheck
    default:
      return activity(c) === ActivityState.active
  }
}

/** A single-step trap must be pending exactly when one would be. */
function stepConsistent(c: Candidate): boolean {
  if ((blocking(c) & (sti | movSs)) === 0 && activity(c) !== ActivityState.hlt) return true
  const stepping = (c.rflags & Number(Rflags.TF)) !== 0 && (c.low('guestDebugctl') & BTF) === 0
  return ((pending(c) & PendingDebug.BS) !== 0) === stepping
}

const hasLink = (c: Candidate): boolean => c.low('vmcsLinkPointer') !== 0xffff_ffff || c.high('vmcsLinkPointer') !== 0xffff_ffff
const LINK = 4
const link = (id: string, expected: string, test: (c: Candidate) => boolean): EntryCheck =>
  state(`guest.linkPointer.${id}`, ['vmcsLinkPointer'], expected, (c) => !hasLink(c) || test(c), LINK)

export const guestActivityChecks: readonly EntryCheck[] = [
  state('guest.activity.supported', ['guestActivityState'], 'at most 3', (c) => activity(c) <= ActivityState.waitForSipi),
  state(
    'guest.activity.hltPrivilege', ['guestActivityState', 'guestSsAccessRights'], 'HLT only with an SS whose DPL is 0',
    (c) => activity(c) !== ActivityState.hlt || ((c.vmcs.guestSsAccessRights >>> Rights.dplShift) & 3) === 0,
  ),
  state(
    'guest.activity.blocking', ['guestActivityState', 'guestInterruptibilityState'], 'active while STI or MOV SS blocks',
    (c) => (blocking(c) & (sti | movSs)) === 0 || activity(c) === ActivityState.active,
  ),
  state(
    'guest.activity.injection', ['guestActivityState', 'entryInterruptionInformation'], 'an event that reaches a processor in this state',
    (c) => !c.injecting || wakes(c),
  ),
  state('guest.interruptibility.reserved', ['guestInterruptibilityState'], 'bits 31:4 are 0', (c) => blocking(c) >>> 4 === 0),
  state('guest.interruptibility.both', ['guestInterruptibilityState'], 'not blocked by both STI and MOV SS', (c) => (blocking(c) & (sti | movSs)) !== (sti | movSs)),
  state(
    'guest.interruptibility.stiFlag', ['guestInterruptibilityState', 'guestRflags'], 'blocking by STI only with IF',
    (c) => (blocking(c) & sti) === 0 || (c.rflags & Number(Rflags.IF)) !== 0,
  ),
  state(
    'guest.interruptibility.interrupt', ['guestInterruptibilityState', 'entryInterruptionInformation'], 'no blocking by STI or MOV SS of an injected external interrupt',
    (c) => !injects(c, T.externalInterrupt) || (blocking(c) & (sti | movSs)) === 0,
  ),
  state(
    'guest.interruptibility.nmiMovSs', ['guestInterruptibilityState', 'entryInterruptionInformation'], 'no blocking by MOV SS of an injected NMI',
    (c) => !injects(c, T.nmi) || (blocking(c) & movSs) === 0,
  ),
  state('guest.interruptibility.smi', ['guestInterruptibilityState'], 'no blocking by SMI outside SMM', (c) => (blocking(c) & smi) === 0),
  state(
    'guest.interruptibility.virtualNmi', ['guestInterruptibilityState', 'entryInterruptionInformation', 'pinControls'], 'no blocking of an injected virtual NMI',
    (c) => (c.pin & Pin.virtualNmis) === 0 || !injects(c, T.nmi) || (blocking(c) & nmi) === 0,
  ),
  state(
    'guest.pendingDebug.reserved', ['guestPendingDebugExceptions'], 'only B0 … B3, bit 12 and BS',
    (c) => c.high('guestPendingDebugExceptions') === 0 && (pending(c) & ~(PendingDebug.breakpoints | PendingDebug.enabledBreakpoint | PendingDebug.BS)) === 0,
  ),
  state(
    'guest.pendingDebug.step', ['guestPendingDebugExceptions', 'guestRflags', 'guestDebugctl', 'guestInterruptibilityState', 'guestActivityState'],
    'while blocked or halted, BS is 1 exactly with TF and without BTF', stepConsistent,
  ),
  link('address', '4-KiB aligned, within the physical-address width', (c) => c.physical('vmcsLinkPointer', 4096)),
  link('revision', 'a region with the revision identifier, a shadow VMCS exactly with VMCS shadowing', (c) => {
    const shadow = c.secondary & Secondary.vmcsShadowing ? 2 ** 31 : 0
    const { physical } = c.core
    const address = Number(c.vmcs.vmcsLinkPointer)
    return physical.host(address) !== 0 && physical.read(address, 4) === REVISION + shadow
  }),
  link('current', 'not the current VMCS', (c) => Number(c.vmcs.vmcsLinkPointer) !== c.vmcs.address),
]

/** PAE paging: its four PDPTEs are loaded by a VM entry. */
export const usesPdptes = (c: Candidate): boolean =>
  (c.cr0 & Number(Cr0.PG)) !== 0 && (c.low('guestCr4') & Number(Cr4.PAE)) !== 0 && !c.ia32e

const valid = (low: number, high: number): boolean => (low & Pte.P) === 0 || ((low & PDPTE_RESERVED_LOW) === 0 && (high & PDPTE_RESERVED_HIGH) === 0)
const PDPTES = 2
const pdpteFields = ['guestPdpte0', 'guestPdpte1', 'guestPdpte2', 'guestPdpte3'] as const
const usesEpt = (c: Candidate): boolean => (c.secondary & Secondary.enableEpt) !== 0
/** The low or high half of a PDPTE that CR3 points at. Without DRAM there it reads as all ones. */
const inMemory = (c: Candidate, n: number, half: 0 | 4): number => {
  const address = (c.low('guestCr3') & ~31) >>> 0
  return c.core.physical.host(address) === 0 ? 0xffff_ffff : c.core.physical.read(address + 8 * n + half, 4)
}

export const guestPdpteChecks: readonly EntryCheck[] = pdpteFields.flatMap((field, n) => [
  paging(
    `guest.pdpte${n}.field`, [field], 'reserved bits of a present PDPTE are 0',
    (c) => !usesPdptes(c) || !usesEpt(c) || valid(c.low(field), c.high(field)),
    PDPTES,
  ),
  paging(
    `guest.pdpte${n}.memory`, ['guestCr3'], 'reserved bits of a present PDPTE are 0',
    (c) => !usesPdptes(c) || usesEpt(c) || valid(inMemory(c, n, 0), inMemory(c, n, 4)),
    PDPTES,
  ),
])

// VM entries (SDM 3C 26.2 … 26.6), behind the basic checks of VMLAUNCH and VMRESUME: controls and host state, guest state, loading,
// MSRs, event injection. Not modelled: SMM, machine checks on the way, DEBUGCTL (its bits have no effect).

import { Efer, Cr0 } from '../arch/registers.ts'
import { ActivityState, EntryControl, ExitReason, Interruptibility, Interruption, InterruptionType, PendingDebug, Pin, Primary, Secondary, VmError } from '../arch/vmx.ts'
import { Dr6 } from '../arch/pte.ts'
import type { Event, EventKind } from '../cpu/event.ts'
import { writeRflags } from '../cpu/flags.ts'
import { modelRegisters } from '../cpu/model-registers.ts'
import { offsets } from '../cpu/processor.ts'
import type { Core } from '../cpu/run.ts'
import { TIMER_RATE } from './capabilities.ts'
import { Candidate, describe, firstFailing, type EntryCheck } from './entry-checks/check.ts'
import { controlChecks, guestStateChecks, hostStateChecks } from './entry-checks/lists.ts'
import { usesPdptes } from './entry-checks/guest-activity.ts'
import { failEntry } from './exit.ts'
import { loadCopied, loadCr0, loadPdptes } from './guest-state.ts'
import { loadMsrs, msrEntry } from './msr-lists.ts'
import type { EntryResult, Vmx } from './vmx.ts'

const EFER = offsets.efer >>> 2
const LMA = Number(Efer.LMA)
const LME = Number(Efer.LME)
/** DR7 as loaded: bits 15, 14 and 12 are 0, bit 10 is 1 (26.3.2.1). */
const DR7_CLEARED = 0xd000n
const DR7_SET = 0x400n
const kinds: readonly (EventKind | undefined)[] = ['external', undefined, 'nmi', 'exception', 'software', 'int1', 'softwareException', undefined]

/**
 * Enters the guest of the current VMCS. 0: the processor is where it has to go on, in the guest or (reason 33 or 34, or an exit while
 * an event was injected) in the host. Else a VM-instruction error, with nothing changed. `vmx.lastFailure` names what failed.
 * Throws `again` when other processors must come first.
 */
export function enter(core: Core, vmx: Vmx, launch: boolean): EntryResult {
  core.synchronize()
  const vmcs = vmx.current!
  const c = new Candidate(core, vmcs)
  const settled = vmx.settled.holds(c)
  const control = settled ? undefined : firstFailing(controlChecks, c)
  if (control) return refuse(vmx, control, VmError.entryControls)
  const host = settled ? undefined : firstFailing(hostStateChecks, c)
  if (host) return refuse(vmx, host, VmError.entryHostState)

  const before = core.delivering
  core.delivering = true
  const guest = settled ? undefined : firstFailing(guestStateChecks, c)
  if (!settled && !guest) vmx.settled.keep(c)
  if (guest) {
    vmx.lastFailure = describe(guest, vmcs)
    failEntry(core, vmx, ExitReason.entryFailureGuestState, guest.qualification ?? 0)
  } else if (load(core, vmx, c)) {
    if (launch) vmcs.launched = true
    vmx.counters.entries++
    vmx.lastFailure = undefined
    begin(core, vmx, c)
  }
  core.delivering = before
  return 0
}

function refuse(vmx: Vmx, check: EntryCheck, error: typeof VmError.entryControls | typeof VmError.entryHostState): EntryResult {
  vmx.lastFailure = describe(check, vmx.current!)
  vmx.counters.failedEntries++
  return error
}

/** 26.3.2 and 26.4. False: an MSR could not be loaded, and the host goes on. */
function load(core: Core, vmx: Vmx, c: Candidate): boolean {
  const s = core.state
  const { vmcs } = c
  vmx.controls.load(vmcs)
  loadCopied(s, vmcs)
  loadCr0(s, c.cr0)
  const paging = (c.cr0 & Number(Cr0.PG)) !== 0
  const efer = s.words[EFER]!
  const long = (c.ia32e ? LMA : 0) | (paging ? (c.ia32e ? LME : 0) : efer & LME)
  s.words[EFER] = c.entry & EntryControl.loadEfer ? c.low('guestEfer') : (efer & ~(LMA | LME)) | long
  if (c.entry & EntryControl.loadPat) modelRegisters(core).pat = vmcs.guestPat
  if (c.entry & EntryControl.loadDebugControls) {
    s.dr.set(7, (vmcs.guestDr7 & ~DR7_CLEARED) | DR7_SET)
    core.debugRegistersChanged()
  }
  writeRflags(s, BigInt(c.rflags))
  core.modeChanged()
  if (usesPdptes(c)) {
    if (c.secondary & Secondary.enableEpt) loadPdptes(s, vmcs)
    else core.memory.loadPdptes(s.cr3)
  }
  const failed = vmcs.entryMsrLoadCount === 0 ? 0 : loadMsrs(core, Number(vmcs.entryMsrLoadAddress), vmcs.entryMsrLoadCount)
  if (failed === 0) return true
  vmx.lastFailure = {
    id: 'entryMsrLoad.entry',
    section: 'SDM 3C 26.4',
    expected: 'an MSR that may be loaded, with a value that WRMSR accepts',
    actual: msrEntry(core, Number(vmcs.entryMsrLoadAddress), failed),
  }
  failEntry(core, vmx, ExitReason.entryFailureMsrLoading, failed)
  return false
}

/** 26.5, 26.6: from here on the guest runs. */
function begin(core: Core, vmx: Vmx, c: Candidate): void {
  const s = core.state
  const { vmcs } = c
  const virtualNmis = (c.pin & Pin.virtualNmis) !== 0
  const blocking = vmcs.guestInterruptibilityState
  vmx.virtualNmiBlocking = virtualNmis && (blocking & Interruptibility.nmi) !== 0
  s.interruptibility = (blocking & (Interruptibility.sti | Interruptibility.movSs)) | ((virtualNmis ? s.interruptibility : blocking) & Interruptibility.nmi)
  s.activity = vmcs.guestActivityState
  const vectoring = c.injecting && c.type !== InterruptionType.otherEvent
  s.pendingDebug = pendingDebug(c, vectoring)
  vmx.enterMode('nonRoot')
  vmx.guestMemory?.enter()
  vmx.preemptionDeadline = c.pin & Pin.activatePreemptionTimer ? deadline(core, vmcs.preemptionTimerValue) : Infinity
  vmx.pendingMtf = c.injecting && (!vectoring || (c.primary & Primary.monitorTrapFlag) !== 0)
  core.transferred()
  if (vectoring) inject(core, vmx, c)
}

/** 26.6.3: dropped by what is injected, but for software events while MOV SS blocks, and by inactivity that no debug exception ends. */
function pendingDebug(c: Candidate, vectoring: boolean): number {
  const pending = c.low('guestPendingDebugExceptions')
  if ((pending & (PendingDebug.enabledBreakpoint | PendingDebug.BS)) === 0) return 0
  const software = c.type === InterruptionType.softwareInterrupt || c.type === InterruptionType.softwareException
  if (vectoring && !(software && c.vmcs.guestInterruptibilityState & Interruptibility.movSs)) return 0
  if (!vectoring && c.vmcs.guestActivityState > ActivityState.hlt) return 0
  return pending & (PendingDebug.breakpoints | Dr6.BS)
}

/** 26.5.1: through the guest's IDT, with what can exit on the way. */
function inject(core: Core, vmx: Vmx, c: Candidate): void {
  const s = core.state
  const { vmcs } = c
  const kind = kinds[c.type]!
  const software = kind === 'software' || kind === 'softwareException' || kind === 'int1'
  const length = vmcs.entryInstructionLength
  const event: Event = {
    vector: c.vector,
    kind,
    injected: true,
    returnRip: software ? (s.rip + BigInt(length)) & s.linearMask : s.rip,
    ...(software ? { instructionLength: length } : {}),
    ...(vmcs.entryInterruptionInformation & Interruption.errorCode ? { errorCode: vmcs.entryExceptionErrorCode } : {}),
  }
  if (kind === 'nmi') {
    if (c.pin & Pin.virtualNmis) vmx.virtualNmiBlocking = true
    else s.interruptibility |= Interruptibility.nmi
  }
  core.deliver(event)
}

/** 25.5.1: the timer counts down whenever bit TIMER_RATE of the TSC changes. */
function deadline(core: Core, value: number): number {
  const now = core.ownTime()
  if (value === 0) return now
  const tsc = BigInt(Math.floor(now)) + core.state.tscOffset
  const rate = BigInt(TIMER_RATE)
  return now + Number((((tsc >> rate) + BigInt(value)) << rate) - tsc)
}

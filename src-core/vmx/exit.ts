// VM exits (SDM 3C 27): information is recorded, guest state saved, MSRs stored, host state loaded, MSRs loaded; and VMX aborts (27.7).
// VM entries that fail behind the checks of controls end here too (26.7). Not modelled: SMM, branch records, DEBUGCTL (always 0).

import { Efer, Rflags } from '../arch/registers.ts'
import { Dr6 } from '../arch/pte.ts'
import {
  ActivityState, ENTRY_FAILURE, EntryControl, ExitControl, ExitReason, Interruptibility, Interruption, InterruptionType, PendingDebug, Pin, Secondary, VmxAbort,
} from '../arch/vmx.ts'
import { rflagsNumber } from '../cpu/flags.ts'
import { isFault, savedFlags, type Event, type EventKind } from '../cpu/event.ts'
import { modelRegisters } from '../cpu/model-registers.ts'
import { offsets } from '../cpu/processor.ts'
import type { Core } from '../cpu/run.ts'
import { TIMER_RATE } from './capabilities.ts'
import { isPae, put, saveCopied, savePdptes } from './guest-state.ts'
import { loadHostState } from './host-state.ts'
import { loadMsrs, storeMsrs } from './msr-lists.ts'
import type { Vmcs } from './vmcs.ts'
import type { Vmx } from './vmx.ts'

/** What an exit tells besides its reason. Without a field the VMCS gets 0, or the length of the instruction at hand; addresses stay. */
export interface ExitDetails {
  readonly qualification?: bigint | number
  readonly instructionLength?: number
  readonly instructionInformation?: number
  /** The event that exits by itself; type of InterruptionType. The error code is dropped outside protected mode. */
  readonly interruption?: { readonly vector: number; readonly type: number; readonly errorCode?: number }
  readonly guestLinear?: bigint
  readonly guestPhysical?: bigint | number
  /** Trap-like, from inside an instruction: that is complete, and the guest goes on behind it (27.3.3). */
  readonly completed?: boolean
}

const types: { readonly [K in EventKind]: number } = {
  external: InterruptionType.externalInterrupt,
  nmi: InterruptionType.nmi,
  exception: InterruptionType.hardwareException,
  software: InterruptionType.softwareInterrupt,
  int1: InterruptionType.privilegedSoftwareException,
  softwareException: InterruptionType.softwareException,
}

const RF = Number(Rflags.RF)
const CR0 = offsets.cr0 >>> 2
const EFER = offsets.efer >>> 2
const isLong = (core: Core): boolean => (core.state.words[EFER]! & Number(Efer.LMA)) !== 0

const R = ExitReason
/** Exits that are an instruction's own: RF is saved as 0 (27.3.3). */
const ofInstruction: ReadonlySet<number> = new Set([
  R.cpuid, R.getsec, R.hlt, R.invd, R.invlpg, R.rdpmc, R.rdtsc, R.rsm, R.vmcall, R.vmclear, R.vmlaunch, R.vmptrld, R.vmptrst, R.vmread, R.vmresume,
  R.vmwrite, R.vmxoff, R.vmxon, R.controlRegisterAccess, R.movDr, R.ioInstruction, R.rdmsr, R.wrmsr, R.mwait, R.monitor, R.pause, R.gdtrOrIdtrAccess,
  R.ldtrOrTrAccess, R.invept, R.rdtscp, R.invvpid, R.wbinvd, R.xsetbv, R.rdrand, R.invpcid, R.vmfunc, R.encls, R.rdseed, R.xsaves, R.xrstors,
])
/** Exits of an access: RF is saved as 1, so that a breakpoint is not met twice. */
const ofAccess: ReadonlySet<number> = new Set([R.apicAccess, R.eptViolation, R.eptMisconfiguration, R.pageModificationLogFull])
/** Exits at a boundary with debug exceptions still pending (27.3.4). */
const keepPending: ReadonlySet<number> = new Set([R.init, R.tprBelowThreshold, R.virtualizedEoi, R.apicWrite, R.monitorTrapFlag])

const isDebug = (d: ExitDetails): boolean => d.interruption !== undefined && d.interruption.vector === 1 && d.interruption.type !== InterruptionType.externalInterrupt

/**
 * Leaves the guest for its monitor: `core.state` is then the host's, or shut down by a VMX abort. `reason`: of ExitReason. The event on
 * its way to a handler (`core.delivery`), if any, becomes the IDT-vectoring information. RIP must be what 27.3.3 saves.
 */
export function vmExit(core: Core, vmx: Vmx, reason: number, details: ExitDetails = {}): void {
  const vmcs = vmx.current!
  vmx.counters.exits[reason]!++
  const before = core.delivering
  core.delivering = true
  record(core, vmcs, reason, details)
  save(core, vmx, vmcs, reason, details)
  const blocksNmi = reason === R.exceptionOrNmi && details.interruption?.type === InterruptionType.nmi
  const long = isLong(core)
  core.delivery = undefined
  core.nmiUnblocked = false
  vmx.enterMode('root')
  if (vmcs.exitMsrStoreCount > 0 && !storeMsrs(core, Number(vmcs.exitMsrStoreAddress), vmcs.exitMsrStoreCount)) abort(core, vmx, VmxAbort.savingGuestMsrs)
  else if (long && !(vmcs.exitControls & ExitControl.hostAddressSpaceSize)) abort(core, vmx, VmxAbort.hostAddressSpaceSize)
  else toHost(core, vmx, vmcs)
  if (blocksNmi) core.state.interruptibility |= Interruptibility.nmi
  core.delivering = before
}

/** A VM entry that fails with the processor already changed, or about to be (26.7): reason 33 or 34. */
export function failEntry(core: Core, vmx: Vmx, reason: number, qualification: number): void {
  const vmcs = vmx.current!
  vmx.counters.failedEntries++
  vmcs.exitReason = (reason | ENTRY_FAILURE) >>> 0
  vmcs.exitQualification = BigInt(qualification)
  toHost(core, vmx, vmcs)
}

function toHost(core: Core, vmx: Vmx, vmcs: Vmcs): void {
  vmx.guestMemory?.leave()
  if (!loadHostState(core, vmcs)) return abort(core, vmx, VmxAbort.hostPdptes)
  const failed = vmcs.exitMsrLoadCount === 0 ? 0 : loadMsrs(core, Number(vmcs.exitMsrLoadAddress), vmcs.exitMsrLoadCount)
  core.transferred()
  if (failed !== 0) abort(core, vmx, VmxAbort.loadingHostMsrs)
}

/** The processor shuts down until a reset; the VMCS region says why (27.7). */
function abort(core: Core, vmx: Vmx, indicator: number): void {
  vmx.current!.abortIndicator = indicator
  vmx.aborted = true
  vmx.guestMemory?.leave()
  core.state.activity = ActivityState.shutdown
  core.transferred()
}

const information = (vector: number, type: number, errorCode: boolean): number =>
  (vector | (type << Interruption.typeShift) | (errorCode ? Interruption.errorCode : 0) | Interruption.valid) >>> 0

/** 27.2; bit 31 of the event that was injected is cleared, the IA-32e control follows EFER.LMA (A.6, bit 5). */
function record(core: Core, vmcs: Vmcs, reason: number, d: ExitDetails): void {
  const { delivery } = core
  const isProtected = (core.state.words[CR0]! & 1) !== 0
  vmcs.exitReason = reason
  if (typeof d.qualification === 'bigint') vmcs.exitQualification = BigInt.asUintN(64, d.qualification)
  else put(vmcs, 'exitQualification', d.qualification ?? 0)
  const event = d.interruption
  let eventInformation = 0
  if (event) {
    const pushes = event.errorCode !== undefined && isProtected
    eventInformation = information(event.vector, event.type, pushes)
    if (core.nmiUnblocked && !delivery && event.vector !== 8) eventInformation |= Interruption.nmiUnblocking
    if (pushes) vmcs.exitInterruptionErrorCode = event.errorCode!
  }
  vmcs.exitInterruptionInformation = eventInformation
  const vectoring = delivery && reason !== R.tripleFault ? delivery : undefined
  const pushes = vectoring?.errorCode !== undefined && isProtected
  vmcs.idtVectoringInformation = vectoring ? information(vectoring.vector, types[vectoring.kind], pushes) : 0
  if (pushes) vmcs.idtVectoringErrorCode = vectoring!.errorCode!
  vmcs.exitInstructionLength = d.instructionLength ?? delivery?.instructionLength ?? core.instruction?.length ?? 0
  vmcs.exitInstructionInformation = d.instructionInformation ?? 0
  if (d.guestLinear !== undefined) vmcs.guestLinearAddress = BigInt.asUintN(64, d.guestLinear)
  if (d.guestPhysical !== undefined) vmcs.guestPhysicalAddress = BigInt(d.guestPhysical)
  vmcs.entryInterruptionInformation = (vmcs.entryInterruptionInformation & ~Interruption.valid) >>> 0
  const entry = vmcs.entryControls
  vmcs.entryControls = (isLong(core) ? entry | EntryControl.ia32eModeGuest : entry & ~EntryControl.ia32eModeGuest) >>> 0
}

/** 27.3. */
function save(core: Core, vmx: Vmx, vmcs: Vmcs, reason: number, d: ExitDetails): void {
  const s = core.state
  const { delivery } = core
  const { pin, exit, secondary } = vmx.controls
  if (d.completed) s.rip = core.nextRip
  saveCopied(s, vmcs)
  put(vmcs, 'guestRflags', flags(core, reason, d, delivery))
  if (secondary & Secondary.enableEpt && isPae(s)) savePdptes(s, vmcs)
  if (exit & ExitControl.saveDebugControls) {
    vmcs.guestDr7 = s.dr.get(7)
    vmcs.guestDebugctl = 0n
  }
  if (exit & ExitControl.savePat) vmcs.guestPat = modelRegisters(core).pat
  if (exit & ExitControl.saveEfer) vmcs.guestEfer = s.efer
  if (exit & ExitControl.savePreemptionTimer) vmcs.preemptionTimerValue = reason === R.preemptionTimer ? 0 : remaining(core, vmx)
  vmx.preemptionDeadline = Infinity

  // Delivery has ended blocking and inactivity, whatever became of it (27.1); else an instruction that did not complete is still blocked.
  const shadow = delivery ? 0 : (s.interruptibility & 3) | (d.completed ? 0 : core.shadow)
  const nmi = pin & Pin.virtualNmis ? vmx.virtualNmiBlocking : (s.interruptibility & Interruptibility.nmi) !== 0
  vmcs.guestInterruptibilityState = shadow | (nmi ? Interruptibility.nmi : 0)
  vmcs.guestActivityState = delivery || s.activity > ActivityState.waitForSipi ? ActivityState.active : s.activity
  put(vmcs, 'guestPendingDebugExceptions', pendingDebug(core, reason, d, shadow))
  vmx.virtualNmiBlocking = false
  vmx.pendingMtf = false
}

/** 27.3.3: an event saves what its handler would find, an instruction RF = 0, an access RF = 1. */
function flags(core: Core, reason: number, d: ExitDetails, delivery: Event | undefined): number {
  const rflags = rflagsNumber(core.state)
  if (d.interruption) {
    const { type, vector } = d.interruption
    if (type === InterruptionType.hardwareException) return isFault(vector) ? rflags | RF : rflags
    return type === InterruptionType.externalInterrupt || type === InterruptionType.nmi ? rflags : rflags & ~RF
  }
  if (reason === R.taskSwitch) return delivery ? Number(savedFlags(core, delivery)) : rflags & ~RF
  if (ofAccess.has(reason)) return delivery ? Number(savedFlags(core, delivery)) : rflags | RF
  return ofInstruction.has(reason) ? rflags & ~RF : rflags
}

/** 27.3.4: what waits at a boundary, or is held back by MOV SS with a single-step trap among it. */
function pendingDebug(core: Core, reason: number, d: ExitDetails, shadow: number): number {
  const s = core.state
  const blocked = (shadow & Interruptibility.movSs) !== 0 && !isDebug(d)
  if (!blocked && !keepPending.has(reason)) return 0
  const points = s.pendingDebug & PendingDebug.breakpoints
  const step = s.pendingDebug & Dr6.BS || (blocked && s.rflags & Rflags.TF)
  return points | (points ? PendingDebug.enabledBreakpoint : 0) | (step ? PendingDebug.BS : 0)
}

/** What the preemption timer would read now (25.5.1). */
function remaining(core: Core, vmx: Vmx): number {
  if (vmx.preemptionDeadline === Infinity) return vmx.current!.preemptionTimerValue
  const offset = core.state.tscOffset
  const ticks = (time: number): bigint => (BigInt(Math.floor(time)) + offset) >> BigInt(TIMER_RATE)
  const left = ticks(vmx.preemptionDeadline) - ticks(core.ownTime())
  return left > 0n ? Number(left) : 0
}

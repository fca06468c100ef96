// VMX capability MSRs 480H … 493H (SDM 3C appendix A), all worked out from one table of what is implemented.
// Not offered: dual-monitor treatment, APIC virtualization beyond the TPR shadow, posted interrupts, VMCS shadowing, Intel PT, SGX.

import { vmcsFields, fieldIndex, type FieldName } from '../arch/vmcs-fields.ts'
import { Default1, EntryControl, EptVpid, ExitControl, Pin, Primary, Secondary, VmFunction, VmxMisc, VmxMsr } from '../arch/vmx.ts'
import { CR4_SUPPORTED } from '../cpu/control-register.ts'
import { Cr4 } from '../arch/registers.ts'
import { REGION_SIZE, REVISION } from './vmcs.ts'

/** Controls by name that may be 1, and default1 bits that the TRUE MSRs let be 0. What is not named is reserved. */
const implemented = {
  pin: { names: ['externalInterruptExiting', 'nmiExiting', 'virtualNmis', 'activatePreemptionTimer'], relaxed: 0 },
  primary: {
    names: [
      'interruptWindowExiting', 'useTscOffsetting', 'hltExiting', 'invlpgExiting', 'mwaitExiting', 'rdpmcExiting', 'rdtscExiting', 'cr3LoadExiting',
      'cr3StoreExiting', 'cr8LoadExiting', 'cr8StoreExiting', 'useTprShadow', 'nmiWindowExiting', 'movDrExiting', 'unconditionalIoExiting',
      'useIoBitmaps', 'monitorTrapFlag', 'useMsrBitmaps', 'monitorExiting', 'pauseExiting', 'activateSecondaryControls',
    ],
    relaxed: Primary.cr3LoadExiting | Primary.cr3StoreExiting,
  },
  secondary: {
    names: [
      'enableEpt', 'descriptorTableExiting', 'enableRdtscp', 'enableVpid', 'wbinvdExiting', 'unrestrictedGuest', 'enableInvpcid',
      'enableVmFunctions', 'enablePml', 'eptViolationVe', 'modeBasedExecute', 'useTscScaling',
    ],
    relaxed: 0,
  },
  exit: {
    names: ['saveDebugControls', 'hostAddressSpaceSize', 'acknowledgeInterrupt', 'savePat', 'loadPat', 'saveEfer', 'loadEfer', 'savePreemptionTimer'],
    relaxed: ExitControl.saveDebugControls,
  },
  entry: { names: ['loadDebugControls', 'ia32eModeGuest', 'loadPat', 'loadEfer'], relaxed: EntryControl.loadDebugControls },
} as const satisfies {
  pin: Group<keyof typeof Pin>
  primary: Group<keyof typeof Primary>
  secondary: Group<keyof typeof Secondary>
  exit: Group<keyof typeof ExitControl>
  entry: Group<keyof typeof EntryControl>
}
interface Group<Name extends string> {
  readonly names: readonly Name[]
  readonly relaxed: number
}

const orAll = (bits: { readonly [name: string]: number }, names: readonly string[]): number => names.reduce((v, name) => (v | bits[name]!) >>> 0, 0)

/** Bits of one 32-bit control word: `must` are 1 in every VM entry, `may` are those that can be (A.2). */
export interface Allowed {
  readonly must: number
  readonly may: number
  /** As the legacy MSR reports: default1 bits are must-be-1. */
  readonly legacyMust: number
}
const allowed = (bits: { readonly [name: string]: number }, group: Group<string>, default1: number): Allowed => ({
  must: (default1 & ~group.relaxed) >>> 0,
  may: (orAll(bits, group.names) | default1) >>> 0,
  legacyMust: default1,
})

export const allowedPin = allowed(Pin, implemented.pin, Default1.pin)
export const allowedPrimary = allowed(Primary, implemented.primary, Default1.primary)
export const allowedSecondary = allowed(Secondary, implemented.secondary, 0)
export const allowedExit = allowed(ExitControl, implemented.exit, Default1.exit)
export const allowedEntry = allowed(EntryControl, implemented.entry, Default1.entry)

export const isAllowed = (value: number, { must, may }: Allowed): boolean => (must & ~value) === 0 && (value & ~may) === 0
/** Can this secondary control be 1? */
const secondary = (bit: number): boolean => (allowedSecondary.may & bit) !== 0
const primary = (bit: number): boolean => (allowedPrimary.may & bit) !== 0

/** VM functions that exist (24.6.14). */
export const vmFunctions = secondary(Secondary.enableVmFunctions) ? 1n << BigInt(VmFunction.eptpSwitching) : 0n

/** The preemption timer counts TSC >> this (25.5.1). */
export const TIMER_RATE = 0
export const CR3_TARGETS = 4
/** Entries recommended in an MSR list at most (A.6). */
export const MSR_LIST_MAX = 512

const misc =
  TIMER_RATE |
  (secondary(Secondary.unrestrictedGuest) ? VmxMisc.storesLma : 0) |
  VmxMisc.hlt |
  VmxMisc.shutdown |
  VmxMisc.waitForSipi |
  (CR3_TARGETS << VmxMisc.cr3TargetsShift) |
  VmxMisc.writesInformation |
  VmxMisc.zeroLengthInjection

/** What VM entry and INVEPT accept of EPT, and INVVPID of VPIDs (A.10). */
export const eptVpid =
  (secondary(Secondary.enableEpt)
    ? EptVpid.executeOnly | EptVpid.walk4 | EptVpid.uncacheable | EptVpid.writeBack | EptVpid.pages2M | EptVpid.pages1G | EptVpid.invept |
      EptVpid.accessedDirty | EptVpid.advancedViolation | EptVpid.inveptSingle | EptVpid.inveptAll
    : 0n) |
  (secondary(Secondary.enableVpid)
    ? EptVpid.invvpid | EptVpid.invvpidAddress | EptVpid.invvpidSingle | EptVpid.invvpidAll | EptVpid.invvpidSingleRetainingGlobals
    : 0n)

/** PE, NE and PG; nothing of the lower half must be 0 (A.7). */
export const CR0_FIXED0 = 0x8000_0021n
export const CR0_FIXED1 = 0xffff_ffffn
/** VMXE; what the processor has (A.8). */
export const CR4_FIXED0: bigint = Cr4.VMXE
export const CR4_FIXED1: bigint = CR4_SUPPORTED | Cr4.VMXE

/** Fields that exist only with a control (24.11.2, appendix B); all others of arch/vmcs-fields.ts are given below or do not exist. */
const conditional: Partial<Record<FieldName, boolean>> = {
  vpid: secondary(Secondary.enableVpid),
  postedInterruptNotificationVector: false,
  eptpIndex: secondary(Secondary.eptViolationVe),
  hlatPrefixSize: false,
  lastPidPointerIndex: false,
  guestInterruptStatus: secondary(Secondary.virtualInterruptDelivery),
  pmlIndex: secondary(Secondary.enablePml),
  guestUinv: false,
  msrBitmaps: primary(Primary.useMsrBitmaps),
  pmlAddress: secondary(Secondary.enablePml),
  virtualApicAddress: primary(Primary.useTprShadow),
  apicAccessAddress: secondary(Secondary.virtualizeApicAccesses),
  postedInterruptDescriptorAddress: false,
  vmFunctionControls: secondary(Secondary.enableVmFunctions),
  eptPointer: secondary(Secondary.enableEpt),
  eoiExitBitmap0: secondary(Secondary.virtualInterruptDelivery),
  eoiExitBitmap1: secondary(Secondary.virtualInterruptDelivery),
  eoiExitBitmap2: secondary(Secondary.virtualInterruptDelivery),
  eoiExitBitmap3: secondary(Secondary.virtualInterruptDelivery),
  eptpListAddress: vmFunctions !== 0n,
  vmreadBitmapAddress: secondary(Secondary.vmcsShadowing),
  vmwriteBitmapAddress: secondary(Secondary.vmcsShadowing),
  virtualizationExceptionAddress: secondary(Secondary.eptViolationVe),
  xssExitingBitmap: secondary(Secondary.enableXsaves),
  enclsExitingBitmap: secondary(Secondary.enableEnclsExiting),
  subPagePermissionTablePointer: secondary(Secondary.subPageWritePermissions),
  tscMultiplier: secondary(Secondary.useTscScaling),
  tertiaryControls: primary(Primary.activateTertiaryControls),
  enclvExitingBitmap: secondary(Secondary.enclvExiting),
  lowPasidDirectory: false,
  highPasidDirectory: false,
  pconfigExitingBitmap: false,
  hlatPointer: false,
  pidPointerTableAddress: false,
  secondaryExitControls: (allowedExit.may & ExitControl.activateSecondaryControls) !== 0,
  guestPhysicalAddress: secondary(Secondary.enableEpt),
  guestPdpte0: secondary(Secondary.enableEpt),
  guestPdpte1: secondary(Secondary.enableEpt),
  guestPdpte2: secondary(Secondary.enableEpt),
  guestPdpte3: secondary(Secondary.enableEpt),
  guestPat: (allowedEntry.may & EntryControl.loadPat) !== 0 || (allowedExit.may & ExitControl.savePat) !== 0,
  hostPat: (allowedExit.may & ExitControl.loadPat) !== 0,
  guestEfer: (allowedEntry.may & EntryControl.loadEfer) !== 0 || (allowedExit.may & ExitControl.saveEfer) !== 0,
  hostEfer: (allowedExit.may & ExitControl.loadEfer) !== 0,
  guestPerfGlobalCtrl: (allowedEntry.may & EntryControl.loadPerfGlobalCtrl) !== 0,
  hostPerfGlobalCtrl: (allowedExit.may & ExitControl.loadPerfGlobalCtrl) !== 0,
  guestBndcfgs: (allowedEntry.may & EntryControl.loadBndcfgs) !== 0,
  guestRtitCtl: (allowedEntry.may & EntryControl.loadRtitCtl) !== 0,
  guestLbrCtl: false,
  guestPkrs: (allowedEntry.may & EntryControl.loadPkrs) !== 0,
  hostPkrs: (allowedExit.may & ExitControl.loadPkrs) !== 0,
  tprThreshold: primary(Primary.useTprShadow),
  pleGap: secondary(Secondary.pauseLoopExiting),
  pleWindow: secondary(Secondary.pauseLoopExiting),
  notifyWindow: false,
  preemptionTimerValue: (allowedPin.may & Pin.activatePreemptionTimer) !== 0,
  guestSCet: (allowedEntry.may & EntryControl.loadCet) !== 0,
  guestSsp: (allowedEntry.may & EntryControl.loadCet) !== 0,
  guestInterruptSspTable: (allowedEntry.may & EntryControl.loadCet) !== 0,
  hostSCet: (allowedExit.may & ExitControl.loadCet) !== 0,
  hostSsp: (allowedExit.may & ExitControl.loadCet) !== 0,
  hostInterruptSspTable: (allowedExit.may & ExitControl.loadCet) !== 0,
}

/** Does VMREAD know the field? */
export const fieldExists = (name: FieldName): boolean => conditional[name] ?? true

const highestIndex = Math.max(...(Object.keys(vmcsFields) as FieldName[]).filter(fieldExists).map((name) => fieldIndex(vmcsFields[name])))

const pair = (low: number, high: number): bigint => (BigInt(high) << 32n) | BigInt(low)
const WRITE_BACK = 6

// Region size in 44:32, memory type in 53:50; INS and OUTS give information (54), TRUE MSRs exist (55) (A.1).
const basic = BigInt(REVISION) | (BigInt(REGION_SIZE) << 32n) | (BigInt(WRITE_BACK) << 50n) | (1n << 54n) | (1n << 55n)

const registers = new Map<number, bigint>([
  [VmxMsr.basic, basic],
  [VmxMsr.pin, pair(allowedPin.legacyMust, allowedPin.may)],
  [VmxMsr.primary, pair(allowedPrimary.legacyMust, allowedPrimary.may)],
  [VmxMsr.exit, pair(allowedExit.legacyMust, allowedExit.may)],
  [VmxMsr.entry, pair(allowedEntry.legacyMust, allowedEntry.may)],
  [VmxMsr.misc, BigInt(misc)],
  [VmxMsr.cr0Fixed0, CR0_FIXED0],
  [VmxMsr.cr0Fixed1, CR0_FIXED1],
  [VmxMsr.cr4Fixed0, CR4_FIXED0],
  [VmxMsr.cr4Fixed1, CR4_FIXED1],
  [VmxMsr.vmcsEnum, BigInt(highestIndex << 1)],
  [VmxMsr.truePin, pair(allowedPin.must, allowedPin.may)],
  [VmxMsr.truePrimary, pair(allowedPrimary.must, allowedPrimary.may)],
  [VmxMsr.trueExit, pair(allowedExit.must, allowedExit.may)],
  [VmxMsr.trueEntry, pair(allowedEntry.must, allowedEntry.may)],
])
if (primary(Primary.activateSecondaryControls)) registers.set(VmxMsr.secondary, pair(0, allowedSecondary.may))
if (eptVpid !== 0n) registers.set(VmxMsr.eptVpidCap, eptVpid)
if (vmFunctions !== 0n) registers.set(VmxMsr.vmfunc, vmFunctions)

/** A capability MSR; undefined: it does not exist, #GP(0). */
export const capabilityMsr = (index: number): bigint | undefined => registers.get(index)

/** An EPT pointer that VM entry and INVEPT accept (24.6.11, 26.2.1.1): type 2:0, walk length − 1 5:3, A/D 6, 11:7 clear. `width`: of physical addresses. */
export function isValidEptPointer(pointer: bigint, width: number): boolean {
  const type = pointer & 7n
  if (!(type === 0n && eptVpid & EptVpid.uncacheable) && !(type === 6n && eptVpid & EptVpid.writeBack)) return false
  if (((pointer >> 3n) & 7n) !== 3n) return false
  if (pointer & (1n << 6n) && !(eptVpid & EptVpid.accessedDirty)) return false
  return (pointer & 0xf80n) === 0n && pointer >> BigInt(width) === 0n
}

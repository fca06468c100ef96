// Virtual-machine extensions: controls, exit reasons, errors, formats of VMCS fields (SDM 3C 24, 30.4, appendices A and C). Facts only.
// Encodings of the fields: arch/vmcs-fields.ts.

const bit = (n: number): number => 2 ** n

/** Pin-based VM-execution controls (24.6.1). Bits are unsigned numbers. */
export const Pin = {
  externalInterruptExiting: bit(0),
  nmiExiting: bit(3),
  virtualNmis: bit(5),
  activatePreemptionTimer: bit(6),
  processPostedInterrupts: bit(7),
} as const

/** Primary processor-based VM-execution controls (24.6.2). */
export const Primary = {
  interruptWindowExiting: bit(2),
  useTscOffsetting: bit(3),
  hltExiting: bit(7),
  invlpgExiting: bit(9),
  mwaitExiting: bit(10),
  rdpmcExiting: bit(11),
  rdtscExiting: bit(12),
  cr3LoadExiting: bit(15),
  cr3StoreExiting: bit(16),
  activateTertiaryControls: bit(17),
  cr8LoadExiting: bit(19),
  cr8StoreExiting: bit(20),
  useTprShadow: bit(21),
  nmiWindowExiting: bit(22),
  movDrExiting: bit(23),
  unconditionalIoExiting: bit(24),
  useIoBitmaps: bit(25),
  monitorTrapFlag: bit(27),
  useMsrBitmaps: bit(28),
  monitorExiting: bit(29),
  pauseExiting: bit(30),
  activateSecondaryControls: bit(31),
} as const

/** Secondary processor-based VM-execution controls (24.6.2). */
export const Secondary = {
  virtualizeApicAccesses: bit(0),
  enableEpt: bit(1),
  descriptorTableExiting: bit(2),
  enableRdtscp: bit(3),
  virtualizeX2apicMode: bit(4),
  enableVpid: bit(5),
  wbinvdExiting: bit(6),
  unrestrictedGuest: bit(7),
  apicRegisterVirtualization: bit(8),
  virtualInterruptDelivery: bit(9),
  pauseLoopExiting: bit(10),
  rdrandExiting: bit(11),
  enableInvpcid: bit(12),
  enableVmFunctions: bit(13),
  vmcsShadowing: bit(14),
  enableEnclsExiting: bit(15),
  rdseedExiting: bit(16),
  enablePml: bit(17),
  eptViolationVe: bit(18),
  concealVmxFromPt: bit(19),
  enableXsaves: bit(20),
  modeBasedExecute: bit(22),
  subPageWritePermissions: bit(23),
  ptUsesGuestPhysical: bit(24),
  useTscScaling: bit(25),
  enableUserWait: bit(26),
  enclvExiting: bit(28),
} as const

/** VM-exit controls (24.7.1). */
export const ExitControl = {
  saveDebugControls: bit(2),
  hostAddressSpaceSize: bit(9),
  loadPerfGlobalCtrl: bit(12),
  acknowledgeInterrupt: bit(15),
  savePat: bit(18),
  loadPat: bit(19),
  saveEfer: bit(20),
  loadEfer: bit(21),
  savePreemptionTimer: bit(22),
  clearBndcfgs: bit(23),
  concealFromPt: bit(24),
  clearRtitCtl: bit(25),
  loadCet: bit(28),
  loadPkrs: bit(29),
  savePerfGlobalCtrl: bit(30),
  activateSecondaryControls: bit(31),
} as const

/** VM-entry controls (24.8.1). */
export const EntryControl = {
  loadDebugControls: bit(2),
  ia32eModeGuest: bit(9),
  entryToSmm: bit(10),
  deactivateDualMonitor: bit(11),
  loadPerfGlobalCtrl: bit(13),
  loadPat: bit(14),
  loadEfer: bit(15),
  loadBndcfgs: bit(16),
  concealFromPt: bit(17),
  loadRtitCtl: bit(18),
  loadCet: bit(20),
  loadPkrs: bit(22),
} as const

/** Bits of the legacy capability MSRs that are reported as must-be-1 (A.2 … A.5). */
export const Default1 = { pin: 0x16, primary: 0x0401e172, exit: 0x36dff, entry: 0x11ff } as const

/** VM-function controls (24.6.14). */
export const VmFunction = { eptpSwitching: 0 } as const

/** Basic exit reasons (appendix C); bit 31 of the exit-reason field marks failed VM entries. */
export const ExitReason = {
  exceptionOrNmi: 0,
  externalInterrupt: 1,
  tripleFault: 2,
  init: 3,
  sipi: 4,
  ioSmi: 5,
  otherSmi: 6,
  interruptWindow: 7,
  nmiWindow: 8,
  taskSwitch: 9,
  cpuid: 10,
  getsec: 11,
  hlt: 12,
  invd: 13,
  invlpg: 14,
  rdpmc: 15,
  rdtsc: 16,
  rsm: 17,
  vmcall: 18,
  vmclear: 19,
  vmlaunch: 20,
  vmptrld: 21,
  vmptrst: 22,
  vmread: 23,
  vmresume: 24,
  vmwrite: 25,
  vmxoff: 26,
  vmxon: 27,
  controlRegisterAccess: 28,
  movDr: 29,
  ioInstruction: 30,
  rdmsr: 31,
  wrmsr: 32,
  entryFailureGuestState: 33,
  entryFailureMsrLoading: 34,
  mwait: 36,
  monitorTrapFlag: 37,
  monitor: 39,
  pause: 40,
  entryFailureMachineCheck: 41,
  tprBelowThreshold: 43,
  apicAccess: 44,
  virtualizedEoi: 45,
  gdtrOrIdtrAccess: 46,
  ldtrOrTrAccess: 47,
  eptViolation: 48,
  eptMisconfiguration: 49,
  invept: 50,
  rdtscp: 51,
  preemptionTimer: 52,
  invvpid: 53,
  wbinvd: 54,
  xsetbv: 55,
  apicWrite: 56,
  rdrand: 57,
  invpcid: 58,
  vmfunc: 59,
  encls: 60,
  rdseed: 61,
  pageModificationLogFull: 62,
  xsaves: 63,
  xrstors: 64,
  pconfig: 65,
  subPageEvent: 66,
  umwait: 67,
  tpause: 68,
  loadiwkey: 69,
} as const
export type ExitReasonName = keyof typeof ExitReason
export const EXIT_REASONS = 80
/** In the exit-reason field: the VM entry failed (24.9.1). */
export const ENTRY_FAILURE = bit(31)

/** VM-instruction error numbers (30.4). */
export const VmError = {
  vmcallInRoot: 1,
  vmclearAddress: 2,
  vmclearVmxonPointer: 3,
  vmlaunchNonClear: 4,
  vmresumeNonLaunched: 5,
  vmresumeAfterVmxoff: 6,
  entryControls: 7,
  entryHostState: 8,
  vmptrldAddress: 9,
  vmptrldVmxonPointer: 10,
  vmptrldRevision: 11,
  unsupportedComponent: 12,
  readOnlyComponent: 13,
  vmxonInRoot: 15,
  entryMovSsBlocking: 26,
  invalidInvalidationOperand: 28,
} as const

/** VMX-abort indicators, the dword at +4 of a VMCS region (27.7). */
export const VmxAbort = { savingGuestMsrs: 1, hostPdptes: 2, vmcsCorrupted: 3, loadingHostMsrs: 4, machineCheck: 5, hostAddressSpaceSize: 6 } as const

/** Interruptibility state (24.4.2). */
export const Interruptibility = { sti: bit(0), movSs: bit(1), smi: bit(2), nmi: bit(3), enclave: bit(4) } as const

/** Activity state (24.4.2). */
export const ActivityState = { active: 0, hlt: 1, shutdown: 2, waitForSipi: 3 } as const

/** Pending debug exceptions (24.4.2): B0–B3 in 3:0. */
export const PendingDebug = { breakpoints: 0xf, enabledBreakpoint: bit(12), BS: bit(14), RTM: bit(16) } as const

/** VM-entry and VM-exit interruption information, IDT-vectoring information (24.8.3, 24.9.2): vector 7:0, type 10:8. */
export const Interruption = {
  typeShift: 8,
  errorCode: bit(11),
  nmiUnblocking: bit(12),
  valid: bit(31),
} as const
export const InterruptionType = {
  externalInterrupt: 0,
  nmi: 2,
  hardwareException: 3,
  softwareInterrupt: 4,
  privilegedSoftwareException: 5,
  softwareException: 6,
  otherEvent: 7,
} as const

/** IA32_VMX_MISC (A.6). */
export const VmxMisc = {
  timerRateMask: 0x1f,
  storesLma: bit(5),
  hlt: bit(6),
  shutdown: bit(7),
  waitForSipi: bit(8),
  cr3TargetsShift: 16,
  writesInformation: bit(29),
  zeroLengthInjection: bit(30),
} as const

/** IA32_VMX_EPT_VPID_CAP (A.10). */
export const EptVpid = {
  executeOnly: 1n << 0n,
  walk4: 1n << 6n,
  uncacheable: 1n << 8n,
  writeBack: 1n << 14n,
  pages2M: 1n << 16n,
  pages1G: 1n << 17n,
  invept: 1n << 20n,
  accessedDirty: 1n << 21n,
  /** Exit qualifications of EPT violations tell of the guest's page. */
  advancedViolation: 1n << 22n,
  inveptSingle: 1n << 25n,
  inveptAll: 1n << 26n,
  invvpid: 1n << 32n,
  invvpidAddress: 1n << 40n,
  invvpidSingle: 1n << 41n,
  invvpidAll: 1n << 42n,
  invvpidSingleRetainingGlobals: 1n << 43n,
} as const

/** Capability MSRs (appendix A). */
export const VmxMsr = {
  basic: 0x480,
  pin: 0x481,
  primary: 0x482,
  exit: 0x483,
  entry: 0x484,
  misc: 0x485,
  cr0Fixed0: 0x486,
  cr0Fixed1: 0x487,
  cr4Fixed0: 0x488,
  cr4Fixed1: 0x489,
  vmcsEnum: 0x48a,
  secondary: 0x48b,
  eptVpidCap: 0x48c,
  truePin: 0x48d,
  truePrimary: 0x48e,
  trueExit: 0x48f,
  trueEntry: 0x490,
  vmfunc: 0x491,
  tertiary: 0x492,
  exit2: 0x493,
} as const

/** IA32_FEATURE_CONTROL (3AH): locked, VMXON allowed inside and outside SMX operation. */
export const FeatureControl = { lock: 1n, vmxInSmx: 2n, vmxOutsideSmx: 4n } as const

/** A pointer field of all ones points nowhere (24.1, 24.4.2). */
export const NO_POINTER = 0xffff_ffff_ffff_ffffn

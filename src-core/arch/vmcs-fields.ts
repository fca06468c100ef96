// Encodings of the VMCS fields (SDM 3C 24.11.2, appendix B). Facts only.
//
//   15  14:13 width            12  11:10 type                                 9:1    0
//   0   0: 16, 1: 64, 2: 32,   0   0 control, 1 exit information, 2 guest,    index  1: upper half
//       3: natural (64 bits)       3 host                                            of a 64-bit field

const word = { vpid: 0x0000, postedInterruptNotificationVector: 0x0002, eptpIndex: 0x0004, hlatPrefixSize: 0x0006, lastPidPointerIndex: 0x0008 } as const

const wordGuest = {
  guestEsSelector: 0x0800, guestCsSelector: 0x0802, guestSsSelector: 0x0804, guestDsSelector: 0x0806,
  guestFsSelector: 0x0808, guestGsSelector: 0x080a, guestLdtrSelector: 0x080c, guestTrSelector: 0x080e,
  guestInterruptStatus: 0x0810, pmlIndex: 0x0812, guestUinv: 0x0814,
} as const

const wordHost = {
  hostEsSelector: 0x0c00, hostCsSelector: 0x0c02, hostSsSelector: 0x0c04, hostDsSelector: 0x0c06,
  hostFsSelector: 0x0c08, hostGsSelector: 0x0c0a, hostTrSelector: 0x0c0c,
} as const

const quad = {
  ioBitmapA: 0x2000, ioBitmapB: 0x2002, msrBitmaps: 0x2004, exitMsrStoreAddress: 0x2006, exitMsrLoadAddress: 0x2008,
  entryMsrLoadAddress: 0x200a, executiveVmcsPointer: 0x200c, pmlAddress: 0x200e, tscOffset: 0x2010, virtualApicAddress: 0x2012,
  apicAccessAddress: 0x2014, postedInterruptDescriptorAddress: 0x2016, vmFunctionControls: 0x2018, eptPointer: 0x201a,
  eoiExitBitmap0: 0x201c, eoiExitBitmap1: 0x201e, eoiExitBitmap2: 0x2020, eoiExitBitmap3: 0x2022, eptpListAddress: 0x2024,
  vmreadBitmapAddress: 0x2026, vmwriteBitmapAddress: 0x2028, virtualizationExceptionAddress: 0x202a, xssExitingBitmap: 0x202c,
  enclsExitingBitmap: 0x202e, subPagePermissionTablePointer: 0x2030, tscMultiplier: 0x2032, tertiaryControls: 0x2034,
  enclvExitingBitmap: 0x2036, lowPasidDirectory: 0x2038, highPasidDirectory: 0x203a, pconfigExitingBitmap: 0x203e,
  hlatPointer: 0x2040, pidPointerTableAddress: 0x2042, secondaryExitControls: 0x2044,
} as const

const quadInformation = { guestPhysicalAddress: 0x2400 } as const

const quadGuest = {
  vmcsLinkPointer: 0x2800, guestDebugctl: 0x2802, guestPat: 0x2804, guestEfer: 0x2806, guestPerfGlobalCtrl: 0x2808,
  guestPdpte0: 0x280a, guestPdpte1: 0x280c, guestPdpte2: 0x280e, guestPdpte3: 0x2810, guestBndcfgs: 0x2812,
  guestRtitCtl: 0x2814, guestLbrCtl: 0x2816, guestPkrs: 0x2818,
} as const

const quadHost = { hostPat: 0x2c00, hostEfer: 0x2c02, hostPerfGlobalCtrl: 0x2c04, hostPkrs: 0x2c06 } as const

const double = {
  pinControls: 0x4000, primaryControls: 0x4002, exceptionBitmap: 0x4004, pageFaultErrorCodeMask: 0x4006, pageFaultErrorCodeMatch: 0x4008,
  cr3TargetCount: 0x400a, exitControls: 0x400c, exitMsrStoreCount: 0x400e, exitMsrLoadCount: 0x4010, entryControls: 0x4012,
  entryMsrLoadCount: 0x4014, entryInterruptionInformation: 0x4016, entryExceptionErrorCode: 0x4018, entryInstructionLength: 0x401a,
  tprThreshold: 0x401c, secondaryControls: 0x401e, pleGap: 0x4020, pleWindow: 0x4022, notifyWindow: 0x4024,
} as const

const doubleInformation = {
  vmInstructionError: 0x4400, exitReason: 0x4402, exitInterruptionInformation: 0x4404, exitInterruptionErrorCode: 0x4406,
  idtVectoringInformation: 0x4408, idtVectoringErrorCode: 0x440a, exitInstructionLength: 0x440c, exitInstructionInformation: 0x440e,
} as const

const doubleGuest = {
  guestEsLimit: 0x4800, guestCsLimit: 0x4802, guestSsLimit: 0x4804, guestDsLimit: 0x4806, guestFsLimit: 0x4808, guestGsLimit: 0x480a,
  guestLdtrLimit: 0x480c, guestTrLimit: 0x480e, guestGdtrLimit: 0x4810, guestIdtrLimit: 0x4812,
  guestEsAccessRights: 0x4814, guestCsAccessRights: 0x4816, guestSsAccessRights: 0x4818, guestDsAccessRights: 0x481a,
  guestFsAccessRights: 0x481c, guestGsAccessRights: 0x481e, guestLdtrAccessRights: 0x4820, guestTrAccessRights: 0x4822,
  guestInterruptibilityState: 0x4824, guestActivityState: 0x4826, guestSmbase: 0x4828, guestSysenterCs: 0x482a, preemptionTimerValue: 0x482e,
} as const

const doubleHost = { hostSysenterCs: 0x4c00 } as const

const natural = {
  cr0GuestHostMask: 0x6000, cr4GuestHostMask: 0x6002, cr0ReadShadow: 0x6004, cr4ReadShadow: 0x6006,
  cr3Target0: 0x6008, cr3Target1: 0x600a, cr3Target2: 0x600c, cr3Target3: 0x600e,
} as const

const naturalInformation = {
  exitQualification: 0x6400, ioRcx: 0x6402, ioRsi: 0x6404, ioRdi: 0x6406, ioRip: 0x6408, guestLinearAddress: 0x640a,
} as const

const naturalGuest = {
  guestCr0: 0x6800, guestCr3: 0x6802, guestCr4: 0x6804,
  guestEsBase: 0x6806, guestCsBase: 0x6808, guestSsBase: 0x680a, guestDsBase: 0x680c, guestFsBase: 0x680e, guestGsBase: 0x6810,
  guestLdtrBase: 0x6812, guestTrBase: 0x6814, guestGdtrBase: 0x6816, guestIdtrBase: 0x6818,
  guestDr7: 0x681a, guestRsp: 0x681c, guestRip: 0x681e, guestRflags: 0x6820, guestPendingDebugExceptions: 0x6822,
  guestSysenterEsp: 0x6824, guestSysenterEip: 0x6826, guestSCet: 0x6828, guestSsp: 0x682a, guestInterruptSspTable: 0x682c,
} as const

const naturalHost = {
  hostCr0: 0x6c00, hostCr3: 0x6c02, hostCr4: 0x6c04, hostFsBase: 0x6c06, hostGsBase: 0x6c08, hostTrBase: 0x6c0a,
  hostGdtrBase: 0x6c0c, hostIdtrBase: 0x6c0e, hostSysenterEsp: 0x6c10, hostSysenterEip: 0x6c12, hostRsp: 0x6c14, hostRip: 0x6c16,
  hostSCet: 0x6c18, hostSsp: 0x6c1a, hostInterruptSspTable: 0x6c1c,
} as const

/** Fields of 16 and 32 bits: name → encoding. */
export const narrowFields = { ...word, ...wordGuest, ...wordHost, ...double, ...doubleInformation, ...doubleGuest, ...doubleHost } as const
/** Fields of 64 bits and natural width: name → encoding. */
export const wideFields = { ...quad, ...quadInformation, ...quadGuest, ...quadHost, ...natural, ...naturalInformation, ...naturalGuest, ...naturalHost } as const
/** All fields: name → encoding, bit 0 clear. */
export const vmcsFields = { ...narrowFields, ...wideFields } as const

export type NarrowField = keyof typeof narrowFields
export type WideField = keyof typeof wideFields
export type FieldName = NarrowField | WideField

export type FieldWidth = 16 | 32 | 64 | 'natural'
const widths: readonly FieldWidth[] = [16, 64, 32, 'natural']
export const fieldWidth = (encoding: number): FieldWidth => widths[(encoding >> 13) & 3]!

export type FieldType = 'control' | 'information' | 'guest' | 'host'
const types: readonly FieldType[] = ['control', 'information', 'guest', 'host']
export const fieldType = (encoding: number): FieldType => types[(encoding >> 10) & 3]!
export const fieldIndex = (encoding: number): number => (encoding >> 1) & 0x1ff

// Model-specific register numbers and bits (SDM 4 table 2-2). Facts only.

export const Msr = {
  TSC: 0x10,
  PLATFORM_ID: 0x17,
  APIC_BASE: 0x1b,
  SMI_COUNT: 0x34,
  FEATURE_CONTROL: 0x3a,
  TSC_ADJUST: 0x3b,
  BIOS_SIGN_ID: 0x8b,
  PLATFORM_INFO: 0xce,
  MTRRCAP: 0xfe,
  ARCH_CAPABILITIES: 0x10a,
  MISC_FEATURES_ENABLES: 0x140,
  SYSENTER_CS: 0x174,
  SYSENTER_ESP: 0x175,
  SYSENTER_EIP: 0x176,
  MCG_CAP: 0x179,
  MCG_STATUS: 0x17a,
  MISC_ENABLE: 0x1a0,
  DEBUGCTL: 0x1d9,
  MTRR_PHYSBASE0: 0x200,
  MTRR_FIX64K_00000: 0x250,
  MTRR_FIX16K_80000: 0x258,
  MTRR_FIX16K_A0000: 0x259,
  MTRR_FIX4K_C0000: 0x268,
  PAT: 0x277,
  MTRR_DEF_TYPE: 0x2ff,
  MC0_CTL: 0x400,
  TSC_DEADLINE: 0x6e0,
  X2APIC_FIRST: 0x800,
  X2APIC_LAST: 0x8ff,
  EFER: 0xc0000080,
  STAR: 0xc0000081,
  LSTAR: 0xc0000082,
  CSTAR: 0xc0000083,
  FMASK: 0xc0000084,
  FS_BASE: 0xc0000100,
  GS_BASE: 0xc0000101,
  KERNEL_GS_BASE: 0xc0000102,
  TSC_AUX: 0xc0000103,
} as const

export const MTRR_PAIRS = 8
/** MTRRcap: WC in bit 10, fixed ranges in bit 8, pairs of variable ranges in 7:0. */
export const MTRRCAP = 0x500n | BigInt(MTRR_PAIRS)
export const MC_BANKS = 4

/** Memory types: UC 0, WC 1, WT 4, WP 5, WB 6, and UC− 7 in the PAT only (SDM 3A tables 11-8, 11-10). */
export const isMtrrType = (t: number): boolean => t === 0 || t === 1 || (t >= 4 && t <= 6)
export const isPatType = (t: number): boolean => isMtrrType(t) || t === 7
/** PA7…PA0 at reset: UC UC− WT WB, twice (SDM 3A 11.12.4). */
export const PAT_RESET: bigint = 0x0007040600070406n

/**
 * IA32_MISC_ENABLE: fast strings 0, thermal control 3, BTS and PEBS unavailable 11 and 12, SpeedStep 16, MONITOR 18, CPUID limited to
 * leaf 2 22, xTPR off 23, XD off 34. Those of 3, 16, 18 and 23 are kept and do nothing: CPUID offers none of the features.
 */
export const MiscEnable: Readonly<Record<'reset' | 'limitCpuid' | 'xdDisable' | 'writable', bigint>> = {
  reset: 0x1801n,
  limitCpuid: 1n << 22n,
  xdDisable: 1n << 34n,
  writable: [0n, 3n, 16n, 18n, 22n, 23n, 34n].reduce((v, bit) => v | (1n << bit), 0n),
}

/**
 * IA32_ARCH_CAPABILITIES: an emulator has no speculation to leak from. RDCL_NO 0, SKIP_L1DFL_VMENTRY 3, SSB_NO 4, MDS_NO 5,
 * IF_PSCHANGE_MC_NO 6, TAA_NO 8, SBDR_SSDP_NO 13, FBSDP_NO 14, PSDP_NO 15, BHI_NO 20, PBRSB_NO 24, GDS_NO 26, RFDS_NO 27.
 */
export const ARCH_CAPABILITIES = [0, 3, 4, 5, 6, 8, 13, 14, 15, 20, 24, 26, 27].reduce((v, bit) => v | (1n << BigInt(bit)), 0n)

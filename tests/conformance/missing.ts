// What iced-x86 lists and our table leaves out, and where the two differ on purpose, each with its reason.

/** Feature sets that we offer: each of their opcodes has a row or stands in `noRow`. */
export const offered: ReadonlySet<string> = new Set([
  ...['INTEL8086', 'INTEL186', 'INTEL286', 'INTEL386', 'INTEL486', 'X64', 'MULTIBYTENOP', 'PAUSE', 'CMOV', 'CPUID', 'MSR', 'TSC', 'RDPMC'],
  ...['SEP', 'SYSCALL', 'RDTSCP', 'FSGSBASE', 'SMAP', 'INVPCID', 'MONITOR', 'PREFETCHW', 'PREFETCHWT1', 'CLFSH', 'CLFLUSHOPT', 'RDPID'],
  ...['CX8', 'CMPXCHG16B', 'POPCNT', 'LZCNT', 'BMI1', 'MOVBE', 'FXSR', 'XSAVE', 'XSAVEOPT'],
  ...['FPU', 'FPU287', 'FPU387', 'FPU+CMOV', 'FPU+SSE3', 'MMX', 'SSE', 'SSE2', 'SSE3', 'SSSE3', 'SSE4_1', 'SSE4_2'],
  ...['VMX', 'VMX+INVEPT', 'VMX+INVVPID'],
])

const vendor = 'other makers’ processors'
const old = 'processors before x86-64'
const later = 'later than x86-64-v2; CPUID does not offer it'
const secure = 'confidential computing and enclaves; CPUID does not offer it'
/** Feature set → why we do not offer it. */
export const notOffered: Readonly<Record<string, string>> = {
  SMM: 'no system-management mode: RSM outside it is #UD (SDM 2B RSM)',
  IA64: 'JMPE exists on Itanium only',
  INTEL8086_ONLY: old,
  INTEL286_ONLY: old,
  INTEL386_ONLY: old,
  INTEL386_A0_ONLY: old,
  INTEL486_A_ONLY: old,
  FPU287XL_ONLY: old,
  FPU387SL_ONLY: old,
  MOV_TR: old,
  UMOV: old,
  CL1INVMB: old,
  ...Object.fromEntries(
    [
      'CYRIX_SHR',
      'CYRIX_SMINT',
      'CYRIX_DMI',
      'CYRIX_SMM',
      'CYRIX_SMINT_0F7E',
      'CYRIX_DDI',
      'CYRIX_EMMI',
      'CYRIX_FPU',
      'CENTAUR_AIS',
      'D3NOW',
    ].map((f) => [f, vendor]),
  ),
  ...Object.fromEntries(
    [
      'PADLOCK_PMM',
      'PADLOCK_PHE',
      'PADLOCK_RNG',
      'PADLOCK_ACE',
      'PADLOCK_GMI',
      'PADLOCK_UNDOC',
      'SVM',
      'SKINIT_or_SVM',
      'SSE4A',
      'OSS',
    ].map((f) => [f, vendor]),
  ),
  ...Object.fromEntries(
    ['MONITORX', 'MCOMMIT', 'CLZERO', 'RDPRU', 'INVLPGB', 'SEV_ES', 'SEV_SNP', 'RMPQUERY', 'UDBG'].map((f) => [f, vendor]),
  ),
  ...Object.fromEntries(
    ['RTM', 'HLE_or_RTM', 'MPX', 'SHA', 'AES', 'PCLMULQDQ', 'GFNI', 'ADX', 'RDRAND', 'RDSEED', 'PKU', 'CLWB', 'PCOMMIT'].map((f) => [
      f,
      later,
    ]),
  ),
  ...Object.fromEntries(
    ['CET_SS', 'CET_IBT', 'CLDEMOTE', 'PTWRITE', 'WAITPKG', 'XSAVEC', 'XSAVES', 'MOVDIRI', 'MOVDIR64B', 'ENQCMD', 'SERIALIZE'].map((f) => [
      f,
      later,
    ]),
  ),
  ...Object.fromEntries(
    ['TSXLDTRK', 'WBNOINVD', 'UINTR', 'HRESET', 'LKGS', 'FRED', 'WRMSRNS', 'MSRLIST', 'PREFETCHITI', 'RAO_INT'].map((f) => [f, later]),
  ),
  ...Object.fromEntries(['SGX1', 'SMX', 'PCONFIG', 'TDX', 'KL', 'AESKLE', 'AESKLE+WIDE_KL', 'TSE'].map((f) => [f, secure])),
}

/** iced-x86's identifiers of offered feature sets that have no row of their own. */
export const noRow: Readonly<Record<string, string>> = {
  Ud0: 'UD0 without ModRM is what Intel parts before Goldmont decode; ours reads ModRM (SDM 2B UD)',
}

/** Mode differences: iced-x86 describes the union of makers, the row one Intel processor. */
export const otherModes: Readonly<Record<string, string>> = {
  Syscall: 'outside 64-bit mode SYSCALL is #UD on Intel (SDM 2B SYSCALL)',
  Sysretd: 'outside 64-bit mode SYSRET is #UD on Intel (SDM 2B SYSRET)',
}
/** Operand differences. */
export const otherOperands: Readonly<Record<string, string>> = {
  Arpl_r32m16_r32: 'ARPL moves 16 bits whatever the operand size (SDM 2A ARPL)',
}

/** Rows that iced-x86 has no opcode for: "mnemonic encoding" → reason. */
export const onlyOurs: Readonly<Record<string, string>> = {}

// CPUID feature bits (SDM 2A CPUID, tables 3-8, 3-10, 3-11) that follow from instruction rows, by leaf and register. Facts only.

export type CpuidWord = '1.ecx' | '1.edx' | '7.ebx' | '7.ecx' | 'd1.eax' | '80000001.ecx' | '80000001.edx'

/** Where each instruction feature is announced. */
export const featureBits = {
  FPU: ['1.edx', 0],
  CX8: ['1.edx', 8],
  SEP: ['1.edx', 11],
  CMOV: ['1.edx', 15],
  CLFSH: ['1.edx', 19],
  MMX: ['1.edx', 23],
  FXSR: ['1.edx', 24],
  SSE: ['1.edx', 25],
  SSE2: ['1.edx', 26],
  SSE3: ['1.ecx', 0],
  MONITOR: ['1.ecx', 3],
  VMX: ['1.ecx', 5],
  SSSE3: ['1.ecx', 9],
  CX16: ['1.ecx', 13],
  'SSE4.1': ['1.ecx', 19],
  'SSE4.2': ['1.ecx', 20],
  MOVBE: ['1.ecx', 22],
  POPCNT: ['1.ecx', 23],
  XSAVE: ['1.ecx', 26],
  FSGSBASE: ['7.ebx', 0],
  BMI1: ['7.ebx', 3],
  INVPCID: ['7.ebx', 10],
  SMAP: ['7.ebx', 20],
  CLFLUSHOPT: ['7.ebx', 23],
  RDPID: ['7.ecx', 22],
  XSAVEOPT: ['d1.eax', 0],
  LAHF: ['80000001.ecx', 0],
  LZCNT: ['80000001.ecx', 5],
  PREFETCHW: ['80000001.ecx', 8],
  SYSCALL: ['80000001.edx', 11],
  RDTSCP: ['80000001.edx', 27],
} as const satisfies Record<string, readonly [CpuidWord, number]>

const bits = (...n: number[]): number => n.reduce((v, b) => (v | (1 << b)) >>> 0, 0)

/** Features of the system rather than of instructions. */
export const systemBits: Record<CpuidWord, number> = {
  // PCID 17, x2APIC 21, TSC deadline 24; OSXSAVE 27 follows CR4.
  '1.ecx': bits(17, 21, 24),
  // VME 1, DE 2, PSE 3, TSC 4, MSR 5, PAE 6, MCE 7, MTRR 12, PGE 13, MCA 14, PAT 16, PSE-36 17; APIC 9 follows IA32_APIC_BASE, HTT 28 the package.
  '1.edx': bits(1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 16, 17),
  // TSC_ADJUST 1, SMEP 7.
  '7.ebx': bits(1, 7),
  // UMIP 2.
  '7.ecx': bits(2),
  'd1.eax': 0,
  '80000001.ecx': 0,
  // Execute disable 20, 1 GB pages 26, Intel 64 29.
  '80000001.edx': bits(20, 26, 29),
}

/** Leaf 7 EDX: IA32_ARCH_CAPABILITIES exists. */
export const ARCH_CAPABILITIES_BIT = 1 << 29

/** Family 6, model 55H, stepping 7: a two-socket-and-up server part of 2019, whose leaves 15H and 16H are documented. */
export const SIGNATURE = 0x00050657
/** "GenuineIntel" in EBX, EDX, ECX. */
export const VENDOR = { ebx: 0x756e6547, edx: 0x49656e69, ecx: 0x6c65746e } as const

/** A deterministic cache (leaf 4). Sizes in bytes; `shared`: by the whole package. */
export interface Cache {
  readonly type: 1 | 2 | 3
  readonly level: number
  readonly ways: number
  readonly sets: number
  readonly line: number
  readonly shared: boolean
}

/** 32 KB data, 32 KB instruction, 1 MB, and 16 MB of the package; what the part would show, nothing is simulated from it. */
export const caches: readonly Cache[] = [
  { type: 1, level: 1, ways: 8, sets: 64, line: 64, shared: false },
  { type: 2, level: 1, ways: 8, sets: 64, line: 64, shared: false },
  { type: 3, level: 2, ways: 16, sets: 1024, line: 64, shared: false },
  { type: 3, level: 3, ways: 16, sets: 16384, line: 64, shared: true },
]

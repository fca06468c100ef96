// Paging-structure entries (SDM 3A 4.3–4.5, figures 4-4, 4-7, 4-11). Masks are of the low or the high 32 bits. Facts only.
//
//   63    62……52   51…………46  45…………………………12  11…9  8   7    6   5   4    3    2    1    0
//   XD    ignored¹ reserved  frame address    ign.  G   PS²  D   A   PCD  PWT  U/S  R/W  P
//   ¹ reserved in PAE paging     ² bit 7 is PAT in a PTE, reserved in a PML4E; PAT moves to bit 12 of a large page

/** Low half of an entry of any format. */
export const Pte = { P: 1, RW: 2, US: 4, PWT: 8, PCD: 16, A: 32, D: 64, PS: 128, G: 256 } as const

/** High half: execute-disable. */
export const PTE_XD = 0x80000000 | 0

/** High half: bits 51:46, above MAXPHYADDR. PAE paging reserves 62:46. */
export const PTE_RESERVED_HIGH = 0x000fc000
export const PAE_RESERVED_HIGH = 0x7fffc000

/** Low half of a 2 MB page: bits 20:13. Of a 1 GB page: bits 29:13. Of a 4 MB page: bit 21 (20:13 are address bits 39:32, PSE-36). */
export const PDE2M_RESERVED = 0x001fe000
export const PDPTE1G_RESERVED = 0x3fffe000
export const PDE4M_RESERVED = 0x00200000

/** PAE page-directory-pointer entries, in registers (SDM 3A 4.4.1): bits 2:1 and 8:5; high half 63:46. */
export const PDPTE_RESERVED_LOW = 0x1e6
export const PDPTE_RESERVED_HIGH = 0xffffc000 | 0

/** CR3: PCID in bits 11:0 when CR4.PCIDE; bit 63 of the source operand keeps the translations of that PCID. */
export const CR3_PCID = 0xfffn
export const CR3_NO_FLUSH = 1n << 63n

/** Debug address match and control (SDM 3B 17.2.4). */
export const Dr7 = {
  LE: 1 << 8,
  GE: 1 << 9,
  /** Bit 10 reads as 1. */
  fixed: 1 << 10,
  GD: 1 << 13,
  /** Enabled locally or globally: bits 2n and 2n + 1. */
  enabled: (dr7: number, n: number): boolean => ((dr7 >>> (2 * n)) & 3) !== 0,
  /** 0 execute, 1 write, 2 input or output (CR4.DE), 3 read or write. */
  kind: (dr7: number, n: number): number => (dr7 >>> (16 + 4 * n)) & 3,
  /** Bytes: LEN 00 1, 01 2, 10 8, 11 4. */
  length: (dr7: number, n: number): number => [1, 2, 8, 4][(dr7 >>> (18 + 4 * n)) & 3]!,
} as const

/** DR6: B0…B3 in bits 3:0, BD 13, BS 14, BT 15; bits 11:4 and 31:16 read as 1. */
export const Dr6 = { BD: 1 << 13, BS: 1 << 14, BT: 1 << 15, fixed: 0xffff0ff0n, writable: 0xe00fn } as const

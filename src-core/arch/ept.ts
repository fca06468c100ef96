// Extended page tables (SDM 3C 28.2.2, tables 28-1 to 28-6; EPTP 24.6.11; exit qualification table 27-7). Facts only.
//
//   63   62……52  51…46     45……………………12  11   10   9   8   7    6    5…3        2  1  0
//   SVE  ignored  reserved  frame address   ign. XU¹  D   A   PS²  IPAT memory type X  W  R
//   ¹ user-mode execute, under mode-based execute control     ² bits 7:3 of a PML4E and 6:3 of other non-leaf entries are reserved

/** Low half of an entry of any level. */
export const EptEntry = { R: 1, W: 2, X: 4, PS: 1 << 7, A: 1 << 8, D: 1 << 9, XU: 1 << 10 } as const

/** Low half: bits that must be 0 in a PML4E, and in another entry that refers to a table. */
export const EPT_PML4E_RESERVED = 0xf8
export const EPT_TABLE_RESERVED = 0x78
/** Low half: address bits that must be 0 in an entry for 2 MiB and for 1 GiB. */
export const EPT_2M_RESERVED = 0x001ff000
export const EPT_1G_RESERVED = 0x3ffff000
/** High half: bits 51:46, above MAXPHYADDR; and "suppress #VE". */
export const EPT_RESERVED_HIGH = 0x000fc000
export const EPT_SUPPRESS_VE = 0x80000000 | 0

/** Bit n: memory type n exists (0 UC, 1 WC, 4 WT, 5 WP, 6 WB). */
export const EPT_MEMORY_TYPES = 0b0111_0011

/** EPT pointer: 2:0 memory type, 5:3 levels − 1, 6 accessed and dirty flags, 45:12 the PML4 table. */
export const Eptp = { type: 7n, levels: 7n << 3n, tracksUse: 1n << 6n, reserved: 0x1fn << 7n } as const

/** Exit qualification of an EPT violation. Bits 5:3 (and 6: user execute) are what the entries together allowed. */
export const EptViolation = {
  read: 1 << 0,
  write: 1 << 1,
  fetch: 1 << 2,
  allowedShift: 3,
  allowedUserFetch: 1 << 6,
  /** The guest-linear address field is valid; the access was to its translation, not to a paging-structure entry. */
  linearValid: 1 << 7,
  translated: 1 << 8,
  /** Advanced information about the linear address: user-mode, writable, execute-disable. */
  userPage: 1 << 9,
  writablePage: 1 << 10,
  noExecutePage: 1 << 11,
  nmiUnblocked: 1 << 12,
} as const

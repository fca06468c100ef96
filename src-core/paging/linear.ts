// Linear memory as assists use it: the contract that access.ts implements.

/** Who accesses: CPL-dependent data access, or an implicit supervisor access (descriptor tables, TSS, SDM 3A 4.6). */
export type Access = 'data' | 'system'

export interface LinearMemory {
  /** Reads are little-endian, may cross pages, and throw Fault: #PF, or #GP(0)/#SS(0) when not canonical. */
  read8(linear: bigint, access?: Access): number
  read16(linear: bigint, access?: Access): number
  read32(linear: bigint, access?: Access): number
  read64(linear: bigint, access?: Access): bigint
  readBytes(linear: bigint, length: number, access?: Access): Uint8Array
  /** Writes are checked for their whole range before the first byte is stored. */
  write8(linear: bigint, value: number, access?: Access): void
  write16(linear: bigint, value: number, access?: Access): void
  write32(linear: bigint, value: number, access?: Access): void
  write64(linear: bigint, value: bigint, access?: Access): void
  writeBytes(linear: bigint, data: Uint8Array, access?: Access): void
  /** Throws what an access to the range would throw, without any effect but accessed/dirty bits. `stack`: non-canonical is #SS(0). */
  probe(linear: bigint, length: number, write: boolean, access?: Access, stack?: boolean): void

  /** Drop cached translations (SDM 3A 4.10.4). */
  flushAll(): void
  flushNonGlobal(): void
  flushPage(linear: bigint): void
  flushPcid(pcid: number): void
  /** Call after a change of DR0…DR3 or DR7: data breakpoints keep their pages out of the TLB. */
  debugChanged(): void
  /** Loads the four PDPTEs from CR3 in PAE paging; false: a reserved bit is set, #GP(0) (SDM 3A 4.4.1). */
  loadPdptes(cr3: bigint): boolean
}

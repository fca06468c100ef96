// The state a loader wants the bootstrap processor to have at the guest's first instruction.
// Everything not named is as after reset (SDM 3A 10.1.1), interrupts off, paging off unless `cr3` is given.

export type GeneralRegister =
  'rax' | 'rcx' | 'rdx' | 'rbx' | 'rsp' | 'rbp' | 'rsi' | 'rdi' | 'r8' | 'r9' | 'r10' | 'r11' | 'r12' | 'r13' | 'r14' | 'r15'

export interface EntrySegment {
  readonly selector: number
  /** Linear. Limits: FFFFH in real mode, 4 GiB otherwise. */
  readonly base: number
}

export interface EntryState {
  /**
   * real: CR0.PE clear. protected: CR0 = PE (| ET), 32-bit flat code and data. long: CR0.PE and PG, CR4.PAE, EFER.LME
   * and LMA set, 64-bit code, `cr3` given.
   */
  readonly mode: 'real' | 'protected' | 'long'
  /** Offset in CS. */
  readonly rip: number
  readonly rflags: number
  readonly gprs: Readonly<Partial<Record<GeneralRegister, bigint>>>
  readonly cs: EntrySegment
  /** DS, ES, FS, GS and SS. */
  readonly data: EntrySegment
  /** Physical = linear address and limit (bytes − 1) of a GDT that holds what CS and the data segments say. */
  readonly gdtr?: { readonly base: number; readonly limit: number }
  /** A busy 32-bit TSS, where the protocol wants one. */
  readonly tr?: { readonly base: number; readonly limit: number }
  readonly cr3?: number
}

/** RFLAGS with only its fixed bit. */
export const RFLAGS_CLEAR = 0x2

/** Selectors in the GDT that `descriptorTable` makes; 10H and 18H are Linux's __BOOT_CS and __BOOT_DS. */
export const BOOT_CS = 0x10
export const BOOT_DS = 0x18

// Descriptors (SDM 3A 3.4.5): base 0, limit FFFFFH, G; type 1011 code or 0011 data; D or L
const CODE_32 = 0x00cf9b000000ffffn
const CODE_64 = 0x00af9b000000ffffn
const DATA = 0x00cf93000000ffffn

/** Four descriptors, 32 bytes: null, null, flat code (32- or 64-bit), flat data. */
export function descriptorTable(mode: 'protected' | 'long'): Uint8Array {
  const table = new Uint8Array(32)
  const view = new DataView(table.buffer)
  view.setBigUint64(BOOT_CS, mode === 'long' ? CODE_64 : CODE_32, true)
  view.setBigUint64(BOOT_DS, DATA, true)
  return table
}

// What an oracle case sees and what it leaves: memory layout, register state, case, outcome.
// One instruction at CPL 3 in 64-bit mode (Linux segment values: CS 33H, SS 2BH, DS ES FS GS 0), RFLAGS.IF = 1,
// IOPL = 0, CR0.AM = 1, CR0.NE = 1, CR4.OSFXSR = CR4.OSXMMEXCPT = CR4.FSGSBASE = 1, EFER.NXE = 1.
// Not part of the state: FIP, FDP, FOP, FCS, FDS, TF and RF, debug registers, YMM and above.

export const PAGE = 0x1000
export const layout = {
  /** two pages, readable and writable, not executable; the page before and the page after are not mapped */
  data: 0x10000000,
  dataSize: 2 * PAGE,
  /** one page, readable, writable, executable; the code ends at its end, the pages around it are not mapped */
  code: 0x20000000,
  codeEnd: 0x20001000,
  fsBase: 0x10000080n,
  gsBase: 0x10000100n,
} as const

/** RFLAGS bits that take part in comparisons: CF PF AF ZF SF IF DF OF IOPL NT AC ID. */
export const comparedFlags = 0x247ed5
// prettier-ignore
export const flagBits = {
  CF: 1, PF: 4, AF: 0x10, ZF: 0x40, SF: 0x80, IF: 0x200, DF: 0x400, OF: 0x800, IOPL: 0x3000, NT: 0x4000, AC: 0x40000, ID: 0x200000,
} as const

export const gprNames = [
  'RAX',
  'RCX',
  'RDX',
  'RBX',
  'RSP',
  'RBP',
  'RSI',
  'RDI',
  'R8',
  'R9',
  'R10',
  'R11',
  'R12',
  'R13',
  'R14',
  'R15',
] as const

/** User-visible registers. `st`: ST0…ST7, 10 bytes each, counted from TOP as in FXSAVE; `ftw`: FXSAVE's abridged tag word, one bit per physical register. */
export interface State {
  /** hardware order, see gprNames */
  gpr: BigUint64Array
  rip: bigint
  rflags: number
  fsBase: bigint
  gsBase: bigint
  mxcsr: number
  fcw: number
  fsw: number
  ftw: number
  /** 80 bytes */
  st: Uint8Array
  /** 256 bytes, XMM0 first */
  xmm: Uint8Array
}

/** Bytes at an offset into the data pages. */
export interface Patch {
  offset: number
  bytes: Uint8Array
}

export interface Case {
  /** name of iced-x86's Code, e.g. `Add_rm32_r32` */
  code: string
  /** the instruction; it starts at layout.codeEnd − bytes.length. A cut-off instruction faults on its fetch. */
  bytes: Uint8Array
  /** first the background (see seeded.ts), then these */
  patches: Patch[]
  state: State
  /** a REP-prefixed string instruction: run until RIP leaves it, not one iteration */
  repeat: boolean
}

export interface Outcome {
  /** the state after the instruction, or on an exception the state its handler finds (RIP of the instruction for faults) */
  state: State
  /** bytes of the data pages that changed, ascending, not touching */
  changes: Patch[]
  /** exception vector; null if the instruction completed */
  vector: number | null
  /** 0 where the exception has none */
  errorCode: number
  /** CR2 of a page fault, else 0 */
  cr2: bigint
}

export function copyState(s: State): State {
  return { ...s, gpr: s.gpr.slice(), st: s.st.slice(), xmm: s.xmm.slice() }
}

export function startOf(c: Case): bigint {
  return BigInt(layout.codeEnd - c.bytes.length)
}

// A decoded instruction as the interpreter reads it: 32 bytes in the control area of the WebAssembly memory.
//
//    0 handler │ 2 page offset │ 4 reg │ 6 rm │ 8 base │ 10 index │ 12 scale │ 13 kind │ 14 length │ 15 segment
//   16 displacement (i32)      │ 20 link: record of the branch target, or 0 │ 24 immediate or target − page start (i64)

/**
 * Byte offsets in a record. reg, rm, base and index are byte offsets into the processor block; for string and counter instructions
 * base names the keep mask and index the address mask.
 */
export const Record = {
  size: 32,
  handler: 0,
  offset: 2,
  reg: 4,
  rm: 6,
  base: 8,
  index: 10,
  scale: 12,
  kind: 13,
  length: 14,
  segment: 15,
  displacement: 16,
  link: 20,
  immediate: 24,
} as const

/** Bits of `kind`; 0 is a flat 64-bit address. */
export const AddressKind = { special: 1, size32: 2, size16: 4, legacy: 8 } as const
/** Bits of `segment`: register number, and whether the stack is not a flat 64-bit one. */
export const SegmentBits = { register: 7, legacyStack: 0x80 } as const

/** Why compiled code returned. */
export const Exit = {
  /** The slice's cycles are used up (or were cut): RIP is at the record. */
  Budget: 0,
  /** A target without a known record: RIP is in `rip`; `from` is the record that jumped. */
  Jump: 1,
  /** The slow path recorded a fault or a retry; RIP at the record. */
  Pending: 2,
  /** Exception `exitInfo` at the record; error code 0 where the vector has one. */
  Vector: 3,
  /** The record's form is an assist. */
  Assist: 4,
  /** The instruction crosses a page. */
  Cross: 5,
  /** The end of a page-crossing instruction: RIP is at the record's offset. */
  Leave: 6,
  /** Family `exitInfo` (bit number of `unavailable`) cannot be used. */
  Family: 7,
} as const

/** Handlers in front of the forms'. */
export const Pseudo = { goOn: 0, cross: 1, leave: 2, undefined: 3, tooLong: 4, count: 5 } as const

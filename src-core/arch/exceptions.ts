// Exception vectors and their classes (SDM 3A 6.3.1, table 6-1; double-fault rules 6.15, table 6-5).

export const Vector = {
  DE: 0,
  DB: 1,
  NMI: 2,
  BP: 3,
  OF: 4,
  BR: 5,
  UD: 6,
  NM: 7,
  DF: 8,
  TS: 10,
  NP: 11,
  SS: 12,
  GP: 13,
  PF: 14,
  MF: 16,
  AC: 17,
  MC: 18,
  XM: 19,
  VE: 20,
} as const

/** Does the exception push an error code? */
export const hasErrorCode = (vector: number): boolean => (vector === 8 || (vector >= 10 && vector <= 14) || vector === 17)

/** Page-fault error-code bits (SDM 3A 4.7). */
export const PageFault = { P: 1, W: 2, U: 4, RSVD: 8, I: 16 } as const

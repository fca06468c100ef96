// When x87, MMX and SSE instructions may run: CR0.EM, TS, MP, CR4.OSFXSR and FSW.ES.
// SDM 3A 2.5, table 13-1 (#UD, #NM), SDM 1 8.7 (#MF before the next waiting instruction).
// Not modelled: FERR#/IGNNE# reporting with CR0.NE = 0; an unmasked exception is #MF either way.

import type { Family } from '../../isa/context.ts'
import { Cr0, Cr4 } from '../../arch/registers.ts'
import { Vector } from '../../arch/exceptions.ts'
import type { ProcessorState } from '../../isa/state.ts'

/** Bits of the `unavailable` field. */
export const Unavailable = { x87: 1, x87NoWait: 2, mmx: 4, sse: 8 } as const satisfies Record<Family, number>

/** FSW.ES. */
export const ES = 0x80

/** Recomputes the `unavailable` field: after writes to CR0 or CR4 and whenever FSW.ES may have changed. */
export function updateAvailability(s: ProcessorState): void {
  const forbidden = (s.cr0 & (Cr0.EM | Cr0.TS)) !== 0n
  const pending = (s.fsw & ES) !== 0
  let bits = 0
  if (forbidden) bits = Unavailable.x87 | Unavailable.x87NoWait | Unavailable.mmx | Unavailable.sse
  if (pending) bits |= Unavailable.x87 | Unavailable.mmx
  if (!(s.cr4 & Cr4.OSFXSR)) bits |= Unavailable.sse
  s.unavailable = bits
}

/** The vector an instruction of the family raises now: 6, 7 or 16; −1 when it may run. */
export function unavailableVector(s: ProcessorState, family: Family): number {
  const emulate = (s.cr0 & Cr0.EM) !== 0n
  if (family === 'sse' ? emulate || !(s.cr4 & Cr4.OSFXSR) : family === 'mmx' && emulate) return Vector.UD
  if (emulate || s.cr0 & Cr0.TS) return Vector.NM
  return (family === 'x87' || family === 'mmx') && s.fsw & ES ? Vector.MF : -1
}

/** FWAIT has its own rule: #NM needs MP and TS both (SDM 3A table 2-2). */
export function waitVector(s: ProcessorState): number {
  if ((s.cr0 & (Cr0.MP | Cr0.TS)) === (Cr0.MP | Cr0.TS)) return Vector.NM
  return s.fsw & ES ? Vector.MF : 0
}

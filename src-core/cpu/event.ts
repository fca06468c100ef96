// What an event is, and what follows from its kind (SDM 3A 6.2–6.5, 6.13).

import { Vector } from '../arch/exceptions.ts'
import { Rflags } from '../arch/registers.ts'
import type { Processor } from './processor.ts'

/** `software`: INT n · `softwareException`: INT3, INTO · `int1`: INT1 · the rest comes from outside or from a fault, trap or abort. */
export type EventKind = 'exception' | 'external' | 'nmi' | 'software' | 'int1' | 'softwareException'

export interface Event {
  readonly vector: number
  readonly kind: EventKind
  readonly errorCode?: number
  /** Saved RIP: at the instruction for faults, behind it for traps and software interrupts. */
  readonly returnRip: bigint
  /** Page faults: for CR2. */
  readonly address?: bigint
  /** #DB: the bits of DR6 that say why. Not given for INT1. */
  readonly debug?: number
  /** Software events: bytes of the instruction. */
  readonly instructionLength?: number
  /** Injected by a VM entry (SDM 3C 26.5.1): no monitor is asked first, RF is saved as it is, DR6 and CR2 stay. */
  readonly injected?: true
}

/** Bit 0 of error codes raised during delivery: 0 only for INT n, INT3, INTO (SDM 3A 6.13). */
export const externalBit = (kind: EventKind): 0 | 1 => (kind === 'software' || kind === 'softwareException' ? 0 : 1)

/** RFLAGS as saved: faults other than #DB set RF, software interrupts clear it, all others save what it is (SDM 3B 17.3.1.1). */
export function savedFlags(cpu: Processor, e: Event): bigint {
  const flags = cpu.rflags()
  if (e.injected) return flags
  if (e.kind === 'exception') return isFault(e.vector) ? flags | Rflags.RF : flags
  return e.kind === 'external' || e.kind === 'nmi' ? flags : flags & ~Rflags.RF
}

/** Exceptions that save RIP at their instruction and set RF (SDM 3A table 6-1). */
export const isFault = (vector: number): boolean =>
  vector !== Vector.DB && vector !== Vector.BP && vector !== Vector.OF && vector !== Vector.DF && vector !== Vector.MC

// The hidden part of segment registers and how each mode fills it (SDM 3A 3.4.3, 20.1.1; rights as in SDM 3C 24.4.1).

import { CS, Rights } from '../arch/registers.ts'
import type { Descriptor } from './descriptor.ts'
import type { ProcessorState } from '../isa/state.ts'

const REAL_RIGHTS = 0x93
const V86_RIGHTS = 0xf3
/** Rights of the flat segments that SYSCALL and its kin load without descriptors, DPL 0. */
export const flatRights = {
  code64: 0xa09b,
  code32: 0xc09b,
  stack: 0xc093,
} as const

export function setSegment(s: ProcessorState, index: number, selector: number, base: bigint, limit: number, rights: number): void {
  s.segSelector.set(index, selector)
  s.segBase.set(index, base)
  s.segLimit.set(index, limit)
  s.segRights.set(index, rights)
}

/** From a descriptor just checked; code and data count as accessed. */
export function setFromDescriptor(s: ProcessorState, index: number, selector: number, d: Descriptor): void {
  setSegment(s, index, selector, d.base, d.limit, d.isSegment ? d.rights | Rights.accessed : d.rights)
}

/** A null selector: unusable. A null SS keeps the privilege level in its DPL. */
export function setNull(s: ProcessorState, index: number, selector: number, dpl = 0): void {
  setSegment(s, index, selector, 0n, 0, Rights.unusable | (dpl << Rights.dplShift))
}

/** Real-address mode: base follows the selector, limit and size stay (SDM 3A 20.1.1, 9.9.1). */
export function setReal(s: ProcessorState, index: number, selector: number): void {
  const kept = s.segRights.get(index) & (Rights.DB | Rights.G | Rights.AVL)
  setSegment(s, index, selector, BigInt(selector << 4), s.segLimit.get(index), kept | REAL_RIGHTS)
}

/** Virtual-8086 mode. */
export function setV86(s: ProcessorState, index: number, selector: number): void {
  setSegment(s, index, selector, BigInt(selector << 4), 0xffff, V86_RIGHTS)
}

/** CS from a descriptor, with the privilege level as RPL. */
export function setCode(s: ProcessorState, selector: number, d: Descriptor, cpl: number): void {
  setFromDescriptor(s, CS, (selector & 0xfffc) | cpl, d)
}

/**
 * On return to an outer level: data segments it may not use become null (SDM 3A 5.8.6). True if any did. Only selector and validity
 * change: 64-bit code goes on with the bases of FS and GS.
 */
export function dropInnerSegments(s: ProcessorState, cpl: number): boolean {
  let dropped = false
  for (const index of [0, 3, 4, 5]) {
    const rights = s.segRights.get(index)
    if (rights & Rights.unusable || ((rights >> Rights.dplShift) & 3) >= cpl) continue
    if ((rights & (Rights.code | Rights.expandDown)) === (Rights.code | Rights.expandDown)) continue
    setSegment(s, index, 0, s.segBase.get(index), s.segLimit.get(index), Rights.unusable)
    dropped = true
  }
  return dropped
}

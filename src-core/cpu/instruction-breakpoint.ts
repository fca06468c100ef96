// Instruction breakpoints of DR0–DR3 (SDM 3B 17.2.4, 17.3.1.1): R/W = 00 in DR7, taken before the instruction at the address.

import { Dr7 } from '../arch/pte.ts'
import type { ProcessorState } from '../isa/state.ts'

const ALL = [0, 1, 2, 3] as const
const onExecution = (dr7: number, n: number): boolean => Dr7.enabled(dr7, n) && Dr7.kind(dr7, n) === 0
const dr7Of = (s: ProcessorState): number => Number(s.dr.get(7) & 0xffff_ffffn)

/** Does DR7 enable any? */
export const hasInstructionBreakpoints = (s: ProcessorState): boolean => ALL.some((n) => onExecution(dr7Of(s), n))

/** B0–B3 of the breakpoints at RIP; 0: none. */
export function instructionBreakpointsAt(s: ProcessorState): number {
  const linear = (s.rip + s.csBase) & s.linearMask
  return ALL.reduce((bits: number, n) => (onExecution(dr7Of(s), n) && s.dr.get(n) === linear ? bits | (1 << n) : bits), 0)
}

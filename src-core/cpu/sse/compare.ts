// CMPxx, COMIxx, UCOMIxx (SDM vol. 2A, table 3-1; exceptions: vol. 1, appendix E, tables E-11, E-12).

import type { ProcessorState } from '../../isa/state.ts'
import { begin, complete, DE, environment, IE, result } from './mxcsr.ts'
import { denormal, load, nan, signalling } from './operand.ts'

/** COMIxx's result: RFLAGS as CF bit 0, PF bit 1, ZF bit 2. */
const LESS = 1
const EQUAL = 4
const UNORDERED = 7

/** The relation of two lanes, with its exceptions: a QNaN is invalid unless `quiet`. */
function relation(slots: ReturnType<typeof begin>, single: boolean, a: number, b: number, quiet: boolean): number {
  const x = load(slots, single, a)
  let anyNan = nan
  let anySignalling = signalling
  let anyDenormal = denormal
  const y = load(slots, single, b)
  anyNan ||= nan
  anySignalling ||= signalling
  anyDenormal ||= denormal
  if (anyNan) {
    if (anySignalling || !quiet) environment.flags |= IE
    return UNORDERED
  }
  if (anyDenormal) environment.flags |= DE
  return x < y ? LESS : x === y ? EQUAL : 0
}

/** The eight predicates EQ LT LE UNORD NEQ NLT NLE ORD. */
function holds(predicate: number, r: number): boolean {
  let base: boolean
  switch (predicate & 3) {
    case 0:
      base = r === EQUAL
      break
    case 1:
      base = r === LESS
      break
    case 2:
      base = r === LESS || r === EQUAL
      break
    default:
      base = r === UNORDERED
  }
  return base !== (predicate & 4) > 0
}

/** Lanes of slots 0 and 1 by the predicate in slot 2: all ones or zeros. */
export function compare(s: ProcessorState, single: boolean, lanes: number): number {
  const slots = begin(s)
  const predicate = slots.words[8]! & 7
  const quiet = (predicate & 3) === 0 || (predicate & 3) === 3
  for (let i = 0; i < lanes; i++) {
    const mask = holds(predicate, relation(slots, single, i, i + (single ? 4 : 2), quiet)) ? -1 : 0
    if (single) result.words[i] = mask
    else result.words[2 * i] = result.words[2 * i + 1] = mask
  }
  return complete(s, slots, single ? lanes : 2 * lanes)
}

/** COMIxx, or UCOMIxx when slot 2 is not zero: flags as above. */
export function order(s: ProcessorState, single: boolean): number {
  const slots = begin(s)
  result.words[0] = relation(slots, single, 0, single ? 4 : 2, slots.words[8] !== 0)
  return complete(s, slots, 1)
}

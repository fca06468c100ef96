// ADD SUB MUL DIV SQRT MIN MAX and ADDSUB on lanes (SDM vol. 1, 11.5; responses to NaNs: appendix E, tables E-1 … E-10).
// First every lane's pre-computation exceptions (IE, DE, ZE), then, unless one is unmasked, the results and OE, UE, PE.

import type { ProcessorState } from '../../isa/state.ts'
import { begin, complete, DE, DOWN, environment, IE, unmasked, ZE, type Slots } from './mxcsr.ts'
import { denormal, load, nan, signalling, writeIndefinite, writeNumber, writeQuiet, writeSame } from './operand.ts'
import { exponent, productError, round, significand, sumError } from './round.ts'

export const ADD = 0
export const SUB = 1
export const MUL = 2
export const DIV = 3
export const SQRT = 4
export const MIN = 5
export const MAX = 6
const ADDSUB = 7

const left = new Float64Array(4)
const right = new Float64Array(4)

/** Neither zero nor denormal, infinite or NaN. */
function normal(slots: Slots, single: boolean, index: number): boolean {
  const word = slots.words[single ? index : 2 * index + 1]!
  const field = word & (single ? 0x7f800000 : 0x7ff00000)
  return field !== 0 && field !== (single ? 0x7f800000 : 0x7ff00000)
}
const positive = (slots: Slots, single: boolean, index: number): boolean => slots.words[single ? index : 2 * index + 1]! < 0x80000000

/** Far from overflow and underflow: products, quotients and their error terms are exact without scaling. */
const central = (x: number): boolean => {
  const magnitude = Math.abs(x)
  return magnitude > 2 ** -400 && magnitude < 2 ** 400
}

/** Reads a lane and raises what precedes computation; true when its result is written already. */
function before(slots: Slots, operation: number, single: boolean, lane: number): boolean {
  const a = lane
  const b = lane + (single ? 4 : 2)
  if (normal(slots, single, a) && (operation === SQRT ? positive(slots, single, a) : normal(slots, single, b))) {
    const x = single ? slots.floats[a]! : slots.doubles[a]!
    const y = operation === SQRT ? 0 : single ? slots.floats[b]! : slots.doubles[b]!
    if (operation === MIN || operation === MAX) {
      writeNumber(single, lane, (operation === MIN ? x < y : x > y) ? x : y)
      return true
    }
    left[lane] = x
    right[lane] = operation === SUB ? -y : y
    return false
  }
  const x = load(slots, single, a)
  const aNan = nan
  const aSignalling = signalling
  const aDenormal = denormal
  let y = 0
  let bNan = false
  let bSignalling = false
  let bDenormal = false
  if (operation !== SQRT) {
    y = load(slots, single, b)
    bNan = nan
    bSignalling = signalling
    bDenormal = denormal
  }
  if (operation === MIN || operation === MAX) {
    // the second operand where either is NaN or both are zeros
    if (aNan || bNan) {
      environment.flags |= IE
      if (bNan) writeSame(slots, single, lane, b)
      else writeNumber(single, lane, y)
      return true
    }
    if (aDenormal || bDenormal) environment.flags |= DE
    writeNumber(single, lane, (operation === MIN ? x < y : x > y) ? x : y)
    return true
  }
  if (aNan || bNan) {
    if (aSignalling || bSignalling) environment.flags |= IE
    writeQuiet(slots, single, lane, aNan ? a : b)
    return true
  }
  if (operation === SUB) y = -y
  let invalid: boolean
  switch (operation) {
    case MUL:
      invalid = (x === 0 && Math.abs(y) === Infinity) || (y === 0 && Math.abs(x) === Infinity)
      break
    case DIV:
      invalid = (x === 0 && y === 0) || (Math.abs(x) === Infinity && Math.abs(y) === Infinity)
      if (!invalid && y === 0 && Math.abs(x) !== Infinity) {
        environment.flags |= ZE
        writeNumber(single, lane, x / y)
        return true
      }
      break
    case SQRT:
      invalid = x < 0
      break
    default:
      invalid = Math.abs(x) === Infinity && y === -x
  }
  if (invalid) {
    environment.flags |= IE
    writeIndefinite(single, lane)
    return true
  }
  if (aDenormal || bDenormal) environment.flags |= DE
  left[lane] = x
  right[lane] = y
  return false
}

function sum(single: boolean, x: number, y: number): number {
  const s = x + y
  if (s === 0) return x === 0 && y === 0 && Object.is(x, y) ? x : environment.rounding === DOWN ? -0 : 0
  if (Math.abs(x) === Infinity || Math.abs(y) === Infinity) return s
  if (single) return round(true, s, sumError(x, y, s), 0)
  if (Math.abs(x) < 2 ** 1020 && Math.abs(y) < 2 ** 1020) return round(false, s, sumError(x, y, s), 0)
  // near overflow: scaled down; what is too small to scale exactly counts by its sign only
  const scaled = (v: number): number => (Math.abs(v) < 2 ** 900 ? Math.sign(v) * 2 ** 800 : v * 2 ** -60)
  const xs = scaled(x)
  const ys = scaled(y)
  const ss = xs + ys
  return round(false, ss, sumError(xs, ys, ss), 60)
}

function product(single: boolean, x: number, y: number): number {
  if (x === 0 || y === 0 || Math.abs(x) === Infinity || Math.abs(y) === Infinity) return x * y
  if (single) return round(true, x * y, 0, 0) // 24 by 24 bits are exact
  if (central(x) && central(y)) {
    const p = x * y
    return round(false, p, productError(x, y, p), 0)
  }
  const a = significand(x)
  const scale = exponent
  const b = significand(y)
  const p = a * b
  return round(false, p, productError(a, b, p), scale + exponent)
}

function quotient(single: boolean, x: number, y: number): number {
  if (x === 0 || Math.abs(x) === Infinity || Math.abs(y) === Infinity) return x / y
  if (central(x) && central(y)) {
    const q = x / y
    const p = q * y
    const rest = x - p - productError(q, y, p)
    return round(single, q, y < 0 ? -rest : rest, 0)
  }
  const a = significand(x)
  const scale = exponent
  const b = significand(y)
  const q = a / b
  const p = q * b
  const rest = a - p - productError(q, b, p)
  return round(single, q, b < 0 ? -rest : rest, scale - exponent)
}

function root(single: boolean, x: number): number {
  if (x === 0 || x === Infinity) return x
  if (central(x)) {
    const r = Math.sqrt(x)
    const p = r * r
    return round(single, r, x - p - productError(r, r, p), 0)
  }
  let a = significand(x)
  let scale = exponent
  if (scale & 1) {
    a *= 2
    scale -= 1
  }
  const r = Math.sqrt(a)
  const p = r * r
  return round(single, r, a - p - productError(r, r, p), scale / 2)
}

function compute(operation: number, single: boolean, x: number, y: number): number {
  switch (operation) {
    case MUL:
      return product(single, x, y)
    case DIV:
      return quotient(single, x, y)
    case SQRT:
      return root(single, x)
    default:
      return sum(single, x, y)
  }
}

/** One operation on `lanes` lanes of slots 0 and 1. */
export function arithmetic(s: ProcessorState, operation: number, single: boolean, lanes: number): number {
  const slots = begin(s)
  let decided = 0
  for (let i = 0; i < lanes; i++) {
    const each = operation === ADDSUB ? (i & 1 ? ADD : SUB) : operation
    if (before(slots, each, single, i)) decided |= 1 << i
  }
  if (!unmasked())
    for (let i = 0; i < lanes; i++)
      if (!((decided >> i) & 1)) writeNumber(single, i, compute(operation === ADDSUB ? ADD : operation, single, left[i]!, right[i]!))
  return complete(s, slots, single ? lanes : 2 * lanes)
}

/** ADDSUBPS, ADDSUBPD: even lanes subtract, odd lanes add. */
export const alternate = (s: ProcessorState, single: boolean): number => arithmetic(s, ADDSUB, single, single ? 4 : 2)

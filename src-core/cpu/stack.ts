// Stacks of events and far transfers: the current one, and those of another privilege level or task (SDM 3A 5.8.5, 6.12.1; SDM 1 6.2).
// A frame is checked as a whole and stored as a whole.

import { Vector } from '../arch/exceptions.ts'
import { RSP, Rights, SS } from '../arch/registers.ts'
import type { Descriptor } from './descriptor.ts'
import { gp } from './descriptor-table.ts'
import { Fault } from './fault.ts'
import { segmentLinear } from './instruction-view.ts'
import { isCanonical } from './privilege.ts'
import type { Processor } from './processor.ts'

export type Width = 2 | 4 | 8

export interface Stack {
  /** 64-bit: no base, no limits, canonical addresses. */
  readonly flat: boolean
  readonly base: bigint
  /** Inclusive offsets that may be written. */
  readonly low: number
  readonly high: number
  readonly mask: bigint
  readonly sp: bigint
}

export function currentStack(cpu: Processor): Stack {
  const s = cpu.state
  return {
    flat: cpu.mode64,
    base: s.segEffective.get(SS),
    low: s.segWriteLow.get(SS),
    high: s.segWriteHigh.get(SS),
    mask: s.stackMask,
    sp: s.gpr.get(RSP) & s.stackMask,
  }
}

/** A stack in a segment that is about to be loaded. */
export function stackIn(d: Descriptor, sp: bigint): Stack {
  const mask = d.isBig ? 0xffff_ffffn : 0xffffn
  const down = (d.rights & Rights.expandDown) !== 0
  const low = down ? d.limit + 1 : 0
  const high = down ? Number(mask) : d.limit
  return { flat: false, base: d.base, low, high, mask, sp: sp & mask }
}

export const flatStack = (sp: bigint): Stack => ({ flat: true, base: 0n, low: 0, high: 0, mask: 0xffff_ffff_ffff_ffffn, sp })

const slot = (k: Stack, width: Width, n: number): bigint => BigInt.asUintN(64, k.sp - BigInt(width * n)) & k.mask
const linearOf = (k: Stack, offset: bigint): bigint => (k.flat ? offset : (k.base + offset) & 0xffff_ffffn)

/** Throws #SS(code) unless `count` values can be pushed as far as limits or canonical addresses go. */
export function requireRoom(k: Stack, width: Width, count: number, code: number): void {
  for (let n = 1; n <= count; n++) {
    const offset = slot(k, width, n)
    if (
      k.flat
        ? !isCanonical(offset) || !isCanonical(BigInt.asUintN(64, offset + BigInt(width - 1)))
        : Number(offset) < k.low || Number(offset) + width - 1 > k.high
    ) {
      throw new Fault(Vector.SS, code)
    }
  }
}

/**
 * Pushes values, first one highest, with the rights of privilege level `cpl`; no alignment checks. Answers the new stack pointer.
 * Call `requireRoom` first. Throws Fault (#PF) with nothing stored.
 */
export function pushFrame(cpu: Processor, k: Stack, width: Width, values: readonly bigint[], cpl: number): bigint {
  const s = cpu.state
  const before = s.cpl
  const bytes = new Uint8Array(width * values.length)
  const view = new DataView(bytes.buffer)
  values.forEach((v, i) => {
    const at = bytes.length - width * (i + 1)
    if (width === 2) view.setUint16(at, Number(v & 0xffffn), true)
    else if (width === 4) view.setUint32(at, Number(v & 0xffff_ffffn), true)
    else view.setBigUint64(at, v, true)
  })
  const bottom = slot(k, width, values.length)
  s.cpl = cpl
  try {
    if (bottom <= k.sp || k.sp === 0n) cpu.memory.writeBytes(linearOf(k, bottom), bytes)
    else {
      for (let n = 1; n <= values.length; n++) cpu.memory.probe(linearOf(k, slot(k, width, n)), width, true)
      for (let n = 1; n <= values.length; n++) {
        const at = bytes.length - width * n
        cpu.memory.writeBytes(linearOf(k, slot(k, width, n)), bytes.subarray(at, at + width))
      }
    }
  } finally {
    s.cpl = before
  }
  return bottom
}

/** Reads the value `depth` bytes above the top of the current stack. Throws Fault: #SS(0), #PF. */
export function peek(cpu: Processor, depth: number, width: Width): bigint {
  const s = cpu.state
  const linear = segmentLinear(cpu, SS, BigInt.asUintN(64, s.gpr.get(RSP) + BigInt(depth)) & s.stackMask, width, false)
  const m = cpu.memory
  return width === 8 ? m.read64(linear) : BigInt(width === 4 ? m.read32(linear) : m.read16(linear))
}

/** Sets rSP as wide as the stack is. */
export function setStackPointer(cpu: Processor, sp: bigint): void {
  const s = cpu.state
  s.gpr.set(RSP, (s.gpr.get(RSP) & s.stackKeep) | (BigInt.asUintN(64, sp) & s.stackMask))
}

/** rSP `bytes` higher. */
export const release = (cpu: Processor, bytes: number): void => setStackPointer(cpu, cpu.state.gpr.get(RSP) + BigInt(bytes))

/** Target of a transfer inside a code segment: #GP(code) beyond the limit, or not canonical in 64-bit code. */
export function requireTarget(target: bigint, limit: number, long: boolean, code = 0): void {
  if (long ? !isCanonical(target) : Number(target) > limit) throw gp(code)
}

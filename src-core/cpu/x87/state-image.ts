// FXSAVE, FXRSTOR, XSAVE, XSAVEOPT, XRSTOR, LDMXCSR: x87 and SSE state as a memory image, XCR0 bits 0 and 1.
// SDM 1 10.5.1 (layout), 13.4 (XSAVE area), 13.6 to 13.9; SDM 2A FXSAVE, 2D XSAVE, XRSTOR. FCS and FDS are stored as zero
// (CPUID.7.0:EBX[13]). Not modelled: the modified optimization of XSAVEOPT, the compacted format.

import { Vector } from '../../arch/exceptions.ts'
import { Cr0, Cr4 } from '../../arch/registers.ts'
import type { ProcessorState } from '../../isa/state.ts'
import { initialize, loadControl } from './calls.ts'

/** What an assist of this family sees of the instruction and the memory. */
export interface AssistContext {
  readonly state: ProcessorState
  /** Linear address of memory operand i, as a signed double; checks the segment. */
  operandAddress(i: number): number
  /** Both throw the guest's fault; a write is checked for its whole range before any byte is stored. */
  readBytes(linear: number, length: number): Uint8Array
  writeBytes(linear: number, data: Uint8Array): void
  /** Throws the fault that a write of the range would raise. */
  probeWrite(linear: number, length: number): void
  readonly rexW: boolean
  readonly operandSize: 16 | 32 | 64
  readonly mode64: boolean
  fault(vector: number, errorCode?: number): never
}

/** MXCSR bits that exist: DAZ among them (SDM 1 11.6.6). */
export const MXCSR_MASK = 0xffff
const FX_SIZE = 512
const HEADER = 512
const X87 = 1
const SSE = 2

/** FXSAVE's x87 part: bytes 0 to 23 and 32 to 159. */
function storeX87(image: Uint8Array, s: ProcessorState, rexW: boolean): void {
  const v = new DataView(image.buffer, image.byteOffset)
  v.setUint16(0, s.fcw, true)
  v.setUint16(2, s.fsw, true)
  v.setUint16(4, s.ftw & 0xff, true)
  v.setUint16(6, s.fop & 0x7ff, true)
  v.setBigUint64(8, rexW ? s.fip : s.fip & 0xffff_ffffn, true)
  v.setBigUint64(16, rexW ? s.fdp : s.fdp & 0xffff_ffffn, true)
  const top = (s.fsw >> 11) & 7
  for (let i = 0; i < 8; i++) {
    const p = ((top + i) & 7) * 16
    image.set(s.fpr.subarray(p, p + 10), 32 + 16 * i)
    image.fill(0, 42 + 16 * i, 48 + 16 * i)
  }
}
function loadX87(image: Uint8Array, s: ProcessorState, rexW: boolean): void {
  const v = new DataView(image.buffer, image.byteOffset)
  s.ftw = v.getUint8(4)
  s.fop = v.getUint16(6, true) & 0x7ff
  s.fip = rexW ? v.getBigUint64(8, true) : BigInt(v.getUint32(8, true))
  s.fdp = rexW ? v.getBigUint64(16, true) : BigInt(v.getUint32(16, true))
  s.fcs = 0
  s.fds = 0
  loadControl(s, v.getUint16(0, true), v.getUint16(2, true))
  const top = (s.fsw >> 11) & 7
  s.fpr.fill(0)
  for (let i = 0; i < 8; i++) s.fpr.set(image.subarray(32 + 16 * i, 42 + 16 * i), ((top + i) & 7) * 16)
}
const xmmBytes = (mode64: boolean): number => (mode64 ? 256 : 128)
function storeMxcsr(image: Uint8Array, s: ProcessorState): void {
  const v = new DataView(image.buffer, image.byteOffset)
  v.setUint32(24, s.mxcsr, true)
  v.setUint32(28, MXCSR_MASK, true)
}
const mxcsrOf = (image: Uint8Array): number => new DataView(image.buffer, image.byteOffset).getUint32(24, true)

const aligned = (c: AssistContext, address: number, to: number): void => {
  if (address % to !== 0) c.fault(Vector.GP, 0)
}
/** #UD for CR0.EM, #NM for CR0.TS. */
function fxAvailable(c: AssistContext): void {
  if (c.state.cr0 & Cr0.EM) c.fault(Vector.UD)
  if (c.state.cr0 & Cr0.TS) c.fault(Vector.NM)
}

function fxsave(c: AssistContext): void {
  fxAvailable(c)
  const at = c.operandAddress(0)
  aligned(c, at, 16)
  c.probeWrite(at, FX_SIZE)
  const image = c.readBytes(at, FX_SIZE).slice() // bytes 464 to 511, and the upper registers outside 64-bit mode, stay
  storeX87(image, c.state, c.rexW && c.mode64)
  storeMxcsr(image, c.state)
  image.set(c.state.xmm.subarray(0, xmmBytes(c.mode64)), 160)
  c.writeBytes(at, image)
}

function fxrstor(c: AssistContext): void {
  fxAvailable(c)
  const at = c.operandAddress(0)
  aligned(c, at, 16)
  const image = c.readBytes(at, FX_SIZE)
  const mxcsr = mxcsrOf(image)
  if (mxcsr & ~MXCSR_MASK) c.fault(Vector.GP, 0)
  loadX87(image, c.state, c.rexW && c.mode64)
  c.state.mxcsr = mxcsr
  c.state.xmm.set(image.subarray(160, 160 + xmmBytes(c.mode64)))
}

function xsaveAvailable(c: AssistContext): void {
  if (!(c.state.cr4 & Cr4.OSXSAVE)) c.fault(Vector.UD)
  if (c.state.cr0 & Cr0.TS) c.fault(Vector.NM)
}
/** Requested features among those XCR0 enables: EDX:EAX & XCR0, of which only bits 0 and 1 exist. */
const requested = (s: ProcessorState): number => Number(s.gpr.get(0) & s.xcr0 & 3n)

/** XINUSE: a component is in its initial configuration only when all of it is (SDM 1 13.6); MXCSR does not count. */
export function inUse(s: ProcessorState, mode64: boolean): number {
  const empty = (b: Uint8Array, n: number): boolean => {
    for (let i = 0; i < n; i++) if (b[i] !== 0) return false
    return true
  }
  const x87 = s.fcw !== 0x37f || s.fsw !== 0 || s.ftw !== 0 || s.fop !== 0 || s.fip !== 0n || s.fdp !== 0n || !empty(s.fpr, 128)
  return (x87 ? X87 : 0) | (empty(s.xmm, xmmBytes(mode64)) ? 0 : SSE)
}

function xsave(c: AssistContext, optimized: boolean): void {
  xsaveAvailable(c)
  const at = c.operandAddress(0)
  aligned(c, at, 64)
  const s = c.state
  const features = requested(s)
  const used = inUse(s, c.mode64)
  c.probeWrite(at, HEADER + 64)
  const image = c.readBytes(at, HEADER + 8).slice()
  const written = optimized ? features & used : features
  if (written & X87) storeX87(image, s, c.rexW && c.mode64)
  if (features & SSE) storeMxcsr(image, s)
  if (written & SSE) image.set(s.xmm.subarray(0, xmmBytes(c.mode64)), 160)
  // XSTATE_BV: bits outside the request stay
  image[HEADER] = (image[HEADER]! & ~features) | (used & features)
  c.writeBytes(at, image)
}

function xrstor(c: AssistContext): void {
  xsaveAvailable(c)
  const at = c.operandAddress(0)
  aligned(c, at, 64)
  const s = c.state
  const image = c.readBytes(at, HEADER + 64)
  const v = new DataView(image.buffer, image.byteOffset)
  const present = v.getBigUint64(HEADER, true)
  // standard form: XCOMP_BV and the eight bytes behind it are zero, XSTATE_BV within XCR0 (SDM 1 13.8)
  if (present & ~s.xcr0 || v.getBigUint64(HEADER + 8, true) || v.getBigUint64(HEADER + 16, true)) c.fault(Vector.GP, 0)
  const features = requested(s)
  const mxcsr = mxcsrOf(image)
  if (features & SSE && mxcsr & ~MXCSR_MASK) c.fault(Vector.GP, 0)
  const loaded = Number(present & 3n)
  if (features & X87) {
    if (loaded & X87) loadX87(image, s, c.rexW && c.mode64)
    else {
      initialize(s)
      s.fpr.fill(0)
    }
  }
  if (features & SSE) {
    s.mxcsr = mxcsr // from memory even when the registers are initialized
    const bytes = xmmBytes(c.mode64)
    if (loaded & SSE) s.xmm.set(image.subarray(160, 160 + bytes))
    else s.xmm.fill(0, 0, bytes)
  }
}

function ldmxcsr(c: AssistContext): void {
  const image = c.readBytes(c.operandAddress(0), 4)
  const value = new DataView(image.buffer, image.byteOffset).getUint32(0, true)
  if (value & ~MXCSR_MASK) c.fault(Vector.GP, 0)
  c.state.mxcsr = value
}

export const stateImageAssists = {
  fxsave,
  fxrstor,
  xsave: (c: AssistContext): void => xsave(c, false),
  xsaveopt: (c: AssistContext): void => xsave(c, true),
  xrstor,
  ldmxcsr,
}

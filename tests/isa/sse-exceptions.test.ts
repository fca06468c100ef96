// MXCSR: sticky flags, unmasked exceptions, and when native arithmetic may run (SDM vol. 1, 10.2.3, 11.5; vol. 3A, 2.5, 6.15 #XM).

import { describe, expect, it } from 'vitest'
import { sseImplementations as calls } from '../../src-core/cpu/sse/calls.ts'
import { updateSseNative } from '../../src-core/cpu/sse/mxcsr.ts'
import { processorState } from '../../src-core/isa/state.ts'

const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })
const state = processorState(memory, 0)
const doubles = new Float64Array(memory.buffer, state.scratch.byteOffset, 8)
const words = new Uint32Array(memory.buffer, state.scratch.byteOffset, 16)
const OSXMMEXCPT = 1n << 10n

function binary(
  name: 'addsd' | 'subsd' | 'mulsd' | 'divsd' | 'minsd',
  a: number,
  b: number,
  mxcsr: number,
): { vector: number; r: number; flags: number } {
  state.mxcsr = mxcsr
  updateSseNative(state)
  doubles[0] = a
  doubles[2] = b
  const vector = calls[name](state)
  return { vector, r: doubles[0]!, flags: state.mxcsr & 0x3f }
}

describe('exceptions', () => {
  it('an unmasked one is #XM, or #UD without CR4.OSXMMEXCPT, and writes nothing', () => {
    state.cr4 = OSXMMEXCPT
    expect(binary('divsd', 1, 0, 0x1f80 & ~0x200)).toEqual({ vector: 19, r: 1, flags: 4 })
    state.cr4 = 0n
    expect(binary('divsd', 1, 0, 0x1f80 & ~0x200)).toEqual({ vector: 6, r: 1, flags: 4 })
    expect(binary('divsd', 1, 0, 0x1f80)).toEqual({ vector: 0, r: Infinity, flags: 4 })
  })
  it('a sticky flag that is unmasked does not fault by itself', () => {
    expect(binary('addsd', 1, 2, 0x20)).toEqual({ vector: 0, r: 3, flags: 0x20 })
  })
  it('PE of a result is hidden by an unmasked pre-computation exception of another lane', () => {
    state.mxcsr = 0x1f80 & ~0x200
    doubles.set([1, 1, 0, 3])
    expect(calls.divpd(state)).toBe(6)
    expect(state.mxcsr & 0x3f).toBe(4)
    expect([...doubles.subarray(0, 2)]).toEqual([1, 1])
  })
  it('rounding modes', () => {
    const third = [0, 1, 2, 3].map((rc) => binary('divsd', -1, 3, 0x1f80 | (rc << 13)).r)
    expect(third).toEqual([-1 / 3, -0.33333333333333337, -1 / 3, -1 / 3])
    expect(binary('addsd', 1, -1, 0x1f80 | 0x2000).r).toBe(-0)
  })
  it('flush to zero, denormals are zeros', () => {
    expect(binary('mulsd', 2 ** -1000, -(2 ** -30), 0x1f80)).toEqual({ vector: 0, r: -(2 ** -1030), flags: 0 })
    expect(binary('mulsd', 2 ** -1000, -(2 ** -30), 0x9f80)).toEqual({ vector: 0, r: -0, flags: 0x30 })
    expect(binary('addsd', 2 ** -1074, 1, 0x1f80)).toEqual({ vector: 0, r: 1, flags: 0x22 })
    expect(binary('addsd', 2 ** -1074, 1, 0x1fc0)).toEqual({ vector: 0, r: 1, flags: 0 })
  })
})

describe('sseNative', () => {
  it.each([
    [0x1f80, 2],
    [0x1fa0, 3],
    [0x9fe0, 3],
    [0x3fa0, 2],
    [0x1f20, 0],
    [0x0fa0, 0],
  ])('MXCSR %i gives %i', (mxcsr, native) => {
    state.mxcsr = mxcsr
    updateSseNative(state)
    expect(state.sseNative).toBe(native)
  })
  it('follows PE when the soft-float sets it', () => {
    binary('addsd', 1, 2, 0x1f80)
    expect(state.sseNative).toBe(2)
    binary('divsd', 1, 3, 0x1f80)
    expect(state.sseNative).toBe(3)
  })
})

describe('CRC32', () => {
  const sum = (start: number, bytes: number[]): number => {
    words[0] = start
    words.set([0, 0], 4)
    bytes.forEach((b, i) => (words[4 + (i >> 2)]! |= b << (8 * (i & 3))))
    words[8] = bytes.length
    expect(calls.crc32(state)).toBe(0)
    return words[0]!
  }
  it('is CRC-32C: check value of "123456789"', () => {
    const text = [...'123456789'].map((c) => c.charCodeAt(0))
    expect(~sum(sum(-1, text.slice(0, 8)), text.slice(8)) >>> 0).toBe(0xe3069283)
  })
  it('of eight bytes is that of its parts', () => {
    const bytes = [1, 0xfe, 3, 0x80, 5, 0xff, 0, 9]
    const whole = sum(0x12345678, bytes)
    expect(sum(sum(0x12345678, bytes.slice(0, 4)), bytes.slice(4))).toBe(whole)
    expect(sum(sum(sum(sum(0x12345678, bytes.slice(0, 2)), bytes.slice(2, 4)), bytes.slice(4, 6)), bytes.slice(6))).toBe(whole)
    expect(bytes.reduce((s, b) => sum(s, [b]), 0x12345678)).toBe(whole)
  })
})

// CPUID says what the table has, no more, and what guests compute from it (SDM 2A CPUID, SDM 3A 8.9, 3B 18.7.3).

import { expect, it } from 'vitest'
import { featureBits } from '../../src-core/arch/cpuid.ts'
import { cpuidAssists, cpuidLeaf, features } from '../../src-core/cpu/cpuid.ts'
import { modelRegisters } from '../../src-core/cpu/model-registers.ts'
import { instruction, outcome, processor, taking } from './processor.ts'

const text = (words: readonly number[]): string => String.fromCharCode(...new Uint8Array(Uint32Array.from(words).buffer)).replace(/\0+$/, '')

it('vendor, brand, address widths', () => {
  const cpu = processor(64)
  const [max, b, c, d] = cpuidLeaf(cpu, 0, 0)
  expect([max, text([b, d, c])]).toEqual([0x16, 'GenuineIntel'])
  const brand = text([2, 3, 4].flatMap((n) => cpuidLeaf(cpu, 0x80000000 + n, 0)))
  expect(brand).toBe('Ring-1 emulated x86-64 server processor @ 2.20GHz'.slice(0, 47))
  expect(cpuidLeaf(cpu, 0x80000008, 0)[0]).toBe(0x302e)
  expect(cpuidLeaf(cpu, 0x80000000, 0)[0]).toBe(0x80000008)
  expect(cpuidLeaf(cpu, 0x80000007, 0)[3]).toBe(0x100)
})

it('every instruction feature has its bit exactly if the decoder has it', () => {
  const cpu = processor(64)
  const word = {
    '1.ecx': cpuidLeaf(cpu, 1, 0)[2], '1.edx': cpuidLeaf(cpu, 1, 0)[3], '7.ebx': cpuidLeaf(cpu, 7, 0)[1], '7.ecx': cpuidLeaf(cpu, 7, 0)[2],
    'd1.eax': cpuidLeaf(cpu, 0xd, 1)[0], '80000001.ecx': cpuidLeaf(cpu, 0x80000001, 0)[2], '80000001.edx': cpuidLeaf(cpu, 0x80000001, 0)[3],
  }
  for (const [name, [where, bit]] of Object.entries(featureBits)) {
    expect([name, ((word[where] >>> bit) & 1) === 1]).toEqual([name, (features() as ReadonlySet<string>).has(name)])
  }
  // x86-64-v2 (psABI): CMPXCHG16B, LAHF, POPCNT, SSE3…SSE4.2 over the baseline.
  for (const f of ['CX16', 'LAHF', 'POPCNT', 'SSE3', 'SSE4.1', 'SSE4.2', 'SSSE3', 'CMOV', 'CX8', 'FPU', 'FXSR', 'MMX', 'SYSCALL', 'SSE', 'SSE2'] as const) {
    expect([f, features().has(f)]).toEqual([f, true])
  }
})

it('no bit that nobody implements: AVX, AES, hypervisor, performance counters, TSX, 5-level', () => {
  const cpu = processor(64)
  const [, , ecx] = cpuidLeaf(cpu, 1, 0)
  for (const bit of [1, 2, 3, 5, 12, 15, 25, 28, 29, 30, 31]) expect([bit, (ecx >>> bit) & 1]).toEqual([bit, 0])
  expect(cpuidLeaf(cpu, 0xa, 0)).toEqual([0, 0, 0, 0])
  expect(cpuidLeaf(cpu, 5, 0)).toEqual([0, 0, 0, 0])
  expect(cpuidLeaf(cpu, 7, 0)[1] & ((1 << 4) | (1 << 5) | (1 << 11))).toBe(0)
  expect(cpuidLeaf(cpu, 7, 0)[2] & (1 << 16)).toBe(0)
})

it('bits that follow state: OSXSAVE, APIC, SYSCALL, NX', () => {
  const cpu = processor(64)
  const on = (leaf: number, register: 2 | 3, bit: number): number => (cpuidLeaf(cpu, leaf, 0)[register] >>> bit) & 1
  expect([on(1, 2, 27), on(1, 3, 9), on(0x80000001, 3, 11), on(0x80000001, 3, 20)]).toEqual([0, 1, 1, 1])
  cpu.state.cr4 |= 1n << 18n
  cpu.apicMsr.set(0x1b, 0xfee00000n)
  cpu.state.segRights.set(1, 0x409b)
  modelRegisters(cpu).miscEnable |= 1n << 34n
  expect([on(1, 2, 27), on(1, 3, 9), on(0x80000001, 3, 11), on(0x80000001, 3, 20)]).toEqual([1, 0, 0, 0])
})

it('topology: APIC id, levels of leaf BH, sharing of leaf 4', () => {
  const cpu = processor(64)
  expect(cpuidLeaf(cpu, 1, 0)[1]).toBe(0x05040800)
  expect(cpuidLeaf(cpu, 0xb, 0)).toEqual([0, 1, 0x100, 5])
  expect(cpuidLeaf(cpu, 0xb, 1)).toEqual([2, 4, 0x201, 5])
  expect(cpuidLeaf(cpu, 0xb, 2)).toEqual([0, 0, 2, 5])
  const sizes = [0, 1, 2, 3].map((n) => {
    const [eax, ebx, ecx] = cpuidLeaf(cpu, 4, n)
    return [eax & 31, (eax >>> 5) & 7, ((eax >>> 14) & 0xfff) + 1, (eax >>> 26) + 1, ((ebx >>> 22) + 1) * ((ebx & 0xfff) + 1) * (ecx + 1)]
  })
  expect(sizes).toEqual([[1, 1, 1, 4, 32768], [2, 1, 1, 4, 32768], [3, 2, 1, 4, 1 << 20], [3, 3, 4, 4, 16 << 20]])
  expect(cpuidLeaf(cpu, 4, 4)[0] & 31).toBe(0)
})

it('TSC from leaves 15H and 16H is the frequency exactly', () => {
  const cpu = processor(64)
  const [denominator, numerator, crystal] = cpuidLeaf(cpu, 0x15, 0)
  expect((crystal * numerator) / denominator).toBe(cpu.board.frequency)
  expect(cpuidLeaf(cpu, 0x16, 0)).toEqual([2200, 2200, 100, 0])
})

it('leaves beyond the highest show the highest basic one; IA32_MISC_ENABLE[22] limits it', () => {
  const cpu = processor(64)
  for (const leaf of [0x17, 0x40000000, 0x7fffffff, 0x80000009, 0xffffffff]) expect(cpuidLeaf(cpu, leaf, 0)).toEqual(cpuidLeaf(cpu, 0x16, 0))
  modelRegisters(cpu).miscEnable |= 1n << 22n
  expect(cpuidLeaf(cpu, 0, 0)[0]).toBe(2)
  expect(cpuidLeaf(cpu, 0x16, 0)).toEqual(cpuidLeaf(cpu, 2, 0))
})

it('writes four registers, upper halves cleared; a monitor comes first', () => {
  const cpu = processor(64, 3)
  for (const n of [0, 1, 2, 3]) cpu.state.gpr.set(n, (1n << 63n) | 0n)
  cpuidAssists.cpuid(cpu, instruction(cpu))
  expect([0, 3, 1, 2].map((n) => Number(cpu.state.gpr.get(n)))).toEqual([...cpuidLeaf(cpu, 0, 0)])
  cpu.intercepts = taking('cpuid')
  expect(outcome(() => cpuidAssists.cpuid(cpu, instruction(cpu)))).toBe('Intercepted')
})

it('register values are unsigned for any leaf', () => {
  const cpu = processor(64)
  for (let leaf = 0; leaf < 0x20; leaf++)
    for (const base of [0, 0x80000000])
      for (let sub = 0; sub < 5; sub++)
        for (const v of cpuidLeaf(cpu, base + leaf, sub)) expect(Number.isInteger(v) && v >= 0 && v < 2 ** 32).toBe(true)
})

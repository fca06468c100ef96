// RDMSR and WRMSR: values at reset, what is refused, what is counted (SDM 4 table 2-2).

import { describe, expect, it } from 'vitest'
import { Msr } from '../../src-core/arch/msr.ts'
import { ModelRegisters, modelRegisters } from '../../src-core/cpu/model-registers.ts'
import { msrAssists } from '../../src-core/cpu/msr.ts'
import { timeStampAssists } from '../../src-core/cpu/time-stamp.ts'
import { load, long, put64 } from '../paging/bench.ts'
import { instruction, outcome, processor, taking, type TestProcessor } from './processor.ts'

const rd = (cpu: TestProcessor, index: number): bigint | string => {
  cpu.state.gpr.set(1, 0xdead_0000_0000n * 0x10000n | BigInt(index))
  const r = outcome(() => msrAssists.rdmsr(cpu, instruction(cpu)))
  return r === 'done' ? (cpu.state.gpr.get(2) << 32n) | cpu.state.gpr.get(0) : r
}
const wr = (cpu: TestProcessor, index: number, value: bigint): string => {
  cpu.state.gpr.set(1, BigInt(index))
  cpu.state.gpr.set(0, (value & 0xffffffffn) | (7n << 40n))
  cpu.state.gpr.set(2, (value >> 32n) | (7n << 40n))
  return outcome(() => msrAssists.wrmsr(cpu, instruction(cpu)))
}

it('needs CPL 0, then asks a monitor', () => {
  const cpu = processor(64, 3)
  expect([rd(cpu, 0x10), wr(cpu, 0x10, 0n)]).toEqual(['#13(0)', '#13(0)'])
  const kernel = processor(64)
  kernel.intercepts = taking('rdmsr', 'wrmsr')
  expect([rd(kernel, 0x999), wr(kernel, 0x998, 5n)]).toEqual(['Intercepted', 'Intercepted'])
  expect((kernel.intercepts as ReturnType<typeof taking>).seen).toEqual([['rdmsr', 0x999], ['wrmsr', 0x998, 5n]])
})

it('unknown registers are #GP(0) and counted', () => {
  const cpu = processor(64)
  expect([rd(cpu, 0x345), wr(cpu, 0x606, 0n), rd(cpu, 0xc0011029)]).toEqual(['#13(0)', '#13(0)', '#13(0)'])
  expect(cpu.missing).toEqual(['read of MSR 345H', 'write of MSR 606H', 'read of MSR C0011029H'])
})

it('every register that Linux reads is there', () => {
  const cpu = processor(64)
  cpu.apicMsr.set(0x6e0, 0n)
  const listed = [0x10, 0x1b, 0x34, 0x3a, 0x3b, 0x8b, 0xce, 0xfe, 0x10a, 0x140, 0x174, 0x175, 0x176, 0x179, 0x17a, 0x1a0, 0x1d9, 0x250, 0x258, 0x259, 0x277, 0x2ff, 0x6e0]
  for (let n = 0x200; n <= 0x20f; n++) listed.push(n)
  for (let n = 0x268; n <= 0x26f; n++) listed.push(n)
  for (let n = 0x400; n <= 0x40f; n++) listed.push(n)
  for (const n of [0x80, 0x81, 0x82, 0x83, 0x84, 0x100, 0x101, 0x102, 0x103]) listed.push(0xc0000000 + n)
  for (const n of listed) expect([n.toString(16), typeof rd(cpu, n)]).toEqual([n.toString(16), 'bigint'])
  expect(cpu.missing).toEqual([])
  expect(rd(cpu, Msr.MTRR_DEF_TYPE)).toBe(0x806n)
  expect(rd(cpu, Msr.PAT)).toBe(0x0007040600070406n)
  expect((rd(cpu, Msr.PLATFORM_INFO) as bigint) >> 8n & 0xffn).toBe(22n)
})

describe('writes refused', () => {
  it.each<[string, number, bigint]>([
    ['PAT type 2', Msr.PAT, 0x02n], ['PAT type 8 on top', Msr.PAT, 0x08n << 56n],
    ['MTRR type 7', 0x200, 7n], ['MTRR base bit 8', 0x200, 0x106n], ['MTRR base above MAXPHYADDR', 0x200, 1n << 46n], ['MTRR mask bit 10', 0x201, 0x400n],
    ['fixed MTRR', 0x250, 0x0606060606060206n], ['default type', 0x2ff, 0x802n], ['default type bit 12', 0x2ff, 0x1006n], ['MTRRcap', 0xfe, 0n],
    ['LSTAR', Msr.LSTAR, 1n << 47n], ['CSTAR', Msr.CSTAR, 1n << 63n], ['FMASK', Msr.FMASK, 1n << 32n], ['TSC_AUX', Msr.TSC_AUX, 1n << 32n],
    ['FS base', Msr.FS_BASE, 1n << 47n], ['GS base', Msr.GS_BASE, 1n << 47n], ['kernel GS base', Msr.KERNEL_GS_BASE, 1n << 47n],
    ['SYSENTER_ESP', Msr.SYSENTER_ESP, 1n << 47n], ['EFER bit 1', Msr.EFER, 0x502n], ['EFER bit 12 (SVME)', Msr.EFER, 0x1500n], ['LME while paging', Msr.EFER, 0x400n],
    ['bank status', 0x401, 1n], ['MCG_STATUS', 0x17a, 8n], ['MISC_ENABLE', 0x1a0, 0x2n], ['DEBUGCTL', 0x1d9, 4n], ['feature control', 0x3a, 2n],
    ['MISC_FEATURES', 0x140, 1n], ['ARCH_CAPABILITIES', 0x10a, 0n],
  ])('%s', (_name, index, value) => {
    const cpu = processor(64)
    const before = rd(cpu, index)
    expect(wr(cpu, index, value)).toBe('#13(0)')
    expect(rd(cpu, index)).toBe(before)
  })
})

it('EFER: LMA is read-only, NXE takes effect at once', () => {
  const cpu = processor(64)
  long(cpu.bench)
  put64(cpu.bench, 0x4008, 0x5003n | (1n << 63n))
  expect(typeof load(cpu.bench, 0x1000n)).toBe('number')
  expect(wr(cpu, Msr.EFER, 0x101n)).toBe('done')
  expect([rd(cpu, Msr.EFER), cpu.log]).toEqual([0x501n, ['mode']])
  expect(load(cpu.bench, 0x1000n)).toMatchObject({ vector: 14, errorCode: 9 })
  const off = processor(32)
  expect([wr(off, Msr.EFER, 0x500n), rd(off, Msr.EFER)]).toEqual(['done', 0x100n])
})

it('FEATURE_CONTROL locks until reset', () => {
  const cpu = processor(64)
  expect([rd(cpu, 0x3a), wr(cpu, 0x3a, 1n), wr(cpu, 0x3a, 1n), rd(cpu, 0x3a)]).toEqual([0n, 'done', '#13(0)', 1n])
  modelRegisters(cpu).reset()
  expect(rd(cpu, 0x3a)).toBe(0n)
})

it('TSC and TSC_ADJUST move together (SDM 3B 17.17.3), RDTSC charges and waits', () => {
  const cpu = processor(64)
  expect(rd(cpu, 0x10)).toBe(1000n)
  wr(cpu, 0x10, 5000n)
  expect([rd(cpu, 0x3b), rd(cpu, 0x10)]).toEqual([4000n, 5000n])
  wr(cpu, 0x3b, 0xffff_ffff_ffff_fffen)
  cpu.time = 1
  cpu.charged = 0
  timeStampAssists.rdtsc(cpu, instruction(cpu))
  expect([cpu.state.gpr.get(2), cpu.state.gpr.get(0), cpu.charged]).toEqual([0xffffffffn, 0xffffffffn, cpu.board.costs.rdtsc])
  cpu.state.tscAux = 0x12345n
  timeStampAssists.rdtscp(cpu, instruction(cpu))
  expect(cpu.state.gpr.get(1)).toBe(0x12345n)
  cpu.bench.ahead = true
  cpu.state.gpr.set(0, 77n)
  for (const run of [timeStampAssists.rdtsc, timeStampAssists.rdtscp]) expect(outcome(() => run(cpu, instruction(cpu)))).toBe('Again')
  expect([rd(cpu, 0x10), rd(cpu, 0x1b), cpu.state.gpr.get(0)]).toEqual(['Again', 'Again', 77n])
})

it('RDTSC obeys CR4.TSD, RDPMC has no counter, RDPID', () => {
  const cpu = processor(64, 3)
  expect(outcome(() => timeStampAssists.rdtsc(cpu, instruction(cpu)))).toBe('done')
  cpu.state.cr4 |= 4n
  expect(outcome(() => timeStampAssists.rdtsc(cpu, instruction(cpu)))).toBe('#13(0)')
  expect(outcome(() => timeStampAssists.rdpmc(cpu, instruction(cpu)))).toBe('#13(0)')
  cpu.state.tscAux = 9n
  const i = instruction(cpu)
  timeStampAssists.rdpid(cpu, i)
  expect(i.written.get(0)).toBe(9n)
})

it('segment bases go to the caches', () => {
  const cpu = processor(64)
  wr(cpu, Msr.GS_BASE, 0xffff_8880_0000_0000n)
  expect([cpu.state.segEffective.get(5), cpu.log]).toEqual([0xffff_8880_0000_0000n, ['segment 5']])
})

it('plain registers are saved by name, and nothing else is taken back', () => {
  const a = new ModelRegisters()
  a.mtrrVariable[3] = 0x3f_ffff_f800n
  a.pat = 0x0606060606060606n
  const b = new ModelRegisters()
  const saved = JSON.parse(JSON.stringify(a.save()))
  b.restore(saved)
  expect(b).toEqual(a)
  for (const bad of [{ ...saved, version: 9 }, { version: 1, fields: { ...saved.fields, pat: 'xyz' } }, { version: 1, fields: { ...saved.fields, mtrrFixed: ['0'] } }, { version: 1, fields: {} }]) {
    expect(() => b.restore(bad)).toThrow('model-specific')
    expect(b).toEqual(a)
  }
})

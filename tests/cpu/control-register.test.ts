// MOV CR, CLTS, LMSW, SMSW, XGETBV, XSETBV: what is refused and what changes (SDM 3A 2.5, 4.1.2, 4.4.1, 9.8.5).

import { describe, expect, it } from 'vitest'
import { controlRegisterAssists as assists } from '../../src-core/cpu/control-register.ts'
import { load, long, put64 } from '../paging/bench.ts'
import { instruction, outcome, processor, taking, type TestProcessor } from './processor.ts'

const write = (cpu: TestProcessor, reg: number, value: bigint): string => outcome(() => assists.writeCr(cpu, instruction(cpu, { reg, rm: 1, operands: [0n, value] })))
const read = (cpu: TestProcessor, reg: number): bigint | undefined => {
  const i = instruction(cpu, { reg })
  assists.readCr(cpu, i)
  return i.written.get(0)
}

describe('which registers exist', () => {
  it.each([1, 5, 6, 7, 9, 15])('CR%i is #UD, even at CPL 3', (reg) => {
    expect(write(processor(32, 3), reg, 0n)).toBe('#6')
    expect(outcome(() => read(processor(64), reg))).toBe('#6')
  })
  it('CR8 in 64-bit mode only, four bits', () => {
    expect(write(processor(32), 8, 0n)).toBe('#6')
    const cpu = processor(64)
    expect(read(cpu, 8)).toBe(3n)
    expect(write(cpu, 8, 16n)).toBe('#13(0)')
    expect([write(cpu, 8, 15n), cpu.taskPriority]).toEqual(['done', 15])
  })
  it.each(['readCr', 'writeCr', 'clts', 'lmsw'] as const)('%s needs CPL 0', (name) => {
    const cpu = processor(32, 3)
    expect(outcome(() => assists[name](cpu, instruction(cpu, { operands: [1n, 1n] })))).toBe('#13(0)')
  })
  it('monitors are asked behind the privilege check', () => {
    const cpu = processor(32)
    cpu.intercepts = taking('writeCr')
    expect(write(cpu, 0, 0x80000001n)).toBe('Intercepted')
    expect((cpu.intercepts as ReturnType<typeof taking>).seen).toEqual([['writeCr', 0, 1, 0x80000001n]])
    expect(cpu.state.cr0).toBe(0x11n)
  })
})

describe('CR0', () => {
  it.each([
    ['PG without PE', 0x80000000n], ['NW without CD', 0x20000001n], ['bit 32', 0x100000001n],
  ])('%s is #GP(0)', (_name, value) => {
    const cpu = processor(32)
    const before = cpu.state.cr0
    expect(write(cpu, 0, value)).toBe('#13(0)')
    expect(cpu.state.cr0).toBe(before)
  })
  it('ET stays 1, reserved low bits are dropped', () => {
    const cpu = processor(32)
    write(cpu, 0, 0xffffffffn & ~0x80000000n)
    expect(cpu.state.cr0).toBe(0x6005003fn)
  })
  it('PG with LME enters IA-32e mode, with PAE, without CS.L, without a 16-bit TSS (9.8.5)', () => {
    const cpu = processor(32)
    cpu.state.efer = 0x100n
    expect(write(cpu, 0, 0x80000011n)).toBe('#13(0)')
    cpu.state.cr4 = 0x20n
    cpu.state.segRights.set(1, 0x209b)
    expect(write(cpu, 0, 0x80000011n)).toBe('#13(0)')
    cpu.state.segRights.set(1, 0x409b)
    cpu.state.segRights.set(7, 0x83)
    expect(write(cpu, 0, 0x80000011n)).toBe('#13(0)')
    cpu.state.segRights.set(7, 0x8b)
    expect(write(cpu, 0, 0x80000011n)).toBe('done')
    expect([cpu.state.efer, cpu.log]).toEqual([0x500n, ['mode']])
    expect(write(cpu, 0, 0x11n)).toBe('done')
    expect(cpu.state.efer).toBe(0x100n)
  })
  it('PG cannot be cleared in 64-bit mode, nor with PCIDE', () => {
    const cpu = processor(64)
    expect(write(cpu, 0, 0x11n)).toBe('#13(0)')
    cpu.state.segRights.set(1, 0x409b)
    cpu.state.cr4 |= 1n << 17n
    expect(write(cpu, 0, 0x11n)).toBe('#13(0)')
    cpu.state.cr4 &= ~(1n << 17n)
    expect(write(cpu, 0, 0x11n)).toBe('done')
  })
  it('PG, CD and NW load the PDPTEs in PAE paging', () => {
    const cpu = processor(32)
    cpu.state.cr4 = 0x20n
    cpu.state.cr3 = 0x1000n
    put64(cpu.bench, 0x1000, 3n)
    expect(write(cpu, 0, 0x80000011n)).toBe('#13(0)')
    put64(cpu.bench, 0x1000, 0x3001n)
    expect(write(cpu, 0, 0x80000011n)).toBe('done')
    expect(cpu.state.pdpte.get(0)).toBe(0x3001n)
    put64(cpu.bench, 0x1008, 0x102n | 1n)
    expect(write(cpu, 0, 0x80010011n)).toBe('done')
    expect(write(cpu, 0, 0xc0010011n)).toBe('#13(0)')
  })
  it('a change of WP takes effect on translations cached before', () => {
    const cpu = processor(64)
    long(cpu.bench)
    cpu.state.cr0 = 0x80000011n
    put64(cpu.bench, 0x4008, 0x5001n)
    cpu.memory.write8(0x1000n, 1)
    write(cpu, 0, 0x80010011n)
    expect(outcome(() => cpu.memory.write8(0x1000n, 1))).toBe('#14(3)')
  })
})

describe('CR3', () => {
  it('bits above MAXPHYADDR are #GP(0); bit 63 only with PCIDE, and it does not stay', () => {
    const cpu = processor(64)
    expect(write(cpu, 3, 1n << 46n)).toBe('#13(0)')
    expect(write(cpu, 3, (1n << 63n) | 0x1000n)).toBe('#13(0)')
    cpu.state.cr4 |= 1n << 17n
    expect(write(cpu, 3, (1n << 63n) | 0x1005n)).toBe('done')
    expect(cpu.state.cr3).toBe(0x1005n)
    expect(write(cpu, 3, (1n << 63n) | (1n << 62n))).toBe('#13(0)')
  })
  it('drops translations that are not global; with bit 63 and the same value it need not', () => {
    const cpu = processor(64)
    const b = cpu.bench
    long(b)
    cpu.state.cr4 |= 1n << 17n
    put64(b, 0x4008, 0x5003n)
    put64(b, 0x4010, 0x6103n)
    load(b, 0x1000n)
    load(b, 0x2000n)
    put64(b, 0x4008, 0x7003n)
    put64(b, 0x4010, 0x7003n)
    write(cpu, 3, (1n << 63n) | 0x1000n)
    expect(load(b, 0x1000n)).toBe(b.physical.host(0x5000))
    write(cpu, 3, 0x1000n)
    expect([load(b, 0x1000n), load(b, 0x2000n)]).toEqual([b.physical.host(0x7000), b.physical.host(0x6000)])
    put64(b, 0x4008, 0x5003n)
    write(cpu, 3, (1n << 63n) | 0x1005n) // another PCID: its own translations only
    expect(load(b, 0x1000n)).toBe(b.physical.host(0x5000))
  })
  it('loads the PDPTEs in PAE paging, and keeps CR3 when they are bad', () => {
    const cpu = processor(32)
    cpu.state.cr0 = 0x80000011n
    cpu.state.cr4 = 0x20n
    put64(cpu.bench, 0x2020, 0x4007n)
    expect(write(cpu, 3, 0x2020n)).toBe('#13(0)')
    expect(cpu.state.cr3).toBe(0n)
    put64(cpu.bench, 0x2020, 0x4001n)
    expect(write(cpu, 3, 0x2020n)).toBe('done')
    expect(cpu.state.pdpte.get(0)).toBe(0x4001n)
  })
})

describe('CR4', () => {
  it.each([12, 13, 14, 15, 19, 22, 24, 32, 63])('bit %i is reserved here', (bit) => {
    const cpu = processor(64)
    expect(write(cpu, 4, 0x20n | (1n << BigInt(bit)))).toBe('#13(0)')
  })
  it('PAE stays set in IA-32e mode', () => {
    expect(write(processor(64), 4, 0n)).toBe('#13(0)')
  })
  it('PCIDE needs IA-32e mode and a zero PCID', () => {
    expect(write(processor(32), 4, 0x20020n)).toBe('#13(0)')
    const cpu = processor(64)
    cpu.state.cr3 = 0x1001n
    expect(write(cpu, 4, 0x20020n)).toBe('#13(0)')
    cpu.state.cr3 = 0x1000n
    expect(write(cpu, 4, 0x20020n)).toBe('done')
    cpu.state.cr3 = 0x1001n
    expect(write(cpu, 4, 0x20420n)).toBe('done')
    expect(cpu.state.cr4).toBe(0x20420n)
  })
  it('PGE drops global translations', () => {
    const cpu = processor(64)
    const b = cpu.bench
    long(b)
    put64(b, 0x4008, 0x5103n)
    load(b, 0x1000n)
    put64(b, 0x4008, 0x6103n)
    write(cpu, 4, cpu.state.cr4 ^ 0x80n)
    expect(load(b, 0x1000n)).toBe(b.physical.host(0x6000))
  })
})

it('LMSW sets PE and does not clear it; SMSW obeys UMIP', () => {
  const cpu = processor(16)
  assists.lmsw(cpu, instruction(cpu, { operands: [0xfff9n] }))
  expect(cpu.state.cr0).toBe(0x19n)
  assists.lmsw(cpu, instruction(cpu, { operands: [0n] }))
  expect(cpu.state.cr0).toBe(0x11n)
  const user = processor(32, 3)
  const i = instruction(user)
  assists.smsw(user, i)
  expect(i.written.get(0)).toBe(0x11n)
  user.state.cr4 = 1n << 11n
  expect(outcome(() => assists.smsw(user, i))).toBe('#13(0)')
})

it('CLTS clears TS', () => {
  const cpu = processor(32)
  cpu.state.cr0 |= 8n
  assists.clts(cpu, instruction(cpu))
  expect(cpu.state.cr0).toBe(0x11n)
})

it('XSETBV: OSXSAVE, CPL, ECX, x87 always, no unknown state (SDM 1 13.3)', () => {
  const cpu = processor(64)
  const set = (ecx: bigint, edx: bigint, eax: bigint): string => {
    cpu.state.gpr.set(1, ecx)
    cpu.state.gpr.set(2, edx)
    cpu.state.gpr.set(0, eax)
    return outcome(() => assists.xsetbv(cpu, instruction(cpu)))
  }
  expect(set(0n, 0n, 3n)).toBe('#6')
  cpu.state.cr4 |= 1n << 18n
  expect([set(1n, 0n, 3n), set(0n, 1n, 3n), set(0n, 0n, 2n), set(0n, 0n, 7n)]).toEqual(Array(4).fill('#13(0)'))
  expect(set(0n, 0n, 3n)).toBe('done')
  cpu.state.gpr.set(2, 99n)
  assists.xgetbv(cpu, instruction(cpu))
  expect([cpu.state.gpr.get(0), cpu.state.gpr.get(2)]).toEqual([3n, 0n])
  cpu.state.cpl = 3
  expect(set(0n, 0n, 3n)).toBe('#13(0)')
})

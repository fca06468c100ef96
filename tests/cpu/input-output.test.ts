// IN, OUT, INS, OUTS: permission, order of effects, one iteration a call (SDM 1 19.5, SDM 2A/2B).

import { beforeEach, describe, expect, it } from 'vitest'
import { inputOutputAssists as assists } from '../../src-core/cpu/input-output.ts'
import { deriveMode } from '../../src-core/cpu/mode.ts'
import type { Instruction } from '../../src-core/cpu/instruction.ts'
import { instruction, outcome, processor, taking, type TestProcessor } from './processor.ts'

let ports: string[]
const withPorts = (cpu: TestProcessor): TestProcessor => {
  cpu.io.map('ports', 0, 0x10000, {
    read: (o, size) => (ports.push(`r${size}@${o.toString(16)}`), (0x89abcdef & (2 ** (size * 8) - 1)) >>> 0),
    write: (o, size, v) => void ports.push(`w${size}@${o.toString(16)}=${v.toString(16)}`),
  })
  return cpu
}
beforeEach(() => {
  ports = []
})

const TSS = 0x9000
/** CPL 3, IOPL 0, a 32-bit TSS whose bitmap begins at 68H and covers `bytes`. */
function task(bytes: number): TestProcessor {
  const cpu = withPorts(processor(32, 3))
  cpu.state.segBase.set(7, BigInt(TSS))
  cpu.state.segLimit.set(7, 0x68 + bytes - 1)
  cpu.memory.write16(BigInt(TSS + 0x66), 0x68)
  return cpu
}
const input = (cpu: TestProcessor, port: number, bits = 8): string => outcome(() => assists.in(cpu, instruction(cpu, { operands: [0n, BigInt(port)], row: '@<AL>, @<DX>' }), bits))

describe('permission', () => {
  it('IOPL decides without the bitmap', () => {
    const cpu = task(0)
    expect(input(cpu, 0x60)).toBe('#13(0)')
    cpu.setRflags(0x3002n)
    expect(input(cpu, 0x60)).toBe('done')
    expect(ports).toEqual(['r1@60'])
  })
  it('a set bit of any byte of the access refuses; two bytes of the map must be inside the limit', () => {
    const cpu = task(3)
    cpu.memory.write8(BigInt(TSS + 0x68 + 1), 0x01)
    expect([input(cpu, 7), input(cpu, 7, 16), input(cpu, 8), input(cpu, 5, 32), input(cpu, 4, 32), input(cpu, 9)]).toEqual([
      'done', '#13(0)', '#13(0)', '#13(0)', 'done', 'done',
    ])
    expect([input(cpu, 15), input(cpu, 16), input(cpu, 24)]).toEqual(['done', '#13(0)', '#13(0)'])
  })
  it('a 16-bit or unusable TSS, or one too short for the map base, refuses', () => {
    const cpu = task(16)
    cpu.state.segRights.set(7, 0x83)
    expect(input(cpu, 0)).toBe('#13(0)')
    cpu.state.segRights.set(7, 0x1008b)
    expect(input(cpu, 0)).toBe('#13(0)')
    cpu.state.segRights.set(7, 0x89)
    expect(input(cpu, 0)).toBe('done')
    cpu.state.segLimit.set(7, 0x66)
    expect(input(cpu, 0)).toBe('#13(0)')
  })
  it('virtual-8086 mode always asks the map, real mode never', () => {
    const cpu = task(16)
    cpu.setRflags(0x23002n)
    deriveMode(cpu.state)
    cpu.memory.write8(BigInt(TSS + 0x68), 0xff, 'system')
    expect([input(cpu, 0), input(cpu, 8)]).toEqual(['#13(0)', 'done'])
    expect(input(withPorts(processor(16)), 0)).toBe('done')
  })
  it('comes before the monitor, the monitor before the port', () => {
    const cpu = task(1)
    cpu.intercepts = taking('io')
    expect(input(cpu, 0x60)).toBe('#13(0)')
    const kernel = withPorts(processor(32))
    kernel.intercepts = taking('io')
    kernel.bench.ahead = true
    expect(outcome(() => assists.out(kernel, instruction(kernel, { operands: [0x80n, 0n], row: '@imm8, @<rAX>' }), 16))).toBe('Intercepted')
    expect((kernel.intercepts as ReturnType<typeof taking>).seen).toEqual([['io', 0x80, 2, false, false, false, true]])
    kernel.intercepts = undefined
    expect(input(kernel, 0x60)).toBe('Again')
    expect(ports).toEqual([])
  })
})

it('IN merges 8 and 16 bits and clears the upper half with 32; OUT writes its width', () => {
  const cpu = withPorts(processor(64))
  const rax = (bits: number): bigint => {
    cpu.state.gpr.set(0, 0x1122334455667788n)
    input(cpu, 0x10, bits)
    return cpu.state.gpr.get(0)
  }
  expect([rax(8), rax(16), rax(32)]).toEqual([0x11223344556677efn, 0x112233445566cdefn, 0x89abcdefn])
  cpu.state.gpr.set(0, 0x1122334455667788n)
  for (const bits of [8, 16, 32]) assists.out(cpu, instruction(cpu, { operands: [0x20n, 0n] }), bits)
  expect(ports.slice(3)).toEqual(['w1@20=88', 'w2@20=7788', 'w4@20=55667788'])
})

const string = (cpu: TestProcessor, over: Partial<Instruction> & { size?: number }): Instruction => instruction(cpu, { row: '', ...over })

describe('strings', () => {
  it('REP INS: one iteration a call, at the instruction until rCX is 0', () => {
    const cpu = withPorts(processor(32))
    const g = cpu.state.gpr
    g.set(1, 2n)
    g.set(2, 0x1f0n)
    g.set(7, 0x7000n)
    const i = string(cpu, { rep: 'rep', size: 16 })
    assists.ins(cpu, i)
    expect([g.get(1), g.get(7), cpu.nextRip]).toEqual([1n, 0x7002n, 0x100n])
    cpu.nextRip = 0x102n
    assists.ins(cpu, i)
    expect([g.get(1), g.get(7), cpu.nextRip, cpu.memory.read32(0x7000n)]).toEqual([0n, 0x7004n, 0x102n, 0xcdefcdef])
    assists.ins(cpu, i)
    expect(ports).toEqual(['r2@1f0', 'r2@1f0'])
  })
  it('address size wraps and merges; DF steps down', () => {
    const cpu = withPorts(processor(32))
    const g = cpu.state.gpr
    g.set(1, 0x50001n)
    g.set(6, 0x60000n)
    cpu.memory.write8(0n, 0x5a)
    cpu.setRflags(0x402n)
    assists.outs(cpu, string(cpu, { rep: 'rep', size: 8, addressSize: 16 }))
    expect([g.get(1), g.get(6), cpu.nextRip, ports]).toEqual([0x50000n, 0x6ffffn, 0x102n, ['w1@0=5a']])
  })
  it('INS faults before the port is read', () => {
    const cpu = withPorts(processor(32))
    cpu.state.segLimit.set(0, 0xfff)
    deriveMode(cpu.state)
    cpu.state.gpr.set(7, 0xffen)
    expect(outcome(() => assists.ins(cpu, string(cpu, { size: 32 })))).toBe('#13(0)')
    cpu.state.segLimit.set(0, 0xffffffff)
    deriveMode(cpu.state)
    cpu.state.cr0 |= 0x80000000n
    cpu.state.cr3 = 0x3000n
    expect(outcome(() => assists.ins(cpu, string(cpu, { size: 32 })))).toBe('#14(2)')
    expect([ports, cpu.state.gpr.get(7)]).toEqual([[], 0xffen])
  })
  it('OUTS reads through the segment given, faults before the port is written', () => {
    const cpu = withPorts(processor(32))
    cpu.state.segBase.set(4, 0x6000n)
    deriveMode(cpu.state)
    cpu.memory.write32(0x6010n, 0xfeedbeef)
    cpu.state.gpr.set(6, 0x10n)
    assists.outs(cpu, string(cpu, { size: 32, segment: 4 }))
    expect([ports, cpu.state.gpr.get(6)]).toEqual([['w4@0=feedbeef'], 0x14n])
    cpu.state.segLimit.set(4, 0xf)
    deriveMode(cpu.state)
    expect(outcome(() => assists.outs(cpu, string(cpu, { size: 8, segment: 4 })))).toBe('#13(0)')
    expect(ports.length).toBe(1)
  })
  it('the monitor learns direction, string and REP', () => {
    const cpu = withPorts(processor(32))
    cpu.intercepts = taking('io')
    cpu.state.gpr.set(1, 5n)
    cpu.state.gpr.set(2, 0x3f8n)
    expect(outcome(() => assists.ins(cpu, string(cpu, { rep: 'rep', size: 8 })))).toBe('Intercepted')
    expect((cpu.intercepts as ReturnType<typeof taking>).seen).toEqual([['io', 0x3f8, 1, true, true, true, false]])
    expect([cpu.state.gpr.get(1), ports]).toEqual([5n, []])
  })
})

it('I/O breakpoints need CR4.DE, and match any byte (SDM 3B 17.2.4)', () => {
  const cpu = withPorts(processor(32))
  cpu.state.dr.set(2, 0x61n)
  cpu.state.dr.set(7, 0x400n | (1n << 4n) | (2n << 24n))
  input(cpu, 0x60, 16)
  expect(cpu.state.pendingDebug).toBe(0)
  cpu.state.cr4 = 8n
  input(cpu, 0x62, 16)
  expect(cpu.state.pendingDebug).toBe(0)
  input(cpu, 0x60, 16)
  expect(cpu.state.pendingDebug).toBe(4)
})

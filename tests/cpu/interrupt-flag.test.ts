// CLI, STI, CLAC, STAC, PUSHF, POPF over all modes (SDM 2A table 3-7 CLI, 2B tables 4-16, 4-20; SDM 3B 20.3).

import { describe, expect, it } from 'vitest'
import { interruptFlagAssists as assists } from '../../src-core/cpu/interrupt-flag.ts'
import { deriveMode } from '../../src-core/cpu/mode.ts'
import { instruction, outcome, processor, type TestProcessor } from './processor.ts'

const IF = 1n << 9n
const VM = 1n << 17n
const VIF = 1n << 19n
const VIP = 1n << 20n
const iopl = (n: number): bigint => BigInt(n) << 12n

const at = (mode: 'real' | 'protected' | 'v86', cpl: number, flags: bigint, cr4 = 0n): TestProcessor => {
  const cpu = processor(mode === 'real' ? 16 : 32, cpl)
  cpu.state.cr4 = cr4
  cpu.setRflags(2n | flags | (mode === 'v86' ? VM : 0n))
  deriveMode(cpu.state)
  return cpu
}

describe('CLI and STI', () => {
  // mode, CPL, IOPL, CR4 (VME 1, PVI 2), VIP → the flag that changes
  const cases: [mode: 'real' | 'protected' | 'v86', cpl: number, iopl: number, cr4: bigint, vip: boolean, cli: 'IF' | 'VIF' | '#GP', sti: 'IF' | 'VIF' | '#GP'][] = [
    ['real', 0, 0, 0n, false, 'IF', 'IF'],
    ['protected', 0, 0, 0n, false, 'IF', 'IF'],
    ['protected', 3, 3, 0n, false, 'IF', 'IF'],
    ['protected', 3, 2, 0n, false, '#GP', '#GP'],
    ['protected', 3, 0, 2n, false, 'VIF', 'VIF'],
    ['protected', 3, 0, 2n, true, 'VIF', '#GP'],
    ['protected', 2, 1, 2n, false, '#GP', '#GP'],
    ['protected', 3, 0, 1n, false, '#GP', '#GP'],
    ['v86', 3, 3, 0n, false, 'IF', 'IF'],
    ['v86', 3, 0, 0n, false, '#GP', '#GP'],
    ['v86', 3, 0, 2n, false, '#GP', '#GP'],
    ['v86', 3, 0, 1n, false, 'VIF', 'VIF'],
    ['v86', 3, 0, 1n, true, 'VIF', '#GP'],
    ['v86', 3, 3, 1n, true, 'IF', 'IF'],
  ]
  it.each(cases)('%s CPL %i IOPL %i CR4 %o VIP %s', (mode, cpl, level, cr4, vip, cli, sti) => {
    for (const [name, start, expected] of [['cli', IF | VIF, cli], ['sti', 0n, sti]] as const) {
      const cpu = at(mode, cpl, start | iopl(level) | (vip ? VIP : 0n), cr4)
      const before = cpu.rflags()
      const r = outcome(() => assists[name](cpu, instruction(cpu)))
      expect(r).toBe(expected === '#GP' ? '#13(0)' : 'done')
      const changed = cpu.rflags() ^ before
      expect(changed).toBe(expected === '#GP' ? 0n : expected === 'IF' ? IF : VIF)
    }
  })
  it('STI holds interrupts off for one instruction, only when IF was 0', () => {
    const cpu = at('protected', 0, 0n)
    assists.sti(cpu, instruction(cpu))
    expect(cpu.state.interruptibility).toBe(1)
    cpu.state.interruptibility = 0
    assists.sti(cpu, instruction(cpu))
    expect(cpu.state.interruptibility).toBe(0)
  })
})

it('CLAC and STAC: CPL 0 or #UD', () => {
  const cpu = at('protected', 0, 0n)
  assists.stac(cpu, instruction(cpu))
  expect([cpu.rflags() & (1n << 18n), cpu.log]).toEqual([1n << 18n, ['mode']])
  assists.clac(cpu, instruction(cpu))
  expect(cpu.rflags() & (1n << 18n)).toBe(0n)
  const user = at('protected', 3, 0n)
  for (const name of ['clac', 'stac'] as const) expect(outcome(() => assists[name](user, instruction(user)))).toBe('#6')
})

const popf = (cpu: TestProcessor, size: 16 | 32 | 64, image: bigint): string => {
  const sp = cpu.state.gpr.get(4)
  cpu.memory.write64(sp, image, 'system')
  return outcome(() => assists.popf(cpu, instruction(cpu, { operandSize: size })))
}

describe('POPF', () => {
  const all = 0xffff_ffff_ffff_ffffn
  // what changes from flags 0 with all ones popped
  it.each<[string, 'real' | 'protected' | 'v86', number, bigint, 16 | 32, bigint]>([
    ['CPL 0', 'protected', 0, 0n, 32, 0x247fd7n],
    ['CPL 0, 16 bits', 'protected', 0, 0n, 16, 0x7fd7n],
    ['CPL 3, IOPL 0', 'protected', 3, 0n, 32, 0x244dd7n],
    ['CPL 3, IOPL 3', 'protected', 3, iopl(3), 32, 0x247fd7n],
    ['real', 'real', 0, 0n, 16, 0x7fd7n],
    ['virtual-8086, IOPL 3', 'v86', 3, iopl(3) | VM, 32, 0x267fd7n],
  ])('%s', (_name, mode, cpl, flags, size, expected) => {
    const cpu = at(mode, cpl, flags)
    expect(popf(cpu, size, all)).toBe('done')
    expect(cpu.rflags().toString(16)).toBe(expected.toString(16))
    expect(cpu.state.gpr.get(4)).toBe(0x8000n + BigInt(size >> 3))
  })
  it('clears RF with 32 bits and keeps VIP and VIF', () => {
    const cpu = at('protected', 0, VIP | VIF | (1n << 16n))
    popf(cpu, 32, 0n)
    expect(cpu.rflags()).toBe(VIP | VIF | 2n)
  })
  it('virtual-8086 below IOPL 3: 16 bits with VME move VIF, else #GP(0)', () => {
    expect(popf(at('v86', 3, 0n), 16, 0n)).toBe('#13(0)')
    expect(popf(at('v86', 3, 0n, 1n), 32, 0n)).toBe('#13(0)')
    const cpu = at('v86', 3, IF, 1n)
    expect(popf(cpu, 16, 0xfeffn)).toBe('done')
    expect(cpu.rflags().toString(16)).toBe((VM | VIF | IF | 0x4cd7n).toString(16))
    for (const [flags, image] of [[0n, 0x100n], [VIP, 0x200n]] as const) {
      const c = at('v86', 3, flags, 1n)
      expect([popf(c, 16, image), c.state.gpr.get(4)]).toEqual(['#13(0)', 0x8000n])
    }
    expect(popf(at('v86', 3, VIP | VIF, 1n), 16, 0n)).toBe('done')
  })
  it('a fault leaves everything as it was', () => {
    const cpu = at('protected', 0, 0n)
    cpu.state.segLimit.set(2, 0x8001)
    deriveMode(cpu.state)
    expect(outcome(() => assists.popf(cpu, instruction(cpu)))).toBe('#12(0)')
    expect([cpu.rflags(), cpu.state.gpr.get(4)]).toEqual([2n, 0x8000n])
  })
})

describe('PUSHF', () => {
  it('pushes without VM and RF, in three sizes', () => {
    for (const size of [16, 32, 64] as const) {
      const cpu = processor(size === 64 ? 64 : 32)
      if (size === 64) cpu.state.cr0 &= ~0x80000000n
      cpu.setRflags(0x3f7fd7n & ~VM)
      cpu.memory.write64(0x7ff8n, 0n)
      assists.pushf(cpu, instruction(cpu, { operandSize: size }))
      const bytes = BigInt(size >> 3)
      expect(cpu.state.gpr.get(4)).toBe(0x8000n - bytes)
      expect(cpu.memory.read64(0x7ff8n)).toBe(size === 16 ? 0x7fd7_0000_0000_0000n : size === 32 ? 0x003c7fd7_00000000n : 0x3c7fd7n)
    }
  })
  it('a 16-bit stack wraps and keeps the upper half of rSP', () => {
    const cpu = processor(16)
    cpu.state.gpr.set(4, 0xabc0000n)
    assists.pushf(cpu, instruction(cpu, { operandSize: 16 }))
    expect([cpu.state.gpr.get(4), cpu.memory.read16(0xfffen)]).toEqual([0xabcfffen, 2])
  })
  it('virtual-8086: IF is VIF and IOPL reads 3 with VME, else #GP(0)', () => {
    const cpu = at('v86', 3, VIF, 1n)
    assists.pushf(cpu, instruction(cpu, { operandSize: 16 }))
    expect(cpu.memory.read16(0x7ffen)).toBe(0x3202)
    expect(outcome(() => assists.pushf(cpu, instruction(cpu, { operandSize: 32 })))).toBe('#13(0)')
    const without = at('v86', 3, 0n)
    expect(outcome(() => assists.pushf(without, instruction(without, { operandSize: 16 })))).toBe('#13(0)')
  })
  it('a non-canonical stack is #SS(0)', () => {
    const cpu = processor(64)
    cpu.state.gpr.set(4, 0x8000_0000_0008n)
    expect(outcome(() => assists.pushf(cpu, instruction(cpu, { operandSize: 64 })))).toBe('#12(0)')
    expect(cpu.state.gpr.get(4)).toBe(0x8000_0000_0008n)
  })
})

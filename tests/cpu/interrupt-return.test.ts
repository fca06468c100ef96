// IRET in every mode: flags it may change, privilege, virtual-8086 mode, NMIs (SDM 2A IRET; SDM 3A 6.7.1, 6.14.3, 20.2, 20.3).

import { describe, expect, it } from 'vitest'
import { CS, DS, ES, GS, Rflags, SS } from '../../src-core/arch/registers.ts'
import { deliver } from '../../src-core/cpu/events.ts'
import { Sel, Stage } from './protected.ts'
import { put64, PT } from '../paging/bench.ts'

const TARGET = 0x19abc
const rsp = (p: Stage): number => Number(p.s.gpr.get(4))
const IRETQ = [0x48, 0xcf]
const refuses = (p: Stage, expected: string, bytes: number[]): void => {
  const before = p.snapshot()
  expect(p.run(...bytes)).toBe(expected)
  expect(p.snapshot()).toEqual(before)
}

describe('64-bit mode', () => {
  it('to CPL 3: SS:RSP, flags, inner data segments dropped', () => {
    const p = new Stage(64)
    p.frame(8, [TARGET, Sel.code64user, 0x3246, 0x5678, Sel.data3])
    expect(p.run(...IRETQ)).toBe('done')
    expect([p.s.rip, p.s.cpl, rsp(p), p.cpu.rflags()]).toEqual([BigInt(TARGET), 3, 0x5678, 0x3246n])
    expect([p.s.segSelector.get(SS), p.s.segRights.get(DS), p.s.segRights.get(GS)]).toEqual([Sel.data3, 0x10000, 0x10000])
  })
  it('without a change of privilege pops SS:RSP, too; SS may be null', () => {
    const p = new Stage(64)
    p.frame(8, [TARGET, Sel.code64, 2, 0x5670, 0])
    expect(p.run(...IRETQ)).toBe('done')
    expect([rsp(p), p.s.segSelector.get(SS), p.s.segRights.get(SS), p.s.cpl]).toEqual([0x5670, 0, 0x10000, 0])
  })
  it('to compatibility mode', () => {
    const p = new Stage(64)
    p.frame(8, [TARGET, Sel.code3, 2, 0x5670, Sel.data3])
    expect(p.run(...IRETQ)).toBe('done')
    expect([p.cpu.mode64, p.s.cpl, p.s.stackMask]).toEqual([false, 3, 0xffff_ffffn])
  })
  it('undoes a delivery from CPL 3', () => {
    const p = new Stage(64, 3)
    for (const n of [DS, ES]) p.s.segRights.set(n, 0x10000)
    p.idt(0x40, Sel.code64, 0x7000, 0x8e)
    p.cpu.setRflags(0x244ed7n)
    p.cpu.modeChanged()
    const before = p.snapshot()
    deliver(p.cpu, { vector: 0x40, kind: 'external', returnRip: p.s.rip })
    p.run(...IRETQ)
    expect(p.snapshot()).toEqual(before)
  })
  const refused: [string, number[], string][] = [
    ['null CS', [TARGET, 0, 2, 0, 0], '#13(0H)'], ['CS beyond the GDT', [TARGET, 0x208, 2, 0, 0], '#13(208H)'], ['CS is data', [TARGET, Sel.data0, 2, 0, 0], '#13(10H)'],
    ['CS not present', [TARGET, Sel.absentCode, 2, 0, 0], '#11(70H)'], ['DPL is not RPL', [TARGET, Sel.code64 | 3, 2, 0, Sel.data3], '#13(28H)'],
    ['null SS at CPL 3', [TARGET, Sel.code64user, 2, 0, 3], '#13(0H)'], ['null SS for compatibility code', [TARGET, Sel.code0, 2, 0, 0], '#13(0H)'],
    ['SS is code', [TARGET, Sel.code64, 2, 0, Sel.code0], '#13(8H)'], ['RPL of SS', [TARGET, Sel.code64user, 2, 0, 0x20], '#13(20H)'],
    ['SS not present', [TARGET, Sel.code64user, 2, 0, Sel.absentData3], '#12(a8H)'],
  ]
  it.each(refused)('%s', (_name, words, expected) => {
    const p = new Stage(64)
    p.frame(8, words)
    refuses(p, expected, IRETQ)
  })
  it('RIP that is not canonical, a stack that is not, NT', () => {
    const p = new Stage(64)
    p.frame(8, [2 ** 47, Sel.code64, 2, 0, 0])
    refuses(p, '#13(0H)', IRETQ)
    p.s.gpr.set(4, (1n << 47n) - 8n)
    refuses(p, '#14(0H)', IRETQ)
    p.s.gpr.set(4, 1n << 47n)
    refuses(p, '#12(0H)', IRETQ)
    p.frame(8, [TARGET, Sel.code64, 2, 0, 0])
    p.cpu.setRflags(2n | Rflags.NT)
    refuses(p, '#13(0H)', IRETQ)
  })
  it('a frame over two pages, the second one absent', () => {
    const p = new Stage(64)
    p.frame(8, [TARGET, Sel.code64, 2, 0x5670, 0], 0x1eff0)
    expect(p.run(...IRETQ)).toBe('done')
    p.s.gpr.set(4, 0x1eff0n)
    put64(p.cpu.bench, PT + 8 * 0x1f, 0n)
    p.cpu.memory.flushAll()
    refuses(p, '#14(0H)', IRETQ)
    expect(p.address).toBe(0x1f000n)
  })
  it('unblocks NMIs even when it faults', () => {
    const p = new Stage(64)
    p.frame(8, [TARGET, 0, 2, 0, 0])
    p.s.interruptibility = 8
    p.run(...IRETQ)
    expect(p.s.interruptibility).toBe(0)
  })
})

describe('flags by CPL and IOPL', () => {
  // operand size, CPL, IOPL before → flags after popping all ones
  const cases: [number, 0 | 3, number, bigint][] = [
    [32, 0, 0, 0x3d7fd7n], [32, 3, 0, 0x254dd7n], [32, 3, 3, 0x257fd7n], [16, 0, 0, 0x7fd7n], [16, 3, 0, 0x4dd7n],
  ]
  it.each(cases)('%i bits, CPL %i, IOPL %i', (size, cpl, iopl, expected) => {
    const p = new Stage(32, cpl)
    p.cpu.setRflags(2n | (BigInt(iopl) << 12n))
    const cs = cpl === 3 ? Sel.code3 : Sel.code0
    p.frame(size === 32 ? 4 : 2, size === 32 ? [TARGET, cs, 0xffffffff & ~0x20000] : [0x1234, cs, 0xffff])
    expect(p.run(...(size === 16 ? [0x66] : []), 0xcf)).toBe('done')
    expect(p.cpu.rflags()).toBe(expected)
    expect(p.s.rip).toBe(size === 32 ? BigInt(TARGET) : 0x1234n)
  })
})

describe('protected mode', () => {
  it('to CPL 3 with a 16-bit stack keeps the upper half of ESP', () => {
    const p = new Stage(32)
    p.put64(0x10000 + Sel.free, 0x0000f2000000ffffn)
    p.frame(4, [TARGET, Sel.code3, 2, 0x12345678, Sel.free | 3])
    expect(p.run(0xcf)).toBe('done')
    expect([rsp(p) & 0xffff, p.s.cpl, p.s.stackMask]).toEqual([0x5678, 3, 0xffffn])
  })
  const refused: [string, 0 | 3, number[], string][] = [
    ['RPL below CPL', 3, [TARGET, Sel.code0, 2], '#13(8H)'], ['beyond the limit', 0, [TARGET, Sel.small, 2], '#13(0H)'],
    ['SS null', 0, [TARGET, Sel.code3, 2, 0, 0], '#13(0H)'], ['SS not present', 0, [TARGET, Sel.code3, 2, 0, Sel.absentData3], '#12(a8H)'],
  ]
  it.each(refused)('%s (CPL %i)', (_name, cpl, words, expected) => {
    const p = new Stage(32, cpl)
    p.frame(4, words)
    refuses(p, expected, [0xcf])
  })
  it('VM in the frame leads to virtual-8086 mode, from CPL 0 only', () => {
    const p = new Stage(32)
    p.frame(4, [0x1234, 0x100, 0x23202, 0x800, 0x300, 0x200, 0x400, 0x500, 0x600])
    expect(p.run(0xcf)).toBe('done')
    expect([p.cpu.virtual8086, p.s.cpl, p.s.rip, rsp(p), p.cpu.rflags()]).toEqual([true, 3, 0x1234n, 0x800, 0x23202n])
    expect([0, 1, 2, 3, 4, 5].map((n) => [p.s.segSelector.get(n), p.s.segBase.get(n), p.s.segLimit.get(n)])).toEqual(
      [0x200, 0x100, 0x300, 0x400, 0x500, 0x600].map((x) => [x, BigInt(x * 16), 0xffff]),
    )
    const q = new Stage(32, 3)
    q.frame(4, [TARGET, Sel.code3, 0x20002])
    q.run(0xcf)
    expect([q.cpu.virtual8086, q.cpu.rflags()]).toEqual([false, 2n])
  })
})

describe('real-address and virtual-8086 mode', () => {
  it('real: 16 bits leave the upper flags, 32 bits leave VIF VIP VM', () => {
    const p = new Stage(16)
    p.cpu.setRflags(0x180002n)
    p.frame(2, [0x1234, 0x5678, 0xffff], 0x7000)
    expect(p.run(0xcf)).toBe('done')
    expect([p.s.rip, p.s.segBase.get(CS), p.cpu.rflags(), rsp(p)]).toEqual([0x1234n, 0x56780n, 0x187fd7n, 0x7006])
    p.frame(4, [0x1234, 0x5678, 0xffffffff], 0x7000)
    p.cpu.setRflags(0x180002n)
    expect(p.run(0x66, 0xcf)).toBe('done')
    expect(p.cpu.rflags()).toBe(0x3d7fd7n)
  })
  const v86 = (flags: bigint): Stage => {
    const p = new Stage(32, 3)
    for (let n = 0; n < 6; n++) {
      p.s.segRights.set(n, 0xf3)
      p.s.segLimit.set(n, 0xffff)
    }
    p.cpu.setRflags(0x20002n | flags)
    p.cpu.modeChanged()
    return p
  }
  it('IOPL 3: IF changes, IOPL and VM do not', () => {
    const p = v86(0x3000n)
    p.frame(2, [0x1234, 0x5678, 0x4fd7], 0x7000)
    expect(p.run(0xcf)).toBe('done')
    expect([p.cpu.rflags(), p.s.segBase.get(CS)]).toEqual([0x27fd7n, 0x56780n])
  })
  it('IOPL < 3 without VME is #GP(0); with it IF becomes VIF', () => {
    const p = v86(0x0n)
    p.frame(2, [0x1234, 0x5678, 0x202], 0x7000)
    refuses(p, '#13(0H)', [0xcf])
    p.s.cr4 = 1n
    refuses(p, '#13(0H)', [0x66, 0xcf])
    expect(p.run(0xcf)).toBe('done')
    expect(p.cpu.rflags()).toBe(0xa0002n)
    for (const [popped, before] of [[0x102, 0n], [0x202, Rflags.VIP]] as const) {
      const q = v86(before)
      q.s.cr4 = 1n
      q.frame(2, [0x1234, 0x5678, popped], 0x7000)
      refuses(q, '#13(0H)', [0xcf])
    }
  })
})


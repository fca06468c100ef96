// SYSCALL, SYSRET, SYSENTER, SYSEXIT (SDM 2B; SDM 3A 5.8.7, 5.8.8), and ENTER, PUSHA, POPA (SDM 2A, 2B).

import { describe, expect, it } from 'vitest'
import { CS, Rflags, SS } from '../../src-core/arch/registers.ts'
import { CODE, Sel, Stage, STACK } from './protected.ts'
import { put64, PT } from '../paging/bench.ts'

const SYSCALL = [0x0f, 0x05]
const SYSRET = [0x0f, 0x07]
const rsp = (p: Stage): number => Number(p.s.gpr.get(4))

function fast(cpl: 0 | 3): Stage {
  const p = new Stage(64, cpl)
  const s = p.s
  s.efer |= 1n
  s.star = 0x0023_0010_0000_0000n
  s.lstar = 0xffff_ffff_8100_0000n
  s.fmask = 0x47700n
  return p
}
const cache = (p: Stage, n: number): unknown[] => [p.s.segSelector.get(n), p.s.segBase.get(n), p.s.segLimit.get(n), p.s.segRights.get(n)]

describe('SYSCALL and SYSRET', () => {
  it('there and back', () => {
    const p = fast(3)
    p.cpu.setRflags(0x50247n | Rflags.RF)
    expect(p.run(...SYSCALL)).toBe('done')
    expect([p.s.rip, p.s.cpl, p.s.gpr.get(1), p.s.gpr.get(11), p.cpu.rflags()]).toEqual([0xffff_ffff_8100_0000n, 0, BigInt(CODE + 2), 0x40247n, 0x47n])
    expect(cache(p, CS)).toEqual([0x10, 0n, 0xffffffff, 0xa09b])
    expect(cache(p, SS)).toEqual([0x18, 0n, 0xffffffff, 0xc093])
    expect(rsp(p)).toBe(STACK)
    p.s.gpr.set(11, 0xffff_ffff_ffff_ffffn)
    expect(p.run(0x48, ...SYSRET)).toBe('done')
    expect([p.s.rip, p.s.cpl, p.cpu.rflags()]).toEqual([BigInt(CODE + 2), 3, 0x3c7fd7n])
    expect(cache(p, CS)).toEqual([0x33, 0n, 0xffffffff, 0xa0fb])
    expect(cache(p, SS)).toEqual([0x2b, 0n, 0xffffffff, 0xc0f3])
  })
  it('SYSRET without REX.W enters compatibility mode', () => {
    const p = fast(0)
    p.s.gpr.set(1, 0x1_2345_6789n)
    expect(p.run(...SYSRET)).toBe('done')
    expect([p.s.rip, p.s.segSelector.get(CS), p.cpu.mode64]).toEqual([0x2345_6789n, 0x23, false])
  })
  it('faults: SCE off, CPL, RCX not canonical (in ring 0)', () => {
    const p = fast(0)
    p.s.gpr.set(1, 1n << 47n)
    const before = p.snapshot()
    expect(p.run(0x48, ...SYSRET)).toBe('#13(0H)')
    expect(p.snapshot()).toEqual(before)
    p.s.efer &= ~1n
    expect([p.run(...SYSCALL), p.run(...SYSRET), fast(3).run(...SYSRET)]).toEqual(['#6', '#6', '#13(0H)'])
  })
})

describe('SYSENTER and SYSEXIT', () => {
  it('32-bit: flat segments behind IA32_SYSENTER_CS', () => {
    const p = new Stage(32, 3)
    p.s.sysenterCs = 0x61n
    p.s.sysenterEip = 0xffffffff_00001234n
    p.s.sysenterEsp = 0x5678n
    p.cpu.setRflags(0x202n)
    expect(p.run(0x0f, 0x34)).toBe('done')
    expect([p.s.rip, rsp(p), p.s.cpl, p.cpu.rflags()]).toEqual([0x1234n, 0x5678, 0, 2n])
    expect([cache(p, CS), cache(p, SS)]).toEqual([[0x60, 0n, 0xffffffff, 0xc09b], [0x68, 0n, 0xffffffff, 0xc093]])
    p.s.gpr.set(1, 0x9000n)
    p.s.gpr.set(2, 0xa000n)
    expect(p.run(0x0f, 0x35)).toBe('done')
    expect([p.s.rip, rsp(p), p.s.cpl, p.s.segSelector.get(CS), p.s.segSelector.get(SS)]).toEqual([0xa000n, 0x9000, 3, 0x73, 0x7b])
  })
  it('IA-32e mode: 64-bit code; SYSEXIT with REX.W at +32', () => {
    const p = new Stage(64, 3)
    p.s.sysenterCs = 0x10n
    p.s.sysenterEip = 0xffff_ffff_8000_0000n
    p.s.sysenterEsp = 0xffff_ffff_9000_0000n
    expect(p.run(0x0f, 0x34)).toBe('done')
    expect([p.s.rip, p.s.gpr.get(4), p.s.segRights.get(CS)]).toEqual([0xffff_ffff_8000_0000n, 0xffff_ffff_9000_0000n, 0xa09b])
    p.s.gpr.set(2, 1n << 47n)
    expect(p.run(0x48, 0x0f, 0x35)).toBe('#13(0H)')
    p.s.gpr.set(2, 0x7000n)
    expect(p.run(0x48, 0x0f, 0x35)).toBe('done')
    expect([p.s.rip, p.s.segSelector.get(CS), p.s.segSelector.get(SS), p.s.cpl, p.cpu.mode64]).toEqual([0x7000n, 0x33, 0x3b, 3, true])
  })
  it('#GP(0): no selector, real-address mode, CPL', () => {
    const p = new Stage(32)
    p.s.sysenterCs = 3n
    expect([p.run(0x0f, 0x34), p.run(0x0f, 0x35), new Stage(16).run(0x0f, 0x34)]).toEqual(['#13(0H)', '#13(0H)', '#13(0H)'])
    const q = new Stage(32, 3)
    q.s.sysenterCs = 8n
    expect(q.run(0x0f, 0x35)).toBe('#13(0H)')
  })
})

describe('ENTER, PUSHA, POPA', () => {
  it('PUSHA stores the old ESP, POPA skips it', () => {
    const p = new Stage(32)
    for (let n = 0; n < 8; n++) if (n !== 4) p.s.gpr.set(n, BigInt(0x11111111 * (n + 1)))
    p.run(0x60)
    expect(p.words(rsp(p), 4, 8)).toEqual([8, 7, 6, STACK / 0x11111111, 4, 3, 2, 1].map((n) => Math.round(n * 0x11111111)))
    const saved = [0, 1, 2, 3, 5, 6, 7].map((n) => p.s.gpr.get(n))
    for (let n = 0; n < 8; n++) if (n !== 4) p.s.gpr.set(n, 0n)
    p.put32(rsp(p) + 12, 0x999)
    p.run(0x61)
    expect([0, 1, 2, 3, 5, 6, 7].map((n) => p.s.gpr.get(n))).toEqual(saved)
    expect(rsp(p)).toBe(STACK)
    p.s.gpr.set(0, 0xaaaabbbbn)
    p.run(0x66, 0x60)
    p.s.gpr.set(0, 0x12345678n)
    p.run(0x66, 0x61)
    expect([p.s.gpr.get(0), rsp(p)]).toEqual([0x1234bbbbn, STACK])
  })
  it('ENTER with levels copies frame pointers', () => {
    const p = new Stage(32)
    p.s.gpr.set(5, 0x9010n)
    p.put32(0x900c, 0xaaa)
    p.put32(0x9008, 0xbbb)
    expect(p.run(0xc8, 0x20, 0, 0x23)).toBe('done')
    expect([p.s.gpr.get(5), rsp(p)]).toEqual([BigInt(STACK - 4), STACK - 16 - 0x20])
    expect(p.words(STACK - 16, 4, 4)).toEqual([STACK - 4, 0xbbb, 0xaaa, 0x9010])
  })
  it('ENTER in 64-bit mode; the final stack pointer must be writable', () => {
    const p = new Stage(64)
    p.s.gpr.set(5, 0x77n)
    expect(p.run(0xc8, 0x10, 0, 0)).toBe('done')
    expect([p.s.gpr.get(5), rsp(p), p.get64(STACK - 8)]).toEqual([BigInt(STACK - 8), STACK - 0x18, 0x77n])
    put64(p.cpu.bench, PT + 8 * ((STACK >> 12) - 2), 0n)
    const before = p.snapshot()
    expect(p.run(0xc8, 0, 0x10, 0)).toBe('#14(2H)')
    expect(p.snapshot()).toEqual(before)
  })
  it('16-bit operand on a 32-bit stack keeps the upper half of EBP', () => {
    const p = new Stage(32)
    p.s.gpr.set(5, 0xabcd1234n)
    p.run(0x66, 0xc8, 0, 0, 0)
    expect([p.s.gpr.get(5), p.get16(STACK - 2)]).toEqual([0xabcd0000n | BigInt((STACK - 2) & 0xffff), 0x1234])
    expect(p.s.segSelector.get(CS)).toBe(Sel.code0)
  })
})

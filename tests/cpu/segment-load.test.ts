// Loading segment registers and table registers, and asking about selectors (SDM 2 MOV POP LDS LGDT LLDT LTR SLDT STR LAR LSL VERR VERW ARPL).

import { describe, expect, it } from 'vitest'
import { DS, ES, FS, LDTR, Rflags, SS, TR } from '../../src-core/arch/registers.ts'
import { descriptor, gate, GDT, LDT, Sel, Stage, TSS, TSS2 } from './protected.ts'

const AX = 0
const mov = (p: Stage, sreg: number, selector: number): string => (p.s.gpr.set(AX, BigInt(selector)), p.run(0x8e, 0xc0 | (sreg << 3)))
const zf = (p: Stage): boolean => (p.cpu.rflags() & Rflags.ZF) !== 0n

describe('MOV and POP', () => {
  it('loads base, limit with granularity, rights, and marks the descriptor accessed', () => {
    const p = new Stage(32)
    p.put64(GDT + Sel.free, descriptor(0x12345678, 0x54321, 0x92, 0xd))
    expect(mov(p, DS, Sel.free)).toBe('done')
    expect([p.s.segSelector.get(DS), p.s.segBase.get(DS), p.s.segLimit.get(DS), p.s.segRights.get(DS)]).toEqual([Sel.free, 0x12345678n, 0x54321fff, 0xd093])
    expect((p.get64(GDT + Sel.free) >> 40n) & 0xffn).toBe(0x93n)
  })
  it('from the LDT', () => {
    const p = new Stage(32)
    expect(mov(p, ES, 0xc)).toBe('#13(cH)')
    p.s.gpr.set(AX, BigInt(Sel.ldt))
    expect(p.run(0x0f, 0x00, 0xd0)).toBe('done')
    p.put64(LDT + 8, descriptor(0x5000, 0xff, 0x93, 4))
    expect([mov(p, ES, 0xc), p.s.segBase.get(ES), mov(p, ES, 0x104)]).toEqual(['done', 0x5000n, '#13(104H)'])
  })
  const cases: [string, 0 | 3, number, number, string][] = [
    ['null DS', 0, DS, 3, 'done'], ['null SS', 0, SS, 0, '#13(0H)'], ['beyond the GDT', 0, DS, 0x208, '#13(208H)'], ['system descriptor', 0, DS, Sel.ldt, '#13(50H)'],
    ['execute-only', 3, DS, Sel.executeOnly, '#13(d0H)'], ['readable code', 3, DS, Sel.code3, 'done'], ['DPL below CPL', 3, DS, Sel.data0, '#13(10H)'],
    ['DPL below RPL', 0, DS, Sel.data0 | 3, '#13(10H)'], ['conforming code at any level', 3, DS, Sel.conforming | 3, 'done'], ['not present', 0, DS, Sel.absentData, '#11(78H)'],
    ['SS: RPL', 0, SS, Sel.data0 | 1, '#13(10H)'], ['SS: DPL', 0, SS, 0x20, '#13(20H)'], ['SS: read-only', 3, SS, Sel.readOnly | 3, '#13(c8H)'],
    ['SS: code', 0, SS, Sel.code0, '#13(8H)'], ['SS: not present', 0, SS, Sel.absentData, '#12(78H)'], ['SS', 3, SS, Sel.data3, 'done'],
  ]
  it.each(cases)('%s (CPL %i)', (_name, cpl, sreg, selector, expected) => {
    const p = new Stage(32, cpl)
    p.s.gpr.set(AX, BigInt(selector))
    const before = p.snapshot()
    expect(mov(p, sreg, selector)).toBe(expected)
    if (expected === 'done') {
      expect(p.s.segSelector.get(sreg)).toBe(selector)
      expect(p.s.segRights.get(sreg) >> 16).toBe(selector < 4 ? 1 : 0)
    } else expect(p.snapshot()).toEqual(before)
  })
  it('MOV SS and POP SS open the shadow, LSS does not; MOV CS is #UD', () => {
    const p = new Stage(32)
    mov(p, DS, Sel.data0)
    expect(p.s.interruptibility).toBe(0)
    mov(p, SS, Sel.data0)
    expect(p.s.interruptibility).toBe(2)
    p.s.interruptibility = 0
    p.frame(4, [Sel.data0, 0x1234])
    const sp = p.s.gpr.get(4)
    expect([p.run(0x17), p.s.interruptibility, p.s.gpr.get(4)]).toEqual(['done', 2, sp + 4n])
    p.s.interruptibility = 0
    p.put32(0x9000, 0x7654)
    p.put16(0x9004, Sel.data0)
    expect([p.run(0x0f, 0xb2, 0x25, 0, 0x90, 0, 0), p.s.gpr.get(4), p.s.interruptibility]).toEqual(['done', 0x7654n, 0])
  })
  it('POP SS to a 16-bit stack moves ESP as wide as the old stack; a fault moves nothing', () => {
    const p = new Stage(32)
    p.frame(4, [Sel.data16], 0x1fffc)
    expect([p.run(0x17), p.s.gpr.get(4), p.s.stackMask]).toEqual(['done', 0x20000n, 0xffffn])
    const q = new Stage(32)
    q.frame(4, [Sel.absentData])
    const before = q.snapshot()
    expect(q.run(0x17)).toBe('#12(78H)')
    expect(q.snapshot()).toEqual(before)
  })
  it('64-bit mode: a null SS below CPL 3 with RPL = CPL', () => {
    const p = new Stage(64)
    expect([mov(p, SS, 0), p.s.cpl, mov(p, SS, 1)]).toEqual(['done', 0, '#13(0H)'])
    expect(mov(new Stage(64, 3), SS, 3)).toBe('#13(0H)')
    expect([p.run(0x0f, 0xa1), p.s.gpr.get(4) & 15n]).toEqual(['done', 8n])
  })
  it('real-address mode: base = selector × 16, limit stays', () => {
    const p = new Stage(16)
    p.s.segLimit.set(FS, 0xffffffff)
    expect(mov(p, FS, 0x1234)).toBe('done')
    expect([p.s.segBase.get(FS), p.s.segLimit.get(FS)]).toEqual([0x12340n, 0xffffffff])
  })
})

describe('GDTR, IDTR, LDTR, TR', () => {
  it('LGDT and LIDT: 24, 32 and 64 bits of base', () => {
    const p = new Stage(32)
    p.put64(0x9000, 0x1234_89abcdef_0177n)
    expect(p.run(0x0f, 0x01, 0x15, 0, 0x90, 0, 0)).toBe('done')
    expect([p.s.gdtrLimit, p.s.gdtrBase]).toEqual([0x177, 0x89abcdefn])
    p.run(0x66, 0x0f, 0x01, 0x1d, 0, 0x90, 0, 0)
    expect([p.s.idtrLimit, p.s.idtrBase]).toEqual([0x177, 0xabcdefn])
    const q = new Stage(64)
    q.put64(0x9002, 0xffff_8000_0000_1000n)
    expect([q.run(0x0f, 0x01, 0x14, 0x25, 0, 0x90, 0, 0), q.s.gdtrBase]).toEqual(['done', 0xffff_8000_0000_1000n])
    q.put64(0x9002, 1n << 47n)
    expect(q.run(0x0f, 0x01, 0x1c, 0x25, 0, 0x90, 0, 0)).toBe('#13(0H)')
  })
  it('LTR: busy bit; 16-byte descriptors in IA-32e mode', () => {
    const p = new Stage(64)
    p.put64(GDT + Sel.tss2 + 8, 0xffff_ff80n)
    p.s.gpr.set(AX, BigInt(Sel.tss2))
    expect(p.run(0x0f, 0x00, 0xd8)).toBe('done')
    expect([p.s.segBase.get(TR), p.s.segRights.get(TR), p.get64(GDT + Sel.tss2) >> 40n & 0xfn]).toEqual([0xffffff80_00014000n, 0x8b, 0xbn])
    expect(p.run(0x0f, 0x00, 0xd8)).toBe('#13(80H)')
    expect([p.run(0x0f, 0x00, 0xc8), p.s.gpr.get(AX)]).toEqual(['done', BigInt(Sel.tss2)])
  })
  const cases: [string, number, number, (p: Stage) => void, string][] = [
    ['LTR null', 0xd8, 0, () => {}, '#13(0H)'], ['LTR local', 0xd8, 0x84, () => {}, '#13(84H)'], ['LTR of a busy TSS', 0xd8, Sel.tss, () => {}, '#13(40H)'],
    ['LTR not present', 0xd8, Sel.tss2, (p) => p.put64(GDT + 0x80, descriptor(TSS2, 0x67, 9, 0)), '#11(80H)'], ['LLDT of code', 0xd0, Sel.code0, () => {}, '#13(8H)'],
    ['LLDT local', 0xd0, 0x54, () => {}, '#13(54H)'], ['LLDT not present', 0xd0, Sel.ldt, (p) => p.put64(GDT + 0x50, descriptor(LDT, 0xff, 2, 0)), '#11(50H)'],
    ['LLDT null', 0xd0, 0, () => {}, 'done'],
  ]
  it.each(cases)('%s', (_name, modrm, selector, prepare, expected) => {
    const p = new Stage(32)
    prepare(p)
    p.s.gpr.set(AX, BigInt(selector))
    expect(p.run(0x0f, 0x00, modrm)).toBe(expected)
    if (expected === 'done') expect(p.s.segRights.get(LDTR)).toBe(0x10000)
  })
  it('CPL 0; not in real-address mode; SLDT and STR under UMIP', () => {
    const p = new Stage(32, 3)
    expect([p.run(0x0f, 0x00, 0xd0), p.run(0x0f, 0x00, 0xd8), p.run(0x0f, 0x01, 0x15, 0, 0x90, 0, 0), p.run(0x0f, 0x00, 0xc0)]).toEqual(['#13(0H)', '#13(0H)', '#13(0H)', 'done'])
    p.s.cr4 |= 1n << 11n
    expect([p.run(0x0f, 0x00, 0xc0), p.run(0x0f, 0x00, 0xc8)]).toEqual(['#13(0H)', '#13(0H)'])
    expect(new Stage(16).run(0x0f, 0x00, 0xd0)).toBe('#6')
  })
})

describe('LAR LSL VERR VERW ARPL', () => {
  // selector; LAR, LSL: value or undefined; VERR, VERW at CPL 3
  const cases: [string, number, number | undefined, number | undefined, boolean, boolean][] = [
    ['user data', Sel.data3, 0xc0f200, 0xffffffff, true, true], ['null', 0, undefined, undefined, false, false], ['supervisor data', Sel.data0, undefined, undefined, false, false],
    ['conforming', Sel.conforming, 0xc09e00, 0xffffffff, true, false], ['read-only', Sel.readOnly, 0xc0f000, 0xffffffff, true, false],
    ['execute-only', Sel.executeOnly, 0xc0f800, 0xffffffff, false, false], ['TSS of DPL 3', Sel.free, 0xe900, 0x67, false, false],
    ['call gate of DPL 3', 0x98, 0xec00, undefined, false, false], ['interrupt gate', 0xe8, undefined, undefined, false, false],
  ]
  it.each(cases)('%s', (_name, selector, lar, lsl, verr, verw) => {
    const p = new Stage(32, 3)
    p.put64(GDT + Sel.free, descriptor(TSS, 0x67, 0xe9, 0))
    p.put64(GDT + 0x98, gate(8, 0, 0xec))
    p.put64(GDT + 0xe8, gate(8, 0, 0xee))
    const ask = (...bytes: number[]): number | undefined => {
      p.s.gpr.set(AX, BigInt(selector))
      p.s.gpr.set(1, 0x5555n)
      expect(p.run(...bytes)).toBe('done')
      if (!zf(p)) expect(p.s.gpr.get(1)).toBe(0x5555n)
      return zf(p) ? Number(p.s.gpr.get(1)) : undefined
    }
    expect([ask(0x0f, 0x02, 0xc8), ask(0x0f, 0x03, 0xc8)]).toEqual([lar, lsl])
    expect([ask(0x0f, 0x00, 0xe0) !== undefined, ask(0x0f, 0x00, 0xe8) !== undefined]).toEqual([verr, verw])
  })
  it('ARPL raises RPL', () => {
    const p = new Stage(32)
    p.s.gpr.set(0, 0x1231n)
    p.s.gpr.set(1, 3n)
    expect([p.run(0x63, 0xc8), zf(p), p.s.gpr.get(0)]).toEqual(['done', true, 0x1233n])
    expect([p.run(0x63, 0xc8), zf(p)]).toEqual(['done', false])
    expect(new Stage(16).run(0x63, 0xc8)).toBe('#6')
  })
})

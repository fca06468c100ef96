// Far JMP, CALL and RET: code segments, call gates, stacks of inner levels, real and virtual-8086 mode (SDM 2A CALL, JMP; 2B RET; SDM 3A 5.8).

import { describe, expect, it } from 'vitest'
import { CS, DS, ES, Rflags, SS } from '../../src-core/arch/registers.ts'
import { descriptor, gate, CODE, GDT, INNER, Sel, Stage, STACK, TSS } from './protected.ts'

const TARGET = 0x19abc
const le = (value: number, n: number): number[] => Array.from({ length: n }, (_x, i) => Math.floor(value / 256 ** i) & 0xff)
const rsp = (p: Stage): number => Number(p.s.gpr.get(4))
/** EA / 9A in 32-bit code. */
const direct = (p: Stage, opcode: number, selector: number, offset = TARGET): string => p.run(opcode, ...le(offset, 4), ...le(selector, 2))
/** FF /5 or /3 through memory at 9000H. */
const indirect = (p: Stage, call: boolean, selector: number, offset = TARGET, wide = false): string => {
  p.put32(0x9000, offset)
  if (wide) p.put32(0x9004, 0)
  p.put16(wide ? 0x9008 : 0x9004, selector)
  return p.run(...(wide ? [0x48] : []), 0xff, ...(p.mode === 64 ? [call ? 0x1c : 0x2c, 0x25] : [call ? 0x1d : 0x2d]), ...le(0x9000, 4))
}
/** The instruction faults so and changes nothing. */
function refuses(p: Stage, expected: string, go: () => string): void {
  const before = p.snapshot()
  expect(go()).toBe(expected)
  expect(p.snapshot()).toEqual(before)
}

describe('to code segments', () => {
  it('JMP and CALL at the same level; CALL pushes CS and EIP', () => {
    const p = new Stage(32)
    p.put64(GDT + 8, descriptor(0, 0xfffff, 0x9a, 0xc))
    expect(direct(p, 0xea, Sel.code0)).toBe('done')
    expect([p.s.rip, p.s.segSelector.get(CS)]).toEqual([BigInt(TARGET), Sel.code0])
    expect((p.get64(GDT + 8) >> 40n) & 1n).toBe(1n)
    expect(direct(p, 0x9a, Sel.code16, 0x1234)).toBe('done')
    expect(p.words(rsp(p), 4, 2)).toEqual([TARGET + 7, Sel.code0])
    expect([p.s.rip, p.s.segRights.get(CS) & 0x4000]).toEqual([0x1234n, 0])
  })
  it('conforming code keeps CPL', () => {
    const p = new Stage(32, 3)
    expect(indirect(p, true, Sel.conforming)).toBe('done')
    expect([p.s.cpl, p.s.segSelector.get(CS)]).toEqual([3, Sel.conforming | 3])
  })
  it('64-bit: m16:64 with REX.W; compatibility code and back', () => {
    const p = new Stage(64)
    expect(indirect(p, true, Sel.code64, TARGET, true)).toBe('done')
    expect([rsp(p), p.words(rsp(p), 8, 2)]).toEqual([STACK - 16, [CODE + 8, Sel.code64]])
    expect(indirect(p, false, Sel.code0)).toBe('done')
    expect([p.cpu.mode64, p.s.rip]).toEqual([false, BigInt(TARGET)])
    expect(direct(p, 0xea, Sel.code64)).toBe('done')
    expect(p.cpu.mode64).toBe(true)
  })
  const refused: [string, 0 | 3, number, string, number?][] = [
    ['null', 0, 3, '#13(0H)'], ['beyond the GDT', 0, 0x208, '#13(208H)'], ['no LDT', 0, 0xc, '#13(cH)'], ['data', 0, Sel.data0, '#13(10H)'],
    ['inner code', 3, Sel.code0, '#13(8H)'], ['outer code', 0, 0x18, '#13(18H)'], ['RPL above CPL', 0, Sel.code0 | 3, '#13(8H)'],
    ['not present', 0, Sel.absentCode, '#11(70H)'], ['beyond the limit', 0, Sel.small, '#13(0H)'], ['busy TSS', 0, Sel.tss, '#13(40H)'],
    ['LDT descriptor', 0, Sel.ldt, '#13(50H)'],
  ]
  it.each(refused)('%s (CPL %i)', (_name, cpl, selector, expected) => {
    for (const opcode of [0xea, 0x9a]) {
      const p = new Stage(32, cpl)
      refuses(p, expected, () => direct(p, opcode, selector))
    }
  })
  it('in IA-32e mode: L with D, and targets that are not canonical', () => {
    const p = new Stage(64)
    p.put64(GDT + Sel.free, descriptor(0, 0xfffff, 0x9a, 0xe))
    refuses(p, '#13(90H)', () => indirect(p, false, Sel.free))
    p.put64(0x9000, 1n << 47n)
    p.put16(0x9008, Sel.code64)
    refuses(p, '#13(0H)', () => p.run(0x48, 0xff, 0x2c, 0x25, ...le(0x9000, 4)))
  })
  it('no room for the return address: #SS(0)', () => {
    const p = new Stage(32)
    p.s.gpr.set(4, 4n)
    p.s.segRights.set(SS, 0x97 | 0x4000)
    p.s.segLimit.set(SS, 0xfff)
    p.cpu.modeChanged()
    p.s.gpr.set(4, 0x1004n)
    refuses(p, '#12(0H)', () => direct(p, 0x9a, Sel.code0))
  })
})

describe('call gates (5.8.3–5.8.5)', () => {
  it('CALL to CPL 0 copies parameters to the inner stack; RETF n brings both stacks back', () => {
    const p = new Stage(32, 3)
    p.put64(GDT + Sel.free, gate(Sel.code0, TARGET, 0xec, 2))
    p.frame(4, [0x11, 0x22, 0x33])
    const old = rsp(p)
    p.s.segSelector.set(ES, Sel.data0)
    expect(direct(p, 0x9a, Sel.free | 3, 0xdead)).toBe('done')
    expect(p.words(rsp(p), 4, 6)).toEqual([CODE + 7, Sel.code3, 0x11, 0x22, old, Sel.data3])
    expect([rsp(p), p.s.cpl, p.s.rip, p.s.segSelector.get(SS)]).toEqual([INNER - 24, 0, BigInt(TARGET), Sel.data0])
    p.s.segSelector.set(DS, Sel.data0)
    p.s.segRights.set(DS, 0xc093)
    expect(p.run(0xca, 8, 0)).toBe('done')
    expect([rsp(p), p.s.cpl, p.s.rip, p.s.segSelector.get(CS), p.s.segSelector.get(SS)]).toEqual([old + 8, 3, BigInt(CODE + 7), Sel.code3, Sel.data3])
    expect([p.s.segRights.get(DS), p.s.segRights.get(ES)]).toEqual([0x10000, 0xc0f3])
  })
  it('16-bit gate: 16-bit frame and target', () => {
    const p = new Stage(32, 3)
    p.put64(GDT + Sel.free, gate(Sel.code0, TARGET, 0xe4, 1))
    p.frame(2, [0x77])
    const old = rsp(p)
    expect(direct(p, 0x9a, Sel.free, 0)).toBe('done')
    expect(p.words(rsp(p), 2, 5)).toEqual([(CODE + 7) & 0xffff, Sel.code3, 0x77, old & 0xffff, Sel.data3])
    expect(p.s.rip).toBe(BigInt(TARGET & 0xffff))
  })
  it('JMP, and CALL to the same level, push as the gate says and change no stack', () => {
    const p = new Stage(32)
    p.put64(GDT + Sel.free, gate(Sel.code0, TARGET, 0xec, 5))
    expect(direct(p, 0xea, Sel.free)).toBe('done')
    expect([p.s.rip, rsp(p)]).toEqual([BigInt(TARGET), STACK])
    expect(direct(p, 0x9a, Sel.free)).toBe('done')
    expect(rsp(p)).toBe(STACK - 8)
  })
  it('64-bit: RSP0, SS null, four quadwords; RETF with REX.W returns', () => {
    const p = new Stage(64, 3)
    p.put64(GDT + Sel.free, gate(Sel.code64, TARGET, 0xec))
    p.put64(GDT + Sel.free + 8, 0xffffff80n)
    expect(indirect(p, true, Sel.free)).toBe('done')
    expect([p.s.rip, rsp(p), p.s.segSelector.get(SS), p.s.cpl]).toEqual([0xffffff80_00019abcn, INNER - 32, 0, 0])
    expect(p.words(rsp(p), 8, 4)).toEqual([CODE + 7, Sel.code64user, STACK, Sel.data3])
    expect(p.run(0x48, 0xcb)).toBe('done')
    expect([p.s.rip, rsp(p), p.s.cpl, p.s.segSelector.get(SS)]).toEqual([BigInt(CODE + 7), STACK, 3, Sel.data3])
  })
  const refused: [string, 32 | 64, (p: Stage) => void, string][] = [
    ['DPL of the gate below CPL', 32, (p) => p.put64(GDT + 0x90, gate(Sel.code0, 0, 0x8c)), '#13(90H)'],
    ['gate not present', 32, (p) => p.put64(GDT + 0x90, gate(Sel.code0, 0, 0x6c)), '#11(90H)'],
    ['null target', 32, (p) => p.put64(GDT + 0x90, gate(0, 0, 0xec)), '#13(0H)'],
    ['target is data', 32, (p) => p.put64(GDT + 0x90, gate(Sel.data0, 0, 0xec)), '#13(10H)'],
    ['target beyond the GDT', 32, (p) => p.put64(GDT + 0x90, gate(0x208, 0, 0xec)), '#13(208H)'],
    ['target not present', 32, (p) => p.put64(GDT + 0x90, gate(Sel.absentCode, 0, 0xec)), '#11(70H)'],
    ['offset beyond the limit', 32, (p) => p.put64(GDT + 0x90, gate(Sel.small, 0x1000, 0xec)), '#13(0H)'],
    ['null SS0', 32, (p) => p.put32(TSS + 8, 0), '#10(0H)'],
    ['SS0 not present', 32, (p) => p.put32(TSS + 8, Sel.absentData), '#12(78H)'],
    ['TSS too short', 32, (p) => p.s.segLimit.set(7, 8), '#10(40H)'],
    ['64-bit: target is 32-bit code', 64, (p) => p.put64(GDT + 0x90, gate(Sel.code0, 0, 0xec)), '#13(8H)'],
    ['64-bit: 16-bit gate', 64, (p) => p.put64(GDT + 0x90, gate(Sel.code64, 0, 0xe4)), '#13(90H)'],
    ['64-bit: malformed second half', 64, (p) => p.put64(GDT + 0x98, 0x0100_0000_0000n), '#13(90H)'],
    ['64-bit: target not canonical', 64, (p) => p.put64(GDT + 0x98, 0x8000n), '#13(0H)'],
    ['64-bit: RSP0 not canonical', 64, (p) => p.put64(TSS + 4, 1n << 50n), '#12(0H)'],
  ]
  it.each(refused)('%s', (_name, mode, prepare, expected) => {
    const p = new Stage(mode, 3)
    p.put64(GDT + Sel.free, gate(mode === 64 ? Sel.code64 : Sel.code0, TARGET, 0xec))
    p.put64(GDT + Sel.free + 8, 0n)
    prepare(p)
    refuses(p, expected, () => indirect(p, true, Sel.free))
  })
})

describe('far RET', () => {
  const refused: [string, 0 | 3, number[], string][] = [
    ['null CS', 0, [TARGET, 0], '#13(0H)'], ['beyond the GDT', 0, [TARGET, 0x208], '#13(208H)'], ['RPL below CPL', 3, [TARGET, Sel.code0], '#13(8H)'],
    ['data', 0, [TARGET, Sel.data0], '#13(10H)'], ['DPL is not RPL', 0, [TARGET, Sel.code0 | 3], '#13(8H)'], ['not present', 0, [TARGET, Sel.absentCode], '#11(70H)'],
    ['beyond the limit', 0, [TARGET, Sel.small], '#13(0H)'], ['outer SS null', 0, [TARGET, Sel.code3, 0, 3], '#13(0H)'],
    ['RPL of the outer SS', 0, [TARGET, Sel.code3, 0, 0x20], '#13(20H)'], ['DPL of the outer SS', 0, [TARGET, Sel.code3, 0, Sel.data0 | 3], '#13(10H)'],
    ['outer SS read-only', 0, [TARGET, Sel.code3, 0, Sel.readOnly | 3], '#13(c8H)'], ['outer SS not present', 0, [TARGET, Sel.code3, 0, Sel.absentData3], '#12(a8H)'],
    ['outer CS not present', 0, [TARGET, Sel.absentCode3, 0, Sel.data3], '#11(a0H)'],
  ]
  it.each(refused)('%s (CPL %i)', (_name, cpl, words, expected) => {
    const p = new Stage(32, cpl)
    p.frame(4, words)
    refuses(p, expected, () => p.run(0xcb))
  })
  it('64-bit: a null outer SS is for CPL 1 and 2 only', () => {
    const p = new Stage(64)
    p.put64(GDT + Sel.free, descriptor(0, 0xfffff, 0xba, 0xa))
    p.frame(8, [TARGET, Sel.free | 1, 0x5000, 1])
    expect(p.run(0x48, 0xcb)).toBe('done')
    expect([p.s.cpl, p.s.segSelector.get(SS), rsp(p)]).toEqual([1, 1, 0x5000])
    const q = new Stage(64)
    q.frame(8, [TARGET, Sel.code64user, 0x5000, 3])
    refuses(q, '#13(0H)', () => q.run(0x48, 0xcb))
  })
})

describe('real-address and virtual-8086 mode', () => {
  it('JMP, CALL and RET set base from selector, limit and size stay', () => {
    const p = new Stage(16)
    p.s.segLimit.set(CS, 0xffffffff)
    expect(p.run(0x9a, 0x34, 0x12, 0x78, 0x56)).toBe('done')
    expect([p.s.rip, p.s.segBase.get(CS), p.s.segLimit.get(CS)]).toEqual([0x1234n, 0x56780n, 0xffffffff])
    expect(p.words(0x7ffc, 2, 2)).toEqual([0x105, 0])
    expect(p.run(0xca, 2, 0)).toBe('done')
    expect([p.s.rip, p.s.segSelector.get(CS), p.s.gpr.get(4)]).toEqual([0x105n, 0, 0x8002n])
    p.s.segLimit.set(CS, 0xffff)
    refuses(p, '#13(0H)', () => p.run(0x66, 0xea, 0, 0, 1, 0, 0, 0))
  })
  it('virtual-8086: no descriptors', () => {
    const p = new Stage(32, 3)
    p.cpu.setRflags(Rflags.VM | 2n)
    p.s.segRights.set(CS, 0xf3)
    p.s.segRights.set(SS, 0xf3)
    p.s.segLimit.set(CS, 0xffff)
    p.cpu.modeChanged()
    expect(p.run(0xea, 0x34, 0x12, 0x78, 0x56)).toBe('done')
    expect([p.s.rip, p.s.segBase.get(CS), p.s.cpl]).toEqual([0x1234n, 0x56780n, 3])
  })
})

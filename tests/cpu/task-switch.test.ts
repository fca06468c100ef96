// Task switches: what is saved and loaded, busy bits, links, and every fault before and behind the point of no return (SDM 3A 7.2–7.4, table 7-1).

import { describe, expect, it } from 'vitest'
import { CS, DS, FS, LDTR, Rflags, SS, TR } from '../../src-core/arch/registers.ts'
import { deliver } from '../../src-core/cpu/events.ts'
import { long, put32 as entry } from '../paging/bench.ts'
import { CODE, descriptor, GDT, gate, Sel, Stage, STACK, TSS, TSS2 } from './protected.ts'
import { taking } from './processor.ts'

const JMP = (selector: number): number[] => [0xea, 0, 0, 0, 0, selector & 255, selector >> 8]
const CALL = (selector: number): number[] => [0x9a, ...JMP(selector).slice(1)]
const busy = (p: Stage, selector: number): number => Number((p.get64(GDT + (selector & ~7)) >> 41n) & 1n)
const EIP = 0x19abc

/** A second 32-bit task at CPL 0; registers 1, 2, 3 … in the order of the TSS. */
function stage(cpl: 0 | 3 = 0): Stage {
  const p = new Stage(32, cpl)
  p.put32(TSS2 + 0x20, EIP)
  p.put32(TSS2 + 0x24, 0x246)
  for (let n = 0; n < 8; n++) p.put32(TSS2 + 0x28 + 4 * n, n === 4 ? 0x5000 : n + 1)
  const selectors = [Sel.data0, Sel.code0, Sel.data0, Sel.data0, 0, Sel.data3]
  selectors.forEach((v, n) => p.put32(TSS2 + 0x48 + 4 * n, v))
  p.put32(TSS2 + 0x60, Sel.ldt)
  for (let n = 0; n < 8; n++) if (n !== 4) p.s.gpr.set(n, BigInt(0x100 + n))
  p.cpu.setRflags(0x4203n)
  return p
}

describe('32-bit tasks', () => {
  it('JMP saves the old task, loads the new one, moves the busy bit', () => {
    const p = stage()
    expect(p.run(...JMP(Sel.tss2))).toBe('done')
    expect(p.words(TSS + 0x20, 4, 16)).toEqual([
      CODE + 7, 0x4203, 0x100, 0x101, 0x102, 0x103, STACK, 0x105, 0x106, 0x107, Sel.data0, Sel.code0, Sel.data0, Sel.data0, Sel.data0, Sel.data0,
    ])
    expect([0, 1, 2, 3, 4, 5, 6, 7].map((n) => Number(p.s.gpr.get(n)))).toEqual([1, 2, 3, 4, 0x5000, 6, 7, 8])
    expect([p.s.rip, p.cpu.rflags(), p.s.segSelector.get(TR), p.s.segBase.get(TR)]).toEqual([BigInt(EIP), 0x246n, Sel.tss2, BigInt(TSS2)])
    expect([p.s.segSelector.get(LDTR), p.s.segBase.get(LDTR), p.s.segRights.get(FS)]).toEqual([Sel.ldt, 0x13000n, 0x10000])
    expect([busy(p, Sel.tss), busy(p, Sel.tss2), p.s.cr0 & 8n, p.get16(TSS2)]).toEqual([0, 1, 8n, 0])
  })
  it('CALL links and sets NT, IRET goes back and clears it', () => {
    const p = stage()
    p.cpu.setRflags(2n)
    expect(p.run(...CALL(Sel.tss2))).toBe('done')
    expect([p.cpu.rflags() & Rflags.NT, p.get16(TSS2), busy(p, Sel.tss), busy(p, Sel.tss2)]).toEqual([Rflags.NT, Sel.tss, 1, 1])
    expect(p.run(0xcf)).toBe('done')
    expect([p.s.rip, p.cpu.rflags() & Rflags.NT, p.s.segSelector.get(TR), p.s.gpr.get(4)]).toEqual([BigInt(CODE + 7), 0n, Sel.tss, BigInt(STACK)])
    expect([busy(p, Sel.tss), busy(p, Sel.tss2), p.get32(TSS2 + 0x24) & 0x4000, p.get32(TSS2 + 0x20)]).toEqual([1, 0, 0, EIP + 1])
  })
  it('a task gate in the GDT, from CPL 3', () => {
    const p = stage(3)
    p.put64(GDT + Sel.free, gate(Sel.tss2, 0, 0xe5))
    expect(p.run(...JMP(Sel.free | 3))).toBe('done')
    expect([p.s.cpl, p.s.segSelector.get(SS)]).toEqual([0, Sel.data0])
  })
  it('an interrupt task gets the error code on its stack and IRET returns', () => {
    const p = stage()
    p.idt(8, Sel.tss2, 0, 0x85)
    deliver(p.cpu, { vector: 8, kind: 'exception', errorCode: 0x12, returnRip: p.s.rip })
    expect([p.s.rip, p.s.gpr.get(4), p.get32(0x4ffc), p.get32(TSS + 0x20)]).toEqual([BigInt(EIP), 0x4ffcn, 0x12, CODE])
  })
  it('T raises a debug trap in the new task; L bits and LE of DR7 are cleared', () => {
    const p = stage()
    p.put16(TSS2 + 0x64, 1)
    p.s.dr.set(7, 0x7ffn)
    p.run(...JMP(Sel.tss2))
    expect([p.s.pendingDebug, p.s.dr.get(7)]).toEqual([1 << 15, 0x6aan])
  })
  it('VM in its EFLAGS: virtual-8086 task', () => {
    const p = stage()
    p.put32(TSS2 + 0x24, 0x20002)
    p.put32(TSS2 + 0x20, 0x123)
    expect(p.run(...JMP(Sel.tss2))).toBe('done')
    expect([p.cpu.virtual8086, p.s.cpl, p.s.segBase.get(CS), p.s.segRights.get(DS)]).toEqual([true, 3, BigInt(Sel.code0 << 4), 0xf3])
  })
  it('CR3 is loaded when paging is on', () => {
    const p = stage()
    long(p.cpu.bench)
    p.s.efer = 0n
    p.s.cr4 = 0x10n
    // 4 MB pages: linear = physical, and a second directory alike
    for (const at of [0x30000, 0x31000]) for (let n = 0; n < 2; n++) entry(p.cpu.bench, at + 4 * n, (n << 22) | 0x87)
    p.s.cr3 = 0x30000n
    p.cpu.modeChanged()
    p.put32(TSS2 + 0x1c, 0x31000)
    expect(p.run(...JMP(Sel.tss2))).toBe('done')
    expect(p.s.cr3).toBe(0x31000n)
  })
  it('a monitor may take it', () => {
    const p = stage()
    p.cpu.intercepts = taking('taskSwitch')
    const before = p.snapshot()
    expect(() => p.run(...JMP(Sel.tss2))).toThrow()
    expect(p.snapshot()).toEqual(before)
  })
})

it('16-bit tasks: words, no CR3, FS and GS null', () => {
  const p = stage()
  p.put64(GDT + Sel.tss2, descriptor(TSS2, 0x2b, 0x81, 0))
  const image = [0x1234, 0x0202, 1, 2, 3, 4, 0x5000, 6, 7, 8, Sel.data0, Sel.code0, Sel.data0, Sel.data0, 0]
  image.forEach((v, n) => p.put16(TSS2 + 0x0e + 2 * n, v))
  expect(p.run(...CALL(Sel.tss2))).toBe('done')
  expect([p.s.rip, Number(p.s.gpr.get(4)) & 0xffff, p.s.segRights.get(FS), p.cpu.rflags()]).toEqual([0x1234n, 0x5000, 0x10000, 0x4202n])
  p.s.gpr.set(0, 0xabcdn)
  expect(p.run(0xcf)).toBe('done')
  expect([p.get16(TSS2 + 0x12), p.s.rip, p.s.segSelector.get(TR)]).toEqual([0xabcd, BigInt(CODE + 7), Sel.tss])
})

describe('faults with the old state', () => {
  const cases: [string, number[], (p: Stage) => void, string][] = [
    ['TSS busy', JMP(Sel.tss2), (p) => p.put64(GDT + 0x80, descriptor(TSS2, 0x67, 0x8b, 0)), '#13(80H)'],
    ['TSS not present', JMP(Sel.tss2), (p) => p.put64(GDT + 0x80, descriptor(TSS2, 0x67, 0x09, 0)), '#11(80H)'],
    ['32-bit TSS too short', JMP(Sel.tss2), (p) => p.put64(GDT + 0x80, descriptor(TSS2, 0x66, 0x89, 0)), '#10(80H)'],
    ['16-bit TSS too short', JMP(Sel.tss2), (p) => p.put64(GDT + 0x80, descriptor(TSS2, 0x2a, 0x81, 0)), '#10(80H)'],
    ['gate not present', JMP(Sel.free), (p) => p.put64(GDT + 0x90, gate(Sel.tss2, 0, 0x65)), '#11(90H)'],
    ['gate to an LDT selector', JMP(Sel.free), (p) => p.put64(GDT + 0x90, gate(0x84, 0, 0xe5)), '#13(84H)'],
    ['gate to no TSS', JMP(Sel.free), (p) => p.put64(GDT + 0x90, gate(Sel.data0, 0, 0xe5)), '#13(10H)'],
    ['IRET to a task that is not busy', [0xcf], (p) => p.put16(TSS, Sel.tss2), '#10(80H)'],
    ['IRET with a local link', [0xcf], (p) => p.put16(TSS, 0x84), '#10(84H)'],
    ['IRET, link beyond the GDT', [0xcf], (p) => p.put16(TSS, 0x208), '#10(208H)'],
    ['IRET, TSS not present', [0xcf], (p) => { p.put16(TSS, Sel.tss2); p.put64(GDT + 0x80, descriptor(TSS2, 0x67, 0x0b, 0)) }, '#11(80H)'],
  ]
  it.each(cases)('%s', (_name, bytes, prepare, expected) => {
    const p = stage()
    prepare(p)
    const before = [p.snapshot(), p.words(TSS, 4, 26), p.words(TSS2, 4, 26), p.words(GDT, 4, 64)]
    expect(p.run(...bytes)).toBe(expected)
    expect([p.snapshot(), p.words(TSS, 4, 26), p.words(TSS2, 4, 26), p.words(GDT, 4, 64)]).toEqual(before)
  })
  it('DPL of a TSS below CPL', () => {
    expect(stage(3).run(...JMP(Sel.tss2))).toBe('#13(80H)')
  })
})

describe('faults in the new task', () => {
  const cases: [string, (p: Stage) => void, string][] = [
    ['LDT is no LDT', (p) => p.put32(TSS2 + 0x60, Sel.data0), '#10(10H)'], ['CS null', (p) => p.put32(TSS2 + 0x4c, 0), '#10(0H)'],
    ['CS is data', (p) => p.put32(TSS2 + 0x4c, Sel.data0), '#10(10H)'], ['CS: DPL is not RPL', (p) => p.put32(TSS2 + 0x4c, Sel.code0 | 3), '#10(8H)'],
    ['CS not present', (p) => p.put32(TSS2 + 0x4c, Sel.absentCode), '#11(70H)'], ['SS null', (p) => p.put32(TSS2 + 0x50, 0), '#10(0H)'],
    ['SS: DPL', (p) => p.put32(TSS2 + 0x50, Sel.data3), '#10(20H)'], ['SS not present', (p) => p.put32(TSS2 + 0x50, Sel.absentData), '#12(78H)'],
    ['DS cannot be read', (p) => p.put32(TSS2 + 0x54, Sel.executeOnly), '#10(d0H)'], ['GS not present', (p) => p.put32(TSS2 + 0x5c, Sel.absentData), '#11(78H)'],
    ['EIP beyond the limit', (p) => p.put32(TSS2 + 0x4c, Sel.small), '#13(0H)'],
  ]
  it.each(cases)('%s', (_name, prepare, expected) => {
    const p = stage()
    prepare(p)
    expect(p.run(...JMP(Sel.tss2))).toBe(expected)
    expect([p.s.rip, p.s.segSelector.get(TR), busy(p, Sel.tss), busy(p, Sel.tss2)]).toEqual([BigInt(EIP), Sel.tss2, 0, 1])
  })
  it('is delivered at its EIP, when an event caused the switch', () => {
    const p = stage()
    p.idt(0x40, Sel.tss2, 0, 0x85)
    p.put32(TSS2 + 0x54, Sel.executeOnly)
    p.idt(10, Sel.code0, 0x7000, 0x8e)
    deliver(p.cpu, { vector: 0x40, kind: 'external', returnRip: p.s.rip })
    expect([p.s.rip, ...p.words(0x5000 - 16, 4, 2)]).toEqual([0x7000n, Sel.executeOnly | 1, EIP])
  })
})

it('IA-32e mode has no tasks', () => {
  const p = new Stage(64)
  p.put64(GDT + Sel.tss2 + 8, 0n)
  p.put32(0x9000, 0)
  p.put16(0x9004, Sel.tss2)
  expect(p.run(0xff, 0x2c, 0x25, 0, 0x90, 0, 0)).toBe('#13(80H)')
})

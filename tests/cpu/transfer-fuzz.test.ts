// Hostile tables: whatever descriptors, gates, task states and stacks hold, transfers and events end in the documented ways, and a
// fault that is not a new task's leaves the registers alone.

import { expect, it } from 'vitest'
import { deliver } from '../../src-core/cpu/events.ts'
import { GDT, IDT, LDT, Sel, Stage, TSS, TSS2, gate } from './protected.ts'

function generator(seed: number): (n: number) => number {
  let x = seed >>> 0
  return (n) => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0
    return Math.floor((x / 2 ** 32) * n)
  }
}

const instructions32 = [[0xcf], [0x66, 0xcf], [0xcb], [0xca, 8, 0], [0xff, 0x2d, 0, 0x90, 0, 0], [0xff, 0x1d, 0, 0x90, 0, 0], [0x17], [0x1f], [0xcd, 0x40], [0x0f, 0, 0xd0], [0x0f, 0, 0xd8], [0x0f, 2, 0xc8], [0xc8, 4, 0, 3], [0x60], [0x61]]
const instructions64 = [[0x48, 0xcf], [0xcf], [0x66, 0xcf], [0x48, 0xcb], [0xcb], [0x48, 0xff, 0x2c, 0x25, 0, 0x90, 0, 0], [0xff, 0x1c, 0x25, 0, 0x90, 0, 0], [0x0f, 0xa1], [0xcd, 0x40], [0x0f, 0, 0xd0], [0x0f, 0, 0xd8], [0x0f, 3, 0xc8], [0xc8, 4, 0, 3], [0x0f, 0x34], [0x48, 0x0f, 0x35]]

it.each([32, 64] as const)('mode %i: 1,200 cases', (mode) => {
  const random = generator(0x5eed + mode)
  const seen = new Map<string, number>()
  for (let n = 0; n < 1200; n++) {
    const p = new Stage(mode, random(2) === 0 ? 0 : 3)
    const access = () => (random(4) ? 0x80 : 0) | (random(4) << 5) | random(32)
    const selector = () => (random(4) ? random(0x20) * 8 + random(8) : random(0x10000))
    const any32 = () => random(2 ** 32)
    for (let k = 0; k < 6; k++) p.put64(GDT + 8 * (1 + random(30)), random(2) ? gate(selector(), any32(), access(), random(32)) : (BigInt(access()) << 40n) | (BigInt(any32()) << 16n) | (BigInt(random(256)) << 52n))
    for (const vector of [8, 10, 11, 12, 13, 14, 0x40]) if (random(3)) p.put64(IDT + vector * (mode === 64 ? 16 : 8), gate(random(3) ? [Sel.code0, Sel.code64, Sel.conforming, Sel.tss2][random(4)]! : selector(), any32() & 0xfffff, access() | 6, random(8)))
    for (const at of [TSS, TSS2, LDT]) for (let k = 0; k < 26; k++) if (random(2)) p.put32(at + 4 * k, random(2) ? selector() : any32())
    p.put64(0x9000, BigInt(any32()) << BigInt(random(33)))
    p.put16(random(2) ? 0x9004 : 0x9008, selector())
    p.frame(mode === 64 ? 8 : 4, Array.from({ length: 10 }, () => (random(2) ? selector() : any32())), random(8) ? 0x1f000 + random(0x1000) : any32() & 0x1fffff)
    p.s.gpr.set(0, BigInt(selector()))
    p.cpu.setRflags(2n | (BigInt(random(0x10000)) & 0x7fd5n))
    p.s.segLimit.set(7, random(3) ? 0x67 : random(0x80))
    p.cpu.modeChanged()
    const before = p.snapshot()
    let result: string
    if (random(3) === 0) {
      deliver(p.cpu, { vector: [0, 3, 8, 13, 14, 0x40][random(6)]!, kind: random(2) ? 'exception' : 'external', errorCode: random(16), returnRip: p.s.rip })
      result = p.s.activity === 2 ? 'shutdown' : 'delivered'
    } else {
      const list = mode === 64 ? instructions64 : instructions32
      result = p.run(...list[random(list.length)]!)
      if (result !== 'done' && p.s.segSelector.get(7) === Sel.tss) expect([n, p.snapshot()]).toEqual([n, before])
      if (result !== 'done') expect(result).toMatch(/^#(6$|1[0-4]\([0-9a-f]{1,4}H\))/)
    }
    seen.set(result.slice(0, 3), (seen.get(result.slice(0, 3)) ?? 0) + 1)
    expect(p.s.cpl).toBeLessThan(4)
  }
  for (const kind of ['don', 'del', 'shu', '#11', '#13', ...(mode === 32 ? ['#10'] : [])]) expect([kind, seen.get(kind) ?? 0]).not.toEqual([kind, 0])
})

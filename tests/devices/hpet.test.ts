import { describe, expect, it } from 'vitest'
import { Hpet } from '../../src-core/devices/hpet.ts'
import { FakeClock, probe } from './clock.ts'

function setUp() {
  const clock = new FakeClock()
  const pins = Array.from({ length: 24 }, probe)
  const timer = probe()
  const rtc = probe()
  const legacy = probe()
  const messages: [number, number][] = []
  const hpet = new Hpet('hpet', clock, {
    routes: pins.map((p, n) => (n >= 16 ? p.line : undefined)),
    legacyTimer: timer.line,
    legacyClock: rtc.line,
    legacyChanged: legacy.line,
    message: (a, d) => messages.push([a, d]),
  })
  const w = (offset: number, value: number): void => hpet.registers.write(offset, 4, value)
  const r = (offset: number): number => hpet.registers.read(offset, 4)
  const ticks = (n: number): void => clock.advance(n * 22)
  return { clock, pins, timer, rtc, legacy, messages, hpet, w, r, ticks }
}

describe('HPET 1.0a', () => {
  it('reports its capabilities and counts at 100 MHz while enabled (2.3.4–2.3.7)', () => {
    const { w, r, ticks } = setUp()
    expect(r(0)).toBe(0x8086a201)
    expect(r(4)).toBe(10_000_000)
    ticks(100)
    expect(r(0xf0)).toBe(0)
    w(0xf0, 0xfffffff0)
    w(0xf4, 7)
    w(0x10, 1)
    ticks(0x20)
    expect([r(0xf0), r(0xf4)]).toEqual([0x10, 8])
    w(0x10, 0)
    ticks(5)
    expect(r(0xf0)).toBe(0x10)
    expect(r(0x104)).toBe(0xff0000)
    expect(r(0x100) & 0x8030).toBe(0x8030)
  })

  it('interrupts once by edge through the selected route', () => {
    const { w, pins, ticks } = setUp()
    w(0x120, (20 << 9) | 4)
    w(0x128, 1000)
    w(0x12c, 0)
    w(0x10, 1)
    ticks(999)
    expect(pins[20]!.edges).toBe(0)
    ticks(1)
    expect(pins[20]!.edges).toBe(1)
    ticks(5000)
    expect(pins[20]!.edges).toBe(1)
  })

  it('repeats by VAL_SET and a period, in the place of IRQ0 (2.3.9.2.2, LEG_RT_CNF)', () => {
    const { w, r, timer, legacy, ticks } = setUp()
    w(0x10, 3)
    expect(legacy.level).toBe(true)
    w(0x100, 4 | 8 | 0x40 | 0x100)
    w(0x108, r(0xf0) + 500)
    expect(r(0x100) & 0x40).toBe(0)
    w(0x108, 200)
    ticks(499)
    expect(timer.edges).toBe(0)
    ticks(1 + 2000)
    expect(timer.edges).toBe(11)
    expect(r(0x108)).toBe(2700)
    w(0x10, 0)
    expect(legacy.level).toBe(false)
  })

  it('holds a level line until its status bit is written (2.3.6)', () => {
    const { w, r, pins, ticks } = setUp()
    w(0x140, (17 << 9) | 4 | 2)
    w(0x148, 10)
    w(0x14c, 0)
    w(0x10, 1)
    ticks(10)
    expect(pins[17]!.level).toBe(true)
    expect(r(0x20)).toBe(4)
    w(0x20, 4)
    expect(pins[17]!.level).toBe(false)
    expect(r(0x20)).toBe(0)
  })

  it('sends messages (FSB) and takes 64-bit comparators as two halves', () => {
    const { w, r, messages, ticks } = setUp()
    w(0x110, 0x41)
    w(0x114, 0xfee01000)
    w(0x100, 0x4000 | 4 | 8 | 0x40)
    w(0x108, 0x10)
    w(0x10c, 0)
    w(0x108, 0x30)
    w(0x10, 1)
    ticks(0x10 + 0x30)
    expect(messages).toEqual([
      [0xfee01000, 0x41],
      [0xfee01000, 0x41],
    ])
    expect([r(0x108), r(0x10c)]).toEqual([0x70, 0])
  })

  it('bounds the rate of a one-tick period', () => {
    const { w, clock, pins, ticks } = setUp()
    w(0x100, (20 << 9) | 4 | 8 | 0x40 | 0x100)
    w(0x108, 1)
    w(0x108, 1)
    w(0x10, 1)
    ticks(100_000)
    expect(pins[20]!.edges).toBeGreaterThan(1000)
    expect(clock.fired).toBeLessThan((100_000 * 22) / 1000)
  })

  it('goes on after save and restore', () => {
    const a = setUp()
    a.w(0x100, (20 << 9) | 4 | 8 | 0x40 | 0x100)
    a.w(0x108, 300)
    a.w(0x108, 300)
    a.w(0x10, 1)
    a.ticks(1000)
    const b = setUp()
    b.clock.runTo(a.clock.now())
    b.hpet.restore(JSON.parse(JSON.stringify(a.hpet.save())))
    a.ticks(1000)
    b.ticks(1000)
    expect(b.pins[20]!.edges).toBe(3)
    expect(b.hpet.save()).toEqual(a.hpet.save())
  })
})

import { describe, expect, it } from 'vitest'
import { Cmos } from '../../src-core/devices/cmos.ts'
import { FakeClock, probe } from './clock.ts'

const EPOCH = 951_782_399 // 2000-02-28 23:59:59, a Monday

function setUp(epoch = EPOCH) {
  const clock = new FakeClock()
  const irq = probe()
  const cmos = new Cmos('cmos', clock, irq.line, epoch, [[0x38, 0x5a]])
  const r = (register: number): number => {
    cmos.registers.write(0, 1, register)
    return cmos.registers.read(1, 1)
  }
  const w = (register: number, value: number): void => {
    cmos.registers.write(0, 1, register)
    cmos.registers.write(1, 1, value)
  }
  const date = (): number[] => [0x32, 9, 8, 7, 6, 4, 2, 0].map(r)
  return { clock, irq, cmos, r, w, date }
}

describe('MC146818', () => {
  it('keeps the calendar over a leap day, in BCD', () => {
    const { clock, date, r } = setUp()
    expect(date()).toEqual([0x20, 0x00, 0x02, 0x28, 2, 0x23, 0x59, 0x59])
    clock.seconds(1)
    expect(date()).toEqual([0x20, 0x00, 0x02, 0x29, 3, 0, 0, 0])
    clock.seconds(86400)
    expect(date()).toEqual([0x20, 0x00, 0x03, 0x01, 4, 0, 0, 0])
    expect(r(0xd)).toBe(0x80)
    expect(r(0x38)).toBe(0x5a)
  })

  it('agrees with the Gregorian calendar for every fifth day of 130 years', () => {
    const { cmos, date, w } = setUp(0)
    w(0xb, 6) // binary
    for (let day = 0; day < 47482; day += 5) {
      cmos.restore({ version: 1, fields: { ...cmos.save().fields, epoch: day * 86400 } })
      const d = new Date(day * 86400000)
      const year = d.getUTCFullYear()
      const want = [Math.floor(year / 100), year % 100, d.getUTCMonth() + 1, d.getUTCDate(), d.getUTCDay() + 1, 0, 0, 0]
      expect(date()).toEqual(want)
    }
  })

  it('shows hours by 12 with PM in bit 7, and binary by DM', () => {
    const { r, w } = setUp(13 * 3600)
    w(0xb, 0)
    w(4, 0x81)
    expect(r(4)).toBe(0x81)
    w(0xb, 6)
    w(4, 23)
    expect(r(4)).toBe(23)
  })

  it('takes a time set under SET and starts from it', () => {
    const { clock, cmos, w, date } = setUp()
    w(0xb, 0x82)
    for (const [register, value] of [
      [0x32, 0x20],
      [9, 0x24],
      [8, 0x12],
      [7, 0x31],
      [4, 0x23],
      [2, 0x59],
      [0, 0x58],
    ] as const)
      w(register, value)
    clock.seconds(10)
    expect(date()).toEqual([0x20, 0x24, 0x12, 0x31, 2, 0x23, 0x59, 0x58])
    w(0xb, 0x02)
    clock.seconds(2)
    expect(date()).toEqual([0x20, 0x25, 0x01, 0x01, 4, 0, 0, 0])
    expect(cmos.seconds).toBe(1735689600)
  })

  it('sets UIP shortly before the update and never reads half an update', () => {
    const { clock, r } = setUp()
    clock.seconds(0.9)
    expect(r(0xa)).toBe(0x26)
    clock.seconds(0.099)
    expect(r(0xa)).toBe(0xa6)
    expect(r(0)).toBe(0x59)
    clock.seconds(0.0015)
    expect(r(0xa)).toBe(0x26)
    expect(r(0)).toBe(0)
  })

  it('interrupts periodically at the chosen rate until C is read', () => {
    const { clock, irq, r, w } = setUp()
    w(0xb, 0x42)
    r(0xc)
    let n = 0
    for (let i = 0; i < 1024; i++) {
      clock.seconds(1 / 1024)
      if (irq.level) n++
      expect(r(0xc) & 0xc0).toBe(0xc0)
      expect(irq.level).toBe(false)
    }
    expect(n).toBe(1024)
  })

  it('raises update-ended and alarm, with don’t-care fields', () => {
    const { clock, irq, r, w } = setUp()
    w(1, 0x05)
    w(3, 0xff)
    w(5, 0xff)
    w(0xb, 0x22)
    r(0xc)
    clock.seconds(5.5)
    expect(irq.level).toBe(false)
    clock.seconds(0.6)
    expect(irq.level).toBe(true)
    expect(r(0xc)).toBe(0xf0)
    clock.seconds(60)
    expect(irq.level).toBe(true)
    w(0xb, 0x02)
    expect(irq.level).toBe(false)
    expect(r(0xc) & 0x30).toBe(0x30)
  })

  it('goes on after save and restore; reset keeps time and RAM', () => {
    const a = setUp()
    a.w(0xb, 0x52)
    a.clock.seconds(0.7)
    const b = setUp(0)
    b.clock.runTo(a.clock.now())
    b.cmos.restore(JSON.parse(JSON.stringify(a.cmos.save())))
    a.clock.seconds(1)
    b.clock.seconds(1)
    expect(b.cmos.save()).toEqual(a.cmos.save())
    b.cmos.reset()
    expect(b.r(0xb)).toBe(2)
    expect(b.r(0x38)).toBe(0x5a)
    expect(b.cmos.seconds).toBe(EPOCH + 1)
  })
})

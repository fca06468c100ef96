import { describe, expect, it } from 'vitest'
import { Pic8259 } from '../../src-core/devices/pic8259.ts'
import { probe } from './clock.ts'

function pair() {
  const intr = probe()
  const master: Pic8259 = new Pic8259('pic0', intr.line, (n) => (n === 2 ? slave.acknowledge() : undefined))
  const slave: Pic8259 = new Pic8259('pic1', master.line(2))
  const init = (p: Pic8259, base: number, cascade: number, icw4 = 1): void => {
    p.registers.write(0, 1, 0x11)
    p.registers.write(1, 1, base)
    p.registers.write(1, 1, cascade)
    p.registers.write(1, 1, icw4)
  }
  init(master, 0x20, 4)
  init(slave, 0x28, 2)
  return { intr, master, slave, init }
}

describe('8259A', () => {
  it('delivers by fixed priority, nested, until EOI (fully nested mode)', () => {
    const { intr, master } = pair()
    master.line(4)(true)
    expect(intr.level).toBe(true)
    expect(master.acknowledge()).toBe(0x24)
    expect(intr.level).toBe(false)
    master.line(6)(true)
    expect(intr.level).toBe(false)
    master.line(1)(true)
    expect(master.acknowledge()).toBe(0x21)
    master.registers.write(0, 1, 0x0b)
    expect(master.registers.read(0, 1)).toBe(0x12)
    master.registers.write(0, 1, 0x20)
    expect(master.registers.read(0, 1)).toBe(0x10)
    master.registers.write(0, 1, 0x64) // specific EOI of IR4
    expect(master.acknowledge()).toBe(0x26)
  })

  it('takes the vector of a cascaded slave', () => {
    const { intr, master, slave } = pair()
    slave.line(4)(true)
    expect(intr.level).toBe(true)
    expect(master.acknowledge()).toBe(0x2c)
    slave.registers.write(0, 1, 0x0b)
    expect(slave.registers.read(0, 1)).toBe(0x10)
  })

  it('gives IR7 without service when the request is gone (spurious)', () => {
    const { master, slave } = pair()
    master.line(3)(true)
    master.line(3)(false)
    expect(master.acknowledge()).toBe(0x27)
    master.registers.write(0, 1, 0x0b)
    expect(master.registers.read(0, 1)).toBe(0)
    slave.line(1)(true)
    slave.registers.write(1, 1, 0xff)
    slave.registers.write(1, 1, 0xff)
    expect(slave.acknowledge()).toBe(0x2f)
  })

  it('repeats level requests by ELCR until the line drops, edges only once', () => {
    const { intr, master, slave } = pair()
    master.elcr.write(0, 1, 0xff)
    expect(master.elcr.read(0, 1)).toBe(0xf8)
    slave.elcr.write(0, 1, 0xff)
    expect(slave.elcr.read(0, 1)).toBe(0xde)
    master.line(5)(true)
    expect(master.acknowledge()).toBe(0x25)
    master.registers.write(0, 1, 0x20)
    expect(intr.level).toBe(true)
    master.line(5)(false)
    expect(intr.level).toBe(false)
    master.line(1)(true)
    master.acknowledge()
    master.registers.write(0, 1, 0x20)
    expect(intr.level).toBe(false)
  })

  it('rotates priorities on EOI (OCW2 A0H)', () => {
    const { master } = pair()
    master.line(3)(true)
    master.acknowledge()
    master.registers.write(0, 1, 0xa0)
    master.line(1)(true)
    master.line(4)(true)
    expect(master.acknowledge()).toBe(0x24)
    master.registers.write(0, 1, 0x20)
    master.registers.write(0, 1, 0xc7) // set priority: IR7 lowest
    expect(master.acknowledge()).toBe(0x21)
  })

  it('lets lower requests through in special mask mode', () => {
    const { intr, master } = pair()
    master.line(2)(true)
    master.line(2)(false)
    master.line(1)(true)
    master.acknowledge()
    master.line(6)(true)
    expect(intr.level).toBe(false)
    master.registers.write(1, 1, 0x02)
    master.registers.write(0, 1, 0x68)
    expect(intr.level).toBe(true)
    expect(master.acknowledge()).toBe(0x26)
    // A non-specific EOI does not end the masked level.
    master.registers.write(0, 1, 0x20)
    master.registers.write(0, 1, 0x0b)
    expect(master.registers.read(0, 1)).toBe(0x02)
  })

  it('ends by itself with AEOI and answers polls', () => {
    const { master, init } = pair()
    init(master, 0x40, 4, 3)
    master.line(0)(true)
    expect(master.acknowledge()).toBe(0x40)
    master.registers.write(0, 1, 0x0b)
    expect(master.registers.read(0, 1)).toBe(0)
    master.line(6)(true)
    master.registers.write(0, 1, 0x0c)
    expect(master.registers.read(0, 1)).toBe(0x86)
    master.registers.write(0, 1, 0x0c)
    expect(master.registers.read(0, 1)).toBe(7)
  })

  it('saves and restores with a request in service and one waiting', () => {
    const a = pair()
    a.master.line(3)(true)
    a.master.acknowledge()
    a.master.line(1)(true)
    a.master.line(7)(true)
    const b = pair()
    b.master.restore(JSON.parse(JSON.stringify(a.master.save())))
    expect(b.master.save()).toEqual(a.master.save())
    expect(b.master.acknowledge()).toBe(0x21)
    b.master.registers.write(0, 1, 0x20)
    b.master.registers.write(0, 1, 0x20)
    expect(b.master.acknowledge()).toBe(0x27)
  })
})

import { describe, expect, it } from 'vitest'
import { Pit8254, PIT_FREQUENCY } from '../../src-core/devices/pit8254.ts'
import { Port61 } from '../../src-core/devices/port61.ts'
import { Oscillator } from '../../src-core/devices/oscillator.ts'
import { FakeClock, probe } from './clock.ts'

function setUp() {
  const clock = new FakeClock()
  const out = probe()
  const pit = new Pit8254('pit', clock, [out.line])
  const osc = new Oscillator(clock, PIT_FREQUENCY)
  const clocks = (n: number): void => clock.runTo(osc.cycles(osc.now() + n))
  const program = (channel: number, control: number, count: number): void => {
    pit.registers.write(3, 1, (channel << 6) | 0x30 | control)
    pit.registers.write(channel, 1, count & 0xff)
    pit.registers.write(channel, 1, count >> 8)
  }
  const count = (channel: number): number => {
    pit.registers.write(3, 1, channel << 6)
    return pit.registers.read(channel, 1) | (pit.registers.read(channel, 1) << 8)
  }
  const status = (channel: number): number => {
    pit.registers.write(3, 1, 0xe0 | (2 << channel))
    return pit.registers.read(channel, 1)
  }
  return { clock, out, pit, clocks, program, count, status }
}

describe('8254 modes (231164, "Mode definitions")', () => {
  it('0: OUT rises N + 1 clocks after the write, and the count wraps', () => {
    const { out, clocks, program, count, status } = setUp()
    program(0, 0, 10)
    expect(status(0)).toBe(0x70) // OUT low, null count
    clocks(1)
    expect(status(0)).toBe(0x30)
    expect(count(0)).toBe(10)
    clocks(9)
    expect(out.level).toBe(false)
    expect(count(0)).toBe(1)
    clocks(1)
    expect(out.level).toBe(true)
    clocks(1)
    expect(count(0)).toBe(0xffff)
  })

  it('1: a gate edge starts the one-shot again', () => {
    const { pit, clocks, program } = setUp()
    program(2, 2, 5)
    expect(pit.output(2)).toBe(true)
    clocks(20)
    expect(pit.output(2)).toBe(true)
    pit.gate(2, true)
    clocks(1)
    expect(pit.output(2)).toBe(false)
    clocks(4)
    pit.gate(2, false)
    pit.gate(2, true)
    clocks(5)
    expect(pit.output(2)).toBe(false)
    clocks(1)
    expect(pit.output(2)).toBe(true)
  })

  it('2: one clock low each period; a new count waits for its end', () => {
    const { out, clocks, program, count, pit } = setUp()
    program(0, 4, 100)
    clocks(1)
    expect(out.edges).toBe(1)
    clocks(99)
    expect(out.level).toBe(false)
    clocks(1)
    expect(out.level).toBe(true)
    clocks(950)
    expect(out.edges).toBe(1 + 10)
    expect(count(0)).toBe(50)
    pit.registers.write(0, 1, 20)
    pit.registers.write(0, 1, 0)
    clocks(49)
    expect(count(0)).toBe(1)
    clocks(1)
    expect(count(0)).toBe(20)
    clocks(20)
    expect(count(0)).toBe(20)
  })

  it('3: a square wave, odd counts one clock longer high', () => {
    const { pit, clocks, program, count } = setUp()
    program(2, 6, 5)
    pit.gate(2, true)
    clocks(1)
    const wave: boolean[] = []
    for (let i = 0; i < 10; i++) {
      wave.push(pit.output(2))
      clocks(1)
    }
    expect(wave).toEqual([true, true, true, false, false, true, true, true, false, false])
    clocks(1)
    pit.gate(2, false)
    clocks(4)
    expect(pit.output(2)).toBe(true)
    expect(count(2)).toBe(4)
    pit.gate(2, true) // reloads
    clocks(1 + 3)
    expect(pit.output(2)).toBe(false)
  })

  it('3: counts down by two', () => {
    const { clocks, program, count } = setUp()
    program(0, 6, 1000)
    clocks(1 + 10)
    expect(count(0)).toBe(980)
    clocks(500)
    expect(count(0)).toBe(980)
  })

  it('4 and 5: a strobe one clock long, by software and by gate', () => {
    const { pit, clocks, program, out } = setUp()
    program(0, 8, 3)
    expect(out.level).toBe(true)
    clocks(4)
    expect(out.level).toBe(false)
    clocks(1)
    expect(out.level).toBe(true)
    expect(out.edges).toBe(2)
    clocks(70000)
    expect(out.edges).toBe(2)
    program(2, 10, 3)
    clocks(9)
    expect(pit.output(2)).toBe(true)
    pit.gate(2, true)
    clocks(4)
    expect(pit.output(2)).toBe(false)
    clocks(1)
    expect(pit.output(2)).toBe(true)
  })

  it('counts in BCD, holds while the gate is low, and reads one byte by access mode', () => {
    const { pit, clocks } = setUp()
    pit.registers.write(3, 1, 0xb1) // channel 2, both bytes, mode 0, BCD
    pit.registers.write(2, 1, 0x00)
    pit.registers.write(2, 1, 0x10)
    pit.gate(2, true)
    clocks(1)
    pit.registers.write(3, 1, 0x80)
    const at = pit.registers.read(2, 1) | (pit.registers.read(2, 1) << 8)
    expect(at).toBe(0x0999)
    pit.gate(2, false)
    clocks(100)
    pit.registers.write(3, 1, 0x80)
    expect(pit.registers.read(2, 1) | (pit.registers.read(2, 1) << 8)).toBe(at)
    pit.registers.write(3, 1, 0xa0) // high byte only, mode 0
    pit.registers.write(2, 1, 0x12)
    expect(pit.registers.read(2, 1)).toBe(0x12)
  })

  it('keeps a latched count until it is read, status before count (read-back)', () => {
    const { pit, clocks, program } = setUp()
    program(0, 4, 1000)
    clocks(1 + 10)
    pit.registers.write(3, 1, 0xc2)
    clocks(100)
    pit.registers.write(3, 1, 0x00)
    expect(pit.registers.read(0, 1)).toBe(0xb4)
    expect(pit.registers.read(0, 1) | (pit.registers.read(0, 1) << 8)).toBe(990)
    expect(pit.registers.read(0, 1) | (pit.registers.read(0, 1) << 8)).toBe(890)
  })

  it('shows a late host each missed period as one edge at most and stays in phase', () => {
    const { clock, out, clocks, program, count } = setUp()
    program(0, 4, 11932)
    clocks(1)
    clock.jump(clock.frequency)
    expect(out.edges).toBe(2)
    expect(clock.fired).toBeLessThan(5)
    expect(count(0)).toBe(11932 - (PIT_FREQUENCY % 11932))
  })

  it('goes on after save and restore in the middle of a period', () => {
    const a = setUp()
    a.program(0, 4, 5000)
    a.clocks(1234)
    const b = setUp()
    b.clock.runTo(a.clock.now())
    b.pit.restore(JSON.parse(JSON.stringify(a.pit.save())))
    expect(b.pit.save()).toEqual(a.pit.save())
    a.clocks(20000)
    b.clocks(20000)
    expect(b.out.edges).toBe(4)
    expect(b.pit.save()).toEqual(a.pit.save())
    expect(() => b.pit.restore({ version: 1, fields: { channels: [] } })).toThrow('channels')
  })
})

describe('port 61H', () => {
  it('gates timer 2, shows OUT2 and toggles refresh every 15 µs', () => {
    const { clock, pit, program, clocks } = setUp()
    const speaker = probe()
    const port = new Port61('port61', clock, { gate: (level) => pit.gate(2, level), output: () => pit.output(2) }, speaker.line)
    program(2, 0, 100)
    port.registers.write(0, 1, 3)
    expect(speaker.level).toBe(true)
    expect(port.registers.read(0, 1) & 0x23).toBe(3)
    clocks(101)
    expect(port.registers.read(0, 1) & 0x23).toBe(0x23)
    let toggles = 0
    let last = port.registers.read(0, 1) & 0x10
    for (let i = 0; i < 1000; i++) {
      clock.advance(2200)
      const now = port.registers.read(0, 1) & 0x10
      if (now !== last) toggles++
      last = now
    }
    expect(toggles).toBeGreaterThan(64)
    expect(toggles).toBeLessThan(69)
  })
})

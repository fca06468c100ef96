import { describe, expect, it } from 'vitest'
import { Bus } from '../../src-core/memory/bus.ts'
import { ACPI_DISABLE, ACPI_ENABLE, AcpiPm, PM_LENGTH, PM_TIMER_FREQUENCY } from '../../src-core/devices/acpipm.ts'
import { FwCfg, littleEndian } from '../../src-core/devices/fwcfg.ts'
import { Port80 } from '../../src-core/devices/port80.ts'
import { TestPorts } from '../../src-core/devices/testports.ts'
import { Oscillator } from '../../src-core/devices/oscillator.ts'
import { FakeClock, probe } from './clock.ts'

describe('ACPI fixed hardware (ACPI 6.5, 4.8)', () => {
  function setUp(always = false) {
    const clock = new FakeClock()
    const sci = probe()
    const sleeps: number[] = []
    let resets = 0
    const pm = new AcpiPm('pm', clock, { sci: sci.line, sleep: (t) => sleeps.push(t), reset: () => resets++ }, always)
    const bus = new Bus('ports')
    bus.map('pm', 0x600, PM_LENGTH, pm.registers)
    return { clock, sci, sleeps, resets: () => resets, pm, bus }
  }

  it('counts 24 bits at 3.579545 MHz and reports bit 23', () => {
    const { clock, sci, bus, pm } = setUp()
    clock.seconds(1)
    expect(bus.read(0x608, 4)).toBe(PM_TIMER_FREQUENCY)
    pm.smiCommand.write(0, 1, ACPI_ENABLE)
    expect(bus.read(0x604, 2)).toBe(1)
    bus.write(0x602, 2, 1)
    clock.seconds(2 ** 23 / PM_TIMER_FREQUENCY - 1.001)
    expect(sci.level).toBe(false)
    clock.seconds(0.01)
    expect(sci.level).toBe(true)
    bus.write(0x600, 2, 1)
    expect(sci.level).toBe(false)
    clock.seconds(2 ** 23 / PM_TIMER_FREQUENCY)
    expect(sci.edges).toBe(2)
    expect(bus.read(0x608, 4)).toBeLessThan(0x1000000)
    pm.smiCommand.write(0, 1, ACPI_DISABLE)
    expect(sci.level).toBe(false)
  })

  it('raises SCI for the power button and for events', () => {
    const { pm, bus, sci } = setUp(true)
    expect(bus.read(0x604, 2)).toBe(1)
    pm.pressPowerButton()
    expect(sci.level).toBe(false)
    bus.write(0x602, 2, 0x100)
    expect(sci.level).toBe(true)
    bus.write(0x600, 2, 0x100)
    pm.event(3)
    bus.write(0x60e, 2, 8)
    expect(sci.edges).toBe(2)
    bus.write(0x60c, 2, 8)
    expect(sci.level).toBe(false)
  })

  it('sleeps by SLP_EN, resets by a rising edge at CF9H', () => {
    const { bus, sleeps, pm, resets } = setUp()
    bus.write(0x604, 2, 5 << 10)
    expect(sleeps).toEqual([])
    bus.write(0x604, 2, (5 << 10) | 0x2000)
    expect(sleeps).toEqual([5])
    expect(bus.read(0x604, 2)).toBe(5 << 10)
    pm.resetControl.write(0, 1, 2)
    pm.resetControl.write(0, 1, 6)
    pm.resetControl.write(0, 1, 6)
    expect(resets()).toBe(1)
  })

  it('goes on after save and restore', () => {
    const a = setUp(true)
    a.bus.write(0x602, 2, 1)
    a.clock.seconds(2)
    const b = setUp(true)
    b.clock.runTo(a.clock.now())
    b.pm.restore(JSON.parse(JSON.stringify(a.pm.save())))
    b.clock.seconds(1)
    expect(b.sci.level).toBe(true)
  })
})

describe('fw_cfg', () => {
  it('reads items, the directory and files', () => {
    const files = new Map([
      ['opt/b', Uint8Array.of(7)],
      ['etc/a', Uint8Array.of(1, 2, 3)],
    ])
    const chip = new FwCfg(
      'fwcfg',
      new Map([
        [3, littleEndian(0x1_4000_0000, 8)],
        [5, littleEndian(4, 2)],
      ]),
      files,
    )
    const take = (key: number, n: number): number[] => {
      chip.registers.write(0, 2, key)
      return Array.from({ length: n }, () => chip.registers.read(1, 1))
    }
    expect(String.fromCharCode(...take(0, 4))).toBe('QEMU')
    expect(take(3, 9)).toEqual([0, 0, 0, 0x40, 1, 0, 0, 0, 0])
    expect(take(5, 2)).toEqual([4, 0])
    expect(take(0x11, 4)).toEqual([0, 0, 0, 0])
    expect(take(0x19, 17)).toEqual([0, 0, 0, 2, 0, 0, 0, 3, 0, 0x20, 0, 0, ...new TextEncoder().encode('etc/a')])
    expect(take(0x21, 2)).toEqual([7, 0])
    take(0x20, 1)
    const saved = chip.save()
    chip.reset()
    chip.restore(saved)
    expect(chip.registers.read(1, 1)).toBe(2)
  })
})

describe('test ports', () => {
  it('exits, spells, echoes, flushes, drives lines and keeps a page', () => {
    const log: string[] = []
    const text: number[] = []
    const line = probe()
    const chip = new TestPorts('test', {
      exit: (c) => log.push(`exit ${c}`),
      shutdown: () => log.push('shutdown'),
      debug: (b) => text.push(b),
      lines: [undefined, line.line],
      flush: (a) => log.push(`flush ${a.toString(16)}`),
    })
    chip.exit.write(0, 4, 42)
    for (const c of 'ShuShutdown') chip.shutdown.write(0, 1, c.charCodeAt(0))
    expect(log).toEqual(['exit 42', 'shutdown'])
    chip.echoPorts.write(0, 4, 0x12345678)
    chip.echoPorts.write(1, 1, 0xab)
    expect(chip.echoPorts.read(0, 4)).toBe(0x1234ab78)
    chip.flush.write(0, 4, 0xfff00000)
    expect(log[2]).toBe('flush fff00000')
    chip.interrupts.write(1, 1, 1)
    chip.interrupts.write(23, 1, 1)
    expect(line.level).toBe(true)
    chip.page.write(0xfffe, 2, 0xbeef)
    chip.debug.write(0, 1, 65)
    expect([chip.debug.read(0, 1), text]).toEqual([0xe9, [65]])
    const saved = JSON.parse(JSON.stringify(chip.save()))
    chip.reset()
    expect(line.level).toBe(false)
    chip.restore(saved)
    expect(chip.page.read(0xfffe, 2)).toBe(0xbeef)
    expect(chip.interrupts.read(1, 1)).toBe(1)
    const post = new Port80('post')
    post.registers.write(0, 1, 0x77)
    expect(post.registers.read(0, 1)).toBe(0x77)
  })
})

describe('oscillators', () => {
  it('convert both ways without error at any age of the machine', () => {
    for (const [cycles, ticks] of [
      [2_200_000_000, 1193182],
      [2_200_000_000, 100_000_000],
      [2_399_999_983, 99_999_989],
      [3_000_000_000, 25_000_000],
    ] as const) {
      const o = new Oscillator(new FakeClock(cycles), ticks)
      for (const n of [1, 2, 3, 1000, 123456789, 2 ** 40, 2 ** 45 - 1]) {
        const at = o.cycles(n)
        if (at === Infinity) continue
        expect(o.ticks(at)).toBeGreaterThanOrEqual(n)
        expect(o.ticks(at - 1)).toBeLessThan(n)
        const exact = (BigInt(at) * BigInt(ticks)) / BigInt(cycles)
        expect(BigInt(o.ticks(at))).toBe(exact)
      }
    }
  })
})

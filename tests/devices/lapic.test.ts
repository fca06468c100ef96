import { describe, expect, it } from 'vitest'
import { ApicBus } from '../../src-core/devices/apicbus.ts'
import { IoApic } from '../../src-core/devices/ioapic.ts'
import { EXTERNAL_INTERRUPT, Lapic } from '../../src-core/devices/lapic.ts'
import { FakeClock } from './clock.ts'

const CRYSTAL = 25_000_000 // 88 cycles a tick

function setUp(count = 4) {
  const clock = new FakeClock()
  const bus = new ApicBus()
  const events: string[] = []
  const offset = { value: 0n }
  const lapics = Array.from({ length: count }, (_, n) => {
    const say = (what: string) => (): void => void events.push(`${n} ${what}`)
    const pins = {
      interruptChanged: () => {},
      nmi: say('nmi'),
      smi: say('smi'),
      init: say('init'),
      startup: (v: number) => void events.push(`${n} startup ${v}`),
    }
    const options = {
      apicId: n,
      bootstrap: n === 0,
      crystal: CRYSTAL,
      physicalBits: 40,
      readPic: () => 0x30,
      tscOffset: () => offset.value,
    }
    const lapic = new Lapic(`lapic${n}`, clock, bus, pins, options)
    bus.attach(lapic)
    lapic.registers.write(0xf0, 4, 0x1ff)
    return lapic
  })
  const w = (n: number, o: number, v: number): void => lapics[n]!.registers.write(o, 4, v)
  const r = (n: number, o: number): number => lapics[n]!.registers.read(o, 4)
  const ipi = (n: number, high: number, low: number): void => {
    w(n, 0x310, high)
    w(n, 0x300, low)
  }
  const pending = (): number[] => lapics.map((l) => l.pendingVector())
  return { clock, bus, events, lapics, w, r, ipi, pending, offset }
}

describe('local APIC: priority and EOI (SDM 3A 11.8)', () => {
  it('holds back classes not above PPR, and nests', () => {
    const { lapics, w, r, ipi } = setUp()
    const l = lapics[0]!
    ipi(0, 0, 0x40041)
    ipi(0, 0, 0x40055)
    expect(l.acknowledge()).toBe(0x55)
    expect(r(0, 0xa0)).toBe(0x50)
    expect(l.pendingVector()).toBe(-1)
    ipi(0, 0, 0x40061)
    expect(l.acknowledge()).toBe(0x61)
    w(0, 0xb0, 0)
    expect(r(0, 0x120)).toBe(0x200000)
    w(0, 0xb0, 0)
    expect(l.pendingVector()).toBe(0x41)
    l.cr8 = 4
    expect(r(0, 0x80)).toBe(0x40)
    expect(l.pendingVector()).toBe(-1)
    expect(l.acknowledge()).toBe(0xff) // spurious
    expect(r(0, 0x220)).toBe(2)
  })

  it('reports illegal vectors and registers through ESR and its LVT (11.5.3)', () => {
    const { lapics, w, r, ipi } = setUp()
    w(0, 0x370, 0xe1)
    ipi(0, 0, 0x40005)
    expect(lapics[0]!.pendingVector()).toBe(0xe1)
    expect(r(0, 0x280)).toBe(0)
    r(0, 0x2f0)
    w(0, 0x280, 0)
    expect(r(0, 0x280)).toBe(0xa0)
    w(0, 0x280, 0)
    expect(r(0, 0x280)).toBe(0)
  })

  it('masks and refuses while software-disabled, yet hears NMI (11.4.7.2)', () => {
    const { events, w, r, ipi, pending } = setUp(2)
    w(0, 0x320, 0x40)
    w(0, 0xf0, 0xff)
    expect(r(0, 0x320)).toBe(0x10040)
    w(0, 0x320, 0x40)
    expect(r(0, 0x320)).toBe(0x10040)
    ipi(1, 0, 0x44)
    ipi(1, 0, 0x400)
    expect(pending()).toEqual([-1, -1])
    expect(events).toEqual(['0 nmi'])
  })
})

describe('interprocessor interrupts (SDM 3A 11.6)', () => {
  it('reaches one, self, all, all but self', () => {
    const { ipi, pending, lapics } = setUp()
    ipi(0, 2 << 24, 0x51)
    expect(pending()).toEqual([-1, -1, 0x51, -1])
    lapics[2]!.acknowledge()
    ipi(1, 0, 0x40061)
    ipi(3, 0, 0xc0071)
    expect(pending()).toEqual([0x71, 0x71, 0x71, -1])
    ipi(3, 0, 0x80081)
    expect(pending()).toEqual([0x81, 0x81, 0x81, 0x81])
    ipi(0, 0xff000000, 0x91)
    expect(pending()).toEqual([0x91, 0x91, 0x91, 0x91])
  })

  it('starts processors by INIT, de-assert and SIPI', () => {
    const { events, ipi } = setUp(3)
    ipi(0, 0, 0xc4500)
    ipi(0, 0, 0xc8500)
    ipi(0, 1 << 24, 0x4699)
    expect(events).toEqual(['1 init', '2 init', '1 startup 153'])
  })

  it('decodes flat and cluster logical destinations (11.6.2.2)', () => {
    const { w, ipi, pending, lapics } = setUp()
    for (let n = 0; n < 4; n++) w(n, 0xd0, 0x1000000 << n)
    ipi(0, 0x0a000000, 0x841)
    expect(pending()).toEqual([-1, 0x41, -1, 0x41])
    for (const l of lapics) l.initialise()
    for (let n = 0; n < 4; n++) {
      w(n, 0xf0, 0x1ff)
      w(n, 0xe0, 0x0fffffff)
      w(n, 0xd0, (((n >> 1) << 4) | (1 << (n & 1))) << 24)
    }
    ipi(0, 0x12000000, 0x842)
    expect(pending()).toEqual([-1, -1, -1, 0x42])
    ipi(0, 0xf1000000, 0x843)
    expect(pending()).toEqual([0x43, -1, 0x43, 0x42])
  })

  it('arbitrates lowest priority by PPR', () => {
    const { w, ipi, pending } = setUp()
    for (let n = 0; n < 4; n++) w(n, 0xd0, 0x1000000 << n)
    w(0, 0x80, 0x30)
    w(1, 0x80, 0x20)
    w(2, 0xf0, 0xff)
    w(3, 0x80, 0x50)
    ipi(0, 0xff000000, 0x961)
    expect(pending()).toEqual([-1, 0x61, -1, -1])
  })
})

describe('timer (SDM 3A 11.5.4)', () => {
  it('counts once by the divided crystal', () => {
    const { clock, lapics, w, r } = setUp(1)
    w(0, 0x3e0, 0xb)
    w(0, 0x320, 0x40)
    w(0, 0x380, 1000)
    clock.advance(88 * 400)
    expect(r(0, 0x390)).toBe(600)
    w(0, 0x3e0, 0x0) // divide by 2: the count goes on
    expect(r(0, 0x390)).toBe(600)
    clock.advance(88 * 1200 - 1)
    expect(lapics[0]!.pendingVector()).toBe(-1)
    clock.advance(1)
    expect(lapics[0]!.acknowledge()).toBe(0x40)
    expect(r(0, 0x390)).toBe(0)
    clock.advance(10 ** 8)
    expect(lapics[0]!.pendingVector()).toBe(-1)
  })

  it('repeats without drift, and bounds a period of one tick', () => {
    const { clock, lapics, w } = setUp(1)
    w(0, 0x3e0, 0xb)
    w(0, 0x320, 0x20040)
    w(0, 0x380, 100)
    for (let i = 1; i <= 50; i++) {
      clock.runTo(8800 * i - 1)
      expect(lapics[0]!.pendingVector()).toBe(-1)
      clock.runTo(8800 * i + i)
      expect(lapics[0]!.acknowledge()).toBe(0x40)
      w(0, 0xb0, 0)
    }
    const before = clock.fired
    w(0, 0x380, 1)
    clock.advance(1_000_000)
    expect(clock.fired - before).toBeLessThan(1000)
    expect(clock.fired - before).toBeGreaterThan(500)
  })

  it('fires at a TSC deadline, in the time of a shifted TSC, and at once if it has passed', () => {
    const { clock, lapics, w, offset } = setUp(1)
    const l = lapics[0]!
    expect(l.writeMsr(0x6e0, 5n)).toBe(true)
    expect(l.readMsr(0x6e0)).toBe(0n) // not in deadline mode
    w(0, 0x320, 0x40040)
    l.writeMsr(0x6e0, 10_000n)
    expect(l.readMsr(0x6e0)).toBe(10_000n)
    clock.runTo(9_999)
    expect(l.pendingVector()).toBe(-1)
    clock.runTo(10_000)
    expect(l.pendingVector()).toBe(0x40)
    expect(l.readMsr(0x6e0)).toBe(0n)
    l.acknowledge()
    w(0, 0xb0, 0)
    l.writeMsr(0x6e0, 30_000n)
    offset.value = BigInt.asUintN(64, -5_000n)
    l.tscChanged()
    clock.runTo(34_999)
    expect(l.pendingVector()).toBe(-1)
    clock.runTo(35_000)
    expect(l.acknowledge()).toBe(0x40)
    w(0, 0xb0, 0)
    l.writeMsr(0x6e0, 1n)
    expect(l.pendingVector()).toBe(0x40)
    l.writeMsr(0x6e0, (1n << 64n) - 1n)
    expect(l.readMsr(0x6e0)).toBe((1n << 64n) - 1n)
  })
})

describe('modes (SDM 3A 11.12)', () => {
  it('follows the transitions of IA32_APIC_BASE', () => {
    const { lapics, r } = setUp(2)
    const l = lapics[0]!
    expect(l.readMsr(0x1b)).toBe(0xfee00900n)
    expect(lapics[1]!.readMsr(0x1b)).toBe(0xfee00800n)
    expect(l.writeMsr(0x1b, 0xfee00901n)).toBe(false)
    expect(l.writeMsr(0x1b, 0x100fee00900n)).toBe(false)
    expect(l.writeMsr(0x1b, 0xfee00500n)).toBe(false)
    expect(l.readMsr(0x803)).toBeUndefined()
    expect(l.writeMsr(0x1b, 0xfee00d00n)).toBe(true)
    expect(r(0, 0x30)).toBe(0xffffffff)
    expect(l.readMsr(0x803)).toBe(0x01050014n)
    expect(l.writeMsr(0x1b, 0xfee00900n)).toBe(false)
    expect(l.writeMsr(0x1b, 0xfee00100n)).toBe(true)
    expect(r(0, 0x30)).toBe(0xffffffff)
    expect(l.writeMsr(0x1b, 0xfee00d00n)).toBe(false)
    expect(l.writeMsr(0x1b, 0xfed00900n)).toBe(true)
    expect(l.pageAddress).toBe(0xfed00000)
    expect(r(0, 0xf0)).toBe(0xff)
  })

  it('has x2APIC registers with #GP for reserved bits, and 32-bit destinations', () => {
    const { lapics, pending } = setUp(3)
    for (const l of lapics) expect(l.writeMsr(0x1b, 0xfee00c00n | (l.apicId === 0 ? 0x100n : 0n))).toBe(true)
    const l = lapics[1]!
    expect(l.readMsr(0x802)).toBe(1n)
    expect(l.readMsr(0x80d)).toBe(2n)
    expect(l.writeMsr(0x802, 1n)).toBe(false)
    expect(l.writeMsr(0x80e, 0n)).toBe(false)
    expect(l.writeMsr(0x80b, 1n)).toBe(false)
    expect(l.writeMsr(0x808, 0x100n)).toBe(false)
    expect(l.writeMsr(0x832, 0x80000n)).toBe(false)
    expect(l.writeMsr(0x831, 0n)).toBe(false)
    expect(l.readMsr(0x831)).toBeUndefined()
    expect(l.readMsr(0x8ff)).toBeUndefined()
    expect(l.writeMsr(0x83f, 0x44n)).toBe(true)
    expect(l.writeMsr(0x830, (2n << 32n) | 0x45n)).toBe(true)
    expect(pending()).toEqual([-1, 0x44, 0x45])
    expect(l.readMsr(0x830)).toBe((2n << 32n) | 0x45n)
    l.writeMsr(0x830, (5n << 32n) | 0x846n) // logical, cluster 0, members 0 and 2
    expect(pending()).toEqual([0x46, 0x44, 0x46])
    l.writeMsr(0x830, (0xffffffffn << 32n) | 0x57n)
    expect(pending()).toEqual([0x57, 0x57, 0x57])
  })
})

describe('local inputs', () => {
  it('takes the 8259’s vector through LINT0 as ExtINT, and while disabled', () => {
    const { lapics, w } = setUp(1)
    const l = lapics[0]!
    l.lint0(true)
    expect(l.pendingVector()).toBe(-1)
    w(0, 0x350, 0x700)
    expect(l.pendingVector()).toBe(EXTERNAL_INTERRUPT)
    expect(l.acknowledge()).toBe(0x30)
    l.lint0(false)
    expect(l.pendingVector()).toBe(-1)
    l.writeMsr(0x1b, 0xfee00100n)
    l.lint0(true)
    expect(l.pendingVector()).toBe(EXTERNAL_INTERRUPT)
  })

  it('repeats a level-triggered LINT0 after its EOI, by remote IRR', () => {
    const { lapics, w, r } = setUp(1)
    const l = lapics[0]!
    w(0, 0x350, 0x8062)
    l.lint0(true)
    expect(r(0, 0x350)).toBe(0xc062)
    expect(l.acknowledge()).toBe(0x62)
    w(0, 0xb0, 0)
    expect(l.acknowledge()).toBe(0x62)
    l.lint0(false)
    w(0, 0xb0, 0)
    expect(l.pendingVector()).toBe(-1)
    expect(r(0, 0x350)).toBe(0x8062)
  })

  it('masks the performance entry when it fires', () => {
    const { lapics, events, w, r } = setUp(1)
    w(0, 0x340, 0x400)
    lapics[0]!.performanceInterrupt()
    lapics[0]!.performanceInterrupt()
    expect(events).toEqual(['0 nmi'])
    expect(r(0, 0x340)).toBe(0x10400)
  })

  it('takes NMI through LINT1 once an edge', () => {
    const { lapics, events, w } = setUp(1)
    w(0, 0x360, 0x400)
    lapics[0]!.lint1(true)
    lapics[0]!.lint1(true)
    lapics[0]!.lint1(false)
    lapics[0]!.lint1(true)
    expect(events).toEqual(['0 nmi', '0 nmi'])
  })

  it('goes on after save and restore with interrupts in service, waiting and the timer armed', () => {
    const a = setUp(1)
    a.w(0, 0x3e0, 0xb)
    a.w(0, 0x320, 0x20040)
    a.w(0, 0x380, 1000)
    a.clock.advance(88 * 1300)
    a.ipi(0, 0, 0x40055)
    a.lapics[0]!.acknowledge()
    const b = setUp(1)
    b.clock.runTo(a.clock.now())
    b.lapics[0]!.restore(JSON.parse(JSON.stringify(a.lapics[0]!.save())))
    expect(b.r(0, 0x390)).toBe(700)
    for (const s of [a, b]) {
      s.w(0, 0xb0, 0)
      expect(s.lapics[0]!.acknowledge()).toBe(0x40)
      s.w(0, 0xb0, 0)
      s.clock.advance(88 * 700)
      expect(s.lapics[0]!.pendingVector()).toBe(0x40)
    }
    expect(b.lapics[0]!.save()).toEqual(a.lapics[0]!.save())
  })
})

describe('I/O APIC (82093AA) and messages', () => {
  function withIoApic() {
    const s = setUp(2)
    const io = new IoApic('ioapic', 2, (m) => s.bus.send(m))
    s.bus.onEoi((v) => io.eoi(v))
    const set = (index: number, value: number): void => {
      io.registers.write(0, 4, index)
      io.registers.write(0x10, 4, value)
    }
    const get = (index: number): number => {
      io.registers.write(0, 4, index)
      return io.registers.read(0x10, 4)
    }
    return { ...s, io, set, get }
  }

  it('shows ID, version 20H and masked entries', () => {
    const { get, set } = withIoApic()
    expect(get(0)).toBe(0x02000000)
    set(0, 0x05000000)
    expect(get(0)).toBe(0x05000000)
    expect(get(1)).toBe(0x00170020)
    expect(get(0x10)).toBe(0x10000)
    expect(get(0x40)).toBe(0)
  })

  it('sends an edge once and loses it while masked', () => {
    const { io, set, pending, lapics } = withIoApic()
    const pin = io.line(4)
    pin(true)
    set(0x19, 0x01000000)
    set(0x18, 0x44)
    expect(pending()).toEqual([-1, -1])
    pin(false)
    pin(true)
    expect(pending()).toEqual([-1, 0x44])
    lapics[1]!.acknowledge()
    lapics[1]!.registers.write(0xb0, 4, 0)
    pin(false)
    expect(pending()).toEqual([-1, -1])
  })

  it('repeats a level until it drops: remote IRR, EOI broadcast, directed EOI', () => {
    const { io, set, get, pending, lapics, w } = withIoApic()
    const pin = io.line(16)
    set(0x30, 0x8055)
    pin(true)
    expect(get(0x30)).toBe(0xc055)
    expect(lapics[0]!.acknowledge()).toBe(0x55)
    expect(lapics[0]!.registers.read(0x1a0, 4)).toBe(1 << 21)
    w(0, 0xb0, 0)
    expect(pending()[0]).toBe(0x55)
    lapics[0]!.acknowledge()
    w(0, 0xf0, 0x11ff) // suppress the broadcast
    w(0, 0xb0, 0)
    expect(pending()[0]).toBe(-1)
    expect(get(0x30)).toBe(0xc055)
    pin(false)
    io.registers.write(0x40, 4, 0x55)
    expect(get(0x30)).toBe(0x8055)
    expect(pending()[0]).toBe(-1)
    pin(true)
    set(0x30, 0x18055)
    set(0x30, 0x10055)
    expect(get(0x30)).toBe(0x10055) // edge drops remote IRR
  })

  it('delivers NMI by pin and MSI by address (11.11)', () => {
    const { io, set, bus, events, pending } = withIoApic()
    set(0x11, 0xff000000)
    set(0x10, 0x400)
    io.line(0)(true)
    expect(events).toEqual(['0 nmi', '1 nmi'])
    bus.message(0xfee01000, 0x4062)
    bus.message(0xfee00000, 0x8063)
    bus.message(0xfed00000, 0x64)
    expect(pending()).toEqual([-1, 0x62])
  })

  it('restores remote IRR and input levels', () => {
    const a = withIoApic()
    a.set(0x30, 0x8055)
    a.io.line(16)(true)
    const b = withIoApic()
    b.io.restore(JSON.parse(JSON.stringify(a.io.save())))
    expect(b.get(0x30)).toBe(0xc055)
    b.io.eoi(0x55)
    expect(b.pending()[0]).toBe(0x55)
  })
})

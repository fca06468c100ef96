// Every chip's registers under random accesses: nothing throws, alarms stay bounded, the same seed gives the same
// trace, a saved state restores into the same state, and a damaged one is refused or survived.

import { describe, expect, it } from 'vitest'
import { Bus } from '../../src-core/memory/bus.ts'
import { StateError, type Device, type Json, type Registers, type SavedState } from '../../src-core/memory/device.ts'
import { AcpiPm } from '../../src-core/devices/acpipm.ts'
import { ApicBus } from '../../src-core/devices/apicbus.ts'
import { Cmos } from '../../src-core/devices/cmos.ts'
import { FwCfg } from '../../src-core/devices/fwcfg.ts'
import { Hpet } from '../../src-core/devices/hpet.ts'
import { I8042 } from '../../src-core/devices/i8042.ts'
import { IoApic } from '../../src-core/devices/ioapic.ts'
import { EXTERNAL_INTERRUPT, Lapic } from '../../src-core/devices/lapic.ts'
import { PciFunction } from '../../src-core/devices/pcifunction.ts'
import { hostBridge, PciHost } from '../../src-core/devices/pcihost.ts'
import { Pic8259 } from '../../src-core/devices/pic8259.ts'
import { IsaBridge } from '../../src-core/devices/piix.ts'
import { Pit8254 } from '../../src-core/devices/pit8254.ts'
import { Port61 } from '../../src-core/devices/port61.ts'
import { Port80 } from '../../src-core/devices/port80.ts'
import { Port92 } from '../../src-core/devices/port92.ts'
import { TestPorts } from '../../src-core/devices/testports.ts'
import { Uart16550 } from '../../src-core/devices/uart16550.ts'
import { Wire } from '../../src-core/devices/wire.ts'
import { FakeClock } from '../devices/clock.ts'

function xorshift(seed: number): (below: number) => number {
  let x = seed | 1
  return (below) => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return (x >>> 0) % below
  }
}

const SEEDS = [1, 0xc0ffee, 0x5eed5, 0x1234567, 0x7fffffff, 99991]
const STEPS = 30_000

/** All chips, wired as on a board. */
function machine() {
  const clock = new FakeClock()
  let hash = 0
  const note = (n: number): void => {
    hash = (Math.imul(hash ^ n, 0x01000193) + 0x9e3779b9) | 0
  }
  const bus = new ApicBus()
  const memory = new Bus('memory')
  const ports = new Bus('ports')
  const lapics: Lapic[] = []
  const master: Pic8259 = new Pic8259(
    'pic0',
    (l) => lapics[0]?.lint0(l),
    (n) => (n === 2 ? slave.acknowledge() : undefined),
  )
  const slave: Pic8259 = new Pic8259('pic1', master.line(2))
  const ioapic = new IoApic('ioapic', 0, (m) => bus.send(m))
  bus.onEoi((v) => ioapic.eoi(v))
  for (let n = 0; n < 3; n++) {
    const pins = {
      interruptChanged: () => note(lapics[n]?.pendingVector() ?? 0),
      nmi: () => note(1),
      smi: () => note(2),
      init: () => lapics[n]!.initialise(),
      startup: (v: number) => note(v),
    }
    const options = { apicId: n, bootstrap: n === 0, crystal: 25_000_000, physicalBits: 40, readPic: () => master.acknowledge() }
    lapics.push(new Lapic(`lapic${n}`, clock, bus, pins, options))
    bus.attach(lapics[n]!)
  }
  const isa = Array.from({ length: 24 }, (_, n) => {
    const pin = ioapic.line(n)
    const pic = n < 8 ? master.line(n) : n < 16 ? slave.line(n - 8) : undefined
    return (level: boolean): void => {
      note(n * 2 + (level ? 1 : 0))
      pic?.(level)
      pin(level)
    }
  })
  const pit = new Pit8254('pit', clock, [isa[0]])
  const port61 = new Port61('port61', clock, { gate: (l) => pit.gate(2, l), output: () => pit.output(2) })
  const hpet = new Hpet('hpet', clock, {
    routes: isa,
    legacyTimer: isa[0]!,
    legacyClock: isa[8]!,
    legacyChanged: (l) => note(l ? 3 : 4),
    message: bus.message,
  })
  const cmos = new Cmos('cmos', clock, isa[8]!, 1_700_000_000)
  const uart = new Uart16550('uart', clock, isa[4]!, note)
  const a20 = new Wire('a20', (l) => note(l ? 5 : 6))
  const i8042 = new I8042('i8042', { irq1: isa[1]!, irq12: isa[12]!, a20: a20.input(), resetPulse: () => note(7) })
  const port92 = new Port92('port92', a20.input(), () => note(8))
  const pm = new AcpiPm('pm', clock, { sci: isa[9]!, sleep: note, reset: () => note(9) })
  const fwcfg = new FwCfg('fwcfg', new Map([[3, new Uint8Array(8)]]), new Map([['etc/x', new Uint8Array(100)]]))
  const test = new TestPorts('test', { exit: note, shutdown: () => note(10), debug: note, lines: isa, flush: note })
  const post = new Port80('post')
  const pci = new PciHost('pci', pm.resetControl)
  const wires = { memory, io: ports, message: bus.message, intx: isa[11]! }
  const bridge = new IsaBridge('bridge', wires, (i, l) => isa[i]!(l))
  const card = new PciFunction(
    'card',
    { vendor: 0x1af4, device: 0x1000, classCode: 0x020000, interruptPin: 1 },
    { ...wires, intx: bridge.input(0) },
    [
      { kind: 'io', size: 32, registers: post.registers },
      { kind: 'memory', size: 4096, registers: test.page },
      { kind: 'memory64', size: 1 << 20, registers: test.page },
    ],
  )
  card.addMsi(8)
  const msix = card.addMsix(70, 1, 0, 0x800)
  const host = hostBridge('host', wires)
  pci.attach(0, 0, host)
  pci.attach(1, 0, bridge.function)
  pci.attach(2, 0, card)
  const chips: Device[] = [master, slave, ioapic, ...lapics, pit, port61, hpet, cmos, uart, a20, i8042, port92, pm, fwcfg, test, post]
  chips.push(pci, host, bridge, bridge.function, card)
  // prettier-ignore
  const regions: [Registers, number][] = [
    [master.registers, 2], [master.elcr, 1], [slave.registers, 2], [slave.elcr, 1], [pit.registers, 4], [port61.registers, 1],
    [hpet.registers, 0x400], [hpet.registers, 0x160], [cmos.registers, 2], [uart.registers, 8], [i8042.dataPort, 1], [i8042.commandPort, 1],
    [port92.registers, 1], [pm.registers, 0x40], [pm.smiCommand, 2], [pm.resetControl, 1], [fwcfg.registers, 2], [test.exit, 4],
    [test.shutdown, 1], [test.echoPorts, 4], [test.flush, 4], [test.interrupts, 24], [test.page, 0x10000], [test.debug, 1],
    [post.registers, 1], [pci.registers, 8], [msix.table, 70 * 16], [msix.pending, 16], [ioapic.registers, 0x44],
    ...lapics.map((l): [Registers, number] => [l.registers, 0x400]),
  ]
  return { clock, chips, regions, lapics, uart, i8042, card, pm, note, hash: () => hash }
}
type Machine = ReturnType<typeof machine>

// prettier-ignore
const INTERESTING = [
  0, 1, 2, 3, 4, 6, 8, 0xb, 0x10, 0x11, 0x20, 0x36, 0x40, 0x61, 0x80, 0xff, 0x1ff, 0x4500,
  0x20040, 0x40040, 0xc4041, 0x80000800, 0x80001000, 0x80001010, 0xffffffff,
]

function step(m: Machine, random: (below: number) => number): void {
  const [registers, length] = m.regions[random(m.regions.length)]!
  const size = ([1, 2, 4] as const)[random(3)]!
  // Mostly inside and aligned, sometimes anywhere.
  let offset = random(16) === 0 ? random(2 ** 31) : random(length)
  if (random(4) > 0) offset &= ~(size - 1)
  const value = (random(2) === 0 ? INTERESTING[random(INTERESTING.length)]! : random(2 ** 32)) & (size === 4 ? -1 : (1 << (size * 8)) - 1)
  const lapic = m.lapics[random(3)]!
  switch (random(24)) {
    case 0: {
      const scale = 10 ** random(9)
      m.clock.advance(random(10) * scale)
      break
    }
    case 1:
      lapic.writeMsr([0x1b, 0x6e0, 0x800 + random(64)][random(3)]!, random(2) ? BigInt(value >>> 0) : 0xfee00000n | BigInt(random(16) << 8))
      break
    case 2:
      m.note(Number((lapic.readMsr(0x800 + random(256)) ?? 0n) & 0xffffn))
      break
    case 3: {
      const vector = lapic.pendingVector()
      if (vector >= 0) m.note(lapic.acknowledge())
      expect(vector).toBeLessThanOrEqual(EXTERNAL_INTERRUPT)
      if (random(2)) lapic.registers.write(0xb0, 4, 0)
      break
    }
    case 4:
      if (m.uart.backlog < 1000) m.uart.receive(Uint8Array.of(value & 0xff, 1, 2))
      m.i8042.keyPress([value & 0xff])
      m.i8042.mouseMove((value & 0xff) - 128, 3, value)
      break
    case 5:
      m.card.interrupt(random(80))
      m.card.intx(random(2) === 1)
      if (random(50) === 0) m.pm.pressPowerButton()
      break
    default:
      if (random(3) === 0) {
        const got = registers.read(offset, size)
        if (!(got >= 0 && got < 2 ** (8 * size) && Number.isInteger(got)))
          throw new Error(`read ${got} at ${offset.toString(16)} size ${size}`)
        m.note(got)
      } else registers.write(offset, size, value >>> 0)
  }
}

const copy = (s: SavedState): SavedState => JSON.parse(JSON.stringify(s)) as SavedState

/** One random leaf of a state replaced by something else. */
function damage(json: Json, random: (below: number) => number): Json {
  if (Array.isArray(json) && json.length > 0) {
    const n = random(json.length)
    return json.map((j, i) => (i === n ? damage(j, random) : j))
  }
  if (typeof json === 'object' && json !== null && !Array.isArray(json)) {
    const names = Object.keys(json)
    const name = names[random(names.length)]!
    return { ...json, [name]: damage(json[name]!, random) }
  }
  const other: Json[] = [null, -1, 0, 1, 3, 255, 65536, 2 ** 52, 1.5, true, '', 'AAAA', 'ffffffffffffffff', [], {}]
  return other[random(other.length)]!
}

describe('device registers under fuzz', () => {
  for (const seed of SEEDS) {
    it(`seed ${seed}: no throw, bounded alarms, deterministic, restorable`, () => {
      const run = (): { m: Machine; random: (below: number) => number } => {
        const m = machine()
        const random = xorshift(seed)
        for (let i = 0; i < STEPS; i++) step(m, random)
        return { m, random }
      }
      const a = run()
      const b = run()
      expect(b.m.hash()).toBe(a.m.hash())
      const states = a.m.chips.map((c) => copy(c.save()))
      expect(b.m.chips.map((c) => c.save())).toEqual(states)
      // Nine repeating alarms at most, none faster than every 1,024 cycles in the long run.
      expect(a.m.clock.fired).toBeLessThan((9 * a.m.clock.now()) / 1024 + STEPS * 4)
      const c = machine()
      c.clock.runTo(a.m.clock.now())
      for (const chip of c.chips) chip.reset()
      c.chips.forEach((chip, n) => chip.restore(states[n]!))
      expect(c.chips.map((chip) => chip.save())).toEqual(states)
      const again = xorshift(seed ^ 0x55)
      const same = xorshift(seed ^ 0x55)
      for (let i = 0; i < 3000; i++) {
        step(a.m, again)
        step(c, same)
      }
      expect(c.chips.map((chip) => chip.save())).toEqual(a.m.chips.map((chip) => chip.save()))
    })
  }

  it('refuses damaged states without change, or works on with those it takes', () => {
    const m = machine()
    const random = xorshift(4711)
    let refused = 0
    for (let i = 0; i < 3000; i++) {
      for (let n = 0; n < 5; n++) step(m, random)
      const chip = m.chips[random(m.chips.length)]!
      const before = copy(chip.save())
      try {
        chip.restore({ version: 1, fields: damage(before.fields, random) as SavedState['fields'] })
      } catch (e) {
        expect(e).toBeInstanceOf(StateError)
        expect(chip.save()).toEqual(before)
        refused++
      }
    }
    expect(refused).toBeGreaterThan(1000)
    for (const chip of m.chips) expect(() => chip.restore({ version: 77, fields: {} })).toThrow(StateError)
  })
})

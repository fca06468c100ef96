import { describe, expect, it } from 'vitest'
import { Bus } from '../../src-core/memory/bus.ts'
import type { Registers } from '../../src-core/memory/device.ts'
import { PciFunction } from '../../src-core/devices/pcifunction.ts'
import { hostBridge, PciHost } from '../../src-core/devices/pcihost.ts'
import { IsaBridge, powerManagement } from '../../src-core/devices/piix.ts'
import { probe } from './clock.ts'

function setUp() {
  const memory = new Bus('memory')
  const io = new Bus('ports')
  const messages: [number, number][] = []
  const intx = probe()
  const ports = { memory, io, message: (a: number, d: number) => messages.push([a, d]), intx: intx.line }
  const constant = (value: number): Registers => ({ read: () => value, write: () => {} })
  const host = new PciHost('pci', { read: () => 0x06, write: () => {} })
  io.map('pci', 0xcf8, 8, host.registers)
  host.attach(0, 0, hostBridge('pci.host', ports))
  const device = (id: string, base: number): PciFunction =>
    new PciFunction(id, { vendor: 0x1af4, device: 0x1041, classCode: 0x020000, interruptPin: 1 }, ports, [
      { kind: 'io', size: 0x20, registers: constant(base) },
      { kind: 'memory', size: 0x1000, registers: constant(base + 1) },
      { kind: 'memory64', size: 0x4000, prefetchable: true, registers: constant(base + 2) },
    ])
  const a = device('a', 0x10)
  const b = device('b', 0x20)
  host.attach(2, 0, a)
  host.attach(3, 0, b)
  const at = (slot: number, register: number): void => io.write(0xcf8, 4, (0x80000000 | (slot << 11) | (register & 0xfc)) >>> 0)
  const r = (slot: number, register: number, size: 1 | 2 | 4 = 4): number => {
    at(slot, register)
    return io.read(0xcfc + (register & 3), size)
  }
  const w = (slot: number, register: number, value: number, size: 1 | 2 | 4 = 4): void => {
    at(slot, register)
    io.write(0xcfc + (register & 3), size, value)
  }
  return { memory, io, messages, intx, ports, host, a, b, r, w }
}

describe('configuration mechanism #1 (PCI 2.2, 3.2.2.3.2)', () => {
  it('finds functions, reads ones elsewhere, and honours byte enables', () => {
    const { io, r, w } = setUp()
    expect(r(0, 0)).toBe(0x12378086)
    expect(r(2, 0)).toBe(0x10411af4)
    expect(r(5, 0)).toBe(0xffffffff)
    w(2, 0x3c, 0xab, 1)
    expect(r(2, 0x3c)).toBe(0x1ab)
    expect(r(2, 0x3d, 1)).toBe(1)
    io.write(0xcf8, 4, 0x00001000)
    expect(io.read(0xcfc, 4)).toBe(0xffffffff)
    expect(io.read(0xcf8, 4)).toBe(0x1000)
    expect(io.read(0xcf9, 1)).toBe(6)
    io.write(0xcf8, 4, 0x80011000) // bus 1
    expect(io.read(0xcfc, 4)).toBe(0xffffffff)
  })
})

describe('base addresses (PCI 2.2, 6.2.5)', () => {
  it('answers sizing', () => {
    const { r, w } = setUp()
    for (let n = 0; n < 6; n++) w(2, 0x10 + 4 * n, 0xffffffff)
    expect([0, 1, 2, 3, 4, 5].map((n) => r(2, 0x10 + 4 * n))).toEqual([0xffffffe1, 0xfffff000, 0xffffc00c, 0xffffffff, 0, 0])
  })

  it('maps by the command register and moves', () => {
    const { io, memory, r, w } = setUp()
    w(2, 0x10, 0xc000)
    w(2, 0x14, 0xe0000000)
    w(2, 0x18, 0)
    w(2, 0x1c, 0x80)
    expect(io.read(0xc000, 1)).toBe(0xff)
    w(2, 4, 3, 2)
    expect(io.read(0xc01f, 1)).toBe(0x10)
    expect(memory.read(0xe0000ffc, 4)).toBe(0x11)
    expect(memory.read(0x8000000000, 4)).toBe(0x12)
    w(2, 0x14, 0xe0010000)
    expect(memory.read(0xe0000000, 4)).toBe(0xffffffff)
    expect(memory.read(0xe0010000, 4)).toBe(0x11)
    w(2, 4, 1, 2)
    expect(memory.list()).toEqual([])
    expect(r(2, 4, 2)).toBe(1)
  })

  it('refuses an overlap and takes the place when it is free', () => {
    const { io, w, a, b } = setUp()
    w(2, 0x10, 0xcf0) // over the host bridge
    w(2, 4, 1, 2)
    expect(io.read(0xcf8, 4)).not.toBe(0x10)
    expect(a.mappedAt(0)).toBeUndefined()
    w(2, 0x10, 0xc000)
    w(3, 0x10, 0xc000)
    w(3, 4, 1, 2)
    expect(io.read(0xc000, 1)).toBe(0x10)
    w(2, 4, 0, 2)
    expect(io.read(0xc000, 1)).toBe(0x20)
    expect(b.mappedAt(0)).toBe(0xc000)
  })

  it('restores mappings, even those another function held', () => {
    const x = setUp()
    x.w(2, 0x10, 0xc000)
    x.w(2, 4, 1, 2)
    const y = setUp()
    y.w(3, 0x10, 0xc000)
    y.w(3, 4, 1, 2)
    y.a.restore(JSON.parse(JSON.stringify(x.a.save())))
    y.b.restore(JSON.parse(JSON.stringify(x.b.save())))
    expect(y.io.read(0xc000, 1)).toBe(0x10)
    expect(() => y.a.restore({ version: 1, fields: { config: 'AAAA' } })).toThrow('config')
  })
})

describe('interrupts', () => {
  it('drives INTx unless disabled', () => {
    const { a, intx, r, w } = setUp()
    a.intx(true)
    expect(intx.level).toBe(true)
    expect(r(2, 6, 2) & 8).toBe(8)
    w(2, 4, 0x400, 2)
    expect(intx.level).toBe(false)
    expect(r(2, 6, 2) & 8).toBe(8)
  })

  it('sends MSI with masks and pending bits (PCI 3.0, 6.8.1)', () => {
    const { a, messages, r, w } = setUp()
    a.addMsi(4)
    expect(r(2, 0x34, 1)).toBe(0x40)
    expect(r(2, 0x42, 2)).toBe(0x0184)
    expect(a.interrupt(0)).toBe(false)
    w(2, 4, 4, 2)
    w(2, 0x44, 0xfee00000)
    w(2, 0x4c, 0x40, 2)
    w(2, 0x42, 0x21, 2)
    expect(a.interrupt(3)).toBe(true)
    w(2, 0x50, 2)
    a.interrupt(1)
    expect(r(2, 0x54)).toBe(2)
    w(2, 0x50, 0)
    expect(messages).toEqual([
      [0xfee00000, 0x43],
      [0xfee00000, 0x41],
    ])
    expect(r(2, 0x54)).toBe(0)
  })

  it('sends MSI-X from its table (6.8.2)', () => {
    const { a, messages, r, w } = setUp()
    const msix = a.addMsix(3, 1, 0, 0x800)
    expect(r(2, 0x40)).toBe(0x00020011)
    expect(r(2, 0x48)).toBe(0x801)
    w(2, 4, 4, 2)
    w(2, 0x42, 0x8000, 2)
    msix.table.write(0x10, 4, 0xfee01003)
    expect(msix.table.read(0x10, 4)).toBe(0xfee01000)
    msix.table.write(0x18, 4, 0x55)
    a.interrupt(1)
    a.interrupt(7)
    expect(messages).toEqual([])
    expect(msix.pending.read(0, 4)).toBe(2)
    const saved = JSON.parse(JSON.stringify(a.save()))
    a.reset()
    expect(msix.pending.read(0, 4)).toBe(0)
    a.restore(saved)
    msix.table.write(0x1c, 4, 0)
    expect(messages).toEqual([[0xfee01000, 0x55]])
    w(2, 0x42, 0xc000, 2)
    a.interrupt(1)
    w(2, 0x42, 0x8000, 2)
    expect(messages.length).toBe(2)
  })

  it('routes PIRQs to ISA interrupts and to inputs of their own', () => {
    const { host, ports, r, w } = setUp()
    const isa: string[] = []
    const own: string[] = []
    const bridge = new IsaBridge(
      'isa',
      ports,
      (i, l) => isa.push(`${i} ${l}`),
      (n, l) => own.push(`${n} ${l}`),
    )
    host.attach(1, 0, bridge.function)
    host.attach(1, 3, powerManagement('pm', ports, 0x600))
    expect(r(1, 0)).toBe(0x70008086)
    expect(r(1, 0x60)).toBe(0x80808080)
    expect(host.attached.get(11)!.read(0x40, 4)).toBe(0x601)
    const first = bridge.input(1)
    const second = bridge.input(1)
    first(true)
    second(true)
    w(1, 0x61, 11, 1)
    first(false)
    w(1, 0x61, 5, 1)
    second(false)
    expect(isa).toEqual(['11 true', '5 true', '11 false', '5 false'])
    expect(own).toEqual(['1 true', '1 false'])
    w(1, 0x61, 2, 1)
    first(true)
    expect(isa.length).toBe(4)
    bridge.restore(JSON.parse(JSON.stringify(bridge.save())))
    first(false)
    expect(own.length).toBe(4)
  })
})

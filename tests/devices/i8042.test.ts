import { describe, expect, it } from 'vitest'
import { I8042 } from '../../src-core/devices/i8042.ts'
import { Port92 } from '../../src-core/devices/port92.ts'
import { Wire } from '../../src-core/devices/wire.ts'
import { probe } from './clock.ts'

function setUp() {
  const irq1 = probe()
  const irq12 = probe()
  const a20: boolean[] = []
  let resets = 0
  const kbd = new I8042('i8042', { irq1: irq1.line, irq12: irq12.line, a20: (l) => a20.push(l), resetPulse: () => resets++ })
  const data = (): number => kbd.dataPort.read(0, 1)
  const send = (v: number): void => kbd.dataPort.write(0, 1, v)
  const cmd = (v: number): void => kbd.commandPort.write(0, 1, v)
  const status = (): number => kbd.commandPort.read(0, 1)
  const drain = (): number[] => {
    const out: number[] = []
    while ((status() & 1) !== 0) out.push(data())
    return out
  }
  const aux = (v: number): number[] => {
    cmd(0xd4)
    send(v)
    return drain()
  }
  return { kbd, irq1, irq12, a20, resets: () => resets, data, send, cmd, status, drain, aux }
}

describe('8042', () => {
  it('answers the probe of a Linux i8042 driver', () => {
    const { cmd, send, drain, status, aux } = setUp()
    cmd(0xaa)
    expect(drain()).toEqual([0x55])
    cmd(0x20)
    const [ctr] = drain()
    cmd(0x60)
    send((ctr! & ~0x33) | 0x30)
    cmd(0xd3) // loop through the aux output buffer
    send(0x5a)
    expect(status() & 0x21).toBe(0x21)
    expect(drain()).toEqual([0x5a])
    cmd(0xa9)
    expect(drain()).toEqual([0])
    cmd(0xa7)
    cmd(0x20)
    expect(drain()[0]! & 0x20).toBe(0x20)
    cmd(0xa8)
    cmd(0x20)
    expect(drain()[0]! & 0x20).toBe(0)
    cmd(0xab)
    expect(drain()).toEqual([0])
    cmd(0xae)
    send(0xff)
    expect(drain()).toEqual([0xfa, 0xaa])
    send(0xf2)
    expect(drain()).toEqual([0xfa, 0xab, 0x41]) // 83H translated
    expect(aux(0xff)).toEqual([0xfa, 0xaa, 0])
    expect(aux(0xf2)).toEqual([0xfa, 0])
    expect(aux(0xe9)).toEqual([0xfa, 0, 2, 100])
  })

  it('translates keys to set 1 and interrupts for each byte', () => {
    const { kbd, irq1, cmd, send, data, drain } = setUp()
    cmd(0x60)
    send(0x41)
    kbd.keyPress([0x1c, 0xf0, 0x1c, 0xe0, 0x75])
    expect(irq1.level).toBe(true)
    expect(data()).toBe(0x1e)
    expect(irq1.edges).toBe(2)
    expect(drain()).toEqual([0x9e, 0xe0, 0x48])
    expect(irq1.level).toBe(false)
    cmd(0x60)
    send(0x01)
    kbd.keyPress([0x1c, 0xf0, 0x1c])
    expect(drain()).toEqual([0x1c, 0xf0, 0x1c])
    send(0xf0)
    send(0x01) // the keyboard itself sends set 1
    kbd.keyPress([0x1c, 0xf0, 0x1c])
    expect(drain()).toEqual([0xfa, 0xfa, 0x1e, 0x9e])
    send(0xf5)
    kbd.keyPress([0x1c])
    expect(drain()).toEqual([0xfa])
  })

  it('reports mouse movement on IRQ12 once enabled', () => {
    const { kbd, irq12, cmd, send, aux, status, drain } = setUp()
    cmd(0x60)
    send(0x03)
    kbd.mouseMove(5, 5, 0)
    expect(status() & 1).toBe(0)
    aux(0xf6)
    expect(aux(0xf4)).toEqual([0xfa])
    kbd.mouseMove(3, -2, 1)
    expect(irq12.level).toBe(true)
    expect(drain()).toEqual([0x29, 3, 0xfe])
  })

  it('drives A20 and the reset line by the output port and by pulses', () => {
    const { cmd, send, a20, resets, drain } = setUp()
    cmd(0xd1)
    send(0xdd)
    cmd(0xd1)
    send(0xdf)
    expect(a20).toEqual([false, true])
    cmd(0xd0)
    expect(drain()[0]! & 2).toBe(2)
    cmd(0xff)
    expect(resets()).toBe(0)
    cmd(0xfe)
    cmd(0xd1)
    send(0x02)
    expect(resets()).toBe(2)
  })

  it('keeps a bounded queue and restores it', () => {
    const a = setUp()
    for (let i = 0; i < 1000; i++) a.kbd.keyPress([0x1c])
    for (let i = 0; i < 1000; i++) a.send(0xf2)
    const b = setUp()
    b.kbd.restore(JSON.parse(JSON.stringify(a.kbd.save())))
    const got = b.drain()
    expect(got.length).toBeLessThan(80)
    expect(got).toEqual(a.drain())
  })
})

describe('port 92H and the A20 wire', () => {
  it('asserts while either input does, and resets on a rising edge of bit 0', () => {
    const out = probe()
    let resets = 0
    const wire = new Wire('a20', out.line)
    const port = new Port92('port92', wire.input(), () => resets++)
    const keyboard = wire.input()
    port.registers.write(0, 1, 2)
    keyboard(true)
    port.registers.write(0, 1, 0)
    expect(out.level).toBe(true)
    keyboard(false)
    expect(out.level).toBe(false)
    port.registers.write(0, 1, 1)
    port.registers.write(0, 1, 1)
    expect(resets).toBe(1)
    expect(() => wire.restore({ version: 1, fields: { inputs: [true] } })).toThrow('inputs')
  })
})

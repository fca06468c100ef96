import { describe, expect, it } from 'vitest'
import { Uart16550 } from '../../src-core/devices/uart16550.ts'
import { FakeClock, probe } from './clock.ts'

function setUp() {
  const clock = new FakeClock()
  const irq = probe()
  const sent: number[] = []
  const uart = new Uart16550('uart0', clock, irq.line, (b) => sent.push(b))
  const r = (n: number): number => uart.registers.read(n, 1)
  const w = (n: number, v: number): void => uart.registers.write(n, 1, v)
  return { clock, irq, sent, uart, r, w }
}
const bytes = (...b: number[]): Uint8Array => Uint8Array.from(b)

describe('16550A (PC16550D)', () => {
  it('sends at once and in order', () => {
    const { sent, r, w } = setUp()
    for (const c of 'boot') {
      expect(r(5) & 0x60).toBe(0x60)
      w(0, c.charCodeAt(0))
    }
    expect(String.fromCharCode(...sent)).toBe('boot')
  })

  it('raises THRE on enabling, clears it by reading IIR, raises it again after each byte', () => {
    const { irq, r, w } = setUp()
    w(4, 8)
    expect(r(2)).toBe(1)
    w(1, 2)
    expect(irq.level).toBe(true)
    expect(r(2)).toBe(2)
    expect(irq.level).toBe(false)
    expect(r(2)).toBe(1)
    w(0, 65)
    expect(irq.edges).toBe(2)
    w(0, 66)
    expect(irq.edges).toBe(3)
    w(1, 0)
    w(1, 2)
    expect(r(2)).toBe(2)
  })

  it('interrupts at the trigger level, or after four character times', () => {
    const { clock, irq, uart, r, w } = setUp()
    w(3, 3)
    w(2, 0x81) // trigger 8
    w(1, 1)
    w(4, 8)
    uart.receive(bytes(1, 2, 3, 4, 5, 6, 7))
    expect(irq.level).toBe(false)
    const characters = (4 * 10) / 9600
    clock.seconds(characters * 0.9)
    expect(irq.level).toBe(false)
    clock.seconds(characters * 0.2)
    expect(r(2)).toBe(0xcc)
    expect(r(0)).toBe(1)
    expect(r(2)).toBe(0xc1)
    uart.receive(bytes(8, 9))
    expect(r(2)).toBe(0xc4)
    expect([r(0), r(0), r(0), r(0), r(0), r(0), r(0), r(0)]).toEqual([2, 3, 4, 5, 6, 7, 8, 9])
    expect(r(5)).toBe(0x60)
    expect(irq.level).toBe(false)
  })

  it('loses nothing of a long host input', () => {
    const { uart, r, w } = setUp()
    w(2, 1)
    const data = Uint8Array.from({ length: 5000 }, (_, i) => i & 0xff)
    uart.receive(data.subarray(0, 3000))
    uart.receive(data.subarray(3000))
    expect(uart.backlog).toBe(4984)
    const got: number[] = []
    while ((r(5) & 1) !== 0) got.push(r(0))
    expect(got).toEqual([...data])
  })

  it('loops back data and modem lines, and reports overrun (8.6.7)', () => {
    const { sent, uart, r, w } = setUp()
    expect(r(6)).toBe(0xb0)
    w(4, 0x10)
    expect(r(6) & 0xf0).toBe(0)
    r(6)
    w(4, 0x1a)
    expect(r(6)).toBe(0x99)
    expect(r(6)).toBe(0x90)
    w(3, 3)
    w(0, 0x5a)
    expect(sent).toEqual([])
    uart.receive(bytes(0x77))
    expect(r(5)).toBe(0x61)
    w(0, 0xa5)
    expect(r(5)).toBe(0x63)
    expect(r(5)).toBe(0x61)
    expect(r(0)).toBe(0xa5)
    w(4, 0)
    expect(r(0)).toBe(0x77)
    r(6)
    w(4, 0x10)
    r(6)
    w(4, 0x14) // OUT1 to RI: only the trailing edge counts
    expect(r(6)).toBe(0x40)
    w(4, 0x10)
    expect(r(6)).toBe(0x04)
  })

  it('puts line status above data above THRE above modem status (table II)', () => {
    const { uart, r, w } = setUp()
    w(1, 0xf)
    w(4, 8)
    uart.receiveBreak()
    uart.modemLines(false, true, false, true)
    expect(r(2)).toBe(6)
    expect(r(5) & 0x11).toBe(0x11)
    expect(r(2)).toBe(4)
    r(0)
    expect(r(2)).toBe(2)
    expect(r(2)).toBe(0)
    expect(r(6)).toBe(0xa1)
    expect(r(2)).toBe(1)
  })

  it('has a divisor behind DLAB, a scratch register, and OUT2 as interrupt gate', () => {
    const { irq, r, w } = setUp()
    w(3, 0x83)
    w(0, 1)
    w(1, 2)
    expect([r(0), r(1)]).toEqual([1, 2])
    w(3, 3)
    expect(r(1)).toBe(0)
    w(7, 0x5c)
    expect(r(7)).toBe(0x5c)
    w(1, 2)
    expect(irq.level).toBe(false)
    w(4, 8)
    expect(irq.level).toBe(true)
  })

  it('goes on after save and restore with the FIFO half full and the timeout running', () => {
    const a = setUp()
    a.w(2, 0xc1)
    a.w(1, 1)
    a.w(4, 8)
    a.uart.receive(Uint8Array.from({ length: 5 }, (_, i) => i))
    const saved = JSON.parse(JSON.stringify(a.uart.save()))
    const b = setUp()
    b.uart.restore(saved)
    b.clock.seconds(0.01)
    expect(b.irq.level).toBe(true)
    expect([b.r(2), b.r(0), b.r(0)]).toEqual([0xcc, 0, 1])
    expect(() => b.uart.restore({ version: 2, fields: {} })).toThrow('version')
    expect(() => b.uart.restore({ version: 1, fields: { ...saved.fields, waiting: '***' } })).toThrow('waiting')
    expect(b.r(0)).toBe(2)
  })
})

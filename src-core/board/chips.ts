// The board's wires: which chip answers where, and which line ends at which interrupt input (82371SB, 82093AA; layout.ts).
//
//   chip ──line n──┬── 8259 input n ── INTR ── LINT0 of every LAPIC
//                  └── IOAPIC input n (IRQ 0 at input 2) ── messages ── LAPICs
//   PIRQA–D ───────┬── IOAPIC inputs 16–19
//                  └── ISA bridge ── 8259 inputs by PIRQRC

import { AcpiPm, PM_LENGTH } from '../devices/acpipm.ts'
import { ApicBus } from '../devices/apicbus.ts'
import { Cmos } from '../devices/cmos.ts'
import { FwCfg, littleEndian } from '../devices/fwcfg.ts'
import { Hpet } from '../devices/hpet.ts'
import { I8042 } from '../devices/i8042.ts'
import { IoApic, IOAPIC_INPUTS } from '../devices/ioapic.ts'
import { hostBridge, PciHost } from '../devices/pcihost.ts'
import type { PciFunction, PciPorts } from '../devices/pcifunction.ts'
import { Pic8259 } from '../devices/pic8259.ts'
import { IsaBridge, powerManagement } from '../devices/piix.ts'
import { Pit8254 } from '../devices/pit8254.ts'
import { Port61 } from '../devices/port61.ts'
import { Port80 } from '../devices/port80.ts'
import { Port92 } from '../devices/port92.ts'
import { TestPorts } from '../devices/testports.ts'
import { Uart16550 } from '../devices/uart16550.ts'
import { Wire } from '../devices/wire.ts'
import type { Bus } from '../memory/bus.ts'
import type { Clock, Device, Line } from '../memory/device.ts'
import type { BoardConfig } from './config.ts'
import { CMOS_CENTURY, HPET, IOAPIC, IOAPIC_ID, IRQ, MIB, PIRQ_GSI, PIRQ_ISA, PIT_GSI, PORT, POWER, SERIAL, SERIAL_LENGTH, TEST_DEVICE_MEMORY } from './layout.ts'

/** What the chips tell the machine around them. */
export interface ChipOutputs {
  /** A byte leaves COM `port` (0…3). */
  readonly serial: (port: number, byte: number) => void
  readonly debug: (byte: number) => void
  readonly powerOff: () => void
  readonly reset: () => void
  /** Port F4H. */
  readonly exit: (code: number) => void
  /** INTR of the 8259 pair. */
  readonly intr: Line
}

export interface Chips {
  readonly apicBus: ApicBus
  readonly ioapic: IoApic
  readonly serial: readonly Uart16550[]
  readonly keyboard: I8042
  readonly power: AcpiPm
  readonly pci: PciHost
  /** The 8259 pair's INTA cycle. */
  readonly readPic: () => number
  /** After the chips' states were restored: the wires that follow from them. */
  readonly restored: () => void
  /** All chips, in the order of save and restore. */
  readonly devices: readonly Device[]
}

/** Builds and maps the chips of a board. `epoch`: seconds since 1970 that the clock chip shows at power-on. */
export function buildChips(config: BoardConfig, clock: Clock, io: Bus, memory: Bus, epoch: number, out: ChipOutputs): Chips {
  const apicBus = new ApicBus()
  const ioapic = new IoApic('ioapic', IOAPIC_ID, (message) => apicBus.send(message))
  apicBus.onEoi((vector) => ioapic.eoi(vector))

  const slave = new Pic8259('pic2', (level) => master.line(IRQ.cascade)(level))
  const master: Pic8259 = new Pic8259('pic1', out.intr, (input) => (input === IRQ.cascade ? slave.acknowledge() : undefined))

  // One wired-or per interrupt number, so that several chips may share it.
  const wires = Array.from({ length: IOAPIC_INPUTS }, (_, n) => {
    const pins: Line[] = [ioapic.line(n === IRQ.pit ? PIT_GSI : n === PIT_GSI ? IRQ.pit : n)]
    if (n < 8 && n !== IRQ.cascade) pins.push(master.line(n))
    else if (n >= 8 && n < 16) pins.push(slave.line(n - 8))
    return new Wire(`irq${n}`, (level) => {
      for (const pin of pins) pin(level)
    })
  })
  const irq = (n: number): Line => wires[n]!.input()

  // While the HPET stands in for them, the 8254 and the clock chip are off their inputs.
  let legacyReplaced = false
  const unlessReplaced = (line: Line): Line => (level) => line(level && !legacyReplaced)
  const pit = new Pit8254('pit', clock, [unlessReplaced(irq(IRQ.pit)), undefined, undefined])
  const port61 = new Port61('port61', clock, { gate: (level) => pit.gate(2, level), output: () => pit.output(2) })
  const cmos = new Cmos('cmos', clock, unlessReplaced(irq(IRQ.rtc)), epoch, cmosContents(config))
  const hpet = new Hpet('hpet', clock, {
    routes: Array.from({ length: IOAPIC_INPUTS }, (_, n) => (n >= 20 ? irq(n) : undefined)),
    legacyTimer: irq(IRQ.pit),
    legacyClock: irq(IRQ.rtc),
    message: apicBus.message,
    legacyChanged: (level) => {
      legacyReplaced = level
    },
  })
  const serial = SERIAL.map((s, n) => new Uart16550(`uart${n}`, clock, irq(s.irq), (byte) => out.serial(n, byte)))
  const keyboard = new I8042('i8042', { irq1: irq(IRQ.keyboard), irq12: irq(IRQ.mouse), a20: () => {}, resetPulse: out.reset })
  const power = new AcpiPm('acpipm', clock, { sci: irq(IRQ.sci), sleep: (type) => (type === 0 ? out.powerOff() : undefined), reset: out.reset }, true)
  const port80 = new Port80('port80')
  const port92 = new Port92('port92', () => {}, out.reset)
  const fwcfg = new FwCfg('fwcfg', firmwareItems(config))
  const test = new TestPorts('testports', {
    exit: out.exit,
    shutdown: out.powerOff,
    debug: out.debug,
    lines: Array.from({ length: IOAPIC_INPUTS }, (_, n) => irq(n)),
  })

  const isaLines = Array.from({ length: 16 }, (_, n) => irq(n))
  const pirqLines = PIRQ_GSI.map((gsi) => irq(gsi))
  const ports = (intx: Line): PciPorts => ({ io, memory, intx, message: apicBus.message })
  const isa = new IsaBridge('isabridge', ports(() => {}), (n, level) => isaLines[n]!(level), (n, level) => pirqLines[n]!(level))
  const pci = new PciHost('pcihost', power.resetControl)
  const bridge = hostBridge('hostbridge', ports(() => {}))
  const pm = powerManagement('pm', ports(isa.input(0)), POWER.pm1Event)
  PIRQ_ISA.forEach((interrupt, n) => (isa.function.config[0x60 + n] = interrupt))
  isa.function.keep()
  const functions: readonly [number, number, PciFunction][] = [[0, 0, bridge], [1, 0, isa.function], [1, 3, pm]]
  for (const [device, number, f] of functions) pci.attach(device, number, f)

  io.map('8259 master', PORT.pic1, 2, master.registers)
  io.map('8259 slave', PORT.pic2, 2, slave.registers)
  io.map('ELCR master', PORT.elcr1, 1, master.elcr)
  io.map('ELCR slave', PORT.elcr2, 1, slave.elcr)
  io.map('8254', PORT.pit, 4, pit.registers)
  io.map('system control B', PORT.systemControlB, 1, port61.registers)
  io.map('keyboard data', PORT.keyboardData, 1, keyboard.dataPort)
  io.map('keyboard command', PORT.keyboardCommand, 1, keyboard.commandPort)
  io.map('CMOS', PORT.cmosIndex, 2, cmos.registers)
  io.map('POST', PORT.debug, 1, port80.registers)
  io.map('system control A', PORT.systemControlA, 1, port92.registers)
  SERIAL.forEach((s, n) => io.map(`COM${n + 1}`, s.port, SERIAL_LENGTH, serial[n]!.registers))
  io.map('ACPI', POWER.pm1Event, PM_LENGTH, power.registers)
  io.map('PCI configuration', PORT.pciAddress, 8, pci.registers)
  io.map('firmware configuration', PORT.firmwareSelector, 2, fwcfg.registers)
  io.map('test exit', PORT.testExit, 4, test.exit)
  io.map('test echo', PORT.testEcho, 4, test.echoPorts)
  io.map('test flush', PORT.testFlush, 4, test.flush)
  io.map('debug console', 0xe9, 1, test.debug)
  io.map('test interrupts', PORT.testInterrupts, IOAPIC_INPUTS, test.interrupts)
  io.map('test shutdown', PORT.shutdownText, 1, test.shutdown)
  memory.map('IOAPIC', IOAPIC.address, IOAPIC.length, ioapic.registers)
  memory.map('HPET', HPET.address, HPET.length, hpet.registers)
  memory.map('test memory', TEST_DEVICE_MEMORY.address, TEST_DEVICE_MEMORY.length, test.page)

  const restored = (): void => {
    legacyReplaced = hpet.legacyRouting
  }
  const devices: Device[] = [
    ...wires, ioapic, master, slave, pit, port61, cmos, hpet, ...serial, keyboard, power, port80, port92, fwcfg, test, isa, pci, bridge, isa.function, pm,
  ]
  return { apicBus, ioapic, serial, keyboard, power, pci, readPic: () => master.acknowledge(), restored, devices }
}

function firmwareItems(config: BoardConfig): Map<number, Uint8Array> {
  const processors = config.processors.length
  return new Map([
    [0x03, littleEndian(config.megabytes * MIB, 8)],
    [0x05, littleEndian(processors, 2)],
    [0x0f, littleEndian(processors, 2)],
    [0x11, littleEndian(0, 4)],
  ])
}

/** Memory sizes as firmware leaves them (IBM PC AT; 15H–18H, 30H, 31H in KiB, 34H, 35H in 64 KiB above 16 MiB). */
function cmosContents(config: BoardConfig): [number, number][] {
  const below = config.ranges.filter((r) => r.start < 4096 * MIB).reduce((top, r) => Math.max(top, r.start + r.length), 0)
  const extended = Math.min(65535, (below - MIB) / 1024)
  const above16 = Math.max(0, Math.min(65535, Math.floor((below - 16 * MIB) / 65536)))
  return [
    [0x15, 640 & 0xff], [0x16, 640 >> 8],
    [0x17, extended & 0xff], [0x18, extended >> 8], [0x30, extended & 0xff], [0x31, extended >> 8],
    [0x34, above16 & 0xff], [0x35, above16 >> 8],
    [CMOS_CENTURY, 0x20],
  ]
}

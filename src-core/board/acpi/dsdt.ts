// The board as a namespace: processors, the PCI root with its windows and interrupt wires, and the chips of a PC (ACPI 6.5 5.2.11.1).
// Does not model: power states of devices, hot-plug, thermal zones.

import type { BoardConfig } from '../config.ts'
import * as L from '../layout.ts'
import * as A from './aml.ts'
import type { Aml } from './aml.ts'
import * as R from './resources.ts'
import { table, TableWriter } from './table.ts'

export function dsdt(config: BoardConfig): Uint8Array {
  const terms = [
    A.name('\\PICF', A.integer(0)),
    A.method('\\_PIC', 1, A.store(A.argument(0), A.path('PICF'))), // 5.8.1: 0 with the 8259s, 1 with APICs
    A.name('\\_S5', A.packageOf(...[L.SLEEP_TYPE_S5, L.SLEEP_TYPE_S5, 0, 0].map(A.integer))),
    A.scope(
      '\\_SB',
      ...processors(config),
      A.device('PCI0', ...hostBridge(), A.device('ISA', A.name('_ADR', A.integer(0x10000)), ...chips())),
      board(),
    ),
  ]
  return table('DSDT', 2, new TableWriter().raw(terms.flatMap((t) => [...t])))
}

function processors(config: BoardConfig): Aml[] {
  return config.processors.map((p) =>
    A.device(
      `C${p.index.toString(16).toUpperCase().padStart(3, '0')}`,
      A.name('_HID', A.string('ACPI0007')),
      A.name('_UID', A.integer(p.index)),
      A.name('_PXM', A.integer(p.node)),
    ),
  )
}

function hostBridge(): Aml[] {
  const { PCI_MEMORY, PCI_MEMORY_HIGH, PORT, VIDEO_WINDOW } = L
  return [
    A.name('_HID', A.eisaId('PNP0A03')),
    A.name('_UID', A.integer(0)),
    A.name('_BBN', A.integer(0)),
    A.name(
      '_CRS',
      R.resourceTemplate(
        R.busNumbers(0, 255),
        R.io(PORT.pciAddress, 8),
        R.ioWindow(0, PORT.pciAddress - 1),
        R.ioWindow(PORT.pciAddress + 8, 0xffff),
        R.memoryWindow(VIDEO_WINDOW.address, VIDEO_WINDOW.length),
        R.memoryWindow(PCI_MEMORY.address, PCI_MEMORY.length),
        R.memoryWindow(PCI_MEMORY_HIGH.address, PCI_MEMORY_HIGH.length),
      ),
    ),
    A.name('PRTA', wires(L.PIRQ_GSI)),
    A.name('PRTP', wires(L.PIRQ_ISA)),
    A.method('_PRT', 0, A.ifThen(A.equal(A.path('PICF'), A.integer(1)), A.returnValue(A.path('PRTA'))), A.returnValue(A.path('PRTP'))),
  ]
}

/** _PRT (6.2.13): slot << 16 | FFFFH, pin, no link device, interrupt number of that PIRQ wire. */
function wires(interrupts: readonly number[]): Aml {
  const rows: Aml[] = []
  for (let slot = 0; slot < 32; slot++)
    for (let pin = 0; pin < 4; pin++) {
      const row = [slot * 0x10000 + 0xffff, pin, 0, interrupts[L.pirqOf(slot, pin)]!]
      rows.push(A.packageOf(...row.map(A.integer)))
    }
  return A.packageOf(...rows)
}

function chips(): Aml[] {
  const { PORT, IRQ } = L
  const chip = (name: string, id: string, ...resources: Aml[]) =>
    A.device(name, A.name('_HID', A.eisaId(id)), A.name('_CRS', R.resourceTemplate(...resources)))
  return [
    chip('PIC', 'PNP0000', R.io(PORT.pic1, 2), R.io(PORT.pic2, 2), R.io(PORT.elcr1, 2), R.irq(IRQ.cascade)),
    chip('TMR', 'PNP0100', R.io(PORT.pit, 4), R.irq(IRQ.pit)),
    chip('SPKR', 'PNP0800', R.io(PORT.systemControlB, 1)),
    chip('RTC', 'PNP0B00', R.io(PORT.cmosIndex, 2), R.irq(IRQ.rtc)),
    chip('KBD', 'PNP0303', R.io(PORT.keyboardData, 1), R.io(PORT.keyboardCommand, 1), R.irq(IRQ.keyboard)),
    chip('MOU', 'PNP0F13', R.irq(IRQ.mouse)),
    ...L.SERIAL.map((s, i) =>
      A.device(
        `COM${i + 1}`,
        A.name('_HID', A.eisaId('PNP0501')),
        A.name('_UID', A.integer(i + 1)),
        A.name('_CRS', R.resourceTemplate(R.io(s.port, L.SERIAL_LENGTH), R.irq(s.irq))),
      ),
    ),
    A.device(
      'HPET',
      A.name('_HID', A.eisaId('PNP0103')),
      A.name('_CRS', R.resourceTemplate(R.memoryFixed(L.HPET.address, L.HPET.length, false))),
    ),
  ]
}

/** Resources of the board itself, so that nothing else is put there (PNP0C02). */
function board(): Aml {
  return A.device(
    'MBRD',
    A.name('_HID', A.eisaId('PNP0C02')),
    A.name(
      '_CRS',
      R.resourceTemplate(
        R.io(L.POWER.pm1Event, 0x10),
        R.memoryFixed(L.IOAPIC.address, L.IOAPIC.length, true),
        R.memoryFixed(L.LAPIC.address, L.LAPIC.length, true),
      ),
    ),
  )
}

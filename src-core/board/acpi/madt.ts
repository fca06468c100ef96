// Interrupt controllers: MADT revision 5 (ACPI 6.5 5.2.12).
// Does not model: x2APIC entries (all APIC ids are below 255), NMI sources, interrupt translation.

import type { BoardConfig } from '../config.ts'
import { IOAPIC, IOAPIC_ID, IRQ, LAPIC, PIT_GSI } from '../layout.ts'
import { table, TableWriter } from './table.ts'

const PCAT_COMPAT = 1
const ENABLED = 1
const ALL_PROCESSORS = 0xff

// MPS INTI flags: bits 1:0 polarity (1 high, 3 low), bits 3:2 trigger (1 edge, 3 level); 0 as the bus says
const AS_BUS = 0x0
const LEVEL_HIGH = 0xd

export function madt(config: BoardConfig): Uint8Array {
  const w = new TableWriter().u32(LAPIC.address, PCAT_COMPAT)
  for (const p of config.processors) w.u8(0, 8, p.index, p.apicId).u32(ENABLED)
  w.u8(1, 12, IOAPIC_ID, 0).u32(IOAPIC.address, 0)
  w.u8(2, 10, 0, IRQ.pit).u32(PIT_GSI).u16(AS_BUS)
  w.u8(2, 10, 0, IRQ.sci).u32(IRQ.sci).u16(LEVEL_HIGH)
  w.u8(4, 6, ALL_PROCESSORS).u16(AS_BUS).u8(1) // NMI on LINT1
  return table('APIC', 5, w)
}

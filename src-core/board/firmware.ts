// What firmware leaves in memory before it starts a guest: the BIOS data area's few words that systems still read,
// and the ACPI tables. IBM PC AT Technical Reference, "ROM BIOS data areas"; ACPI 6.5 5.2.
// Does not model: interrupt vectors into a ROM, MP tables, SMBIOS.

import { acpiTables } from './acpi/tables.ts'
import type { BoardConfig } from './config.ts'
import { BIOS_DATA_AREA, BOOT_AREA, EBDA, KIB, SERIAL } from './layout.ts'
import { memoryMap, type MemoryMapEntry } from './memory-map.ts'

export interface Firmware {
  /** Bytes to be in DRAM before the loader's, at guest-physical addresses. */
  readonly segments: readonly { address: number; data: Uint8Array; length: number }[]
  readonly map: readonly MemoryMapEntry[]
  /** Physical address of the RSDP. */
  readonly rsdp: number
  /** Low memory a loader may fill with what it passes to the guest. */
  readonly bootArea: { readonly address: number; readonly length: number }
}

//   400 serial port bases, 4 words │ 40E segment of the EBDA │ 410 equipment │ 413 KiB of base memory
function biosDataArea(): Uint8Array {
  const data = new Uint8Array(0x100)
  const view = new DataView(data.buffer)
  for (const [i, s] of SERIAL.entries()) view.setUint16(i * 2, s.port, true)
  view.setUint16(0x0e, EBDA.address >> 4, true)
  view.setUint16(0x10, (SERIAL.length << 9) | 0x0006, true)
  view.setUint16(0x13, EBDA.address / KIB, true)
  return data
}

/** Everything a guest may expect to find, for one board. */
export function firmware(config: BoardConfig): Firmware {
  const { tables, rsdp } = acpiTables(config)
  const ebda = new Uint8Array([EBDA.length / KIB])
  const bda = biosDataArea()
  return {
    segments: [
      { address: BIOS_DATA_AREA, data: bda, length: bda.length },
      { address: EBDA.address, data: ebda, length: ebda.length },
      ...tables.map((t) => ({ ...t, length: t.data.length })),
    ],
    map: memoryMap(config.ranges),
    rsdp,
    bootArea: BOOT_AREA,
  }
}

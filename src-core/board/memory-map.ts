// What firmware would answer to INT 15H E820H: DRAM less what the board keeps for itself (ACPI 6.5 15.4, table 15.4).
// Does not model: address ranges of chips (they are in the DSDT).

import type { DramRange } from '../memory/physical.ts'
import { ACPI_TABLES, BIOS_RESERVED, EBDA } from './layout.ts'

const AddressRange = { memory: 1, reserved: 2, acpi: 3, nvs: 4 } as const

export interface MemoryMapEntry {
  readonly address: number
  readonly length: number
  /** 1 usable, 2 reserved, 3 ACPI tables. */
  readonly type: 1 | 2 | 3 | 4
}

interface Kept {
  readonly address: number
  readonly length: number
  readonly type: 2 | 3
}

const kept: readonly Kept[] = [
  { ...EBDA, type: AddressRange.reserved },
  { address: 0xc0000, length: 0x20000, type: AddressRange.reserved },
  { ...ACPI_TABLES, type: AddressRange.acpi },
  { ...BIOS_RESERVED, type: AddressRange.reserved },
]

/** Entries in address order, disjoint, neighbours of one type joined. */
export function memoryMap(ranges: readonly DramRange[]): MemoryMapEntry[] {
  const out: MemoryMapEntry[] = []
  const add = (address: number, end: number, type: MemoryMapEntry['type']) => {
    if (end <= address) return
    const last = out[out.length - 1]
    if (last && last.type === type && last.address + last.length === address) out[out.length - 1] = { ...last, length: end - last.address }
    else out.push({ address, length: end - address, type })
  }
  for (const r of ranges) {
    const end = r.start + r.length
    let at = r.start
    for (const k of kept) {
      const from = Math.max(at, k.address)
      const to = Math.min(end, k.address + k.length)
      if (to <= from) continue
      add(at, from, AddressRange.memory)
      add(from, to, k.type)
      at = to
    }
    add(at, end, AddressRange.memory)
  }
  return out
}

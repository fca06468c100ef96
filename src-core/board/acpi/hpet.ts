// Where the high-precision event timer is (IA-PC HPET Specification 1.0a, 3.2.4).

import { HPET, HPET_CAPABILITIES, HPET_MINIMUM_TICK } from '../layout.ts'
import { table, TableWriter } from './table.ts'

const NO_PAGE_PROTECTION = 0

export function hpet(): Uint8Array {
  const w = new TableWriter().u32(HPET_CAPABILITIES)
  w.u8(0, 64, 0, 0).u64(HPET.address) // generic address: system memory, 64 bits
  w.u8(0).u16(HPET_MINIMUM_TICK).u8(NO_PAGE_PROTECTION)
  return table('HPET', 1, w)
}

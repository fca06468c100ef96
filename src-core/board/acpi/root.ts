// The way in: RSDP, RSDT (for systems that only know 32-bit pointers) and XSDT (ACPI 6.5 5.2.5.3, 5.2.7, 5.2.8).

import { checksum, OEM, table, TableWriter } from './table.ts'

/** Revision 2, 36 bytes: the first 20 and the whole each sum to 0. */
export function rootPointer(rsdtAddress: number, xsdtAddress: number): Uint8Array {
  const w = new TableWriter().text('RSD PTR ', 8).u8(0).text(OEM.id, 6).u8(2).u32(rsdtAddress).u32(36).u64(xsdtAddress).u8(0).zeros(3)
  const data = w.take()
  data[8] = checksum(data.subarray(0, 20))
  data[32] = checksum(data)
  return data
}

export function rsdt(addresses: readonly number[]): Uint8Array {
  return table('RSDT', 1, new TableWriter().u32(...addresses))
}

export function xsdt(addresses: readonly number[]): Uint8Array {
  return table('XSDT', 1, new TableWriter().u64(...addresses))
}

// All ACPI tables of one board, placed: the RSDP where systems scan for it, the others behind it (ACPI 6.5 5.2.5).

import type { BoardConfig } from '../config.ts'
import { ACPI_TABLES, FACS_ADDRESS } from '../layout.ts'
import { dsdt } from './dsdt.ts'
import { facs, fadt } from './fadt.ts'
import { hmat } from './hmat.ts'
import { hpet } from './hpet.ts'
import { madt } from './madt.ts'
import { rootPointer, rsdt, xsdt } from './root.ts'
import { slit } from './slit.ts'
import { srat } from './srat.ts'

export interface PlacedTable {
  readonly signature: string
  readonly address: number
  readonly data: Uint8Array
}

/** Tables in address order and the RSDP's physical address. */
export function acpiTables(config: BoardConfig): { tables: PlacedTable[]; rsdp: number } {
  const tables: PlacedTable[] = []
  const rsdp = ACPI_TABLES.address
  let next = rsdp + 64
  const place = (signature: string, data: Uint8Array): number => {
    const address = next
    next = (next + data.length + 63) & ~63
    if (next > ACPI_TABLES.address + ACPI_TABLES.length) throw new RangeError('the ACPI tables do not fit their region')
    tables.push({ signature, address, data })
    return address
  }
  const dsdtAddress = place('DSDT', dsdt(config))
  const entries = [
    place('FACP', fadt(dsdtAddress, FACS_ADDRESS)),
    place('APIC', madt(config)),
    place('HPET', hpet()),
    place('SRAT', srat(config)),
    place('SLIT', slit(config)),
    place('HMAT', hmat(config)),
  ]
  const rsdtAddress = place('RSDT', rsdt(entries))
  const xsdtAddress = place('XSDT', xsdt(entries))
  tables.unshift({ signature: 'RSD PTR ', address: rsdp, data: rootPointer(rsdtAddress, xsdtAddress) })
  tables.push({ signature: 'FACS', address: FACS_ADDRESS, data: facs() })
  return { tables, rsdp }
}

// Relative distances between nodes: SLIT (ACPI 6.5 5.2.17), one byte a pair, 10 for local.

import type { BoardConfig } from '../config.ts'
import { table, TableWriter } from './table.ts'

export function slit(config: BoardConfig): Uint8Array {
  const { distances } = config.topology
  const w = new TableWriter().u64(distances.length)
  for (const row of distances) w.u8(...row)
  return table('SLIT', 1, w)
}

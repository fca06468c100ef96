// Latency and bandwidth between processors' and memories' nodes: HMAT revision 2 (ACPI 6.5 5.2.28).
// Does not model: memory-side caches.

import type { BoardConfig } from '../config.ts'
import { table, TableWriter } from './table.ts'

const INITIATOR_VALID = 1
const DataType = { accessLatency: 0, accessBandwidth: 3 } as const
/** Entries 0 and FFFFH have meanings of their own. */
const LARGEST_ENTRY = 0xfffe

export function hmat(config: BoardConfig): Uint8Array {
  const { topology } = config
  const targets = topology.nodes.map((_, n) => n)
  const initiators = targets.filter((n) => config.processors.some((p) => p.node === n))
  const w = new TableWriter().u32(0)
  for (const n of targets) {
    const valid = initiators.includes(n)
    w.u16(0, 0)
      .u32(40)
      .u16(valid ? INITIATOR_VALID : 0, 0)
      .u32(valid ? n : 0, n, 0)
      .u64(0, 0)
  }
  const picoseconds = topology.latency.map((row) => row.map((ns) => ns * 1000))
  for (const [type, matrix, unit] of [
    [DataType.accessLatency, picoseconds, 100],
    [DataType.accessBandwidth, topology.bandwidth, 1],
  ] as const) {
    const base = baseUnit(matrix, unit)
    w.u16(1, 0).u32(32 + 4 * (initiators.length + targets.length) + 2 * initiators.length * targets.length)
    w.u8(0, type, 0, 0)
      .u32(initiators.length, targets.length, 0)
      .u64(base)
      .u32(...initiators, ...targets)
    for (const i of initiators) for (const t of targets) w.u16(Math.max(1, Math.round(matrix[i]![t]! / base)))
  }
  return table('HMAT', 2, w)
}

/** `unit` times the power of ten by which the largest entry fits 16 bits. */
function baseUnit(matrix: readonly (readonly number[])[], unit: number): number {
  const largest = Math.max(...matrix.flat())
  let base = unit
  while (Math.round(largest / base) > LARGEST_ENTRY) base *= 10
  return base
}

// Which processor and which memory are in which proximity domain: SRAT revision 3 (ACPI 6.5 5.2.16).
// A domain's number is its node's.

import type { BoardConfig } from '../config.ts'
import { SHADOW_RAM, VIDEO_WINDOW } from '../layout.ts'
import { table, TableWriter } from './table.ts'

const ENABLED = 1

export function srat(config: BoardConfig): Uint8Array {
  const w = new TableWriter().u32(1).zeros(8)
  for (const p of config.processors) w.u8(0, 16, p.node, p.apicId).u32(ENABLED).u8(0, 0, 0, 0).u32(0)
  for (const r of affinities(config)) w.u8(1, 40).u32(r.node).u16(0).u64(r.start, r.length).u32(0, ENABLED).zeros(8)
  return table('SRAT', 3, w)
}

/** DRAM ranges with the two sides of the video window as one. */
function affinities(config: BoardConfig): { start: number; length: number; node: number }[] {
  const out: { start: number; length: number; node: number }[] = []
  for (const r of config.ranges) {
    const last = out[out.length - 1]
    if (last && r.start === SHADOW_RAM && last.node === r.node && last.start + last.length === VIDEO_WINDOW.address)
      last.length = r.start + r.length - last.start
    else out.push({ ...r })
  }
  return out
}

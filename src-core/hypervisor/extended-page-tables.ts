// The EPT of one VM: four levels, 4-KiB pages, built as pages are touched (SDM 3C 28.2.2, 24.6.11).
//
//   47 ── 39 ── 30 ── 21 ── 12 ── 0      entry: 51:12 frame │ 5:3 memory type (leaf) │ 2 X │ 1 W │ 0 R
//   PML4  PDPT  PD    PT    offset

import { EptEntry } from '../arch/ept.ts'
import type { HostMemory } from './port.ts'

const TABLE = EptEntry.R | EptEntry.W | EptEntry.X
const WRITE_BACK = 6
const LEAF = TABLE | (WRITE_BACK << 3)
const WALK_LENGTH_4 = 3 << 3
const TWO32 = 2 ** 32
const LEVELS = [2 ** 39, 2 ** 30, 2 ** 21, 2 ** 12] as const

export class ExtendedPageTables {
  /** Pages mapped, and frames of tables by node. */
  pages = 0
  readonly tables: number[] = []
  private readonly root: number

  /** `table`: a zeroed frame for a table near node `node`, or undefined. Throws RangeError without one for the PML4. */
  constructor(
    private readonly memory: HostMemory,
    private readonly table: (node: number) => number | undefined,
    node: number,
  ) {
    const root = table(node)
    if (root === undefined) throw new RangeError('no frame for the PML4 of the EPT')
    this.root = root
    this.tables.push(root)
  }

  /** The EPT pointer: write-back, four levels, no accessed and dirty flags. */
  get pointer(): bigint {
    return BigInt(this.root + WALK_LENGTH_4 + WRITE_BACK)
  }

  /** Maps a guest-physical page to a frame, all accesses allowed. `node`: where missing tables go. False: there is no frame for one. */
  map(page: number, frame: number, node: number): boolean {
    let table = this.root
    for (let level = 0; level < 3; level++) {
      const at = table + 8 * (Math.floor(page / LEVELS[level]!) % 512)
      const entry = this.read(at)
      if (entry !== 0) {
        table = entry - (entry % 4096)
        continue
      }
      const next = this.table(node)
      if (next === undefined) return false
      this.tables.push(next)
      this.write(at, next + TABLE)
      table = next
    }
    const at = table + 8 * (Math.floor(page / LEVELS[3]) % 512)
    if (this.read(at) === 0) this.pages++
    this.write(at, frame + LEAF)
    return true
  }

  private read(at: number): number {
    return this.memory.read(at, 4) + this.memory.read(at + 4, 4) * TWO32
  }

  private write(at: number, entry: number): void {
    this.memory.write(at + 4, 4, Math.floor(entry / TWO32))
    this.memory.write(at, 4, entry % TWO32)
  }
}

// Guest-physical memory of one VM: which ranges are DRAM for the guest, and the frames behind the pages touched so far.

import { FRAME, type FrameAllocator } from './frames.ts'
import { ExtendedPageTables } from './extended-page-tables.ts'
import type { Placement } from './placement.ts'
import type { HostMemory } from './port.ts'

export interface GuestRange {
  /** Guest-physical, whole pages. */
  readonly start: number
  readonly length: number
}

export class GuestMemory {
  readonly ept: ExtendedPageTables
  /** Pages by node of the server. */
  readonly pagesByNode: number[]
  private readonly frames = new Map<number, number>()

  /** `home`: the node for tables, and for what is loaded before anybody runs. Throws RangeError when the server has no frame left. */
  constructor(
    readonly owner: string,
    readonly ranges: readonly GuestRange[],
    private readonly memory: HostMemory,
    private readonly allocator: FrameAllocator,
    private readonly placement: Placement,
    private readonly nodeOf: (frame: number) => number,
    private readonly home: number,
  ) {
    this.pagesByNode = new Array<number>(allocator.nodeCount).fill(0)
    this.ept = new ExtendedPageTables(memory, (node) => this.take(node), home)
  }

  isDram(address: number): boolean {
    return this.ranges.some((r) => address >= r.start && address < r.start + r.length)
  }

  /** The frame behind the page that holds `address`, mapped now if it was not. undefined: no DRAM there, or the server has none left. */
  touch(address: number, node: number): number | undefined {
    const page = address - (address % FRAME)
    const known = this.frames.get(page)
    if (known !== undefined) return known
    if (!this.isDram(page)) return undefined
    const frame = this.take(this.placement.node(page, node))
    if (frame === undefined || !this.ept.map(page, frame, node)) return undefined
    this.frames.set(page, frame)
    this.pagesByNode[this.nodeOf(frame)]!++
    return frame
  }

  /** A value that stays inside one page; undefined where there is no DRAM. */
  read(address: number, size: 1 | 2 | 4): number | undefined {
    const frame = this.touch(address, this.home)
    return frame === undefined ? undefined : this.memory.read(frame + (address % FRAME), size)
  }

  /** False: no DRAM there. The value stays inside one page. */
  write(address: number, size: 1 | 2 | 4, value: number): boolean {
    const frame = this.touch(address, this.home)
    if (frame === undefined) return false
    this.memory.write(frame + (address % FRAME), size, value)
    return true
  }

  /** Copies bytes to guest-physical memory. Throws RangeError for bytes without DRAM behind them. */
  load(address: number, data: Uint8Array): void {
    for (let n = 0; n < data.length; ) {
      const at = address + n
      const piece = Math.min(data.length - n, FRAME - (at % FRAME))
      const frame = this.touch(at, this.home)
      if (frame === undefined) throw new RangeError(`no memory for the guest at ${at.toString(16)}H`)
      this.memory.load(frame + (at % FRAME), data.subarray(n, n + piece))
      n += piece
    }
  }

  /** Pages touched: guest-physical address and frame. */
  entries(): IterableIterator<[number, number]> {
    return this.frames.entries()
  }

  /** Gives all frames back; the VM is over. */
  release(): void {
    for (const frame of [...this.frames.values(), ...this.ept.tables.splice(0)]) this.allocator.release(frame, this.nodeOf(frame), this.owner)
    this.frames.clear()
  }

  private take(node: number): number | undefined {
    const frame = this.allocator.take(node, this.owner)
    if (frame !== undefined) this.memory.clear(frame)
    return frame
  }
}

// The physical address space: DRAM of all nodes inside one shared WebAssembly memory, and the chips beside it.
// Host addresses are byte offsets in that memory; guest-physical addresses are numbers below 2^52.

import { Bus } from './bus.ts'
import type { AccessSize } from './device.ts'

//   guest-physical                          host (WebAssembly memory)
//   0 ──────────── DRAM below the hole      0 ──────── control: processor blocks, TLBs, decoded code
//   3 GiB ──────── chips (the PCI hole)     dramBase ─ DRAM, the same bytes in the same order, no hole
//   4 GiB ──────── DRAM above the hole

export const PAGE = 4096

/** One contiguous piece of DRAM: `length` bytes at guest-physical `start`, on NUMA node `node`. */
export interface DramRange {
  readonly start: number
  readonly length: number
  readonly node: number
}

interface PlacedRange extends DramRange {
  readonly end: number
  readonly host: number
}

export class PhysicalMemory {
  readonly ranges: readonly PlacedRange[]
  readonly mmio = new Bus('memory')
  readonly bytes: Uint8Array
  readonly view: DataView
  /** Bytes of DRAM in all ranges. */
  readonly size: number

  constructor(
    readonly memory: WebAssembly.Memory,
    readonly dramBase: number,
    ranges: readonly DramRange[],
  ) {
    let host = dramBase
    this.ranges = ranges.map((r) => {
      const placed = { ...r, end: r.start + r.length, host }
      host += r.length
      return placed
    })
    this.size = host - dramBase
    if (host > memory.buffer.byteLength) throw new RangeError('DRAM ranges are larger than the WebAssembly memory')
    this.bytes = new Uint8Array(memory.buffer)
    this.view = new DataView(memory.buffer)
  }

  /** Host address of guest-physical `address` if DRAM is there, else 0. `address + 1 … end of its page` is then DRAM too. */
  host(address: number): number {
    for (const r of this.ranges) if (address >= r.start && address < r.end) return r.host + (address - r.start)
    return 0
  }

  /** The NUMA node of a DRAM address, or -1. */
  node(address: number): number {
    for (const r of this.ranges) if (address >= r.start && address < r.end) return r.node
    return -1
  }

  /** Guest-physical address of a host address inside DRAM. */
  physical(host: number): number {
    for (const r of this.ranges) if (host >= r.host && host < r.host + r.length) return r.start + (host - r.host)
    return -1
  }

  /** Reads DRAM or a chip; unsigned. An access must not cross a page. */
  read(address: number, size: AccessSize): number {
    const h = this.host(address)
    if (h === 0) return this.mmio.read(address, size)
    return size === 4 ? this.view.getUint32(h, true) : size === 2 ? this.view.getUint16(h, true) : this.bytes[h]!
  }

  write(address: number, size: AccessSize, value: number): void {
    const h = this.host(address)
    if (h === 0) return this.mmio.write(address, size, value)
    if (size === 4) this.view.setUint32(h, value, true)
    else if (size === 2) this.view.setUint16(h, value, true)
    else this.bytes[h] = value
  }

  /** Copies bytes into DRAM (loaders, DMA). Throws RangeError if any byte would fall outside DRAM; then nothing is written. */
  load(address: number, data: Uint8Array): void {
    const parts = this.pieces(address, data.length)
    let at = 0
    for (const p of parts) {
      this.bytes.set(data.subarray(at, at + p.length), p.host)
      at += p.length
    }
  }

  /** A copy of DRAM bytes. Throws RangeError if any byte is outside DRAM. */
  dump(address: number, length: number): Uint8Array {
    const out = new Uint8Array(length)
    let at = 0
    for (const p of this.pieces(address, length)) {
      out.set(this.bytes.subarray(p.host, p.host + p.length), at)
      at += p.length
    }
    return out
  }

  private pieces(address: number, length: number): { host: number; length: number }[] {
    const out: { host: number; length: number }[] = []
    while (length > 0) {
      const r = this.ranges.find((x) => address >= x.start && address < x.end)
      if (!r) throw new RangeError(`no DRAM at ${address.toString(16)}H`)
      const n = Math.min(length, r.end - address)
      out.push({ host: r.host + (address - r.start), length: n })
      address += n
      length -= n
    }
    return out
  }
}

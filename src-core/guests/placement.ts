// Who gets which physical memory while an image is being laid out: usable ranges, and claims on them that must not overlap.

import { hex, ImageError, type NamedFile, type Platform, type Segment } from './image.ts'

export const PAGE = 4096
const LOW_LIMIT = 2 ** 32

interface Claim {
  readonly start: number
  readonly end: number
  readonly what: string
}

export class Placement {
  private readonly usable: { start: number; end: number }[] = []
  private readonly claims: Claim[] = []
  readonly segments: Segment[] = []

  constructor(
    readonly platform: Platform,
    readonly file: string,
  ) {
    for (const r of platform.map) {
      if (r.type !== 1) continue
      const last = this.usable[this.usable.length - 1]
      if (last && last.end === r.address) last.end += r.length
      else this.usable.push({ start: r.address, end: r.address + r.length })
    }
  }

  /** Puts `data` and zeros up to `length` at `address`. Throws ImageError when that is not free usable memory. */
  put(address: number, data: Uint8Array, length: number, what: string, file = this.file): void {
    const end = address + length
    if (length === 0) return
    if (!this.usable.some((u) => address >= u.start && end <= u.end)) {
      throw new ImageError(file, `${what} needs ${hex(address)}–${hex(end - 1)}, which is not all usable memory (${this.describe()})`)
    }
    const clash = this.claims.find((c) => c.start < end && address < c.end)
    if (clash)
      throw new ImageError(
        file,
        `${what} at ${hex(address)}–${hex(end - 1)} overlaps ${clash.what} at ${hex(clash.start)}–${hex(clash.end - 1)}`,
      )
    this.claims.push({ start: address, end, what })
    this.segments.push({ address, data, length })
  }

  /** Puts something for the guest into the boot area; returns its address. */
  pass(data: Uint8Array, alignment: number, what: string): number {
    const { address, length } = this.platform.bootArea
    const at = this.lowest(address, address + length, data.length, alignment)
    if (at === undefined) throw new ImageError(this.file, `no room for ${what} (${data.length} bytes) below 1 MiB`)
    this.put(at, data, data.length, what)
    return at
  }

  /** Puts a file into the highest free pages that end at or below `limit` (below 4 GiB). Throws ImageError. */
  putHigh(file: NamedFile, limit: number): number {
    const top = Math.min(limit, LOW_LIMIT)
    const length = Math.max(1, file.data.length)
    for (const u of [...this.usable].reverse()) {
      let end = Math.min(u.end, top)
      for (;;) {
        const start = Math.floor((end - length) / PAGE) * PAGE
        if (start < u.start || start < 0x100000) break
        const clash = this.claims.filter((c) => c.start < start + length && start < c.end)
        if (clash.length === 0) {
          this.put(start, file.data, length, 'the initrd', file.name)
          return start
        }
        end = Math.min(...clash.map((c) => c.start))
      }
    }
    throw new ImageError(
      file.name,
      `${file.data.length} bytes of initrd do not fit below ${hex(top)} beside the kernel (${this.describe()})`,
    )
  }

  /** Puts a file into the first free pages at or above `from` (below 4 GiB). Throws ImageError. */
  putAbove(file: NamedFile, from: number): number {
    const length = Math.max(1, file.data.length)
    const at = this.lowest(from, LOW_LIMIT, length, PAGE)
    if (at === undefined)
      throw new ImageError(file.name, `${file.data.length} bytes of module do not fit above the kernel (${this.describe()})`)
    this.put(at, file.data, length, 'the module', file.name)
    return at
  }

  /** The end of the highest claim so far. */
  get end(): number {
    return Math.max(0, ...this.claims.map((c) => c.end))
  }

  /** Whether `address` lies in something put so far. */
  covers(address: number): boolean {
    return this.claims.some((c) => address >= c.start && address < c.end)
  }

  private lowest(from: number, to: number, length: number, alignment: number): number | undefined {
    for (const u of this.usable) {
      let start = Math.ceil(Math.max(u.start, from) / alignment) * alignment
      while (start + length <= Math.min(u.end, to)) {
        const clash = this.claims.filter((c) => c.start < start + length && start < c.end)
        if (clash.length === 0) return start
        start = Math.ceil(Math.max(...clash.map((c) => c.end)) / alignment) * alignment
      }
    }
    return undefined
  }

  private describe(): string {
    return `usable: ${this.usable.map((u) => `${hex(u.start)}–${hex(u.end - 1)}`).join(', ') || 'none'}`
  }
}

/** A command line as bytes with its terminating NUL. Throws ImageError when it holds a NUL or is longer than `most` bytes. */
export function commandLineBytes(text: string, most: number, file: string): Uint8Array {
  const bytes = new TextEncoder().encode(text)
  if (bytes.includes(0)) throw new ImageError(file, 'the command line contains a NUL character')
  if (bytes.length > most) throw new ImageError(file, `the command line has ${bytes.length} bytes; at most ${most} can be passed`)
  const out = new Uint8Array(bytes.length + 1)
  out.set(bytes)
  return out
}

/** Writes segments into DRAM; with `fresh` DRAM is known to be zero, and the zero parts are left untouched. */
export function writeSegments(
  memory: { load(address: number, data: Uint8Array): void },
  segments: readonly Segment[],
  fresh: boolean,
): void {
  const chunk = 1 << 20
  for (const s of segments) {
    memory.load(s.address, s.data)
    if (fresh) continue
    for (let at = s.data.length; at < s.length; at += chunk) memory.load(s.address + at, new Uint8Array(Math.min(chunk, s.length - at)))
  }
}

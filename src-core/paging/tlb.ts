// The software TLB of one processor, in WebAssembly memory, read by compiled code (SDM 3A 4.10.2).
// Three tables, one for each kind of access; an entry is 32 bytes, found by linear bits 23:12:
//   +0 read tag u64 · +8 write tag u64 · +16 addend u32 · +20 host page | flags u32 · +24 1 = in the log u32
// A tag is a linear page address, or all ones. host = (addend + linear[31:0]) mod 2^32.

import type { CodePages, WriteTags } from './code-pages.ts'

export const TLB_ENTRIES = 4096
export const TLB_ENTRY = 32
export const TLB_TABLE = TLB_ENTRIES * TLB_ENTRY
export const Tlb = { readTag: 0, writeTag: 8, addend: 16 } as const
/** Tables: user accesses; supervisor ones with SMAP enforced or off; supervisor ones with EFLAGS.AC = 1 under SMAP. */
export const World = { user: 0, supervisor: 1, supervisorAc: 2 } as const
export const WORLDS = 3
/** Bytes of all tables of one processor. */
export const TLB_SIZE = WORLDS * TLB_TABLE

const GLOBAL = 1
const LARGE = 2
const NONE = -1
const SAVED_ENTRY = 16

export class SoftwareTlb implements WriteTags {
  private readonly words: Int32Array
  /** Indexes filled since the last flush, by world: what a flush must clear. */
  private readonly log = [new Uint16Array(TLB_ENTRIES), new Uint16Array(TLB_ENTRIES), new Uint16Array(TLB_ENTRIES)]
  private readonly logged = [0, 0, 0]
  /** Large pages of which pieces are cached: region number × 4 + class (21, 22 or 30 bits). */
  private readonly large = new Set<number>()

  /** `base`: host address of TLB_SIZE bytes, a multiple of 32. `dramBase`: what saved states count from. */
  constructor(
    memory: WebAssembly.Memory,
    readonly base: number,
    private readonly code: CodePages,
    private readonly dramBase: number,
  ) {
    this.words = new Int32Array(memory.buffer)
    this.words.fill(NONE, base >>> 2, (base + TLB_SIZE) >>> 2)
    for (let i = (base >>> 2) + 6; i < (base + TLB_SIZE) >>> 2; i += TLB_ENTRY / 4) this.words[i] = 0
    code.units.push(this)
  }

  /** Host address of the table of one world. */
  table(world: number): number {
    return this.base + world * TLB_TABLE
  }

  private entry(world: number, low: number): number {
    return (this.base + world * TLB_TABLE + ((low >>> 7) & (0xfff << 5))) >>> 2
  }

  /** Host address of the page of a linear address, or 0. */
  lookup(world: number, low: number, high: number, write: boolean): number {
    const w = this.words
    const i = this.entry(world, low)
    const page = low & ~0xfff
    const t = write ? i + 2 : i
    return w[t] === page && w[t + 1] === (high | 0) ? (w[i + 4]! + page) >>> 0 : 0
  }

  /** Caches a translation; `bits` is the size of the page in the guest's tables (12, 21, 22, 30). */
  fill(world: number, low: number, high: number, host: number, writable: boolean, global: boolean, bits: number): void {
    const w = this.words
    const i = this.entry(world, low)
    const page = low & ~0xfff
    w[i] = page
    w[i + 1] = high
    w[i + 2] = writable ? page : NONE
    w[i + 3] = writable ? high : NONE
    w[i + 4] = host - page
    w[i + 5] = host | (global ? GLOBAL : 0) | (bits > 12 ? LARGE : 0)
    if (w[i + 6] === 0) {
      w[i + 6] = 1
      this.log[world]![this.logged[world]!++] = (low >>> 12) & 0xfff
    }
    if (writable) this.code.tagged[host >>> 12] = 1
    if (bits > 12) this.large.add(region(low, high, bits))
  }

  flushWorld(world: number): void {
    const w = this.words
    const log = this.log[world]!
    const first = this.table(world) >>> 2
    for (let n = this.logged[world]! - 1; n >= 0; n--) {
      const i = first + log[n]! * 8
      w[i] = w[i + 1] = w[i + 2] = w[i + 3] = NONE
      w[i + 6] = 0
    }
    this.logged[world] = 0
  }

  flushAll(): void {
    for (let world = 0; world < WORLDS; world++) this.flushWorld(world)
    if (this.large.size > 0) this.large.clear()
  }

  /** Global translations stay (SDM 3A 4.10.2.4). */
  flushNonGlobal(): void {
    const w = this.words
    for (let world = 0; world < WORLDS; world++) {
      const log = this.log[world]!
      const first = this.table(world) >>> 2
      const count = this.logged[world]!
      let kept = 0
      for (let n = 0; n < count; n++) {
        const index = log[n]!
        const i = first + index * 8
        if (w[i] !== NONE && w[i + 5]! & GLOBAL) log[kept++] = index
        else {
          w[i] = w[i + 1] = w[i + 2] = w[i + 3] = NONE
          w[i + 6] = 0
        }
      }
      this.logged[world] = kept
    }
  }

  /** Forgets the page that holds a linear address, all of it if it is a large one (SDM 3A 4.10.4.1). */
  flushPage(low: number, high: number): void {
    const w = this.words
    for (let world = 0; world < WORLDS; world++) {
      const i = this.entry(world, low)
      if (w[i] === (low & ~0xfff) && w[i + 1] === (high | 0)) w[i] = w[i + 1] = w[i + 2] = w[i + 3] = NONE
    }
    if (this.large.size === 0) return
    for (const bits of [21, 22, 30]) if (this.large.delete(region(low, high, bits))) this.flushRegion(low, high, bits)
  }

  private flushRegion(low: number, high: number, bits: number): void {
    const w = this.words
    for (let world = 0; world < WORLDS; world++) {
      const log = this.log[world]!
      const first = this.table(world) >>> 2
      for (let n = this.logged[world]! - 1; n >= 0; n--) {
        const i = first + log[n]! * 8
        if (w[i] !== NONE && w[i]! >>> bits === low >>> bits && w[i + 1] === (high | 0)) w[i] = w[i + 1] = w[i + 2] = w[i + 3] = NONE
      }
    }
  }

  strip(hostPage: number): void {
    const w = this.words
    for (let world = 0; world < WORLDS; world++) {
      const log = this.log[world]!
      const first = this.table(world) >>> 2
      for (let n = this.logged[world]! - 1; n >= 0; n--) {
        const i = first + log[n]! * 8
        if ((w[i + 5]! & ~0xfff) === (hostPage | 0)) w[i + 2] = w[i + 3] = NONE
      }
    }
  }

  /**
   * Everything cached but the permission to write, which depends on decoded code and costs nothing to find again: refills cost cycles,
   * so a restored machine must miss where the saved one would have.
   */
  save(): Uint8Array {
    const out: number[] = []
    for (let world = 0; world < WORLDS; world++) {
      const first = this.table(world) >>> 2
      for (let n = 0; n < this.logged[world]!; n++) {
        const i = first + this.log[world]![n]! * 8
        if (this.words[i] === NONE) continue
        const flags = (this.words[i + 5]! & 3) | (world << 4)
        out.push(this.words[i]!, this.words[i + 1]!, (this.words[i + 5]! & ~0xfff) - this.dramBase, flags)
      }
    }
    for (const key of this.large) out.push(0, key | 0, Math.floor(key / 2 ** 32), 8)
    return new Uint8Array(Int32Array.from(out).buffer)
  }

  /** Takes back what `save` gave. False: the data is not such a state for DRAM of `dramBytes`; then the tables are empty. */
  restore(data: Uint8Array, dramBytes: number): boolean {
    this.flushAll()
    if (data.length % SAVED_ENTRY !== 0) return false
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
    for (let at = 0; at < data.length; at += SAVED_ENTRY) {
      const low = view.getInt32(at, true)
      const high = view.getInt32(at + 4, true)
      const page = view.getUint32(at + 8, true)
      const flags = view.getInt32(at + 12, true)
      const world = flags >> 4
      if (flags === 8) this.large.add((high >>> 0) + page * 2 ** 32)
      else if (world < 0 || world >= WORLDS || low & 0xfff || page & 0xfff || page >= dramBytes) {
        this.flushAll()
        return false
      } else {
        const host = page + this.dramBase
        this.fill(world, low, high, host, false, (flags & GLOBAL) !== 0, 12)
        if (flags & LARGE) this.words[this.entry(world, low) + 5]! |= LARGE
      }
    }
    return true
  }
}

const region = (low: number, high: number, bits: number): number =>
  ((high & 0xffff) * 2 ** (32 - bits) + (low >>> bits)) * 4 + (bits === 21 ? 0 : bits === 22 ? 1 : 2)

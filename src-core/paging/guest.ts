// The walker of a guest's own tables (SDM 3A 4.3–4.8): 32-bit with 4K and 4M pages (PSE-36), PAE, 4-level with 4K, 2M, 1G.
// Accessed and dirty bits are set only by accesses that succeed. Tables outside DRAM read as all ones.
// Does not model: memory types (PWT, PCD, PAT), paging-structure caches, protection keys, 5-level paging.

import { PageFault } from '../arch/exceptions.ts'
import {
  PAE_RESERVED_HIGH, PDE2M_RESERVED, PDE4M_RESERVED, PDPTE1G_RESERVED, PDPTE_RESERVED_HIGH, PDPTE_RESERVED_LOW, PTE_RESERVED_HIGH, PTE_XD, Pte,
} from '../arch/pte.ts'
import type { PhysicalMemory } from '../memory/physical.ts'
import type { CodePages } from './code-pages.ts'
import { Reference, type SecondStage } from './second-stage.ts'

/** Byte offsets of the registers the walker reads, from the start of a processor block. */
export interface PagingRegisters {
  readonly cr0: number
  readonly cr3: number
  readonly cr4: number
  readonly efer: number
  readonly pdpte: number
}

export const CR0_WP = 1 << 16
export const CR0_PG = 1 << 31
export const CR4_PSE = 1 << 4
export const CR4_PAE = 1 << 5
export const CR4_PGE = 1 << 7
export const CR4_SMEP = 1 << 20
export const CR4_SMAP = 1 << 21
export const EFER_LMA = 1 << 10
export const EFER_NXE = 1 << 11

/** Answers of `walk` that are no error code. */
export const Walk = { done: -1, stopped: -2 } as const

const TWO32 = 2 ** 32

export class GuestWalker {
  /** A second translation, while a virtual machine runs. */
  stage: SecondStage | undefined
  // Results of the last walk.
  /** Physical address of the 4 KiB page of the access. */
  page = 0
  /** R/W and U/S of all levels together, and XD in bit 31. */
  rights = 0
  dirty = false
  global = false
  /** Size of the page: 12, 21, 22 or 30 bits. */
  bits = 12
  /** Paging-structure entries read, of both stages. */
  get references(): number {
    return this.depth + (this.stage?.references ?? 0)
  }
  /** May a write go ahead unasked, as far as the second stage is concerned? */
  stageWritable = true
  /** NUMA node of the last address located. */
  node = -1

  private readonly words: Int32Array
  private readonly cr0: number
  private readonly cr3: number
  private readonly cr4: number
  private readonly efer: number
  private readonly pdpte: number
  private rangeStart = 0
  private rangeEnd = 0
  private rangeHost = 0
  private readonly used = new Uint32Array(4)
  private depth = 0

  constructor(
    private readonly physical: PhysicalMemory,
    private readonly code: CodePages,
    base: number,
    offsets: PagingRegisters,
  ) {
    this.words = new Int32Array(physical.memory.buffer)
    this.cr0 = (base + offsets.cr0) >>> 2
    this.cr3 = (base + offsets.cr3) >>> 2
    this.cr4 = (base + offsets.cr4) >>> 2
    this.efer = (base + offsets.efer) >>> 2
    this.pdpte = (base + offsets.pdpte) >>> 2
  }

  /** Host address of a physical one in DRAM, else 0; `node` is then set. */
  locate(address: number): number {
    if (address < this.rangeStart || address >= this.rangeEnd) {
      const { ranges } = this.physical
      let n = 0
      while (n < ranges.length && (address < ranges[n]!.start || address >= ranges[n]!.end)) n++
      const r = ranges[n]
      if (!r) return 0
      this.rangeStart = r.start
      this.rangeEnd = r.end
      this.rangeHost = r.host
      this.node = r.node
    }
    return this.rangeHost + (address - this.rangeStart)
  }

  /**
   * Translates a canonical linear address for one access. `smap`: supervisor data accesses to user pages are forbidden.
   * Answers Walk.done with the results above, Walk.stopped, or the error code of a page fault (SDM 3A 4.7).
   */
  walk(low: number, high: number, write: boolean, fetch: boolean, user: boolean, smap: boolean): number {
    this.depth = 0
    this.stageWritable = true
    if (this.stage) this.stage.references = 0
    const cr0 = this.words[this.cr0]!
    if ((cr0 & CR0_PG) === 0) {
      this.page = (low & ~0xfff) >>> 0
      this.rights = Pte.RW | Pte.US
      this.dirty = true
      this.global = false
      this.bits = 12
      return this.finish(low, high, write, fetch)
    }
    const cr4 = this.words[this.cr4]!
    const efer = this.words[this.efer]!
    const fault = (cr4 & CR4_PAE) === 0 ? this.walk32(low, high, cr4) : this.walk64(low, high, efer)
    const code = (write ? PageFault.W : 0) | (user ? PageFault.U : 0) | (fetch && (cr4 & CR4_SMEP || (cr4 & CR4_PAE && efer & EFER_NXE)) ? PageFault.I : 0)
    if (fault !== Walk.done) return fault < 0 ? fault : fault | code
    if (!this.allowed(write, fetch, user, smap, cr0, cr4)) return code | PageFault.P
    if (!this.markUsed(write, low, high)) return Walk.stopped
    this.global = this.global && (cr4 & CR4_PGE) !== 0
    return this.finish(low, high, write, fetch)
  }

  /** SDM 3A 4.6.1. */
  private allowed(write: boolean, fetch: boolean, user: boolean, smap: boolean, cr0: number, cr4: number): boolean {
    const rights = this.rights
    const userPage = (rights & Pte.US) !== 0
    if (user) return userPage && !(write && !(rights & Pte.RW)) && !(fetch && rights & PTE_XD)
    if (fetch) return !(rights & PTE_XD) && !(userPage && cr4 & CR4_SMEP)
    if (userPage && smap) return false
    return !write || (rights & Pte.RW) !== 0 || (cr0 & CR0_WP) === 0
  }

  /** May the page just walked be written by an access of this kind? */
  writable(user: boolean): boolean {
    return this.dirty && this.stageWritable && ((this.rights & Pte.RW) !== 0 || (!user && (this.words[this.cr0]! & CR0_WP) === 0))
  }

  private finish(low: number, high: number, write: boolean, fetch: boolean): number {
    if (!this.stage) return Walk.done
    const at = this.stage.translate(this.page + (low & 0xfff), write, fetch, Reference.page, low, high, this.rights)
    if (at < 0) return Walk.stopped
    this.stageWritable = this.stage.writable
    this.page = at - (at % 4096)
    return Walk.done
  }

  /** Host address of an entry that is about to be read; 0: no DRAM there; -1: the second stage stopped. */
  private entry(address: number, low: number, high: number, reference: number = Reference.entry): number {
    let at = address
    if (this.stage) {
      this.addresses[this.depth] = address
      at = this.stage.translate(address, false, false, reference, low, high, 0)
      if (at < 0) return -1
    }
    const host = at >= this.rangeStart && at < this.rangeEnd ? this.rangeHost + (at - this.rangeStart) : this.locate(at)
    this.used[this.depth++] = host
    return host
  }

  /** Of the entries read, while there is a second stage. */
  private readonly addresses = new Float64Array(4)

  private walk64(low: number, high: number, efer: number): number {
    const words = this.words
    const long = (efer & EFER_LMA) !== 0
    let rights = Pte.RW | Pte.US
    let table: number
    let level: number
    if (long) {
      table = (this.words[this.cr3 + 1]! & 0xfffff) * TWO32 + ((this.words[this.cr3]! & ~0xfff) >>> 0)
      level = 4
    } else {
      const i = this.pdpte + (low >>> 30) * 2
      if ((this.words[i]! & Pte.P) === 0) return 0
      table = (this.words[i + 1]! & 0xfffff) * TWO32 + ((this.words[i]! & ~0xfff) >>> 0)
      level = 2
    }
    const reservedHigh = (long ? PTE_RESERVED_HIGH : PAE_RESERVED_HIGH) | (efer & EFER_NXE ? 0 : PTE_XD)
    for (; ; level--) {
      const index =
        level === 1 ? (low >>> 12) & 0x1ff : level === 2 ? (low >>> 21) & 0x1ff : level === 3 ? ((high & 0x7f) << 2) | (low >>> 30) : (high >>> 7) & 0x1ff
      const address = table + index * 8
      const host = this.entry(address, low, high)
      if (host < 0) return Walk.stopped
      const el = host === 0 ? -1 : words[host >>> 2]!
      const eh = host === 0 ? -1 : words[(host >>> 2) + 1]!
      if ((el & Pte.P) === 0) return 0
      const leaf = level === 1 || (level < 4 && (el & Pte.PS) !== 0)
      let reserved = eh & reservedHigh
      if (level === 4) reserved |= el & Pte.PS
      else if (leaf && level === 2) reserved |= el & PDE2M_RESERVED
      else if (leaf && level === 3) reserved |= el & PDPTE1G_RESERVED
      if (reserved !== 0) return PageFault.P | PageFault.RSVD
      rights = (rights & el) | ((rights | eh) & PTE_XD)
      const base = (eh & 0xfffff) * TWO32 + ((el & ~0xfff) >>> 0)
      if (!leaf) {
        table = base
        continue
      }
      const bits = level === 1 ? 12 : level === 2 ? 21 : 30
      const within = level === 1 ? 0 : ((1 << bits) - 4096) & low
      this.page = (eh & 0xfffff) * TWO32 + ((((el & ~((1 << bits) - 1)) | within) >>> 0))
      this.bits = bits
      this.rights = rights
      this.dirty = (el & Pte.D) !== 0
      this.global = (el & Pte.G) !== 0
      return Walk.done
    }
  }

  private walk32(low: number, high: number, cr4: number): number {
    const words = this.words
    const pde = (this.words[this.cr3]! & ~0xfff) + (low >>> 22) * 4
    const dHost = this.entry(pde >>> 0, low, high)
    if (dHost < 0) return Walk.stopped
    const d = dHost === 0 ? -1 : words[dHost >>> 2]!
    if ((d & Pte.P) === 0) return 0
    if (d & Pte.PS && cr4 & CR4_PSE) {
      if (d & PDE4M_RESERVED) return PageFault.P | PageFault.RSVD
      this.page = ((d >>> 13) & 0xff) * TWO32 + (((d & 0xffc00000) | (low & 0x003ff000)) >>> 0)
      this.bits = 22
      this.rights = d & (Pte.RW | Pte.US)
      this.dirty = (d & Pte.D) !== 0
      this.global = (d & Pte.G) !== 0
      return Walk.done
    }
    const pte = (d & ~0xfff) + ((low >>> 12) & 0x3ff) * 4
    const tHost = this.entry(pte >>> 0, low, high)
    if (tHost < 0) return Walk.stopped
    const t = tHost === 0 ? -1 : words[tHost >>> 2]!
    if ((t & Pte.P) === 0) return 0
    this.page = (t & ~0xfff) >>> 0
    this.bits = 12
    this.rights = d & t & (Pte.RW | Pte.US)
    this.dirty = (t & Pte.D) !== 0
    this.global = (t & Pte.G) !== 0
    return Walk.done
  }

  /** Accessed and dirty bits (SDM 3A 4.8). */
  private markUsed(write: boolean, low: number, high: number): boolean {
    for (let n = 0; n < this.depth; n++) {
      const host = this.used[n]!
      if (host === 0) continue
      const last = n === this.depth - 1
      const old = this.words[host >>> 2]!
      const set = old | Pte.A | (last && write ? Pte.D : 0)
      if (set === old) continue
      if (this.stage && this.stage.translate(this.addresses[n]!, true, false, Reference.entry, low, high, 0) < 0) return false
      if (this.code.holds[host >>> 12] !== 0) this.code.written(host, 4)
      this.words[host >>> 2] = set
    }
    if (write) this.dirty = true
    return true
  }

  /**
   * Reads the PDPTEs of PAE paging into their registers; false, and nothing changed, if a reserved bit is set (SDM 3A 4.4.1).
   * Throws what a second stage ends the instruction with.
   */
  loadPdptes(cr3: bigint): boolean {
    const table = Number(cr3 & 0xffffffe0n)
    const read = new Int32Array(8)
    for (let n = 0; n < 4; n++) {
      this.depth = 0
      const host = this.entry(table + n * 8, 0, 0, Reference.pdpte)
      if (host < 0) throw this.stage!.stopped
      const low = host === 0 ? -1 : this.words[host >>> 2]!
      const high = host === 0 ? -1 : this.words[(host >>> 2) + 1]!
      if (low & Pte.P && (low & PDPTE_RESERVED_LOW || high & PDPTE_RESERVED_HIGH)) return false
      read[n * 2] = low
      read[n * 2 + 1] = high
    }
    this.words.set(read, this.pdpte)
    return true
  }
}

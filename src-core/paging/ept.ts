// Extended page tables (SDM 3C 28.2): four levels, pages of 4 KiB, 2 MiB and 1 GiB, accessed and dirty flags, page-modification
// logging, mode-based execute control. Mappings are cached until `flush` (SDM 3C 28.3.1, guest-physical mappings).
// Does not model: memory types beyond their checks, sub-page permissions, guest-paging verification, 5 levels.

import {
  EPT_1G_RESERVED, EPT_2M_RESERVED, EPT_MEMORY_TYPES, EPT_PML4E_RESERVED, EPT_RESERVED_HIGH, EPT_SUPPRESS_VE, EPT_TABLE_RESERVED, EptEntry, Eptp, EptViolation,
} from '../arch/ept.ts'
import { PTE_XD, Pte } from '../arch/pte.ts'
import type { PhysicalMemory } from '../memory/physical.ts'
import type { CodePages } from './code-pages.ts'
import { Reference, SecondStageStop, type SecondStage, type StopKind } from './second-stage.ts'

/** Where dirtied pages are noted (SDM 3C 28.2.6). */
export interface PageLog {
  /** The index is outside 0…511. */
  readonly full: boolean
  /** Notes the page at a guest-physical address (bits 11:0 are 0). */
  append(address: number): void
}

const TWO32 = 2 ** 32
/** Allowed accesses of a cached mapping. W only once the dirty flag is set. */
const Allow = { R: 1, W: 2, X: 4, XU: 8 } as const
const CACHED = 1024
const SAVED_ENTRY = 24

export class Ept implements SecondStage {
  writable = false
  readonly stopped = new SecondStageStop()
  references = 0
  /** Walks of the tables: of mappings that were not cached. */
  walks = 0

  private readonly words: Int32Array
  private root = -1
  private tracksUse = false
  private modeBased = false
  private log: PageLog | undefined
  private readonly used = new Uint32Array(4)
  private rangeStart = 0
  private rangeEnd = 0
  private rangeHost = 0
  // Cached mappings by guest-physical page number modulo CACHED.
  private readonly tags = new Float64Array(CACHED).fill(-1)
  private readonly frames = new Float64Array(CACHED)
  private readonly allowed = new Uint8Array(CACHED)

  constructor(
    private readonly physical: PhysicalMemory,
    private readonly code: CodePages,
  ) {
    this.words = new Int32Array(physical.memory.buffer)
  }

  /** Uses the tables of an EPT pointer that VM entry accepts. Cached mappings of other tables, or made under other rules, go. */
  use(eptp: bigint, modeBased: boolean, log: PageLog | undefined): void {
    const root = Number(BigInt.asUintN(52, eptp) >> 12n) * 4096
    const tracksUse = (eptp & Eptp.tracksUse) !== 0n
    if (root !== this.root || tracksUse !== this.tracksUse || modeBased !== this.modeBased) this.flush()
    this.root = root
    this.tracksUse = tracksUse
    this.modeBased = modeBased
    this.log = log
  }

  /** Forgets all cached mappings (INVEPT). */
  flush(): void {
    this.tags.fill(-1)
  }

  /** For a saved machine, as triples of doubles: the tables in use and their rules; then of each cached mapping page number, frame and allowed accesses. */
  save(): Uint8Array {
    const out = [this.root, this.tracksUse ? 1 : 0, this.modeBased ? 1 : 0]
    for (let n = 0; n < CACHED; n++) if (this.tags[n]! >= 0) out.push(this.tags[n]!, this.frames[n]!, this.allowed[n]!)
    return new Uint8Array(Float64Array.from(out).buffer)
  }

  /** Takes back what `save` gave. False: the data is no such state, and nothing is cached. */
  restore(data: Uint8Array): boolean {
    this.flush()
    if (data.length % SAVED_ENTRY !== 0 || data.length === 0) return false
    const values = new Float64Array(data.slice().buffer)
    this.root = values[0]!
    this.tracksUse = values[1] === 1
    this.modeBased = values[2] === 1
    for (let n = 3; n < values.length; n += 3) {
      const [page, frame, allowed] = [values[n]!, values[n + 1]!, values[n + 2]!]
      if (!(Number.isInteger(page) && page >= 0 && page < 2 ** 36 && Number.isInteger(frame) && frame >= 0 && frame < 2 ** 46 && frame % 4096 === 0 && allowed > 0 && allowed < 16)) {
        this.flush()
        return false
      }
      this.tags[page % CACHED] = page
      this.frames[page % CACHED] = frame
      this.allowed[page % CACHED] = allowed
    }
    return true
  }

  translate(address: number, write: boolean, fetch: boolean, reference: number, linearLow: number, linearHigh: number, rights: number): number {
    // With accessed and dirty flags, reading a guest's paging-structure entry counts as a write (SDM 3C 28.2.4).
    const asWrite = write || (reference === Reference.entry && this.tracksUse)
    const user = (rights & Pte.US) !== 0
    const page = Math.floor(address / 4096)
    const slot = page & (CACHED - 1)
    if (this.tags[slot] === page) {
      const allowed = this.allowed[slot]!
      if (allowed & (asWrite ? Allow.W : !fetch ? Allow.R : user ? Allow.XU : Allow.X)) {
        this.writable = (allowed & Allow.W) !== 0
        return this.frames[slot]! + (address - page * 4096)
      }
    }
    const { stopped } = this
    stopped.guestPhysical = address
    stopped.linearLow = linearLow
    stopped.linearHigh = linearHigh

    const low = address | 0
    const high = (address / TWO32) | 0
    const presence = this.modeBased ? EptEntry.R | EptEntry.W | EptEntry.X | EptEntry.XU : EptEntry.R | EptEntry.W | EptEntry.X
    const { words, used } = this
    let combined = -1
    let table = this.root
    let depth = 0
    let bits = 12
    let leafLow = 0
    let leafHigh = 0
    this.walks++
    if (high >= 1 << 16) return this.refuse('violation', asWrite, fetch, reference, rights, 0, 0)
    for (let level = 4; ; level--) {
      const index = level === 1 ? (low >>> 12) & 0x1ff : level === 2 ? (low >>> 21) & 0x1ff : level === 3 ? ((high & 0x7f) << 2) | (low >>> 30) : (high >>> 7) & 0x1ff
      const host = this.locate(table + index * 8)
      const el = host === 0 ? -1 : words[host >>> 2]!
      const eh = host === 0 ? -1 : words[(host >>> 2) + 1]!
      if ((el & presence) === 0) return this.refuse('violation', asWrite, fetch, reference, rights, 0, eh)
      const leaf = level === 1 || (level < 4 && (el & EptEntry.PS) !== 0)
      // SDM 3C 28.2.3.1; execute-only entries are allowed (IA32_VMX_EPT_VPID_CAP bit 0).
      let wrong = (eh & EPT_RESERVED_HIGH) | ((el & 3) === EptEntry.W ? 1 : 0)
      if (!leaf) wrong |= el & (level === 4 ? EPT_PML4E_RESERVED : EPT_TABLE_RESERVED)
      else wrong |= (((EPT_MEMORY_TYPES >> ((el >> 3) & 7)) & 1) ^ 1) | (level === 2 ? el & EPT_2M_RESERVED : level === 3 ? el & EPT_1G_RESERVED : 0)
      if (wrong !== 0) return this.refuse('misconfiguration', asWrite, fetch, reference, rights, 0, 0)
      combined &= el
      used[depth++] = host
      if (!leaf) {
        table = (eh & 0xfffff) * TWO32 + ((el & ~0xfff) >>> 0)
        continue
      }
      bits = level === 1 ? 12 : level === 2 ? 21 : 30
      leafLow = el
      leafHigh = eh
      break
    }
    const needed = asWrite ? EptEntry.W : !fetch ? EptEntry.R : this.modeBased && user ? EptEntry.XU : EptEntry.X
    if ((combined & needed) === 0) return this.refuse('violation', asWrite, fetch, reference, rights, combined, leafHigh)
    this.references += depth
    const dirty = asWrite || (leafLow & EptEntry.D) !== 0
    if (this.tracksUse && !this.markUsed(depth, asWrite, address)) return this.refuse('logFull', asWrite, fetch, reference, rights, 0, 0)

    const mask = -(1 << bits)
    const frame = (leafHigh & 0xfffff) * TWO32 + (((leafLow & mask) | (low & ~mask & ~0xfff)) >>> 0)
    const writable = (combined & EptEntry.W) !== 0 && (!this.tracksUse || dirty)
    const userFetch = this.modeBased ? combined & EptEntry.XU : combined & EptEntry.X
    this.tags[slot] = page
    this.frames[slot] = frame
    this.allowed[slot] = (combined & (Allow.R | Allow.X)) | (writable ? Allow.W : 0) | (userFetch ? Allow.XU : 0)
    this.writable = writable
    return frame + (address - page * 4096)
  }

  /** Accessed and dirty flags of the entries just used. False: the log had no room, and nothing has changed. */
  private markUsed(depth: number, write: boolean, address: number): boolean {
    const { words, used, log } = this
    for (let n = 0; n < depth; n++) {
      const host = used[n]!
      if (host === 0) continue
      const old = words[host >>> 2]!
      const dirties = n === depth - 1 && write && (old & EptEntry.D) === 0
      if (old & EptEntry.A && !dirties) continue
      if (log) {
        if (log.full) return false
        if (dirties) log.append(address - (address % 4096))
      }
      if (this.code.holds[host >>> 12] !== 0) this.code.written(host, 4)
      words[host >>> 2] = old | EptEntry.A | (dirties ? EptEntry.D : 0)
    }
    return true
  }

  private refuse(kind: StopKind, write: boolean, fetch: boolean, reference: number, rights: number, combined: number, entryHigh: number): -1 {
    const { stopped } = this
    this.tags[Math.floor(stopped.guestPhysical / 4096) & (CACHED - 1)] = -1
    stopped.kind = kind
    stopped.convertible = kind === 'violation' && (entryHigh & EPT_SUPPRESS_VE) === 0
    let q = 0
    if (kind === 'violation') {
      q = reference !== Reference.page || !(write || fetch) ? EptViolation.read : 0
      q |= (write ? EptViolation.write : 0) | (fetch ? EptViolation.fetch : 0) | ((combined & 7) << EptViolation.allowedShift)
      if (this.modeBased && combined & EptEntry.XU) q |= EptViolation.allowedUserFetch
      if (reference !== Reference.pdpte) q |= EptViolation.linearValid
      if (reference === Reference.page) {
        q |= EptViolation.translated
        q |= (rights & Pte.US ? EptViolation.userPage : 0) | (rights & Pte.RW ? EptViolation.writablePage : 0) | (rights & PTE_XD ? EptViolation.noExecutePage : 0)
      }
    }
    stopped.qualification = q
    return -1
  }

  private locate(address: number): number {
    if (address < this.rangeStart || address >= this.rangeEnd) {
      const r = this.physical.ranges.find((x) => address >= x.start && address < x.end)
      if (!r) return 0
      this.rangeStart = r.start
      this.rangeEnd = r.end
      this.rangeHost = r.host
    }
    return this.rangeHost + (address - this.rangeStart)
  }
}

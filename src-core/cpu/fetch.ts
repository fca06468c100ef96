// From RIP to the record of decoded code there: the code TLB, then paging and the code cache (ARCHITECTURE.md, "Decoded code").
// Instructions that cross a page, lie outside DRAM or close to CS's limit are decoded one at a time into the processor's own record.

import { Vector } from '../arch/exceptions.ts'
import { CS } from '../arch/registers.ts'
import { offsets, type FieldName } from '../isa/state.ts'
import { codeMode, CODE_TLB_BYTES, type CodeCache } from './code.ts'
import { Fault } from './fault.ts'
import { CodeTlb } from './interpreter/intrinsics.ts'
import { Record } from './record.ts'
import type { Core } from './run.ts'

/** An instruction that crosses two pages: its bytes on the second, and its records. */
interface Crossing {
  readonly rest: Uint8Array
  readonly records: Int32Array
}
const CROSSINGS = 8192

export class CodeFetch {
  private readonly words: Int32Array
  private readonly at: { readonly [K in 'rip' | 'ripBase' | 'csBase' | 'codeTlb']: number }
  private readonly record0: number
  /** Entries of the code TLBs that hold something, as indexes of words. */
  private readonly filled: number[] = []

  /** Host addresses of the processor block and of two code TLBs. */
  constructor(
    private readonly core: Core,
    private readonly code: CodeCache,
    block: number,
    codeTlb: number,
  ) {
    this.words = new Int32Array(core.physical.memory.buffer)
    const index = (name: FieldName): number => (block + offsets[name]) >>> 2
    this.at = { rip: index('rip'), ripBase: index('ripBase'), csBase: index('csBase'), codeTlb: index('codeTlb') }
    this.record0 = block + offsets.insnRecord
    this.words.fill(-1, codeTlb >>> 2, (codeTlb + 2 * CODE_TLB_BYTES) >>> 2)
    code.onForget(() => this.forget())
  }

  /** Record at RIP; 0: `mmu.pending` says why not. Sets ripBase. */
  lookup(): number {
    const s = this.core.state
    const w = this.words
    const { rip: ripAt, ripBase, csBase, codeTlb } = this.at
    // linear = RIP + CS base, in 32 bits outside 64-bit mode
    const low = (w[ripAt]! + w[csBase]!) | 0
    const high = this.core.mode64 ? w[ripAt + 1]! : 0
    const offset = low & 0xfff
    const entry = (w[codeTlb]! >>> 2) + ((low >>> 12) & (CodeTlb.entries - 1)) * (CodeTlb.entrySize >>> 2)
    const below = w[ripAt]! >>> 0 < offset
    w[ripBase] = w[ripAt]! - offset
    w[ripBase + 1] = w[ripAt + 1]! - (below ? 1 : 0)
    if (w[entry] === (low & ~0xfff) && w[entry + 1] === high) {
      const known = w[(w[entry + 2]! >>> 2) + offset]!
      if (known !== 0) return known
    }
    const limit = this.core.mode64 ? Infinity : s.segLimit.get(CS)
    const rip = this.core.mode64 ? 0 : w[ripAt]! >>> 0
    if (rip > limit) {
      this.core.mmu.pending = new Fault(Vector.GP, 0)
      return 0
    }
    const physical = this.core.mmu.translateFetch(low, high)
    if (physical < 0) return 0
    const host = this.core.physical.host(physical)
    // code outside DRAM, and code close to the segment's end, is decoded an instruction at a time
    if (host === 0 || limit - rip < 4096) return this.single(offset)
    const mode = codeMode(this.core.codeSize)
    const page = this.code.page(host - offset, mode)
    const record = this.code.record(page, offset)
    const current = this.code.page(host - offset, mode)
    if (limit - (rip - offset) >= 4095) {
      if (w[entry] === -1 && w[entry + 1] === -1) this.filled.push(entry)
      w[entry] = low & ~0xfff
      w[entry + 1] = high
      w[entry + 2] = current.table
    }
    return record
  }

  /** Empties both code TLBs: after a change of translations, of CS, or of decoded code. */
  forget(): void {
    for (const entry of this.filled) this.words.fill(-1, entry, entry + CodeTlb.entrySize / 4)
    this.filled.length = 0
  }

  /** After a jump that found no record: links it if it stayed in its page, so that the next time is direct. */
  jumped(): void {
    const s = this.core.state
    const from = s.from
    if (from === 0) return
    const w = this.words
    const at = this.at
    const baseLow = w[at.ripBase]!
    const baseHigh = w[at.ripBase + 1]!
    const distance = (w[at.rip]! - baseLow) | 0
    const flushes = this.code.counters.flushes + this.code.counters.dropped
    if (distance < 0 || distance >= 4096 || from === this.record0) return
    const record = this.lookup()
    if (record === 0) {
      this.core.mmu.pending = undefined // found again, and raised, when the code is run
      return
    }
    if (w[at.ripBase] === baseLow && w[at.ripBase + 1] === baseHigh && record !== this.record0 && flushes === this.code.counters.flushes + this.code.counters.dropped) this.code.link(from, record)
  }

  /** The record for the instruction at RIP, which crosses a page and is decoded from both; 0: `mmu.pending` says why not. */
  crossing(crossing: number): number {
    const w = this.words
    const from = this.record0 >>> 2
    if (this.crossingsOf !== this.code.counters.flushes) {
      this.crossingsOf = this.code.counters.flushes
      this.crossings.clear()
    }
    const known = this.crossings.get(crossing)
    if (known && this.sameBytes(known)) {
      w.set(known.records, from)
      return this.record0
    }
    const record = this.single(w[this.at.rip]! & 0xfff)
    if (record !== 0) {
      const length = this.core.physical.bytes[this.record0 + Record.length]!
      const inFirst = 4096 - ((w[this.at.rip]! + w[this.at.csBase]!) & 0xfff)
      if (this.core.mode64 && length > inFirst && !this.code.lastCrossingAssists) {
        if (this.crossings.size >= CROSSINGS) this.crossings.clear()
        const rest = this.fetchedBytes.slice(inFirst, length)
        this.crossings.set(crossing, { rest, records: w.slice(from, from + (2 * Record.size) / 4) })
      }
    }
    return record
  }

  /** Does the second page still hold the rest of a page-crossing instruction? (A store into the first drops the record itself.) */
  private sameBytes(known: Crossing): boolean {
    const w = this.words
    const page = w[this.at.rip]! & ~0xfff
    const physical = this.core.mmu.translateFetch((page + 4096) | 0, w[this.at.rip + 1]! + (page === -4096 ? 1 : 0))
    if (physical < 0) {
      this.core.mmu.takePending()
      return false
    }
    const host = this.core.physical.host(physical)
    return host !== 0 && known.rest.every((b, i) => this.core.physical.bytes[host + i] === b)
  }
  private readonly crossings = new Map<number, Crossing>()
  /** The arena's generation that `crossings` speaks of. */
  private crossingsOf = 0
  private fetchedBytes = new Uint8Array(15)

  /** Fetches and decodes one instruction byte by byte into the processor's own record. 0: `mmu.pending` says why not. */
  private single(offset: number): number {
    const s = this.core.state
    const bytes = this.fetchedBytes
    const limit = this.core.mode64 ? Infinity : s.segLimit.get(CS)
    let n = 0
    while (n < 15) {
      const rip = s.rip + BigInt(n)
      if (!this.core.mode64 && Number(rip) > limit) {
        this.core.mmu.pending = new Fault(Vector.GP, 0)
        return 0
      }
      const linear = (rip + s.csBase) & s.linearMask
      const low = Number(linear & 0xffff_ffffn) | 0
      const physical = this.core.mmu.translateFetch(low, Number(linear >> 32n) | 0)
      if (physical < 0) return 0
      const host = this.core.physical.host(physical)
      bytes[n++] = host === 0 ? this.core.physical.read(physical, 1) : this.core.physical.bytes[host]!
      if (this.code.lengthOf(bytes.subarray(0, n), this.core.codeSize) > 0) break
    }
    this.code.writeCrossing(this.record0, bytes.subarray(0, n), offset, this.core.codeSize)
    return this.record0
  }
}

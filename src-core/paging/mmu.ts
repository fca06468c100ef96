// The memory unit of one processor: what compiled code calls when its inline TLB check misses, and code fetches.
// Canonical addresses SDM 1 3.3.7.1 · page faults 3A 4.7 · alignment checks 3A 6.15, #AC · data breakpoints 3B 17.2.
// Stores that cross pages or reach a chip are held in the bounce slots and committed when the instruction is complete.

import { Vector } from '../arch/exceptions.ts'
import { Bus } from '../memory/bus.ts'
import type { AccessSize } from '../memory/device.ts'
import type { PhysicalMemory } from '../memory/physical.ts'
import { DataBreakpoints } from './breakpoints.ts'
import type { CodePages } from './code-pages.ts'
import { FetchCache } from './fetch.ts'
import { CR4_SMAP, GuestWalker, Walk, type PagingRegisters } from './guest.ts'
import { SoftwareTlb, World } from './tlb.ts'

/** Byte offsets of the fields of a processor block that the unit uses. */
export interface MmuRegisters extends PagingRegisters {
  readonly cpl: number
  readonly rflags: number
  readonly dr: number
  readonly budget: number
  readonly bounce: number
  readonly pendingDebug: number
  readonly linearMask: number
}

export interface MmuPorts {
  /** Makes what an instruction ends with: a fault, with CR2's value for page faults. */
  fault(vector: number, errorCode: number, address?: bigint): object
  /** Before a chip is reached. Throws what ends the instruction when it must run again later. */
  synchronize(): void
  /** Takes cycles from the processor, inside compiled code or out of it. Without it, always from the slice. */
  charge?(cycles: number): void
  /** Translations were dropped: of one page, or all. */
  flushed(all: boolean, low: number, high: number): void
}

/** Cycles charged when a translation is filled, by node of the frame (empty: nothing), and for each entry the walk to a 4 KiB page read. */
export interface RefillCosts {
  readonly byNode: readonly number[]
  readonly reference: number
  /** For each access to a chip of the board, not to the processor's own. */
  readonly chip?: number
}

export interface MmuOptions {
  readonly physical: PhysicalMemory
  /** Host address of the processor block, and its layout. */
  readonly base: number
  readonly offsets: MmuRegisters
  /** Host address of TLB_SIZE bytes. */
  readonly tlb: number
  readonly code: CodePages
  readonly ports: MmuPorts
  readonly costs?: RefillCosts
  /** Chips only this processor sees, ahead of the board's: its local APIC. */
  readonly local?: Bus
}

/** Argument `info` of `slow`: bytes in bits 7:0, then how the operand is used. */
export const Slow = { size: 0xff, write: 1 << 8, stack: 1 << 9, aligned: 1 << 10, loaded: 1 << 11 } as const

const CPL3 = 3
const EFLAGS_AC = 1 << 18
const CR0_AM = 1 << 18
const SLOT = 16

/** A store waiting for its instruction to complete: up to two pieces, each in DRAM (host) or at a chip. */
interface HeldStore {
  slot: number
  firstHost: number
  firstChip: number
  firstSize: number
  secondHost: number
  secondChip: number
  secondSize: number
}

export class Mmu {
  readonly tlb: SoftwareTlb
  readonly walker: GuestWalker
  readonly local: Bus
  readonly physical: PhysicalMemory
  readonly code: CodePages
  readonly ports: MmuPorts
  costs: RefillCosts
  /** What ended the last translation that answered 0 or -1. */
  pending: object | undefined
  /** Physical page of the last translation that found no DRAM. */
  chipPage = 0
  /** TLB refills, by node of the frame; walks; accesses to chips; page faults. */
  readonly refills: Float64Array
  walks = 0
  chipAccesses = 0
  pageFaults = 0

  private readonly words: Int32Array
  private readonly bytes: Uint8Array
  private readonly view: DataView
  private readonly fetches = new FetchCache()
  private readonly breakpoints = new DataBreakpoints()
  private alignmentChecked = false
  private readonly at: { [K in keyof MmuRegisters]: number }
  private readonly bounce: number
  private slot = 0
  private readonly held: HeldStore[] = []
  private heldCount = 0
  private cutting = false
  private charged = 0
  private heldBudget = 0

  constructor(o: MmuOptions) {
    this.physical = o.physical
    this.code = o.code
    this.ports = o.ports
    this.costs = o.costs ?? { byNode: [], reference: 0 }
    this.local = o.local ?? new Bus('local')
    this.words = new Int32Array(o.physical.memory.buffer)
    this.bytes = o.physical.bytes
    this.view = o.physical.view
    const word = (name: keyof MmuRegisters): number => (o.base + o.offsets[name]) >>> 2
    this.at = {
      cr0: word('cr0'), cr3: word('cr3'), cr4: word('cr4'), efer: word('efer'), pdpte: word('pdpte'), cpl: word('cpl'), rflags: word('rflags'),
      dr: word('dr'), budget: word('budget'), bounce: word('bounce'), pendingDebug: word('pendingDebug'), linearMask: word('linearMask'),
    }
    this.bounce = o.base + o.offsets.bounce
    this.tlb = new SoftwareTlb(o.physical.memory, o.tlb, o.code, o.physical.dramBase)
    this.walker = new GuestWalker(o.physical, o.code, o.base, o.offsets)
    this.refills = new Float64Array(Math.max(1, ...o.physical.ranges.map((r) => r.node + 1)))
    for (let n = 0; n < 4; n++) this.held.push({ slot: 0, firstHost: 0, firstChip: 0, firstSize: 0, secondHost: 0, secondChip: 0, secondSize: 0 })
  }

  // ---- which translations are in force ----------------------------------------------------------

  /** The table that explicit data accesses use now. */
  world(): number {
    if (this.words[this.at.cpl] === CPL3) return World.user
    return this.words[this.at.cr4]! & CR4_SMAP && this.words[this.at.rflags]! & EFLAGS_AC ? World.supervisorAc : World.supervisor
  }

  /** Call after a change of CPL, CR0.AM or EFLAGS.AC: user accesses enter or leave alignment checking. */
  modeChanged(): void {
    const on =
      this.words[this.at.cpl] === CPL3 && (this.words[this.at.cr0]! & CR0_AM) !== 0 && (this.words[this.at.rflags]! & EFLAGS_AC) !== 0
    if (on && !this.alignmentChecked) this.tlb.flushWorld(World.user)
    this.alignmentChecked = on
  }

  /** Call after a change of DR0…DR3 or DR7. */
  debugChanged(): void {
    const before = this.breakpoints.active
    this.breakpoints.update(this.words.subarray(this.at.dr, this.at.dr + 16))
    if (before || this.breakpoints.active) this.tlb.flushAll()
  }

  flushAll(): void {
    this.tlb.flushAll()
    this.fetches.flush()
    this.ports.flushed(true, 0, 0)
  }

  flushNonGlobal(): void {
    this.tlb.flushNonGlobal()
    this.fetches.flush()
    this.ports.flushed(true, 0, 0)
  }

  flushPage(low: number, high: number): void {
    this.tlb.flushPage(low, high)
    this.fetches.flush()
    this.ports.flushed(false, low, high)
  }

  /** What must survive saving besides the processor block: the translations cached now. */
  save(): Uint8Array {
    return this.tlb.save()
  }

  /** Call when the processor block has been restored. False: `data` is no such state; nothing is cached then. */
  restore(data: Uint8Array): boolean {
    this.breakpoints.update(this.words.subarray(this.at.dr, this.at.dr + 16))
    this.modeChanged()
    this.discardDeferred()
    this.flushAll()
    return this.tlb.restore(data, this.physical.size)
  }

  /** Linear address `n` bytes behind another: wraps at 4 GiB outside 64-bit mode. */
  behind(linear: bigint, n: number): bigint {
    const sum = linear + BigInt(n)
    return this.words[this.at.linearMask + 1] === 0 && linear < 0x1_0000_0000n ? sum & 0xffff_ffffn : sum
  }

  // ---- translation ------------------------------------------------------------------------------

  canonical(high: number): boolean {
    const sign = high >> 15
    return sign === 0 || sign === -1
  }

  /** High half of the page behind the one that holds `low`, and its low half. Addresses wrap at 4 GiB outside 64-bit mode. */
  nextHigh(low: number, high: number): number {
    return (low & ~0xfff) >>> 0 === 0xfffff000 && (this.words[this.at.linearMask + 1] !== 0 || high !== 0) ? (high + 1) | 0 : high
  }

  stop(vector: number, low = 0, high = 0, errorCode = 0): -1 {
    if (vector === Vector.PF) this.pageFaults++
    const address = vector === Vector.PF ? (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0) : undefined
    this.pending = this.ports.fault(vector, errorCode, address)
    return -1
  }

  /** Host address of the page of a canonical address; 0: no DRAM there, see chipPage; -1: see pending. */
  resolve(low: number, high: number, write: boolean, world: number): number {
    const hit = this.tlb.lookup(world, low, high, write)
    if (hit !== 0) return hit
    const w = this.walker
    const user = world === World.user
    const smap = world === World.supervisor && (this.words[this.at.cr4]! & CR4_SMAP) !== 0
    this.walks++
    const answer = w.walk(low, high, write, false, user, smap)
    if (answer !== Walk.done) return this.walkEnded(answer, low, high)
    const host = w.locate(w.page)
    if (host === 0) {
      this.chipPage = w.page
      return 0
    }
    if ((this.alignmentChecked && user) || (this.breakpoints.active && this.breakpoints.inPage(low, high))) return host
    // A write after reads finds the frame cached: only a new translation costs.
    if (!write || this.tlb.lookup(world, low, high, false) === 0) this.chargeRefill()
    this.tlb.fill(world, low, high, host, w.writable(user) && this.code.holds[host >>> 12] === 0, w.global, w.bits)
    return host
  }

  private walkEnded(answer: number, low: number, high: number): -1 {
    if (answer !== Walk.stopped) return this.stop(Vector.PF, low, high, answer)
    this.pending = this.walker.stage!.stopped
    return -1
  }

  private chargeRefill(): void {
    const node = this.walker.node
    this.refills[node]!++
    const memory = this.costs.byNode[node]
    if (memory === undefined) return
    // A large page's translation stays in a processor's own TLB: 1,536 entries of 2 MiB reach over most of our DRAM (SDM 3A 4.10.2).
    const walk = this.walker.bits === 12 ? this.costs.reference * this.walker.references : 0
    this.spend(memory + walk)
  }

  /**
   * Guest-physical address of an instruction byte; -1: `pending` holds why (#PF with the I bit under NX or SMEP, #GP(0) when
   * not canonical). There may be no DRAM at the answer.
   */
  translateFetch(low: number, high: number): number {
    const user = this.words[this.at.cpl] === CPL3
    const cached = this.fetches.lookup(low, high, user)
    if (cached >= 0) return cached + (low & 0xfff)
    if (!this.canonical(high)) return this.stop(Vector.GP)
    this.walks++
    const answer = this.walker.walk(low, high, false, true, user, false)
    if (answer !== Walk.done) return this.walkEnded(answer, low, high)
    this.fetches.fill(low, high, user, this.walker.page)
    return this.walker.page + (low & 0xfff)
  }

  // ---- the slow path ----------------------------------------------------------------------------

  /**
   * Called by compiled code when its inline check fails; `info` as in `Slow` (`loaded`: an operand that is written is read
   * first). Answers a host address good for the access until the instruction ends, or 0 with `pending` set.
   */
  slow(_record: number, low: number, high: number, info: number): number {
    const size = info & Slow.size
    const write = (info & Slow.write) !== 0
    if (info & Slow.aligned && low & 15) return this.stop(Vector.GP) + 1
    if (!this.canonical(high)) return this.stop(info & Slow.stack ? Vector.SS : Vector.GP) + 1
    const world = this.world()
    const offset = low & 0xfff
    const first = Math.min(size, 4096 - offset)
    let nextLow = 0
    let nextHigh = 0
    if (first < size) {
      nextLow = ((low & ~0xfff) + 4096) | 0
      nextHigh = this.nextHigh(low, high)
      if (!this.canonical(nextHigh)) return this.stop(info & Slow.stack ? Vector.SS : Vector.GP) + 1
    }
    const page = this.resolve(low, high, write, world)
    if (page < 0) return 0
    const firstChip = page === 0 ? this.chipPage + offset : 0
    if (first === size && page > 0) {
      if (this.alignmentChecked && !this.aligned(low, size)) return this.stop(Vector.AC) + 1
      if (this.watch(low, high, size, write)) this.cut()
      const host = page + offset
      if (write && this.code.holds[host >>> 12] !== 0 && this.code.written(host, size)) this.cut()
      return host
    }
    let next = 0
    if (first < size) {
      next = this.resolve(nextLow, nextHigh, write, world)
      if (next < 0) return 0
    }
    const nextChip = first < size && next === 0 ? this.chipPage : 0
    if (this.alignmentChecked && !this.aligned(low, size)) return this.stop(Vector.AC) + 1
    if (page === 0 || (first < size && next === 0)) {
      try {
        this.ports.synchronize()
      } catch (reason) {
        this.pending = reason as object
        return 0
      }
    }
    if (this.watch(low, high, size, write)) this.cut()
    this.slot = (this.slot + 1) & 3
    const slot = this.bounce + this.slot * SLOT
    if (!write || (info & Slow.loaded) !== 0) {
      this.gather(page === 0 ? 0 : page + offset, firstChip, first, slot)
      if (first < size) this.gather(next, nextChip, size - first, slot + first)
    }
    if (write) this.hold(slot, page === 0 ? 0 : page + offset, firstChip, first, next, nextChip, size - first)
    return slot
  }

  private hold(slot: number, firstHost: number, firstChip: number, firstSize: number, secondHost: number, secondChip: number, secondSize: number): void {
    const h = this.held[this.heldCount++ & 3]!
    h.slot = slot
    h.firstHost = firstHost
    h.firstChip = firstChip
    h.firstSize = firstSize
    h.secondHost = secondHost
    h.secondChip = secondChip
    h.secondSize = secondSize
    this.cut()
  }

  /** Performs the stores held back by the instruction that is now complete, in its order. */
  commitDeferred(): void {
    const count = Math.min(this.heldCount, 4)
    this.heldCount = 0
    for (let n = 0; n < count; n++) {
      const h = this.held[n]!
      this.scatter(h.firstHost, h.firstChip, h.firstSize, h.slot)
      if (h.secondSize > 0) this.scatter(h.secondHost, h.secondChip, h.secondSize, h.slot + h.firstSize)
    }
  }

  /** Forgets them: the instruction ended without effect. */
  discardDeferred(): void {
    this.heldCount = 0
  }

  get deferred(): boolean {
    return this.heldCount > 0
  }

  /** Copies `size` bytes at a host address, or read from a chip, to host address `to`. */
  gather(host: number, chip: number, size: number, to: number): void {
    if (host !== 0) {
      this.bytes.copyWithin(to, host, host + size)
      return
    }
    const bus = this.bus(chip)
    for (let n = 0; n < size; ) {
      const step: AccessSize = size - n >= 4 ? 4 : size - n >= 2 ? 2 : 1
      const v = bus.read(chip + n, step)
      if (step === 4) this.view.setUint32(to + n, v, true)
      else if (step === 2) this.view.setUint16(to + n, v, true)
      else this.bytes[to + n] = v
      n += step
    }
  }

  /** Stores `size` bytes from host address `from` to DRAM or a chip. */
  scatter(host: number, chip: number, size: number, from: number): void {
    if (host !== 0) {
      if (this.code.holds[host >>> 12] !== 0) this.code.written(host, size)
      this.bytes.copyWithin(host, from, from + size)
      return
    }
    const bus = this.bus(chip)
    for (let n = 0; n < size; ) {
      const step: AccessSize = size - n >= 4 ? 4 : size - n >= 2 ? 2 : 1
      bus.write(chip + n, step, step === 4 ? this.view.getUint32(from + n, true) : step === 2 ? this.view.getUint16(from + n, true) : this.bytes[from + n]!)
      n += step
    }
  }

  /** Who answers at a physical address without DRAM; the access is counted and charged. */
  private bus(chip: number): Bus {
    this.chipAccesses++
    if (this.local.find(chip)) return this.local
    if (this.costs.chip !== undefined) this.spend(this.costs.chip)
    return this.physical.mmio
  }

  /** Host address of a free bounce slot of 16 bytes. */
  takeSlot(): number {
    this.slot = (this.slot + 1) & 3
    return this.bounce + this.slot * SLOT
  }

  /** Is alignment checking on, and `low` not a multiple of the operand's natural alignment (SDM 3A table 6-7)? */
  misaligned(low: number, size: number): boolean {
    return this.alignmentChecked && !this.aligned(low, size)
  }

  private aligned(low: number, size: number): boolean {
    const natural = size >= 16 ? 16 : size >= 8 ? 8 : size >= 4 ? 4 : size
    return (low & (natural - 1)) === 0
  }

  /** Records data breakpoints that an access hits; they trap when the instruction is complete. True if there was one. */
  watch(low: number, high: number, size: number, write: boolean): boolean {
    if (!this.breakpoints.active) return false
    const bits = this.breakpoints.match(low, high, size, write)
    this.words[this.at.pendingDebug]! |= bits
    return bits !== 0
  }

  // ---- the slice --------------------------------------------------------------------------------

  private spend(cycles: number): void {
    if (this.ports.charge) this.ports.charge(cycles)
    else this.charge(cycles)
  }

  /** Takes cycles out of the slice. */
  charge(cycles: number): void {
    this.charged += cycles
    if (this.cutting) this.heldBudget -= cycles
    else this.words[this.at.budget]! -= cycles
  }

  /** Cycles charged since the last call. */
  takeCharged(): number {
    const c = this.charged
    this.charged = 0
    return c
  }

  /** Cycles left in the slice, cut or not. */
  remaining(): number {
    return this.cutting ? this.heldBudget + this.words[this.at.budget]! : this.words[this.at.budget]!
  }

  /** Makes compiled code return behind this instruction. */
  cut(): void {
    if (this.cutting) return
    this.cutting = true
    this.heldBudget = this.words[this.at.budget]!
    this.words[this.at.budget] = 0
  }

  /** After compiled code has returned: gives the slice its cycles back. True if it had been cut. */
  endCut(): boolean {
    if (!this.cutting) return false
    this.cutting = false
    this.words[this.at.budget]! += this.heldBudget
    this.heldBudget = 0
    return true
  }

  takePending(): object | undefined {
    const p = this.pending
    this.pending = undefined
    return p
  }
}

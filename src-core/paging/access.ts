// Linear memory as assists use it, over the memory unit: same translations, chips, code pages and breakpoints as compiled code.
// Implicit supervisor accesses ('system') go by the rules of SDM 3A 4.6: supervisor rights, SMAP whatever EFLAGS.AC.

import { Vector } from '../arch/exceptions.ts'
import type { Access, LinearMemory } from './linear.ts'
import type { Mmu } from './mmu.ts'
import { World } from './tlb.ts'

export class LinearAccess implements LinearMemory {
  private readonly cell = new BigUint64Array(1)
  private readonly halves = new Int32Array(this.cell.buffer)
  private readonly view: DataView
  private readonly bytes: Uint8Array
  // Where the pieces of the access just placed lie: host address, or 0 and a chip's.
  private host = 0
  private chip = 0
  private first = 0
  private nextHost = 0
  private nextChip = 0

  constructor(private readonly mmu: Mmu) {
    this.view = mmu.physical.view
    this.bytes = mmu.physical.bytes
  }

  /** Translates an access of at most a page; throws what ends the instruction. True: all of it lies in DRAM, in one page. */
  private place(linear: bigint, size: number, write: boolean, access: Access, stack = false): boolean {
    const m = this.mmu
    this.cell[0] = linear
    const low = this.halves[0]!
    const high = this.halves[1]!
    if (!m.canonical(high)) throw this.fail(stack)
    const world = access === 'system' ? World.supervisor : m.world()
    const offset = low & 0xfff
    this.first = Math.min(size, 4096 - offset)
    const page = m.resolve(low, high, write, world)
    if (page < 0) throw m.takePending()
    this.host = page === 0 ? 0 : page + offset
    this.chip = page === 0 ? m.chipPage + offset : 0
    if (this.first < size) {
      const nextHigh = m.nextHigh(low, high)
      if (!m.canonical(nextHigh)) throw this.fail(stack)
      const next = m.resolve(((low & ~0xfff) + 4096) | 0, nextHigh, write, world)
      if (next < 0) throw m.takePending()
      this.nextHost = next
      this.nextChip = next === 0 ? m.chipPage : 0
    }
    return page > 0 && this.first === size
  }

  private fail(stack: boolean): object {
    this.mmu.stop(stack ? Vector.SS : Vector.GP)
    return this.mmu.takePending()!
  }

  /** What follows translation: alignment, other processors' time, breakpoints. */
  private permit(size: number, write: boolean, access: Access): void {
    const low = this.halves[0]!
    if (access === 'data' && this.mmu.misaligned(low, size)) {
      this.mmu.stop(Vector.AC)
      throw this.mmu.takePending()
    }
    if (this.host === 0 || (this.first < size && this.nextHost === 0)) this.mmu.ports.synchronize()
    if (access === 'data') this.mmu.watch(low, this.halves[1]!, size, write)
  }

  /** Host address where a scalar of `size` bytes can be read. */
  private load(linear: bigint, size: number, access: Access): number {
    const plain = this.place(linear, size, false, access)
    this.permit(size, false, access)
    if (plain) return this.host
    const slot = this.mmu.takeSlot()
    this.mmu.gather(this.host, this.chip, this.first, slot)
    if (this.first < size) this.mmu.gather(this.nextHost, this.nextChip, size - this.first, slot + this.first)
    return slot
  }

  read8(linear: bigint, access: Access = 'data'): number {
    return this.bytes[this.load(linear, 1, access)]!
  }

  read16(linear: bigint, access: Access = 'data'): number {
    return this.view.getUint16(this.load(linear, 2, access), true)
  }

  read32(linear: bigint, access: Access = 'data'): number {
    return this.view.getUint32(this.load(linear, 4, access), true)
  }

  read64(linear: bigint, access: Access = 'data'): bigint {
    return this.view.getBigUint64(this.load(linear, 8, access), true)
  }

  /** Where a store is prepared: its place, or a bounce slot that `stored` empties. */
  private target(linear: bigint, size: number, access: Access): number {
    const plain = this.place(linear, size, true, access)
    this.permit(size, true, access)
    if (!plain) return this.mmu.takeSlot()
    if (this.mmu.code.holds[this.host >>> 12] !== 0) this.mmu.code.written(this.host, size)
    return this.host
  }

  private stored(at: number, size: number): void {
    if (at === this.host) return
    this.mmu.scatter(this.host, this.chip, this.first, at)
    if (this.first < size) this.mmu.scatter(this.nextHost, this.nextChip, size - this.first, at + this.first)
  }

  write8(linear: bigint, value: number, access: Access = 'data'): void {
    const at = this.target(linear, 1, access)
    this.bytes[at] = value
    this.stored(at, 1)
  }

  write16(linear: bigint, value: number, access: Access = 'data'): void {
    const at = this.target(linear, 2, access)
    this.view.setUint16(at, value & 0xffff, true)
    this.stored(at, 2)
  }

  write32(linear: bigint, value: number, access: Access = 'data'): void {
    const at = this.target(linear, 4, access)
    this.view.setUint32(at, value >>> 0, true)
    this.stored(at, 4)
  }

  write64(linear: bigint, value: bigint, access: Access = 'data'): void {
    const at = this.target(linear, 8, access)
    this.view.setBigUint64(at, BigInt.asUintN(64, value), true)
    this.stored(at, 8)
  }

  readBytes(linear: bigint, length: number, access: Access = 'data'): Uint8Array {
    const out = new Uint8Array(length)
    for (let n = 0; n < length; ) {
      const step = Math.min(16, length - n)
      const at = this.loadUnaligned(this.mmu.behind(linear, n), step, access)
      out.set(this.bytes.subarray(at, at + step), n)
      n += step
    }
    return out
  }

  private loadUnaligned(linear: bigint, size: number, access: Access): number {
    const plain = this.place(linear, size, false, access)
    if (this.host === 0 || (this.first < size && this.nextHost === 0)) this.mmu.ports.synchronize()
    if (access === 'data') this.mmu.watch(this.halves[0]!, this.halves[1]!, size, false)
    if (plain) return this.host
    const slot = this.mmu.takeSlot()
    this.mmu.gather(this.host, this.chip, this.first, slot)
    if (this.first < size) this.mmu.gather(this.nextHost, this.nextChip, size - this.first, slot + this.first)
    return slot
  }

  writeBytes(linear: bigint, data: Uint8Array, access: Access = 'data'): void {
    this.probe(linear, data.length, true, access)
    for (let n = 0; n < data.length; ) {
      const step = Math.min(16, data.length - n)
      this.place(this.mmu.behind(linear, n), step, true, access)
      if (this.host === 0 || (this.first < step && this.nextHost === 0)) this.mmu.ports.synchronize()
      if (access === 'data') this.mmu.watch(this.halves[0]!, this.halves[1]!, step, true)
      const slot = this.mmu.takeSlot()
      this.bytes.set(data.subarray(n, n + step), slot)
      this.mmu.scatter(this.host, this.chip, this.first, slot)
      if (this.first < step) this.mmu.scatter(this.nextHost, this.nextChip, step - this.first, slot + this.first)
      n += step
    }
  }

  probe(linear: bigint, length: number, write: boolean, access: Access = 'data', stack = false): void {
    for (let n = 0; n < length; ) {
      const at = this.mmu.behind(linear, n)
      const step = Math.min(length - n, 4096 - Number(at & 0xfffn))
      this.place(at, step, write, access, stack)
      n += step
    }
  }

  flushAll(): void {
    this.mmu.flushAll()
  }

  flushNonGlobal(): void {
    this.mmu.flushNonGlobal()
  }

  flushPage(linear: bigint): void {
    this.cell[0] = linear
    this.mmu.flushPage(this.halves[0]!, this.halves[1]!)
  }

  /** Translations are kept for the current PCID only, so that any PCID's are dropped by dropping those. */
  flushPcid(): void {
    this.mmu.flushNonGlobal()
  }

  debugChanged(): void {
    this.mmu.debugChanged()
  }

  loadPdptes(cr3: bigint): boolean {
    return this.mmu.walker.loadPdptes(cr3)
  }
}

// An address space of chips: the I/O ports (16 bits) or the memory-mapped regions (physical addresses).
// Accesses wider than a chip's unit are split here; what nobody claims reads as all ones and ignores writes.

import type { AccessSize, Registers } from './device.ts'

export interface Mapping {
  readonly start: number
  readonly end: number // exclusive
  readonly name: string
  readonly registers: Registers
}

/** Disjoint mappings in address order; a region can be added, moved and removed while the machine runs. */
export class Bus {
  private mappings: Mapping[] = []
  /** Accesses that reached a chip, and those that reached nobody. */
  accesses = 0
  unclaimed = 0
  /** Called after any change of the map, so that cached translations can be dropped. */
  onChange: () => void = () => {}

  constructor(
    readonly name: string,
    private readonly unclaimedAccess: (address: number, size: AccessSize, write: boolean) => void = () => {},
  ) {}

  /** Maps `length` bytes at `start`. Throws RangeError if they overlap a mapping. Returns the way to undo it. */
  map(name: string, start: number, length: number, registers: Registers): () => void {
    const end = start + length
    const clash = this.mappings.find((m) => m.start < end && start < m.end)
    if (clash) throw new RangeError(`${this.name}: ${name} at ${start.toString(16)}H overlaps ${clash.name}`)
    const mapping: Mapping = { start, end, name, registers }
    this.mappings.push(mapping)
    this.mappings.sort((a, b) => a.start - b.start)
    this.onChange()
    return () => {
      this.mappings = this.mappings.filter((m) => m !== mapping)
      this.onChange()
    }
  }

  list(): readonly Mapping[] {
    return this.mappings
  }

  /** The mapping that holds `address`, if any. */
  find(address: number): Mapping | undefined {
    let low = 0
    let high = this.mappings.length - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      const m = this.mappings[middle]!
      if (address < m.start) high = middle - 1
      else if (address >= m.end) low = middle + 1
      else return m
    }
    return undefined
  }

  read(address: number, size: AccessSize): number {
    const m = this.find(address)
    if (m && address + size <= m.end) {
      this.accesses++
      return m.registers.read(address - m.start, size)
    }
    if (size > 1 && (m || this.find(address + size - 1))) {
      const half = (size >> 1) as AccessSize
      return (this.read(address, half) | (this.read(address + half, half) << (half * 8))) >>> 0
    }
    this.unclaimed++
    this.unclaimedAccess(address, size, false)
    return size === 4 ? 0xffffffff : size === 2 ? 0xffff : 0xff
  }

  write(address: number, size: AccessSize, value: number): void {
    const m = this.find(address)
    if (m && address + size <= m.end) {
      this.accesses++
      m.registers.write(address - m.start, size, value)
      return
    }
    if (size > 1 && (m || this.find(address + size - 1))) {
      const half = (size >> 1) as AccessSize
      this.write(address, half, half === 1 ? value & 0xff : value & 0xffff)
      this.write(address + half, half, half === 1 ? (value >>> 8) & 0xff : value >>> 16)
      return
    }
    this.unclaimed++
    this.unclaimedAccess(address, size, true)
  }
}

// Firmware configuration (QEMU's fw_cfg specification): selector port 510H, data port 511H, items of bytes and files
// by name. Not modelled: the DMA interface (the ID item says so) and writes to items.

import type { AccessSize, Device, Registers, SavedState } from '../memory/device.ts'
import { restoreAs, saveAs, uint } from './state.ts'

const KEY = { signature: 0, id: 1, files: 0x19, firstFile: 0x20 } as const
const NAME_LENGTH = 56

const shape = { selector: uint(16), offset: uint(32) }

/** Little-endian bytes of an item's number. */
export function littleEndian(value: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => Math.floor(value / 2 ** (8 * i)) & 0xff)
}

export class FwCfg implements Device {
  private selector = 0
  private offset = 0
  private readonly items = new Map<number, Uint8Array>()
  /** Two ports from 510H. */
  readonly registers: Registers

  /** `items` by key (3 RAM size u64, 5 processors u16, …); `files` by name, at most 55 ASCII characters. */
  constructor(
    readonly id: string,
    items: ReadonlyMap<number, Uint8Array>,
    files: ReadonlyMap<string, Uint8Array> = new Map(),
  ) {
    this.items.set(KEY.signature, new TextEncoder().encode('QEMU'))
    this.items.set(KEY.id, littleEndian(1, 4))
    for (const [key, data] of items) this.items.set(key & 0x3fff, data)
    // Directory, big-endian: count, then 4 size, 2 key, 2 reserved, 56 name for each file in the order of names.
    const sorted = [...files].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    const directory = new Uint8Array(4 + sorted.length * (8 + NAME_LENGTH))
    const view = new DataView(directory.buffer)
    view.setUint32(0, sorted.length)
    sorted.forEach(([name, data], n) => {
      const at = 4 + n * (8 + NAME_LENGTH)
      view.setUint32(at, data.length)
      view.setUint16(at + 4, KEY.firstFile + n)
      directory.set(new TextEncoder().encode(name).subarray(0, NAME_LENGTH - 1), at + 8)
      this.items.set(KEY.firstFile + n, data)
    })
    this.items.set(KEY.files, directory)
    this.registers = { read: (o, size) => this.read(o, size), write: (o, size, value) => this.write(o, size, value) }
  }

  /** Items that do not exist, and what lies beyond an item's end, read as 0. */
  private next(): number {
    const item = this.items.get(this.selector)
    return item && this.offset < item.length ? item[this.offset++]! : 0
  }

  private read(offset: number, size: AccessSize): number {
    if (offset === 1) return this.next() // the data port is one byte wide; a wider access is split
    return size === 1 ? this.selector & 0xff : this.selector
  }

  private write(offset: number, size: AccessSize, value: number): void {
    if (offset !== 0) return
    // Bit 14 asks for writing, bit 15 for architecture-specific items, whose keys are apart.
    this.selector = (size === 1 ? value & 0xff : value & 0xffff) & ~0x4000
    this.offset = 0
  }

  save(): SavedState {
    return saveAs(1, shape, { selector: this.selector, offset: this.offset })
  }

  restore(state: SavedState): void {
    Object.assign(this, restoreAs(this.id, 1, shape, state))
  }

  reset(): void {
    this.selector = 0
    this.offset = 0
  }
}

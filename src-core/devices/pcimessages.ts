// Message-signalled interrupts of a PCI function: MSI with 64-bit addresses and per-vector masks (PCI 3.0, 6.8.1) and
// MSI-X (6.8.2). A masked vector leaves its pending bit and is sent when unmasked.

import type { MessageSink, Registers } from '../memory/device.ts'
import { dwordRegisters, merge } from './registers.ts'
import { queue, uint, type Values } from './state.ts'

/** The function's side: its configuration space and the way messages go out. */
export interface MessageSource {
  readonly config: Uint8Array
  readonly message: MessageSink
}

/** Adds the capability; returns its offset. */
type Add = (body: Uint8Array, writable: Uint8Array) => number

/** Messages go below 4 GiB or nowhere: FEE0_0000H is there. */
const send = (message: MessageSink, low: number, high: number, data: number): void => {
  if (high === 0) message(low, data)
}

//   00 id, next   02 control: 8 masks 7 64-bit 6:4 enabled 3:1 capable 0 enable
//   04 address    08 address high   0C data   10 mask   14 pending
export class Msi {
  private readonly at: number
  private readonly view: DataView

  constructor(
    private readonly source: MessageSource,
    private readonly vectors: number,
    add: Add,
  ) {
    const body = new Uint8Array(22)
    const writable = new Uint8Array(22)
    body[0] = 0x80 | (Math.round(Math.log2(vectors)) << 1)
    body[1] = 1
    writable[0] = 0x71
    writable.set([0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 2)
    new DataView(writable.buffer).setUint32(14, vectors >= 32 ? 0xffffffff : 2 ** vectors - 1, true)
    this.at = add(body, writable)
    this.view = new DataView(source.config.buffer, this.at, 24)
  }

  get enabled(): boolean {
    return (this.view.getUint8(2) & 1) !== 0
  }

  /** Sends message `vector`, or leaves it pending. Vectors beyond those the system granted share the last one. */
  raise(vector: number): void {
    const granted = Math.min(1 << ((this.view.getUint8(2) >> 4) & 7), this.vectors)
    const n = Math.min(Math.max(0, vector), granted - 1)
    if (((this.view.getUint32(0x10, true) >>> n) & 1) !== 0) {
      this.view.setUint32(0x14, (this.view.getUint32(0x14, true) | (1 << n)) >>> 0, true)
      return
    }
    // The low bits of the data are the vector's number.
    const data = (this.view.getUint16(0xc, true) & ~(granted - 1)) | n
    send(this.source.message, this.view.getUint32(4, true), this.view.getUint32(8, true), data)
  }

  /** After a configuration write: sends what was unmasked. */
  changed(): void {
    const ready = this.view.getUint32(0x14, true) & ~this.view.getUint32(0x10, true)
    if (ready === 0 || !this.enabled) return
    this.view.setUint32(0x14, this.view.getUint32(0x14, true) & this.view.getUint32(0x10, true), true)
    for (let n = 0; n < 32; n++) if (((ready >>> n) & 1) !== 0) this.raise(n)
  }

  /** Takes the pending bits, which no guest writes, from a saved configuration space. */
  restored(config: Uint8Array): void {
    this.source.config.set(config.subarray(this.at + 0x14, this.at + 0x18), this.at + 0x14)
  }
}

const WORDS = 4 // an entry: address, address high, data, control (bit 0 mask)

export const msixShape = { table: queue(uint(32), 2048 * WORDS), pending: queue(uint(32), 64) }

//   00 id, next   02 control: 15 enable 14 mask all 10:0 vectors - 1   04 table offset and BAR   08 pending offset and BAR
export class Msix {
  private entries: number[]
  private bits: number[]
  private readonly at: number
  /** 16 bytes a vector. */
  readonly table: Registers
  /** One bit a vector, in units of 8 bytes. */
  readonly pending: Registers

  constructor(
    private readonly source: MessageSource,
    private readonly vectors: number,
    bar: number,
    tableOffset: number,
    pendingOffset: number,
    add: Add,
  ) {
    this.entries = this.power()
    this.bits = new Array<number>(Math.ceil(vectors / 64) * 2).fill(0)
    const body = new Uint8Array(10)
    const view = new DataView(body.buffer)
    view.setUint16(0, vectors - 1, true)
    view.setUint32(2, tableOffset | bar, true)
    view.setUint32(6, pendingOffset | bar, true)
    const writable = new Uint8Array(10)
    writable[1] = 0xc0
    this.at = add(body, writable)
    this.table = dwordRegisters(
      (offset) => this.entries[offset >> 2] ?? 0,
      (offset, value, lanes) => this.write(offset >> 2, value, lanes),
    )
    this.pending = dwordRegisters(
      (offset) => this.bits[offset >> 2] ?? 0,
      () => {},
    )
  }

  private power(): number[] {
    return Array.from({ length: this.vectors * WORDS }, (_, i) => (i % WORDS === 3 ? 1 : 0))
  }

  private get control(): number {
    return this.source.config[this.at + 3]!
  }

  get enabled(): boolean {
    return (this.control & 0x80) !== 0
  }

  get state(): Values<typeof msixShape> {
    return { table: this.entries, pending: this.bits }
  }

  /** A state of another number of vectors is cut or filled up. */
  set state({ table, pending }: Values<typeof msixShape>) {
    this.entries = this.power().map((word, i) => table[i] ?? word)
    this.bits = this.bits.map((_, i) => pending[i] ?? 0)
  }

  reset(): void {
    this.entries = this.power()
    this.bits.fill(0)
  }

  /** Sends message `vector`, or leaves it pending. Vectors the function does not have are ignored. */
  raise(vector: number): void {
    if (!(vector >= 0 && vector < this.vectors)) return
    const at = vector * WORDS
    if ((this.control & 0x40) !== 0 || (this.entries[at + 3]! & 1) !== 0) {
      this.bits[vector >> 5] = (this.bits[vector >> 5]! | (1 << (vector & 31))) >>> 0
      return
    }
    this.bits[vector >> 5] = (this.bits[vector >> 5]! & ~(1 << (vector & 31))) >>> 0
    send(this.source.message, this.entries[at]!, this.entries[at + 1]!, this.entries[at + 2]!)
  }

  private write(word: number, value: number, lanes: number): void {
    if (word >= this.entries.length) return
    const old = this.entries[word]!
    const kind = word % WORDS
    this.entries[word] = (merge(old, value, lanes) & (kind === 0 ? ~3 : kind === 3 ? 1 : -1)) >>> 0
    if (kind === 3) this.flush(Math.floor(word / WORDS))
  }

  private flush(vector: number): void {
    if (this.enabled && ((this.bits[vector >> 5]! >>> (vector & 31)) & 1) !== 0) this.raise(vector)
  }

  /** After a configuration write: sends what the function mask had held back. */
  changed(): void {
    if ((this.control & 0xc0) !== 0x80 || this.bits.every((word) => word === 0)) return
    for (let n = 0; n < this.vectors; n++) this.flush(n)
  }
}

// A growable byte buffer that speaks LEB128 (WebAssembly core specification 5.2.2). No object per instruction.

export class Bytes {
  data: Uint8Array
  length = 0

  constructor(capacity = 1 << 16) {
    this.data = new Uint8Array(capacity)
  }

  private room(count: number): void {
    if (this.length + count <= this.data.length) return
    const grown = new Uint8Array(Math.max(this.data.length * 2, this.length + count))
    grown.set(this.data.subarray(0, this.length))
    this.data = grown
  }

  u8(x: number): void {
    if (this.length + 16 > this.data.length) this.room(16)
    this.data[this.length++] = x
  }

  /** Unsigned LEB128 of 32 bits. */
  u32(x: number): void {
    x >>>= 0
    while (x > 0x7f) {
      this.u8((x & 0x7f) | 0x80)
      x >>>= 7
    }
    this.u8(x)
  }

  /** Signed LEB128 of 32 bits. */
  s32(x: number): void {
    x |= 0
    for (;;) {
      const group = x & 0x7f
      x >>= 7
      if ((x === 0 && !(group & 0x40)) || (x === -1 && group & 0x40)) return this.u8(group)
      this.u8(group | 0x80)
    }
  }

  /** Signed LEB128 of 64 bits, from two halves. */
  s64(low: number, high: number): void {
    low |= 0
    high |= 0
    for (;;) {
      const group = low & 0x7f
      low = (low >>> 7) | (high << 25)
      high >>= 7
      if ((low === 0 && high === 0 && !(group & 0x40)) || (low === -1 && high === -1 && group & 0x40)) return this.u8(group)
      this.u8(group | 0x80)
    }
  }

  raw(bytes: ArrayLike<number>): void {
    this.room(bytes.length)
    for (let i = 0; i < bytes.length; i++) this.data[this.length++] = bytes[i]!
  }

  append(other: Bytes): void {
    this.room(other.length)
    this.data.set(other.data.subarray(0, other.length), this.length)
    this.length += other.length
  }

  text(s: string): void {
    this.u32(s.length)
    for (let i = 0; i < s.length; i++) this.u8(s.charCodeAt(i))
  }

  take(): Uint8Array {
    return this.data.slice(0, this.length)
  }
}

// The form all ACPI tables share: a 36-byte header with a checksum, then fields (ACPI 6.5 5.2.6).

/** Who made the tables: six and eight characters. */
export const OEM = { id: 'RING-1', table: 'NUMASRVR', creator: 'RNG1' } as const

export const HEADER_LENGTH = 36

/** Little-endian fields one after the other. Values beyond 2^32 are exact up to 2^53. */
export class TableWriter {
  private bytes: number[] = []

  get length(): number {
    return this.bytes.length
  }

  u8(...values: number[]): this {
    for (const v of values) this.bytes.push(v & 0xff)
    return this
  }

  u16(...values: number[]): this {
    for (const v of values) this.u8(v, v >>> 8)
    return this
  }

  u32(...values: number[]): this {
    for (const v of values) this.u8(v, v >>> 8, v >>> 16, v >>> 24)
    return this
  }

  u64(...values: number[]): this {
    for (const v of values) this.u32(v % 2 ** 32, Math.floor(v / 2 ** 32))
    return this
  }

  /** ASCII, cut or filled with `fill` to `length` characters. */
  text(text: string, length = text.length, fill = ' '): this {
    for (const c of text.padEnd(length, fill).slice(0, length)) this.u8(c.charCodeAt(0))
    return this
  }

  raw(data: ArrayLike<number>): this {
    for (let i = 0; i < data.length; i++) this.u8(data[i]!)
    return this
  }

  zeros(count: number): this {
    for (let i = 0; i < count; i++) this.bytes.push(0)
    return this
  }

  /** Generic address structure of an I/O register (ACPI 6.5 5.2.3.2): space 1, width in bits, access size code. */
  port(address: number, lengthInBytes: number, access: 0 | 1 | 2 | 3 = 0): this {
    return address === 0 ? this.zeros(12) : this.u8(1, lengthInBytes * 8, 0, access).u64(address)
  }

  take(): Uint8Array {
    return Uint8Array.from(this.bytes)
  }
}

/** The byte that makes `data` sum to 0 modulo 256, `data` counted with its checksum byte as 0. */
export function checksum(data: Uint8Array): number {
  let sum = 0
  for (const b of data) sum += b
  return -sum & 0xff
}

/** A whole table: header, then `body`. */
export function table(signature: string, revision: number, body: TableWriter): Uint8Array {
  const w = new TableWriter()
  w.text(signature, 4)
    .u32(HEADER_LENGTH + body.length)
    .u8(revision, 0)
  w.text(OEM.id, 6).text(OEM.table, 8).u32(1).text(OEM.creator, 4).u32(1)
  const data = w.raw(body.take()).take()
  data[9] = checksum(data)
  return data
}

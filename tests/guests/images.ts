// Kernel images made for tests: small, complete, every field in the caller's hand.

export interface TestSegment {
  physical: number
  data: Uint8Array
  memorySize?: number
  virtual?: number
}

export interface TestElf {
  wide?: boolean
  entry?: number
  segments: TestSegment[]
  /** PVH entry point. */
  pvh?: number
}

const align = (n: number, a: number) => Math.ceil(n / a) * a

/** An executable ELF file: header, program headers, then contents at multiples of 16. */
export function elfFile({ wide = true, entry = 0, segments, pvh }: TestElf): Uint8Array {
  const note = pvh === undefined ? undefined : new Uint8Array(20)
  if (note) {
    const v = new DataView(note.buffer)
    v.setUint32(0, 4, true)
    v.setUint32(4, 4, true)
    v.setUint32(8, 18, true)
    note.set(new TextEncoder().encode('Xen\0'), 12)
    v.setUint32(16, pvh!, true)
  }
  const parts = [
    ...segments.map((s) => ({ type: 1, ...s })),
    ...(note ? [{ type: 4, physical: 0, data: note, memorySize: 20, virtual: 0 }] : []),
  ]
  const header = wide ? 64 : 52
  const size = wide ? 56 : 32
  let at = align(header + parts.length * size, 16)
  const offsets = parts.map((p) => {
    const o = at
    at = align(at + p.data.length, 16)
    return o
  })
  const out = new Uint8Array(at)
  const v = new DataView(out.buffer)
  const word = (o: number, value: number) => (wide ? v.setBigUint64(o, BigInt(value), true) : v.setUint32(o, value, true))
  out.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1])
  v.setUint16(16, 2, true)
  v.setUint16(18, wide ? 62 : 3, true)
  v.setUint32(20, 1, true)
  word(24, entry)
  word(wide ? 32 : 28, header)
  v.setUint16(wide ? 54 : 42, size, true)
  v.setUint16(wide ? 56 : 44, parts.length, true)
  for (const [i, p] of parts.entries()) {
    const h = header + i * size
    v.setUint32(h, p.type, true)
    word(h + (wide ? 8 : 4), offsets[i]!)
    word(h + (wide ? 16 : 8), p.virtual ?? p.physical)
    word(h + (wide ? 24 : 12), p.physical)
    word(h + (wide ? 32 : 16), p.data.length)
    word(h + (wide ? 40 : 20), p.memorySize ?? p.data.length)
    out.set(p.data, offsets[i]!)
  }
  return out
}

/** A Multiboot header, with address fields when given: header, load, load end, BSS end, entry. */
export function multibootHeader(flags: number, addresses?: [number, number, number, number, number]): Uint8Array {
  const out = new Uint8Array(addresses ? 32 : 12)
  const v = new DataView(out.buffer)
  const words = [0x1badb002, flags, -(0x1badb002 + flags) >>> 0, ...(addresses ?? [])]
  for (const [i, w] of words.entries()) v.setUint32(i * 4, w, true)
  return out
}

/** A bzImage with one setup sector whose protected-mode part is 512 bytes of code and then `payload`. */
export function bzImage(payload: Uint8Array, change: (view: DataView) => void = () => {}): Uint8Array {
  const start = 1024
  const body = align(512 + payload.length, 16)
  const out = new Uint8Array(start + body)
  const v = new DataView(out.buffer)
  v.setUint8(0x1f1, 1)
  v.setUint32(0x1f4, body / 16, true)
  v.setUint16(0x1fe, 0xaa55, true)
  v.setUint8(0x200, 0xeb)
  v.setUint8(0x201, 0x6a)
  v.setUint32(0x202, 0x53726448, true)
  v.setUint16(0x206, 0x20f, true)
  v.setUint8(0x211, 1)
  v.setUint32(0x22c, 0x7fffffff, true)
  v.setUint16(0x236, 1, true)
  v.setUint32(0x238, 2047, true)
  v.setUint32(0x248, 512, true)
  v.setUint32(0x24c, payload.length, true)
  v.setBigUint64(0x258, 0x1000000n, true)
  v.setUint32(0x260, 0x200000, true)
  out.set(payload, start + 512)
  change(v)
  return out
}

/** `data` with its uncompressed length behind it, as Linux's build appends it. */
export function withLength(data: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(data.length + 4)
  out.set(data)
  new DataView(out.buffer).setUint32(data.length, length, true)
  return out
}

/** A generator of 32-bit numbers with a fixed seed (xorshift32). */
export function random(seed: number): () => number {
  let x = seed >>> 0 || 1
  return () => {
    x ^= x << 13
    x >>>= 0
    x ^= x >>> 17
    x ^= x << 5
    return (x >>>= 0)
  }
}

/** 12,000 bytes that look like code: calls and jumps to a few targets, with plain bytes between them. */
export function codeSample(): Uint8Array {
  const next = random(20)
  const out = new Uint8Array(12_000)
  const v = new DataView(out.buffer)
  let at = 0
  while (at + 16 < out.length) {
    const kind = next() % 8
    if (kind < 3) {
      out[at] = 0xe8 | (next() & 1)
      v.setInt32(at + 1, (next() % 16) * 700 - (at + 5), true)
      at += 5
    } else if (kind === 3) out.set([0xe8, 0xe9, 0xe8, 0, 0xff, 0, 0], (at += 7) - 7)
    else out.set([0x48, 0x89, 0xc0 + (next() % 4), 0x90], (at += 4) - 4)
  }
  return out
}

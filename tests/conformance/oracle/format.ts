// The vector file: recorded cases as a seed, what differs from the seeded state, and what the instruction changed.
// "R1OV", version, deflated body. Independent of the generator: only seeded.ts's states are needed to read it.
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { copyState, layout, startOf, type Case, type Outcome, type Patch, type State } from './machine.ts'
import type { Masks } from './masks.ts'
import { flavors, seededState, type Flavor } from './seeded.ts'

export const formatVersion = 1

export interface Vector {
  case: Case
  outcome: Outcome
  masks: Masks
  seed: number
  flavor: Flavor
}
export interface VectorFile {
  /** where the outcomes come from, e.g. `AuthenticAMD family 25` */
  source: string
  vectors: Vector[]
}

class Writer {
  private data = new Uint8Array(1 << 16)
  private at = 0
  bytes(b: ArrayLike<number>): void {
    if (this.at + b.length > this.data.length) {
      const larger = new Uint8Array((this.at + b.length) * 2)
      larger.set(this.data)
      this.data = larger
    }
    this.data.set(b, this.at)
    this.at += b.length
  }
  /** unsigned LEB128 */
  number(n: number): void {
    const out: number[] = []
    for (; n > 127; n = Math.floor(n / 128)) out.push((n % 128) | 128)
    this.bytes([...out, n])
  }
  big(n: bigint): void {
    const out = new Uint8Array(8)
    new DataView(out.buffer).setBigUint64(0, n, true)
    this.bytes(out)
  }
  /** signed, zigzag LEB128 */
  signed(n: bigint): void {
    let z = BigInt.asUintN(64, (n << 1n) ^ (n >> 63n))
    const out: number[] = []
    for (; z > 127n; z >>= 7n) out.push(Number(z & 127n) | 128)
    this.bytes([...out, Number(z)])
  }
  text(s: string): void {
    const b = new TextEncoder().encode(s)
    this.number(b.length)
    this.bytes(b)
  }
  patches(list: readonly Patch[]): void {
    this.number(list.length)
    for (const p of list) {
      this.number(p.offset)
      this.number(p.bytes.length)
      this.bytes(p.bytes)
    }
  }
  take(): Uint8Array {
    return this.data.subarray(0, this.at)
  }
}

class Reader {
  private at = 0
  constructor(private readonly data: Uint8Array) {}
  bytes(n: number): Uint8Array {
    if (this.at + n > this.data.length) throw new Error('vector file ends early')
    return this.data.slice(this.at, (this.at += n))
  }
  number(): number {
    let n = 0
    for (let scale = 1; scale < 2 ** 50; scale *= 128) {
      const b = this.bytes(1)[0]!
      n += (b & 127) * scale
      if (b < 128) return n
    }
    throw new Error('vector file has a number that does not end')
  }
  big(): bigint {
    return new DataView(this.bytes(8).buffer).getBigUint64(0, true)
  }
  signed(): bigint {
    let z = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const b = this.bytes(1)[0]!
      z |= BigInt(b & 127) << shift
      if (b < 128) return BigInt.asIntN(64, (z >> 1n) ^ -(z & 1n))
    }
    throw new Error('vector file has a number that does not end')
  }
  text(): string {
    return new TextDecoder().decode(this.bytes(this.number()))
  }
  patches(): Patch[] {
    return Array.from({ length: this.number() }, () => {
      const offset = this.number()
      const bytes = this.bytes(this.number())
      if (offset + bytes.length > layout.dataSize) throw new Error('vector file has a patch outside the data pages')
      return { offset, bytes }
    })
  }
}

const words = ['rflags', 'mxcsr', 'fcw', 'fsw', 'ftw'] as const
const bases = ['rip', 'fsBase', 'gsBase'] as const

/** `to` as what differs from `from`. Registers by a mask each of which bit n stands for number n. */
function writeState(w: Writer, from: State, to: State): void {
  const differs = (a: Uint8Array, b: Uint8Array, n: number, size: number): boolean =>
    a.subarray(n * size, n * size + size).some((v, k) => v !== b[n * size + k])
  const indices = (count: number, differ: (n: number) => boolean): number[] => Array.from({ length: count }, (_, n) => n).filter(differ)
  const bits = (list: number[]): number => list.reduce((m, n) => m + 2 ** n, 0)
  const gpr = indices(16, (n) => from.gpr[n] !== to.gpr[n])
  const xmm = indices(16, (n) => differs(from.xmm, to.xmm, n, 16))
  const st = indices(8, (n) => differs(from.st, to.st, n, 10))
  const word = indices(words.length, (n) => from[words[n]!] !== to[words[n]!])
  const base = indices(bases.length, (n) => from[bases[n]!] !== to[bases[n]!])
  w.number(bits(word) + 32 * bits(base) + 256 * (gpr.length > 0 ? 1 : 0) + 512 * (xmm.length > 0 ? 1 : 0) + 1024 * (st.length > 0 ? 1 : 0))
  for (const n of word) w.number(to[words[n]!])
  for (const n of base) w.signed(BigInt.asIntN(64, to[bases[n]!] - from[bases[n]!]))
  if (gpr.length > 0) w.number(bits(gpr))
  for (const n of gpr) w.big(to.gpr[n]!)
  if (xmm.length > 0) w.number(bits(xmm))
  for (const n of xmm) w.bytes(to.xmm.subarray(n * 16, n * 16 + 16))
  if (st.length > 0) w.number(bits(st))
  for (const n of st) w.bytes(to.st.subarray(n * 10, n * 10 + 10))
}

// prettier-ignore
function readState(r: Reader, from: State): State {
  const to = copyState(from)
  const kinds = r.number()
  words.forEach((name, n) => { if (kinds & (1 << n)) to[name] = r.number() })
  bases.forEach((name, n) => { if (kinds & (32 << n)) to[name] = BigInt.asUintN(64, from[name] + r.signed()) })
  const gpr = kinds & 256 ? r.number() : 0
  for (let n = 0; n < 16; n++) if (gpr & (1 << n)) to.gpr[n] = r.big()
  const xmm = kinds & 512 ? r.number() : 0
  for (let n = 0; n < 16; n++) if (xmm & (1 << n)) to.xmm.set(r.bytes(16), n * 16)
  const st = kinds & 1024 ? r.number() : 0
  for (let n = 0; n < 8; n++) if (st & (1 << n)) to.st.set(r.bytes(10), n * 10)
  return to
}

/** The state an outcome is written against: RIP behind the instruction, or at it for an exception. */
const expected = (c: Case, faulted: boolean): State => ({ ...c.state, rip: faulted ? startOf(c) : BigInt(layout.codeEnd) })

export function encodeVectors(file: VectorFile): Uint8Array {
  const w = new Writer()
  w.text(file.source)
  w.number(file.vectors.length)
  let code = ''
  for (const { case: c, outcome: o, masks: m, seed, flavor } of file.vectors) {
    const faulted = o.vector !== null
    const extra = m.rflags !== 0 || m.fsw !== 0 || m.ignored.length > 0
    w.number((c.code !== code ? 1 : 0) | (c.repeat ? 2 : 0) | (faulted ? 4 : 0) | (extra ? 8 : 0) | (flavors.indexOf(flavor) << 4))
    if (c.code !== code) w.text((code = c.code))
    w.number(seed)
    w.number(c.bytes.length)
    w.bytes(c.bytes)
    writeState(w, { ...seededState(seed, flavor), rip: startOf(c) }, c.state)
    w.patches(c.patches)
    if (extra) {
      w.number(m.rflags)
      w.number(m.fsw)
      w.number(m.ignored.length)
      for (const i of m.ignored) {
        w.number(i.offset)
        w.number(i.length)
      }
    }
    if (faulted) {
      w.number(o.vector!)
      w.number(o.errorCode)
      w.signed(BigInt.asIntN(64, o.cr2))
    }
    writeState(w, expected(c, faulted), o.state)
    w.patches(o.changes)
  }
  const body = deflateRawSync(w.take(), { level: 9 })
  const out = new Uint8Array(5 + body.length)
  out.set([0x52, 0x31, 0x4f, 0x56, formatVersion])
  out.set(body, 5)
  return out
}

/** Throws an Error with the reason if the data is not a vector file of this version or is damaged. */
export function decodeVectors(data: Uint8Array): VectorFile {
  if (data.length < 5 || String.fromCharCode(...data.subarray(0, 4)) !== 'R1OV') throw new Error('not a vector file')
  if (data[4] !== formatVersion) throw new Error(`vector file has version ${data[4]}, this reader knows ${formatVersion}`)
  const r = new Reader(new Uint8Array(inflateRawSync(data.subarray(5)))) // a copy: slices of a Buffer share its memory
  const source = r.text()
  const vectors: Vector[] = []
  let code = ''
  for (let left = r.number(); left > 0; left--) {
    const head = r.number()
    if (head & 1) code = r.text()
    const flavor = flavors[head >> 4]
    if (flavor === undefined) throw new Error('vector file names an unknown flavor')
    const seed = r.number()
    const bytes = r.bytes(r.number())
    const c: Case = { code, bytes, patches: [], state: seededState(seed, flavor), repeat: (head & 2) !== 0 }
    c.state = readState(r, { ...c.state, rip: startOf(c) })
    c.patches = r.patches()
    const masks: Masks = { rflags: 0, fsw: 0, ignored: [] }
    if (head & 8) {
      masks.rflags = r.number()
      masks.fsw = r.number()
      masks.ignored = Array.from({ length: r.number() }, () => ({ offset: r.number(), length: r.number() }))
    }
    const faulted = (head & 4) !== 0
    const vector = faulted ? r.number() : null
    const errorCode = faulted ? r.number() : 0
    const cr2 = faulted ? BigInt.asUintN(64, r.signed()) : 0n
    const state = readState(r, expected(c, faulted))
    vectors.push({ case: c, outcome: { state, changes: r.patches(), vector, errorCode, cr2 }, masks, seed, flavor })
  }
  return { source, vectors }
}

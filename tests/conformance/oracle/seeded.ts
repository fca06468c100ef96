// Seeded inputs: the pseudo-random source, boundary-biased values and the register state a seed stands for.
// FROZEN: committed vectors keep seeds, not register values. Any change of what a seed yields needs a new formatVersion.
import { layout, type State } from './machine.ts'

/** xorshift32 over a hashed seed; same sequence everywhere. */
export class Seeded {
  private s: number
  constructor(seed: number) {
    let h = (seed ^ 0x9e3779b9) | 0
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
    this.s = (h ^ (h >>> 16)) | 1
    for (let i = 0; i < 4; i++) this.u32()
  }
  u32(): number {
    let s = this.s
    s ^= s << 13
    s ^= s >>> 17
    s ^= s << 5
    this.s = s
    return Math.imul(s, 0x9e3779b1) >>> 0
  }
  /** 0 ≤ result < n */
  below(n: number): number {
    return Math.floor((this.u32() / 0x100000000) * n)
  }
  /** true once in n */
  oneIn(n: number): boolean {
    return this.below(n) === 0
  }
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!
  }
  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32())
  }
  bytes(n: number): Uint8Array {
    const out = new Uint8Array(n)
    for (let i = 0; i < n; i++) out[i] = this.u32() >>> 11
    return out
  }
}

const mask = (bits: number): bigint => (1n << BigInt(bits)) - 1n

/** An integer of `bits` ≤ 64: boundaries, powers of two ± 1, small numbers, sparse and dense random bits. */
// prettier-ignore
export function integer(r: Seeded, bits: number): bigint {
  const m = mask(bits)
  const top = 1n << BigInt(bits - 1)
  const power = (): bigint => 1n << BigInt(r.below(bits))
  switch (r.below(12)) {
    case 0: return r.pick([0n, 1n, m, top, top - 1n, m - 1n, 2n, top + 1n])
    case 1: return power()
    case 2: return (power() - 1n) & m
    case 3: return (power() + 1n) & m
    case 4: return -power() & m
    case 5: return BigInt(r.below(bits < 8 ? 1 << bits : 256))
    case 6: return r.u64() & r.u64() & r.u64() & m
    case 7: return (r.u64() | r.u64() | r.u64()) & m
    default: return r.u64() & m
  }
}

/** Bits of a binary float with the given exponent and fraction widths: zeros, denormals, extremes, infinities, NaNs, numbers near 1 and of integer size. */
// prettier-ignore
export function float(r: Seeded, exponentBits: number, fractionBits: number): bigint {
  const sign = BigInt(r.below(2)) << BigInt(exponentBits + fractionBits)
  const fraction = r.u64() & mask(fractionBits)
  const bias = (1 << (exponentBits - 1)) - 1
  const at = (exponent: number, f: bigint): bigint => sign | (BigInt(exponent) << BigInt(fractionBits)) | f
  const quiet = 1n << BigInt(fractionBits - 1)
  const near = (): bigint => r.pick([0n, 1n, mask(fractionBits), quiet, quiet - 1n, quiet + 1n])
  switch (r.below(20)) {
    case 0: return sign
    case 1: return at(0, r.pick([1n, mask(fractionBits), quiet, fraction | 1n]))
    case 2: return at(2 * bias + 1, 0n)
    case 3: return at(2 * bias + 1, quiet | fraction)
    case 4: return at(2 * bias + 1, (fraction & (quiet - 1n)) | 1n)
    case 5: return at(2 * bias, near())
    case 6: return at(1, near())
    case 7: return at(bias, 0n)
    case 8: return at(bias + r.below(3) - 1, near())
    case 9: return at(r.below(2 * bias + 1), fraction)
    case 10: return at(bias + r.pick([6, 7, 14, 15, 30, 31, 32, 62, 63, 64]) - (r.oneIn(2) ? 0 : 1), near())
    case 11: case 12: {
      const e = r.below(Math.min(fractionBits, 34))
      return at(bias + e, fraction & ~mask(Math.max(0, fractionBits - e - r.below(3))))
    }
    default: return at(bias + r.below(24) - 12, fraction)
  }
}

/** A ten-byte x87 value, the encodings of SDM vol. 1 table 8-3 included (pseudo-denormals, unnormals, pseudo-NaNs and -infinities). */
// prettier-ignore
export function extended(r: Seeded): Uint8Array {
  const out = new DataView(new ArrayBuffer(10))
  const j = 1n << 63n
  const kind = r.below(20)
  const sign = r.below(2) << 15
  let exponent = 0x3fff + r.below(40) - 20
  let significand = j | r.u64()
  switch (kind) {
    case 0: exponent = 0; significand = 0n; break
    case 1: exponent = 0; significand = r.pick([1n, j - 1n, r.u64() >> 1n]); break
    case 2: exponent = 0; break // pseudo-denormal
    case 3: exponent = 0x7fff; significand = j; break
    case 4: exponent = 0x7fff; significand |= 1n << 62n; break
    case 5: exponent = 0x7fff; significand = (significand & ~(1n << 62n)) | 1n; break
    case 6: exponent = 1 + r.below(0x7fff); significand &= ~j; break // unnormal, pseudo-NaN
    case 7: exponent = 0x7ffe; significand = r.pick([0xffffffffffffffffn, j]); break
    case 8: exponent = 1; significand = r.pick([j, j + 1n]); break
    case 9: exponent = 0x3fff; significand = j; break
    case 10: exponent = 1 + r.below(0x7ffe); break
    case 11: exponent = 0x3fff + r.pick([14, 15, 30, 31, 62, 63, 64]); significand = r.pick([j, 0xffffffffffffffffn, j | r.u64()]); break
    case 12: case 13: { const e = r.below(24); exponent = 0x3fff + e; significand &= ~mask(63 - e); break }
    case 14: exponent = r.pick([0x3f80, 0x407e, 0x407f, 0x3c00, 0x43fe, 0x43ff, 0x3bcd, 0x3f6a]); break // edges of the shorter formats
    case 15: significand = r.pick([j, j | 1n << 11n, j | 1n << 10n, j | 0x7ffn, j | 1n << 39n, j | (1n << 40n), 0xffffffffffffffffn]); break // ties at 53 and 24 bits
  }
  out.setBigUint64(0, significand, true)
  out.setUint16(8, sign | exponent, true)
  return new Uint8Array(out.buffer)
}

export const flavors = ['integer', 'bytes', 'words', 'dwords', 'qwords', 'singles', 'doubles', 'x87', 'mmx'] as const
export type Flavor = (typeof flavors)[number]

/** Sixteen bytes of vector lanes, or eight of them for an MMX register. */
export function lanes(r: Seeded, flavor: Flavor): Uint8Array {
  const out = new Uint8Array(16)
  const view = new DataView(out.buffer)
  if (flavor === 'singles') for (let i = 0; i < 16; i += 4) view.setUint32(i, Number(float(r, 8, 23)), true)
  else if (flavor === 'doubles') for (let i = 0; i < 16; i += 8) view.setBigUint64(i, float(r, 11, 52), true)
  else if (flavor === 'bytes' || flavor === 'mmx') for (let i = 0; i < 16; i++) out[i] = Number(integer(r, 8))
  else if (flavor === 'words') for (let i = 0; i < 16; i += 2) view.setUint16(i, Number(integer(r, 16)), true)
  else if (flavor === 'dwords') for (let i = 0; i < 16; i += 4) view.setUint32(i, Number(integer(r, 32)), true)
  else for (let i = 0; i < 16; i += 8) view.setBigUint64(i, integer(r, 64), true)
  return out
}

/** The data pages before patches, the same for every case. */
export const background: Uint8Array = new Seeded(0x52314f49).bytes(layout.dataSize)

/** ES and B of the status word follow from unmasked exceptions (SDM vol. 1, 8.1.3.3). */
export function summarize(fsw: number, fcw: number): number {
  return (fsw & ~0x8080) | ((fsw & ~fcw & 0x3f) !== 0 ? 0x8080 : 0)
}

/** The register state before a case, RIP left 0. RSP points into the middle of the data pages. */
export function seededState(seed: number, flavor: Flavor): State {
  const r = new Seeded(seed)
  const gpr = new BigUint64Array(16)
  for (let i = 0; i < 16; i++) {
    gpr[i] = integer(r, r.pick([64, 64, 64, 32, 16, 8]))
    if (r.oneIn(8)) gpr[i] = gpr[r.below(i + 1)]!
  }
  gpr[4] = BigInt(layout.data + 0x400 + r.below(0x80) * 8)
  const rflags = 0x202 | (r.u32() & 0x8d5) | (r.oneIn(4) ? 0x400 : 0)
  const float = flavor === 'singles' || flavor === 'doubles'
  const x87 = flavor === 'x87'
  const mxcsr = float && r.oneIn(2) ? (r.u32() & 0xe07f) | (r.oneIn(4) ? r.u32() & 0x1f80 : 0x1f80) : 0x1f80
  const fcw =
    x87 && r.oneIn(2) ? 0x40 | (r.u32() & 0x0c00) | r.pick([0, 0x200, 0x300, 0x300]) | (r.oneIn(3) ? r.u32() & 0x3f : 0x3f) : 0x37f
  const top = x87 ? r.below(8) << 11 : flavor === 'mmx' && r.oneIn(3) ? r.below(8) << 11 : 0
  const sticky = x87 && r.oneIn(3) ? r.u32() & 0x7f & (r.oneIn(8) ? 0x7f : fcw | 0x40) : 0
  const fsw = summarize(top | (x87 ? r.u32() & 0x4700 : 0) | sticky, fcw)
  const ftw = x87 ? (r.oneIn(3) ? r.u32() & 0xff : r.oneIn(24) ? 0 : 0xff) : flavor === 'mmx' ? r.pick([0, 0xff, 0x5a]) : 0
  const st = new Uint8Array(80)
  for (let i = 0; i < 8; i++) {
    if (x87) st.set(extended(r), i * 10)
    else if (flavor === 'mmx') {
      const lane = r.pick(['bytes', 'words', 'dwords', 'qwords'] as const)
      st.set(lanes(r, lane).subarray(0, 8), i * 10)
      st[i * 10 + 8] = st[i * 10 + 9] = 0xff
    }
  }
  const xmm = new Uint8Array(256)
  for (let i = 0; i < 16; i++) {
    const same = r.oneIn(8) ? r.below(i + 1) : i
    if (same < i) xmm.copyWithin(i * 16, same * 16, same * 16 + 16)
    else xmm.set(lanes(r, flavor === 'mmx' && r.oneIn(2) ? 'singles' : flavor), i * 16)
  }
  return { gpr, rip: 0n, rflags, fsBase: layout.fsBase, gsBase: layout.gsBase, mxcsr, fcw, fsw, ftw, st, xmm }
}

// LZ4 as the Linux kernel build writes it: the legacy frame, magic 184C2102H, then blocks of at most 8 MiB of output,
// each behind its compressed length (lz4 "Frame Format Description", Legacy frame; "Block Format Description").
// Of our own because lz4js knows neither this frame nor the end of its input.

export const LZ4_LEGACY_MAGIC = 0x184c2102
const MOST_BLOCK = 8 << 20
const MIN_MATCH = 4

/** Throws RangeError when the input is malformed or its output is not exactly `size` bytes. */
export function decompressLz4(data: Uint8Array, size: number): Uint8Array {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const out = new Uint8Array(size)
  let at = 4
  let filled = 0
  while (at + 4 <= data.length && filled < size) {
    const length = view.getUint32(at, true)
    at += 4
    if (length === LZ4_LEGACY_MAGIC) continue // frames may follow one another
    if (at + length > data.length) throw new RangeError('an LZ4 block is cut off')
    filled = block(data, at, at + length, out, filled, Math.min(size, filled + MOST_BLOCK))
    at += length
  }
  if (filled !== size) throw new RangeError(`LZ4 data of ${filled} bytes, not ${size}`)
  return out
}

// Sequences: token (literals << 4 | match − 4), more literal length, literals, offset (16 bits), more match length.
// The last sequence ends after its literals. Matches reach back within the block only.
function block(data: Uint8Array, from: number, end: number, out: Uint8Array, start: number, limit: number): number {
  let i = from
  let o = start
  const more = (nibble: number): number => {
    let length = nibble
    if (nibble === 15) {
      let byte: number
      do {
        if (i >= end) throw new RangeError('an LZ4 length is cut off')
        byte = data[i++]!
        length += byte
      } while (byte === 255)
    }
    return length
  }
  while (i < end) {
    const token = data[i++]!
    const literals = more(token >> 4)
    if (i + literals > end) throw new RangeError('LZ4 literals are cut off')
    if (o + literals > limit) throw new RangeError('LZ4 data is longer than it says')
    if (literals <= 32) for (let k = 0; k < literals; k++) out[o + k] = data[i + k]!
    else out.set(data.subarray(i, i + literals), o)
    i += literals
    o += literals
    if (i >= end) break
    if (i + 2 > end) throw new RangeError('an LZ4 offset is cut off')
    const offset = data[i]! | (data[i + 1]! << 8)
    i += 2
    const match = more(token & 15) + MIN_MATCH
    if (offset === 0 || offset > o - start) throw new RangeError('an LZ4 match reaches before its block')
    if (o + match > limit) throw new RangeError('LZ4 data is longer than it says')
    if (offset >= match && match > 32) out.copyWithin(o, o - offset, o - offset + match)
    else for (let k = 0; k < match; k++) out[o + k] = out[o - offset + k]!
    o += match
  }
  return o
}

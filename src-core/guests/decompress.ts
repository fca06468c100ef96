// The compressed payload of a kernel image: which format it has, and its bytes, never more than it says and the caller allows.
// LZ4 (legacy), gzip, XZ and Zstandard; others are left to the kernel's own decompressor.

import { Gunzip } from 'fflate'
import { decompress as decompressZstd } from 'fzstd'
import { decompressLz4, LZ4_LEGACY_MAGIC } from './lz4.ts'
import { decompressXz } from './xz.ts'

export type Compression = 'LZ4' | 'gzip' | 'XZ' | 'Zstandard'

export function compressionOf(data: Uint8Array): Compression | undefined {
  if (data.length < 8) return undefined
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const magic = view.getUint32(0, true)
  if (magic === LZ4_LEGACY_MAGIC) return 'LZ4'
  if (magic === ZSTD_MAGIC) return 'Zstandard'
  if ((magic & 0xffff) === 0x8b1f) return 'gzip'
  if (magic === 0x587a37fd && view.getUint16(4, true) === 0x005a) return 'XZ'
  return undefined
}

/** Largest possible output for one byte of input, by which a hostile size is refused before memory is taken. */
const RATIO: Record<Compression, number> = { LZ4: 256, gzip: 1040, XZ: 20_000, Zstandard: 45_000 }

/**
 * Decompresses a payload whose last four bytes are the length of its output (Linux's build appends it; gzip ends with it).
 * Rejects with RangeError when it is malformed, or would be longer than `most` bytes or than it says.
 */
export async function decompressPayload(payload: Uint8Array, compression: Compression, most: number): Promise<Uint8Array> {
  const size = new DataView(payload.buffer, payload.byteOffset, payload.byteLength).getUint32(payload.length - 4, true)
  if (size === 0) throw new RangeError('it says it has no bytes')
  if (size > most) throw new RangeError(`it says it has ${size} bytes; at most ${most} fit`)
  if (size > payload.length * RATIO[compression])
    throw new RangeError(`it says it has ${size} bytes, which ${payload.length} compressed bytes cannot hold`)
  const body = payload.subarray(0, payload.length - 4)
  switch (compression) {
    case 'LZ4':
      return decompressLz4(body, size)
    case 'gzip':
      return gunzip(payload, size)
    case 'XZ':
      return decompressXz(body, size)
    case 'Zstandard':
      return zstd(body, size)
  }
}

function gunzip(data: Uint8Array, size: number): Uint8Array {
  const out = new Uint8Array(size)
  let filled = 0
  const stream = new Gunzip((chunk) => {
    if (filled + chunk.length > size) throw new RangeError('gzip data is longer than it says')
    out.set(chunk, filled)
    filled += chunk.length
  })
  const step = 16384
  try {
    for (let at = 0; at < data.length; at += step) stream.push(data.subarray(at, at + step), at + step >= data.length)
  } catch (error) {
    throw error instanceof RangeError ? error : new RangeError('malformed gzip data')
  }
  if (filled !== size) throw new RangeError(`gzip data of ${filled} bytes, not ${size}`)
  return out
}

const ZSTD_MAGIC = 0xfd2fb528

function zstd(data: Uint8Array, size: number): Uint8Array {
  const frame = data.subarray(0, zstdFrameLength(data, size))
  try {
    return decompressZstd(frame, new Uint8Array(size)).subarray(0, size)
  } catch {
    throw new RangeError('malformed Zstandard data')
  }
}

// RFC 8878 3.1.1: magic │ descriptor: 7:6 content size, 5 single segment, 2 checksum, 1:0 dictionary id │ window │ id │ size,
// then blocks behind 3 bytes: bit 0 last, 2:1 raw, RLE, compressed, reserved; 23:3 size. The first frame's length in bytes.
// A frame that states no content size is taken to be `size` bytes long: fzstd drops what is more.
function zstdFrameLength(data: Uint8Array, size: number): number {
  const descriptor = data[4]!
  const single = (descriptor >> 5) & 1
  const sizeAt = 6 - single + [0, 1, 2, 4][descriptor & 3]!
  const sizeBytes = [single, 2, 4, 8][descriptor >> 6]!
  let at = sizeAt + sizeBytes
  if (sizeBytes > 0 && at <= data.length) {
    let content = sizeBytes === 2 ? 256 : 0
    for (let i = 0; i < sizeBytes; i++) content += data[sizeAt + i]! * 2 ** (8 * i)
    if (content !== size) throw new RangeError(`Zstandard data of ${content} bytes, not ${size}`)
  }
  let least = 0
  for (;;) {
    if (at + 3 > data.length) throw new RangeError('Zstandard data is cut off')
    const header = data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16)
    const type = (header >> 1) & 3
    const length = header >>> 3
    if (type === 3) throw new RangeError('malformed Zstandard data')
    if (type !== 2) least += length
    if (least > size) throw new RangeError('Zstandard data is longer than it says')
    at += 3 + (type === 1 ? 1 : length)
    if (at > data.length) throw new RangeError('Zstandard data is cut off')
    if (header & 1) break
  }
  return Math.min(data.length, at + (descriptor & 4 ? 4 : 0))
}

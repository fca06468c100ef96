// XZ as the Linux kernel build writes it: one block, CRC32, x86 branch filter before LZMA2 (The .xz File Format 1.1.0).
// xz-decompress knows LZMA2 but not the branch filter: such a stream is handed to it as LZMA2 alone, and the filter undone here.
// Does not model: other filters, several blocks together with a filter.

import * as xzModule from 'xz-decompress'

const HEADER_LENGTH = 12
const FOOTER_LENGTH = 12
const FILTER_X86 = 0x04
const FILTER_LZMA2 = 0x21
const CHECK_CRC32 = 1

type XzModule = typeof xzModule
const { XzReadableStream } = 'XzReadableStream' in xzModule ? xzModule : (xzModule as { default: XzModule }).default

/** Rejects with RangeError when the input is malformed or its output is not exactly `size` bytes. */
export async function decompressXz(data: Uint8Array, size: number): Promise<Uint8Array> {
  const filters = blockFilters(data)
  if (!filters.x86) return inflate(data, size, true)
  const out = await inflate(withoutFilter(data, filters), size, false)
  undoX86(out)
  if (data[7] === CHECK_CRC32 && crc32(out) !== storedCheck(data)) throw new RangeError('XZ data does not match its CRC32')
  return out
}

async function inflate(data: Uint8Array, size: number, whole: boolean): Promise<Uint8Array> {
  const out = new Uint8Array(size)
  let filled = 0
  const source = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(data)
      controller.close()
    },
  })
  const reader = new XzReadableStream(source).getReader()
  try {
    while (whole || filled < size) {
      const { done, value } = await reader.read()
      if (done) break
      if (filled + value.length > size) throw new RangeError('XZ data is longer than it says')
      out.set(value, filled)
      filled += value.length
    }
  } catch (error) {
    throw error instanceof RangeError ? error : new RangeError('malformed XZ data')
  } finally {
    // The library lets one stream in at a time: one that is left open would keep all later ones waiting.
    await reader.cancel().catch(() => {})
  }
  if (filled !== size) throw new RangeError(`XZ data of ${filled} bytes, not ${size}`)
  return out
}

interface Filters {
  /** Where the block's filter list starts, and LZMA2's own entry. */
  readonly list: number
  readonly lzma2: number
  readonly end: number
  readonly x86: boolean
}

// Block header: size/4 − 1 │ flags: bits 1:0 filters − 1, 6 compressed size, 7 uncompressed size │ filters │ zeros │ CRC32 (3.1)
function blockFilters(data: Uint8Array): Filters {
  if (data.length < HEADER_LENGTH + 8 + FOOTER_LENGTH) throw new RangeError('XZ data is cut off')
  const end = HEADER_LENGTH + (data[HEADER_LENGTH]! + 1) * 4 - 4
  if (end + 4 > data.length) throw new RangeError('an XZ block header is cut off')
  const flags = data[HEADER_LENGTH + 1]!
  let at = HEADER_LENGTH + 2
  const multibyte = (): number => {
    let value = 0
    for (let i = 0; i < 7; i++) {
      if (at >= end) throw new RangeError('an XZ block header is cut off')
      const byte = data[at++]!
      value += (byte & 0x7f) * 2 ** (7 * i)
      if (byte < 0x80) return value
    }
    throw new RangeError('an XZ block header holds a number that is too long')
  }
  if (flags & 0x40) multibyte()
  if (flags & 0x80) multibyte()
  const list = at
  let x86 = false
  let lzma2 = -1
  for (let i = 0; i <= (flags & 3); i++) {
    const entry = at
    const id = multibyte()
    const length = multibyte()
    at += length
    if (id === FILTER_X86 && i === 0 && length === 0) x86 = true
    else if (id === FILTER_LZMA2) lzma2 = entry
    else throw new RangeError(`XZ filter ${id} is not supported`)
  }
  if (lzma2 < 0) throw new RangeError('XZ data without LZMA2')
  return { list, lzma2, end, x86 }
}

/** The same stream with LZMA2 as its only filter and no check: its end is then wrong, but nobody reads that far. */
function withoutFilter(data: Uint8Array, filters: Filters): Uint8Array {
  const out = data.slice()
  const view = new DataView(out.buffer)
  out[7] = 0
  view.setUint32(8, crc32(out.subarray(6, 8)), true)
  out[HEADER_LENGTH + 1] = out[HEADER_LENGTH + 1]! & ~3
  const entry = data.subarray(filters.lzma2, filters.lzma2 + 3)
  out.fill(0, filters.list, filters.end)
  out.set(entry, filters.list)
  view.setUint32(filters.end, crc32(out.subarray(HEADER_LENGTH, filters.end)), true)
  return out
}

// The check is the last thing before the index, whose size the footer gives: CRC32 │ backward size/4 − 1 │ flags │ "YZ" (2.1.2)
function storedCheck(data: Uint8Array): number {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const index = data.length - FOOTER_LENGTH - (view.getUint32(data.length - 8, true) + 1) * 4
  if (index < HEADER_LENGTH + 4) throw new RangeError('the XZ footer is malformed')
  return view.getUint32(index - 4, true)
}

function crc32(data: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of data) crc = CRC_TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8)
  return ~crc >>> 0
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1
  return c >>> 0
})

// The filter replaced the relative operand of E8/E9 (CALL, JMP) by an absolute one where its top byte is 00 or FF.
// `recent` remembers which of the three bytes before the operand looked like such an opcode.
const MAY_CONVERT = [true, true, true, false, true, false, false, false]
const NEAREST = [0, 1, 2, 2, 3, 3, 3, 3]

function undoX86(code: Uint8Array): void {
  const view = new DataView(code.buffer, code.byteOffset, code.byteLength)
  const sign = (byte: number) => byte === 0 || byte === 0xff
  let last = -1
  let recent = 0
  for (let i = 0; i + 4 < code.length; i++) {
    if ((code[i]! & 0xfe) !== 0xe8) continue
    const distance = i - last
    last = i
    if (distance > 3) recent = 0
    else {
      recent = (recent << (distance - 1)) & 7
      if (recent !== 0 && (!MAY_CONVERT[recent] || sign(code[i + 4 - NEAREST[recent]!]!))) {
        recent = ((recent << 1) | 1) & 7
        continue
      }
    }
    if (!sign(code[i + 4]!)) {
      recent = ((recent << 1) | 1) & 7
      continue
    }
    let absolute = view.getUint32(i + 1, true)
    let relative: number
    for (;;) {
      relative = (absolute - (i + 5)) >>> 0
      if (recent === 0) break
      const shift = NEAREST[recent]! * 8
      if (!sign((relative >>> (24 - shift)) & 0xff)) break
      absolute = (relative ^ (2 ** (32 - shift) - 1)) >>> 0
    }
    view.setInt32(i + 1, (relative << 7) >> 7, true)
    i += 4
  }
}

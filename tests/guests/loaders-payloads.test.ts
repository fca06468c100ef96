import { gzipSync } from 'fflate'
import { createRequire } from 'node:module'
import { describe, expect, it } from 'vitest'
import { compressionOf, decompressPayload, type Compression } from '../../src-core/guests/decompress.ts'
import { LZ4, XZ, XZ_X86, ZSTD, ZSTD_SIZED } from './compressed.ts'
import { codeSample, withLength } from './images.ts'

const sample = codeSample()
const bytes = (base64: string) => Uint8Array.from(Buffer.from(base64, 'base64'))
const payloads: [string, Compression, Uint8Array][] = [
  ['gzip', 'gzip', gzipSync(sample)],
  ['LZ4 legacy', 'LZ4', withLength(bytes(LZ4), sample.length)],
  ['XZ', 'XZ', withLength(bytes(XZ), sample.length)],
  ['XZ with the x86 filter', 'XZ', withLength(bytes(XZ_X86), sample.length)],
  ['Zstandard', 'Zstandard', withLength(bytes(ZSTD_SIZED), sample.length)],
]

describe.each(payloads)('%s', (_, compression, payload) => {
  it('is recognised and gives back every byte', async () => {
    expect(compressionOf(payload)).toBe(compression)
    expect(Buffer.compare(await decompressPayload(payload, compression, 1 << 20), sample)).toBe(0)
  })

  it('is refused when its length is wrong, over the limit, or it is cut off', async () => {
    const lie = (n: number) => withLength(payload.subarray(0, payload.length - 4), n)
    await expect(decompressPayload(payload, compression, sample.length - 1)).rejects.toThrow(RangeError)
    for (const n of [0, sample.length - 1, sample.length + 1, 0xffffffff])
      await expect(decompressPayload(lie(n), compression, 2 ** 32)).rejects.toThrow(RangeError)
    for (const n of [16, 100, payload.length >> 1]) {
      await expect(decompressPayload(withLength(payload.subarray(0, n), sample.length), compression, 1 << 20)).rejects.toThrow(RangeError)
    }
  })
})

describe('Zstandard from a pipe', () => {
  it('has no content size, and gives back every byte', async () => {
    expect(bytes(ZSTD)[4]! & 0xe0).toBe(0)
    expect(Buffer.compare(await decompressPayload(withLength(bytes(ZSTD), sample.length), 'Zstandard', 1 << 20), sample)).toBe(0)
  })
})

describe('LZ4 blocks', () => {
  const { compressBlock, makeBuffer } = createRequire(import.meta.url)('lz4js') as {
    compressBlock(from: Uint8Array, to: Uint8Array, at: number, length: number, table: Uint32Array): number
    makeBuffer(n: number): Uint8Array
  }
  it('of an independent compressor decode, several in a row', async () => {
    const parts = [sample, new Uint8Array(100_000).fill(65), sample.slice(0, 5000)]
    const blocks = parts.flatMap((p) => {
      const out = makeBuffer(p.length + 1000)
      const n = compressBlock(p, out, 0, p.length, new Uint32Array(65536))
      return [withLength(new Uint8Array(0), n), out.slice(0, n)]
    })
    const whole = Buffer.concat(parts)
    const payload = withLength(Buffer.concat([withLength(new Uint8Array(0), 0x184c2102), ...blocks]), whole.length)
    expect(Buffer.compare(await decompressPayload(payload, 'LZ4', 1 << 20), whole)).toBe(0)
  })

  it.each([
    ['reaches before', [0x10, 0x41, 5, 0]],
    ['reaches before', [0x10, 0x41, 0, 0]],
    ['offset is cut off', [0x10, 0x41, 1]],
    ['literals are cut off', [0xf0, 200, 1, 2]],
    ['length is cut off', [0xf0, 255]],
    ['longer than it says', [0x1f, 0x41, 1, 0, 255, 255, 255, 0]],
  ])('that are malformed are refused: %s', async (says, block) => {
    const payload = withLength(Uint8Array.from([0x02, 0x21, 0x4c, 0x18, block.length, 0, 0, 0, ...block]), 64)
    await expect(decompressPayload(payload, 'LZ4', 1 << 20)).rejects.toThrow(says)
  })
})

// Seeded mutations of every kind of file a user can hand in: only the typed errors may come out, in bounded time and memory.
// A failure names the seed and the case; `mutate` of both makes the input again.

import { gzipSync } from 'fflate'
import { describe, expect, it } from 'vitest'
import { resolveBoard } from '../../src-core/board/config.ts'
import { firmware } from '../../src-core/board/firmware.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import { parseTopology, TopologyError } from '../../src-core/board/topology.ts'
import { ImageError } from '../../src-core/guests/image.ts'
import { readInitramfs, writeInitramfs } from '../../src-core/guests/initramfs.ts'
import { loadImage } from '../../src-core/guests/load.ts'
import { LZ4, XZ, XZ_X86, ZSTD } from '../guests/compressed.ts'
import { bzImage, codeSample, elfFile, multibootHeader, random, withLength } from '../guests/images.ts'

const SEED = 0x51ed
const CASES = 1500
const MOST_MILLISECONDS = 5000
const MOST_EXTRA_BYTES = 300 << 20

const platform = firmware(resolveBoard(PRESETS.get('intel-2n')!, { megabytes: 64 }))
const HOSTILE = [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffe]

/** One to eight changes: bytes, 32-bit words of hostile values, cuts, copies of a piece elsewhere. */
function mutate(original: Uint8Array, next: () => number): Uint8Array {
  let data = original.slice()
  const changes = 1 + (next() % 8)
  // Half of all changes fall into the first 640 bytes, where headers are.
  const place = () => next() % Math.max(1, next() & 1 ? Math.min(640, data.length) : data.length)
  for (let i = 0; i < changes && data.length > 8; i++) {
    switch (next() % 6) {
      case 0:
        data[place()] = next() & 0xff
        break
      case 1:
        data[place()]! ^= 1 << (next() % 8)
        break
      case 2:
      case 3:
        new DataView(data.buffer).setUint32(Math.min(place() & ~3, data.length - 4), HOSTILE[next() % HOSTILE.length]!, true)
        break
      case 4:
        if (next() % 4 === 0) data = data.slice(0, place())
        break
      case 5: {
        const from = place()
        data.copyWithin(place(), from, from + (next() % 64))
      }
    }
  }
  return data
}

const sample = codeSample()
const bytes = (base64: string) => Uint8Array.from(Buffer.from(base64, 'base64'))
const program = Uint8Array.from([...multibootHeader(3), ...sample.subarray(0, 500)])
const kernel = elfFile({
  pvh: 0x100000,
  segments: [
    { physical: 0x100000, data: sample.subarray(0, 700), memorySize: 9000 },
    { physical: 0x200000, data: sample.subarray(0, 50) },
  ],
})
const images: [string, Uint8Array][] = [
  ['ELF64 with a PVH note', kernel],
  ['ELF32 with a PVH note', elfFile({ wide: false, pvh: 0x100000, segments: [{ physical: 0x100000, data: sample.subarray(0, 700) }] })],
  ['Multiboot ELF32', elfFile({ wide: false, entry: 0x400010, segments: [{ physical: 0x400000, data: program, memorySize: 9000 }] })],
  [
    'Multiboot by addresses',
    Uint8Array.from([...multibootHeader(1 << 16, [0x200000, 0x200000, 0x200100, 0x209000, 0x200020]), ...sample.subarray(0, 500)]),
  ],
  ['bzImage, gzip', bzImage(gzipSync(kernel))],
  ['bzImage, LZ4', bzImage(withLength(bytes(LZ4), sample.length))],
  ['bzImage, XZ', bzImage(withLength(bytes(XZ), sample.length))],
  ['bzImage, XZ with the x86 filter', bzImage(withLength(bytes(XZ_X86), sample.length))],
  ['bzImage, Zstandard', bzImage(withLength(bytes(ZSTD), sample.length))],
]

describe.each(images)('%s', (_, original) => {
  it(`${CASES} mutations give an image in usable memory or an ImageError`, async () => {
    const next = random(SEED)
    await expect(loadImage({ kernel: { name: 'k', data: original }, platform })).resolves.toBeDefined()
    const initrd = { name: 'i', data: new Uint8Array(3000) }
    const before = memory()
    let refused = 0
    for (let n = 0; n < CASES; n++) {
      const data = mutate(original, next)
      const started = performance.now()
      try {
        const image = await loadImage({ kernel: { name: 'k', data }, platform, initrd, append: 'a b' })
        for (const s of image.segments) {
          const inside = platform.map.some((m) => m.type === 1 && m.address <= s.address && s.address + s.length <= m.address + m.length)
          if (!inside || s.data.length > s.length) expect.unreachable(`case ${n}: a segment at ${s.address}, ${s.length} bytes`)
        }
      } catch (error) {
        if (!(error instanceof ImageError)) throw new Error(`seed ${SEED}, case ${n}: ${String(error)}`, { cause: error })
        refused++
      }
      expect(performance.now() - started, `case ${n}`).toBeLessThan(MOST_MILLISECONDS)
    }
    expect(refused).toBeGreaterThan(CASES / 20)
    expect(memory() - before).toBeLessThan(MOST_EXTRA_BYTES)
  })
})

const memory = () => {
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

describe('compressed payloads inside a sound bzImage', () => {
  it.each([
    ['gzip', gzipSync(sample)],
    ['LZ4', withLength(bytes(LZ4), sample.length)],
    ['XZ', withLength(bytes(XZ), sample.length)],
    ['XZ with the x86 filter', withLength(bytes(XZ_X86), sample.length)],
    ['Zstandard', withLength(bytes(ZSTD), sample.length)],
  ])('%s: mutations give an image or an ImageError', async (_, payload) => {
    const next = random(SEED + 1)
    let refused = 0
    for (let n = 0; n < 600; n++) {
      const data = bzImage(mutate(payload, next))
      const started = performance.now()
      await loadImage({ kernel: { name: 'k', data }, platform }).catch((error: unknown) => {
        if (!(error instanceof ImageError)) throw new Error(`seed ${SEED + 1}, case ${n}: ${String(error)}`, { cause: error })
        refused++
      })
      expect(performance.now() - started, `case ${n}`).toBeLessThan(MOST_MILLISECONDS)
    }
    expect(refused).toBeGreaterThan(30)
  })
})

describe('cpio', () => {
  it('mutations give entries inside the archive or an ImageError', () => {
    const archive = writeInitramfs([
      { kind: 'directory', path: 'dev' },
      { kind: 'character', path: 'dev/console', major: 5, minor: 1 },
      { kind: 'file', path: 'init', data: sample.subarray(0, 300) },
      { kind: 'link', path: 'sh', target: 'init' },
    ])
    const next = random(SEED + 2)
    let refused = 0
    for (let n = 0; n < 5000; n++) {
      const data = mutate(archive, next)
      try {
        for (const e of readInitramfs({ name: 'i', data })) if (e.kind === 'file') expect(e.data.length).toBeLessThanOrEqual(data.length)
      } catch (error) {
        if (!(error instanceof ImageError)) throw new Error(`seed ${SEED + 2}, case ${n}: ${String(error)}`, { cause: error })
        refused++
      }
    }
    expect(refused).toBeGreaterThan(500)
    expect(refused).toBeLessThan(5000)
  })
})

describe('topology', () => {
  it('mutations give a topology that makes a board or a TopologyError', () => {
    const text = JSON.stringify({
      name: 'four',
      frequency: 2_000_000_000,
      nodes: [0, 1, 2, 3].map((socket) => ({ socket, processors: 2, megabytes: 128 })),
      distances: [0, 1, 2, 3].map((a) => [0, 1, 2, 3].map((b) => (a === b ? 10 : 20))),
      latency: [0, 1, 2, 3].map((a) => [0, 1, 2, 3].map((b) => (a === b ? 100 : 150.5))),
    })
    const next = random(SEED + 3)
    const pieces = [
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '-1',
      '1e999',
      '1e308',
      '0.5',
      'null',
      'true',
      '"__proto__":{"x":1},',
      '"nodes":[],',
      '99999999999',
      '\0',
      '\ud800',
    ]
    let refused = 0
    for (let n = 0; n < 5000; n++) {
      let changed = text
      for (let i = 0; i <= next() % 3; i++) {
        const at = next() % changed.length
        changed = changed.slice(0, at) + pieces[next() % pieces.length]! + changed.slice(at + (next() % 6))
      }
      try {
        const board = resolveBoard(parseTopology(changed, 'f'))
        firmware(board)
      } catch (error) {
        if (!(error instanceof TopologyError))
          throw new Error(`seed ${SEED + 3}, case ${n}: ${String(error)}\n${changed}`, { cause: error })
        expect(error.message).not.toContain('\n')
        refused++
      }
    }
    expect(refused).toBeGreaterThan(2500)
    expect(refused).toBeLessThan(5000)
  })
})

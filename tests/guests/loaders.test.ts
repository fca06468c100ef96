import { gzipSync } from 'fflate'
import { describe, expect, it } from 'vitest'
import { resolveBoard } from '../../src-core/board/config.ts'
import { firmware } from '../../src-core/board/firmware.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import { ImageError, type LoadedImage, type LoadRequest, type Segment } from '../../src-core/guests/image.ts'
import { loadImage } from '../../src-core/guests/load.ts'
import { writeSegments } from '../../src-core/guests/placement.ts'
import { bzImage, elfFile, multibootHeader, withLength } from './images.ts'

const platform = firmware(resolveBoard(PRESETS.get('intel-2n')!, { megabytes: 64 }))
const TOP = 64 * 2 ** 20
const code = Uint8Array.from({ length: 100 }, (_, i) => i + 1)
const file = (data: Uint8Array, name = 'kernel') => ({ name, data })
const load = (data: Uint8Array, more: Partial<LoadRequest> = {}) => loadImage({ kernel: file(data), platform, ...more })

/** The loaded image as the guest would see it. */
class Seen {
  constructor(readonly image: LoadedImage) {}
  at(address: number, length: number): DataView {
    const s = this.image.segments.find((x) => address >= x.address && address + length <= x.address + x.length) as Segment
    expect(s, `nothing at ${address.toString(16)}`).toBeDefined()
    const whole = new Uint8Array(length)
    whole.set(s.data.subarray(address - s.address, address - s.address + length))
    return new DataView(whole.buffer)
  }
  u32 = (address: number) => this.at(address, 4).getUint32(0, true)
  u64 = (address: number) => Number(this.at(address, 8).getBigUint64(0, true))
  text(address: number): string {
    let out = ''
    for (let c; (c = this.at(address + out.length, 1).getUint8(0)) !== 0;) out += String.fromCharCode(c)
    return out
  }
}

/** What every loaded image must hold, whatever the loader. */
function expectSound(image: LoadedImage): void {
  const sorted = [...image.segments].sort((a, b) => a.address - b.address)
  for (const [i, s] of sorted.entries()) {
    expect(s.data.length).toBeLessThanOrEqual(s.length)
    if (i > 0) expect(s.address).toBeGreaterThanOrEqual(sorted[i - 1]!.address + sorted[i - 1]!.length)
    expect(platform.map.some((m) => m.type === 1 && m.address <= s.address && s.address + s.length <= m.address + m.length)).toBe(true)
  }
}

async function refusal(data: Uint8Array, more: Partial<LoadRequest> = {}): Promise<string> {
  const error = await load(data, more).then(
    () => undefined,
    (e: unknown) => e,
  )
  expect(error).toBeInstanceOf(ImageError)
  expect((error as ImageError).status).toBe(65)
  expect((error as ImageError).message).not.toContain('\n')
  return (error as ImageError).message
}

describe('PVH', () => {
  it.each([true, false])('passes start info, command line, modules and memory map (64-bit class: %s)', async (wide) => {
    const initrd = file(new Uint8Array(5000).fill(7), 'initrd')
    const image = await load(elfFile({ wide, pvh: 0x100010, segments: [{ physical: 0x100000, data: code, memorySize: 0x3000 }] }), {
      initrd,
      append: 'a=b quiet',
    })
    expectSound(image)
    const { entry } = image
    expect([image.format, entry.mode, entry.rip, entry.rflags]).toEqual(['pvh', 'protected', 0x100010, 2])
    expect(image.segments[0]).toMatchObject({ address: 0x100000, length: 0x3000 })
    const seen = new Seen(image)
    const info = Number(entry.gprs.rbx)
    expect([seen.u32(info), seen.u32(info + 4), seen.u32(info + 12)]).toEqual([0x336ec578, 1, 1])
    expect(seen.u64(info + 32)).toBe(platform.rsdp)
    expect(seen.text(seen.u64(info + 24))).toBe('a=b quiet')
    const modules = seen.u64(info + 16)
    expect([seen.u64(modules), seen.u64(modules + 8)]).toEqual([TOP - 8192, 5000])
    expect(image.initrd).toEqual({ address: TOP - 8192, length: 5000 })
    expect(seen.at(TOP - 8192, 5000).getUint8(4999)).toBe(7)
    const count = seen.u32(info + 48)
    const map = seen.u64(info + 40)
    const entries = Array.from({ length: count }, (_, i) => ({
      address: seen.u64(map + i * 24),
      length: seen.u64(map + i * 24 + 8),
      type: seen.u32(map + i * 24 + 16),
    }))
    expect(entries).toEqual(platform.map)
    const { base } = entry.gdtr!
    expect([seen.u32(base + 0x10), seen.u32(base + 0x14), seen.u32(base + 0x1c)]).toEqual([0xffff, 0xcf9b00, 0xcf9300])
  })

  it('refuses kernels that cannot be entered or do not fit, saying why', async () => {
    const at = (physical: number, memorySize = 100) => elfFile({ pvh: physical, segments: [{ physical, data: code, memorySize }] })
    expect(await refusal(elfFile({ segments: [{ physical: 0x100000, data: code }] }))).toContain(
      'neither a PVH note nor a Multiboot header',
    )
    expect(await refusal(elfFile({ pvh: 0x900000, segments: [{ physical: 0x100000, data: code }] }))).toContain('entry point 900000H')
    expect(await refusal(at(0x9fc00))).toContain('not all usable memory')
    expect(await refusal(at(TOP - 50))).toContain('not all usable memory')
    expect(await refusal(at(0x100000, 2 ** 40))).toContain('not all usable memory')
    expect(await refusal(elfFile({ pvh: 0x100000, segments: [1, 2].map(() => ({ physical: 0x100000, data: code })) }))).toContain(
      'overlaps',
    )
    expect(await refusal(at(0x80000, 0x1f000))).toContain('no room for')
    expect(await refusal(at(0x100000), { initrd: file(new Uint8Array(TOP), 'big.img') })).toMatch(/^big\.img: .*do not fit/)
    expect(await refusal(at(0x100000), { append: 'x'.repeat(4096) })).toContain('command line')
    expect(await refusal(at(0x100000), { append: 'a\0b' })).toContain('NUL')
  })

  it('places an initrd beside a kernel that is at the top of memory', async () => {
    const image = await load(elfFile({ pvh: TOP - 4096, segments: [{ physical: TOP - 4096, data: code }] }), {
      initrd: file(new Uint8Array(10), 'i'),
    })
    expect(image.initrd!.address).toBe(TOP - 8192)
  })
})

describe('ELF', () => {
  const good = () => elfFile({ pvh: 0x100000, segments: [{ physical: 0x100000, data: code }] })
  it.each<[string, (v: DataView) => void]>([
    ['class 9', (v) => v.setUint8(4, 9)],
    ['big-endian', (v) => v.setUint8(5, 2)],
    ['machine 40', (v) => v.setUint16(18, 40, true)],
    ['beyond 2^53', (v) => v.setBigUint64(32, 1n << 60n, true)],
    ['cut off', (v) => v.setBigUint64(32, 1n << 40n, true)],
    ['no program headers', (v) => v.setUint16(56, 0, true)],
    ['65535 program headers', (v) => v.setUint16(56, 65535, true)],
    ['program headers of 8 bytes', (v) => v.setUint16(54, 8, true)],
    ['cut off', (v) => v.setBigUint64(64 + 32, 1n << 32n, true)],
    ['more bytes in the file', (v) => v.setBigUint64(64 + 40, 1n, true)],
    ['no PT_LOAD', (v) => v.setUint32(64, 6, true)],
  ])('refuses %s', async (says, change) => {
    const data = good()
    change(new DataView(data.buffer))
    expect(await refusal(data)).toContain(says)
  })

  it('refuses every truncation', async () => {
    const data = good()
    for (let n = 0; n < data.length - 16; n++) expect(await refusal(data.subarray(0, n))).toMatch(/^kernel: /)
  })
})

describe('Multiboot', () => {
  const header = multibootHeader(3)
  const program = Uint8Array.from([...header, ...code])
  it('loads ELF32, zeroes BSS, passes the information, puts the module above BSS', async () => {
    const kernel = elfFile({ wide: false, entry: 0x40000c, segments: [{ physical: 0x400000, data: program, memorySize: 0x12345 }] })
    const image = await load(kernel, { append: 'arg1 arg2', initrd: file(new Uint8Array(33).fill(9), 'env.txt') })
    expectSound(image)
    expect([image.format, image.entry.mode, image.entry.rip]).toEqual(['multiboot', 'protected', 0x40000c])
    expect(image.entry.gprs.rax).toBe(0x2badb002n)
    const seen = new Seen(image)
    const info = Number(image.entry.gprs.rbx)
    expect(seen.u32(info) & 0x4d).toBe(0x4d)
    expect([seen.u32(info + 4), seen.u32(info + 8)]).toEqual([639, 63 * 1024])
    expect(seen.text(seen.u32(info + 16))).toBe('kernel arg1 arg2')
    expect(seen.u32(info + 20)).toBe(1)
    const module = seen.u32(info + 24)
    expect([seen.u32(module), seen.u32(module + 4)]).toEqual([0x413000, 0x413021])
    expect(seen.text(seen.u32(module + 8))).toBe('env.txt')
    const [length, map] = [seen.u32(info + 44), seen.u32(info + 48)]
    const entries = Array.from({ length: length / 24 }, (_, i) => ({
      address: seen.u64(map + i * 24 + 4),
      length: seen.u64(map + i * 24 + 12),
      type: seen.u32(map + i * 24 + 20),
    }))
    expect(entries).toEqual(platform.map)
    expect(seen.u32(map)).toBe(20)
  })

  it('loads by address fields when bit 16 asks for it', async () => {
    const kernel = new Uint8Array(600)
    kernel.set(code, 500)
    kernel.set(multibootHeader(1 << 16, [0x200040, 0x200000, 0x200200, 0x201000, 0x200100]), 0x60)
    const image = await load(kernel)
    expectSound(image)
    expect(image.entry.rip).toBe(0x200100)
    const s = image.segments[0]!
    expect([s.address, s.data.length, s.length]).toEqual([0x200000, 0x200, 0x1000])
    expect(s.data[500 - 0x20]).toBe(1)
  })

  it('refuses what it cannot honour', async () => {
    const flat = (flags: number, a?: [number, number, number, number, number]) => Uint8Array.from([...multibootHeader(flags, a), ...code])
    expect(await refusal(flat(3))).toContain('not ELF')
    expect(await refusal(flat(1 << 16))).toContain('load address')
    expect(await refusal(multibootHeader(1 << 16))).toContain('cut off')
    expect(await refusal(flat(1 << 16, [0x100000, 0x200000, 0, 0, 0x200000]))).toContain('not in the file')
    expect(await refusal(flat(1 << 16, [0x200000, 0x200000, 0x300000, 0, 0x200000]))).toContain('cut off')
    expect(await refusal(flat(1 << 16, [0x200000, 0x200000, 0x100000, 0, 0x200000]))).toContain('not above')
    expect(await refusal(flat(1 << 16, [0x200000, 0x200000, 0, 0, 0x300000]))).toContain('entry point 300000H')
    expect(await refusal(flat(0x18))).toContain('requires features 18H')
    expect(await refusal(elfFile({ segments: [{ physical: 0x400000, data: program }] }))).toContain('64-bit ELF')
    expect(await refusal(flat(1 << 16, [0x200000, 0x200000, 0, 0xffffffff, 0x200000]))).toContain('usable memory')
  })
})

describe('flat', () => {
  it.each([
    [0x7c00, 'real', 0, 0x7c00],
    [0x20008, 'real', 0x2000, 8],
    [0x100000, 'protected', 0x10, 0x100000],
  ] as const)('enters at %i in %s mode', async (loadAt, mode, selector, rip) => {
    const image = await load(code, { loadAt, append: 'x', initrd: file(code, 'i') })
    expectSound(image)
    expect([image.entry.mode, image.entry.cs.selector, image.entry.rip]).toEqual([mode, selector, rip])
    expect(image.entry.cs.base + rip).toBe(loadAt)
    const seen = new Seen(image)
    expect(seen.u32(Number(image.entry.gprs.rbx))).toBe(0x336ec578)
    expect(seen.text(seen.u64(Number(image.entry.gprs.rbx) + 24))).toBe('x')
  })

  it('refuses bad places', async () => {
    for (const loadAt of [0xa0000, 0xfffff, TOP, -1, 2 ** 32, 0.5, NaN]) expect(await refusal(code, { loadAt })).toMatch(/^kernel: /)
    expect(await refusal(new Uint8Array(0), { loadAt: 0 })).toContain('empty')
    expect(await refusal(code, { loadAt: 0x80000 }).catch(() => 'loaded')).toBe('loaded')
  })
})

describe('Linux boot image', () => {
  const kernel = elfFile({ pvh: 0x1000000, segments: [{ physical: 0x1000000, data: code, memorySize: 0x5000 }] })
  it('enters the kernel inside through its PVH note', async () => {
    const image = await load(bzImage(gzipSync(kernel)), { append: 'console=ttyS0' })
    expectSound(image)
    expect([image.format, image.entry.rip]).toEqual(['pvh', 0x1000000])
    expect(image.description).toContain('gzip payload')
  })

  it('else enters it in long mode with a zero page', async () => {
    const initrd = file(new Uint8Array(100), 'i')
    for (const payload of [
      Uint8Array.from({ length: 64 }, () => 0x5d),
      gzipSync(elfFile({ segments: [{ physical: 0x1000000, data: code }] })),
    ]) {
      const image = await load(
        bzImage(payload, (v) => v.setUint32(0x22c, 0x2ffffff, true)),
        { append: 'console=ttyS0', initrd },
      )
      expectSound(image)
      const { entry } = image
      expect([image.format, entry.mode, entry.rip, entry.cs.selector, entry.data.selector]).toEqual([
        'linux',
        'long',
        0x1000200,
        0x10,
        0x18,
      ])
      const seen = new Seen(image)
      const zero = Number(entry.gprs.rsi)
      expect(seen.u64(zero + 0x70)).toBe(platform.rsdp)
      expect(seen.u32(zero + 0x202)).toBe(0x53726448)
      expect(seen.at(zero + 0x210, 1).getUint8(0)).toBe(0xff)
      expect([seen.u32(zero + 0x218), seen.u32(zero + 0x21c)]).toEqual([0x3000000 - 4096, 100])
      expect(seen.text(seen.u32(zero + 0x228))).toBe('console=ttyS0')
      const count = seen.at(zero + 0x1e8, 1).getUint8(0)
      const map = Array.from({ length: count }, (_, i) => ({
        address: seen.u64(zero + 0x2d0 + i * 20),
        length: seen.u64(zero + 0x2d8 + i * 20),
        type: seen.u32(zero + 0x2e0 + i * 20),
      }))
      expect(map).toEqual(platform.map)
      const walk = (linear: number) => {
        const directory = seen.u64(seen.u64(entry.cr3!) - 3 + 8 * Math.floor(linear / 2 ** 30)) - 3
        return seen.u64(directory + 8 * (Math.floor(linear / 2 ** 21) % 512))
      }
      for (const linear of [0, 0x1000000, 0xffe00000]) expect(walk(linear)).toBe(linear + 0x83)
      expect(seen.u32(entry.gdtr!.base + 0x14)).toBe(0xaf9b00)
      expect(image.segments[0]!.length).toBe(0x200000)
    }
  })

  it.each<[string, (v: DataView) => void]>([
    ['boot protocol 2.9', (v) => v.setUint16(0x206, 0x209, true)],
    ['zImage', (v) => v.setUint8(0x211, 0)],
    ['setup header', (v) => v.setUint8(0x201, 0)],
    ['setup header', (v) => v.setUint8(0x201, 0xff)],
    ['setup sectors are cut off', (v) => v.setUint8(0x1f1, 200)],
    ['the kernel is cut off', (v) => v.setUint32(0x1f4, 0xffffffff, true)],
    ['compressed kernel is cut off', (v) => v.setUint32(0x24c, 0xffffffff, true)],
    ['compressed kernel is cut off', (v) => v.setUint32(0x248, 0x7fffffff, true)],
    ['above 4 GiB', (v) => v.setUint32(0x25c, 1, true)],
  ])('refuses: %s', async (says, change) => {
    expect(await refusal(bzImage(gzipSync(kernel), change))).toContain(says)
  })

  it('refuses a payload that is not what it says, without taking its memory', async () => {
    const packed = gzipSync(kernel)
    const lies = (length: number) => withLength(packed.subarray(0, packed.length - 4), length)
    expect(await refusal(bzImage(lies(0xffffffff)))).toContain('at most')
    expect(await refusal(bzImage(lies(kernel.length - 1)))).toContain('gzip payload cannot be decompressed')
    expect(await refusal(bzImage(lies(kernel.length + 1)))).toContain('gzip payload cannot be decompressed')
    expect(await refusal(bzImage(lies(50_000_000)))).toContain('cannot hold')
    const raw = bzImage(
      Uint8Array.from({ length: 64 }, () => 0x5d),
      (v) => v.setUint16(0x236, 0, true),
    )
    expect(await refusal(raw)).toContain('no 64-bit entry point')
    expect(await refusal(bzImage(packed), { append: 'y'.repeat(2048) })).toContain('command line')
    expect(
      await refusal(
        bzImage(
          Uint8Array.from({ length: 64 }, () => 0x5d),
          (v) => v.setUint32(0x260, 0x7fffffff, true),
        ),
      ),
    ).toContain('usable memory')
  })
})

describe('other files', () => {
  it('are refused with what was expected', async () => {
    expect(await refusal(new Uint8Array(0))).toContain('empty')
    expect(await refusal(new TextEncoder().encode('#!/bin/sh\necho hello\n'))).toContain('neither an ELF file')
  })
})

describe('writeSegments', () => {
  it('zeroes what follows the data unless memory is fresh', () => {
    const bytes = new Uint8Array(64).fill(0xcc)
    const memory = { load: (address: number, data: Uint8Array) => bytes.set(data, address) }
    const segments = [{ address: 8, data: Uint8Array.of(1, 2), length: 6 }]
    writeSegments(memory, segments, true)
    expect([...bytes.subarray(7, 15)]).toEqual([0xcc, 1, 2, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc])
    writeSegments(memory, segments, false)
    expect([...bytes.subarray(7, 15)]).toEqual([0xcc, 1, 2, 0, 0, 0, 0, 0xcc])
  })
})

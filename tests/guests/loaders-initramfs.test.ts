import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { debianGuest } from '../../scripts/guests/debian.ts'
import { rootEntries } from '../../scripts/guests/initrd.ts'
import { resolveBoard } from '../../src-core/board/config.ts'
import { firmware } from '../../src-core/board/firmware.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import { ImageError } from '../../src-core/guests/image.ts'
import { readInitramfs, writeInitramfs, type InitramfsEntry } from '../../src-core/guests/initramfs.ts'
import { loadImage } from '../../src-core/guests/load.ts'

const entries: InitramfsEntry[] = [
  { kind: 'directory', path: 'dev', mode: 0o755 },
  { kind: 'character', path: 'dev/console', major: 5, minor: 1, mode: 0o600 },
  { kind: 'file', path: 'init', data: Uint8Array.of(1, 2, 3, 4, 5), mode: 0o755 },
  { kind: 'link', path: 'sh', target: 'init' },
]
const archive = writeInitramfs(entries)
const read = (data: Uint8Array) => readInitramfs({ name: 'initrd', data })

describe('initramfs', () => {
  it('reads back what was written', () => {
    const back = read(archive)
    expect(back.map((e) => (e.kind === 'file' ? { ...e, data: [...e.data] } : e))).toEqual(
      entries.map((e) => (e.kind === 'file' ? { ...e, data: [...e.data] } : e)),
    )
    expect(archive.length % 4).toBe(0)
    expect(Buffer.from(archive.subarray(0, 6)).toString()).toBe('070701')
  })

  it('refuses every truncation, and bad fields', () => {
    for (let n = 0; n < archive.length - 4; n++) expect(() => read(archive.subarray(0, n))).toThrow(ImageError)
    const change = (at: number, text: string) => {
      const data = archive.slice()
      data.set(Buffer.from(text), at)
      return () => read(data)
    }
    expect(change(0, '070702')).toThrow('newc')
    expect(change(54, 'FFFFFFFF')).toThrow('cut off')
    expect(change(94, 'FFFFFFFF')).toThrow('a name of')
    expect(change(94, '00000000')).toThrow('a name of')
    expect(change(14, '0000C000')).toThrow('mode')
    expect(change(54, '        ')).toThrow('hexadecimal')
  })

  it('root file systems name parents before children', () => {
    const root = rootEntries(Uint8Array.of(1), ['sh', 'busybox', '[['], [{ path: '/usr/lib/x/y.so', data: Uint8Array.of(2) }])
    const seen = new Set<string>([''])
    for (const e of root) {
      expect(seen.has(e.path.split('/').slice(0, -1).join('/'))).toBe(true)
      expect(seen.has(e.path)).toBe(false)
      if (e.kind === 'directory') seen.add(e.path)
    }
    expect(root.filter((e) => e.kind === 'link').map((e) => e.path)).toEqual(['bin/sh', 'bin/[['])
  })
})

const guest = await debianGuest()
if ('missing' in guest) console.log(`skipped: Debian's kernel is not loaded: ${guest.missing}`)

describe.skipIf('missing' in guest)("Debian's kernel", () => {
  it('is unpacked and entered through PVH, its initrd high in memory', async () => {
    if ('missing' in guest) return
    const platform = firmware(resolveBoard(PRESETS.get('intel-4n')!, { megabytes: 512 }))
    const initrd = { name: 'initrd', data: await readFile(guest.initrdNuma) }
    const image = await loadImage({
      kernel: { name: 'vmlinuz', data: await readFile(guest.kernel) },
      initrd,
      append: 'console=ttyS0',
      platform,
    })
    expect(image.description).toMatch(/Linux boot image, \w+ payload: 64-bit ELF entered through its PVH note/)
    expect(image.segments[0]!.address).toBe(0x1000000)
    expect(image.initrd!.address + image.initrd!.length).toBeGreaterThan(511 * 2 ** 20)
    const names = readInitramfs(initrd).map((e) => e.path)
    for (const path of ['init', 'bin/busybox', 'bin/sh', 'usr/bin/numactl', 'lib64/ld-linux-x86-64.so.2']) expect(names).toContain(path)
    const small = { ...platform, map: platform.map.map((m) => ({ ...m, length: Math.min(m.length, 32 << 20) })) }
    await expect(loadImage({ kernel: { name: 'vmlinuz', data: await readFile(guest.kernel) }, platform: small })).rejects.toThrow(
      ImageError,
    )
  })
})

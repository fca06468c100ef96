// Debian's unmodified kernel and an initial file system for it, fetched once into the cache.

import { execFile } from 'node:child_process'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { writeInitramfs } from '../../src-core/guests/initramfs.ts'
import { rootEntries, type HostFile } from './initrd.ts'
import { CACHE, dependency, exists, Unavailable, unpack } from './packages.ts'

export interface DebianGuest {
  /** Paths of files. */
  readonly kernel: string
  readonly initrd: string
  /** The same with numactl in it. */
  readonly initrdNuma: string
  /** As `uname -r` says it. */
  readonly version: string
}

const FOLDER = join(CACHE, 'guests/debian')
const TOOLS = join(CACHE, 'guests/acpica')
const LOADER = '/lib64/ld-linux-x86-64.so.2'

/** Debian's cloud kernel, busybox and numactl, or the reason why they cannot be had here. */
export async function debianGuest(): Promise<DebianGuest | { missing: string }> {
  try {
    if (!(await exists(FOLDER))) {
      const kernel = await dependency('linux-image-cloud-amd64', 'linux-image-')
      await unpack(FOLDER, [kernel, 'busybox-static', 'numactl', 'libnuma1', 'libc6'], buildInitrds)
    }
    const version = (await readFile(join(FOLDER, 'version'), 'utf8')).trim()
    return { kernel: join(FOLDER, 'vmlinuz'), initrd: join(FOLDER, 'initrd.cpio'), initrdNuma: join(FOLDER, 'initrd-numa.cpio'), version }
  } catch (error) {
    if (error instanceof Unavailable) return { missing: error.message }
    throw error
  }
}

/** ACPICA's compiler and disassembler, installed or fetched, or the reason why it cannot be had here. */
export async function iasl(): Promise<string | { missing: string }> {
  if (await exists('/usr/bin/iasl')) return '/usr/bin/iasl'
  try {
    if (!(await exists(TOOLS))) await unpack(TOOLS, ['acpica-tools'])
    return join(TOOLS, 'acpica-tools/usr/bin/iasl')
  } catch (error) {
    if (error instanceof Unavailable) return { missing: error.message }
    throw error
  }
}

async function buildInitrds(folder: string): Promise<void> {
  const image = (await readdir(folder)).find((n) => n.startsWith('linux-image-'))
  if (!image) throw new Unavailable('the kernel package was not downloaded')
  const boot = join(folder, image, 'boot')
  const file = (await readdir(boot)).find((n) => n.startsWith('vmlinuz-'))
  if (!file) throw new Unavailable(`${image} holds no kernel`)
  await writeFile(join(folder, 'vmlinuz'), await readFile(join(boot, file)))

  const path = join(folder, 'busybox-static/bin/busybox')
  const busybox = await readFile(path)
  const { stdout } = await promisify(execFile)(path, ['--list'], { timeout: 10_000 }).catch(() => {
    throw new Unavailable('Debian amd64 programs do not run on this machine')
  })
  const applets = stdout.split('\n').filter((a) => /^[\w[\]+.-]+$/.test(a))
  await writeFile(join(folder, 'initrd.cpio'), writeInitramfs(rootEntries(busybox, applets)))
  const numa = await Promise.all([
    from(folder, 'numactl', '/usr/bin/numactl'),
    from(folder, 'libnuma1', '/usr/lib/x86_64-linux-gnu/libnuma.so.1', '/lib/x86_64-linux-gnu/libnuma.so.1'),
    from(folder, 'libc6', '/lib/x86_64-linux-gnu/libc.so.6'),
    from(folder, 'libc6', '/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2', LOADER),
  ])
  await writeFile(join(folder, 'initrd-numa.cpio'), writeInitramfs(rootEntries(busybox, applets, numa)))
  await writeFile(join(folder, 'version'), `${file.slice('vmlinuz-'.length)}\n`)
}

/** A file of an unpacked package, to be at `as` in the guest. */
async function from(folder: string, name: string, path: string, as = path): Promise<HostFile> {
  return { path: as, data: await readFile(join(folder, name, path)) }
}

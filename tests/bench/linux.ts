// Debian's unmodified cloud kernel from the start of the process to the shell's prompt, ours against QEMU's TCG. Both get one
// processor and are given the kernel in the same state: its ELF file, entered through PVH.

import { access, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { debianGuest } from '../../scripts/guests/debian.ts'
import { PROMPT } from '../../scripts/guests/initrd.ts'
import { parseBzImage, unpackKernel } from '../../src-core/guests/bzimage.ts'
import { BENCH_CACHE } from './build.ts'
import type { Measure } from './engine.ts'
import { oursLinux } from './ours.ts'
import { qemuLinux } from './qemu.ts'

const LINUX_MEMORY = 512
const APPEND = 'console=ttyS0'
const MOST_KERNEL = 256 << 20

/** One boot per call, keyed by the engine's name; or the reason why there is no kernel here. */
export async function linuxBoots(
  host: string,
  timeLimit: number,
): Promise<{ version: string; boot: Record<'ours' | 'qemu', () => Promise<Measure>> } | { missing: string }> {
  const guest = await debianGuest()
  if ('missing' in guest) return guest
  const kernel = await unpacked(guest.kernel, guest.version)
  return {
    version: guest.version,
    boot: {
      ours: () => oursLinux(kernel, guest.initrd, APPEND, host, LINUX_MEMORY, PROMPT, timeLimit),
      qemu: () => qemuLinux(kernel, guest.initrd, APPEND, LINUX_MEMORY, PROMPT, timeLimit),
    },
  }
}

/** QEMU enters by PVH only what is not compressed. */
async function unpacked(path: string, version: string): Promise<string> {
  const out = join(BENCH_CACHE, `vmlinux-${version}`)
  if (
    await access(out).then(
      () => true,
      () => false,
    )
  )
    return out
  const file = { name: path, data: new Uint8Array(await readFile(path)) }
  const elf = await unpackKernel(parseBzImage(file), file, MOST_KERNEL)
  if (!elf) throw new Error(`${path} holds no kernel that can be unpacked`)
  await mkdir(BENCH_CACHE, { recursive: true })
  await writeFile(`${out}-${process.pid}`, elf.data)
  await rename(`${out}-${process.pid}`, out)
  return out
}

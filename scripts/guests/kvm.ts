// An initial file system with KVM's modules for Intel processors and one program, beside what Debian's guest has.
// Linux unpacks archives that follow each other (Documentation/driver-api/early-userspace/buffer-format.rst).

import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { writeInitramfs, type InitramfsEntry } from '../../src-core/guests/initramfs.ts'
import type { DebianGuest } from './debian.ts'
import { exists } from './packages.ts'

const run = promisify(execFile)

/** Modules in the order in which they must be loaded, under kernel/ of the package. */
const MODULES = ['virt/lib/irqbypass.ko', 'arch/x86/kvm/kvm.ko', 'arch/x86/kvm/kvm-intel.ko']

/** Where the modules are in the guest, in the order in which they must be loaded. */
export const MODULE_PATHS = MODULES.map((m) => `/lib/modules/${m.split('/').at(-1)!}`)

/** Where the program is in the guest. */
export const PROGRAM_PATH = '/bin/kvm-guest'

/** Writes the file system to `path`; `program`: a static executable. Rejects where the kernel's package lacks a module. */
export async function writeKvmInitrd(path: string, guest: DebianGuest, program: Uint8Array): Promise<void> {
  const folder = join(dirname(guest.kernel), `linux-image-${guest.version}/lib/modules`, guest.version, 'kernel')
  const modules = await Promise.all(
    MODULES.map(async (m, n): Promise<InitramfsEntry> => ({ kind: 'file', path: MODULE_PATHS[n]!.slice(1), data: await module(join(folder, m)) })),
  )
  const more = writeInitramfs([
    { kind: 'directory', path: 'lib' },
    { kind: 'directory', path: 'lib/modules' },
    ...modules,
    { kind: 'file', path: PROGRAM_PATH.slice(1), data: program, mode: 0o755 },
  ])
  await writeFile(path, Buffer.concat([await readFile(guest.initrd), more]))
}

/** A module as insmod wants it, whether the package has it plain or as .ko.xz. */
async function module(path: string): Promise<Uint8Array> {
  if (await exists(path)) return readFile(path)
  const { stdout } = await run('xz', ['-dc', `${path}.xz`], { encoding: 'buffer', maxBuffer: 1 << 26 })
  return stdout
}

/** The C program `source` as a static executable, or the reason why there is none. Rejects when it does not compile. */
export async function staticProgram(source: string): Promise<Uint8Array | { missing: string }> {
  if (process.platform !== 'linux' || process.arch !== 'x64') return { missing: `no compiler for Linux on ${process.platform} ${process.arch}` }
  const folder = await mkdtemp(join(tmpdir(), 'ring1-c-'))
  try {
    await writeFile(join(folder, 'probe.c'), '#include <linux/kvm.h>\nint main(void) { return 0; }\n')
    const compile = (from: string, to: string) => run('gcc', ['-static', '-O1', '-Wall', '-Wextra', '-o', join(folder, to), from], { timeout: 60_000 })
    try {
      await compile(join(folder, 'probe.c'), 'probe')
    } catch {
      return { missing: 'gcc with a static C library and the headers of Linux is not installed' }
    }
    await compile(source, 'program')
    return await readFile(join(folder, 'program'))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

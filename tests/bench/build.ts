// Builds the benchmark guests with the host's gcc: Multiboot 1 ELF32 images of 64-bit and of 32-bit code, kept in .cache/bench
// under a hash of everything that goes into them.

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { largeSource } from './large.ts'

const run = promisify(execFile)
const HERE = dirname(fileURLToPath(import.meta.url))
const SOURCES = join(HERE, 'guests')

/** Where images and other things the benchmark makes are kept. */
export const BENCH_CACHE = resolve(HERE, '../../.cache/bench')

export type Bits = 32 | 64

const FLAGS =
  '-O2 -std=gnu11 -ffreestanding -fno-builtin -fno-pic -fno-pie -no-pie -fno-stack-protector -fcf-protection=none ' +
  '-fno-asynchronous-unwind-tables -fno-tree-vectorize -fno-tree-slp-vectorize -fno-tree-loop-distribute-patterns -fno-math-errno ' +
  '-fno-strict-aliasing -ffp-contract=off -Wall -Wextra -Werror -Wno-parentheses -Wno-array-bounds -nostdlib -static ' +
  '-Wl,--build-id=none -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments'
const WIDTH: Record<Bits, string> = {
  64: '-m64 -march=x86-64 -mno-red-zone -mcmodel=small',
  32: '-m32 -march=pentium4 -mfpmath=sse',
}

export class Compiler {
  private constructor(
    private readonly gcc: string,
    private readonly objcopy: string,
    private readonly version: string,
    private readonly shared: ReadonlyMap<string, string>,
  ) {}

  /** The host's gcc for x86-64, or the reason why there is none. */
  static async find(): Promise<Compiler | { missing: string }> {
    for (const prefix of ['', 'x86_64-linux-gnu-']) {
      try {
        const { stdout: machine } = await run(`${prefix}gcc`, ['-dumpmachine'])
        if (!/^x86_64-.*linux/.test(machine)) continue
        const { stdout: version } = await run(`${prefix}gcc`, ['-dumpfullversion'])
        await run(`${prefix}objcopy`, ['--version'])
        const shared = new Map<string, string>()
        for (const file of await readdir(SOURCES)) shared.set(file, await readFile(join(SOURCES, file), 'utf8'))
        return new Compiler(`${prefix}gcc`, `${prefix}objcopy`, version.trim(), shared)
      } catch {
        continue
      }
    }
    return { missing: 'no gcc for x86-64 Linux with binutils on the path' }
  }

  /** Path of the image of one workload. Rejects with the compiler's messages. */
  async image(workload: string, bits: Bits): Promise<string> {
    const parts = ['kernel.c', 'tables.c', `entry${bits}.S`, `vectors${bits}.S`]
    const source = workload === 'large' ? largeSource() : this.shared.get(`${workload}.c`)
    if (source === undefined) throw new Error(`there is no guests/${workload}.c`)
    const flags = `${FLAGS} ${WIDTH[bits]}`
    const hash = createHash('sha256').update(`${this.version}\n${flags}\n${source}`)
    for (const part of [...parts, 'kernel.h', 'image.ld']) hash.update(this.shared.get(part)!)
    const out = join(BENCH_CACHE, `${workload}-${bits}-${hash.digest('hex').slice(0, 12)}.elf`)
    if (
      await access(out).then(
        () => true,
        () => false,
      )
    )
      return out

    await mkdir(BENCH_CACHE, { recursive: true })
    const work = join(BENCH_CACHE, `${workload}-${bits}-${process.pid}`)
    try {
      await writeFile(`${work}.c`, source)
      const inputs = [...parts.map((p) => join(SOURCES, p)), `${work}.c`]
      await run(this.gcc, [...flags.split(' '), '-I', SOURCES, '-T', join(SOURCES, 'image.ld'), '-o', `${work}.elf`, ...inputs])
      // Multiboot loads ELF32 only; the code in it is what it is
      if (bits === 64) await run(this.objcopy, ['-O', 'elf32-i386', `${work}.elf`])
      await rename(`${work}.elf`, out)
    } finally {
      for (const ending of ['c', 'elf']) await rm(`${work}.${ending}`, { force: true })
    }
    return out
  }
}

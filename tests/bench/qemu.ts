// QEMU's TCG as an engine: one processor, no acceleration, the same image by -kernel.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { MEMORY, type Engine, type Measure } from './engine.ts'
import { measure } from './process.ts'

const COMMAND = 'qemu-system-x86_64'
const MACHINE = '-accel tcg,thread=single -cpu max -display none -monitor none -serial stdio -no-reboot -nodefaults -smp 1'.split(' ')
/** Writing 0 to isa-debug-exit's port ends QEMU with status (0 << 1) | 1. */
const EXIT = ['-device', 'isa-debug-exit,iobase=0xf4,iosize=4']

/** QEMU, or the reason why there is none. */
export async function qemu(timeLimit: number): Promise<Engine | { missing: string }> {
  try {
    await promisify(execFile)(COMMAND, ['--version'])
  } catch {
    return { missing: `${COMMAND} is not installed` }
  }
  return {
    name: 'qemu',
    bits: 64,
    run: (image, count) =>
      measure({
        command: COMMAND,
        args: [...MACHINE, ...EXIT, '-m', String(MEMORY), '-kernel', image, '-append', `n=${count} wait`],
        timeLimit,
        statuses: [1],
      }),
  }
}

/** From the start of the process until `prompt`; `kernel` is an ELF file with a PVH note. */
export function qemuLinux(
  kernel: string,
  initrd: string,
  append: string,
  memory: number,
  prompt: string,
  timeLimit: number,
): Promise<Measure> {
  const args = [...MACHINE, '-m', String(memory), '-kernel', kernel, '-initrd', initrd, '-append', append]
  return measure({ command: COMMAND, args, timeLimit, until: prompt })
}

// Our machine as an engine: `ring1 boot` on the metal of the preset with one node, serial line on standard output.

import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { BENCH_CACHE, type Bits } from './build.ts'
import { MEMORY, type Engine, type Measure } from './engine.ts'
import { measure, type Task } from './process.ts'

const RING1 = resolve(dirname(fileURLToPath(import.meta.url)), '../../scripts/ring1.mjs')

/** One run; instructions come out of the report that ring1 writes at its end. */
async function boot(options: readonly string[], task: Omit<Task, 'command' | 'args'>): Promise<Measure> {
  const report = join(BENCH_CACHE, `report-${process.pid}.json`)
  mkdirSync(BENCH_CACHE, { recursive: true })
  rmSync(report, { force: true })
  try {
    const args = [RING1, 'boot', '--on', 'metal', '--serial', 'stdio', '--report', report, ...options]
    const took = await measure({ ...task, command: process.execPath, args })
    const { instructions } = JSON.parse(readFileSync(report, 'utf8')) as { instructions: number | string }
    return { ...took, instructions: Number(instructions) }
  } finally {
    rmSync(report, { force: true })
  }
}

/** Builds our machine if it is not built, so that no run's time has it. Rejects when it cannot be built. */
export async function buildOurs(): Promise<void> {
  await promisify(execFile)(process.execPath, [RING1, 'hosts'])
}

export function ours(bits: Bits, host: string, timeLimit: number): Engine {
  return {
    name: bits === 64 ? 'ours' : 'ours32',
    bits,
    run: (image, count) =>
      boot(['--host', host, '--memory', String(MEMORY), '--kernel', image, '--append', `n=${count} linger`], { timeLimit, statuses: [1] }),
  }
}

/** From the start of the process until `prompt`. */
export function oursLinux(
  kernel: string,
  initrd: string,
  append: string,
  host: string,
  memory: number,
  prompt: string,
  timeLimit: number,
): Promise<Measure> {
  const options = [
    '--host',
    host,
    '--memory',
    String(memory),
    '--kernel',
    kernel,
    '--initrd',
    initrd,
    '--append',
    append,
    '--until',
    prompt,
  ]
  return boot(options, { timeLimit, statuses: [0], until: prompt })
}

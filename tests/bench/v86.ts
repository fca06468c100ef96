// v86 (npm `v86`) as an engine, in a process of its own (v86-run.ts): it runs the 32-bit build, having no 64-bit mode.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Engine, Measure } from './engine.ts'

const HERE = dirname(fileURLToPath(import.meta.url))
const PACKAGE = resolve(HERE, '../../node_modules/v86')

/** v86, or the reason why there is none. */
export function v86(timeLimit: number): Engine | { missing: string } {
  if (!existsSync(join(PACKAGE, 'build/v86.wasm'))) return { missing: 'the development dependency v86 is not installed (npm ci)' }
  return {
    name: 'v86',
    bits: 32,
    async run(image, count): Promise<Measure> {
      const args = ['--import', 'tsx', join(HERE, 'v86-run.ts'), join(PACKAGE, 'build/v86.wasm'), image, String(count)]
      const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: timeLimit * 1e3, killSignal: 'SIGKILL' })
      const line = stdout.trim().split('\n').at(-1)!
      return JSON.parse(line) as Measure
    },
  }
}

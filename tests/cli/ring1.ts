// Runs the built command as a user does, and small guests for it.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
export const ENTRY = join(root, 'out/main/cli.js')

/** Makes out/ when the sources are newer. */
export function buildOnce(): void {
  const built = spawnSync(process.execPath, [join(root, 'scripts/build.mjs')], { encoding: 'utf8' })
  if (built.status !== 0) throw new Error(`build failed: ${built.stderr}`)
}

export interface Ran {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  readonly output: Buffer
  readonly text: string
  readonly errors: string
}

export interface Running {
  readonly child: ChildProcess
  readonly done: Promise<Ran>
}

/** Starts `ring1`; `input` is written to its standard input, which is then closed, unless it is 'open'. */
export function start(args: readonly string[], input: string | 'open' | number = ''): Running {
  const child = spawn(process.execPath, [ENTRY, ...args], { stdio: [typeof input === 'number' ? input : 'pipe', 'pipe', 'pipe'] })
  const output: Buffer[] = []
  let errors = ''
  child.stdout!.on('data', (chunk: Buffer) => output.push(chunk))
  child.stderr!.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  child.stdin?.on('error', () => {})
  if (typeof input === 'string' && input !== 'open') child.stdin!.end(input)
  const done = new Promise<Ran>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (status, signal) => {
      const all = Buffer.concat(output)
      resolve({ status, signal, output: all, text: all.toString('latin1'), errors })
    })
  })
  return { child, done }
}

export const ring1 = (...args: string[]): Promise<Ran> => start(args).done

/** A folder for one test file's files. */
export function folder() {
  const path = mkdtempSync(join(tmpdir(), 'ring1-'))
  return {
    path: (name: string): string => join(path, name),
    write: (name: string, data: string | Uint8Array): string => {
      writeFileSync(join(path, name), data)
      return join(path, name)
    },
    remove: (): void => rmSync(path, { recursive: true, force: true }),
  }
}

/** Bytes of 16-bit programs for `--load-at 0x7c00`. */
export const programs = {
  /** mov al, code │ out F4H, al │ hlt */
  exit: (code: number): Uint8Array => Uint8Array.of(0xb0, code, 0xe6, 0xf4, 0xf4),
  /** cli │ hlt */
  stuck: Uint8Array.of(0xfa, 0xf4),
  /** jmp $ */
  spin: Uint8Array.of(0xeb, 0xfe),
  /** lidt [7E00H] (zeros) │ ud2 */
  tripleFault: Uint8Array.of(0x0f, 0x01, 0x1e, 0x00, 0x7e, 0x0f, 0x0b),
  /** mov dx, 3F8H │ xor cx, cx │ mov al, cl │ xor al, ch │ out dx, al │ loop −7 │ xor ax, ax │ out F4H, al │ hlt: 65,536 bytes */
  bytes: Uint8Array.of(0xba, 0xf8, 0x03, 0x31, 0xc9, 0x88, 0xc8, 0x30, 0xe8, 0xee, 0xe2, 0xf9, 0x31, 0xc0, 0xe6, 0xf4, 0xf4),
  /** mov dx, 3F8H │ mov al, 'R' │ out dx, al │ mov dx, CF9H │ mov al, 6 │ out dx, al │ hlt: a reset each time */
  reset: Uint8Array.of(0xba, 0xf8, 0x03, 0xb0, 0x52, 0xee, 0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, 0xf4),
  /** Sends RTS (MCR = 3), then every byte it receives but 'q', which ends it with 1. */
  echo: Uint8Array.of(
    0xba, 0xfc, 0x03, 0xb0, 0x03, 0xee, // mov dx, 3FCH │ mov al, 3 │ out dx, al
    0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xfb, // mov dx, 3FDH │ in al, dx │ test al, 1 │ jz −5
    0xba, 0xf8, 0x03, 0xec, 0x3c, 0x71, 0x74, 0x03, // mov dx, 3F8H │ in al, dx │ cmp al, 'q' │ je +3
    0xee, 0xeb, 0xed, // out dx, al │ jmp −19
    0x31, 0xc0, 0xe6, 0xf4, 0xf4, // xor ax, ax │ out F4H, al │ hlt
  ),
}

/** What `programs.bytes` sends. */
export const sentBytes = (): Buffer => {
  const out = Buffer.alloc(65536)
  for (let n = 0, cx = 0; n < 65536; n++, cx = (cx - 1) & 0xffff) out[n] = (cx & 0xff) ^ (cx >> 8)
  return out
}

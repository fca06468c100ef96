// `npm run build`, and `build()` for the other scripts: out/ from the sources, when it is older than they are.

import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const SOURCES = ['src-core', 'src-main', 'electron.vite.config.ts', 'package.json', 'package-lock.json', 'tsconfig.json']
const STAMP = join(root, 'out/built')
const LOCK = join(root, 'out/building')
export const ENTRY = join(root, 'out/main/cli.js')

/** Newest modification in a file or folder, folders included: a removed file changes its folder. */
function newest(path) {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (!stat) return 0
  if (!stat.isDirectory()) return stat.mtimeMs
  return readdirSync(path).reduce((last, name) => Math.max(last, newest(join(path, name))), stat.mtimeMs)
}

const modified = () => Math.max(...SOURCES.map((s) => newest(join(root, s))))

/** Is out/ made from the sources as they are? */
export function fresh() {
  if (!existsSync(ENTRY) || !existsSync(STAMP)) return false
  return readFileSync(STAMP, 'utf8') === String(modified())
}

/** Does the process that wrote this lock still live? */
function held() {
  const pid = Number(readFileSync(join(LOCK, 'pid'), { encoding: 'utf8', flag: 'a+' }))
  if (!pid) return Date.now() - statSync(LOCK).mtimeMs < 5000
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

/** Resolves when this process alone may build. */
async function lock() {
  mkdirSync(join(root, 'out'), { recursive: true })
  for (;;) {
    try {
      mkdirSync(LOCK)
      writeFileSync(join(LOCK, 'pid'), String(process.pid))
      return
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    let alive = true
    try {
      alive = held()
    } catch {
      continue // it was given back just now
    }
    if (alive) await sleep(50)
    else rmSync(LOCK, { recursive: true, force: true })
  }
}

/** electron-vite asks the electron package for its version, and needs no more of it to build. */
function environment() {
  try {
    createRequire(import.meta.url).resolve('electron/package.json')
    return process.env
  } catch {
    return { ...process.env, ELECTRON_MAJOR_VER: process.env.ELECTRON_MAJOR_VER ?? '45' }
  }
}

function run() {
  return new Promise((resolve, reject) => {
    const bin = join(root, 'node_modules/electron-vite/bin/electron-vite.js')
    if (!existsSync(bin)) return reject(new Error('the packages are not installed: run npm ci'))
    const child = spawn(process.execPath, [bin, 'build', '--logLevel', 'warn'], { cwd: root, env: environment(), stdio: ['ignore', 'pipe', 'pipe'] })
    let text = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += chunk))
    child.on('error', reject)
    child.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`the build failed\n${text}`))))
  })
}

/** Makes out/ if it is not fresh. Rejects with an Error whose message is fit to be shown. */
export async function build() {
  if (fresh()) return
  await lock()
  try {
    if (fresh()) return
    process.stderr.write('building…\n')
    const from = modified()
    await run()
    writeFileSync(STAMP, String(from))
  } finally {
    rmSync(LOCK, { recursive: true, force: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await build()
  } catch (error) {
    process.stderr.write(`${error.message}\n`)
    process.exitCode = 1
  }
}

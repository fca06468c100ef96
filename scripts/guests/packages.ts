// Debian packages unpacked, not installed: apt-get download and dpkg -x into a folder of the repository's cache.

import { execFile } from 'node:child_process'
import { access, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)

export const CACHE = resolve(dirname(fileURLToPath(import.meta.url)), '../../.cache')

/** Why something cannot be had on this machine; the message is fit to be a skipped test's reason. */
export class Unavailable extends Error {
  constructor(reason: string) {
    super(reason)
    this.name = 'Unavailable'
  }
}

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

async function output(command: string, ...args: string[]): Promise<string> {
  const { stdout } = await run(command, args, {
    maxBuffer: 1 << 24,
    timeout: 120_000,
    env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
  })
  return stdout
}

/** The package that `name` (a meta-package) depends on and whose name begins with `prefix`. Rejects with Unavailable. */
export async function dependency(name: string, prefix: string): Promise<string> {
  await lists(name)
  const text = await output('apt-cache', 'depends', name)
  const found = [...text.matchAll(/^\s*Depends: (\S+)$/gm)].map((m) => m[1]!).find((p) => p.startsWith(prefix))
  if (!found) throw new Unavailable(`${name} depends on no package ${prefix}*`)
  return found
}

/** Makes sure apt knows `name`, updating its lists as root when it does not. */
async function lists(name: string): Promise<void> {
  if (process.platform !== 'linux') throw new Unavailable(`Debian packages cannot be unpacked on ${process.platform}`)
  for (const tool of ['/usr/bin/apt-get', '/usr/bin/apt-cache', '/usr/bin/dpkg']) {
    if (!(await exists(tool))) throw new Unavailable(`not a Debian system: there is no ${tool}`)
  }
  const known = async () => /Candidate: (?!\(none\))\S/.test(await output('apt-cache', 'policy', name).catch(() => ''))
  if (await known()) return
  if (process.getuid?.() !== 0) throw new Unavailable(`apt has no package lists and only root can fetch them (apt-get update)`)
  await output('apt-get', 'update', '-q').catch((error: Error) => {
    throw new Unavailable(`apt-get update failed: ${lastLine(error.message)}`)
  })
  if (!(await known())) throw new Unavailable(`this system's package sources have no ${name}`)
}

/**
 * Unpacks `names` into `folder`/<name>, all or nothing: made beside it and moved into place at the end, so that
 * several processes may do it at once. `finish` may add files before the move. Rejects with Unavailable.
 */
export async function unpack(
  folder: string,
  names: readonly string[],
  finish: (folder: string) => Promise<void> = async () => {},
): Promise<void> {
  for (const name of names) await lists(name)
  await mkdir(dirname(folder), { recursive: true })
  const work = await mkdtemp(`${folder}-`)
  try {
    const debs = join(work, 'debs')
    await mkdir(debs)
    await run('apt-get', ['download', '-q', ...names], { cwd: debs, timeout: 300_000 }).catch((error: Error) => {
      throw new Unavailable(`apt-get download ${names.join(' ')} failed: ${lastLine(error.message)}`)
    })
    for (const file of await readdir(debs)) await output('dpkg', '-x', join(debs, file), join(work, file.split('_')[0]!))
    await rm(debs, { recursive: true })
    await finish(work)
    await rename(work, folder).catch(async (error: Error) => {
      if (!(await exists(folder))) throw error
    })
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

const lastLine = (text: string) => text.trim().split('\n').at(-1) ?? text

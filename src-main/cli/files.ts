// Files named on the command line: read whole, or opened for writing before anything runs.

import { closeSync, constants, ftruncateSync, openSync, writeSync } from 'node:fs'
import { readFile, realpath, stat } from 'node:fs/promises'
import { CommandError, Status, usage } from './status.ts'

const MOST_BYTES = 2 ** 31 - 1

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  EISDIR: 'is a folder',
  ENOTDIR: 'a part of its path is not a folder',
  ENOSPC: 'no space left',
  EROFS: 'the file system is read-only',
  ELOOP: 'too many links',
  ENAMETOOLONG: 'the name is too long',
  EIO: 'input/output error',
}

export function reason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return (code !== undefined ? reasons[code] : undefined) ?? String(message ?? error).split('\n')[0]!
}

/** A whole file. Rejects with CommandError(66). */
export async function readInput(path: string): Promise<Uint8Array> {
  try {
    const s = await stat(path)
    if (s.isDirectory()) throw new Error('is a folder')
    if (!s.isFile() && !s.isFIFO()) throw new Error('not a file')
    if (s.size > MOST_BYTES) throw new Error(`larger than ${MOST_BYTES} bytes`)
    return await readFile(path)
  } catch (error) {
    throw new CommandError(Status.file, `${path}: cannot be read: ${reason(error)}`)
  }
}

/** A file opened for writing, created if need be; what it held stays until the first write. */
export class OutputFile {
  private readonly fd: number
  private at: 'start' | 'later' = 'start'

  /** Throws CommandError(66). */
  constructor(readonly path: string) {
    try {
      this.fd = openSync(path, constants.O_WRONLY | constants.O_CREAT, 0o666)
    } catch (error) {
      throw this.failed(error)
    }
  }

  /** All of `data`, after what was written before. Throws CommandError(66). */
  write(data: Uint8Array): void {
    try {
      if (this.at === 'start') this.empty()
      this.at = 'later'
      for (let n = 0; n < data.length; ) n += writeSync(this.fd, data, n, data.length - n)
    } catch (error) {
      throw this.failed(error)
    }
  }

  private empty(): void {
    try {
      ftruncateSync(this.fd)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error // a device or a pipe has no length
    }
  }

  close(): void {
    closeSync(this.fd)
  }

  private failed(error: unknown): CommandError {
    return new CommandError(Status.file, `${this.path}: cannot be written: ${reason(error)}`)
  }
}

/** Refuses an output that is also an input or another output, by whatever name. Rejects with CommandError(64). */
export async function distinct(inputs: readonly (string | undefined)[], outputs: readonly (string | undefined)[]): Promise<void> {
  const seen = new Map<string, string>()
  const real = async (path: string) => realpath(path).catch(() => path)
  for (const path of inputs) if (path !== undefined) seen.set(await real(path), path)
  for (const path of outputs) {
    if (path === undefined || path.startsWith('/dev/')) continue
    const name = await real(path)
    if (seen.has(name)) throw usage(`${path} would be written over: it is named twice`)
    seen.set(name, path)
  }
}

// COM1's output on its way out of the process: gathered while the guest runs, written between its turns, never dropped.

import type { Writable } from 'node:stream'
import type { OutputFile } from './files.ts'
import { reason } from './files.ts'
import { CommandError, Status } from './status.ts'

export interface SerialOutput {
  /** Bytes taken so far. */
  readonly count: number
  /** Nobody reads any more. */
  readonly closed: boolean
  put(byte: number): void
  /** Resolves when more may be put: a slow reader holds the guest up. Rejects with CommandError(66). */
  flush(): Promise<void>
  /** Resolves when every byte has left the process. */
  end(): Promise<void>
}

class Gathered {
  private bytes = new Uint8Array(4096)
  private length = 0
  count = 0

  put(byte: number): void {
    if (this.length === this.bytes.length) {
      const larger = new Uint8Array(this.length * 2)
      larger.set(this.bytes)
      this.bytes = larger
    }
    this.bytes[this.length++] = byte
    this.count++
  }

  /** What has gathered, once; undefined when that is nothing. */
  take(): Uint8Array | undefined {
    if (this.length === 0) return undefined
    const data = this.bytes.slice(0, this.length)
    this.length = 0
    return data
  }
}

export class StreamOutput implements SerialOutput {
  private readonly gathered = new Gathered()
  private failure: CommandError | undefined
  closed = false

  constructor(
    private readonly stream: Writable,
    private readonly name = 'standard output',
  ) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      this.closed = true
      if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED' && error.code !== 'EOF')
        this.failure = new CommandError(Status.file, `${this.name}: cannot be written: ${reason(error)}`)
    })
    stream.on('close', () => {
      this.closed = true
    })
  }

  get count(): number {
    return this.gathered.count
  }

  put(byte: number): void {
    this.gathered.put(byte)
  }

  async flush(): Promise<void> {
    const data = this.gathered.take()
    if (data && !this.closed) await this.written(data)
    if (this.failure) throw this.failure
  }

  end(): Promise<void> {
    return this.flush()
  }

  /** Settles with the write, or with the stream's end. */
  private written(data: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.stream.off('close', done)
        resolve()
      }
      this.stream.once('close', done)
      this.stream.write(data, done)
    })
  }
}

export class FileOutput implements SerialOutput {
  private readonly gathered = new Gathered()
  readonly closed = false

  constructor(private readonly file: OutputFile) {
    file.write(new Uint8Array(0))
  }

  get count(): number {
    return this.gathered.count
  }

  put(byte: number): void {
    this.gathered.put(byte)
  }

  async flush(): Promise<void> {
    const data = this.gathered.take()
    if (data) this.file.write(data)
  }

  async end(): Promise<void> {
    await this.flush()
    this.file.close()
  }
}

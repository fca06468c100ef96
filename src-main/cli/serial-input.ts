// Standard input on its way to COM1. At a terminal every key goes to the guest but those after Ctrl-A.

import { fstatSync, readFileSync } from 'node:fs'
import type { ReadStream } from 'node:tty'

/** `process.stdin`. */
export type StandardInput = ReadStream & { readonly fd: number }

/** The part of a UART that takes the host's bytes. */
export interface Receiver {
  receive(data: Uint8Array): void
  readonly backlog: number
}

const CTRL_A = 1
/** Beyond these, standard input waits outside the process, and inside it outside the UART. */
const MOST_WAITING = 65536
const MOST_AHEAD = 4096

const KEYS = `
Ctrl-A X       leave
Ctrl-A H       this list
Ctrl-A Ctrl-A  send Ctrl-A to the guest
`

/** Splits what is typed into bytes for the guest and commands for ring1. */
export class EscapeKeys {
  private after = false

  constructor(
    private readonly leave: () => void,
    private readonly say: (text: string) => void,
  ) {}

  filter(data: Uint8Array): Uint8Array {
    const out: number[] = []
    for (const byte of data) {
      if (!this.after) {
        if (byte === CTRL_A) this.after = true
        else out.push(byte)
        continue
      }
      this.after = false
      const key = String.fromCharCode(byte).toLowerCase()
      if (byte === CTRL_A) out.push(CTRL_A)
      else if (key === 'x') this.leave()
      else if (key === 'h') this.say(KEYS)
    }
    return Uint8Array.from(out)
  }
}

export interface InputEvents {
  /** Ctrl-A X. */
  readonly leave: () => void
  readonly say: (text: string) => void
  /** Bytes arrived, or no more will. */
  readonly arrived: () => void
}

export class SerialInput {
  readonly interactive: boolean
  /** No more bytes will come. */
  ended = false
  count = 0
  private pending: Uint8Array[] = []
  private waiting = 0
  private readonly stop: () => void

  /** `stream` undefined: there is no input. A terminal is made raw until `close`. */
  constructor(
    private readonly stream: StandardInput | undefined,
    events: InputEvents,
  ) {
    this.interactive = stream?.isTTY === true
    if (!stream) {
      this.ended = true
      this.stop = () => {}
      return
    }
    if (regular(stream)) {
      // a file is there as a whole before the guest starts: when its bytes arrive does not depend on the host
      this.pending = [new Uint8Array(readFileSync(stream.fd))]
      this.waiting = this.pending[0]!.length
      this.ended = true
      this.stop = () => {}
      return
    }
    const keys = this.interactive ? new EscapeKeys(events.leave, events.say) : undefined
    const data = (chunk: Uint8Array): void => {
      const bytes = keys ? keys.filter(chunk) : chunk
      if (bytes.length > 0) this.pending.push(bytes)
      this.waiting += bytes.length
      if (this.waiting > MOST_WAITING) stream.pause()
      events.arrived()
    }
    const end = (): void => {
      this.ended = true
      events.arrived()
    }
    stream.on('data', data)
    stream.on('end', end)
    stream.on('close', end)
    stream.on('error', end)
    if (this.interactive) stream.setRawMode(true)
    const cooked = (): void => {
      if (this.interactive && !stream.destroyed) stream.setRawMode(false)
    }
    process.once('exit', cooked)
    this.stop = () => {
      process.off('exit', cooked)
      stream.off('data', data)
      stream.pause()
      cooked()
    }
  }

  /** Hands over what has arrived, as far as the guest keeps up. */
  feed(to: Receiver): void {
    while (this.ready(to)) {
      const first = this.pending[0]!
      const piece = first.subarray(0, MOST_AHEAD)
      if (piece.length === first.length) this.pending.shift()
      else this.pending[0] = first.subarray(piece.length)
      this.waiting -= piece.length
      this.count += piece.length
      to.receive(piece)
    }
    if (!this.ended && this.waiting <= MOST_WAITING && this.stream?.isPaused()) this.stream.resume()
  }

  /** Would `feed` hand over anything? */
  ready(to: Receiver): boolean {
    return this.pending.length > 0 && to.backlog < MOST_AHEAD
  }

  /** Could the guest still be given a byte? */
  get open(): boolean {
    return !this.ended || this.pending.length > 0
  }

  close(): void {
    this.stop()
  }
}

function regular(stream: StandardInput): boolean {
  try {
    return typeof stream.fd === 'number' && fstatSync(stream.fd).isFile()
  } catch {
    return false
  }
}

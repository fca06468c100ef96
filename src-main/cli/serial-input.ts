// Standard input on its way to COM1. At a terminal every key goes to the guest but those after Ctrl-A.

import type { ReadStream } from 'node:tty'

/** The part of a UART that takes the host's bytes. */
export interface Receiver {
  receive(data: Uint8Array): void
  readonly backlog: number
}

const CTRL_A = 1
const MOST_WAITING = 65536

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
  private readonly pending: Uint8Array[] = []
  private waiting = 0
  private readonly stop: () => void

  /** `stream` undefined: there is no input. A terminal is made raw until `close`. */
  constructor(
    private readonly stream: ReadStream | undefined,
    events: InputEvents,
  ) {
    this.interactive = stream?.isTTY === true
    if (!stream) {
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

  /** Hands what has arrived to the guest, as far as it keeps up. */
  feed(to: Receiver): void {
    while (this.pending.length > 0 && to.backlog < MOST_WAITING) {
      const bytes = this.pending.shift()!
      this.waiting -= bytes.length
      this.count += bytes.length
      to.receive(bytes)
    }
    if (this.waiting <= MOST_WAITING && this.stream?.isPaused()) this.stream.resume()
  }

  /** Could the guest still be given a byte? */
  get open(): boolean {
    return !this.ended || this.pending.length > 0
  }

  close(): void {
    this.stop()
  }
}

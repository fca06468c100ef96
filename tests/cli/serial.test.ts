// COM1 between guest and host: the text watched for, output to slow and closed readers, keys, and pace.

import { PassThrough, Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { Pace } from '../../src-main/cli/pace.ts'
import { EscapeKeys, SerialInput, type StandardInput } from '../../src-main/cli/serial-input.ts'
import { StreamOutput } from '../../src-main/cli/serial-output.ts'
import { Until } from '../../src-main/cli/until.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Where the text is first complete, or -1. */
function firstMatch(text: string, within: string): number {
  const until = new Until(text)
  const data = bytes(within)
  return data.findIndex((b) => until.take(b))
}

describe('the text watched for', () => {
  it('is found at the byte that completes it, as a search finds it', () => {
    let seed = 1
    const random = (n: number): number => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % n
    let found = 0
    for (let round = 0; round < 2000; round++) {
      const word = (length: number): string => Array.from({ length }, () => 'ab'[random(2)]!).join('')
      const text = word(1 + random(6))
      const within = word(random(40))
      const at = within.indexOf(text)
      if (at >= 0) found++
      expect(firstMatch(text, within)).toBe(at < 0 ? -1 : at + text.length - 1)
    }
    expect(found).toBeGreaterThan(500)
  })

  it('may overlap itself and be other than ASCII', () => {
    expect(firstMatch('aab', 'aaaab')).toBe(4)
    expect(firstMatch('é→', 'é→')).toBe(4)
  })

  it('stays seen', () => {
    const until = new Until('a')
    expect([until.take(0x61), until.take(0x62)]).toEqual([true, true])
  })
})

describe('output', () => {
  it('waits for a slow reader and loses nothing', async () => {
    const got: Buffer[] = []
    const slow = new Writable({
      highWaterMark: 16,
      write(chunk: Buffer, _encoding, done) {
        setTimeout(() => {
          got.push(chunk)
          done()
        }, 1)
      },
    })
    const output = new StreamOutput(slow)
    for (let n = 0; n < 20_000; n++) {
      output.put(n & 0xff)
      if (n % 3000 === 0) await output.flush()
    }
    await output.end()
    expect(output.count).toBe(20_000)
    expect(Buffer.concat(got).equals(Buffer.from(Array.from({ length: 20_000 }, (_, n) => n & 0xff)))).toBe(true)
  })

  const failing = (code: string): Writable =>
    new Writable({
      write(_chunk, _encoding, done) {
        done(Object.assign(new Error(code), { code }))
      },
    })

  it('is closed, without a word, when nobody reads', async () => {
    const output = new StreamOutput(failing('EPIPE'))
    output.put(1)
    await output.flush()
    output.put(2)
    await output.end()
    expect(output.closed).toBe(true)
  })

  it('says why it cannot be written otherwise', async () => {
    const output = new StreamOutput(failing('ENOSPC'))
    output.put(1)
    await expect((async () => { await output.flush(); await output.flush() })()).rejects.toThrow('standard output: cannot be written: no space left')
  })
})

describe('keys at a terminal', () => {
  it('go to the guest but for Ctrl-A and what follows', () => {
    let left = 0
    let said = ''
    const keys = new EscapeKeys(() => left++, (text) => (said += text))
    const sent = ['a\x01', '\x01b\x01hc', '\x01?d\x01X'].map((part) => Buffer.from(keys.filter(bytes(part))).toString('latin1'))
    expect(sent).toEqual(['a', '\x01bc', 'd'])
    expect(left).toBe(1)
    expect(said).toContain('Ctrl-A X')
  })
})

describe('input from a pipe', () => {
  it('is handed over as the guest keeps up, to the byte', async () => {
    const pipe = new PassThrough()
    const input = new SerialInput(pipe as unknown as StandardInput, { leave: () => {}, say: () => {}, arrived: () => {} })
    const data = Buffer.from(Array.from({ length: 50_000 }, (_, n) => n % 251))
    pipe.end(data)
    const taken: number[] = []
    const uart = { queue: [] as number[], get backlog() { return this.queue.length }, receive(d: Uint8Array) { this.queue.push(...d) } }
    for (let round = 0; round < 5000 && (input.open || uart.backlog > 0); round++) {
      await new Promise((resolve) => setImmediate(resolve))
      input.feed(uart)
      expect(uart.backlog).toBeLessThan(8192 + 1)
      taken.push(...uart.queue.splice(0, 100))
    }
    expect(Buffer.from(taken).equals(data)).toBe(true)
    expect([input.count, input.ended, input.open]).toEqual([50_000, true, false])
  })
})

describe('pace', () => {
  const clock = { frequency: 1_000_000, time: 500, next: Infinity as number }

  it('keeps an idle guest at the wall clock', () => {
    let now = 1000
    const pace = new Pace({ ...clock, next: 3500 }, false, () => now)
    expect(pace.idleUntil()).toBe(500)
    expect(pace.wait).toBe(3)
    now += 2
    expect(pace.idleUntil()).toBe(2500)
    expect(pace.wait).toBe(1)
    now += 10
    expect(pace.wait).toBe(0)
  })

  it('skips idle time when asked to, a bounded piece at a time', () => {
    expect(new Pace({ ...clock, next: 3500 }, true, () => 0).idleUntil()).toBe(1_000_500)
    expect(new Pace({ ...clock, next: 9e9 }, true, () => 0).idleUntil()).toBe(9e9)
    expect(new Pace({ ...clock, next: 9e9 }, true, () => 0).wait).toBe(0)
    expect(new Pace(clock, true, () => 0).wait).toBe(Infinity)
  })
})

// The file of a saved machine: its pages come back, and a damaged one is refused with one clear line.

import { afterAll, describe, expect, it } from 'vitest'
import { readFileSync } from 'node:fs'
import type { Machine } from '../../src-core/board/machine.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import { StateError } from '../../src-core/memory/device.ts'
import { OutputFile } from '../../src-main/cli/files.ts'
import { absolute, SavedMachine, saveMachine } from '../../src-main/cli/saved-machine.ts'
import { CommandError } from '../../src-main/cli/status.ts'
import { folder } from './ring1.ts'

const files = folder()
afterAll(() => files.remove())

const BASE = 65536
const SIZE = 1 << 22

/** As much of a machine as a saved one needs. */
function machine(state: unknown = undefined) {
  const bytes = new Uint8Array(BASE + SIZE)
  const m = {
    physical: { bytes, dramBase: BASE, size: SIZE },
    state,
    save: () => m.state,
    restore: (s: unknown) => {
      if (s === 'other') throw new StateError('pit', 'of another version')
      m.state = s
    },
  }
  return m
}
const as = (m: ReturnType<typeof machine>): Machine => m as unknown as Machine

function save(name: string, m: ReturnType<typeof machine>): Uint8Array {
  const file = new OutputFile(files.path(name))
  saveMachine(file, as(m), { topology: PRESETS.get('intel-4n')!, memory: 512, cpus: 4, vtx: true, guest: absolute({ kernel: 'vmlinuz', append: 'quiet' }) })
  file.close()
  return readFileSync(files.path(name))
}

const full = machine({ a: [1, 2], b: 'x' })
for (let n = 0; n < SIZE / 4096; n += 3) full.physical.bytes[BASE + n * 4096 + ((n * 7) & 0xfff)] = (n & 0x7f) + 1
const data = save('full', full)

describe('a saved machine', () => {
  it('comes back: board, state, and every page', () => {
    const saved = new SavedMachine('full', data)
    expect(saved.board).toMatchObject({ topology: PRESETS.get('intel-4n'), memory: 512, cpus: 4, vtx: true, guest: { append: 'quiet' } })
    expect(saved.board.guest.kernel).toMatch(/^\S+vmlinuz$/)
    const m = machine()
    saved.restore(as(m))
    expect(m.state).toEqual({ a: [1, 2], b: 'x' })
    expect(Buffer.compare(m.physical.bytes, full.physical.bytes)).toBe(0)
  })

  it('takes no more room than what is in use', () => {
    expect(save('empty', machine({})).length).toBeLessThan(4096)
    expect(data.length).toBeLessThan(SIZE / 2)
  })

  it('is refused when it was cut off, wherever', () => {
    const lengths = [...Array.from({ length: 200 }, (_, n) => n * 7), ...Array.from({ length: 50 }, (_, n) => data.length - 1 - n * 1111)]
    for (const length of lengths) {
      const attempt = (): void => new SavedMachine('cut', data.subarray(0, length)).restore(as(machine()))
      expect(attempt, `${length} bytes`).toThrow(CommandError)
      expect(attempt).toThrow(/^cut: [^\n]+$/)
    }
  })

  it('never does anything but refuse when bytes of it change', () => {
    let seed = 7
    const random = (n: number): number => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % n
    let refused = 0
    for (let round = 0; round < 400; round++) {
      const damaged = Uint8Array.from(data)
      for (let n = 0; n < 4; n++) damaged[random(round % 2 ? 3000 : data.length)] = random(256)
      const m = machine()
      try {
        new SavedMachine('damaged', damaged).restore(as(m))
      } catch (error) {
        expect(error).toBeInstanceOf(CommandError)
        refused++
      }
      expect(m.physical.bytes.subarray(0, BASE).every((b) => b === 0)).toBe(true)
    }
    expect(refused).toBeGreaterThan(100)
  })

  it('says which part does not fit', () => {
    const other = save('other', machine('other'))
    expect(() => new SavedMachine('other', other).restore(as(machine()))).toThrow('other: pit: of another version')
  })
})

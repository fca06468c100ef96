// Same inputs, same cycles and state: two machines side by side, several processors interleaved, random guests and Minos
// (ARCHITECTURE.md, "Time"). How the host slices its calls of Machine.run is no input.

import { describe, expect, it } from 'vitest'
import { resolveBoard } from '../../src-core/board/config.ts'
import { firmware } from '../../src-core/board/firmware.ts'
import { Machine } from '../../src-core/board/machine.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import { fields, offsets, type FieldName } from '../../src-core/isa/state.ts'
import { loadImage } from '../../src-core/guests/load.ts'
import { minosImage } from '../../src-core/guests/minos/load.ts'
import { GUEST_MEGABYTES, guestModes, placeGuest } from '../fuzz/guest.ts'
import { random } from '../guests/images.ts'

const CHUNK = 4_000_000
const kept = (Object.keys(fields) as FieldName[]).filter((n) => !('derived' in fields[n]))
const sizes = { u8: 1, u16: 2, u32: 4, i32: 4, u64: 8, bytes: 1 }

/** Everything a guest can tell of the machine, as text and bytes. */
function picture(m: Machine): { text: string; dram: Buffer } {
  const processors = m.cores.map((c) => {
    const state = kept.map((n) => {
      const at = c.state.base + offsets[n]
      return `${n} ${Buffer.from(m.physical.bytes.slice(at, at + fields[n].count * sizes[fields[n].type])).toString('hex')}`
    })
    return [
      `processor ${c.index}: time ${c.time}, ${c.instructions} instructions, ${c.faults} faults, ${c.interrupts} interrupts`,
      ...state,
    ]
  })
  const chips = m.devices.map((d, n) => `chip ${n} ${JSON.stringify(d.save(), (_, v: unknown) => (typeof v === 'bigint' ? `${v}n` : v))}`)
  const dram = Buffer.concat(m.physical.ranges.map((r) => Buffer.from(m.physical.bytes.slice(r.host, r.host + r.length))))
  return { text: [`cycle ${m.time}`, ...processors.flat(), ...chips].join('\n'), dram }
}

function expectSame(a: Machine, b: Machine, what: string): void {
  const [x, y] = [picture(a), picture(b)]
  if (x.text !== y.text) {
    const [one, two] = [x.text.split('\n'), y.text.split('\n')]
    const at = one.flatMap((line, i) => (line === two[i] ? [] : [i]))
    expect.fail(`${what}: ${at.length} lines differ, first\n${one[at[0] ?? 0]}\n${two[at[0] ?? 0]}`)
  }
  if (!x.dram.equals(y.dram)) expect.fail(`${what}: memory differs at ${x.dram.findIndex((v, i) => v !== y.dram[i]).toString(16)}`)
}

describe('random guests on four interleaved processors', () => {
  const board = resolveBoard(PRESETS.get('intel-4n')!, { megabytes: 4 * GUEST_MEGABYTES, processors: 4 })
  const pair = [new Machine({ config: board }), new Machine({ config: board })] as const
  it.each(guestModes)('%s mode: equal cycles, state and memory', (mode) => {
    let ran = 0
    for (let n = 0; n < 4; n++) {
      for (const m of pair) {
        const until = (Math.floor(m.clock.time / CHUNK) + 2) * CHUNK
        m.clock.advance(until - 60_000)
        placeGuest(m, random(0xdee + 10 * n + guestModes.indexOf(mode)), mode, 4)
        const before = m.cores.reduce((sum, c) => sum + c.instructions, 0)
        m.run(until)
        ran += m.cores.reduce((sum, c) => sum + c.instructions, 0) - before
      }
      expectSame(pair[0], pair[1], `${mode}, guest ${n}`)
    }
    expect(ran).toBeGreaterThan(500)
  })
})

describe('Minos with four processors', () => {
  const CYCLES = 400_000_000
  const boot = async (): Promise<{ machine: Machine; text: () => string }> => {
    const config = resolveBoard(PRESETS.get('intel-4n')!, { megabytes: 128, processors: 4 })
    let text = ''
    const machine = new Machine({ config, serial: (port, byte) => void (port === 0 && (text += String.fromCharCode(byte))) })
    const image = await loadImage({ kernel: { name: 'minos', data: minosImage() }, platform: firmware(config) })
    machine.load(image.segments, image.entry)
    return { machine, text: () => text }
  }
  /** `step`: an idle limit that the host happens to give; typed input enters at a fixed cycle. */
  const drive = ({ machine }: { machine: Machine }, step: number): void => {
    const to = (end: number): void => {
      while (machine.time < end) {
        const { stop, idle } = machine.run(Math.min(end, machine.time + step))
        if (stop) return
        if (idle) machine.clock.advance(Math.min(end, machine.time + step))
      }
    }
    to(CYCLES / 2)
    machine.chips.serial[0]!.receive(new TextEncoder().encode('cpu\rtouch 2 8\r'))
    to(CYCLES)
  }
  it('prints the same at the same cycles, however often the host looks', async () => {
    const [a, b] = [await boot(), await boot()]
    drive(a, Infinity)
    drive(b, 1_000_000)
    expect(a.text()).toContain('node 2: 8 pages written')
    expect(a.text()).toBe(b.text())
    expectSame(a.machine, b.machine, 'Minos')
    console.log(`${a.machine.cores.map((c) => c.instructions).join(' ')} instructions, cycle ${a.machine.time}`)
  })
})

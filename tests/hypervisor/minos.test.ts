// Minos under our hypervisor: the same program as on the metal, in a VM on a four-node server.

import { describe, expect, it } from 'vitest'
import { minosImage } from '../../src-core/guests/minos/load.ts'
import { placements, type PlacementName } from '../../src-core/hypervisor/placement.ts'
import { Terminal } from './terminal.ts'

const PROMPT = '\nminos> '
const MEGABYTES = 64

async function minos(processors: number, placement: PlacementName = 'first-touch'): Promise<Terminal> {
  const t = new Terminal({ megabytes: 256, guest: { megabytes: MEGABYTES, processors, placement } })
  await t.load({ name: 'minos', data: minosImage() })
  expect(t.until(() => t.output.endsWith(PROMPT))).toBeUndefined()
  return t
}

describe('Minos in a VM', () => {
  it.each([1, 4])('sees one node with %i processors', async (processors) => {
    const t = await minos(processors)
    expect(t.output).toContain(`1 node(s), ${processors} processor(s), ${processors} online`)
    expect(t.output).toContain('memory 0000000000000000 .. 0000000003ffffff     65536 KiB')
    const { exits } = t.machine.vm!.figures()
    expect(exits.ioInstruction).toBeGreaterThan(100)
    expect(exits.cpuid).toBeGreaterThan(0)
    expect(exits.eptViolation).toBeGreaterThan(0)
  })

  it.each(placements)('gives the same output under %s', async (placement) => {
    const t = await minos(1, placement)
    expect(t.output).toBe((await minos(1)).output)
    const { pagesByNode, pages } = t.machine.vm!.figures()
    const least = Math.min(...pagesByNode)
    if (placement === 'round-4k') expect(least).toBeGreaterThan(pages / 8)
    else expect(pagesByNode[0]).toBe(pages) // the guest has less than 1 GiB, and runs on node 0
  })

  it('runs the same way twice, and again after a reload', async () => {
    const image = { name: 'minos', data: minosImage() }
    const run = async (t: Terminal) => {
      const { server } = t.machine
      const began = server.time
      t.output = ''
      await t.load(image)
      t.until(() => t.output.endsWith(PROMPT))
      return [t.output, t.machine.vm!.figures(), server.cores.map((c) => c.time - began)]
    }
    const t = new Terminal({ megabytes: 256, guest: { megabytes: MEGABYTES, processors: 2 } })
    const first = await run(t)
    expect(await run(new Terminal({ megabytes: 256, guest: { megabytes: MEGABYTES, processors: 2 } }))).toEqual(first)
    expect((await run(t))[0]).toBe(first[0])
  })

  it('has a frame of its own behind every page', async () => {
    const t = await minos(4)
    const frames = [...t.machine.vm!.memory.entries()].map(([, frame]) => frame)
    const tables = t.machine.vm!.memory.ept.tables
    expect(new Set([...frames, ...tables]).size).toBe(frames.length + tables.length)
  })

  it('refuses more virtual processors than the server has', () => {
    expect(() => new Terminal({ processors: 2, guest: { megabytes: MEGABYTES, processors: 3 } })).toThrow('3 virtual processors on 2 real ones')
  })
})

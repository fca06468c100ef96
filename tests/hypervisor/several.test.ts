// Two VMs on one server at once: processors and frames of their own, one order of execution, ends that do not touch the other.

import { describe, expect, it } from 'vitest'
import { resolveBoard } from '../../src-core/board/config.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import { VmServer } from '../../src-core/board/vm-server.ts'
import { minosImage } from '../../src-core/guests/minos/load.ts'
import { Terminal } from './terminal.ts'

const PROMPT = '\nminos> '
const image = { name: 'minos', data: minosImage() }
const guest = { megabytes: 32, processors: 2 } as const

function pair(): { server: VmServer; vms: Terminal[] } {
  const server = new VmServer({ config: resolveBoard(PRESETS.get('intel-4n')!, { megabytes: 128, processors: 4 }) })
  return { server, vms: ['a', 'b'].map((id, n) => new Terminal({ guest, beside: { server, id, first: 2 * n } })) }
}

/** Runs the server until every VM is at its prompt. */
function prompts(server: VmServer, vms: readonly Terminal[]): void {
  for (let n = 0; n < 1000; n++) {
    server.machine.run()
    if (vms.every((t) => t.output.endsWith(PROMPT))) return
  }
  throw new Error(`no prompt: ${vms.map((t) => t.output).join('\n---\n')}`)
}

const framesOf = (t: Terminal): number[] => {
  const { memory } = t.machine.vm!
  return [...[...memory.entries()].map(([, frame]) => frame), ...memory.ept.tables]
}

describe('two VMs on one server', () => {
  it('both reach their prompts, on frames that never overlap', async () => {
    const { server, vms } = pair()
    for (const t of vms) await t.load(image)
    prompts(server, vms)
    expect(vms[1]!.output).toContain('1 node(s), 2 processor(s), 2 online')
    const [a, b] = vms.map(framesOf)
    expect(a!.length).toBeGreaterThan(20)
    expect(a!.filter((frame) => b!.includes(frame))).toEqual([])
    for (const [t, id] of [[vms[0]!, 'a'], [vms[1]!, 'b']] as const) for (const frame of framesOf(t)) expect(server.frames.owner(frame)).toBe(id)
    // b runs on the processors of nodes 2 and 3, and its pages are there
    expect(vms[1]!.machine.vm!.figures().pagesByNode.slice(0, 2)).toEqual([0, 0])
  })

  it('end and start again one by one, and give their frames back', async () => {
    const { server, vms } = pair()
    const [a, b] = vms as [Terminal, Terminal]
    const free = (): number => [0, 1, 2, 3].reduce((sum, node) => sum + server.frames.free(node), 0)
    const before = free()
    for (const t of vms) await t.load(image)
    prompts(server, vms)
    const kept = framesOf(b)
    const contents = kept.map((frame) => server.machine.physical.dump(frame, 16))
    a.machine.powerOn()
    a.output = ''
    await a.load(image)
    prompts(server, vms)
    expect(kept.map((frame) => server.machine.physical.dump(frame, 16))).toEqual(contents)
    expect(a.output).toBe(b.output)
    for (const t of vms) t.machine.powerOn()
    expect(before - free()).toBe(4) // the operands' frame of each processor stays
  })

  it('a VM without memory left on the server stops, and says why', async () => {
    const server = new VmServer({ config: resolveBoard(PRESETS.get('uma-1n')!, { megabytes: 16, processors: 1 }) })
    const t = new Terminal({ guest: { megabytes: 64, processors: 1 }, beside: { server, id: 'large', first: 0 } })
    // fills memory from 1 MiB on, a word a page
    const fill = new Uint8Array([0xbf, 0, 0, 0x10, 0, 0x89, 0x3f, 0x81, 0xc7, 0, 0x10, 0, 0, 0xeb, 0xf6])
    t.machine.load([{ address: 0x8000, data: fill, length: fill.length }], {
      mode: 'protected', rip: 0x8000, rflags: 2, gprs: {}, cs: { selector: 0x10, base: 0 }, data: { selector: 0x18, base: 0 },
    })
    const stop = t.until(() => false)
    expect(stop).toEqual({ kind: 'monitor', reason: expect.stringMatching(/^the server has no memory left for the guest's page at [0-9A-F]+000H$/) })
  })
})

// Debian's unmodified kernel under our hypervisor, on a server of four nodes of which it sees one.

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { debianGuest } from '../../scripts/guests/debian.ts'
import { PROMPT, READY_TEXT } from '../../scripts/guests/initrd.ts'
import { resolveBoard } from '../../src-core/board/config.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import { VmServer } from '../../src-core/board/vm-server.ts'
import { Terminal } from './terminal.ts'

const guest = await debianGuest()
if ('missing' in guest) console.log(`skipped: booting Debian's kernel in a VM, because it cannot be had here: ${guest.missing}`)

const LIMIT = 400_000
/** A boot takes about 1.5 thousand million. */
const MOST_CYCLES = 6e9

describe.skipIf('missing' in guest)("Debian's kernel in a VM", () => {
  if ('missing' in guest) return
  const file = (path: string) => ({ name: path, data: new Uint8Array(readFileSync(path)) })

  it.each([1, 4])('reaches a shell on %i virtual processors, sees one node, and powers off', async (processors) => {
    const t = new Terminal({ processors: 4, guest: { megabytes: 384, processors } })
    await t.load(file(guest.kernel), file(guest.initrdNuma), 'console=ttyS0 quiet')
    expect(t.until(() => t.output.endsWith(PROMPT), MOST_CYCLES)).toBeUndefined()
    expect(t.output).toContain(`${READY_TEXT}: Linux ${guest.version}, ${processors} processors`)
    const numa = t.command('numactl -H', PROMPT)
    expect(numa).toContain('available: 1 nodes (0)')
    expect(numa).toContain(`node 0 cpus: ${[0, 1, 2, 3].slice(0, processors).join(' ')}\n`)
    expect(t.command('echo $((6 * 7))', PROMPT)).toContain('\n42\n')
    // on a processor without VT-x, as far as the guest can tell
    expect(t.command('grep -c -w vmx /proc/cpuinfo; grep -c -w hypervisor /proc/cpuinfo', PROMPT)).toContain(`\n0\n${processors}\n`)

    const { entries, exits, pagesByNode } = t.machine.vm!.figures()
    expect(Object.values(exits).reduce((a, b) => a + b, 0)).toBeGreaterThanOrEqual(entries - processors)
    // a kernel's own work, interrupts' handlers and context switches among it, needs no exit
    expect(exits.controlRegisterAccess).toBeLessThan(20)
    expect(exits.invlpg ?? 0).toBe(0)
    // first touch: pages are where the virtual processors that wanted them run
    pagesByNode.forEach((pages, node) => (node < processors ? expect(pages).toBeGreaterThan(100) : expect(pages).toBe(0)))
    t.type('poweroff -f\r')
    expect(t.until(() => false, MOST_CYCLES)).toEqual({ kind: 'powerOff' })
  }, LIMIT)

  it('runs twice at once on one server, on frames that never overlap', async () => {
    const server = new VmServer({ config: resolveBoard(PRESETS.get('intel-4n')!, { megabytes: 1024, processors: 4 }) })
    const vms = ['a', 'b'].map((id, n) => new Terminal({ guest: { megabytes: 384, processors: 2 }, beside: { server, id, first: 2 * n } }))
    for (const t of vms) await t.load(file(guest.kernel), file(guest.initrdNuma), 'console=ttyS0 quiet')
    while (!vms.every((t) => t.output.endsWith(PROMPT)) && server.machine.time < MOST_CYCLES) server.machine.run()
    for (const t of vms) expect(t.command('numactl -H', PROMPT)).toContain('available: 1 nodes (0)\nnode 0 cpus: 0 1\n')
    const [first, second] = vms.map((t) => new Set([...t.machine.vm!.memory.entries()].map(([, frame]) => frame)))
    expect(first!.size).toBeGreaterThan(10_000)
    expect([...second!].filter((frame) => first!.has(frame))).toEqual([])
  }, LIMIT)
})

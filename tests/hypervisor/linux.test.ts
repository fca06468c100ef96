// Debian's unmodified kernel under our hypervisor, on a server of four nodes of which it sees one.

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { debianGuest } from '../../scripts/guests/debian.ts'
import { PROMPT, READY_TEXT } from '../../scripts/guests/initrd.ts'
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
})

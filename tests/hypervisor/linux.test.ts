// Debian's unmodified kernel under our hypervisor, on a server of four nodes of which it sees one.

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { debianGuest } from '../../scripts/guests/debian.ts'
import { PROMPT, READY_TEXT } from '../../scripts/guests/initrd.ts'
import { Terminal } from './terminal.ts'

const guest = await debianGuest()
if ('missing' in guest) console.log(`skipped: booting Debian's kernel in a VM, because it cannot be had here: ${guest.missing}`)

const LIMIT = 600_000
const CYCLES = 40e9

describe.skipIf('missing' in guest)("Debian's kernel in a VM", () => {
  if ('missing' in guest) return
  const file = (path: string) => ({ name: path, data: new Uint8Array(readFileSync(path)) })

  const boot = async (processors: number): Promise<Terminal> => {
    const t = new Terminal({ host: 'intel-4n', processors: 4, megabytes: 1024, guest: { megabytes: 384, processors } })
    await t.load(file(guest.kernel), file(guest.initrdNuma), `console=ttyS0 ${process.env.VERBOSE ?? 'quiet'}`)
    const began = process.cpuUsage()
    let stop
    try {
      stop = t.until(() => t.output.endsWith(PROMPT), CYCLES)
    } catch (e) {
      console.log(String(e).slice(0, 100))
    }
    console.log(t.output.slice(-5000), JSON.stringify(stop), JSON.stringify(t.machine.vm!.figures()), t.machine.time, process.cpuUsage(began).user / 1e6, [...t.machine.vm!.unknownMsrs].map(([n, c]) => `${n.toString(16)}:${c}`).join(' '))
    return t
  }

  it('reaches a shell on one virtual processor and sees one node', async () => {
    const t = await boot(Number(process.env.VCPUS ?? 1))
    expect(t.output).toContain(READY_TEXT)
    const numa = t.command('numactl -H', PROMPT)
    console.log(numa)
    expect(numa).toContain('available: 1 nodes (0)')
  }, LIMIT)
})

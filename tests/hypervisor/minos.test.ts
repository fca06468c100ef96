// Minos under our hypervisor: the same program as on the metal, in a VM on a four-node server.

import { describe, expect, it } from 'vitest'
import { minosImage } from '../../src-core/guests/minos/load.ts'
import { Terminal } from './terminal.ts'

const PROMPT = '\nminos> '

describe('Minos in a VM', () => {
  it('reaches its prompt', async () => {
    const t = new Terminal({ megabytes: 256, guest: { megabytes: 64, processors: 1 } })
    await t.load({ name: 'minos', data: minosImage() })
    const stop = t.until(() => t.output.endsWith(PROMPT))
    console.log(t.output, stop, JSON.stringify(t.machine.vm?.figures()), t.machine.time)
    expect(stop).toBeUndefined()
  })
})

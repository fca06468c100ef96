// Power-on of a machine that has run: everything but DRAM, virtual time and counters is as in a new one (SDM 3A table 9-1).

import { describe, expect, it } from 'vitest'
import { resolveBoard } from '../../src-core/board/config.ts'
import { Machine } from '../../src-core/board/machine.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import type { Json } from '../../src-core/memory/device.ts'
import { GUEST_MEGABYTES, guestModes, placeGuest } from '../fuzz/guest.ts'
import { random } from '../guests/images.ts'

const config = resolveBoard(PRESETS.get('uma-1n')!, { megabytes: GUEST_MEGABYTES, processors: 2 })
/** Machine.run returns at multiples of this. */
const CHUNK = 4_000_000
type Fields = { [name: string]: Json }
interface Saved {
  processors: { fields: Fields & { registers: Fields } }[]
  chips: { [id: string]: { fields: Fields } }
}
const saved = (m: Machine): Saved => JSON.parse(JSON.stringify(m.save())) as Saved

const counting = new Set(['cycles', 'instructions'])
/** A battery keeps the clock chip's time and RAM (MC146818A, "power-down"). */
const kept = new Set(['epoch', 'ram'])

describe('power-on', () => {
  it('leaves no register of a processor as the last guest set it', () => {
    const fresh = saved(new Machine({ config }))
    const machine = new Machine({ config })
    const s = machine.cores[0]!.state
    for (const mode of guestModes) {
      const until = (Math.floor(machine.clock.time / CHUNK) + 2) * CHUNK
      machine.clock.advance(until - 20_000)
      placeGuest(machine, random(0xb007 + guestModes.indexOf(mode)), mode, 2)
      machine.run(until)
      for (const core of machine.cores) {
        const t = core.state
        t.star = t.lstar = t.cstar = t.fmask = t.kernelGsBase = t.tscAux = 0x1234n
        t.sysenterCs = t.sysenterEsp = t.sysenterEip = 0x88n
        t.fip = t.fdp = 0x4321n
        t.fop = t.fcs = t.fds = 0x11
        t.pdpte.set(2, 0x5001n)
        t.interruptibility = 8
        t.pendingDebug = 1
      }
      machine.powerOn()
      saved(machine).processors.forEach((p, n) => {
        const want = fresh.processors[n]!.fields
        for (const [name, value] of Object.entries(p.fields.registers)) {
          if (!counting.has(name)) expect(value, `${mode}, processor ${n}, ${name}`).toEqual(want.registers[name])
        }
        for (const name of ['models', 'signals', 'translations']) expect(p.fields[name], name).toEqual(want[name])
      })
      expect(s.activity).toBe(0)
    }
  })

  it('leaves no chip as the last guest set it, but for what a battery keeps', () => {
    const fresh = saved(new Machine({ config })).chips
    const machine = new Machine({ config })
    const next = random(77)
    for (let n = 0; n < 4000; n++) {
      const port = [
        0x20,
        0x21,
        0xa0,
        0xa1,
        0x40,
        0x41,
        0x42,
        0x43,
        0x60,
        0x61,
        0x64,
        0x70,
        0x71,
        0xe0,
        0x3f8 + (n & 7),
        0x4d0,
        0x510,
        0xcf8,
        0xcfc,
        0x2000 + (n % 24),
      ][next() % 20]!
      machine.io.write(port, 1, next() & 0x7f)
      const at = [0xfec00000, 0xfec00010, 0xfed00000 + 8 * (next() % 64), 0xff000000 + (next() % 4096)][next() % 4]!
      machine.physical.mmio.write(at, 4, next())
      machine.lapics[0]!.registers.write(16 * (next() % 64), 4, next() & 0xff)
    }
    machine.powerOn()
    const now = saved(machine).chips
    expect(Object.keys(now)).toEqual(Object.keys(fresh))
    for (const [id, chip] of Object.entries(now)) {
      for (const [name, value] of Object.entries(chip.fields))
        if (!kept.has(name)) expect(value, `${id} ${name}`).toEqual(fresh[id]!.fields[name])
    }
  })
})

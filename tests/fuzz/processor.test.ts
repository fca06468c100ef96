// Random code from random states in every mode: the run loop never throws, always returns, and leaves the host's side of the
// shared memory alone. FUZZ_CASES: guests a mode (default 60); FUZZ_SEED: another sequence.

import { describe, expect, it } from 'vitest'
import { resolveBoard } from '../../src-core/board/config.ts'
import { Machine } from '../../src-core/board/machine.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import { FIELDS_SIZE } from '../../src-core/isa/state.ts'
import { random } from '../guests/images.ts'
import { GUEST_MEGABYTES, guestModes, placeGuest } from './guest.ts'

const CASES = Number(process.env['FUZZ_CASES'] ?? 60)
const SEED = Number(process.env['FUZZ_SEED'] ?? 0xc0de)
const CYCLES = 30_000
const MOST_MILLISECONDS = 5000
/** Machine.run returns at multiples of this. */
const CHUNK = 4_000_000

const machine = new Machine({ config: resolveBoard(PRESETS.get('uma-1n')!, { megabytes: GUEST_MEGABYTES, processors: 2 }) })
const [core, waiting] = [machine.cores[0]!, machine.cores[1]!]
const bytes = machine.physical.bytes
const controlStart = Math.min(core.state.base, waiting.state.base)
const block = (): Buffer => Buffer.from(bytes.slice(waiting.state.base, waiting.state.base + FIELDS_SIZE))

describe.each(guestModes)('%s mode', (mode) => {
  it(
    `${CASES} random guests run and end (FUZZ_SEED=${SEED})`,
    () => {
      const ends = new Map<string, number>()
      let instructions = 0
      for (let n = 0; n < CASES; n++) {
        const next = random(SEED + 1000 * n + guestModes.indexOf(mode))
        const until = (Math.floor(machine.clock.time / CHUNK) + 2) * CHUNK
        machine.clock.advance(until - CYCLES)
        placeGuest(machine, next, mode)
        const before = block()
        const counted = core.instructions
        const started = performance.now()
        try {
          const { stop, idle } = machine.run(until)
          const end = stop?.kind ?? (idle ? 'idle' : 'time')
          ends.set(end, (ends.get(end) ?? 0) + 1)
        } catch (error) {
          throw new Error(`FUZZ_SEED=${SEED}, ${mode}, guest ${n}: ${String(error)}`, { cause: error })
        }
        instructions += core.instructions - counted
        expect(performance.now() - started, `guest ${n}`).toBeLessThan(MOST_MILLISECONDS)
        expect(core.time, `guest ${n}`).toBeLessThan(until + CHUNK)
        const s = core.state
        const sane = s.cpl <= 3 && s.activity <= 4 && s.ftw <= 0xff && s.fsw <= 0xffff && s.mxcsr <= 0xffff && (s.rflags & 0x8002an) === 2n
        if (!sane)
          expect.fail(`guest ${n}: cpl ${s.cpl} activity ${s.activity} ftw ${s.ftw} fsw ${s.fsw} mxcsr ${s.mxcsr} rflags ${s.rflags}`)
        // the other processor waits for a start-up IPI: nobody but its own APIC may touch it
        if (waiting.state.activity === 3) expect(block().equals(before), `guest ${n}: another processor's block`).toBe(true)
      }
      console.log(`${mode}: ${instructions} instructions; ${[...ends].map(([end, count]) => `${end} ${count}`).join(', ')}`)
      expect(instructions).toBeGreaterThan(CASES * 20)
    },
    60_000 + 500 * CASES,
  )
})

it('the host’s memory around DRAM is untouched', () => {
  const dramEnd = Math.max(...machine.physical.ranges.map((r) => r.host + r.length))
  const unused = [
    bytes.subarray(0, controlStart),
    bytes.subarray(dramEnd),
    bytes.subarray(machine.physical.dramBase - (1 << 20), machine.physical.dramBase),
  ]
  for (const part of unused) expect(part.every((b) => b === 0)).toBe(true)
})

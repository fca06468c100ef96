// The shape of a saved machine, checked before anything of it is used.

import { z } from 'zod'
import { StateError, type Json } from '../memory/device.ts'

export const STATE_VERSION = 1

/** Points of time that still leave minutes of counting by ones. */
const cycles = z.number().min(0).max(2 ** 53 - 2 ** 40)
/** In cycles: no part of a running machine is further from its clock (a chunk, a slice, and what one instruction may cost). */
const MOST_APART = 2 ** 24

/** Throws StateError for a time that the clock could not meet, or would take for ever to reach. */
export function requireNear(part: string, clock: number, time: number): void {
  if (Math.abs(time - clock) > MOST_APART) throw new StateError(part, `at cycle ${time}, the machine is at ${clock}`)
}
const part = z.object({ version: z.number(), fields: z.record(z.string(), z.unknown()) })
const shape = z.object({
  version: z.literal(STATE_VERSION),
  time: cycles,
  latest: cycles,
  wakeTimes: z.array(cycles),
  parked: z.array(z.boolean()),
  slice: z.object({ processor: z.number().int().min(0), end: cycles }).nullable(),
  processors: z.array(part),
  chips: z.record(z.string(), part),
})

export type MachineState = z.infer<typeof shape>

/** Throws StateError naming the field that is wrong. */
export function machineState(state: Json, processors: number): MachineState {
  const parsed = shape.safeParse(state)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    throw new StateError('machine', `${issue.path.join('.') || 'state'}: ${issue.message}`)
  }
  const s = parsed.data
  for (const [name, list] of [['processors', s.processors], ['wakeTimes', s.wakeTimes], ['parked', s.parked]] as const) {
    if (list.length !== processors) throw new StateError('machine', `${name}: ${list.length} entries, this board has ${processors} processors`)
  }
  if (s.slice && s.slice.processor >= processors) throw new StateError('machine', 'slice: no such processor')
  for (const [name, time] of [['latest', s.latest], ['slice', s.slice?.end ?? 0], ...s.wakeTimes.map((t) => ['wakeTimes', t] as const)] as const) {
    if (time > s.time) requireNear(name, s.time, time)
  }
  return s
}

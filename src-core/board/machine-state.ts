// The shape of a saved machine, checked before anything of it is used.

import { z } from 'zod'
import { StateError, type Json } from '../memory/device.ts'

export const STATE_VERSION = 1

const cycles = z.number().min(0).max(Number.MAX_SAFE_INTEGER)
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
  return s
}

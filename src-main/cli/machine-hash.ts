// What two runs must agree on: a digest of DRAM, and one of everything else a machine is made of.

import { createHash } from 'node:crypto'
import type { Machine } from '../../src-core/board/machine.ts'

export interface MachineHash {
  /** SHA-256 in hex. */
  readonly memory: string
  readonly state: string
}

const PIECE = 1 << 24

/** All DRAM, node by node in address order. */
function memoryHash(machine: Machine): string {
  const hash = createHash('sha256')
  for (const r of machine.physical.ranges)
    for (let at = 0; at < r.length; at += PIECE) {
      const start = r.host + at
      hash.update(machine.physical.bytes.subarray(start, start + Math.min(PIECE, r.length - at)))
    }
  return hash.digest('hex')
}

/** The saved form of processors and chips, in their order. */
export function machineHash(machine: Machine): MachineHash {
  return { memory: memoryHash(machine), state: createHash('sha256').update(JSON.stringify(machine.save())).digest('hex') }
}

// The server that `--host`, `--memory` and `--cpus` ask for.

import { resolveBoard, type BoardConfig } from '../../src-core/board/config.ts'
import { DEFAULT_PRESET, PRESETS } from '../../src-core/board/presets.ts'
import { parseTopology, TopologyError, type Topology } from '../../src-core/board/topology.ts'
import { readInput } from './files.ts'
import { nearest } from './nearest.ts'
import { CommandError, Status, usage } from './status.ts'

/** Is `name` to be read as a file? */
export const isFile = (name: string): boolean => !PRESETS.has(name) && /[./\\]/.test(name)

/** A preset by name, or a topology file. Rejects with CommandError: 64 no such preset, 65 a bad file, 66 an unreadable one. */
export async function findHost(name: string = DEFAULT_PRESET): Promise<Topology> {
  const preset = PRESETS.get(name)
  if (preset) return preset
  if (!isFile(name)) {
    const near = nearest(name, [...PRESETS.keys()])
    throw usage(`no preset '${name}'${near === undefined ? '' : `; did you mean ${near}?`} (ring1 hosts lists them; a file needs a path like ./${name})`)
  }
  const text = new TextDecoder().decode(await readInput(name))
  try {
    return parseTopology(text, name)
  } catch (error) {
    if (error instanceof TopologyError) throw new CommandError(Status.data, error.message)
    throw error
  }
}

/**
 * The board of a server. Throws CommandError: 64 for wishes that cannot be met, 65 for a topology that cannot by itself, and for
 * wishes that come from the file `from`.
 */
export function makeBoard(topology: Topology, wish: { memory?: number | undefined; cpus?: number | undefined }, from?: string): BoardConfig {
  try {
    return resolveBoard(topology, { megabytes: wish.memory, processors: wish.cpus })
  } catch (error) {
    if (!(error instanceof TopologyError)) throw error
    if (from !== undefined) throw new CommandError(Status.data, `${from}: ${error.message}`)
    const wished = wish.memory !== undefined || wish.cpus !== undefined
    throw new CommandError(wished ? Status.usage : Status.data, error.message)
  }
}

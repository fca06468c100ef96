// What a NUMA server looks like: nodes on sockets, distances between them, and the text form students write.
// Distances as in a SLIT (ACPI 6.5 5.2.17): 10 is local, 11–254 remote. Latencies and bandwidths feed the HMAT (5.2.28).
// Does not model: nodes without memory, processors of different speed, unreachable nodes (distance 255).

import { z } from 'zod'
import { COSTS, hopBandwidth, hopLatency } from './costs.ts'

export const MAX_NODES = 8
export const MAX_PROCESSORS = 16
export const MAX_MEGABYTES = 3584
/** Below this a node could not hold even the board's own tables beside a guest. */
export const MIN_NODE_MEGABYTES = 4

export interface TopologyNode {
  /** The package the node's processors sit in, from 0. */
  readonly socket: number
  /** The node's share of the server's memory, relative to the other nodes'. */
  readonly memoryShare: number
  /** The node's own amount, when the topology fixes one. */
  readonly megabytes?: number
  readonly processors: number
}

export interface Topology {
  readonly name: string
  readonly description: string
  /** Time-stamp counter, Hz. */
  readonly frequency: number
  readonly sockets: number
  readonly nodes: readonly TopologyNode[]
  /** SLIT: [from][to]. */
  readonly distances: readonly (readonly number[])[]
  /** Links crossed: [from][to]. */
  readonly hops: readonly (readonly number[])[]
  /** Idle read latency in ns: [from processor's node][to memory's node]. */
  readonly latency: readonly (readonly number[])[]
  /** MB/s: [from][to]. */
  readonly bandwidth: readonly (readonly number[])[]
}

/** A topology that cannot be used; the message names the file (or preset), the place in it, and why. */
export class TopologyError extends Error {
  constructor(
    readonly path: string,
    readonly reason: string,
  ) {
    super(`${path}: ${reason}`)
    this.name = 'TopologyError'
  }
}

const matrix = (low: number, high: number, integer: boolean) => {
  const cell = z.number().min(low).max(high)
  return z.array(z.array(integer ? cell.int() : cell).max(MAX_NODES)).max(MAX_NODES)
}

const nodeForm = z
  .strictObject({
    socket: z
      .int()
      .min(0)
      .max(MAX_NODES - 1)
      .optional(),
    megabytes: z.int().min(MIN_NODE_MEGABYTES).max(MAX_MEGABYTES).optional(),
    memoryShare: z.number().min(0.01).max(1000).optional(),
    processors: z.int().min(0).max(MAX_PROCESSORS),
  })
  .refine((n) => n.megabytes === undefined || n.memoryShare === undefined, 'give megabytes or memoryShare, not both')

const topologyForm = z.strictObject({
  name: z.string().min(1).max(40),
  description: z.string().max(200).default(''),
  frequency: z.int().min(100_000_000).max(10_000_000_000).default(COSTS.frequency.value),
  nodes: z.array(nodeForm).min(1).max(MAX_NODES),
  distances: matrix(10, 254, true).optional(),
  hops: matrix(0, MAX_NODES, true).optional(),
  latency: matrix(1, 100_000, false).optional(),
  bandwidth: matrix(1, 6_000_000, false).optional(),
})

/** What a topology file says: nodes and, optionally, matrices; what is left out follows from what is given. */
export type TopologyForm = z.input<typeof topologyForm>

const MAX_TEXT = 65536

/** Reads a custom topology (JSON text). Throws TopologyError and nothing else, whatever the text. */
export function parseTopology(text: string, file = 'topology'): Topology {
  if (text.length > MAX_TEXT) throw new TopologyError(file, `longer than ${MAX_TEXT} characters`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new TopologyError(file, `not JSON: ${error instanceof Error ? error.message.replace(/\s+/g, ' ').slice(0, 120) : 'unreadable'}`)
  }
  return makeTopology(value as TopologyForm, file)
}

/** Checks a topology's form and completes it. Throws TopologyError. */
export function makeTopology(form: TopologyForm, file = 'topology'): Topology {
  const checked = topologyForm.safeParse(form)
  if (!checked.success) {
    const issue = checked.error.issues[0]
    throw new TopologyError(place(file, issue?.path ?? []), issue?.message ?? 'not a topology')
  }
  const t = checked.data
  const count = t.nodes.length
  const total = t.nodes.reduce((sum, n) => sum + n.processors, 0)
  if (total < 1 || total > MAX_PROCESSORS)
    throw new TopologyError(place(file, ['nodes']), `${total} processors; 1 to ${MAX_PROCESSORS} are possible`)
  const megabytes = t.nodes.reduce((sum, n) => sum + (n.megabytes ?? 0), 0)
  if (megabytes > MAX_MEGABYTES) throw new TopologyError(place(file, ['nodes']), `${megabytes} MB; at most ${MAX_MEGABYTES} are possible`)
  const fixed = t.nodes.filter((n) => n.megabytes !== undefined).length
  if (fixed !== 0 && fixed !== count) throw new TopologyError(place(file, ['nodes']), 'give megabytes for every node or for none')

  const sockets = t.nodes.map((n, i) => n.socket ?? i)
  const highest = Math.max(...sockets)
  for (let s = 0; s <= highest; s++) {
    if (!sockets.includes(s))
      throw new TopologyError(place(file, ['nodes']), `no node on socket ${s}, though there is one on socket ${highest}`)
  }
  const distances = t.distances ?? square(count, (from, to) => (from === to ? 10 : sockets[from] === sockets[to] ? 16 : 21))
  for (const [name, m] of Object.entries({ distances, hops: t.hops, latency: t.latency, bandwidth: t.bandwidth })) {
    if (m) checkSquare(m, count, place(file, [name]))
  }
  for (const [from, row] of distances.entries())
    for (const [to, d] of row.entries()) {
      if ((from === to) !== (d === 10))
        throw new TopologyError(place(file, ['distances', from, to]), from === to ? 'must be 10 (local)' : 'must be above 10')
    }
  const hops = t.hops ?? hopsOf(distances)
  for (const [from, row] of hops.entries())
    for (const [to, h] of row.entries()) {
      if ((from === to) !== (h === 0))
        throw new TopologyError(place(file, ['hops', from, to]), from === to ? 'must be 0' : 'must be above 0')
    }
  return {
    name: t.name,
    description: t.description,
    frequency: t.frequency,
    sockets: highest + 1,
    nodes: t.nodes.map((n, i) => ({
      socket: sockets[i]!,
      memoryShare: n.memoryShare ?? n.megabytes ?? 1,
      ...(n.megabytes === undefined ? {} : { megabytes: n.megabytes }),
      processors: n.processors,
    })),
    distances,
    hops,
    latency: t.latency ?? square(count, (from, to) => hopLatency(hops[from]![to]!)),
    bandwidth: t.bandwidth ?? square(count, (from, to) => hopBandwidth(hops[from]![to]!)),
  }
}

/** Ranks the distinct distances: 10 is 0 hops, the next larger value 1, and so on. */
function hopsOf(distances: readonly (readonly number[])[]): number[][] {
  const ranks = [...new Set(distances.flat())].sort((a, b) => a - b)
  return distances.map((row) => row.map((d) => ranks.indexOf(d)))
}

function checkSquare(m: readonly (readonly number[])[], count: number, path: string): void {
  if (m.length !== count) throw new TopologyError(path, `${m.length} rows for ${count} nodes`)
  for (const [i, row] of m.entries())
    if (row.length !== count) throw new TopologyError(`${path}[${i}]`, `${row.length} columns for ${count} nodes`)
}

/** A count × count matrix. */
export function square(count: number, cell: (from: number, to: number) => number): number[][] {
  return Array.from({ length: count }, (_, from) => Array.from({ length: count }, (_, to) => cell(from, to)))
}

function place(file: string, path: readonly PropertyKey[]): string {
  const inside = path.map((p) => (typeof p === 'number' ? `[${p}]` : `.${String(p)}`)).join('')
  return inside === '' ? file : `${file}: ${inside.replace(/^\./, '')}`
}

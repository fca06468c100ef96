// The servers that come with Ring −1. Distances: Opteron 6272 two sockets 10/16 [S], Intel two sockets 10/21 [M],
// four-socket Opteron 10/16/22 [M]; the four-socket Intel ring has the E5-4600's tier of two hops [S] as 10/20/30 [M].
// One processor a node unless more are asked for.

import { makeTopology, square, type Topology, type TopologyForm } from './topology.ts'

const nodes = (sockets: number[]): TopologyForm['nodes'] => sockets.map((socket) => ({ socket, processors: 1 }))

/** Sockets on a ring: neighbours one link away, the opposite one two. */
const ringHops = (count: number) => square(count, (a, b) => Math.min(Math.abs(a - b), count - Math.abs(a - b)))

/** Two dies a package; dies of the same parity in all packages are linked to each other. */
const opteronHops = (count: number) => square(count, (a, b) => (a === b ? 0 : a >> 1 === b >> 1 || (a & 1) === (b & 1) ? 1 : 2))

const distancesOf = (hops: number[][], values: number[]) => hops.map((row) => row.map((h) => values[h]!))

const ring4 = ringHops(4)
const opteron8 = opteronHops(8)

const forms: TopologyForm[] = [
  { name: 'uma-1n', description: 'one socket, one node: no distance at all', nodes: nodes([0]), distances: [[10]] },
  { name: 'intel-2n', description: 'two Intel sockets, one link', nodes: nodes([0, 1]), distances: distancesOf(ringHops(2), [10, 21]) },
  {
    name: 'intel-4n',
    description: 'four Intel sockets on a ring of QPI links: local, one hop, two hops',
    nodes: nodes([0, 1, 2, 3]),
    hops: ring4,
    distances: distancesOf(ring4, [10, 20, 30]),
  },
  {
    name: 'opteron-4n',
    description: 'two Opteron 6200 packages of two nodes each, all one hop apart',
    nodes: nodes([0, 0, 1, 1]),
    distances: square(4, (a, b) => (a === b ? 10 : 16)),
  },
  {
    name: 'opteron-8n',
    description: 'four Opteron 6200 packages of two nodes each: local, one hop, two hops',
    nodes: nodes([0, 0, 1, 1, 2, 2, 3, 3]),
    hops: opteron8,
    distances: distancesOf(opteron8, [10, 16, 22]),
  },
]

export const DEFAULT_PRESET = 'intel-4n'

export const PRESETS: ReadonlyMap<string, Topology> = new Map(forms.map((form) => [form.name, makeTopology(form, form.name)]))

// From a topology and two wishes (memory, processors) to one concrete board: which DRAM is whose, which APIC ids there are.
// APIC ids carry package and core fields as CPUID leaf 0BH reports them (SDM 3A 9.9.1).
// Does not model: hyper-threads, memory interleaved between nodes.

import type { DramRange } from '../memory/physical.ts'
import { MIB, RAM_HOLE_END, RAM_HOLE_START, SHADOW_RAM, VIDEO_WINDOW } from './layout.ts'
import { MAX_MEGABYTES, MAX_PROCESSORS, MIN_NODE_MEGABYTES, TopologyError, type Topology } from './topology.ts'

export interface BoardProcessor {
  /** From 0; processor 0 is the bootstrap processor. Processors are in APIC id order. */
  readonly index: number
  readonly apicId: number
  readonly node: number
  readonly socket: number
  /** Within the package. */
  readonly core: number
}

export interface BoardConfig {
  readonly topology: Topology
  /** MiB asked for; the 128 KiB behind the video window are part of it and out of reach. */
  readonly megabytes: number
  /** All DRAM in address order, node by node; a node that meets the PCI hole has two ranges. */
  readonly ranges: readonly DramRange[]
  readonly processors: readonly BoardProcessor[]
  /** Bits of an APIC id below the package number. */
  readonly coreBits: number
}

export const DEFAULT_MEGABYTES = 1024
const ALIGNMENT = 2 * MIB

/**
 * Makes a board of a topology. `megabytes`: the whole server's memory, split by the nodes' shares; without it the
 * topology's own amounts, else 1024. `processors`: how many, dealt round-robin over the sockets; without it the topology's own.
 * Throws TopologyError when the wish cannot be met.
 */
export function resolveBoard(
  topology: Topology,
  wish: { megabytes?: number | undefined; processors?: number | undefined } = {},
): BoardConfig {
  const own = topology.nodes.every((n) => n.megabytes !== undefined)
    ? topology.nodes.reduce((sum, n) => sum + n.megabytes!, 0)
    : DEFAULT_MEGABYTES
  const megabytes = wish.megabytes ?? own
  const least = MIN_NODE_MEGABYTES * topology.nodes.length
  if (!Number.isInteger(megabytes) || megabytes < least || megabytes > MAX_MEGABYTES) {
    throw new TopologyError(
      topology.name,
      `memory of ${megabytes} MB; a whole number from ${least} to ${MAX_MEGABYTES} is possible with ${topology.nodes.length} nodes`,
    )
  }
  const wanted = wish.processors
  if (wanted !== undefined && (!Number.isInteger(wanted) || wanted < 1 || wanted > MAX_PROCESSORS)) {
    throw new TopologyError(topology.name, `${wanted} processors; 1 to ${MAX_PROCESSORS} are possible`)
  }
  const perNode = wanted === undefined ? topology.nodes.map((n) => n.processors) : deal(topology, wanted)
  const { processors, coreBits } = numberProcessors(topology, perNode)
  return { topology, megabytes, ranges: placeMemory(nodeSizes(topology, megabytes)), processors, coreBits }
}

/** Bytes of each node: by share, in units of 2 MiB, the remainder to the last node. */
function nodeSizes(topology: Topology, megabytes: number): number[] {
  const total = megabytes * MIB
  const shares = topology.nodes.map((n) => n.memoryShare)
  const sum = shares.reduce((a, b) => a + b, 0)
  const sizes = shares.map((s) => Math.max(MIN_NODE_MEGABYTES * MIB, Math.floor((total * s) / sum / ALIGNMENT) * ALIGNMENT))
  const last = total - sizes.slice(0, -1).reduce((a, b) => a + b, 0)
  if (last < MIN_NODE_MEGABYTES * MIB) throw new TopologyError(topology.name, `${megabytes} MB are too few for the nodes' shares`)
  sizes[sizes.length - 1] = last
  return sizes
}

function placeMemory(sizes: readonly number[]): DramRange[] {
  const ranges: DramRange[] = []
  let at = 0
  for (const [node, size] of sizes.entries()) {
    let left = size
    while (left > 0) {
      if (at === VIDEO_WINDOW.address) {
        at = SHADOW_RAM
        left -= VIDEO_WINDOW.length
      }
      if (at === RAM_HOLE_START) at = RAM_HOLE_END
      const limit = at < VIDEO_WINDOW.address ? VIDEO_WINDOW.address : at < RAM_HOLE_START ? RAM_HOLE_START : Infinity
      const length = Math.min(left, limit - at)
      ranges.push({ start: at, length, node })
      at += length
      left -= length
    }
  }
  return ranges
}

/** One processor at a time: each round visits every socket once, and each visit goes to the socket's emptiest node. */
function deal(topology: Topology, wanted: number): number[] {
  const perNode = topology.nodes.map(() => 0)
  for (let i = 0; i < wanted; i++) {
    const socket = i % topology.sockets
    let best = -1
    for (const [n, node] of topology.nodes.entries()) {
      if (node.socket === socket && (best < 0 || perNode[n]! < perNode[best]!)) best = n
    }
    perNode[best]!++
  }
  return perNode
}

function numberProcessors(topology: Topology, perNode: readonly number[]): { processors: BoardProcessor[]; coreBits: number } {
  const perSocket = Array.from({ length: topology.sockets }, () => 0)
  const placed: Omit<BoardProcessor, 'index' | 'apicId'>[] = []
  for (const [node, count] of perNode.entries()) {
    const socket = topology.nodes[node]!.socket
    for (let i = 0; i < count; i++) placed.push({ node, socket, core: perSocket[socket]!++ })
  }
  const coreBits = Math.ceil(Math.log2(Math.max(...perSocket)))
  const processors = placed
    .map((p) => ({ ...p, apicId: (p.socket << coreBits) | p.core }))
    .sort((a, b) => a.apicId - b.apicId)
    .map((p, index) => ({ index, ...p }))
  return { processors, coreBits }
}

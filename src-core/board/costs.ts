// The cost model: how many emulated cycles things take, each constant with its unit and where it comes from.
// Source marks: S read in a source, A abstract or excerpt, 2 secondary, M from memory, D derived, assumed otherwise.
// Costs are charged at 2.2 GHz on a four-socket server; nothing here measures the host.

import type { Topology } from './topology.ts'

export type SourceMark = 'S' | 'A' | '2' | 'M' | 'D' | 'assumption'

export interface Cost {
  readonly value: number
  readonly unit: 'cycles' | 'ns' | 'MB/s' | 'ratio' | 'Hz' | 'references'
  readonly mark: SourceMark
  readonly source: string
}

const cost = (value: number, unit: Cost['unit'], mark: SourceMark, source: string): Cost => ({ value, unit, mark, source })

const MLC_E7 = 'Intel MLC on E7-4800'
const MLC_4110 = 'Intel MLC on Xeon Silver 4110'
const KUT = 'kvm-unit-tests commit message'
const AGESEN = 'Agesen et al., USENIX ATC 2012'

export const COSTS = {
  frequency: cost(2_200_000_000, 'Hz', 'S', 'E7-4800 class part'),
  localMemory: cost(300, 'cycles', 'S', `${MLC_E7}: 135 ns`),
  remoteOneHop: cost(435, 'cycles', 'S', `${MLC_E7}: 194–202 ns, ×1.44–1.50`),
  remoteTwoHops: cost(570, 'cycles', 'assumption', '×1.9 of local; the tier itself is seen on an E5-4600 ring [S]'),
  linkBandwidth: cost(12_800, 'MB/s', 'D', 'one direction of a 25.6 GB/s QPI link, HP on Nehalem [S]'),
  nodeBandwidth: cost(67_800, 'MB/s', 'D', `half of 135.7 GB/s on two sockets, ${MLC_4110} [S]`),
  loadAt31Percent: cost(1.15, 'ratio', 'D', MLC_4110),
  loadAt50Percent: cost(1.21, 'ratio', 'D', MLC_4110),
  loadAt97Percent: cost(1.51, 'ratio', 'D', MLC_4110),
  loadAt100Percent: cost(1.59, 'ratio', 'D', MLC_4110),
  hotNode: cost(1200, 'cycles', '2', 'Carrefour, ASPLOS 2013: 300 grows to 1200'),
  vmcall: cost(1190, 'cycles', 'S', KUT),
  vmEntry: cost(490, 'cycles', 'assumption', 'of a VMCALL round trip the smaller part'),
  vmExit: cost(700, 'cycles', 'D', 'a VMCALL round trip less the VM entry'),
  cpuidExit: cost(1300, 'cycles', 'S', KUT),
  portReadExit: cost(2400, 'cycles', 'S', `${KUT}, handled in the kernel`),
  portWriteExit: cost(1400, 'cycles', 'S', `${KUT}, handled in the kernel`),
  userPortReadExit: cost(6850, 'cycles', 'S', `${KUT}, handled in user space (6,200–6,850)`),
  userPortWriteExit: cost(6200, 'cycles', 'S', `${KUT}, handled in user space (6,200–6,850)`),
  cr8NoExit: cost(14, 'cycles', 'S', `${KUT}: 11–17`),
  svmRunToExit: cost(1360, 'cycles', 'S', 'LKML 2020'),
  nestedCpuidExit: cost(18_890, 'cycles', 'S', 'Linux commit message'),
  nestedCpuidExitEnlightened: cost(8304, 'cycles', 'S', 'Linux commit message'),
  exitPrescott: cost(3963, 'cycles', 'M', AGESEN),
  exitMerom: cost(1579, 'cycles', 'M', AGESEN),
  exitPenryn: cost(1266, 'cycles', 'M', AGESEN),
  exitNehalem: cost(1009, 'cycles', 'M', AGESEN),
  exitWestmere: cost(761, 'cycles', 'M', AGESEN),
  exitSandyBridge: cost(784, 'cycles', 'M', AGESEN),
  walkNative: cost(4, 'references', '2', '(g+1)(e+1)−1 with e = 0'),
  walkNested: cost(24, 'references', '2', '(g+1)(e+1)−1 with g = e = 4'),
  walkNativeCached: cost(1.5, 'references', 'A', "Every Walk's a Hit"),
  walkNestedCached: cost(4.4, 'references', 'A', "Every Walk's a Hit"),
  walkReference: cost(30, 'cycles', 'assumption', 'a table entry in a cache: a tenth of local memory'),
  pause: cost(140, 'cycles', 'M', 'Skylake server parts; earlier ones about 10'),
  rdtsc: cost(25, 'cycles', 'M', 'Agner Fog, instruction tables: 20–35 on server parts'),
  cpuid: cost(100, 'cycles', 'M', 'Agner Fog, instruction tables: 100–250'),
  msrAccess: cost(100, 'cycles', 'M', 'Agner Fog, instruction tables: RDMSR and WRMSR about 100 and more'),
  portAccess: cost(2000, 'cycles', 'assumption', 'an ISA port, about 0.9 µs'),
  deviceAccess: cost(1000, 'cycles', 'assumption', 'an uncached access over the bus, about 450 ns'),
} as const satisfies Record<string, Cost>

/** Cycles charged for each of the entries a walk reads: most of them are in paging-structure caches. */
export const WALK_REFERENCE = Math.round((COSTS.walkReference.value * COSTS.walkNativeCached.value) / COSTS.walkNative.value)

/** Nanoseconds of an idle memory access over `hops` links (0 local, 1, 2; further hops add the second one's increment). */
export function hopLatency(hops: number): number {
  const { localMemory: l, remoteOneHop: r, remoteTwoHops: f, frequency } = COSTS
  const cycles = hops === 0 ? l.value : hops === 1 ? r.value : f.value + (hops - 2) * (f.value - r.value)
  return (cycles * 1e9) / frequency.value
}

/** Bandwidth in MB/s of a path over `hops` links: the narrowest part of it. */
export function hopBandwidth(hops: number): number {
  return hops === 0 ? COSTS.nodeBandwidth.value : COSTS.linkBandwidth.value
}

/** Cycles an idle memory access takes from a processor on node `from` to DRAM on node `to`. */
export function latency(topology: Topology, from: number, to: number): number {
  const ns = topology.latency[from]?.[to]
  if (ns === undefined) throw new RangeError(`no path from node ${from} to node ${to}`)
  return Math.round((ns * topology.frequency) / 1e9)
}

import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { resolveBoard } from '../../src-core/board/config.ts'
import { COSTS, latency } from '../../src-core/board/costs.ts'
import * as layout from '../../src-core/board/layout.ts'
import { memoryMap } from '../../src-core/board/memory-map.ts'
import { DEFAULT_PRESET, PRESETS } from '../../src-core/board/presets.ts'
import { parseTopology, TopologyError } from '../../src-core/board/topology.ts'
import { PhysicalMemory } from '../../src-core/memory/physical.ts'

const preset = (name: string) => PRESETS.get(name)!
const MIB = 2 ** 20

describe('presets', () => {
  it('has the five servers, four Intel nodes by default', () => {
    expect([...PRESETS.keys()]).toEqual(['uma-1n', 'intel-2n', 'intel-4n', 'opteron-4n', 'opteron-8n'])
    expect(preset(DEFAULT_PRESET).nodes).toHaveLength(4)
    expect(preset('opteron-4n').sockets).toBe(2)
    expect(preset('opteron-8n').sockets).toBe(4)
  })

  it('orders latency by distance: local < one hop < two hops, one hop 1.4–1.5 of local', () => {
    for (const t of PRESETS.values()) {
      for (const [from, row] of t.hops.entries())
        for (const [to, hops] of row.entries()) {
          expect(latency(t, from, to)).toBe([300, 435, 570][hops])
          expect(t.distances[to]![from]).toBe(t.distances[from]![to])
        }
    }
    const ratio = COSTS.remoteOneHop.value / COSTS.localMemory.value
    expect(ratio).toBeGreaterThanOrEqual(1.4)
    expect(ratio).toBeLessThanOrEqual(1.5)
    expect(preset('intel-4n').distances[0]).toEqual([10, 20, 30, 20])
    expect(preset('opteron-8n').distances[4]).toEqual([16, 22, 16, 22, 10, 16, 16, 22])
    expect(() => latency(preset('uma-1n'), 0, 1)).toThrow(RangeError)
  })
})

describe('resolveBoard', () => {
  it('splits memory evenly over nodes, around the video window and the PCI hole', () => {
    for (const t of PRESETS.values())
      for (const megabytes of [64, 512, 1000, 3072, 3584]) {
        const { ranges } = resolveBoard(t, { megabytes })
        const sizes = t.nodes.map((_, n) => ranges.filter((r) => r.node === n).reduce((s, r) => s + r.length, 0))
        expect(sizes.reduce((a, b) => a + b, 0)).toBe(megabytes * MIB - layout.VIDEO_WINDOW.length)
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(2 * MIB * t.nodes.length + layout.VIDEO_WINDOW.length)
        let last = 0
        for (const r of ranges) {
          expect(r.start).toBeGreaterThanOrEqual(last)
          expect((r.start % 4096) | (r.length % 4096)).toBe(0)
          last = r.start + r.length
          for (const [low, high] of [
            [layout.VIDEO_WINDOW.address, layout.SHADOW_RAM],
            [layout.RAM_HOLE_START, layout.RAM_HOLE_END],
          ] as const)
            expect(r.start < high && last > low).toBe(false)
        }
      }
    const split = resolveBoard(preset('opteron-8n'), { megabytes: 3584 }).ranges.filter((r) => r.node === 6)
    expect(split.map((r) => r.start)).toEqual([0xa8000000, 0x100000000])
  })

  it('deals processors round-robin over sockets and gives package and core bits', () => {
    const nodesOf = (name: string, processors: number) => resolveBoard(preset(name), { processors }).processors.map((p) => p.node)
    expect(nodesOf('intel-4n', 1)).toEqual([0])
    expect(nodesOf('intel-4n', 6)).toEqual([0, 0, 1, 1, 2, 3])
    expect(nodesOf('opteron-4n', 2)).toEqual([0, 2])
    expect(nodesOf('opteron-4n', 3)).toEqual([0, 1, 2])
    const b = resolveBoard(preset('intel-4n'), { processors: 6 })
    expect(b.coreBits).toBe(1)
    expect(b.processors.map((p) => p.apicId)).toEqual([0, 1, 2, 3, 4, 6])
    expect(resolveBoard(preset('uma-1n'), { processors: 16 }).coreBits).toBe(4)
    for (const t of PRESETS.values())
      for (let n = 1; n <= 16; n++) {
        const { processors, coreBits } = resolveBoard(t, { processors: n })
        expect(processors).toHaveLength(n)
        expect(new Set(processors.map((p) => p.apicId)).size).toBe(n)
        expect(processors[0]!.apicId).toBe(0)
        for (const p of processors) expect(p.apicId >> coreBits).toBe(p.socket)
      }
  })

  it('refuses what cannot be met, with one line', () => {
    for (const wish of [
      { megabytes: 3585 },
      { megabytes: 15 },
      { megabytes: 100.5 },
      { megabytes: NaN },
      { processors: 0 },
      { processors: 17 },
      { processors: 1.5 },
    ])
      expect(() => resolveBoard(preset('intel-4n'), wish)).toThrow(TopologyError)
    const lopsided = parseTopology('{"name":"x","nodes":[{"processors":1,"memoryShare":1000},{"processors":1,"memoryShare":0.01}]}')
    expect(() => resolveBoard(lopsided, { megabytes: 64 })).toThrow('too few')
  })
})

describe('memoryMap', () => {
  it('covers DRAM exactly, and reserves the EBDA and the firmware area', () => {
    const { ranges } = resolveBoard(preset('intel-4n'), { megabytes: 3584 })
    const map = memoryMap(ranges)
    expect(map).toEqual([
      { address: 0, length: 0x9fc00, type: 1 },
      { address: 0x9fc00, length: 0x400, type: 2 },
      { address: 0xc0000, length: 0x20000, type: 2 },
      { address: 0xe0000, length: 0x10000, type: 3 },
      { address: 0xf0000, length: 0x10000, type: 2 },
      { address: 0x100000, length: 0xbff00000, type: 1 },
      { address: 0x100000000, length: 0x20000000, type: 1 },
    ])
    const boot = layout.BOOT_AREA
    expect(map.some((m) => m.type === 1 && m.address <= boot.address && boot.address + boot.length <= m.address + m.length)).toBe(true)
  })

  it('describes ranges the physical memory accepts', () => {
    const { ranges } = resolveBoard(preset('opteron-8n'), { megabytes: 32 })
    const memory = new WebAssembly.Memory({ initial: 513, maximum: 513, shared: true })
    const physical = new PhysicalMemory(memory, 65536, ranges)
    for (const m of memoryMap(ranges)) {
      expect(physical.host(m.address)).not.toBe(0)
      expect(physical.host(m.address + m.length - 1)).not.toBe(0)
    }
    expect(physical.host(layout.VIDEO_WINDOW.address)).toBe(0)
  })
})

describe('parseTopology', () => {
  it('completes what is left out', () => {
    const t = parseTopology('{"name":"pair","nodes":[{"megabytes":256,"processors":2},{"megabytes":512,"processors":0}]}')
    expect(t.distances).toEqual([
      [10, 21],
      [21, 10],
    ])
    expect(t.hops).toEqual([
      [0, 1],
      [1, 0],
    ])
    const b = resolveBoard(t)
    expect(b.megabytes).toBe(768)
    expect(b.processors.map((p) => p.node)).toEqual([0, 0])
    expect(b.ranges.filter((r) => r.node === 1)[0]).toEqual({ start: 256 * MIB, length: 512 * MIB, node: 1 })
  })

  it('reads the example that comes with Ring −1', async () => {
    const t = parseTopology(await readFile(new URL('../../resources/hosts/lopsided-3n.json', import.meta.url), 'utf8'))
    const b = resolveBoard(t, { megabytes: 1024 })
    expect([0, 1, 2].map((n) => b.ranges.filter((r) => r.node === n).reduce((sum, r) => sum + r.length, 0) / MIB)).toEqual([
      255.875, 512, 256,
    ])
    expect(b.processors.map((p) => p.node)).toEqual([0, 0, 1, 1])
    expect(latency(t, 0, 2)).toBe(570)
  })

  it('takes latencies as given, in nanoseconds', () => {
    const t = parseTopology(
      '{"name":"slow","frequency":1000000000,"nodes":[{"processors":1},{"processors":1}],"distances":[[10,40],[20,10]],"latency":[[100,400],[250.4,100]]}',
    )
    expect(latency(t, 0, 1)).toBe(400)
    expect(latency(t, 1, 0)).toBe(250)
    expect(t.hops).toEqual([
      [0, 2],
      [1, 0],
    ])
  })

  it.each([
    ['', 'not JSON'],
    ['[1', 'not JSON'],
    ['null', 'f.json'],
    ['{"name":"x"}', 'nodes'],
    ['{"name":"x","nodes":[]}', 'nodes'],
    ['{"name":"x","nodes":[{"processors":17}]}', 'nodes[0].processors'],
    ['{"name":"x","nodes":[{"processors":0}]}', '0 processors'],
    ['{"name":"x","nodes":[{"processors":9},{"processors":9}]}', '18 processors'],
    ['{"name":"x","nodes":[{"processors":1,"megabytes":3000},{"processors":1,"megabytes":3000}]}', '6000 MB'],
    ['{"name":"x","nodes":[{"processors":1,"megabytes":30},{"processors":1}]}', 'every node or for none'],
    ['{"name":"x","nodes":[{"processors":1,"megabytes":30,"memoryShare":1}]}', 'not both'],
    ['{"name":"x","nodes":[{"processors":1,"socket":1}]}', 'no node on socket 0'],
    ['{"name":"x","nodes":[{"processors":1}],"distances":[[10,20]]}', 'distances[0]: 2 columns'],
    ['{"name":"x","nodes":[{"processors":1}],"distances":[[11]]}', 'distances[0][0]: must be 10'],
    ['{"name":"x","nodes":[{"processors":1},{"processors":1}],"distances":[[10,10],[20,10]]}', 'distances[0][1]: must be above 10'],
    ['{"name":"x","nodes":[{"processors":1},{"processors":1}],"hops":[[0,0],[1,0]]}', 'hops[0][1]: must be above 0'],
    ['{"name":"x","nodes":[{"processors":1}],"colour":"red"}', 'colour'],
    [`{"name":"x","nodes":${'['.repeat(60000)}`, 'not JSON'],
    [' '.repeat(70000), 'longer than'],
  ])('refuses %.60s', (text, says) => {
    const attempt = () => parseTopology(text, 'f.json')
    expect(attempt).toThrow(TopologyError)
    expect(attempt).toThrow(/^f\.json: /)
    expect(attempt).toThrow(says)
  })
})

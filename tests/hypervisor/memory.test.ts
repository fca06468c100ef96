// Frames, placement, the EPT's tables, and a guest's linear addresses, over plain memory.

import { describe, expect, it } from 'vitest'
import { Cr0, Cr4, Efer } from '../../src-core/arch/registers.ts'
import { FRAME, FrameAllocator } from '../../src-core/hypervisor/frames.ts'
import { GuestMemory } from '../../src-core/hypervisor/guest-memory.ts'
import { translate } from '../../src-core/hypervisor/linear-address.ts'
import { placement } from '../../src-core/hypervisor/placement.ts'
import type { HostMemory } from '../../src-core/hypervisor/port.ts'

const MIB = 2 ** 20
const ring = [[10, 20, 30, 20], [20, 10, 20, 30], [30, 20, 10, 20], [20, 30, 20, 10]]
const nodes = (frames: number): FrameAllocator => new FrameAllocator([0, 1, 2, 3].map((node) => ({ start: node * MIB, length: frames * FRAME, node })), ring)

describe('frames', () => {
  it('come from the node asked for, then from the nearest', () => {
    const f = nodes(2)
    const taken = Array.from({ length: 8 }, () => Math.floor(f.take(0, 'x')! / MIB))
    expect(taken).toEqual([0, 0, 1, 1, 3, 3, 2, 2])
    expect(f.take(0, 'x')).toBeUndefined()
    expect([0, 1, 2, 3].map((n) => f.free(n))).toEqual([0, 0, 0, 0])
  })

  it('have one owner, who alone may give them back', () => {
    const f = nodes(2)
    const frame = f.take(1, 'a')!
    expect(f.owner(frame + 123)).toBe('a')
    expect(() => f.release(frame, 1, 'b')).toThrow(RangeError)
    f.release(frame, 1, 'a')
    expect(f.owner(frame)).toBeUndefined()
    expect(() => f.release(frame, 1, 'a')).toThrow(RangeError)
    expect(f.take(1, 'b')).toBe(frame)
  })

  it('are whole pages inside what is given', () => {
    const f = new FrameAllocator([{ start: 100, length: 3 * FRAME, node: 0 }], [[10]])
    expect([f.take(0, 'x'), f.take(0, 'x'), f.take(0, 'x')]).toEqual([FRAME, 2 * FRAME, undefined])
  })
})

describe('placement', () => {
  it.each([
    ['first-touch', [[0, 3, 3], [FRAME, 1, 1], [2 ** 30, 2, 2]]],
    ['round-4k', [[0, 3, 0], [FRAME, 3, 1], [5 * FRAME, 3, 1], [2 ** 30, 3, 0]]],
    ['round-1g', [[0, 3, 0], [FRAME, 3, 0], [2 ** 30, 3, 1], [5 * 2 ** 30, 3, 1]]],
  ] as const)('%s', (name, cases) => {
    for (const [page, toucher, node] of cases) expect(placement(name, 4).node(page, toucher)).toBe(node)
  })
})

const BYTES = 4 * MIB

/** Guest memory over bytes of its own. */
function guestMemory(length = MIB): { g: GuestMemory; view: DataView } {
  const bytes = new Uint8Array(BYTES)
  const view = new DataView(bytes.buffer)
  const host: HostMemory = {
    read: (a, size) => (size === 4 ? view.getUint32(a, true) : size === 2 ? view.getUint16(a, true) : bytes[a]!),
    write: (a, size, v) => (size === 4 ? view.setUint32(a, v, true) : size === 2 ? view.setUint16(a, v, true) : void (bytes[a] = v)),
    load: (a, data) => bytes.set(data, a),
    clear: (frame) => void bytes.fill(0, frame, frame + FRAME),
  }
  const frames = new FrameAllocator([{ start: FRAME, length: BYTES - FRAME, node: 0 }], [[10]])
  return { g: new GuestMemory('g', [{ start: 0, length }], host, frames, placement('first-touch', 1), () => 0, 0), view }
}

describe('guest memory', () => {
  it('has a frame where it was touched, and an EPT entry that allows everything, write-back', () => {
    const { g, view } = guestMemory()
    expect(g.touch(MIB, 0)).toBeUndefined()
    const frame = g.touch(0x5123, 0)!
    expect(g.touch(0x5fff, 0)).toBe(frame)
    expect(g.ept.pages).toBe(1)
    let table = Number(g.ept.pointer >> 12n) * FRAME
    expect(g.ept.pointer & 0xfffn).toBe(0x1en)
    for (const index of [0, 0, 0]) table = view.getUint32(table + 8 * index, true) & ~0xfff
    expect(view.getBigUint64(table + 8 * 5, true)).toBe(BigInt(frame) | 0x37n)
  })

  it('loads over page borders and refuses what is outside', () => {
    const { g } = guestMemory()
    const data = Uint8Array.from({ length: 9000 }, (_, n) => n)
    g.load(0xff0, data)
    expect([0xff0, 0x1000, 0xff0 + 8999].map((a) => g.read(a, 1))).toEqual([0, 16, 8999 & 0xff])
    expect(() => g.load(MIB - 8, data)).toThrow(RangeError)
    expect([g.read(MIB, 4), g.write(MIB, 4, 1)]).toEqual([undefined, false])
  })
})

describe("a guest's linear address", () => {
  const { g } = guestMemory()
  const set = (address: number, value: bigint): void => {
    g.write(address, 4, Number(value & 0xffff_ffffn))
    g.write(address + 4, 4, Number(value >> 32n))
  }
  const long = { cr0: Cr0.PE | Cr0.PG | Cr0.WP, cr3: 0x1000n, cr4: Cr4.PAE, efer: Efer.LME | Efer.LMA }
  set(0x1000 + 8 * 511, 0x2007n)
  set(0x2000, 0x3007n)
  set(0x2008, 0x4000_0087n) // 1 GiB
  set(0x3000, 0x4007n)
  set(0x3008, 0xa0_0083n) // 2 MiB, supervisor
  set(0x4000, 0x5007n)
  set(0x4008, 0x6005n) // read-only
  const top = 0xffff_ff80_0000_0000n

  it.each([
    [0x123n, false, true, { address: 0x5123 }],
    [0x1123n, false, true, { address: 0x6123 }],
    [0x1123n, true, false, { fault: 3 }],
    [0x1123n, true, true, { fault: 7 }],
    [0x2000n, false, true, { fault: 4 }],
    [0x2000n, true, false, { fault: 2 }],
    [0x20_1234n, true, false, { address: 0xa0_1234 }],
    [0x20_1234n, false, true, { fault: 5 }],
    [0x5234_5678n, true, true, { address: 0x5234_5678 }],
  ])('in four levels: %s', (offset, write, user, expected) => {
    expect(translate(g, long, top + offset, write, user)).toEqual(expected)
  })

  it('may be written read-only by the supervisor without CR0.WP', () => {
    expect(translate(g, { ...long, cr0: Cr0.PE | Cr0.PG }, top + 0x1000n, true, false)).toEqual({ address: 0x6000 })
  })

  it('in PAE tables, in two levels, and without paging', () => {
    set(0x8020, 0x3001n) // a PDPTE, at CR3 + 32
    expect(translate(g, { ...long, cr3: 0x8020n, efer: 0n }, 0x20_0004n, false, false)).toEqual({ address: 0xa0_0004 })
    g.write(0x9000, 4, 0xa007)
    g.write(0xa004, 4, 0x7007)
    g.write(0x9004, 4, 0x00c0_0087)
    const legacy = { cr0: Cr0.PE | Cr0.PG, cr3: 0x9000n, cr4: Cr4.PSE, efer: 0n }
    expect(translate(g, legacy, 0x1abcn, true, true)).toEqual({ address: 0x7abc })
    expect(translate(g, legacy, 0x40_1234n, true, true)).toEqual({ address: 0xc0_1234 })
    expect(translate(g, { ...legacy, cr0: Cr0.PE }, 0x40_1234n, true, true)).toEqual({ address: 0x40_1234 })
  })

  it('faults where the tables are not in memory', () => {
    expect(translate(g, { ...long, cr3: BigInt(8 * MIB) }, 0n, false, false)).toEqual({ fault: 0 })
  })
})

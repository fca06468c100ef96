// Extended page tables (SDM 3C 28.2): permissions, misconfigurations, qualifications, flags, the log, and a guest's walk through both stages.

import { describe, expect, it } from 'vitest'
import { Fault } from '../../src-core/cpu/fault.ts'
import { Ept, type PageLog } from '../../src-core/paging/ept.ts'
import { Reference, SecondStageStop } from '../../src-core/paging/second-stage.ts'
import { bench, code, get64, load, long, put64, store, type Bench } from '../paging/bench.ts'

const [R, W, X, WB, LARGE, ACCESSED, DIRTY, XU] = [1n, 2n, 4n, 6n << 3n, 0x80n, 0x100n, 0x200n, 0x400n]
const ALL = R | W | X
// Tables of the second stage, below the frames that guests use.
const [E4, E3, E2, E1] = [0x100000, 0x101000, 0x102000, 0x103000]
const POINTER = BigInt(E4) | (3n << 3n) | 6n
const TRACKED = POINTER | 0x40n

interface Stage {
  b: Bench
  ept: Ept
}

/** Guest-physical 0…1FFFFFH, 4 KiB pages, each on itself. */
function stage(pointer = POINTER, modeBased = false, log?: PageLog): Stage {
  const b = bench()
  const rights = modeBased ? ALL | XU : ALL
  put64(b, E4, BigInt(E3) | rights)
  put64(b, E3, BigInt(E2) | rights)
  put64(b, E2, BigInt(E1) | rights)
  for (let n = 0; n < 512; n++) put64(b, E1 + 8 * n, BigInt(n * 4096) | rights | WB)
  const ept = new Ept(b.physical, b.code)
  ept.use(pointer, modeBased, log)
  return { b, ept }
}

type Kind = 'read' | 'write' | 'fetch'
/** The address, or what stopped: kind and qualification. */
function access(s: Stage, address: number, kind: Kind = 'read', reference: number = Reference.page, rights = 0): number | string {
  const at = s.ept.translate(address, kind === 'write', kind === 'fetch', reference, 0x7654_3210, 0x0000_1234, rights)
  return at >= 0 ? at : `${s.ept.stopped.kind} ${s.ept.stopped.qualification.toString(16)}`
}

describe('mappings', () => {
  it('are of 4 KiB, 2 MiB and 1 GiB', () => {
    const s = stage()
    put64(s.b, E1 + 8 * 5, 0x3_4567_8000n | ALL | WB)
    expect(access(s, 0x5abc)).toBe(0x3_4567_8abc)
    put64(s.b, E2 + 8, 0x12_3460_0000n | ALL | WB | LARGE)
    expect(access(s, 0x2f_edcb)).toBe(0x12_346f_edcb)
    put64(s.b, E3 + 8, 0x20_8000_0000n | ALL | WB | LARGE)
    expect(access(s, 0x7654_3210)).toBe(0x20_b654_3210)
    put64(s.b, E4 + 8, BigInt(E3) | ALL)
    expect(access(s, 0x80_7654_3210)).toBe(0x20_b654_3210)
  })

  it('have 48 bits of guest-physical address', () => {
    const s = stage()
    expect(access(s, 2 ** 48 + 0x1000)).toBe('violation 181')
  })

  it('a table outside DRAM reads as all ones, which is a misconfiguration', () => {
    const s = stage()
    put64(s.b, E2, 0x30_0000_0000n | ALL)
    expect(access(s, 0x1000)).toBe('misconfiguration 0')
  })
})

describe('permissions (28.2.3.2)', () => {
  // Every combination at the leaf, with and without mode-based execute control, for each access to a user and a supervisor page.
  it('every combination of R, W, X and user X', () => {
    let checked = 0
    for (const modeBased of [false, true])
      for (let bits = 0; bits < 16; bits++) {
        const entry = BigInt(bits & 7) | (bits & 8 ? XU : 0n)
        for (const kind of ['read', 'write', 'fetch'] as const)
          for (const user of [false, true]) {
            const s = stage(POINTER, modeBased)
            put64(s.b, E1 + 8 * 9, 0x9000n | entry | WB)
            const present = (bits & 7) !== 0 || (modeBased && (bits & 8) !== 0)
            const allowed = kind === 'read' ? bits & 1 : kind === 'write' ? bits & 2 : modeBased && user ? bits & 8 : bits & 4
            const asked = kind === 'read' ? 1 : kind === 'write' ? 2 : 4
            const granted = present ? ((bits & 7) << 3) | (modeBased && bits & 8 ? 0x40 : 0) : 0
            const expected =
              present && (bits & 3) === 2 ? 'misconfiguration 0' : allowed ? 0x9123 : `violation ${(asked | granted | 0x180 | (user ? 0x200 : 0)).toString(16)}`
            expect([modeBased, bits, kind, user, access(s, 0x9123, kind, Reference.page, user ? 4 : 0)]).toEqual([modeBased, bits, kind, user, expected])
            if (typeof expected === 'string') expect(s.ept.stopped.guestPhysical).toBe(0x9123)
            checked++
          }
      }
    expect(checked).toBe(192)
  })

  it.each([E4, E3, E2, E1 + 8 * 9])('come from every level: entry at %i', (at) => {
    const s = stage()
    const whole = get64(s.b, at)
    put64(s.b, at, whole & ~W)
    expect(access(s, 0x9000, 'write')).toBe('violation 1aa')
    put64(s.b, at, whole & ~X)
    expect(access(s, 0x9000, 'fetch')).toBe('violation 19c')
    put64(s.b, at, whole & ~ALL)
    expect(access(s, 0x9000)).toBe('violation 181')
    put64(s.b, at, whole & ~(R | W))
    expect(access(s, 0x9000)).toBe('violation 1a1')
    expect(access(s, 0x9000, 'fetch')).toBe(0x9000)
  })

  it('an entry that is not present has no reserved bits', () => {
    const s = stage()
    put64(s.b, E2, 0xffff_ffff_ffff_fff8n)
    expect(access(s, 0x9000)).toBe('violation 181')
    put64(s.b, E2, 0xffff_ffff_ffff_fff8n & ~(1n << 63n))
    expect([access(s, 0x9000), s.ept.stopped.convertible]).toEqual(['violation 181', true])
    put64(s.b, E2, 1n << 63n)
    expect([access(s, 0x9000), s.ept.stopped.convertible]).toEqual(['violation 181', false])
  })

  it('a violation of permissions is convertible by the leaf alone', () => {
    const s = stage()
    put64(s.b, E1 + 8, 0x1000n | R | WB | (1n << 63n))
    expect([access(s, 0x1000, 'write'), s.ept.stopped.convertible]).toEqual(['violation 18a', false])
    put64(s.b, E1 + 8, 0x1000n | R | WB)
    put64(s.b, E2, get64(s.b, E2) | (1n << 63n))
    expect([access(s, 0x1000, 'write'), s.ept.stopped.convertible]).toEqual(['violation 18a', true])
  })

  it('says what the linear address allowed, and that there was none for PDPTE registers', () => {
    const s = stage()
    put64(s.b, E1 + 8, 0n)
    expect(access(s, 0x1000, 'write', Reference.page, 6)).toBe('violation 782')
    expect(access(s, 0x1000, 'fetch', Reference.page, 0x80000004 | 0)).toBe('violation b84')
    expect(access(s, 0x1000, 'read', Reference.entry)).toBe('violation 81')
    expect(access(s, 0x1000, 'write', Reference.entry)).toBe('violation 83')
    expect(access(s, 0x1000, 'read', Reference.pdpte)).toBe('violation 1')
  })
})

describe('misconfigurations (28.2.3.1)', () => {
  const set = (s: Stage, at: number, bits: bigint): void => put64(s.b, at, get64(s.b, at) | bits)

  it('reserved bits at each level', () => {
    const bits = (from: number, to: number): bigint[] => Array.from({ length: to - from + 1 }, (_, n) => 1n << BigInt(from + n))
    const large = (at: number) => (s: Stage) => put64(s.b, at, ALL | WB | LARGE)
    const cases: [number, bigint[], (s: Stage) => void][] = [
      [E4, [...bits(3, 7), ...bits(46, 51)], () => {}],
      [E3, [...bits(3, 6), ...bits(46, 51)], () => {}],
      [E2, [...bits(3, 6), ...bits(46, 51)], () => {}],
      [E1, bits(46, 51), () => {}],
      [E2, [...bits(12, 20), ...bits(46, 51)], large(E2)],
      [E3, [...bits(12, 29), ...bits(46, 51)], large(E3)],
    ]
    let n = 0
    for (const [at, list, prepare] of cases)
      for (const bit of list) {
        const s = stage()
        prepare(s)
        expect(typeof access(s, 0)).toBe('number')
        s.ept.flush()
        set(s, at, bit)
        expect([at, bit, access(s, 0)]).toEqual([at, bit, 'misconfiguration 0'])
        expect(s.ept.stopped.convertible).toBe(false)
        n++
      }
    expect(n).toBe(76)
  })

  it('ignored bits at each level are ignored', () => {
    for (const at of [E4, E3, E2, E1]) {
      const s = stage()
      set(s, at, (0xfffn << 52n) | 0xf00n | (at === E1 ? 0xc0n : 0n))
      expect([at, access(s, 0x123)]).toEqual([at, 0x123])
    }
  })

  it('memory types of leaves', () => {
    for (let type = 0n; type < 8n; type++) {
      const s = stage()
      put64(s.b, E1, (type << 3n) | ALL)
      expect([type, access(s, 0)]).toEqual([type, type === 2n || type === 3n || type === 7n ? 'misconfiguration 0' : 0])
    }
  })

  it('an upper misconfiguration comes before what is missing below; a lower one before permissions', () => {
    const s = stage()
    put64(s.b, E3, BigInt(E2) | W)
    put64(s.b, E2, 0n)
    expect(access(s, 0)).toBe('misconfiguration 0')
    const t = stage()
    put64(t.b, E4, BigInt(E3) | R)
    put64(t.b, E1, W | WB)
    expect(access(t, 0, 'write')).toBe('misconfiguration 0')
    const u = stage()
    put64(u.b, E2, 0n)
    put64(u.b, E1, W | WB)
    expect(access(u, 0, 'write')).toBe('violation 182')
  })
})

describe('accessed and dirty flags (28.2.4)', () => {
  const flags = (s: Stage): bigint[] => [E4, E3, E2, E1 + 8].map((at) => get64(s.b, at) & (ACCESSED | DIRTY))

  it('are set when EPTP bit 6 says so, dirty in the leaf only', () => {
    const s = stage(TRACKED)
    access(s, 0x1000)
    expect(flags(s)).toEqual([ACCESSED, ACCESSED, ACCESSED, ACCESSED])
    expect(s.ept.writable).toBe(false)
    access(s, 0x1000, 'write')
    expect(flags(s)).toEqual([ACCESSED, ACCESSED, ACCESSED, ACCESSED | DIRTY])
    expect(s.ept.writable).toBe(true)
    const off = stage()
    access(off, 0x1000, 'write')
    expect(flags(off)).toEqual([0n, 0n, 0n, 0n])
  })

  it('reading a paging-structure entry needs W and sets dirty; loading a PDPTE register is a plain read', () => {
    const s = stage(TRACKED)
    access(s, 0x1000, 'read', Reference.pdpte)
    expect(flags(s)[3]).toBe(ACCESSED)
    access(s, 0x1000, 'read', Reference.entry)
    expect(flags(s)[3]).toBe(ACCESSED | DIRTY)
    put64(s.b, E1 + 16, 0x2000n | R | X | WB)
    expect(access(s, 0x2000, 'read', Reference.entry)).toBe('violation ab')
    expect(access(s, 0x2000, 'read', Reference.pdpte)).toBe(0x2000)
  })

  it('an access that is refused sets none', () => {
    const s = stage(TRACKED)
    put64(s.b, E1 + 8, 0x1000n | R | WB)
    expect(access(s, 0x1000, 'write')).toBe('violation 18a')
    expect(flags(s)).toEqual([0n, 0n, 0n, 0n])
  })

  it('stores into tables reach decoded code: the pages that hold it are told', () => {
    const s = stage(TRACKED)
    const host = s.b.physical.host(E1)
    s.b.code.holds[host >>> 12] = 1
    const written: number[] = []
    s.b.code.written = (at: number) => (written.push(at), true)
    access(s, 0x1000)
    expect(written).toEqual([host + 8])
  })
})

describe('page-modification log (28.2.5)', () => {
  const log = (room: number): PageLog & { pages: number[] } => {
    const pages: number[] = []
    return {
      pages,
      get full() {
        return pages.length >= room
      },
      append: (address) => void pages.push(address),
    }
  }

  it('notes each page when its dirty flag is set', () => {
    const l = log(9)
    const s = stage(TRACKED, false, l)
    access(s, 0x1234)
    expect(l.pages).toEqual([])
    access(s, 0x1234, 'write')
    access(s, 0x1678, 'write')
    access(s, 0x2fff, 'read', Reference.entry)
    expect(l.pages).toEqual([0x1000, 0x2000])
  })

  it('without room nothing changes, even where only accessed flags would be set', () => {
    const s = stage(TRACKED, false, log(0))
    expect(access(s, 0x1000)).toBe('logFull 0')
    expect([E4, E3, E2, E1 + 8].map((at) => get64(s.b, at) & (ACCESSED | DIRTY))).toEqual([0n, 0n, 0n, 0n])
    for (const at of [E4, E3, E2, E1 + 8]) put64(s.b, at, get64(s.b, at) | ACCESSED)
    expect(access(s, 0x1000)).toBe(0x1000)
    expect(access(s, 0x1000, 'write')).toBe('logFull 0')
  })

  it('permissions come first', () => {
    const s = stage(TRACKED, false, log(0))
    put64(s.b, E1 + 8, 0n)
    expect(access(s, 0x1000)).toBe('violation 181')
  })
})

describe('cached mappings (28.3)', () => {
  it('stay until they are flushed, or refuse an access, or other tables are used', () => {
    const s = stage()
    expect(access(s, 0x1000)).toBe(0x1000)
    put64(s.b, E1 + 8, 0x7000n | R | WB)
    expect(access(s, 0x1000)).toBe(0x1000)
    s.ept.flush()
    expect(access(s, 0x1000)).toBe(0x7000)
    put64(s.b, E1 + 8, 0x8000n | R | WB)
    expect(access(s, 0x1000, 'write')).toBe('violation 18a')
    expect(access(s, 0x1000)).toBe(0x8000)
    put64(s.b, E1 + 8, 0x9000n | R | WB)
    s.ept.use(TRACKED, false, undefined)
    expect(access(s, 0x1000)).toBe(0x9000)
  })

  it('survive saving, and damaged data is refused', () => {
    const s = stage()
    for (const at of [0x1000, 0x5000]) access(s, at, 'write')
    const data = s.ept.save()
    const t = stage()
    for (const at of [1, 5]) put64(t.b, E1 + 8 * at, 0n)
    expect(t.ept.restore(data)).toBe(true)
    expect([access(t, 0x1004, 'write'), access(t, 0x5000, 'fetch'), access(t, 0x9000)]).toEqual([0x1004, 0x5000, 0x9000])
    expect(t.ept.restore(data.subarray(1))).toBe(false)
    const bad = data.slice()
    bad.fill(0xff, 24, 32)
    expect(t.ept.restore(bad)).toBe(false)
    expect(access(t, 0x1000)).toBe('violation 181')
  })
})

describe('a guest with its own tables', () => {
  // The guest's tables of bench.ts at 1000H … 4000H and its frames, each on itself in the second stage.
  const guest = (pointer = POINTER): Stage => {
    const s = stage(pointer)
    long(s.b)
    s.b.mmu.walker.stage = s.ept
    return s
  }
  const outcome = (b: Bench, answer: number | Fault): string => {
    const stop = answer as unknown
    if (stop instanceof SecondStageStop) return `${stop.kind} ${stop.qualification.toString(16)} ${stop.guestPhysical.toString(16)} ${stop.linearLow.toString(16)}`
    return stop instanceof Fault ? `#PF ${code(stop)}` : `${b.physical.physical(stop as number).toString(16)}`
  }

  it('reads and writes through both stages', () => {
    const s = guest()
    put64(s.b, E1 + 8 * 0x50, 0x60000n | ALL | WB)
    expect(outcome(s.b, load(s.b, 0x50008n))).toBe('60008')
    expect(outcome(s.b, store(s.b, 0x50010n))).toBe('60010')
    expect(s.b.mmu.translateFetch(0x50123, 0)).toBe(0x60123)
    s.ept.flush()
    load(s.b, 0x51008n)
    expect(s.b.mmu.walker.references).toBe(24) // (4 + 1)(4 + 1) − 1
  })

  it('a refusal names the address of the access, or of the guest entry', () => {
    const s = guest()
    put64(s.b, E1 + 8 * 0x50, 0n)
    expect(outcome(s.b, load(s.b, 0x50008n))).toBe('violation 781 50008 50008')
    expect(outcome(s.b, store(s.b, 0x50010n))).toBe('violation 782 50010 50010')
    expect(s.b.mmu.translateFetch(0x50123, 0)).toBe(-1)
    expect(outcome(s.b, s.b.mmu.takePending() as Fault)).toBe('violation 784 50123 50123')
    s.ept.flush()
    put64(s.b, E1 + 8 * 4, 0n)
    expect(outcome(s.b, load(s.b, 0x60008n))).toBe('violation 81 4300 60008')
  })

  it("the guest's flags need a writable table; with EPTP bit 6 so does every look at one", () => {
    const s = guest()
    put64(s.b, E1 + 8 * 4, 0x4000n | R | WB)
    expect(outcome(s.b, load(s.b, 0x50000n))).toBe('violation 8b 4280 50000')
    const t = guest(TRACKED)
    put64(t.b, E1 + 8 * 4, 0x4000n | R | WB)
    put64(t.b, 0x4280, 0x50067n)
    expect(outcome(t.b, load(t.b, 0x50000n))).toBe('violation 8b 4280 50000')
    const u = guest()
    put64(u.b, E1 + 8 * 4, 0x4000n | R | WB)
    put64(u.b, 0x4280, 0x50067n)
    expect(outcome(u.b, load(u.b, 0x50000n))).toBe('50000')
  })

  it("its page faults come before the second stage's refusal of the page, behind that of a table", () => {
    const s = guest()
    put64(s.b, 0x4280, 0x50000n)
    put64(s.b, E1 + 8 * 0x50, 0n)
    expect(outcome(s.b, load(s.b, 0x50000n))).toBe('#PF 0')
    put64(s.b, E1 + 8 * 4, 0n)
    s.ept.flush()
    expect(outcome(s.b, load(s.b, 0x50000n))).toBe('violation 81 4280 50000')
  })

  it('a page that is clean in the second stage takes no write tag', () => {
    const s = guest(TRACKED)
    put64(s.b, 0x4280, 0x50067n)
    load(s.b, 0x50000n)
    expect(s.b.mmu.tlb.lookup(1, 0x50000, 0, true)).toBe(0)
    store(s.b, 0x50000n)
    expect(s.b.mmu.tlb.lookup(1, 0x50000, 0, true)).toBeGreaterThan(0)
    expect(get64(s.b, E1 + 8 * 0x50) & DIRTY).toBe(DIRTY)
  })

  it('PDPTE registers are loaded by plain reads, refused with no linear address', () => {
    const s = guest()
    put64(s.b, E1 + 8 * 7, 0n)
    let thrown: unknown
    try {
      s.b.memory.loadPdptes(0x7000n)
    } catch (stop) {
      thrown = stop
    }
    expect(outcome(s.b, thrown as Fault)).toBe('violation 1 7000 0')
  })
})

// ---- against a second walker, written from the tables of 28.2.2 alone ---------------------------------------
describe('random tables', () => {
  interface Expected {
    answer: number | string
    marked: [number, bigint][]
  }
  function model(b: Bench, root: number, tracked: boolean, modeBased: boolean, address: number, kind: Kind, reference: number, user: boolean): Expected {
    const gpa = BigInt(address)
    const write = kind === 'write' || (tracked && reference === Reference.entry)
    const q = (BigInt(reference === Reference.page && kind !== 'read' ? 0 : 1) | (write ? 2n : 0n) | (kind === 'fetch' ? 4n : 0n) | (reference === Reference.pdpte ? 0n : 0x80n) | (reference === Reference.page ? 0x100n | (user ? 0x200n : 0n) : 0n))
    let at = root
    let and = ~0n
    const path: number[] = []
    for (const [shift, size] of [[39n, 0n], [30n, 30n], [21n, 21n], [12n, 12n]] as const) {
      const entryAt = at + Number((gpa >> shift) & 0x1ffn) * 8
      const e = b.physical.host(entryAt) === 0 ? (1n << 64n) - 1n : get64(b, entryAt)
      if ((e & (modeBased ? 0x407n : 7n)) === 0n) return { answer: `violation ${q.toString(16)}`, marked: [] }
      const leaf = shift === 12n || (size !== 0n && (e & LARGE) !== 0n)
      const reserved = (0x3fn << 46n) | (leaf ? ((1n << shift) - 1n) & ~0xfffn : size === 0n ? 0xf8n : 0x78n)
      const type = (e >> 3n) & 7n
      if ((e & 3n) === 2n || e & reserved || (leaf && [2n, 3n, 7n].includes(type))) return { answer: 'misconfiguration 0', marked: [] }
      and &= e
      path.push(entryAt)
      if (!leaf) {
        at = Number(e & 0x3fff_ffff_f000n)
        continue
      }
      const need = write ? W : kind === 'read' ? R : modeBased && user ? XU : X
      if ((and & need) === 0n) return { answer: `violation ${(q | ((and & 7n) << 3n) | (modeBased && and & XU ? 0x40n : 0n)).toString(16)}`, marked: [] }
      // an entry may be met twice on the way
      const last = path.at(-1)
      const marked = tracked ? path.map((p): [number, bigint] => [p, get64(b, p) | ACCESSED | (write && p === last ? DIRTY : 0n)]) : []
      return { answer: Number((e & 0x3fff_ffff_f000n & ~((1n << shift) - 1n)) | (gpa & ((1n << shift) - 1n))), marked }
    }
    throw new RangeError('unreachable')
  }

  it('20,000 accesses agree with it', () => {
    let seed = 20261120
    const random = (n: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0
      return Math.floor((seed / 2 ** 32) * n)
    }
    const seen = new Map<string, number>()
    for (let round = 0; round < 200; round++) {
      const modeBased = random(2) === 1
      const tracked = random(2) === 1
      const s = stage(tracked ? TRACKED : POINTER, modeBased)
      const entry = (table: number, large: boolean): bigint => {
        let e = BigInt(table) | ALL | (random(4) ? XU : 0n) | (large ? WB | (random(2) ? LARGE : 0n) : 0n)
        if (large && e & LARGE) e &= ~0x3fff_f000n
        if (random(6) === 0) e ^= 1n << BigInt(random(64))
        if (random(6) === 0) e &= ~(1n << BigInt(random(3)))
        return e
      }
      for (let n = 0; n < 4; n++) {
        put64(s.b, E4 + 8 * n, entry(E3, false))
        put64(s.b, E3 + 8 * n, entry(E2, random(4) === 0))
        put64(s.b, E2 + 8 * n, entry(E1, random(4) === 0))
        put64(s.b, E1 + 8 * n, entry(random(1024) * 4096, false) | WB)
      }
      for (let n = 0; n < 100; n++) {
        const address = random(4) * 2 ** 39 + random(4) * 2 ** 30 + random(4) * 2 ** 21 + random(4) * 2 ** 12 + random(4096)
        const kind = (['read', 'write', 'fetch'] as const)[random(3)]!
        const reference = kind === 'fetch' ? Reference.page : random(3)
        const effective = reference === Reference.pdpte ? 'read' : kind
        const user = random(2) === 1
        const expected = model(s.b, E4, tracked, modeBased, address, effective, reference, user)
        const answer = access(s, address, effective, reference, user && reference === Reference.page ? 4 : 0)
        expect([round, n, address, effective, reference, answer]).toEqual([round, n, address, effective, reference, expected.answer])
        for (const [at, value] of expected.marked) expect(get64(s.b, at)).toBe(value)
        const what = typeof answer === 'number' ? 'mapped' : answer.split(' ')[0]!
        seen.set(what, (seen.get(what) ?? 0) + 1)
      }
    }
    expect([...seen.keys()].sort()).toEqual(['mapped', 'misconfiguration', 'violation'])
    for (const count of seen.values()) expect(count).toBeGreaterThan(1000)
  })
})

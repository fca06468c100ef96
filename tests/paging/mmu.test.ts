// The slow path, the software TLB and its flushes, held stores, chips, breakpoints, alignment checks, saved translations.

import { describe, expect, it } from 'vitest'
import { Fault, again } from '../../src-core/cpu/fault.ts'
import { offsets } from '../../src-core/isa/state.ts'
import { Slow } from '../../src-core/paging/mmu.ts'
import { TLB_TABLE } from '../../src-core/paging/tlb.ts'
import { A, CHIP, D, G, NODE1, P, PD, PDPT, PS, PT, U, W, bench, get64, load, long, put64, store, touch, type Bench } from './bench.ts'

const ready = (): Bench => {
  const b = bench()
  long(b)
  b.state.budget = 1000
  return b
}

it('an entry lies where compiled code looks: bits 23:12 of 32 bytes, read tag, write tag, addend', () => {
  const b = ready()
  const linear = 0xffff_8000_0012_3000n
  put64(b, PT + 0x123 * 8, 0x7000n | P | W | D)
  put64(b, 0x1000 + 256 * 8, get64(b, 0x1000))
  load(b, linear + 8n)
  const at = b.mmu.tlb.table(1) + 0x123 * 32
  const v = b.physical.view
  expect(b.mmu.tlb.table(1) - b.mmu.tlb.table(0)).toBe(TLB_TABLE)
  expect([v.getBigUint64(at, true), v.getBigUint64(at + 8, true)]).toEqual([linear, linear])
  expect((v.getUint32(at + 16, true) + 0x00123456) % 2 ** 32).toBe(b.physical.host(0x7456))
  expect(v.getBigUint64(at + 32, true)).toBe(0xffff_ffff_ffff_ffffn)
})

describe('crossing accesses', () => {
  it('gather loads from two pages that need not be neighbours', () => {
    const b = ready()
    put64(b, PT + 16, 0x9000n | P | W)
    put64(b, 0x1ff8, 0x8877665544332211n)
    put64(b, 0x9000, 0xffeeddccbbaa9988n)
    const at = load(b, 0x1ffcn) as number
    expect(at - 4096).toBeGreaterThanOrEqual(offsets.bounce)
    expect(b.physical.view.getBigUint64(at, true)).toBe(0xbbaa998888776655n)
    expect(b.state.budget).toBe(1000)
  })

  it('check both pages before anything is stored; CR2 is the first byte on the faulting page', () => {
    const b = ready()
    put64(b, PT + 16, 0x9000n | P)
    expect(store(b, 0x1ffcn)).toEqual(new Fault(14, 3, 0x2000n))
    expect(b.mmu.deferred).toBe(false)
    put64(b, PT + 8, 0n)
    b.mmu.flushAll()
    expect(store(b, 0x1ffcn)).toEqual(new Fault(14, 2, 0x1ffcn))
  })

  it('hold stores until the instruction is complete, in its order, and cut the slice', () => {
    const b = ready()
    const first = store(b, 0x5ffcn) as number
    const second = store(b, 0x5ffdn, 4) as number
    expect(first).not.toBe(second)
    b.physical.view.setBigUint64(first, 0x0807060504030201n, true)
    b.physical.view.setUint32(second, 0xaabbccdd, true)
    expect(get64(b, 0x5ff8)).toBe(0n)
    expect(b.state.budget).toBe(0)
    b.state.budget -= 1
    b.mmu.commitDeferred()
    expect(b.mmu.endCut()).toBe(true)
    expect(b.state.budget).toBe(999)
    expect(b.memory.readBytes(0x5ffcn, 8)).toEqual(Uint8Array.of(1, 0xdd, 0xcc, 0xbb, 0xaa, 6, 7, 8))
    expect(b.mmu.endCut()).toBe(false)
  })

  it('are forgotten when the instruction faults', () => {
    const b = ready()
    b.physical.view.setBigUint64(store(b, 0x5ffcn) as number, -1n, true)
    b.mmu.discardDeferred()
    b.mmu.commitDeferred()
    expect(get64(b, 0x5ff8)).toBe(0n)
  })

  it('read-modify-write sees the old bytes', () => {
    const b = ready()
    put64(b, 0x5ff8, 0x4433221100000000n)
    const at = touch(b, 0x5ffcn, 8 | Slow.write | Slow.loaded) as number
    expect(b.physical.view.getUint32(at, true)).toBe(0x44332211)
  })
})

describe('assists', () => {
  it('write nothing unless all of the range can be written', () => {
    const b = ready()
    put64(b, PT + 7 * 8, 0x7000n | P)
    for (const write of [
      () => b.memory.writeBytes(0x5fe0n, new Uint8Array(0x1100).fill(9)),
      () => b.memory.write64(0x6ffcn, -1n),
      () => b.memory.write32(0x6ffen, -1),
      () => b.memory.write16(0x6fffn, -1),
    ]) expect(write).toThrow()
    expect([get64(b, 0x5fe0), get64(b, 0x6ff8)]).toEqual([0n, 0n])
    expect(() => b.memory.probe(0x6ff0n, 0x10, true)).not.toThrow()
    expect(() => b.memory.probe(0x6ff0n, 0x11, true)).toThrow()
    expect(() => b.memory.probe(0x6ff0n, 0x11, false)).not.toThrow()
  })
  it('cross pages both ways', () => {
    const b = ready()
    put64(b, PT + 7 * 8, 0x9000n | P | W)
    b.memory.write64(0x6ffdn, 0x8877665544332211n)
    expect([b.memory.read64(0x6ffdn), b.memory.read16(0x6fffn), b.memory.read32(0x6ffen)]).toEqual([0x8877665544332211n, 0x4433, 0x55443322])
    expect(get64(b, 0x9000)).toBe(0x8877665544n)
    b.memory.writeBytes(0x6ff0n, Uint8Array.from({ length: 40 }, (_, n) => n))
    expect(b.memory.readBytes(0x6ff0n, 40)).toEqual(Uint8Array.from({ length: 40 }, (_, n) => n))
  })
})

describe('chips', () => {
  const chips = (): Bench => {
    const b = ready()
    put64(b, PT + 8, BigInt(CHIP) | P | W)
    return b
  }
  it('see the exact size; 8 and 16 bytes as dwords', () => {
    const b = chips()
    for (const size of [1, 2, 4, 8, 16]) load(b, 0x1010n, size)
    expect(b.chip.log).toEqual(['r1@10', 'r2@10', 'r4@10', 'r4@10', 'r4@14', 'r4@10', 'r4@14', 'r4@18', 'r4@1c'])
    expect(b.mmu.tlb.lookup(1, 0x1000, 0, false)).toBe(0)
  })
  it('are written when the instruction is complete, and read first by a read-modify-write only', () => {
    const b = chips()
    b.physical.view.setUint16(store(b, 0x1020n, 2) as number, 0xbeef, true)
    expect(b.chip.log).toEqual([])
    b.mmu.commitDeferred()
    expect(b.chip.log).toEqual(['w2@20=beef'])
    b.mmu.endCut()
    const at = touch(b, 0x1020n, 4 | Slow.write | Slow.loaded) as number
    expect(b.physical.view.getUint32(at, true)).toBe(0x11223344)
    b.mmu.commitDeferred()
    expect(b.chip.log.slice(1)).toEqual(['r4@20', 'w4@20=11223344'])
  })
  it('wait for processors that are behind, without any effect', () => {
    const b = chips()
    b.ahead = true
    expect(b.mmu.slow(0, 0x1000, 0, 4)).toBe(0)
    expect(b.mmu.takePending()).toBe(again)
    expect(b.chip.log).toEqual([])
    expect(() => b.memory.read32(0x1000n)).toThrow()
  })
  it('of the processor itself come first; unclaimed addresses read as ones', () => {
    const b = chips()
    const seen: number[] = []
    b.local.map('apic', CHIP, 4096, { read: (o) => (seen.push(o), 7), write: () => {} })
    expect(b.memory.read32(0x1010n)).toBe(7)
    expect([seen, b.chip.log]).toEqual([[0x10], []])
    put64(b, PT + 16, 0x2000_0000n | P | W)
    expect(b.memory.read64(0x2000n)).toBe(0xffff_ffff_ffff_ffffn)
    b.memory.write64(0x2000n, 1n)
  })
})

describe('flushes (3A 4.10.4)', () => {
  it('INVLPG drops one page, global or not, in all tables', () => {
    const b = ready()
    put64(b, PT + 8, 0x5000n | P | W | U | G)
    load(b, 0x1000n)
    load(b, 0x2000n)
    b.state.cpl = 3
    load(b, 0x1000n)
    put64(b, PT + 8, 0x6000n | P | W | U)
    expect(load(b, 0x1000n)).toBe(b.physical.host(0x5000))
    b.memory.flushPage(0x1fffn)
    expect(load(b, 0x1000n)).toBe(b.physical.host(0x6000))
    b.state.cpl = 0
    expect(load(b, 0x1000n)).toBe(b.physical.host(0x6000))
    expect(b.mmu.tlb.lookup(1, 0x2000, 0, false)).not.toBe(0)
    expect(b.flushes).toEqual(['1fff'])
  })
  it.each([['2 MB', PD, 0x200000n], ['1 GB', PDPT, 0n]])('INVLPG drops all of a %s page by any address in it', (_name, table, frame) => {
    const b = ready()
    put64(b, table, frame | P | W | PS)
    for (const at of [0x1000n, 0x3000n, 0x1ff000n]) load(b, at)
    put64(b, table, table === PD ? BigInt(PT) | P | W : BigInt(PD) | P | W)
    put64(b, PD, BigInt(PT) | P | W)
    b.memory.flushPage(0x10000n)
    for (const at of [0x1000n, 0x3000n, 0x1ff000n]) expect(load(b, at)).toBe(b.physical.host(Number(at)))
  })
  it('clear what was filled, many times over', () => {
    const b = ready()
    for (let round = 0; round < 20; round++) {
      for (let n = 0; n < 512; n++) load(b, BigInt(n * 4096))
      for (let n = 0; n < 512; n++) expect(b.mmu.tlb.lookup(1, n * 4096, 0, false)).not.toBe(0)
      for (let n = 0; n < 512; n += 2) b.memory.flushPage(BigInt(n * 4096))
      for (let n = 0; n < 512; n += 4) load(b, BigInt(n * 4096))
      if (round % 2) b.memory.flushAll()
      else b.memory.flushNonGlobal()
      for (let n = 0; n < 512; n++) expect(b.mmu.tlb.lookup(1, n * 4096, 0, false)).toBe(0)
    }
  })
})

describe('code pages', () => {
  it('lose their write tags on all processors; stores ask, and cut when code was dropped', () => {
    const b = ready()
    store(b, 0x5000n)
    const host = b.physical.host(0x5000)
    b.code.protect(host + 5)
    expect(b.mmu.tlb.lookup(1, 0x5000, 0, true)).toBe(0)
    expect(b.mmu.tlb.lookup(1, 0x5000, 0, false)).toBe(host)
    const asked: number[][] = []
    b.code.written = (at, size) => {
      asked.push([at - host, size])
      if (asked.length > 1) b.code.release(host)
      return asked.length > 1
    }
    expect(store(b, 0x5010n, 4)).toBe(host + 0x10)
    expect(b.state.budget).toBe(1000)
    store(b, 0x5020n, 2)
    expect(b.state.budget).toBe(0)
    b.mmu.endCut()
    store(b, 0x5020n, 2)
    b.memory.write32(0x5030n, 1)
    expect(asked).toEqual([[0x10, 4], [0x20, 2]])
    expect(b.mmu.tlb.lookup(1, 0x5000, 0, true)).toBe(host)
  })
  it('are asked about by held stores and by assists', () => {
    const b = ready()
    const asked: number[] = []
    b.code.written = (at, size) => (asked.push(at, size), false)
    b.code.protect(b.physical.host(0x6000))
    store(b, 0x5ffcn)
    expect(asked).toEqual([])
    b.mmu.commitDeferred()
    b.memory.write16(0x6008n, 1)
    b.memory.writeBytes(0x6010n, new Uint8Array(3))
    expect(asked).toEqual([b.physical.host(0x6000), 4, b.physical.host(0x6008), 2, b.physical.host(0x6010), 3])
  })
})

describe('data breakpoints (3B 17.2)', () => {
  const watching = (dr7: bigint, at: bigint): Bench => {
    const b = ready()
    b.state.dr.set(1, at)
    b.state.dr.set(7, dr7)
    store(b, 0x5000n)
    b.mmu.debugChanged()
    return b
  }
  const write4 = (1n << 2n) | (1n << 20n) | (3n << 22n)
  it('keep the page out of the TLB and record DR6 bits', () => {
    const b = watching(write4, 0x5010n)
    load(b, 0x5010n)
    expect(b.state.pendingDebug).toBe(0)
    store(b, 0x5014n)
    store(b, 0x500fn, 1)
    expect(b.state.pendingDebug).toBe(0)
    store(b, 0x5013n, 1)
    expect(b.state.pendingDebug).toBe(2)
    expect(b.state.budget).toBe(0)
    expect(b.mmu.tlb.lookup(1, 0x5000, 0, false)).toBe(0)
  })
  it('match accesses that begin below or cross pages, reads too when so asked, and assists', () => {
    const b = watching((1n << 3n) | (3n << 20n) | (2n << 22n), 0x5003n)
    load(b, 0x4ffdn, 8)
    expect(b.state.pendingDebug).toBe(2)
    b.state.pendingDebug = 0
    b.memory.read8(0x5007n)
    expect(b.state.pendingDebug).toBe(2)
    b.state.pendingDebug = 0
    b.memory.read8(0x5008n)
    b.memory.read8(0x5000n, 'system')
    expect(b.state.pendingDebug).toBe(0)
  })
  it('an access that faults records nothing', () => {
    const b = watching(write4, 0x5010n)
    put64(b, PT + 5 * 8, 0x5000n | P)
    b.mmu.flushAll()
    expect(store(b, 0x5010n)).toBeInstanceOf(Fault)
    expect(b.state.pendingDebug).toBe(0)
  })
})

describe('alignment', () => {
  it('#AC(0) at CPL 3 with CR0.AM and EFLAGS.AC, by natural alignment (3A table 6-7)', () => {
    const b = ready()
    b.state.cpl = 3
    load(b, 0x5000n)
    b.state.cr0 |= 1n << 18n
    b.state.rflags |= 1n << 18n
    b.mmu.modeChanged()
    expect(b.mmu.tlb.lookup(0, 0x5000, 0, false)).toBe(0)
    for (const [at, size, ok] of [[1, 1, true], [1, 2, false], [2, 4, false], [4, 4, true], [4, 8, false], [8, 10, true], [8, 16, false], [4, 6, true]] as const) {
      const r = load(b, 0x5000n + BigInt(at), size)
      if (ok) expect(r).toBe(b.physical.host(0x5000 + at))
      else expect(r).toEqual(new Fault(17, 0))
    }
    expect(load(b, 0x5ffen, 4)).toEqual(new Fault(17, 0))
    expect(() => b.memory.read32(0x5001n)).toThrow()
    expect(b.memory.read32(0x5001n, 'system')).toBe(0)
    put64(b, PT + 5 * 8, 0n)
    expect(load(b, 0x5001n, 4)).toEqual(new Fault(14, 4, 0x5001n))
    b.state.cpl = 0
    b.mmu.modeChanged()
    expect(load(b, 0x6001n, 4)).toBe(b.physical.host(0x6001))
  })
  it('operands that must be aligned are #GP(0)', () => {
    const b = ready()
    expect(touch(b, 0x5008n, 16 | Slow.aligned)).toEqual(new Fault(13, 0))
    expect(touch(b, 0x5010n, 16 | Slow.aligned)).toBe(b.physical.host(0x5010))
  })
})

describe('costs', () => {
  it('are charged for a translation filled, by node, and not for a write after reads', () => {
    const b = bench({ byNode: [100, 300], reference: 7 })
    long(b)
    b.state.budget = 10_000
    put64(b, PT + 8, BigInt(NODE1) | P | W | A)
    load(b, 0x1000n)
    expect(b.state.budget).toBe(10_000 - 300 - 28)
    store(b, 0x1008n)
    expect(b.state.budget).toBe(10_000 - 300 - 28)
    load(b, 0x3000n)
    expect(b.state.budget).toBe(10_000 - 300 - 28 - 100 - 28)
    expect([...b.mmu.refills]).toEqual([1, 1])
  })
})

it('an access to a chip of the board costs, one to the processor\'s own does not', () => {
  const b = bench({ byNode: [], reference: 0, chip: 500 })
  b.state.budget = 5000
  b.local.map('apic', 0xfee00000, 4096, { read: () => 0, write: () => {} })
  load(b, BigInt(CHIP))
  load(b, 0xfee00020n, 4)
  expect([b.state.budget, b.mmu.chipAccesses]).toEqual([4500, 2])
  store(b, BigInt(CHIP))
  b.mmu.commitDeferred()
  b.mmu.endCut()
  expect(b.state.budget).toBe(4000)
})

it('an access over DRAM and a chip is split between them', () => {
  const b = ready()
  put64(b, PT + 16, BigInt(CHIP) | P | W)
  const at = touch(b, 0x1ffen, 8 | Slow.write | Slow.loaded) as number
  b.physical.view.setBigUint64(at, 0x8877665544332211n, true)
  b.mmu.commitDeferred()
  expect(b.chip.log).toEqual(['r4@0', 'r2@4', 'w4@0=66554433', 'w2@4=8877'])
  expect(b.memory.read16(0x1ffen)).toBe(0x2211)
})

it('assists record breakpoints without touching the slice', () => {
  const b = ready()
  b.state.dr.set(0, 0x5000n)
  b.state.dr.set(7, 1n | (3n << 16n))
  b.mmu.debugChanged()
  b.memory.write8(0x5000n, 1)
  expect([b.state.pendingDebug, b.state.budget, b.mmu.endCut()]).toEqual([1, 1000, false])
})

it('charges go to the processor when it takes them', () => {
  const b = bench({ byNode: [100, 300], reference: 0 })
  let taken = 0
  b.mmu.ports.charge = (cycles) => {
    taken += cycles
  }
  b.memory.read8(0x5000n)
  expect([taken, b.state.budget]).toEqual([100, 0])
})

it('saved translations: a restored unit misses where the saved one would', () => {
  const run = (b: Bench, from: number, to: number): number[] => {
    const out: number[] = []
    let x = 12345
    for (let n = 0; n < to; n++) {
      x = (Math.imul(x, 1103515245) + 12345) >>> 0
      const linear = BigInt((x >>> 8) % 512) * 4096n + (x & 0x1000 ? 0xffff_ff80_0000_0000n : 0n)
      if (n < from) continue
      b.state.cpl = x & 1 ? 3 : 0
      touch(b, linear, 4 | (x & 2 ? Slow.write : 0))
      if (x % 97 === 0) b.memory.flushPage(linear)
      if (x % 499 === 0) b.memory.flushNonGlobal()
      out.push(b.state.budget)
    }
    return out
  }
  const machine = (): Bench => {
    const b = bench({ byNode: [100, 300], reference: 7 })
    long(b)
    for (let n = 0; n < 512; n += 3) put64(b, PT + n * 8, get64(b, PT + n * 8) | G)
    for (let n = 16; n < 512; n++) if (n % 7 === 0) put64(b, PT + n * 8, BigInt(NODE1 + n * 4096) | P | W | U)
    put64(b, PT, P | U)
    for (let n = 1; n < 5; n++) put64(b, PT + n * 8, BigInt(n * 4096) | P | U)
    b.state.budget = 1 << 30
    return b
  }
  const whole = machine()
  const budgets = run(whole, 0, 3000)
  const first = machine()
  run(first, 0, 1500)
  const saved = first.mmu.save()
  const second = machine()
  second.physical.load(0, first.physical.dump(0, 6 << 20))
  second.state.budget = first.state.budget
  expect(second.mmu.restore(saved)).toBe(true)
  expect(run(second, 1500, 3000)).toEqual(budgets.slice(1500))
  expect(second.mmu.restore(saved.subarray(0, 17))).toBe(false)
  const bad = saved.slice()
  bad.fill(0xff)
  expect(second.mmu.restore(bad)).toBe(false)
})

it('a second stage translates table entries and pages, and can stop the walk', () => {
  const b = ready()
  const seen: string[] = []
  const stopped = {}
  b.mmu.walker.stage = {
    stopped,
    writable: false,
    translate: (address, write, fetch, table) => {
      seen.push(`${table ? 't' : 'p'}${write ? 'w' : fetch ? 'x' : 'r'}${address.toString(16)}`)
      return address >= 0x9000 ? -1 : address
    },
  }
  expect(load(b, 0x5008n)).toBe(b.physical.host(0x5008))
  expect(seen).toEqual(['tr1000', 'tr2000', 'tr3000', 'tr4028', 'tw1000', 'tw2000', 'tw3000', 'tw4028', 'pr5008'])
  store(b, 0x5008n)
  expect(b.mmu.tlb.lookup(1, 0x5000, 0, true)).toBe(0)
  expect(b.mmu.slow(0, 0x9000, 0, 8)).toBe(0)
  expect(b.mmu.takePending()).toBe(stopped)
  expect(b.mmu.translateFetch(0x9000, 0)).toBe(-1)
  expect(b.mmu.takePending()).toBe(stopped)
})

// The walker: rights, reserved bits, accessed and dirty bits, all table formats (SDM 3A 4.3–4.8).

import { describe, expect, it } from 'vitest'
import { Fault } from '../../src-core/cpu/fault.ts'
import { A, D, G, NODE1, NX, P, PD, PDPT, PML4, PS, PT, U, W, bench, code, fetchCode, get32, get64, load, long, put32, put64, store } from './bench.ts'

describe('4-level paging', () => {
  // Every combination of rights at the leaf, CPL, CR0.WP, SMEP, SMAP, EFLAGS.AC, NXE (3A 4.6.1), for each kind of access.
  it('grants and denies as 4.6.1 says, with the error code of 4.7', () => {
    let checked = 0
    for (let n = 0; n < 512; n++) {
      const bit = (i: number): boolean => ((n >> i) & 1) === 1
      const [w, u, nx, user, wp, smep, smap, ac, nxe] = [bit(0), bit(1), bit(2), bit(3), bit(4), bit(5), bit(6), bit(7), bit(8)]
      const b = bench()
      long(b)
      put64(b, PT + 8, 0x5000n | P | (w ? W : 0n) | (u ? U : 0n) | (nx ? NX : 0n))
      b.state.cr0 = wp ? 0x80010001n : 0x80000001n
      b.state.cr4 = 0xa0n | (smep ? 1n << 20n : 0n) | (smap ? 1n << 21n : 0n)
      b.state.efer = nxe ? 0xd00n : 0x500n
      b.state.rflags = ac ? 0x40002n : 2n
      b.state.cpl = user ? 3 : 0
      const reserved = nx && !nxe
      const U4 = user ? 4 : 0
      const expected = (kind: 'read' | 'write' | 'fetch'): number | undefined => {
        const bits = 1 | U4 | (kind === 'write' ? 2 : 0) | (kind === 'fetch' && (nxe || smep) ? 16 : 0)
        if (reserved) return bits | 8
        if (user) return !u || (kind === 'write' && !w) || (kind === 'fetch' && nx) ? bits : undefined
        if (kind === 'fetch') return nx || (u && smep) ? bits : undefined
        if (u && smap && !ac) return bits
        return kind === 'write' && !w && wp ? bits : undefined
      }
      expect([n, code(load(b, 0x1000n))]).toEqual([n, expected('read')])
      expect([n, code(store(b, 0x1000n))]).toEqual([n, expected('write')])
      expect([n, fetchCode(b, 0x1000n)]).toEqual([n, expected('fetch')])
      // Implicit supervisor accesses: CPL and EFLAGS.AC do not matter.
      let implicit: number | undefined
      try {
        b.memory.read8(0x1000n, 'system')
      } catch (f) {
        implicit = (f as Fault).errorCode
      }
      expect([n, implicit]).toEqual([n, reserved ? 9 : u && smap ? 1 : undefined])
      checked++
    }
    expect(checked).toBe(512)
  })

  it.each([[PML4, 0], [PDPT, 0], [PD, 0], [PT, 8]])('takes rights from every level: entry at %i', (table, offset) => {
    const b = bench()
    long(b)
    b.state.cpl = 3
    const at = table + offset
    const whole = get64(b, at)
    put64(b, at, whole & ~U)
    expect(code(load(b, 0x1000n))).toBe(5)
    put64(b, at, whole & ~W)
    expect(code(store(b, 0x1000n))).toBe(7)
    put64(b, at, whole | NX)
    expect(fetchCode(b, 0x1000n)).toBe(0x15)
    put64(b, at, whole & ~P)
    expect(code(load(b, 0x1001n))).toBe(4)
    put64(b, at, whole | (1n << 46n))
    b.mmu.flushAll()
    expect(code(load(b, 0x1001n))).toBe(0xd)
    put64(b, at, whole | (0x7ffn << 52n) | 0xe00n)
    expect(load(b, 0x1001n, 1)).toBe(b.physical.host(0x1001))
  })

  it('reserves PS in a PML4E, and the low address bits of large pages (4.5, tables 4-15 to 4-18)', () => {
    const b = bench()
    long(b)
    put64(b, PML4, get64(b, PML4) | PS)
    expect(code(load(b, 0n))).toBe(9)
    put64(b, PML4, get64(b, PML4) & ~PS)
    for (const bit of [13n, 20n]) {
      put64(b, PD, (1n << bit) | P | PS)
      expect(code(load(b, 0n))).toBe(9)
    }
    for (const bit of [13n, 29n]) {
      put64(b, PDPT, (1n << bit) | P | PS)
      expect(code(load(b, 0n))).toBe(9)
    }
    put64(b, PDPT, BigInt(PD) | P | W)
    put64(b, PD, 0x200000n | P | W | PS | (1n << 12n))
    expect(load(b, 0x1234n)).toBe(b.physical.host(0x201234))
    put64(b, PDPT, P | W | PS)
    b.mmu.flushAll()
    expect(load(b, 0x301238n)).toBe(b.physical.host(0x301238))
  })

  it('reaches frames above 4 GiB', () => {
    const b = bench()
    long(b)
    put64(b, PT + 8, BigInt(NODE1 + 0x3000) | P | W)
    expect(load(b, 0x1238n)).toBe(b.physical.host(NODE1 + 0x3238))
    expect(b.mmu.translateFetch(0x1238, 0)).toBe(NODE1 + 0x3238)
  })

  it('sets A in all entries and D in the leaf, by accesses that succeed only (4.8)', () => {
    const b = bench()
    long(b)
    expect(load(b, 0x1000n)).toBeGreaterThan(0)
    for (const at of [PML4, PDPT, PD, PT + 8]) expect(get64(b, at) & (A | D)).toBe(A)
    store(b, 0x1000n)
    expect(get64(b, PT + 8) & (A | D)).toBe(A | D)
    expect(get64(b, PD) & D).toBe(0n)
    put64(b, PT + 16, 0x5000n | P)
    expect(code(store(b, 0x2000n))).toBe(3)
    expect(get64(b, PT + 16)).toBe(0x5000n | P)
    put64(b, PT + 24, 0x5000n | P | W)
    b.mmu.translateFetch(0x3000, 0)
    expect(get64(b, PT + 24) & (A | D)).toBe(A)
  })

  it('a clean page takes no write tag, a dirty one does', () => {
    const b = bench()
    long(b)
    load(b, 0x1000n)
    expect(b.mmu.tlb.lookup(1, 0x1000, 0, false)).toBe(b.physical.host(0x1000))
    expect(b.mmu.tlb.lookup(1, 0x1000, 0, true)).toBe(0)
    store(b, 0x1000n)
    expect(b.mmu.tlb.lookup(1, 0x1000, 0, true)).toBe(b.physical.host(0x1000))
    put64(b, PT + 16, 0x5000n | P | U | D)
    load(b, 0x2000n)
    expect(b.mmu.tlb.lookup(1, 0x2000, 0, true)).toBe(0)
  })

  it('non-canonical addresses are #GP(0), on the stack #SS(0), fetches #GP(0) (SDM 1 3.3.7.1)', () => {
    const b = bench()
    long(b)
    for (const linear of [0x8000_0000_0000n, 0xffff_7fff_ffff_fff8n]) {
      expect(load(b, linear)).toEqual(new Fault(13, 0))
      expect(b.mmu.slow(0, Number(linear & 0xffffffffn) | 0, Number(linear >> 32n) | 0, 8 | 512)).toBe(0)
      expect(b.mmu.takePending()).toEqual(new Fault(12, 0))
      expect(b.mmu.translateFetch(Number(linear & 0xffffffffn) | 0, Number(linear >> 32n) | 0)).toBe(-1)
      expect(b.mmu.takePending()).toEqual(new Fault(13, 0))
    }
    expect(load(b, 0x7fff_ffff_fffcn)).toEqual(new Fault(13, 0))
  })

  it('tables outside DRAM read as all ones', () => {
    const b = bench()
    long(b)
    b.state.cr3 = 0x2000_0000n
    expect(code(load(b, 0n))).toBe(9)
  })
})

describe('PAE paging (4.4)', () => {
  const pae = () => {
    const b = bench()
    b.state.cr0 = 0x80010001n
    b.state.cr4 = 0x20n
    b.state.efer = 0x800n
    b.state.cr3 = 0x1020n
    put64(b, 0x1020, BigInt(PD) | P)
    put64(b, PD, BigInt(PT) | P | W | U)
    put64(b, PT + 8, 0x5000n | P | W | U)
    return b
  }
  it('keeps the PDPTEs in registers from the load on', () => {
    const b = pae()
    expect(b.memory.loadPdptes(0x1020n)).toBe(true)
    put64(b, 0x1020, 0n)
    expect(load(b, 0x1008n)).toBe(b.physical.host(0x5008))
    expect(code(load(b, 0x4000_0000n))).toBe(0)
  })
  it.each([1, 2, 5, 8, 46, 63])('a present PDPTE with reserved bit %i is refused, and nothing is loaded (4.4.1)', (bit) => {
    const b = pae()
    b.memory.loadPdptes(0x1020n)
    put64(b, 0x1028, P | (1n << BigInt(bit)))
    put64(b, 0x1020, 0x7000n | P)
    expect(b.memory.loadPdptes(0x1020n)).toBe(false)
    expect(b.state.pdpte.get(0)).toBe(BigInt(PD) | P)
    put64(b, 0x1028, 1n << BigInt(bit))
    expect(b.memory.loadPdptes(0x1020n)).toBe(true)
  })
  it.each([46, 52, 62])('reserves bit %i of entries (table 4-10, 4-11)', (bit) => {
    const b = pae()
    b.memory.loadPdptes(0x1020n)
    put64(b, PT + 8, 0x5000n | P | (1n << BigInt(bit)))
    expect(code(load(b, 0x1000n))).toBe(9)
  })
  it('maps 2 MB pages, reserving bits 20:13, and honours XD only with NXE', () => {
    const b = pae()
    b.memory.loadPdptes(0x1020n)
    put64(b, PD, 0x200000n | P | PS | NX)
    expect(load(b, 0x11238n)).toBe(b.physical.host(0x211238))
    expect(fetchCode(b, 0x11238n)).toBe(0x11)
    b.state.efer = 0n
    b.mmu.flushAll()
    expect(code(load(b, 0x11238n))).toBe(9)
    put64(b, PD, 0x202000n | P | PS)
    expect(code(load(b, 0x11238n))).toBe(9)
  })
})

describe('32-bit paging (4.3)', () => {
  const legacy = () => {
    const b = bench()
    b.state.cr0 = 0x80010001n
    b.state.cr4 = 0x10n
    b.state.cr3 = 0x1000n
    put32(b, 0x1000, 0x2007)
    put32(b, 0x2004, 0x5007)
    return b
  }
  it('walks two levels and marks them', () => {
    const b = legacy()
    expect(store(b, 0x1234n, 4)).toBe(b.physical.host(0x5234))
    expect([get32(b, 0x1000), get32(b, 0x2004)]).toEqual([0x2027, 0x5067])
    expect(code(load(b, 0x2000n))).toBe(0)
    expect(code(load(b, 0x400000n))).toBe(0)
  })
  it('maps 4 MB pages with bits 39:32 from 20:13, bit 21 reserved; without CR4.PSE bit 7 is ignored', () => {
    const b = legacy()
    put32(b, 0x1004, 0x83 | (1 << 13))
    expect(load(b, 0x400000n + 0x1238n)).toBe(b.physical.host(NODE1 + 0x1238))
    put32(b, 0x1004, 0x83 | (1 << 21))
    b.mmu.flushAll()
    expect(code(load(b, 0x401238n))).toBe(9)
    b.state.cr4 = 0n
    put32(b, 0x1004, 0x2087)
    expect(load(b, 0x401234n, 4)).toBe(b.physical.host(0x5234))
  })
  it('no I bit without NX or SMEP; linear addresses wrap at 4 GiB', () => {
    const b = legacy()
    b.state.cpl = 3
    expect(fetchCode(b, 0x3000n)).toBe(4)
    put32(b, 0x1000 + 0x3ff * 4, 0x3007)
    put32(b, 0x3000 + 0x3ff * 4, 0x6007)
    put32(b, 0x2000, 0x7007)
    put32(b, 0x6ffc, 0xddccbbaa)
    put32(b, 0x7000, 0x44332211)
    expect(b.memory.read32(0xffff_fffen)).toBe(0x2211ddcc)
    expect(b.memory.readBytes(0xffff_fffcn, 8)).toEqual(Uint8Array.of(0xaa, 0xbb, 0xcc, 0xdd, 0x11, 0x22, 0x33, 0x44))
  })
})

it('paging off: linear is physical', () => {
  const b = bench()
  expect(load(b, 0x12345n)).toBe(b.physical.host(0x12345))
  expect(b.mmu.translateFetch(0x12345, 0)).toBe(0x12345)
})

it('global translations need CR4.PGE (4.10.2.4)', () => {
  const b = bench()
  long(b)
  put64(b, PT + 8, 0x5000n | P | W | G)
  load(b, 0x1000n)
  load(b, 0x2000n)
  b.mmu.flushNonGlobal()
  expect(b.mmu.tlb.lookup(1, 0x1000, 0, false)).not.toBe(0)
  expect(b.mmu.tlb.lookup(1, 0x2000, 0, false)).toBe(0)
  b.mmu.flushAll()
  b.state.cr4 = 0x20n
  load(b, 0x1000n)
  b.mmu.flushNonGlobal()
  expect(b.mmu.tlb.lookup(1, 0x1000, 0, false)).toBe(0)
})

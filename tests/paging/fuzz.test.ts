// Random tables in every format, random accesses: nothing but faults, and nothing outside DRAM or the bounce slots.

import { expect, it } from 'vitest'
import { Again, Fault } from '../../src-core/cpu/fault.ts'
import { offsets } from '../../src-core/isa/state.ts'
import { MB, bench, put64 } from './bench.ts'

it.each([1, 2, 3, 4, 5, 6, 7, 8])('seed %i', (seed) => {
  let x = seed
  const next = (): number => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return x >>> 0
  }
  const hex = (): bigint => (BigInt(next()) << 32n) | BigInt(next())
  const b = bench()
  const dram = MB * 2
  const end = dram + b.physical.size
  const outside = b.physical.bytes.slice(end)
  const modes = [
    { cr0: 0x11n, cr4: 0n, efer: 0n }, { cr0: 0x80000011n, cr4: 0x10n, efer: 0n }, { cr0: 0x80010011n, cr4: 0x20n, efer: 0x800n },
    { cr0: 0x80050011n, cr4: 0x3000a0n, efer: 0xd00n }, { cr0: 0x80010011n, cr4: 0xa0n, efer: 0x500n },
  ]
  let faults = 0
  let fine = 0
  for (let n = 0; n < 6000; n++) {
    if (n % 100 === 0) {
      const m = modes[next() % modes.length]!
      b.state.cr0 = m.cr0
      b.state.cr4 = m.cr4
      b.state.efer = m.efer
      b.state.linearMask = m.efer & 0x400n ? -1n & 0xffff_ffff_ffff_ffffn : 0xffffffffn
      b.state.cr3 = next() & 1 ? hex() & 0xffff_ffff_ffff_f000n : BigInt(next() % 16) * 4096n
      b.memory.loadPdptes(b.state.cr3)
      for (let i = 0; i < 8192; i++) {
        const frame = next() % 4 ? BigInt(next() % 64) * 4096n : hex() & 0x7fff_ffff_f000n
        put64(b, i * 8, (next() % 8 ? 0n : hex()) | frame | BigInt(next() & (next() % 4 ? 0x1e7 : 0xfff)) | (next() % 8 ? 1n : 0n))
      }
      for (let i = 0; i < 4; i++) b.state.dr.set(i, BigInt(next() % 0x40000))
      b.state.dr.set(7, next() % 3 ? 0x400n : BigInt(next()))
      b.mmu.debugChanged()
      b.mmu.flushAll()
    }
    b.state.cpl = next() & 1 ? 3 : 0
    b.state.rflags = next() & 1 ? 0x40002n : 2n
    b.mmu.modeChanged()
    const linear = (next() % 4 ? BigInt(next() % (1 << 22)) : hex()) & b.state.linearMask
    const low = Number(linear & 0xffffffffn) | 0
    const high = Number(linear >> 32n) | 0
    const size = 1 + (next() % 16)
    const host = b.mmu.slow(0, low, high, size | ((next() & 15) << 8))
    if (host === 0) {
      expect(b.mmu.takePending()).toBeInstanceOf(Fault)
      faults++
    } else {
      const bounce = 4096 + offsets.bounce
      expect((host >= dram && host + size <= end) || (host >= bounce && host + size <= bounce + 64)).toBe(true)
      fine++
    }
    if (next() & 1) b.mmu.commitDeferred()
    else b.mmu.discardDeferred()
    b.mmu.endCut()
    if (b.mmu.translateFetch(low, high) < 0) expect(b.mmu.takePending()).toBeInstanceOf(Fault)
    try {
      if (next() & 1) b.memory.writeBytes(linear, new Uint8Array(next() % 600), next() & 1 ? 'system' : 'data')
      else b.memory.readBytes(linear, next() % 600)
      b.memory.flushPage(linear)
    } catch (reason) {
      expect(reason instanceof Fault || reason instanceof Again).toBe(true)
    }
    b.mmu.endCut()
  }
  expect(faults).toBeGreaterThan(500)
  expect(fine).toBeGreaterThan(300)
  expect(b.physical.bytes.subarray(end)).toEqual(outside)
})

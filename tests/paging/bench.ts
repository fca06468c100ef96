// A memory unit on a bench: DRAM in two nodes with a hole, one processor block, and page tables written entry by entry.

import { Fault, again } from '../../src-core/cpu/fault.ts'
import { FIELDS_SIZE, offsets, processorState, type ProcessorState } from '../../src-core/isa/state.ts'
import { PhysicalMemory } from '../../src-core/memory/physical.ts'
import { Bus } from '../../src-core/memory/bus.ts'
import { LinearAccess } from '../../src-core/paging/access.ts'
import { CodePages } from '../../src-core/paging/code-pages.ts'
import { Mmu, Slow, type RefillCosts } from '../../src-core/paging/mmu.ts'
import { TLB_SIZE } from '../../src-core/paging/tlb.ts'

export const MB = 1 << 20
export const P = 1n
export const W = 2n
export const U = 4n
export const A = 0x20n
export const D = 0x40n
export const PS = 0x80n
export const G = 0x100n
export const NX = 1n << 63n

export const NODE1 = 0x1_0000_0000
/** Where the bench maps its chip: registers of 4 KiB that log what reaches them. */
export const CHIP = 0xfe000000

export interface Bench {
  physical: PhysicalMemory
  state: ProcessorState
  mmu: Mmu
  memory: LinearAccess
  code: CodePages
  local: Bus
  chip: { log: string[]; value: number }
  /** What synchronize does. */
  ahead: boolean
  flushes: string[]
}

export function bench(costs?: RefillCosts): Bench {
  const memory = new WebAssembly.Memory({ initial: 160, maximum: 160, shared: true })
  const dramBase = MB * 2
  const physical = new PhysicalMemory(memory, dramBase, [
    { start: 0, length: 6 * MB, node: 0 },
    { start: NODE1, length: 2 * MB, node: 1 },
  ])
  const base = 4096
  const state = processorState(memory, base)
  state.rflags = 2n
  state.linearMask = 0xffffffffn
  const code = new CodePages(memory.buffer.byteLength)
  const local = new Bus('local')
  const chip = { log: [] as string[], value: 0x11223344 }
  physical.mmio.map('chip', CHIP, 4096, {
    read: (offset, size) => (chip.log.push(`r${size}@${offset.toString(16)}`), (chip.value & (2 ** (size * 8) - 1)) >>> 0),
    write: (offset, size, value) => void chip.log.push(`w${size}@${offset.toString(16)}=${value.toString(16)}`),
  })
  const self = { physical, state, code, local, chip, ahead: false, flushes: [] as string[] } as Bench
  self.mmu = new Mmu({
    physical, base, offsets, tlb: 65536, code, local,
    ...(costs ? { costs } : {}),
    ports: {
      fault: (vector, errorCode, address) => new Fault(vector, errorCode, address),
      synchronize: () => {
        if (self.ahead) throw again
      },
      flushed: (all, low) => void self.flushes.push(all ? 'all' : (low >>> 0).toString(16)),
    },
  })
  if (base + FIELDS_SIZE > 65536 || 65536 + TLB_SIZE > dramBase) throw new RangeError('bench layout')
  self.memory = new LinearAccess(self.mmu)
  return self
}

export const put64 = (b: Bench, at: number, value: bigint): void => b.physical.view.setBigUint64(b.physical.host(at), BigInt.asUintN(64, value), true)
export const get64 = (b: Bench, at: number): bigint => b.physical.view.getBigUint64(b.physical.host(at), true)
export const put32 = (b: Bench, at: number, value: number): void => b.physical.view.setUint32(b.physical.host(at), value, true)
export const get32 = (b: Bench, at: number): number => b.physical.view.getUint32(b.physical.host(at), true)

// Table pages of the 4-level bench: 1000H PML4, 2000H PDPT, 3000H PD, 4000H PT; linear 0…1FFFFFH and the same at the top half.
export const PML4 = 0x1000
export const PDPT = 0x2000
export const PD = 0x3000
export const PT = 0x4000

/** 4-level paging on, with CR0.WP, EFER.NXE and CR4.PGE; everything user, writable, frame = linear. */
export function long(b: Bench): void {
  b.state.cr0 = 0x80010001n
  b.state.cr4 = 0xa0n
  b.state.efer = 0xd00n
  b.state.cr3 = BigInt(PML4)
  b.state.linearMask = 0xffff_ffff_ffff_ffffn
  put64(b, PML4, BigInt(PDPT) | P | W | U)
  put64(b, PML4 + 0x1ff * 8, BigInt(PDPT) | P | W | U)
  put64(b, PDPT, BigInt(PD) | P | W | U)
  put64(b, PD, BigInt(PT) | P | W | U)
  for (let n = 0; n < 512; n++) put64(b, PT + n * 8, BigInt(n * 4096) | P | W | U)
}

/** One access by the slow path. The host address, or the fault. */
export function touch(b: Bench, linear: bigint, info: number): number | Fault {
  const host = b.mmu.slow(0, Number(linear & 0xffffffffn) | 0, Number((linear >> 32n) & 0xffffffffn) | 0, info)
  if (host !== 0) return host
  return b.mmu.takePending() as Fault
}

export const load = (b: Bench, linear: bigint, size = 8): number | Fault => touch(b, linear, size)
export const store = (b: Bench, linear: bigint, size = 8): number | Fault => touch(b, linear, size | Slow.write)
export const code = (f: number | Fault): number | undefined => (f instanceof Fault ? f.errorCode : undefined)
export const fetchCode = (b: Bench, linear: bigint): number | undefined => {
  const at = b.mmu.translateFetch(Number(linear & 0xffffffffn) | 0, Number((linear >> 32n) & 0xffffffffn) | 0)
  return at >= 0 ? undefined : (b.mmu.takePending() as Fault).errorCode
}

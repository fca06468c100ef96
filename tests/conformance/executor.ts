// Our processor as an oracle executor: one user-mode 64-bit instruction in the memory layout the hardware recordings had.

import { Cr0, Cr4, CS, Efer, FS, GS, Rights, SS } from '../../src-core/arch/registers.ts'
import { resolveBoard } from '../../src-core/board/config.ts'
import { Machine } from '../../src-core/board/machine.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import type { Core } from '../../src-core/cpu/run.ts'
import type { Executor } from './oracle/compare.ts'
import { difference, memoryBefore } from './oracle/hardware.ts'
import { layout, startOf, type Case, type Outcome, type State } from './oracle/machine.ts'

const TABLES = 0x100000
const DATA = 0x200000
const CODE = 0x202000
const REPEAT_LIMIT = 10_000

const PRESENT_USER = 7n
const NO_EXECUTE = 1n << 63n

/** 4-level tables that map the two data pages and the code page at their linear addresses, and nothing else. */
function mapPages(m: Machine): void {
  const entry = (address: number, value: bigint): void => {
    const data = new Uint8Array(8)
    new DataView(data.buffer).setBigUint64(0, value, true)
    m.physical.load(address, data)
  }
  let next = TABLES + 0x1000
  const tables = new Map<string, number>()
  const map = (linear: number, physical: number, flags: bigint): void => {
    let table = TABLES
    for (const shift of [39, 30, 21]) {
      const index = Math.floor(linear / 2 ** shift) & 511
      const key = `${table}.${index}`
      let child = tables.get(key)
      if (child === undefined) {
        child = next
        next += 0x1000
        tables.set(key, child)
        entry(table + 8 * index, BigInt(child) | PRESENT_USER)
      }
      table = child
    }
    entry(table + 8 * ((linear >>> 12) & 511), BigInt(physical) | PRESENT_USER | flags)
  }
  map(layout.data, DATA, NO_EXECUTE)
  map(layout.data + 0x1000, DATA + 0x1000, NO_EXECUTE)
  map(layout.code, CODE, 0n)
}

export class OurProcessor implements Executor {
  private readonly machine: Machine
  private readonly core: Core
  private raised: { vector: number; errorCode: number; address: bigint } | undefined

  constructor() {
    this.machine = new Machine({ config: resolveBoard(PRESETS.get('uma-1n')!, { megabytes: 64, processors: 1 }), costs: false })
    this.core = this.machine.cores[0]!
    mapPages(this.machine)
    this.core.intercepts = {
      taken: (point, ...args) => {
        if (point !== 'exception') return false
        const [vector, errorCode, address] = args as [number, number | undefined, bigint | undefined]
        this.raised = { vector, errorCode: errorCode ?? 0, address: address ?? 0n }
        return true
      },
    }
  }

  run(c: Case): Outcome {
    const { machine, core } = this
    const before = memoryBefore(c)
    machine.physical.load(DATA, before)
    machine.physical.load(CODE + 0x1000 - c.bytes.length, c.bytes)
    core.code.flush()
    this.load(c)
    this.raised = undefined
    const start = startOf(c)
    let n = 0
    do core.run(core.time + 1)
    while (!this.raised && c.repeat && core.state.rip === start && ++n < REPEAT_LIMIT)
    const after = machine.physical.dump(DATA, layout.dataSize)
    const raised = this.raised as { vector: number; errorCode: number; address: bigint } | undefined
    return {
      state: this.state(),
      changes: difference(before, after),
      vector: raised?.vector ?? null,
      errorCode: raised?.errorCode ?? 0,
      cr2: raised?.vector === 14 ? raised.address : 0n,
    }
  }

  private load(c: Case): void {
    const { core } = this
    const s = core.state
    const from = c.state
    core.reset(true)
    s.cr0 = Cr0.PE | Cr0.PG | Cr0.WP | Cr0.AM | Cr0.NE | Cr0.MP | Cr0.ET
    s.cr3 = BigInt(TABLES)
    s.cr4 = Cr4.PAE | Cr4.OSFXSR | Cr4.OSXMMEXCPT | Cr4.FSGSBASE | Cr4.PGE
    s.efer = Efer.LME | Efer.LMA | Efer.NXE | Efer.SCE
    const user = 3 << Rights.dplShift
    for (let i = 0; i < 6; i++) {
      s.segSelector.set(i, i === CS ? 0x33 : i === SS ? 0x2b : 0)
      s.segBase.set(i, i === FS ? from.fsBase : i === GS ? from.gsBase : 0n)
      s.segLimit.set(i, 0xffffffff)
      const kind = i === CS ? 0xb | Rights.L : 3 | Rights.DB
      s.segRights.set(i, kind | Rights.S | Rights.P | Rights.G | user | (i === CS || i === SS ? 0 : Rights.unusable))
    }
    for (let i = 0; i < 16; i++) s.gpr.set(i, from.gpr[i]!)
    s.rip = startOf(c)
    s.xmm.set(from.xmm)
    s.mxcsr = from.mxcsr
    s.fcw = from.fcw
    s.fsw = from.fsw
    s.ftw = from.ftw
    const top = (from.fsw >> 11) & 7
    s.fpr.fill(0)
    for (let i = 0; i < 8; i++) s.fpr.set(from.st.subarray(10 * i, 10 * i + 10), 16 * ((top + i) & 7))
    core.modeChanged()
    core.setRflags(BigInt(from.rflags) | 2n)
    core.modeChanged()
    core.mmu.flushAll()
  }

  private state(): State {
    const { core } = this
    const s = core.state
    const top = (s.fsw >> 11) & 7
    const st = new Uint8Array(80)
    for (let i = 0; i < 8; i++) st.set(s.fpr.subarray(16 * ((top + i) & 7), 16 * ((top + i) & 7) + 10), 10 * i)
    return {
      gpr: BigUint64Array.from({ length: 16 }, (_, i) => s.gpr.get(i)),
      rip: s.rip,
      rflags: Number(core.rflags() & 0xffff_ffffn),
      fsBase: s.segBase.get(FS),
      gsBase: s.segBase.get(GS),
      mxcsr: s.mxcsr,
      fcw: s.fcw,
      fsw: s.fsw,
      ftw: s.ftw & 0xff,
      st,
      xmm: s.xmm.slice(),
    }
  }
}

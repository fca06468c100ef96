// Random instructions of all families here, in random states and modes: nothing but faults, retries and ends comes out.

import { expect, it } from 'vitest'
import { cacheAssists } from '../../src-core/cpu/cache.ts'
import { controlRegisterAssists } from '../../src-core/cpu/control-register.ts'
import { cpuidAssists } from '../../src-core/cpu/cpuid.ts'
import { debugRegisterAssists } from '../../src-core/cpu/debug-register.ts'
import { descriptorStoreAssists } from '../../src-core/cpu/descriptor-store.ts'
import { fsgsbaseAssists } from '../../src-core/cpu/fsgsbase.ts'
import { haltAssists } from '../../src-core/cpu/halt.ts'
import { inputOutputAssists } from '../../src-core/cpu/input-output.ts'
import { interruptFlagAssists } from '../../src-core/cpu/interrupt-flag.ts'
import { deriveMode } from '../../src-core/cpu/mode.ts'
import { msrAssists } from '../../src-core/cpu/msr.ts'
import { timeStampAssists } from '../../src-core/cpu/time-stamp.ts'
import { put64 } from '../paging/bench.ts'
import { instruction, outcome, processor } from './processor.ts'

const assists = {
  ...cacheAssists, ...controlRegisterAssists, ...cpuidAssists, ...debugRegisterAssists, ...descriptorStoreAssists, ...fsgsbaseAssists,
  ...haltAssists, ...interruptFlagAssists, ...msrAssists, ...timeStampAssists, ...inputOutputAssists,
}
const names = Object.keys(assists) as (keyof typeof assists)[]
const msrs = [0x10, 0x1b, 0x3a, 0x3b, 0x174, 0x175, 0x1a0, 0x200, 0x201, 0x250, 0x277, 0x2ff, 0x400, 0x401, 0x6e0, 0x802, ...[0x80, 0x81, 0x82, 0x84, 0x100, 0x101, 0x102, 0x103].map((n) => 0xc0000000 + n)]

it.each([11, 22, 33, 44, 55, 66])('seed %i', (seed) => {
  let x = seed
  const next = (): number => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return x >>> 0
  }
  const wide = (): bigint => {
    const v = (BigInt(next()) << 32n) | BigInt(next())
    return next() % 3 === 0 ? v : next() % 2 ? v & 0xffffn : BigInt.asUintN(64, BigInt.asIntN(48, v))
  }
  const counts = new Map<string, number>()
  for (let round = 0; round < 60; round++) {
    const cpu = processor(([16, 32, 64] as const)[next() % 3]!, next() % 2 ? 3 : 0)
    for (let n = 0; n < 2048; n++) put64(cpu.bench, 0x1000 + n * 8, (wide() & 0x3fffff000n) | BigInt(next() & 0x67))
    const outside = cpu.physical.dramBase + cpu.physical.size
    const tail = cpu.physical.bytes.slice(outside)
    for (let n = 0; n < 120; n++) {
      const s = cpu.state
      for (let r = 0; r < 16; r++) s.gpr.set(r, wide())
      if (next() % 3 === 0) s.gpr.set(1, BigInt(msrs[next() % msrs.length]!))
      if (next() % 8 === 0) {
        s.segBase.set(next() % 8, wide())
        s.segLimit.set(next() % 8, next())
        s.cr3 = BigInt(next() % 8) << 12n
        cpu.setRflags(wide() & 0x3f7fd7n & ~(next() % 4 ? 1n << 17n : 0n))
        deriveMode(s)
        cpu.memory.flushAll()
      }
      cpu.bench.ahead = next() % 16 === 0
      const name = names[next() % names.length]!
      const insn = instruction(cpu, {
        operands: [wide(), wide()], at: wide(), reg: next() % 10, rm: next() % 16, segment: next() % 6, memory: next() % 2 === 0,
        operandSize: ([16, 32, 64] as const)[next() % 3]!, addressSize: ([16, 32, 64] as const)[next() % 3]!, rep: next() % 2 ? 'rep' : '', size: [8, 16, 32][next() % 3]!,
      })
      const r = outcome(() => assists[name](cpu, insn, [8, 16, 32][next() % 3]!))
      counts.set(r.replace(/\(.*/, ''), (counts.get(r.replace(/\(.*/, '')) ?? 0) + 1)
      cpu.bench.mmu.endCut()
      if (!/^(done|Again|#(1|6|12|13|14|17)(\(\d+\))?)$/.test(r)) expect([name, r]).toEqual([name, 'a fault'])
    }
    expect(cpu.physical.bytes.subarray(outside)).toEqual(tail)
  }
  for (const kind of ['done', 'Again', '#6', '#13', '#14']) expect([kind, (counts.get(kind) ?? 0) > 5]).toEqual([kind, true])
})

// A processor for tests of assists: real state, memory unit and bus; time and APIC are plain values. Instructions are made by hand.

import { Rflags } from '../../src-core/arch/registers.ts'
import { again } from '../../src-core/cpu/fault.ts'
import { readRflags, writeRflags } from '../../src-core/cpu/flags.ts'
import type { Instruction } from '../../src-core/cpu/instruction.ts'
import type { Intercepts } from '../../src-core/cpu/intercepts.ts'
import { deriveMode, deriveSegment, isMode64, isRealMode, isVirtual8086 } from '../../src-core/cpu/mode.ts'
import type { Processor } from '../../src-core/cpu/processor.ts'
import { Bus } from '../../src-core/memory/bus.ts'
import { bench, type Bench } from '../paging/bench.ts'

export interface TestProcessor extends Processor {
  bench: Bench
  log: string[]
  time: number
  charged: number
  missing: string[]
  taskPriority: number
  apicMsr: Map<number, bigint>
  readonly io: Bus
}

/** Flat: `mode` 16 real, 32 protected, 64 long mode with paging off in the tables' sense of bench.ts (call `long` for paging). */
export function processor(mode: 16 | 32 | 64 = 32, cpl = 0): TestProcessor {
  const b = bench()
  const s = b.state
  const cpu = {
    bench: b, log: [], time: 1000, charged: 0, missing: [], taskPriority: 3, apicMsr: new Map([[0x1b, 0xfee00900n]]),
    index: 0, apicId: 5, state: s, physical: b.physical, memory: b.memory, io: new Bus('io'),
    signals: { nmi: false, init: false, sipi: -1, smi: false },
    intercepts: undefined, nextRip: 0x102n,
    apic: {
      pendingVector: () => -1,
      acknowledge: () => -1,
      readTaskPriority: () => cpu.taskPriority,
      writeTaskPriority: (v: number) => void (cpu.taskPriority = v),
      readMsr: (i: number) => cpu.apicMsr.get(i),
      writeMsr: (i: number, v: bigint) => cpu.apicMsr.has(i) && !!cpu.apicMsr.set(i, v),
    },
    board: {
      processors: 8, coreBits: 2, threadBits: 0, frequency: 2_200_000_000, crystal: 25_000_000, costs: { pause: 140, rdtsc: 25, cpuid: 100, port: 2000, msr: 100 },
      tripleFault: () => {},
      unimplemented: (what: string) => void cpu.missing.push(what),
    },
    now: () => cpu.time,
    charge: (n: number) => void (cpu.charged += n),
    synchronize: () => {
      if (b.ahead) throw again
    },
    rflags: () => readRflags(s),
    setRflags: (v: bigint) => {
      const changed = (v ^ s.rflags) & (Rflags.VM | Rflags.AC)
      writeRflags(s, v)
      if (changed) cpu.modeChanged()
    },
    modeChanged: () => {
      deriveMode(s)
      b.mmu.modeChanged()
      cpu.log.push('mode')
    },
    segmentChanged: (n: number) => {
      deriveSegment(s, n)
      cpu.log.push(`segment ${n}`)
    },
    get mode64() {
      return isMode64(s)
    },
    get realMode() {
      return isRealMode(s)
    },
    get virtual8086() {
      return isVirtual8086(s)
    },
  } as unknown as TestProcessor
  s.cr0 = mode === 16 ? 0x10n : 0x11n
  if (mode === 64) {
    s.cr0 = 0x80000011n
    s.cr4 = 0x20n
    s.efer = 0x500n
  }
  s.xcr0 = 1n
  s.dr.set(6, 0xffff0ff0n)
  s.dr.set(7, 0x400n)
  for (let n = 0; n < 6; n++) {
    s.segLimit.set(n, mode === 16 ? 0xffff : 0xffffffff)
    s.segRights.set(n, n === 1 ? 0x9b | (mode === 64 ? 0x2000 : mode === 32 ? 0x4000 : 0) | (cpl << 5) : 0x93 | (mode === 16 ? 0 : 0x4000) | (cpl << 5))
  }
  s.segRights.set(7, 0x8b)
  s.segLimit.set(7, 0x67)
  cpu.setRflags(Rflags.fixed)
  deriveMode(s)
  s.gpr.set(4, 0x8000n)
  return cpu
}

export interface Made extends Instruction {
  /** What was written to each operand. */
  written: Map<number, bigint>
}

/** An instruction with the given operand values. `at`: offset of its memory operand. */
export function instruction(cpu: Processor, over: Partial<Instruction> & { operands?: bigint[]; at?: bigint; row?: string; size?: number } = {}): Made {
  const { operands = [], at = 0n, row = '', size = 32, ...rest } = over
  const written = new Map<number, bigint>()
  return {
    form: { size, row: { operands: row } } as Instruction['form'],
    rip: 0x100n, nextRip: 0x102n, length: 2,
    operandSize: 32, addressSize: cpu.mode64 ? 64 : 32, rexW: false, rep: '', immediate: 0n, reg: 0, rm: 0, memory: false, segment: 3, base: undefined, index: undefined, scale: 0, displacement: 0,
    offset: () => at,
    linear: (_length, _write, displacement = 0) => at + BigInt(displacement),
    operand: (i) => operands[i]!,
    setOperand: (i, v) => void written.set(i, v),
    ...rest,
    written,
  }
}

/** An intercepts port that takes the named points. */
export const taking = (...points: string[]): Intercepts & { seen: unknown[][] } => {
  const seen: unknown[][] = []
  return {
    seen,
    taken: (point, ...args) => {
      seen.push([point, ...args])
      return points.includes(point)
    },
  }
}

/** Runs; answers the fault's vector and error code, 'again', 'intercepted', or 'done'. */
export function outcome(run: () => void): string {
  try {
    run()
  } catch (f) {
    const x = f as { vector?: number; errorCode?: number; constructor: { name: string } }
    return x.vector === undefined ? x.constructor.name : x.errorCode === undefined ? `#${x.vector}` : `#${x.vector}(${x.errorCode})`
  }
  return 'done'
}

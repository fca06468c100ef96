// CPUID (SDM 2A CPUID): leaves 0…16H and 80000000H…80000008H of a server part, with only what this processor does.
// Topology comes from the board; the caches of leaf 4 are what such a part shows, nothing is simulated from them.

import { ARCH_CAPABILITIES_BIT, SIGNATURE, VENDOR, caches, featureBits, systemBits, type CpuidWord } from '../arch/cpuid.ts'
import { MiscEnable } from '../arch/msr.ts'
import { Cr4, MAXPHYADDR } from '../arch/registers.ts'
import type { Assists } from '../isa/assists.ts'
import type { Feature } from '../isa/row.ts'
import type { Instruction } from './instruction.ts'
import { modelRegisters } from './model-registers.ts'
import { intercept } from './privilege.ts'
import type { Processor } from './processor.ts'

type Assist = (cpu: Processor, insn: Instruction) => void
export type CpuidValues = readonly [eax: number, ebx: number, ecx: number, edx: number]

const offered: ReadonlySet<Feature> = new Set<Feature>([
  'FPU', 'MMX', 'SSE', 'SSE2', 'SSE3', 'SSSE3', 'SSE4.1', 'SSE4.2', 'POPCNT', 'CX8', 'CX16', 'CMOV', 'FXSR', 'XSAVE', 'XSAVEOPT', 'SYSCALL',
  'SEP', 'RDTSCP', 'FSGSBASE', 'SMAP', 'INVPCID', 'LAHF', 'CLFSH', 'LZCNT', 'MOVBE', 'PREFETCHW', 'CLFLUSHOPT', 'RDPID',
])

const withVmx: ReadonlySet<Feature> = new Set<Feature>([...offered, 'VMX'])

/** The features offered: what the decoder decodes and CPUID announces. `vmx`: by processors with VT-x. */
export const features = (vmx = false): ReadonlySet<Feature> => (vmx ? withVmx : offered)

const MAX_BASIC = 0x16
const MAX_EXTENDED = 0x80000008
const BRAND = 'Ring-1 emulated x86-64 server processor'
/** Bytes of the XSAVE area: legacy region and header; no state behind them. */
const XSAVE_BYTES = 576

const announced = new Map<CpuidWord, number>()
for (const word of Object.keys(systemBits) as CpuidWord[]) announced.set(word, systemBits[word])
for (const feature of offered) {
  const [word, bit] = featureBits[feature]
  announced.set(word, (announced.get(word)! | (1 << bit)) >>> 0)
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b))

/** EAX, EBX, ECX, EDX of a leaf, unsigned; `subleaf` is ECX. */
export function cpuidLeaf(cpu: Processor, leaf: number, subleaf: number): CpuidValues {
  const limited = (modelRegisters(cpu).miscEnable & MiscEnable.limitCpuid) !== 0n
  const maxBasic = limited ? 2 : MAX_BASIC
  if (leaf >= 0x80000000 && leaf <= MAX_EXTENDED) return extendedLeaf(cpu, leaf)
  // Beyond the highest leaf the data of the highest basic one appears.
  if (leaf > maxBasic) return basicLeaf(cpu, maxBasic, subleaf, maxBasic)
  return basicLeaf(cpu, leaf, subleaf, maxBasic)
}

function basicLeaf(cpu: Processor, leaf: number, subleaf: number, maxBasic: number): CpuidValues {
  const { coreBits, threadBits, processors, frequency, crystal } = cpu.board
  const inPackage = Math.min(processors, 1 << (coreBits + threadBits))
  switch (leaf) {
    case 0:
      return [maxBasic, VENDOR.ebx, VENDOR.ecx, VENDOR.edx]
    case 1: {
      const apicOn = ((cpu.apic.readMsr(0x1b) ?? 0n) & 0x800n) !== 0n
      const addressable = 1 << (coreBits + threadBits)
      const ecx = announced.get('1.ecx')! | (cpu.state.cr4 & Cr4.OSXSAVE ? 1 << 27 : 0) | (cpu.vmx ? 1 << featureBits.VMX[1] : 0)
      const edx = announced.get('1.edx')! | (apicOn ? 1 << 9 : 0) | (inPackage > 1 ? 1 << 28 : 0)
      return [SIGNATURE, (((cpu.apicId & 0xff) << 24) | (addressable << 16) | (8 << 8)) >>> 0, ecx >>> 0, edx >>> 0]
    }
    case 2: // FFH: see leaf 4; F0H: 64-byte prefetch
      return [0x00feff01, 0x000000f0, 0, 0]
    case 4:
      return cacheLeaf(subleaf, coreBits, threadBits)
    case 6: // ARAT: the APIC timer never stops
      return [1 << 2, 0, 0, 0]
    case 7:
      return subleaf === 0 ? [0, announced.get('7.ebx')!, announced.get('7.ecx')!, ARCH_CAPABILITIES_BIT] : [0, 0, 0, 0]
    case 0xb: {
      const level = subleaf & 0xff
      if (subleaf === 0) return [threadBits, Math.min(1 << threadBits, inPackage), (1 << 8) | level, cpu.apicId]
      if (subleaf === 1) return [threadBits + coreBits, inPackage, (2 << 8) | level, cpu.apicId]
      return [0, 0, level, cpu.apicId]
    }
    case 0xd:
      if (subleaf === 0) return [3, XSAVE_BYTES, XSAVE_BYTES, 0]
      return subleaf === 1 ? [announced.get('d1.eax')!, 0, 0, 0] : [0, 0, 0, 0]
    case 0x15: {
      // TSC = crystal × EBX / EAX, exactly whenever both fit.
      const g = gcd(frequency, crystal)
      let [numerator, denominator] = [frequency / g, crystal / g]
      while (numerator >= 2 ** 32) [numerator, denominator] = [Math.floor(numerator / 2), Math.max(1, Math.floor(denominator / 2))]
      return [denominator, numerator, crystal, 0]
    }
    case 0x16: {
      const mhz = Math.round(frequency / 1e6) & 0xffff
      return [mhz, mhz, 100, 0]
    }
    default: // reserved leaves, MONITOR (5) and performance monitoring (AH), which are not offered
      return [0, 0, 0, 0]
  }
}

// EAX: 4:0 type, 7:5 level, 8 self-initialising, 25:14 ids that share it − 1, 31:26 core ids in the package − 1.
function cacheLeaf(subleaf: number, coreBits: number, threadBits: number): CpuidValues {
  const c = caches[subleaf]
  if (!c) return [0, 0, 0, 0]
  const sharing = c.shared ? 1 << (coreBits + threadBits) : 1 << threadBits
  const eax = c.type | (c.level << 5) | (1 << 8) | ((sharing - 1) << 14) | (((1 << coreBits) - 1) << 26)
  return [eax >>> 0, ((c.ways - 1) << 22) | (c.line - 1), c.sets - 1, 0]
}

function extendedLeaf(cpu: Processor, leaf: number): CpuidValues {
  switch (leaf) {
    case 0x80000000:
      return [MAX_EXTENDED, 0, 0, 0]
    case 0x80000001: {
      let edx = announced.get('80000001.edx')!
      // SYSCALL shows in 64-bit mode only; NX not while IA32_MISC_ENABLE disables it.
      if (!cpu.mode64) edx &= ~(1 << 11)
      if (modelRegisters(cpu).miscEnable & MiscEnable.xdDisable) edx &= ~(1 << 20)
      return [0, 0, announced.get('80000001.ecx')!, edx >>> 0]
    }
    case 0x80000002:
    case 0x80000003:
    case 0x80000004: {
      const text = (BRAND + ` @ ${(cpu.board.frequency / 1e9).toFixed(2)}GHz`).slice(0, 47)
      const at = (leaf - 0x80000002) * 16
      const word = (n: number): number => {
        let w = 0
        for (let i = 0; i < 4; i++) w |= (text.charCodeAt(at + n * 4 + i) || 0) << (8 * i)
        return w >>> 0
      }
      return [word(0), word(1), word(2), word(3)]
    }
    case 0x80000006: // L2: KB in 31:16, 16 ways (8) in 15:12, line in 7:0
      return [0, 0, (1024 << 16) | (8 << 12) | 64, 0]
    case 0x80000007: // invariant TSC
      return [0, 0, 0, 1 << 8]
    case 0x80000008: // physical and linear address bits
      return [MAXPHYADDR | (48 << 8), 0, 0, 0]
    default:
      return [0, 0, 0, 0]
  }
}

const cpuid: Assist = (cpu) => {
  intercept(cpu, 'cpuid')
  const gpr = cpu.state.gpr
  const [eax, ebx, ecx, edx] = cpuidLeaf(cpu, Number(gpr.get(0) & 0xffff_ffffn), Number(gpr.get(1) & 0xffff_ffffn))
  gpr.set(0, BigInt(eax))
  gpr.set(3, BigInt(ebx))
  gpr.set(1, BigInt(ecx))
  gpr.set(2, BigInt(edx))
  cpu.charge(cpu.board.costs.cpuid)
}

export const cpuidAssists = { cpuid } satisfies Partial<Record<keyof Assists, Assist>>

// MSR areas of VM entries and exits (SDM 3C 24.7.2, 24.8.2, 26.4, 27.4, 27.6): 16-byte entries in guest-physical memory.
//
//   127 ········ 64   63 ···· 32   31 ··· 0
//   value             0            index

import { Msr } from '../arch/msr.ts'
import type { Core } from '../cpu/run.ts'
import { readMsr, writeMsr } from '../cpu/msr.ts'
import { MSR_LIST_MAX } from './capabilities.ts'

const ENTRY = 16
/** SMM only; microcode loading. */
const SMBASE = 0x9e
const BIOS_UPDT_TRIG = 0x79

const isX2apic = (index: number): boolean => index >>> 8 === 8
const mayStore = (index: number): boolean => !isX2apic(index) && index !== SMBASE
const mayLoad = (index: number): boolean =>
  mayStore(index) && index !== Msr.FS_BASE && index !== Msr.GS_BASE && index !== BIOS_UPDT_TRIG && index !== Msr.BIOS_SIGN_ID

/** Memory that is not there reads as all ones. */
const word = (core: Core, address: number): number => {
  const host = core.physical.host(address)
  return host === 0 ? 0xffff_ffff : core.physical.view.getUint32(host, true)
}

/**
 * Loads MSRs in the order of a list. Answers 0, or the number of the entry (from 1) that cannot be loaded; those before it are.
 * A list beyond the recommended length fails behind it (A.6 leaves that undefined).
 */
export function loadMsrs(core: Core, address: number, count: number): number {
  for (let n = 0; n < count; n++) {
    const at = address + ENTRY * n
    const index = word(core, at)
    if (n >= MSR_LIST_MAX || word(core, at + 4) !== 0 || !mayLoad(index)) return n + 1
    const value = (BigInt(word(core, at + 12)) << 32n) | BigInt(word(core, at + 8))
    if (!writeMsr(core, index, value)) return n + 1
  }
  return 0
}

/** Stores MSRs as RDMSR reads them outside a guest. False: an entry cannot be; those before it are. */
export function storeMsrs(core: Core, address: number, count: number): boolean {
  const { physical, mmu } = core
  for (let n = 0; n < count; n++) {
    const at = address + ENTRY * n
    const index = word(core, at)
    if (n >= MSR_LIST_MAX || word(core, at + 4) !== 0 || !mayStore(index)) return false
    const value = readMsr(core, index)
    if (value === undefined) return false
    const host = physical.host(at + 8)
    if (host === 0) continue
    if (mmu.code.holds[host >>> 12] !== 0) mmu.code.written(host, 8)
    physical.view.setBigUint64(host, value, true)
  }
  return true
}

/** One entry in words, for a report. */
export const msrEntry = (core: Core, address: number, n: number): string => {
  const at = address + ENTRY * (n - 1)
  const hex = (a: number): string => word(core, a).toString(16).toUpperCase().padStart(8, '0')
  return `entry ${n}: MSR ${hex(at)}H, reserved ${hex(at + 4)}H, value ${hex(at + 12)}${hex(at + 8)}H`
}

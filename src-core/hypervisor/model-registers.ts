// MSRs that a guest has for itself because the server's must not change under others (SDM 4 table 2-2): MTRRs, machine check,
// miscellaneous enables. What is not here and not the processor's to show is #GP(0).

import { MC_BANKS, MTRR_PAIRS, MTRRCAP, MiscEnable, Msr, isMtrrType } from '../arch/msr.ts'
import { MAXPHYADDR } from '../arch/registers.ts'
import { FeatureControl } from '../arch/vmx.ts'

interface Register {
  value: bigint
  /** Does WRMSR accept the value? */
  readonly accepts: (value: bigint) => boolean
}

const never = (): boolean => false
const types = (value: bigint): boolean => {
  for (let n = 0n; n < 64n; n += 8n) if (!isMtrrType(Number((value >> n) & 0xffn))) return false
  return true
}
const base = (value: bigint): boolean => value >> BigInt(MAXPHYADDR) === 0n && !(value & 0xf00n) && isMtrrType(Number(value & 0xffn))
const mask = (value: bigint): boolean => value >> BigInt(MAXPHYADDR) === 0n && !(value & 0x7ffn)

/** The server's own value, which a guest may read and not change. */
export const shown: ReadonlySet<number> = new Set([Msr.PLATFORM_ID, Msr.SMI_COUNT, Msr.PLATFORM_INFO, Msr.ARCH_CAPABILITIES])

export class ModelRegisters {
  private readonly registers = new Map<number, Register>()

  constructor() {
    const add = (index: number, value: bigint, accepts: (value: bigint) => boolean): void => void this.registers.set(index, { value, accepts })
    add(Msr.FEATURE_CONTROL, FeatureControl.lock, never)
    add(Msr.MTRRCAP, MTRRCAP, never)
    add(Msr.BIOS_SIGN_ID, 0x0500_0000n << 32n, never)
    add(Msr.MISC_FEATURES_ENABLES, 0n, (v) => v === 0n)
    add(Msr.DEBUGCTL, 0n, (v) => v >> 2n === 0n)
    add(Msr.MISC_ENABLE, MiscEnable.reset, (v) => !(v & ~(MiscEnable.writable | MiscEnable.reset)) && !(v & MiscEnable.xdDisable))
    add(Msr.MTRR_DEF_TYPE, 0n, (v) => !(v & ~0xcffn) && isMtrrType(Number(v & 0xffn)))
    for (let n = 0; n < 2 * MTRR_PAIRS; n++) add(Msr.MTRR_PHYSBASE0 + n, 0n, n % 2 === 0 ? base : mask)
    const fixed = [Msr.MTRR_FIX64K_00000, Msr.MTRR_FIX16K_80000, Msr.MTRR_FIX16K_A0000, ...Array.from({ length: 8 }, (_, n) => Msr.MTRR_FIX4K_C0000 + n)]
    for (const index of fixed) add(index, 0n, types)
    add(Msr.MCG_CAP, BigInt(MC_BANKS), never)
    add(Msr.MCG_STATUS, 0n, (v) => v >> 3n === 0n)
    for (let n = 0; n < MC_BANKS; n++) {
      add(Msr.MC0_CTL + 4 * n, 0n, () => true)
      for (let k = 1; k < 4; k++) add(Msr.MC0_CTL + 4 * n + k, 0n, (v) => v === 0n)
    }
  }

  /** undefined: not one of these. */
  read(index: number): bigint | undefined {
    return this.registers.get(index)?.value
  }

  /** false: #GP(0); undefined: not one of these. */
  write(index: number, value: bigint): boolean | undefined {
    const register = this.registers.get(index)
    if (!register) return undefined
    // software clears the microcode revision before CPUID tells it anew (SDM 3A 9.11.7.1)
    if (index === Msr.BIOS_SIGN_ID) return true
    if (!register.accepts(value)) return false
    if (index === Msr.MISC_ENABLE) register.value = (value & MiscEnable.writable) | (MiscEnable.reset & ~MiscEnable.writable)
    else if (index !== Msr.DEBUGCTL) register.value = value
    return true
  }
}

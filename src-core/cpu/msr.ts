// Model-specific registers (SDM 2B RDMSR, 2C WRMSR; SDM 4 table 2-2). What is not here is #GP(0) and counted by the board.

import { ARCH_CAPABILITIES, MC_BANKS, MTRRCAP, MTRR_PAIRS, MiscEnable, Msr, isMtrrType, isPatType } from '../arch/msr.ts'
import { Cr0, Efer, FS, GS, MAXPHYADDR } from '../arch/registers.ts'
import { FeatureControl, VmxMsr } from '../arch/vmx.ts'
import type { Assists } from '../isa/assists.ts'
import type { Instruction } from './instruction.ts'
import { modelRegisters } from './model-registers.ts'
import { generalProtection, intercept, isCanonical, privileged, readEcx, readEdxEax, writeEdxEax } from './privilege.ts'
import type { Processor } from './processor.ts'
import { shownTimeStamp, timeStamp } from './time-stamp.ts'

type Assist = (cpu: Processor, insn: Instruction) => void

interface Register {
  read?(cpu: Processor): bigint | undefined
  /** false: #GP(0). Nothing has changed then. Without it the register is read-only. */
  write?(cpu: Processor, value: bigint): boolean
}

/** A 64-bit field of the processor block; `valid` is what WRMSR accepts. */
const field = (
  name: 'star' | 'lstar' | 'cstar' | 'fmask' | 'sysenterCs' | 'sysenterEsp' | 'sysenterEip' | 'kernelGsBase' | 'tscAux',
  valid: (value: bigint) => boolean = () => true,
): Register => ({
  read: (cpu) => cpu.state[name],
  write: (cpu, value) => {
    if (!valid(value)) return false
    cpu.state[name] = value
    return true
  },
})

const constant = (value: (cpu: Processor) => bigint): Register => ({ read: value })
const is32 = (value: bigint): boolean => value >> 32n === 0n

/** The base of FS or GS. */
const segmentBase = (segment: number): Register => ({
  read: (cpu) => cpu.state.segBase.get(segment),
  write: (cpu, value) => {
    if (!isCanonical(value)) return false
    cpu.state.segBase.set(segment, value)
    cpu.segmentChanged(segment)
    return true
  },
})

const apic = (index: number): Register => ({
  read: (cpu) => {
    cpu.synchronize()
    return cpu.apic.readMsr(index)
  },
  write: (cpu, value) => {
    cpu.synchronize()
    return cpu.apic.writeMsr(index, value)
  },
})

const everyByte = (value: bigint, valid: (byte: number) => boolean): boolean => {
  for (let n = 0n; n < 64n; n += 8n) if (!valid(Number((value >> n) & 0xffn))) return false
  return true
}

// EFER: 0 SCE, 8 LME, 10 LMA (read-only), 11 NXE (SDM 3A 2.2.1).
const efer: Register = {
  read: (cpu) => cpu.state.efer,
  write: (cpu, value) => {
    const s = cpu.state
    const nx = modelRegisters(cpu).miscEnable & MiscEnable.xdDisable ? 0n : Efer.NXE
    if (value & ~(Efer.SCE | Efer.LME | Efer.LMA | nx)) return false
    const next = (value & ~Efer.LMA) | (s.efer & Efer.LMA)
    const changed = next ^ s.efer
    if (changed & Efer.LME && s.cr0 & Cr0.PG) return false
    s.efer = next
    if (changed & Efer.NXE) cpu.memory.flushAll()
    if (changed) cpu.modeChanged()
    return true
  },
}

const tsc: Register = {
  read: (cpu) => {
    cpu.synchronize()
    return timeStamp(cpu)
  },
  write: (cpu, value) => {
    cpu.synchronize()
    cpu.state.tscOffset = BigInt.asUintN(64, value - BigInt(cpu.now()))
    return true
  },
}

// Every write to either register moves both by the same amount (SDM 3B 17.17.3), so that the offset is TSC_ADJUST.
const tscAdjust: Register = {
  read: (cpu) => cpu.state.tscOffset,
  write: (cpu, value) => {
    cpu.state.tscOffset = value
    return true
  },
}

// Lock in bit 0; VMX outside SMX in bit 2 where VMX exists.
const featureControl: Register = {
  read: (cpu) => modelRegisters(cpu).featureControl,
  write: (cpu, value) => {
    const m = modelRegisters(cpu)
    const { lock, vmxOutsideSmx } = FeatureControl
    if (m.featureControl & lock || value & ~(lock | (cpu.vmx ? vmxOutsideSmx : 0n))) return false
    m.featureControl = value
    return true
  },
}

const miscEnable: Register = {
  read: (cpu) => modelRegisters(cpu).miscEnable,
  write: (cpu, value) => {
    const m = modelRegisters(cpu)
    if (value & ~(MiscEnable.writable | MiscEnable.reset)) return false
    const next = (value & MiscEnable.writable) | (MiscEnable.reset & ~MiscEnable.writable)
    if (next & MiscEnable.xdDisable && cpu.state.efer & Efer.NXE) return false
    m.miscEnable = next
    return true
  },
}

const pat: Register = {
  read: (cpu) => modelRegisters(cpu).pat,
  write: (cpu, value) => {
    if (!everyByte(value, isPatType)) return false
    modelRegisters(cpu).pat = value
    return true
  },
}

// Bits 7:0 type, 10 fixed ranges on, 11 on (SDM 3A figure 11-5).
const mtrrDefType: Register = {
  read: (cpu) => modelRegisters(cpu).mtrrDefType,
  write: (cpu, value) => {
    if (value & ~0xcffn || !isMtrrType(Number(value & 0xffn))) return false
    modelRegisters(cpu).mtrrDefType = value
    return true
  },
}

// Base: type in 7:0; mask: valid in 11; address bits 45:12 in both (figure 11-7).
const mtrrVariable = (n: number): Register => ({
  read: (cpu) => modelRegisters(cpu).mtrrVariable[n],
  write: (cpu, value) => {
    if (value >> BigInt(MAXPHYADDR) !== 0n) return false
    if (n % 2 === 0 ? value & 0xf00n || !isMtrrType(Number(value & 0xffn)) : value & 0x7ffn) return false
    modelRegisters(cpu).mtrrVariable[n] = value
    return true
  },
})

const mtrrFixed = (n: number): Register => ({
  read: (cpu) => modelRegisters(cpu).mtrrFixed[n],
  write: (cpu, value) => {
    if (!everyByte(value, isMtrrType)) return false
    modelRegisters(cpu).mtrrFixed[n] = value
    return true
  },
})

// RIPV, EIPV, MCIP (SDM 3B 15.3.1.2).
const mcgStatus: Register = {
  read: (cpu) => modelRegisters(cpu).mcgStatus,
  write: (cpu, value) => {
    if (value >> 3n !== 0n) return false
    modelRegisters(cpu).mcgStatus = value
    return true
  },
}

const bankControl = (n: number): Register => ({
  read: (cpu) => modelRegisters(cpu).mcControl[n],
  write: (cpu, value) => {
    modelRegisters(cpu).mcControl[n] = value
    return true
  },
})

/** STATUS, ADDR and MISC of a bank that never logs: read 0, and only 0 may be written (15.3.2.2). */
const zero: Register = { read: () => 0n, write: (_cpu, value) => value === 0n }

/** Ratio of the TSC to the 100 MHz bus. */
const ratio = (cpu: Processor): bigint => BigInt(Math.round(cpu.board.frequency / 1e8) & 0xff)

const registers = new Map<number, Register>([
  [Msr.TSC, tsc],
  [Msr.PLATFORM_ID, constant(() => 0n)],
  [Msr.APIC_BASE, apic(Msr.APIC_BASE)],
  [Msr.SMI_COUNT, constant(() => 0n)],
  [Msr.FEATURE_CONTROL, featureControl],
  [Msr.TSC_ADJUST, tscAdjust],
  // Software writes 0, runs CPUID and reads the microcode revision in the upper half (SDM 3A 9.11.7.1).
  [Msr.BIOS_SIGN_ID, { read: () => 0x0500_0000n << 32n, write: () => true }],
  [Msr.PLATFORM_INFO, constant((cpu) => (ratio(cpu) << 8n) | (ratio(cpu) << 40n))],
  [Msr.MTRRCAP, constant(() => MTRRCAP)],
  [Msr.ARCH_CAPABILITIES, constant(() => ARCH_CAPABILITIES)],
  [Msr.MISC_FEATURES_ENABLES, zero],
  [Msr.SYSENTER_CS, field('sysenterCs', is32)],
  [Msr.SYSENTER_ESP, field('sysenterEsp', isCanonical)],
  [Msr.SYSENTER_EIP, field('sysenterEip', isCanonical)],
  [Msr.MCG_CAP, constant(() => BigInt(MC_BANKS))],
  [Msr.MCG_STATUS, mcgStatus],
  [Msr.MISC_ENABLE, miscEnable],
  // Branch records (0) and single-step on branches (1) are accepted and stay off.
  [Msr.DEBUGCTL, { read: () => 0n, write: (_cpu, value) => value >> 2n === 0n }],
  [Msr.MTRR_FIX64K_00000, mtrrFixed(0)],
  [Msr.MTRR_FIX16K_80000, mtrrFixed(1)],
  [Msr.MTRR_FIX16K_A0000, mtrrFixed(2)],
  [Msr.PAT, pat],
  [Msr.MTRR_DEF_TYPE, mtrrDefType],
  [Msr.TSC_DEADLINE, apic(Msr.TSC_DEADLINE)],
  [Msr.EFER, efer],
  [Msr.STAR, field('star')],
  [Msr.LSTAR, field('lstar', isCanonical)],
  [Msr.CSTAR, field('cstar', isCanonical)],
  [Msr.FMASK, field('fmask', is32)],
  [Msr.FS_BASE, segmentBase(FS)],
  [Msr.GS_BASE, segmentBase(GS)],
  [Msr.KERNEL_GS_BASE, field('kernelGsBase', isCanonical)],
  [Msr.TSC_AUX, field('tscAux', is32)],
])
for (let n = 0; n < 2 * MTRR_PAIRS; n++) registers.set(Msr.MTRR_PHYSBASE0 + n, mtrrVariable(n))
for (let n = 0; n < 8; n++) registers.set(Msr.MTRR_FIX4K_C0000 + n, mtrrFixed(3 + n))
for (let n = 0; n < MC_BANKS; n++) {
  registers.set(Msr.MC0_CTL + 4 * n, bankControl(n))
  for (let k = 1; k < 4; k++) registers.set(Msr.MC0_CTL + 4 * n + k, zero)
}
for (let n: number = Msr.X2APIC_FIRST; n <= Msr.X2APIC_LAST; n++) registers.set(n, apic(n))

for (const index of Object.values(VmxMsr)) registers.set(index, { read: (cpu) => cpu.vmx?.readMsr(index) })

const name = (index: number): string => `MSR ${index.toString(16).toUpperCase()}H`

/** Reads a register as RDMSR does, after the privilege check and VM exits. undefined: #GP(0). */
export function readMsr(cpu: Processor, index: number): bigint | undefined {
  const register = registers.get(index)
  if (!register) cpu.board.unimplemented(`read of ${name(index)}`)
  return register?.read?.(cpu)
}

/** Writes a register as WRMSR does. false: #GP(0), nothing has changed. */
export function writeMsr(cpu: Processor, index: number, value: bigint): boolean {
  const register = registers.get(index)
  if (!register) cpu.board.unimplemented(`write of ${name(index)}`)
  return register?.write?.(cpu, value) ?? false
}

const rdmsr: Assist = (cpu) => {
  privileged(cpu)
  const index = readEcx(cpu)
  intercept(cpu, 'rdmsr', index)
  const value = readMsr(cpu, index)
  if (value === undefined) throw generalProtection()
  cpu.charge(cpu.board.costs.msr)
  writeEdxEax(cpu, index === Msr.TSC ? shownTimeStamp(cpu, value) : value)
}

const wrmsr: Assist = (cpu) => {
  privileged(cpu)
  const index = readEcx(cpu)
  const value = readEdxEax(cpu)
  intercept(cpu, 'wrmsr', index, value)
  if (!writeMsr(cpu, index, value)) throw generalProtection()
  cpu.charge(cpu.board.costs.msr)
}

export const msrAssists = { rdmsr, wrmsr } satisfies Partial<Record<keyof Assists, Assist>>

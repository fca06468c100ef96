// RDMSR and WRMSR of what the bitmap does not let through (SDM 2B, 2C): the virtual APIC's, the TSC's, and the guest's own model registers.

import { Vector } from '../../arch/exceptions.ts'
import { Msr } from '../../arch/msr.ts'
import { RCX } from '../../arch/registers.ts'
import { exception } from '../events.ts'
import { shown } from '../model-registers.ts'
import type { VirtualProcessor } from '../virtual-processor.ts'

const isApic = (index: number): boolean => index === Msr.APIC_BASE || index === Msr.TSC_DEADLINE || (index >= Msr.X2APIC_FIRST && index <= Msr.X2APIC_LAST)

function read(p: VirtualProcessor, index: number): bigint | undefined {
  if (isApic(index)) return p.apic.readMsr(index)
  if (index === Msr.TSC_ADJUST) return p.tscAdjust
  if (shown.has(index)) return p.port.rdmsr(index)
  const value = p.models.read(index)
  if (value === undefined) p.vm.unknownMsrs.set(index, (p.vm.unknownMsrs.get(index) ?? 0) + 1)
  return value
}

/** A write to either of TSC and TSC_ADJUST moves both by the same amount (SDM 3B 17.17.3). */
function write(p: VirtualProcessor, index: number, value: bigint): boolean {
  if (isApic(index)) return p.apic.writeMsr(index, value)
  if (index === Msr.TSC) {
    const offset = value - p.port.rdtsc()
    p.tscAdjust = BigInt.asUintN(64, p.tscAdjust + offset - p.tscOffset)
    p.moveTsc(offset)
    return true
  }
  if (index === Msr.TSC_ADJUST) {
    p.moveTsc(p.tscOffset + value - p.tscAdjust)
    p.tscAdjust = value
    return true
  }
  const accepted = p.models.write(index, value)
  if (accepted === undefined) p.vm.unknownMsrs.set(index, (p.vm.unknownMsrs.get(index) ?? 0) + 1)
  return accepted ?? false
}

export function rdmsr(p: VirtualProcessor): void {
  p.port.charge(p.vm.costs.simple)
  const value = read(p, Number(p.register(RCX) & 0xffff_ffffn))
  if (value === undefined) return p.raise(exception(Vector.GP, 0))
  p.edxEax = value
  p.skip()
}

export function wrmsr(p: VirtualProcessor): void {
  p.port.charge(p.vm.costs.simple)
  if (!write(p, Number(p.register(RCX) & 0xffff_ffffn), p.edxEax)) return p.raise(exception(Vector.GP, 0))
  p.skip()
}

// What system instructions check first (SDM 2: "Protected Mode Exceptions"; order against VM exits: SDM 3C 25.1.1).

import { Vector } from '../arch/exceptions.ts'
import { Fault } from './fault.ts'
import { intercepted, type InterceptPoints } from './intercepts.ts'
import type { Processor } from './processor.ts'

export const undefinedOpcode = (): Fault => new Fault(Vector.UD)
export const generalProtection = (): Fault => new Fault(Vector.GP, 0)

/** #GP(0) unless CPL is 0. */
export function privileged(cpu: Processor): void {
  if (cpu.state.cpl !== 0) throw generalProtection()
}

/** Ends the instruction if a monitor wants to see it. */
export function intercept<P extends keyof InterceptPoints>(cpu: Processor, point: P, ...args: InterceptPoints[P]): void {
  if (cpu.intercepts?.taken(point, ...args)) throw intercepted
}

/** 48-bit linear addresses: bits 63:47 are equal. */
export const isCanonical = (address: bigint): boolean => BigInt.asUintN(64, BigInt.asIntN(48, address)) === address

/** EDX:EAX, upper halves ignored. */
export const readEdxEax = (cpu: Processor): bigint => ((cpu.state.gpr.get(2) & 0xffff_ffffn) << 32n) | (cpu.state.gpr.get(0) & 0xffff_ffffn)

/** To EDX:EAX, clearing the upper halves. */
export function writeEdxEax(cpu: Processor, value: bigint): void {
  cpu.state.gpr.set(0, value & 0xffff_ffffn)
  cpu.state.gpr.set(2, (value >> 32n) & 0xffff_ffffn)
}

/** ECX. */
export const readEcx = (cpu: Processor): number => Number(cpu.state.gpr.get(1) & 0xffff_ffffn)

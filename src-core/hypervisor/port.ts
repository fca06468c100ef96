// What software in VMX root operation may do, and nothing else (SDM 3C 23, 30.3): the monitor's only way to its processor and to memory.
// The board answers each call with the instruction of that name. One port a processor; root-mode paging is an identity map.

import type { FieldName } from '../arch/vmcs-fields.ts'

/** How a VMX instruction ended (30.2): its flags. */
export type VmxResult =
  | { readonly kind: 'succeed' }
  | { readonly kind: 'failInvalid' }
  /** A VM-instruction error number (30.4). */
  | { readonly kind: 'failValid'; readonly error: number }
/** VM entry: also what the monitor must do when other processors have to come first, with nothing changed. */
export type EntryResult = VmxResult | { readonly kind: 'notYet' }

/** Memory of the server, by physical address; only frames of the allocators the monitor was given. Throws RangeError elsewhere. */
export interface HostMemory {
  /** A little-endian unsigned value; the access stays inside one 4-KiB frame. */
  read(address: number, size: 1 | 2 | 4): number
  write(address: number, size: 1 | 2 | 4, value: number): void
  /** Copies bytes into one frame. */
  load(address: number, data: Uint8Array): void
  /** Zeros a 4-KiB frame. */
  clear(frame: number): void
}

export interface VmxPort {
  /** The processor: its number and NUMA node on the server. */
  readonly processor: number
  readonly node: number
  readonly memory: HostMemory

  vmxon(region: number): VmxResult
  vmxoff(): VmxResult
  vmclear(region: number): VmxResult
  vmptrld(region: number): VmxResult
  /** A field of the current VMCS, unsigned; undefined: VMfail. */
  vmread(field: FieldName): bigint | undefined
  vmwrite(field: FieldName, value: bigint | number): VmxResult
  vmlaunch(): EntryResult
  vmresume(): EntryResult
  invept(type: 1 | 2, pointer: bigint): VmxResult
  invvpid(type: 0 | 1 | 2 | 3, vpid: number, linear: bigint): VmxResult

  /** undefined: #GP(0). */
  rdmsr(index: number): bigint | undefined
  /** false: #GP(0). */
  wrmsr(index: number, value: bigint): boolean
  /** EAX, EBX, ECX, EDX, unsigned. */
  cpuid(leaf: number, subleaf: number): readonly [number, number, number, number]
  rdtsc(): bigint
  /** false: #GP(0). */
  xsetbv(index: number, value: bigint): boolean
  writeCr2(value: bigint): void

  /** General registers as the VM exit left them and the next entry gives them to the guest; RSP is in the VMCS. `n`: 0…15. */
  register(n: number): bigint
  setRegister(n: number, value: bigint): void
  /** Cycles of the monitor's own work. */
  charge(cycles: number): void
}

/** The first two words of every VMX region (24.2): what VMCS revision the processor wants. */
export const revisionOf = (vmxBasic: bigint): number => Number(vmxBasic & 0x7fff_ffffn)

/** The monitor cannot go on: a VMX instruction of its own failed, or the processor lacks what it needs. */
export class MonitorError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'MonitorError'
  }
}

/** Throws MonitorError unless the instruction succeeded. */
export function expectSuccess(what: string, result: VmxResult): void {
  if (result.kind === 'succeed') return
  throw new MonitorError(result.kind === 'failInvalid' ? `${what}: VMfailInvalid` : `${what}: VM-instruction error ${result.error}`)
}

// The hypervisor's port to one processor: each call is the instruction of its name, executed by the functions that execute guests' own,
// with the processor in 64-bit mode at CPL 0 under an identity map.

import { RAX, RCX, RDX } from '../arch/registers.ts'
import { vmcsFields, type FieldName } from '../arch/vmcs-fields.ts'
import { cpuidLeaf } from '../cpu/cpuid.ts'
import { controlRegisterAssists } from '../cpu/control-register.ts'
import { Again, Fault } from '../cpu/fault.ts'
import type { Instruction } from '../cpu/instruction.ts'
import { readMsr, writeMsr } from '../cpu/msr.ts'
import type { Core } from '../cpu/run.ts'
import { timeStamp } from '../cpu/time-stamp.ts'
import type { EntryResult, HostMemory, VmxPort, VmxResult } from '../hypervisor/port.ts'
import type { FrameAllocator } from '../hypervisor/frames.ts'
import { vmxAssists } from '../vmx/instructions.ts'

const [CF, ZF] = [1n, 1n << 6n]
const succeed = { kind: 'succeed' } as const
const failInvalid = { kind: 'failInvalid' } as const
const notYet = { kind: 'notYet' } as const
const encodings = Object.fromEntries(Object.entries(vmcsFields).map(([name, encoding]) => [name, BigInt(encoding)])) as Readonly<Record<FieldName, bigint>>

/** DRAM of the server in frames that somebody was given. Throws RangeError for any other. */
export function hostMemory(core: Core, frames: FrameAllocator): HostMemory {
  const { physical, mmu } = core
  const host = (address: number): number => {
    if (frames.owner(address) === undefined) throw new RangeError(`no frame of the monitor at ${address.toString(16)}H`)
    return physical.host(address)
  }
  const written = (at: number, size: number): void => {
    if (mmu.code.holds[at >>> 12] !== 0) mmu.code.written(at, size)
  }
  const { view, bytes } = physical
  return {
    read: (address, size) => {
      const at = host(address)
      return size === 4 ? view.getUint32(at, true) : size === 2 ? view.getUint16(at, true) : bytes[at]!
    },
    write: (address, size, value) => {
      const at = host(address)
      written(at, size)
      if (size === 4) view.setUint32(at, value, true)
      else if (size === 2) view.setUint16(at, value, true)
      else bytes[at] = value
    },
    load: (address, data) => {
      const at = host(address)
      if ((address % 4096) + data.length > 4096) throw new RangeError('bytes for more than one frame')
      written(at, data.length)
      bytes.set(data, at)
    },
    clear: (frame) => {
      const at = host(frame)
      written(at, 4096)
      bytes.fill(0, at, at + 4096)
    },
  }
}

export class ProcessorPort implements VmxPort {
  readonly processor: number
  private readonly operands = [0n, 0n]
  /** VMX instructions outside a guest ask for their operands only. */
  private readonly instruction: Instruction

  /** `scratch`: a frame for operands in memory. */
  constructor(
    private readonly core: Core,
    readonly node: number,
    readonly memory: HostMemory,
    private readonly scratch: number,
  ) {
    this.processor = core.index
    const { operands } = this
    this.instruction = {
      operand: (n: number) => operands[n]!,
      setOperand: (n: number, value: bigint) => void (operands[n] = value),
      linear: () => BigInt(scratch),
    } as unknown as Instruction
  }

  private flags(): VmxResult {
    const flags = this.core.rflags()
    if (flags & CF) return failInvalid
    if (!(flags & ZF)) return succeed
    this.operands[1] = encodings.vmInstructionError
    vmxAssists.vmread(this.core, this.instruction)
    return { kind: 'failValid', error: Number(this.operands[0]) }
  }
  private pointer(low: bigint, high = 0n): void {
    ;[low & 0xffff_ffffn, low >> 32n, high & 0xffff_ffffn, high >> 32n].forEach((v, n) => this.memory.write(this.scratch + 4 * n, 4, Number(v)))
  }
  private on(name: 'vmxon' | 'vmclear' | 'vmptrld', region: number): VmxResult {
    this.pointer(BigInt(region))
    vmxAssists[name](this.core, this.instruction)
    return this.flags()
  }

  vmxon(region: number): VmxResult {
    return this.on('vmxon', region)
  }
  vmclear(region: number): VmxResult {
    return this.on('vmclear', region)
  }
  vmptrld(region: number): VmxResult {
    return this.on('vmptrld', region)
  }
  vmxoff(): VmxResult {
    vmxAssists.vmxoff(this.core, this.instruction)
    return this.flags()
  }

  vmread(field: FieldName): bigint | undefined {
    this.operands[1] = encodings[field]
    vmxAssists.vmread(this.core, this.instruction)
    return this.core.state.res === 0n || this.core.state.aux !== 0n ? undefined : this.operands[0]
  }
  vmwrite(field: FieldName, value: bigint | number): VmxResult {
    this.operands[0] = encodings[field]
    this.operands[1] = typeof value === 'bigint' ? value : BigInt(value)
    vmxAssists.vmwrite(this.core, this.instruction)
    return this.core.state.res === 1n && this.core.state.aux === 0n ? succeed : this.flags()
  }

  vmlaunch(): EntryResult {
    return this.entry('vmlaunch')
  }
  vmresume(): EntryResult {
    return this.entry('vmresume')
  }
  /** An entry that succeeds leaves the guest running, or the host's state loaded anew with its flags clear. */
  private entry(name: 'vmlaunch' | 'vmresume'): EntryResult {
    try {
      vmxAssists[name](this.core, this.instruction)
    } catch (reason) {
      if (reason instanceof Again) return notYet
      throw reason
    }
    return this.core.vmx?.mode === 'nonRoot' ? succeed : this.flags()
  }

  invept(type: 1 | 2, pointer: bigint): VmxResult {
    this.pointer(pointer)
    this.operands[0] = BigInt(type)
    vmxAssists.invept(this.core, this.instruction)
    return this.flags()
  }
  invvpid(type: 0 | 1 | 2 | 3, vpid: number, linear: bigint): VmxResult {
    this.pointer(BigInt(vpid), linear)
    this.operands[0] = BigInt(type)
    vmxAssists.invvpid(this.core, this.instruction)
    return this.flags()
  }

  rdmsr(index: number): bigint | undefined {
    return readMsr(this.core, index)
  }
  wrmsr(index: number, value: bigint): boolean {
    return writeMsr(this.core, index, value)
  }
  cpuid(leaf: number, subleaf: number): readonly [number, number, number, number] {
    return cpuidLeaf(this.core, leaf, subleaf)
  }
  rdtsc(): bigint {
    return timeStamp(this.core)
  }
  xsetbv(index: number, value: bigint): boolean {
    const { gpr } = this.core.state
    const kept = [RAX, RCX, RDX].map((n) => [n, gpr.get(n)] as const)
    gpr.set(RAX, value & 0xffff_ffffn)
    gpr.set(RCX, BigInt(index))
    gpr.set(RDX, value >> 32n)
    try {
      controlRegisterAssists.xsetbv(this.core, this.instruction)
      return true
    } catch (reason) {
      if (reason instanceof Fault) return false
      throw reason
    } finally {
      for (const [n, v] of kept) gpr.set(n, v)
    }
  }
  writeCr2(value: bigint): void {
    this.core.state.cr2 = value
  }

  register(n: number): bigint {
    return this.core.state.gpr.get(n)
  }
  setRegister(n: number, value: bigint): void {
    this.core.state.gpr.set(n, value)
  }
  charge(cycles: number): void {
    this.core.charge(cycles)
  }
}

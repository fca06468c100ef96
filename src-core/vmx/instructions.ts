// The VMX instructions (SDM 3C 30.3): operand checks in order, VMfail codes, launch states.
// A guest's use of them is a VM exit (25.1.2, 25.1.3); VMCS shadowing, SMM and the dual-monitor treatment are not there.

import { Cr4, MAXPHYADDR, RAX, RCX } from '../arch/registers.ts'
import { NO_POINTER, Secondary, VmError } from '../arch/vmx.ts'
import { vmcsFields, type FieldName } from '../arch/vmcs-fields.ts'
import type { Instruction } from '../cpu/instruction.ts'
import type { VmxInstruction } from '../cpu/intercepts.ts'
import { isLongMode } from '../cpu/mode.ts'
import { generalProtection, intercept, isCanonical, privileged, undefinedOpcode } from '../cpu/privilege.ts'
import type { Processor } from '../cpu/processor.ts'
import type { AssistTable } from '../cpu/core-parts.ts'
import { eptVpid, fieldExists, isValidEptPointer } from './capabilities.ts'
import { enter } from './entry.ts'
import { Vmx } from './vmx.ts'

type Assist = (cpu: Processor, insn: Instruction) => void

// ---- results (30.2): CF PF AF ZF SF OF as the two flag words hold them (isa/flags-emit.ts) -------------
function succeed(cpu: Processor): void {
  cpu.state.res = 1n // odd parity, positive, not zero
  cpu.state.aux = 0n
}
/** CF = 1, all others 0. */
function failInvalid(cpu: Processor): void {
  cpu.state.res = 1n
  cpu.state.aux = 0xc000_0000_0000_0000n
}
/** ZF = 1, all others 0; the error number goes to the current VMCS. */
function failValid(cpu: Processor, vmx: Vmx, error: number): void {
  vmx.current!.vmInstructionError = error
  cpu.state.res = 0n
  cpu.state.aux = 2n // parity of 0 is even: inverted
}
const fail = (cpu: Processor, vmx: Vmx, error: number): void => (vmx.current ? failValid(cpu, vmx, error) : failInvalid(cpu))

// ---- checks all of them begin with ----------------------------------------------------------------------
/** #UD outside VMX operation, in real-address, virtual-8086 and compatibility mode; a guest exits; #GP(0) above CPL 0. */
function begin(cpu: Processor, insn: Instruction, instruction: VmxInstruction): Vmx {
  const vmx = cpu.vmx
  if (!(vmx instanceof Vmx) || vmx.mode === 'off' || unusableMode(cpu)) throw undefinedOpcode()
  if (vmx.mode === 'nonRoot') exit(cpu, insn, instruction)
  privileged(cpu)
  return vmx
}

const unusableMode = (cpu: Processor): boolean => cpu.realMode || cpu.virtual8086 || (isLongMode(cpu.state) && !cpu.mode64)

/** The exit is unconditional. */
function exit(cpu: Processor, insn: Instruction, instruction: VmxInstruction): never {
  intercept(cpu, 'vmx', instruction, insn)
  throw undefinedOpcode()
}

/** Behind a VM entry or exit that an instruction did not end by `intercepted`, whose cost round trips would notice: RIP is what was loaded. */
const goOn = (cpu: Processor): void => void (cpu.nextRip = cpu.state.rip)

/** A 64-bit physical address in memory. */
const pointer = (cpu: Processor, insn: Instruction): bigint => cpu.memory.read64(insn.linear(8, false))
/** 4-KiB aligned, within the processor's physical-address width. */
const isPage = (address: bigint): boolean => (address & 0xfffn) === 0n && address >> BigInt(MAXPHYADDR) === 0n

// ---- entering and leaving VMX operation -------------------------------------------------------------------
const vmxon: Assist = (cpu, insn) => {
  const { vmx, state: s } = cpu
  if (!(vmx instanceof Vmx) || unusableMode(cpu) || !(s.cr4 & Cr4.VMXE)) throw undefinedOpcode()
  if (vmx.mode === 'nonRoot') exit(cpu, insn, 'vmxon')
  privileged(cpu)
  if (vmx.mode === 'root') return fail(cpu, vmx, VmError.vmxonInRoot)
  if (!vmx.wouldAllow(s.cr0, s.cr4) || !vmx.permitted) throw generalProtection()
  const region = pointer(cpu, insn)
  if (!isPage(region) || !vmx.hasRevision(Number(region))) return failInvalid(cpu)
  vmx.vmxonPointer = Number(region)
  vmx.current = undefined
  vmx.enterMode('root')
  succeed(cpu)
}

const vmxoff: Assist = (cpu, insn) => {
  const vmx = begin(cpu, insn, 'vmxoff')
  vmx.current = undefined
  vmx.enterMode('off') // and a blocked INIT is taken
  succeed(cpu)
}

// ---- VMCS pointers ------------------------------------------------------------------------------------------
const vmclear: Assist = (cpu, insn) => {
  const vmx = begin(cpu, insn, 'vmclear')
  const address = pointer(cpu, insn)
  if (!isPage(address)) return fail(cpu, vmx, VmError.vmclearAddress)
  if (Number(address) === vmx.vmxonPointer) return fail(cpu, vmx, VmError.vmclearVmxonPointer)
  const region = vmx.region(Number(address))
  if (region) region.launched = false
  if (vmx.current?.address === Number(address)) vmx.current = undefined
  succeed(cpu)
}

const vmptrld: Assist = (cpu, insn) => {
  const vmx = begin(cpu, insn, 'vmptrld')
  const address = pointer(cpu, insn)
  if (!isPage(address)) return fail(cpu, vmx, VmError.vmptrldAddress)
  if (Number(address) === vmx.vmxonPointer) return fail(cpu, vmx, VmError.vmptrldVmxonPointer)
  if (!vmx.hasRevision(Number(address))) return fail(cpu, vmx, VmError.vmptrldRevision)
  if (vmx.current?.address !== Number(address)) vmx.current = vmx.region(Number(address))
  succeed(cpu)
}

const vmptrst: Assist = (cpu, insn) => {
  const vmx = begin(cpu, insn, 'vmptrst')
  insn.setOperand(0, vmx.current ? BigInt(vmx.current.address) : NO_POINTER)
  succeed(cpu)
}

// ---- VMCS fields --------------------------------------------------------------------------------------------
interface Component {
  readonly name: FieldName
  /** The upper half of a 64-bit field (24.11.2, access type). */
  readonly high: boolean
}
const HIGH = 1
const isQuad = (encoding: number): boolean => (encoding & 0x6000) === 0x2000
const ENCODINGS = 0x8000
/** By encoding; undefined: unsupported. */
const components = new Array<Component | undefined>(ENCODINGS).fill(undefined)
for (const [name, encoding] of Object.entries(vmcsFields) as [FieldName, number][]) {
  if (!fieldExists(name)) continue
  components[encoding] = { name, high: false }
  if (isQuad(encoding)) components[encoding | HIGH] = { name, high: true }
}
const componentOf = (encoding: bigint): Component | undefined => (encoding < ENCODINGS ? components[Number(encoding)] : undefined)

/** r/m, r: a field longer than the destination gives its low part. */
const vmread: Assist = (cpu, insn) => {
  const vmx = begin(cpu, insn, 'vmread')
  const { current } = vmx
  if (!current) return failInvalid(cpu)
  const component = componentOf(insn.operand(1))
  if (!component) return failValid(cpu, vmx, VmError.unsupportedComponent)
  insn.setOperand(0, current.readEncoded(component.name, component.high))
  succeed(cpu)
}

/** r, r/m: fields are written whole, from the source zero-extended or truncated. Exit information is writable too (A.6, bit 29). */
const vmwrite: Assist = (cpu, insn) => {
  const vmx = begin(cpu, insn, 'vmwrite')
  const { current } = vmx
  if (!current) return failInvalid(cpu)
  const value = insn.operand(1)
  const component = componentOf(insn.operand(0))
  if (!component) return failValid(cpu, vmx, VmError.unsupportedComponent)
  current.writeEncoded(component.name, component.high, value)
  succeed(cpu)
}

// ---- VM entries (26.1) ----------------------------------------------------------------------------------------
const MOV_SS = 2

function entry(cpu: Processor, insn: Instruction, launch: boolean): void {
  const vmx = begin(cpu, insn, launch ? 'vmlaunch' : 'vmresume')
  const { current } = vmx
  if (!current) return failInvalid(cpu)
  if (cpu.shadow & MOV_SS) return failValid(cpu, vmx, VmError.entryMovSsBlocking)
  if (launch && current.launched) return failValid(cpu, vmx, VmError.vmlaunchNonClear)
  if (!launch && !current.launched) return failValid(cpu, vmx, VmError.vmresumeNonLaunched)
  const error = enter(vmx.core, vmx, launch)
  if (error !== 0) return failValid(cpu, vmx, error)
  goOn(cpu)
}
const vmlaunch: Assist = (cpu, insn) => entry(cpu, insn, true)
const vmresume: Assist = (cpu, insn) => entry(cpu, insn, false)

/** A guest may call at any CPL and in any mode; in root operation there is no SMM monitor to call (30.3). */
const vmcall: Assist = (cpu, insn) => {
  const { vmx } = cpu
  if (vmx instanceof Vmx && vmx.mode === 'nonRoot' && cpu.intercepts?.taken('vmx', 'vmcall', insn)) return goOn(cpu)
  fail(cpu, begin(cpu, insn, 'vmcall'), VmError.vmcallInRoot)
}

// ---- translations ---------------------------------------------------------------------------------------------
/** Bits of IA32_VMX_EPT_VPID_CAP: the instruction itself, and where its types begin: type n is bit `types` + n. */
const INVEPT = { exists: 20n, types: 24n } as const
const INVVPID = { exists: 32n, types: 40n } as const

/** The type in the register operand and the descriptor's halves; undefined: no such type. */
function invalidation(cpu: Processor, insn: Instruction, of: typeof INVEPT | typeof INVVPID): { type: number; low: bigint; high: bigint } | undefined {
  const type = insn.operand(0)
  if (type > 3n || !((eptVpid >> (of.types + type)) & 1n)) return undefined
  const at = insn.linear(16, false)
  const second = (at + 8n) & cpu.state.linearMask
  return { type: Number(type), low: cpu.memory.read64(at), high: cpu.memory.read64(second) }
}

const exists = (of: typeof INVEPT | typeof INVVPID): void => {
  if (!((eptVpid >> of.exists) & 1n)) throw undefinedOpcode()
}

const invept: Assist = (cpu, insn) => {
  exists(INVEPT)
  const vmx = begin(cpu, insn, 'invept')
  const of = invalidation(cpu, insn, INVEPT)
  if (!of || (of.type === 1 && !isValidEptPointer(of.low, MAXPHYADDR))) return fail(cpu, vmx, VmError.invalidInvalidationOperand)
  vmx.invalidateEpt()
  succeed(cpu)
}

// Descriptor: VPID in 15:0, 63:16 reserved, linear address in 127:64.
const invvpid: Assist = (cpu, insn) => {
  exists(INVVPID)
  const vmx = begin(cpu, insn, 'invvpid')
  const of = invalidation(cpu, insn, INVVPID)
  const valid = of && of.low >> 16n === 0n && (of.type === 2 || of.low !== 0n) && (of.type !== 0 || isCanonical(of.high))
  if (!valid) return fail(cpu, vmx, VmError.invalidInvalidationOperand)
  vmx.invalidateVpid()
  succeed(cpu)
}

// ---- VM functions (25.5.5) --------------------------------------------------------------------------------------
const EPTP_LIST = 512

/** EAX names the function; 0 switches the EPT pointer to entry ECX of the list. No flags change. */
const vmfunc: Assist = (cpu, insn) => {
  const { vmx } = cpu
  const gpr = cpu.state.gpr
  const leaf = Number(gpr.get(RAX) & 0xffff_ffffn)
  if (!(vmx instanceof Vmx) || vmx.mode !== 'nonRoot' || !(vmx.controls.secondary & Secondary.enableVmFunctions) || leaf > 63) throw undefinedOpcode()
  const { controls, core } = vmx
  const index = Number(gpr.get(RCX) & 0xffff_ffffn)
  if (leaf !== 0 || !(controls.vmFunctions & 1) || index >= EPTP_LIST) exit(cpu, insn, 'vmfunc')
  const at = controls.eptpList + 8 * index
  const next = BigInt(core.physical.read(at, 4)) | (BigInt(core.physical.read(at + 4, 4)) << 32n)
  if (!isValidEptPointer(next, MAXPHYADDR)) exit(cpu, insn, 'vmfunc')
  vmx.switchEptPointer(next, index)
}

export const vmxAssists = {
  vmxon, vmxoff, vmclear, vmptrld, vmptrst, vmread, vmwrite, vmlaunch, vmresume, vmcall, invept, invvpid, vmfunc,
} satisfies Pick<AssistTable, 'vmxon' | 'vmxoff' | VmxInstruction>

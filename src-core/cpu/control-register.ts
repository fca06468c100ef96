// Control registers (SDM 2B MOV CR, 2A CLTS LMSW, 2B SMSW, 2C XGETBV XSETBV; bits and consistency: SDM 3A 2.5, 4.1, 4.10.4, 9.8.5).

import { CR3_NO_FLUSH, CR3_PCID } from '../arch/pte.ts'
import { CS, Cr0, Cr4, Efer, MAXPHYADDR, Rights, TR } from '../arch/registers.ts'
import type { Assists } from '../isa/assists.ts'
import type { Instruction } from './instruction.ts'
import { generalProtection, intercept, privileged, readEcx, readEdxEax, undefinedOpcode, writeEdxEax } from './privilege.ts'
import type { Processor } from './processor.ts'

type Assist = (cpu: Processor, insn: Instruction) => void

const CR0_WRITABLE = Cr0.PE | Cr0.MP | Cr0.EM | Cr0.TS | Cr0.NE | Cr0.WP | Cr0.AM | Cr0.NW | Cr0.CD | Cr0.PG
/** Bits of CR4 that can be 1; VMXE too where the processor has VT-x. */
export const CR4_SUPPORTED =
  Cr4.VME | Cr4.PVI | Cr4.TSD | Cr4.DE | Cr4.PSE | Cr4.PAE | Cr4.MCE | Cr4.PGE | Cr4.PCE | Cr4.OSFXSR | Cr4.OSXMMEXCPT |
  Cr4.UMIP | Cr4.FSGSBASE | Cr4.PCIDE | Cr4.OSXSAVE | Cr4.SMEP | Cr4.SMAP
/** A change of these drops all translations, global ones too (SDM 3A 4.10.4.1); CR0.WP and CR4.SMAP because cached rights hold them. */
const CR0_TRANSLATION = Cr0.PE | Cr0.WP | Cr0.PG
const CR4_TRANSLATION = Cr4.PSE | Cr4.PAE | Cr4.PGE | Cr4.PCIDE | Cr4.SMEP | Cr4.SMAP
/** A change of these reloads the PDPTEs in PAE paging (SDM 3A 4.4.1). */
const CR0_PDPTE = Cr0.CD | Cr0.NW | Cr0.PG
const CR4_PDPTE = Cr4.PAE | Cr4.PGE | Cr4.PSE | Cr4.SMEP

const exists = (cpu: Processor, register: number): boolean =>
  register === 0 || register === 2 || register === 3 || register === 4 || (register === 8 && cpu.mode64)

/** CR0 and CR4 as read, and what a write changes: a monitor may own some of their bits (SDM 3C 25.3, MOV CR). */
const readControl = (cpu: Processor, register: 0 | 4): bigint => {
  const value = register === 0 ? cpu.state.cr0 : cpu.state.cr4
  return cpu.intercepts?.guest?.readControl(register, value) ?? value
}
const guestControl = (cpu: Processor, register: 0 | 4, value: bigint): bigint => cpu.intercepts?.guest?.writeControl(register, value) ?? value

/** The value of a control register that exists. */
export function controlRegister(cpu: Processor, register: number): bigint {
  const s = cpu.state
  return register === 0 ? readControl(cpu, 0) : register === 2 ? s.cr2 : register === 3 ? s.cr3 : register === 4 ? readControl(cpu, 4) : BigInt(cpu.intercepts?.guest?.readTaskPriority() ?? cpu.apic.readTaskPriority())
}

const readCr: Assist = (cpu, insn) => {
  if (!exists(cpu, insn.reg)) throw undefinedOpcode()
  privileged(cpu)
  intercept(cpu, 'readCr', insn.reg, insn.rm)
  insn.setOperand(0, controlRegister(cpu, insn.reg))
}

const writeCr: Assist = (cpu, insn) => {
  if (!exists(cpu, insn.reg)) throw undefinedOpcode()
  privileged(cpu)
  const value = insn.operand(1)
  intercept(cpu, 'writeCr', insn.reg, insn.rm, value)
  if (insn.reg === 0) writeCr0(cpu, guestControl(cpu, 0, value))
  else if (insn.reg === 2) cpu.state.cr2 = value
  else if (insn.reg === 3) writeCr3(cpu, value)
  else if (insn.reg === 4) writeCr4(cpu, guestControl(cpu, 4, value))
  else {
    if (value >> 4n !== 0n) throw generalProtection()
    if (!cpu.intercepts?.guest?.writeTaskPriority(Number(value))) cpu.apic.writeTaskPriority(Number(value))
  }
}

/** MOV to CR0 and LMSW, after the privilege check. Throws Fault before any change. */
export function writeCr0(cpu: Processor, value: bigint): void {
  const s = cpu.state
  if (value >> 32n !== 0n) throw generalProtection()
  const next = (value & CR0_WRITABLE) | Cr0.ET
  if (next & Cr0.PG && !(next & Cr0.PE)) throw generalProtection()
  if (next & Cr0.NW && !(next & Cr0.CD)) throw generalProtection()
  if (cpu.vmx && !cpu.vmx.cr0Allowed(next)) throw generalProtection()
  const changed = next ^ s.cr0
  let efer = s.efer
  if (changed & Cr0.PG) {
    if (next & Cr0.PG) {
      if (efer & Efer.LME) {
        // SDM 3A 9.8.5.1, 9.8.5.3: no 64-bit code segment, no 16-bit TSS when IA-32e mode becomes active.
        const tss = s.segRights.get(TR) & Rights.type
        if (!(s.cr4 & Cr4.PAE) || s.segRights.get(CS) & Rights.L || tss === 1 || tss === 3) throw generalProtection()
        efer |= Efer.LMA
      }
    } else {
      if (s.cr4 & Cr4.PCIDE || cpu.mode64) throw generalProtection()
      efer &= ~Efer.LMA
    }
  }
  const pae = (next & Cr0.PG) !== 0n && (s.cr4 & Cr4.PAE) !== 0n && !(efer & Efer.LMA)
  if (pae && changed & CR0_PDPTE && !cpu.memory.loadPdptes(s.cr3)) throw generalProtection()
  s.cr0 = next
  s.efer = efer
  if (changed & CR0_TRANSLATION) cpu.memory.flushAll()
  if (changed) cpu.modeChanged()
}

const isPae = (cpu: Processor, cr4 = cpu.state.cr4): boolean =>
  (cpu.state.cr0 & Cr0.PG) !== 0n && (cr4 & Cr4.PAE) !== 0n && !(cpu.state.efer & Efer.LMA)

/** MOV to CR3, after the privilege check. Throws Fault before any change. */
export function writeCr3(cpu: Processor, value: bigint): void {
  const s = cpu.state
  let next = value
  const pcids = (s.cr4 & Cr4.PCIDE) !== 0n
  const keep = pcids && (value & CR3_NO_FLUSH) !== 0n
  if (keep) next &= ~CR3_NO_FLUSH
  if (next >> BigInt(MAXPHYADDR) !== 0n) throw generalProtection()
  if (isPae(cpu) && !cpu.memory.loadPdptes(next)) throw generalProtection()
  const same = next === s.cr3
  s.cr3 = next
  // Cached translations are not tagged: they belong to the PCID in force, and go when it does (allowed by SDM 3A 4.10.4.1).
  if (!(keep && same)) cpu.memory.flushNonGlobal()
}

/** MOV to CR4, after the privilege check. Throws Fault before any change. */
export function writeCr4(cpu: Processor, value: bigint): void {
  const s = cpu.state
  const writable = CR4_SUPPORTED | (cpu.vmx ? Cr4.VMXE : 0n)
  if (value & ~writable) throw generalProtection()
  if (cpu.vmx && !cpu.vmx.cr4Allowed(value)) throw generalProtection()
  const changed = value ^ s.cr4
  const long = (s.efer & Efer.LMA) !== 0n
  if (long && !(value & Cr4.PAE)) throw generalProtection()
  if (changed & value & Cr4.PCIDE && (!long || (s.cr3 & CR3_PCID) !== 0n)) throw generalProtection()
  if (isPae(cpu, value) && changed & CR4_PDPTE && !cpu.memory.loadPdptes(s.cr3)) throw generalProtection()
  s.cr4 = value
  if (changed & CR4_TRANSLATION) cpu.memory.flushAll()
  if (changed) cpu.modeChanged()
}

const clts: Assist = (cpu) => {
  privileged(cpu)
  intercept(cpu, 'clts')
  const next = guestControl(cpu, 0, cpu.state.cr0 & ~Cr0.TS)
  if (next === cpu.state.cr0) return
  cpu.state.cr0 = next
  cpu.modeChanged()
}

/** Loads PE, MP, EM, TS; PE can be set so, not cleared. */
const lmsw: Assist = (cpu, insn) => {
  privileged(cpu)
  const source = insn.operand(0)
  intercept(cpu, 'lmsw', Number(source), insn.memory, insn.memory ? insn.linear(2, false) : 0n)
  writeCr0(cpu, guestControl(cpu, 0, (cpu.state.cr0 & ~0xen) | (source & 0xfn)))
}

const smsw: Assist = (cpu, insn) => {
  if (cpu.state.cpl !== 0 && cpu.state.cr4 & Cr4.UMIP) throw generalProtection()
  insn.setOperand(0, readControl(cpu, 0))
}

const xgetbv: Assist = (cpu) => {
  if (!(cpu.state.cr4 & Cr4.OSXSAVE)) throw undefinedOpcode()
  if (readEcx(cpu) !== 0) throw generalProtection()
  writeEdxEax(cpu, cpu.state.xcr0)
}

/** XCR0: x87 in bit 0 must be set, SSE in bit 1; no other state is offered (SDM 1 13.3). */
const xsetbv: Assist = (cpu) => {
  if (!(cpu.state.cr4 & Cr4.OSXSAVE)) throw undefinedOpcode()
  privileged(cpu)
  intercept(cpu, 'xsetbv')
  const value = readEdxEax(cpu)
  if (readEcx(cpu) !== 0 || (value & ~3n) !== 0n || (value & 1n) === 0n) throw generalProtection()
  cpu.state.xcr0 = value
}

export const controlRegisterAssists = { readCr, writeCr, clts, lmsw, smsw, xgetbv, xsetbv } satisfies Partial<Record<keyof Assists, Assist>>

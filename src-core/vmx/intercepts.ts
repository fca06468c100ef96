// What a guest's monitor watches: every point the processor asks about, against the VM-execution controls (SDM 3C 24.6, 25.1).
// Exit qualifications: 27.2.1. Does not model: SMM, RDRAND, RDSEED, XSAVES, ENCLS and PAUSE-loop exiting.

import { EptViolation } from '../arch/ept.ts'
import { Vector } from '../arch/exceptions.ts'
import { Dr6 } from '../arch/pte.ts'
import { Cr0, ES, RDI, RSI } from '../arch/registers.ts'
import { ExitControl, ExitReason, InterruptionType, Pin, Primary, Secondary } from '../arch/vmx.ts'
import type { EventKind } from '../cpu/event.ts'
import type { Instruction } from '../cpu/instruction.ts'
import type { InterceptPoints, Intercepts, VmxInstruction } from '../cpu/intercepts.ts'
import type { SecondStageStop } from '../paging/second-stage.ts'
import { displacement, descriptorTableInformation, ioInformation, vmxInformation } from './exit-information.ts'
import { vmExit, type ExitDetails } from './exit.ts'
import { GuestMemory } from './guest-memory.ts'
import { MonitorRules } from './guest-rules.ts'
import type { Vmx } from './vmx.ts'

type Points = { readonly [P in keyof InterceptPoints]: (...args: InterceptPoints[P]) => boolean }

/** Kinds of CR access in exit qualifications. */
const Access = { moveTo: 0, moveFrom: 1, clts: 2, lmsw: 3 } as const
const SOURCES = { call: 0, iret: 1, jmp: 2, gate: 3 } as const
/** #VE information area (25.5.6.2): reason, in use, qualification, linear and physical address, EPTP index. */
const VE_IN_USE = 0xffff_ffff
/** MSR bitmaps (24.6.9): 1 KiB each for reads of low and high MSRs, then writes. */
const MSR_HIGH = 0xc000_0000
const MSRS = 0x2000

/** Gives VMX operation what runs its guests: memory, and what their monitor watches. */
export function guestSupport(vmx: Vmx): void {
  new GuestMemory(vmx)
  vmx.guestIntercepts = new MonitorIntercepts(vmx)
}

export class MonitorIntercepts implements Intercepts {
  readonly guest: MonitorRules
  private readonly points: Points

  constructor(private readonly vmx: Vmx) {
    this.guest = new MonitorRules(vmx)
    this.points = this.build()
  }

  taken<P extends keyof InterceptPoints>(point: P, ...args: InterceptPoints[P]): boolean {
    return (this.points[point] as (...args: InterceptPoints[P]) => boolean)(...args)
  }

  /** Leaves the guest. `instruction`: its length counts. */
  private exit(reason: number, details: ExitDetails = {}): true {
    vmExit(this.vmx.core, this.vmx, reason, details)
    return true
  }

  /** Leaves the guest because of the instruction at hand. */
  private instruction(reason: number, details: ExitDetails = {}): true {
    return this.exit(reason, { ...details, instructionLength: this.vmx.core.instruction!.length })
  }

  private build(): Points {
    const { vmx } = this
    const { core, controls: c } = vmx
    const primary = (bit: number): boolean => (c.primary & bit) !== 0
    const secondary = (bit: number): boolean => (c.secondary & bit) !== 0
    const when = (bit: number, reason: number) => (): boolean => primary(bit) && this.instruction(reason)
    const withOperand = (reason: number): true => {
      const insn = core.instruction!
      return this.instruction(reason, { qualification: displacement(insn), instructionInformation: vmxInformation(insn) })
    }
    return {
      cpuid: () => this.instruction(ExitReason.cpuid),
      hlt: when(Primary.hltExiting, ExitReason.hlt),
      pause: when(Primary.pauseExiting, ExitReason.pause),
      rdtsc: when(Primary.rdtscExiting, ExitReason.rdtsc),
      rdtscp: when(Primary.rdtscExiting, ExitReason.rdtscp),
      rdpmc: when(Primary.rdpmcExiting, ExitReason.rdpmc),
      invlpg: (linear) => primary(Primary.invlpgExiting) && this.instruction(ExitReason.invlpg, { qualification: linear }),
      invpcid: () => primary(Primary.invlpgExiting) && withOperand(ExitReason.invpcid),
      invd: () => this.instruction(ExitReason.invd),
      wbinvd: () => secondary(Secondary.wbinvdExiting) && this.instruction(ExitReason.wbinvd),
      monitor: when(Primary.monitorExiting, ExitReason.monitor),
      mwait: when(Primary.mwaitExiting, ExitReason.mwait),
      xsetbv: () => this.instruction(ExitReason.xsetbv),
      rdmsr: (index) => this.watchesMsr(index, false) && this.instruction(ExitReason.rdmsr),
      wrmsr: (index) => this.watchesMsr(index, true) && this.instruction(ExitReason.wrmsr),
      readCr: (register, gpr) => primary(register === 3 ? Primary.cr3StoreExiting : register === 8 ? Primary.cr8StoreExiting : 0) && this.control(register, Access.moveFrom, gpr),
      writeCr: (register, gpr, value) => this.watchesWrite(register, value) && this.control(register, Access.moveTo, gpr),
      clts: () => (c.cr0Mask & c.cr0Shadow & Cr0.TS) !== 0n && this.control(0, Access.clts, 0),
      lmsw: (source, memoryOperand, linear) => {
        const mask = Number(c.cr0Mask & 0xfn)
        const shadow = Number(c.cr0Shadow & 0xfn)
        if (!(mask & source & ~shadow & 1) && !(mask & (source ^ shadow) & 0xe)) return false
        const qualification = (((source & 0xffff) << 16) | (Access.lmsw << 4) | (memoryOperand ? 1 << 6 : 0)) >>> 0
        return this.instruction(ExitReason.controlRegisterAccess, { qualification, ...(memoryOperand ? { guestLinear: linear } : {}) })
      },
      readDr: (register, gpr) => primary(Primary.movDrExiting) && this.instruction(ExitReason.movDr, { qualification: register | (1 << 4) | (gpr << 8) }),
      writeDr: (register, gpr) => primary(Primary.movDrExiting) && this.instruction(ExitReason.movDr, { qualification: register | (gpr << 8) }),
      io: (port, size, input, string, rep, immediate) => {
        if (!this.watchesPort(port, size)) return false
        const flags = (input ? 1 << 3 : 0) | (string ? 1 << 4 : 0) | (rep ? 1 << 5 : 0) | (immediate ? 1 << 6 : 0)
        return this.instruction(ExitReason.ioInstruction, { qualification: ((port << 16) | flags | (size - 1)) >>> 0, ...(string ? this.stringIo(input) : {}) })
      },
      descriptorTable: (name) => {
        if (!secondary(Secondary.descriptorTableExiting)) return false
        const insn = core.instruction!
        const reason = name === 'sgdt' || name === 'sidt' || name === 'lgdt' || name === 'lidt' ? ExitReason.gdtrOrIdtrAccess : ExitReason.ldtrOrTrAccess
        return this.instruction(reason, { qualification: displacement(insn), instructionInformation: descriptorTableInformation(insn, name) })
      },
      taskSwitch: (selector, source) => {
        const length = source === 'gate' ? core.delivery?.instructionLength : core.instruction?.length
        return this.exit(ExitReason.taskSwitch, { qualification: ((SOURCES[source] << 30) | selector) >>> 0, ...(length === undefined ? {} : { instructionLength: length }) })
      },
      exception: (vector, errorCode, address, kind, debug) => this.exception(vector, errorCode, address, kind, debug),
      externalInterrupt: () => {
        if (!(c.pin & Pin.externalInterruptExiting)) return false
        if (!(c.exit & ExitControl.acknowledgeInterrupt)) return this.exit(ExitReason.externalInterrupt)
        return this.exit(ExitReason.externalInterrupt, { interruption: { vector: core.apic.acknowledge(), type: InterruptionType.externalInterrupt } })
      },
      nmi: () => (c.pin & Pin.nmiExiting) !== 0 && this.exit(ExitReason.exceptionOrNmi, { interruption: { vector: Vector.NMI, type: InterruptionType.nmi } }),
      init: () => this.exit(ExitReason.init),
      sipi: (vector) => this.exit(ExitReason.sipi, { qualification: vector }),
      tripleFault: () => this.exit(ExitReason.tripleFault),
      vmx: (name, insn) => this.vmxInstruction(name, insn),
      secondStage: (stop) => this.secondStage(stop),
    }
  }

  // ---- control registers, MSRs, ports -------------------------------------------------------------
  private control(register: number, access: number, gpr: number): true {
    return this.instruction(ExitReason.controlRegisterAccess, { qualification: register | (access << 4) | (gpr << 8) })
  }

  private watchesWrite(register: number, value: bigint): boolean {
    const c = this.vmx.controls
    if (register === 0) return ((value ^ c.cr0Shadow) & c.cr0Mask) !== 0n
    if (register === 4) return ((value ^ c.cr4Shadow) & c.cr4Mask) !== 0n
    if (register === 8) return (c.primary & Primary.cr8LoadExiting) !== 0
    if (register !== 3 || (c.primary & Primary.cr3LoadExiting) === 0) return false
    const n = c.cr3TargetCount
    return !((n > 0 && value === c.cr3Target0) || (n > 1 && value === c.cr3Target1) || (n > 2 && value === c.cr3Target2) || (n > 3 && value === c.cr3Target3))
  }

  private watchesMsr(index: number, write: boolean): boolean {
    const c = this.vmx.controls
    if ((c.primary & Primary.useMsrBitmaps) === 0) return true
    const high = index >= MSR_HIGH
    const n = high ? index - MSR_HIGH : index
    return n >= MSRS || this.bit(c.msrBitmaps + (high ? 1024 : 0) + (write ? 2048 : 0), n)
  }

  private watchesPort(port: number, size: number): boolean {
    const c = this.vmx.controls
    if ((c.primary & Primary.useIoBitmaps) === 0) return (c.primary & Primary.unconditionalIoExiting) !== 0
    if (port + size > 0x10000) return true
    for (let p = port; p < port + size; p++) if (this.bit(p < 0x8000 ? c.ioBitmapA : c.ioBitmapB, p & 0x7fff)) return true
    return false
  }

  /** Bit `n` of a bitmap at a guest-physical address of the host. */
  private bit(base: number, n: number): boolean {
    return ((this.vmx.core.physical.read(base + (n >> 3), 1) >> (n & 7)) & 1) !== 0
  }

  /** INS and OUTS: their linear address, unchecked, and the instruction information (27.2.5, table 27-8). */
  private stringIo(input: boolean): ExitDetails {
    const { state } = this.vmx.core
    const insn = this.vmx.core.instruction!
    const mask = insn.addressSize === 64 ? state.linearMask : insn.addressSize === 32 ? 0xffff_ffffn : 0xffffn
    const segment = input ? ES : insn.segment
    const guestLinear = (state.segEffective.get(segment) + (state.gpr.get(input ? RDI : RSI) & mask)) & state.linearMask
    return { guestLinear, instructionInformation: ioInformation(insn, segment) }
  }

  // ---- events ---------------------------------------------------------------------------------------
  private exception(vector: number, errorCode: number | undefined, address: bigint | undefined, kind: EventKind, debug: number | undefined): boolean {
    const { core, controls: c } = this.vmx
    let wanted = ((c.exceptionBitmap >>> vector) & 1) !== 0
    // 25.2: the mask and match decide whether bit 14 means what it says or its opposite
    if (vector === Vector.PF && ((errorCode! & c.pageFaultMask) >>> 0) !== c.pageFaultMatch) wanted = !wanted
    if (!wanted) return false
    const type =
      kind === 'softwareException' ? InterruptionType.softwareException : kind === 'int1' ? InterruptionType.privilegedSoftwareException : InterruptionType.hardwareException
    const pushed = errorCode !== undefined && (core.state.cr0 & Cr0.PE) !== 0n
    const qualification = vector === Vector.PF ? address! : vector === Vector.DB && debug !== undefined ? debug & (0xf | Dr6.BD | Dr6.BS) : 0
    return this.exit(ExitReason.exceptionOrNmi, {
      qualification,
      interruption: { vector, type, ...(pushed ? { errorCode } : {}) },
      ...(type === InterruptionType.hardwareException ? {} : { instructionLength: core.instruction!.length }),
    })
  }

  private secondStage(stop: SecondStageStop): boolean {
    const { core } = this.vmx
    const guestPhysical = BigInt(stop.guestPhysical)
    if (stop.kind === 'misconfiguration') return this.exit(ExitReason.eptMisconfiguration, { guestPhysical })
    const unblocked = core.nmiUnblocked && !core.delivery ? EptViolation.nmiUnblocked : 0
    if (stop.kind === 'logFull') return this.exit(ExitReason.pageModificationLogFull, { qualification: unblocked })
    const linear = (BigInt(stop.linearHigh >>> 0) << 32n) | BigInt(stop.linearLow >>> 0)
    if (stop.convertible && this.virtualizes(stop, linear)) return false
    return this.exit(ExitReason.eptViolation, {
      qualification: stop.qualification | unblocked,
      guestPhysical,
      ...(stop.qualification & EptViolation.linearValid ? { guestLinear: linear } : {}),
    })
  }

  /** Turns an EPT violation into #VE for the guest, if it may be (25.5.6.1), with its information written. */
  private virtualizes(stop: SecondStageStop, linear: bigint): boolean {
    const { core, controls: c, current } = this.vmx
    if ((c.secondary & Secondary.eptViolationVe) === 0 || !(core.state.cr0 & Cr0.PE) || core.delivery) return false
    const host = core.physical.host(c.virtualizationException)
    const { view } = core.physical
    if (host === 0 || view.getUint32(host + 4, true) !== 0) return false
    if (core.mmu.code.holds[host >>> 12] !== 0) core.mmu.code.written(host, 34)
    view.setUint32(host, ExitReason.eptViolation, true)
    view.setUint32(host + 4, VE_IN_USE, true)
    view.setBigUint64(host + 8, BigInt(stop.qualification), true)
    view.setBigUint64(host + 16, linear, true)
    view.setBigUint64(host + 24, BigInt(stop.guestPhysical), true)
    view.setUint16(host + 32, current!.eptpIndex, true)
    return true
  }

  // ---- instructions of the extensions -----------------------------------------------------------------
  private vmxInstruction(name: VmxInstruction, insn: Instruction): true {
    const operandless = name === 'vmcall' || name === 'vmlaunch' || name === 'vmresume' || name === 'vmxoff' || name === 'vmfunc'
    if (operandless) return this.instruction(ExitReason[name])
    return this.instruction(ExitReason[name], { qualification: displacement(insn), instructionInformation: vmxInformation(insn) })
  }
}

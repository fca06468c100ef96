// A machine with VT-x whose first processor runs snippets of assembly in 64-bit mode at CPL 0, paging identity-mapped.
//
//   10000H GDT   11000H IDT   12000H a HLT per vector, 16 bytes apart   13000H TSS   20000H tables   30000H code   38000H stack   40000H… data

import { Cr0, Cr4, CS, Efer, Rights, SS, TR } from '../../src-core/arch/registers.ts'
import { resolveBoard } from '../../src-core/board/config.ts'
import { Machine } from '../../src-core/board/machine.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import type { Core } from '../../src-core/cpu/run.ts'
import { assemble } from '../../src-core/guests/assembler/assemble.ts'
import { REVISION } from '../../src-core/vmx/vmcs.ts'
import { Vmx } from '../../src-core/vmx/vmx.ts'

const GDT = 0x10000
const IDT = 0x11000
const STUBS = 0x12000
const TSS = 0x13000
const TABLES = 0x20000
const CODE = 0x30000
const STACK = 0x38000
/** A VMXON region and three VMCS regions; 60000H is room for operands. */
export const VMXON = 0x40000
export const VMCS = [0x41000, 0x42000, 0x43000] as const
export const DATA = 0x60000
export const MEGABYTES = 4

export interface Outcome {
  /** The exception that ended the snippet; undefined: it ran to its end. */
  readonly vector: number | undefined
  readonly errorCode: number
  /** The six arithmetic flags that are set, in order: 'CF PF AF ZF SF OF'. */
  readonly flags: string
  /** 'ok', 'invalid', 'valid n' by the flags and the VM-instruction error field; or '#vector(errorCode)'. */
  readonly result: string
}

const names = [[0, 'CF'], [2, 'PF'], [4, 'AF'], [6, 'ZF'], [7, 'SF'], [11, 'OF']] as const

export class Monitor {
  readonly machine: Machine
  readonly core: Core

  constructor(options: { vmx?: boolean; processors?: number } = {}) {
    const config = resolveBoard(PRESETS.get('uma-1n')!, { megabytes: MEGABYTES, processors: options.processors ?? 1 })
    this.machine = new Machine({ config, costs: false, vmx: options.vmx ?? true })
    this.core = this.machine.cores[0]!
    this.reset()
  }

  get vmx(): Vmx {
    if (this.core.vmx instanceof Vmx) return this.core.vmx
    throw new Error('a processor without VT-x')
  }

  /** Power-on, then 64-bit mode with the tables above; CR4.VMXE set, FEATURE_CONTROL locked with VMXON allowed, revision ids in place. */
  reset(): void {
    const { machine, core } = this
    const { view, bytes } = machine.physical
    const host = (address: number): number => machine.physical.host(address)
    machine.powerOn()
    bytes.fill(0, host(GDT), host(DATA) + 0x10000)
    const gdt = [0n, 0x00af9b000000ffffn, 0x00cf93000000ffffn, 0x00cf9b000000ffffn, 0x00affb000000ffffn, 0x00cff3000000ffffn]
    gdt.forEach((d, n) => view.setBigUint64(host(GDT) + 8 * n, d, true))
    for (let v = 0; v < 32; v++) {
      const handler = STUBS + 16 * v
      bytes[host(handler)] = 0xf4
      view.setUint32(host(IDT) + 16 * v, (handler & 0xffff) | (0x08 << 16), true)
      view.setUint32(host(IDT) + 16 * v + 4, (handler & 0xffff0000) | 0x8e00, true)
    }
    view.setUint32(host(TSS) + 4, STACK, true)
    const large = 0xe7
    view.setUint32(host(TABLES), (TABLES + 0x1000) | 0x67, true)
    view.setUint32(host(TABLES + 0x1000), (TABLES + 0x2000) | 0x67, true)
    for (let n = 0; n < 512; n++) view.setUint32(host(TABLES + 0x2000) + 8 * n, (n * 0x200000) | large, true)
    for (const region of [VMXON, ...VMCS]) view.setUint32(host(region), REVISION, true)
    const s = core.state
    s.cr0 = Cr0.PE | Cr0.NE | Cr0.ET | Cr0.PG | Cr0.MP
    s.cr3 = BigInt(TABLES)
    s.cr4 = Cr4.PAE | (core.vmx ? Cr4.VMXE : 0n)
    s.efer = Efer.LME | Efer.LMA
    for (let i = 0; i < 6; i++) {
      s.segSelector.set(i, i === CS ? 0x08 : 0x10)
      s.segBase.set(i, 0n)
      s.segLimit.set(i, 0xffffffff)
      s.segRights.set(i, Rights.P | Rights.S | Rights.G | (i === CS ? 0xb | Rights.L : 3 | Rights.DB))
    }
    s.segSelector.set(TR, 0x40)
    s.segBase.set(TR, BigInt(TSS))
    s.segLimit.set(TR, 0x67)
    s.segRights.set(TR, 0x8b)
    s.gdtrBase = BigInt(GDT)
    s.gdtrLimit = 0x2f
    s.idtrBase = BigInt(IDT)
    s.idtrLimit = 0x1ff
    core.setRflags(2n)
    core.mmu.flushAll()
    core.modeChanged()
    if (core.vmx) this.run('mov ecx, 3Ah\n mov edx, 0\n mov eax, 5\n wrmsr')
  }

  /** Sets the privilege level of 64-bit mode. */
  level(cpl: 0 | 3): void {
    const s = this.core.state
    s.segSelector.set(CS, cpl === 0 ? 0x08 : 0x23)
    s.segSelector.set(SS, cpl === 0 ? 0x10 : 0x2b)
    const dpl = cpl << Rights.dplShift
    s.segRights.set(CS, Rights.P | Rights.S | Rights.G | Rights.L | 0xb | dpl)
    s.segRights.set(SS, Rights.P | Rights.S | Rights.G | Rights.DB | 3 | dpl)
    this.core.modeChanged()
  }

  /** Compatibility mode: IA-32e mode with a 32-bit code segment. */
  compatibility(): void {
    this.core.state.segSelector.set(CS, 0x18)
    this.core.state.segRights.set(CS, Rights.P | Rights.S | Rights.G | Rights.DB | 0xb)
    this.core.modeChanged()
  }

  /** Runs the text followed by HLT (CPL 3: INT3, which ends it at vector 3) from where registers stand now; the stack is fresh. */
  run(text: string, bits: 16 | 32 | 64 = 64): Outcome {
    const { machine, core } = this
    const s = core.state
    const cpl = s.cpl
    const end = cpl === 0 ? 'hlt' : 'int3'
    const program = assemble(`${text}\n ${end}\n`, { origin: BigInt(CODE), bits })
    const data = program.sections[0]!.bytes
    machine.physical.load(CODE, data)
    machine.code.flush()
    s.rip = BigInt(CODE)
    s.gpr.set(4, BigInt(STACK))
    s.activity = 0
    const { time } = machine
    core.time = Math.max(core.time, time)
    for (let n = 0; core.state.activity === 0; n++) {
      if (n > 50) throw new Error(`the snippet does not end: RIP ${s.rip.toString(16)}H`)
      machine.run(0)
    }
    return this.outcome(cpl)
  }

  private outcome(cpl: number): Outcome {
    const s = this.core.state
    const at = Number(s.rip) - 1
    const stub = at >= STUBS && at < STUBS + 0x200 ? (at - STUBS) / 16 : undefined
    const vector = cpl === 3 && stub === 3 ? undefined : stub
    const { view } = this.machine.physical
    const host = (address: number): number => this.machine.physical.host(address)
    const top = Number(s.gpr.get(4))
    const hasCode = vector !== undefined && (vector === 8 || (vector >= 10 && vector <= 14) || vector === 17)
    const errorCode = hasCode ? view.getUint32(host(top), true) : 0
    const rflags = stub === undefined ? Number(this.core.rflags()) : view.getUint32(host(top + (hasCode ? 8 : 0) + 16), true)
    const flags = names.filter(([bit]) => (rflags >> bit) & 1).map(([, name]) => name).join(' ')
    const { current } = this.core.vmx instanceof Vmx ? this.core.vmx : { current: undefined }
    const result =
      vector !== undefined ? `#${vector}(${errorCode})` : flags === '' ? 'ok' : flags === 'CF' ? 'invalid' : flags === 'ZF' ? `valid ${current?.vmInstructionError}` : `flags ${flags}`
    return { vector, errorCode, flags, result }
  }

  /** Runs and answers `result`. */
  result(text: string): string {
    return this.run(text).result
  }

  poke64(address: number, value: bigint): void {
    this.machine.physical.view.setBigUint64(this.machine.physical.host(address), value, true)
  }
  peek64(address: number): bigint {
    return this.machine.physical.view.getBigUint64(this.machine.physical.host(address), true)
  }

  /** One instruction over a 64-bit operand in memory that holds `value`. */
  on(instruction: 'vmxon' | 'vmclear' | 'vmptrld', value: bigint | number): string {
    this.poke64(DATA, BigInt(value))
    return this.result(`${instruction} qword [abs ${DATA}]`)
  }

  /** In VMX operation, VMCS[0] current. */
  begin(): void {
    for (const done of [this.on('vmxon', VMXON), this.on('vmclear', VMCS[0]), this.on('vmptrld', VMCS[0])]) if (done !== 'ok') throw new Error(`VMX operation: ${done}`)
  }
}

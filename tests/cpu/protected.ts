// A processor with descriptor tables in memory, for tests of segments, events and transfers: instructions are decoded from bytes.
//
//   GDT 10000H   IDT 11000H   TSS 12000H (selector 40H)   LDT 13000H (50H)   second TSS 14000H (80H)   code 18000H   stacks below 20000H, 24000H

import { CS, DS, ES, FS, GS, LDTR, SS, TR } from '../../src-core/arch/registers.ts'
import { farReturnAssists } from '../../src-core/cpu/far-return.ts'
import { farTransferAssists } from '../../src-core/cpu/far-transfer.ts'
import { Fault } from '../../src-core/cpu/fault.ts'
import { InstructionView } from '../../src-core/cpu/instruction-view.ts'
import type { Instruction } from '../../src-core/cpu/instruction.ts'
import { interruptReturnAssists } from '../../src-core/cpu/interrupt-return.ts'
import { codeSize, deriveMode } from '../../src-core/cpu/mode.ts'
import type { Processor } from '../../src-core/cpu/processor.ts'
import { segmentLoadAssists } from '../../src-core/cpu/segment-load.ts'
import { segmentQueryAssists } from '../../src-core/cpu/segment-query.ts'
import { softwareInterruptAssists } from '../../src-core/cpu/software-interrupt.ts'
import { stackFrameAssists } from '../../src-core/cpu/stack-frame.ts'
import { systemCallAssists } from '../../src-core/cpu/system-call.ts'
import { tableRegisterAssists } from '../../src-core/cpu/table-register.ts'
import { branch } from '../../src-core/isa/branch.ts'
import { Decoder } from '../../src-core/isa/decoder.ts'
import { forms } from '../../src-core/isa/forms.ts'
import { segment } from '../../src-core/isa/segment.ts'
import { stack } from '../../src-core/isa/stack.ts'
import { system } from '../../src-core/isa/system.ts'
import { operandTexts } from '../../src-core/isa/forms.ts'
import { long } from '../paging/bench.ts'
import { processor, type TestProcessor } from './processor.ts'

export const GDT = 0x10000
export const IDT = 0x11000
export const TSS = 0x12000
export const LDT = 0x13000
export const TSS2 = 0x14000
export const CODE = 0x18000
export const STACK = 0x20000
export const INNER = 0x24000

/** Selectors of the GDT that `prepared` writes. */
export const Sel = {
  code0: 0x08, data0: 0x10, code3: 0x1b, data3: 0x23, code64: 0x28, code64user: 0x33, conforming: 0x38, tss: 0x40, ldt: 0x50,
  code16: 0x60, data16: 0x68, absentCode: 0x70, absentData: 0x78, tss2: 0x80, free: 0x90, absentCode3: 0xa3, absentData3: 0xab,
  conforming64: 0xb0, code1: 0xb9, data1: 0xc1, readOnly: 0xc8, executeOnly: 0xd0, expandDown: 0xd8, small: 0xe0,
} as const

export const descriptor = (base: number, limit: number, access: number, flags: number): bigint =>
  BigInt(limit & 0xffff) | (BigInt(base & 0xffffff) << 16n) | (BigInt(access) << 40n) | (BigInt((limit >> 16) & 15) << 48n) | (BigInt(flags) << 52n) |
  (BigInt(base >>> 24) << 56n)
/** First eight bytes of a gate. `access`: P DPL 0 type; `low5`: parameter count or IST. */
export const gate = (selector: number, offset: number, access: number, low5 = 0): bigint =>
  BigInt(offset & 0xffff) | (BigInt(selector) << 16n) | (BigInt(low5) << 32n) | (BigInt(access) << 40n) | (BigInt(offset >>> 16) << 48n)

export class Stage {
  readonly cpu: TestProcessor
  private readonly view: InstructionView
  private readonly decoder: Decoder

  constructor(readonly mode: 16 | 32 | 64, readonly cpl: 0 | 3 = 0) {
    this.cpu = processor(mode, cpl)
    const s = this.cpu.state
    if (mode === 64) long(this.cpu.bench)
    this.view = new InstructionView(this.cpu)
    this.decoder = decoder
    const flat = (access: number, flags: number) => descriptor(0, 0xfffff, access, flags)
    const table: [number, bigint][] = [
      [0x08, flat(0x9a, 0xc)], [0x10, flat(0x92, 0xc)], [0x18, flat(0xfa, 0xc)], [0x20, flat(0xf2, 0xc)], [0x28, flat(0x9a, 0xa)], [0x30, flat(0xfa, 0xa)],
      [0x38, flat(0x9e, 0xc)], [0x40, descriptor(TSS, 0x67, 0x8b, 0)], [0x50, descriptor(LDT, 0xff, 0x82, 0)],
      [0x60, descriptor(0, 0xffff, 0x9a, 0)], [0x68, descriptor(0, 0xffff, 0x92, 0)], [0x70, flat(0x1a, mode === 64 ? 0xa : 0xc)], [0x78, flat(0x12, 0xc)],
      [0x80, descriptor(TSS2, 0x67, 0x89, 0)], [0xa0, flat(0x7a, 0xc)], [0xa8, flat(0x72, 0xc)], [0xb0, flat(0x9e, 0xa)],
      [0xb8, flat(0xba, 0xc)], [0xc0, flat(0xb2, 0xc)], [0xc8, flat(0xf0, 0xc)], [0xd0, flat(0xf8, 0xc)], [0xd8, descriptor(0, 0xfff, 0x96, 4)],
      [0xe0, descriptor(0, 0xfff, 0x9a, 4)],
    ]
    for (const [at, value] of table) this.put64(GDT + at, value)
    s.gdtrBase = BigInt(GDT)
    s.gdtrLimit = 0xff
    s.idtrBase = mode === 16 ? 0n : BigInt(IDT)
    s.idtrLimit = mode === 16 ? 0x3ff : 0xfff
    const user = cpl === 3
    if (mode !== 16) {
      s.segSelector.set(CS, mode === 64 ? (user ? Sel.code64user : Sel.code64) : user ? Sel.code3 : Sel.code0)
      for (const n of [SS, DS, ES, FS, GS]) s.segSelector.set(n, user ? Sel.data3 : Sel.data0)
      s.segRights.set(CS, (user ? 0xfb : 0x9b) | (mode === 64 ? 0xa000 : 0xc000))
      for (const n of [SS, DS, ES, FS, GS]) s.segRights.set(n, (user ? 0xf3 : 0x93) | 0xc000)
    }
    s.segSelector.set(TR, Sel.tss)
    s.segBase.set(TR, BigInt(TSS))
    s.segRights.set(TR, 0x8b)
    s.segRights.set(LDTR, 0x10000)
    if (mode === 64) for (const [n, sp] of [[0, INNER], [1, INNER + 0x400], [2, INNER + 0x800]] as const) this.put64(TSS + 4 + 8 * n, BigInt(sp))
    else {
      this.put32(TSS + 4, INNER)
      this.put32(TSS + 8, Sel.data0)
      this.put32(TSS + 12, INNER + 0x400)
      this.put32(TSS + 16, Sel.data1)
    }
    if (mode === 64) this.put64(TSS + 0x24, BigInt(INNER + 0xc00))
    s.gpr.set(4, mode === 16 ? 0x8000n : BigInt(STACK))
    s.rip = mode === 16 ? 0x100n : BigInt(CODE)
    deriveMode(s)
  }

  get s() {
    return this.cpu.state
  }
  put64(at: number, v: bigint): void {
    this.cpu.physical.view.setBigUint64(this.cpu.physical.host(at), BigInt.asUintN(64, v), true)
  }
  put32(at: number, v: number): void {
    this.cpu.physical.write(at, 4, v)
  }
  put16(at: number, v: number): void {
    this.cpu.physical.write(at, 2, v)
  }
  get16(at: number): number {
    return this.cpu.physical.read(at, 2)
  }
  get32(at: number): number {
    return this.cpu.physical.read(at, 4)
  }
  get64(at: number): bigint {
    return this.cpu.physical.view.getBigUint64(this.cpu.physical.host(at), true)
  }
  /** Writes an IDT gate of the mode's size: 16 bytes in IA-32e mode. */
  idt(vector: number, selector: number, offset: number, access: number, ist = 0, upper = 0): void {
    const at = IDT + vector * (this.mode === 64 ? 16 : 8)
    this.put64(at, gate(selector, offset, access, ist))
    if (this.mode === 64) this.put64(at + 8, BigInt(upper))
  }
  /** `count` stack words of `width` bytes from `at` up. */
  words(at: number, width: 2 | 4 | 8, count: number): number[] {
    return Array.from({ length: count }, (_x, n) => (width === 8 ? Number(this.get64(at + 8 * n)) : width === 4 ? this.get32(at + 4 * n) : this.get16(at + 2 * n)))
  }
  /** Places values upward from the stack pointer given and points rSP there. */
  frame(width: 2 | 4 | 8, values: number[], at = STACK - 0x100): void {
    values.forEach((v, n) => (width === 8 ? this.put64(at + 8 * n, BigInt(v)) : width === 4 ? this.put32(at + 4 * n, v) : this.put16(at + 2 * n, v)))
    this.s.gpr.set(4, BigInt(at))
  }
  /** What a fault must leave alone. */
  snapshot(): unknown {
    const s = this.s
    const eight = [0, 1, 2, 3, 4, 5, 6, 7]
    return [
      s.rip, this.cpu.rflags(), s.cpl, eight.map((n) => s.gpr.get(n)), eight.map((n) => [s.segSelector.get(n), s.segBase.get(n), s.segLimit.get(n), s.segRights.get(n)]),
      s.cr0, s.cr3,
    ]
  }

  /** Decodes and runs one assist at RIP. 'done', or the fault as #vector(code). */
  run(...bytes: number[]): string {
    const { cpu, s } = this
    const d = this.decoder.decode(Uint8Array.from([...bytes, ...new Uint8Array(15)]), 0, bytes.length + 15, codeSize(s))
    if ('kind' in d) throw new RangeError(`no instruction: ${bytes.map((x) => x.toString(16)).join(' ')}`)
    const next = (s.rip + BigInt(d.length)) & s.linearMask
    const call = calls.get(`${d.form.row.mnemonic} ${d.form.row.encoding} ${d.form.row.operands}`)
    if (!call) throw new RangeError(`${d.form.row.mnemonic} is no assist of this family`)
    cpu.nextRip = next
    try {
      const f = assists[call.name as keyof typeof assists] as (cpu: Processor, insn: Instruction, ...args: unknown[]) => void
      f(cpu, this.view.at(d), ...call.args)
      s.rip = cpu.nextRip
    } catch (reason) {
      if (!(reason instanceof Fault)) throw reason
      this.address = reason.address
      return describeFault(reason)
    }
    return 'done'
  }
  address: bigint | undefined
}

export const describeFault = (f: Fault): string => (f.errorCode === undefined ? `#${f.vector}` : `#${f.vector}(${f.errorCode.toString(16)}H)`)

const assists = {
  ...farReturnAssists, ...farTransferAssists, ...interruptReturnAssists, ...segmentLoadAssists, ...segmentQueryAssists, ...softwareInterruptAssists,
  ...stackFrameAssists, ...systemCallAssists, ...tableRegisterAssists,
}
const rows = [...branch, ...segment, ...stack, ...system]
const decoder = new Decoder(forms(rows), new Set(rows.flatMap((r) => r.attributes.feature ?? [])))

/** Which assist each row is, from its meaning run against a context that only notes it. */
const calls = new Map<string, { name: string; args: unknown[] }>()
for (const r of rows) {
  let found: { name: string; args: unknown[] } | undefined
  const context = new Proxy({}, { get: (_t, key) => (...args: unknown[]) => void (key === 'assist' && (found = { name: args[0] as string, args: args.slice(1) })) })
  ;(r.meaning as (...args: unknown[]) => unknown)(context, ...operandTexts(r).map(() => undefined))
  if (found && found.name in assists) calls.set(`${r.mnemonic} ${r.encoding} ${r.operands}`, found)
}

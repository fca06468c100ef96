// Assembled programs on a whole machine, in 64-bit mode, with a handler behind every vector that notes what it was given.
// What a program finds, linear = physical below 200000H:
//   GDT 10000H   IDT 11000H   TSS 13000H   handlers 14000H   tables 20000H   control cells 28000H   log 29000H
//   code 30000H  stacks below 40000H, for CPL 0 events from CPL 3 below 3C000H   data 40000H   chips FEC00000H–FEFFFFFFH

import { Cr0, Cr4, CS, Efer, LDTR, Rights, SS, TR } from '../../src-core/arch/registers.ts'
import { resolveBoard } from '../../src-core/board/config.ts'
import { Machine, type Stop } from '../../src-core/board/machine.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import type { Core } from '../../src-core/cpu/run.ts'
import { assemble, type Program } from '../../src-core/guests/assembler/assemble.ts'
import { descriptor } from './protected.ts'

const GDT = 0x10000
const IDT = 0x11000
const TSS = 0x13000
const HANDLERS = 0x14000
const TABLES = 0x20000
const PAGES = TABLES + 0x3000
const CELLS = 0x28000
const LOG = 0x29000
export const CODE = 0x30000
export const STACK = 0x40000
const INNER = 0x3c000
export const DATA = 0x40000
const MOST_EVENTS = 200
const MOST_CYCLES = 8_000_000

/** Page-table entry bits. */
export const Page = { P: 1n, W: 2n, U: 4n, XD: 1n << 63n } as const

/**
 * Names a program may use. Cells: `on_fault` is where the next event returns to, in 64-bit code at CPL 0 (used once); `keep` is a mask
 * for the flags an event returns with, `add` joins it. INT 80H ends the program from any CPL. `quit` is that in code.
 */
const HEADER = `
on_fault  equ ${CELLS}
keep      equ ${CELLS + 8}
add_flags equ ${CELLS + 16}
log_end   equ ${CELLS + 24}
user_code equ 0x2b
user_data equ 0x23
code16    equ 0x30
data      equ ${DATA}
TF        equ 0x100
RF        equ 0x10000
%macro quit 0
    int     0x80
%endmacro
%macro flags_or 1
    pushfq
    or      qword [rsp], %1
    popfq
%endmacro
%macro write_msr 3
    mov     ecx, %1
    mov     edx, %2
    mov     eax, %3
    wrmsr
%endmacro
%macro to_user 1
    push    user_data
    push    ${STACK - 0x800}
    push    0x3002
    push    user_code
    push    %1
    iretq
%endmacro
org ${CODE}
section .text align=16 write exec
`

const PUSHES_CODE = new Set([8, 10, 11, 12, 13, 14, 17])

/** A handler a vector and what they share: one 64-byte entry of the log an event, then back. */
const handlers = assemble(`
on_fault  equ ${CELLS}
keep      equ ${CELLS + 8}
add_flags equ ${CELLS + 16}
log_end   equ ${CELLS + 24}
org ${HANDLERS}
${Array.from({ length: 256 }, (_, n) => `vector_${n}: ${PUSHES_CODE.has(n) ? '' : 'push -1\n'} push ${n}\n jmp near noted`).join('\n')}
noted:
    cld
    push    rax
    push    rcx
    push    rsi
    push    rdi
    cmp     qword [rsp + 32], 0x80
    je      over
    mov     rdi, [abs log_end]
    lea     rsi, [rsp + 32]
    mov     ecx, 6                      ; vector, error code, RIP, CS, RFLAGS, RSP
    rep movsq
    mov     rax, dr6
    stosq
    mov     rax, cr2
    stosq
    mov     [abs log_end], rdi
    cmp     rdi, ${LOG + 64 * MOST_EVENTS}
    jae     over
    mov     rax, [abs keep]
    and     [rsp + 64], rax
    mov     rax, [abs add_flags]
    or      [rsp + 64], rax
    xor     eax, eax
    xchg    rax, [abs on_fault]
    test    rax, rax
    jz      .back
    mov     [rsp + 48], rax
    mov     qword [rsp + 56], 8
    mov     qword [rsp + 72], ${STACK - 0x100}
    mov     qword [rsp + 80], 0x10
.back:
    cmp     qword [rsp + 32], 0x20      ; interrupts want an EOI
    jb      .done
    mov     eax, 0xfee000b0
    mov     dword [rax], 0
.done:
    pop     rdi
    pop     rsi
    pop     rcx
    pop     rax
    add     rsp, 16
    iretq
over:
    xor     eax, eax
    out     0xf4, eax
    jmp     over
`)

/** What a handler was given. `error` is -1n where the vector has none. */
export interface Noted {
  readonly vector: number
  readonly error: bigint
  readonly rip: bigint
  readonly cs: number
  readonly rflags: bigint
  readonly rsp: bigint
  readonly dr6: bigint
  readonly cr2: bigint
}

export class Stage64 {
  readonly machine: Machine
  program!: Program

  /** `debug` is told each byte written to port E9H, in the middle of the instruction. */
  constructor(processors = 1, debug: (byte: number) => void = () => {}) {
    this.machine = new Machine({ config: resolveBoard(PRESETS.get('uma-1n')!, { megabytes: 4, processors }), costs: false, debug })
  }

  /** Powers on, assembles and places a program, and puts processor 0 at label `start`; others wait, see `place`. */
  load(text: string): this {
    this.program = assemble(HEADER + text, { file: 'test.asm' })
    const { machine } = this
    machine.powerOn()
    for (const r of machine.physical.ranges) machine.physical.bytes.fill(0, r.host, r.host + r.length)
    for (const s of [...handlers.sections, ...this.program.sections]) machine.physical.load(Number(s.address), s.bytes)
    const flat = (access: number, flags: number): bigint => descriptor(0, 0xfffff, access, flags)
    const gdt = [
      0n,
      flat(0x9b, 0xa),
      flat(0x93, 0xc),
      flat(0xfb, 0xc),
      flat(0xf3, 0xc),
      flat(0xfb, 0xa),
      descriptor(DATA, 0x1f, 0x9b, 0),
      0n,
    ]
    gdt.forEach((d, n) => this.put(GDT + 8 * n, d))
    this.put(GDT + 0x40, descriptor(TSS, 0x67, 0x8b, 0))
    for (let n = 0; n < 256; n++) {
      const at = this.at(`vector_${n}`)
      this.put(IDT + 16 * n, (at & 0xffffn) | (8n << 16n) | (0xee00n << 32n) | ((at >> 16n) << 48n))
    }
    this.put(TSS + 4, BigInt(INNER))
    this.put(TSS + 0x60, 0x68n << 48n) // no I/O permission bitmap
    this.put(TABLES, BigInt(TABLES + 0x1007))
    this.put(TABLES + 0x1000, BigInt(TABLES + 0x2007))
    this.put(TABLES + 0x2000, BigInt(PAGES + 7))
    for (let n = 0; n < 512; n++) this.put(PAGES + 8 * n, BigInt((n << 12) | 7))
    this.put(TABLES + 0x1018, BigInt(TABLES + 0x4007)) // linear C0000000H and up
    for (const n of [0x1f6, 0x1f7]) this.put(TABLES + 0x4000 + 8 * n, BigInt(0xc0000000 + n * 0x200000 + 0x83))
    this.put(CELLS + 8, -1n)
    this.put(CELLS + 24, BigInt(LOG))
    this.place(machine.cores[0]!, 'start', STACK - 0x100)
    machine.code.flush()
    return this
  }

  /** A processor in 64-bit mode at CPL 0 at a label; interrupts off. */
  place(core: Core, label: string, stack: number): void {
    const s = core.state
    core.reset(true)
    s.cr0 = Cr0.PE | Cr0.PG | Cr0.WP | Cr0.NE | Cr0.ET
    s.cr3 = BigInt(TABLES)
    s.cr4 = Cr4.PAE | Cr4.OSFXSR | Cr4.FSGSBASE
    s.efer = Efer.LME | Efer.LMA | Efer.NXE | Efer.SCE
    s.gdtrBase = BigInt(GDT)
    s.gdtrLimit = 0x4f
    s.idtrBase = BigInt(IDT)
    s.idtrLimit = 0xfff
    for (let i = 0; i < 6; i++) {
      s.segSelector.set(i, i === CS ? 8 : i === SS ? 0x10 : 0)
      s.segBase.set(i, 0n)
      s.segLimit.set(i, 0xffffffff)
      s.segRights.set(i, Rights.P | Rights.S | Rights.G | (i === CS ? 0xb | Rights.L : 3 | Rights.DB))
    }
    s.segSelector.set(TR, 0x40)
    s.segBase.set(TR, BigInt(TSS))
    s.segLimit.set(TR, 0x67)
    s.segRights.set(TR, Rights.P | 0xb)
    s.segRights.set(LDTR, Rights.unusable)
    s.gpr.set(4, BigInt(stack))
    s.rip = this.at(label)
    core.modeChanged()
    core.mmu.flushAll()
  }

  /** Maps the page at a linear address below 200000H. */
  map(linear: number, physical: number, flags: bigint = Page.P | Page.W | Page.U): void {
    this.put(PAGES + 8 * (linear >>> 12), BigInt(physical) | flags)
  }
  /** Where the page-table entry of a linear address below 200000H is. */
  static entry = (linear: number): number => PAGES + 8 * (linear >>> 12)

  put(at: number, value: bigint): void {
    this.machine.physical.view.setBigUint64(this.machine.physical.host(at), BigInt.asUintN(64, value), true)
  }
  get(at: number): bigint {
    return this.machine.physical.view.getBigUint64(this.machine.physical.host(at), true)
  }
  /** A label's address; `vector_N` is vector N's handler, which a program may define itself. */
  at(label: string): bigint {
    const symbol = this.program.symbols.get(label) ?? handlers.symbols.get(label)
    if (!symbol) throw new RangeError(`no label ${label}`)
    return symbol.value
  }

  /** Runs until INT 80H and answers what was noted. Throws where the machine ends or idles otherwise. */
  run(): Noted[] {
    const { machine } = this
    const end = machine.time + MOST_CYCLES
    let stop: Stop | undefined
    while (!stop) {
      const progress = machine.run(end)
      stop = progress.stop
      if (!stop && (progress.idle || machine.time >= end))
        throw new Error(
          `no end; noted ${this.noted()
            .map((e) => `#${e.vector} at ${e.rip.toString(16)}`)
            .join(', ')}`,
        )
    }
    if (stop.kind !== 'exit') throw new Error(`ended by ${stop.kind}`)
    return this.noted()
  }

  noted(): Noted[] {
    const out: Noted[] = []
    for (let at = LOG; at < Number(this.get(CELLS + 24)); at += 64) {
      const q = (n: number): bigint => this.get(at + 8 * n)
      out.push({
        vector: Number(q(0)),
        error: BigInt.asIntN(64, q(1)),
        rip: q(2),
        cs: Number(q(3)),
        rflags: q(4),
        rsp: q(5),
        dr6: q(6),
        cr2: q(7),
      })
    }
    return out
  }

  /** Vectors and the labels they came at, "1 first, 3 next": an address without a label of its own is hexadecimal. */
  trail(events: readonly Noted[]): string {
    const names = new Map([...this.program.symbols].filter(([, s]) => s.address).map(([name, s]) => [s.value, name] as const))
    return events.map((e) => `${e.vector} ${names.get(e.rip) ?? e.rip.toString(16)}`).join(', ')
  }

  /** Loads, runs, and answers the trail. */
  trace(text: string): string {
    return this.trail(this.load(text).run())
  }
}

// Multiboot 1 kernels of the tests: assembled, loaded as `ring1 boot` does, run on a small machine.
// A kernel leaves double words at 200000H (`answer n, register`) and ends by port F4H.

import { expect } from 'vitest'
import { resolveBoard } from '../../src-core/board/config.ts'
import { firmware } from '../../src-core/board/firmware.ts'
import { Machine, type Stop } from '../../src-core/board/machine.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import { assemble } from '../../src-core/guests/assembler/assemble.ts'
import { loadImage } from '../../src-core/guests/load.ts'

export const ANSWERS = 0x200000
const MOST_CYCLES = 2e9
export const MEGABYTES = 16

export const HEADER = (flags: number): string => `
%macro answer 2
    mov     [${ANSWERS} + %1 * 4], %2
%endmacro
%macro exit 1
    mov     eax, %1
    out     0xf4, eax
    jmp     $
%endmacro
%macro read_msr 1
    mov     ecx, %1
    rdmsr
%endmacro
%macro write_msr 3
    mov     ecx, %1
    mov     edx, %2
    mov     eax, %3
    wrmsr
%endmacro
; an interrupt gate of 32-bit code: vector, label
%macro gate 2
    mov     eax, %2
    mov     [table + %1 * 8], ax
    mov     word [table + %1 * 8 + 2], cs
    mov     word [table + %1 * 8 + 4], 0x8e00
    shr     eax, 16
    mov     [table + %1 * 8 + 6], ax
%endmacro
APIC equ 0xfee00000
org 0x100000
section .text align=4096 write exec
header:
    dd      0x1badb002, ${flags}, -(0x1badb002 + ${flags})
`
const TAIL = `
align 8
pointer: dw 0x7ff
    dd      table
    align 8
table: times 0x800 db 0
section .bss align=4096
    resb    4096
stack:
`

export interface Ran {
  readonly stop: Stop | undefined
  readonly machine: Machine
  readonly console: string
  /** Double word n of the answers. */
  readonly answer: (n: number) => number
}

/** Assembles an ELF32 kernel (or takes `file` as it is), loads it as `ring1 boot` does, and runs it to its end. */
export async function run(
  text: string,
  more: { processors?: number; append?: string; initrd?: Uint8Array; file?: (text: string) => Uint8Array } = {},
): Promise<Ran> {
  const file = more.file ?? ((body) => assemble(HEADER(3) + body + TAIL, { file: 'kernel.asm', bits: 32 }).elf(32))
  const config = resolveBoard(PRESETS.get('uma-1n')!, { megabytes: MEGABYTES, processors: more.processors ?? 1 })
  let console = ''
  const machine = new Machine({ config, debug: (byte) => (console += String.fromCharCode(byte)) })
  const image = await loadImage({
    kernel: { name: 'kernel.elf', data: file(text) },
    platform: firmware(config),
    ...(more.append === undefined ? {} : { append: more.append }),
    ...(more.initrd ? { initrd: { name: 'module.bin', data: more.initrd } } : {}),
  })
  expect(image.format).toBe('multiboot')
  machine.load(image.segments, image.entry)
  let stop: Stop | undefined
  while (!stop && machine.time < MOST_CYCLES) {
    const progress = machine.run(MOST_CYCLES)
    stop = progress.stop
    if (progress.idle) break
  }
  return { stop, machine, console, answer: (n) => machine.physical.read(ANSWERS + 4 * n, 4) }
}
export const ended = (code = 0): Stop => ({ kind: 'exit', code })

/** A kernel that begins with `body`, with a stack. */
export const start = (body: string): string => `
bits 32
entry start
start:
    mov     esp, stack
${body}
`

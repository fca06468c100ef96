// Minos, the teaching kernel: its assembly texts in order, and the ELF image made of them.
import { assemble, type Program, type SourceFile } from '../assembler/assemble.ts'

/** Files of the kernel, in the order in which they are assembled. */
export const MINOS_FILES = [
  'boot.asm',
  'console.asm',
  'interrupts.asm',
  'timer.asm',
  'acpi.asm',
  'time.asm',
  'memory.asm',
  'numa.asm',
  'processors.asm',
  'power.asm',
  'measure.asm',
  'vmx.asm',
  'vmx-fields.asm',
  'vmx-steps.asm',
  'vmx-guest.asm',
  'vmx-gates.asm',
  'ept.asm',
  'shell.asm',
] as const

export type MinosFile = (typeof MINOS_FILES)[number]

/** The texts by way of `read`, which gives one file's text by its name. */
export const minosSources = (read: (name: MinosFile) => string): SourceFile[] => MINOS_FILES.map((name) => ({ name, text: read(name) }))

/** Assembles the kernel; its symbols and lines serve debugging views. Throws AssemblyError for texts that do not assemble. */
export const assembleMinos = (sources: readonly SourceFile[]): Program => assemble(sources)

/** The bootable image: ELF64 with a PVH note. For build time, or for texts that a student has changed. */
export const buildMinos = (read: (name: MinosFile) => string): Uint8Array => assembleMinos(minosSources(read)).elf(64)

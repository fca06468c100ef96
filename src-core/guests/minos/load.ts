// Where the running program gets Minos from: the texts beside this file, read by Node. A bundler replaces this one file.
import { readFileSync } from 'node:fs'
import type { Program } from '../assembler/assemble.ts'
import { assembleMinos, minosSources, type MinosFile } from './minos.ts'

/** Text of one file of the kernel. Throws what readFileSync throws. */
export const readMinos = (name: MinosFile): string => readFileSync(new URL(`./${name}`, import.meta.url), 'utf8')

let program: Program | undefined
let image: Uint8Array | undefined

/** The assembled kernel, made once. */
export const minosProgram = (): Program => (program ??= assembleMinos(minosSources(readMinos)))

/** The kernel's ELF64 image, made once; do not write to it. */
export const minosImage = (): Uint8Array => (image ??= minosProgram().elf(64))

// What is in the bundle instead of being made at every start: Minos's image and the interpreter.

import { readFileSync } from 'node:fs'
import { beforeAll, expect, it } from 'vitest'
import { features } from '../../src-core/cpu/cpuid.ts'
import { engine } from '../../src-core/cpu/engine.ts'
import { minosImage } from '../../src-core/guests/minos/load.ts'
import { buildOnce } from './ring1.ts'

let bundle = ''
beforeAll(() => {
  buildOnce()
  bundle = readFileSync(new URL('../../out/main/cli.js', import.meta.url), 'utf8')
})
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')

it('holds the kernel and the interpreter that the sources make, to the byte', () => {
  const { bytes, handlers, anyHandlers } = engine(features()).interpreter
  const raw = (list: Uint16Array) => new Uint8Array(list.buffer, list.byteOffset, list.byteLength)
  for (const made of [minosImage(), bytes, raw(handlers), raw(anyHandlers)])
    expect(bundle.includes(`'${base64(made)}'`) || bundle.includes(`"${base64(made)}"`)).toBe(true)
})

it('imports iced-x86 only when something is disassembled', () => {
  expect(bundle).toMatch(/\bimport\(["']iced-x86["']\)/)
  expect(bundle).not.toMatch(/^import\b[^(\n]*["']iced-x86["']/m)
})

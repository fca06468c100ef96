// A text assembler in Intel syntax over iced-x86's encoder: 16-, 32- and 64-bit code, sections, macros, ELF and flat images.
// Not modelled: relocatable objects and linking; every program is laid out at its final address.
import { AssemblyError, type Diagnostic } from './diagnostic.ts'
import { elfImage } from './elf.ts'
import { Layout } from './layout.ts'
import type { Program } from './program.ts'
import { expand, reporting, type Report, type SourceFile } from './source.ts'
import { Parser } from './statement.ts'
import { evaluate } from './expression.ts'

export { AssemblyError, type Diagnostic } from './diagnostic.ts'
export { lineAt, type Line, type Program, type Section } from './program.ts'
export type { SourceFile } from './source.ts'

export interface AssembleOptions {
  /** name of a single text in messages and in the line map; 'program.asm' if not given */
  readonly file?: string
  /** address of the first section, unless the text has `org`; 0 if not given */
  readonly origin?: bigint
  /** operand size until the first `bits`; 64 if not given */
  readonly bits?: 16 | 32 | 64
}

const MOST_TEXT = 16 * 1024 * 1024

/**
 * Assembles one text, or several files in order as if they were one.
 * Throws AssemblyError, and nothing else, for any text.
 */
export function assemble(source: string | readonly SourceFile[], options: AssembleOptions = {}): Program {
  const files = typeof source === 'string' ? [{ name: options.file ?? 'program.asm', text: source }] : source
  const faults: Diagnostic[] = []
  const fail = (): AssemblyError => new AssemblyError(faults.slice(0, 20) as [Diagnostic, ...Diagnostic[]])
  const report: Report = ({ file, line, column, inMacro }, problem, hint) => {
    if (faults.length < 100)
      faults.push({ file, line, column, problem, ...(inMacro === undefined ? {} : { inMacro }), ...(hint === undefined ? {} : { hint }) })
  }
  if (files.reduce((sum, f) => sum + f.text.length, 0) > MOST_TEXT)
    report({ file: files[0]?.name ?? '', line: 1, column: 1 }, 'the program text is larger than 16 MiB')
  else {
    const parser = new Parser(options.bits ?? 64)
    for (const line of expand(files, report)) {
      if (faults.length >= 100) break
      reporting(line, report, () => parser.line(line.text, line))
    }
    if (!faults.length) return laidOut(parser, options, report, faults, fail)
  }
  throw fail()
}

function laidOut(parser: Parser, options: AssembleOptions, report: Report, faults: Diagnostic[], fail: () => AssemblyError): Program {
  const first = parser.statements[0]?.place ?? { file: options.file ?? 'program.asm', line: 1, column: 1 }
  let origin = options.origin ?? 0n
  const constants = {
    here: 0n,
    start: 0n,
    symbol: (name: string): { value: bigint; address: number } => {
      const s = parser.symbols.get(name)
      if (s?.kind === 'equ' && s.value.kind === 'number') return { value: s.value.value, address: 0 }
      report(first, `org uses '${name}', which is not a plain number`)
      return { value: 0n, address: 0 }
    },
  }
  reporting(first, report, () => {
    if (parser.origin) origin = evaluate(parser.origin, constants).value
  })
  if (origin < 0n) report(first, 'org is negative')
  if (faults.length) throw fail()

  const layout = new Layout(parser, origin, report, faults)
  const sections = layout.run()
  const symbols = new Map<string, { value: bigint; address: boolean }>()
  for (const [name, s] of parser.symbols)
    reporting(s.place, report, () => {
      const { value, address } = layout.symbol(name, s.place.column)
      symbols.set(name, { value, address: address !== 0 })
    })
  const entryName = parser.entry?.name ?? (symbols.has('_start') ? '_start' : undefined)
  const entry = entryName === undefined ? (sections.find((s) => s.execute)?.address ?? origin) : symbols.get(entryName)?.value
  if (entry === undefined) report(parser.entry?.place ?? first, `the entry label '${entryName}' is not defined`)
  if (faults.length || entry === undefined) throw fail()

  const lines = layout.lines.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0))
  return {
    sections,
    symbols,
    lines,
    entry,
    flat: () => {
      const held = sections.filter((s) => s.bytes.length)
      const start = held[0]?.address ?? origin
      const end = held.reduce((top, s) => (s.address + BigInt(s.bytes.length) > top ? s.address + BigInt(s.bytes.length) : top), start)
      const out = new Uint8Array(Number(end - start))
      for (const s of held) out.set(s.bytes, Number(s.address - start))
      return out
    },
    elf: (bits) => elfImage({ sections, symbols, entry }, bits),
  }
}

// Records the committed vectors on the processor this runs on: npx tsx tests/conformance/oracle/record.ts
// Rewrites vectors/*.bin and the counts in vectors/README.md.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { decode, drawAll, type Drawn } from './cases.ts'
import { decodeVectors, encodeVectors, type Vector, type VectorFile } from './format.ts'
import { processor, record, unavailable } from './hardware.ts'
import { masksOf } from './masks.ts'
import { opcodes, type Family, type Opcode } from './opcodes.ts'

export const families: readonly Family[] = ['integer', 'x87', 'mmx', 'sse', 'sse2', 'sse3', 'sse4']
export const committedSalt = 1
/** Cases recorded per code: more where one code has more values worth trying. */
export function casesOf(op: Opcode): number {
  if (op.family === 'x87') return 56
  if (/^(Pcmp.str|Cvt|Round|Dp)/.test(op.mnemonic) || (/[sp][sd]$/.test(op.mnemonic) && op.family !== 'integer')) return 48
  return /^(I?mul|I?div|Movs|Cmps|Scas|Lods|Stos|Sh|Sa|Ro|Rc|Enter|Cmpxchg)/i.test(op.mnemonic) ? 40 : 30
}

/** Outcomes of drawn cases on the host processor, with their masks. */
export function recordVectors(drawn: readonly Drawn[]): Vector[] {
  const outcomes = record(drawn.map((d) => d.case))
  return drawn.map((d, n) => {
    const outcome = outcomes[n]!
    const instruction = decode(d.case.bytes)
    const masks = masksOf(d.case, outcome, instruction, d.at)
    instruction.free()
    return { case: d.case, outcome, masks, seed: d.seed, flavor: d.flavor }
  })
}

/** Fresh vectors of every opcode, in no file: `perCode` cases each, drawn with a salt of the caller's. */
export function fresh(perCode: number, salt: number): Vector[] {
  return recordVectors([...drawAll(() => perCode, salt)])
}

const fileUrl = (name: string): URL => new URL(`../vectors/${name}`, import.meta.url)

/** A committed vector file. */
export function committed(family: Family): VectorFile {
  return decodeVectors(readFileSync(fileUrl(`${family}.bin`)))
}

function main(): void {
  const reason = unavailable()
  if (reason !== null) {
    process.stderr.write(`${reason}\n`)
    process.exitCode = 1
    return
  }
  const { vendor, family, model } = processor()
  const source = `${vendor} family ${family} model ${model}`
  const drawn = [...drawAll(casesOf, committedSalt)]
  const vectors = recordVectors(drawn)
  const rows: string[] = []
  for (const name of families) {
    const own = vectors.filter((_, n) => drawn[n]!.opcode.family === name)
    const data = encodeVectors({ source, vectors: own })
    writeFileSync(fileUrl(`${name}.bin`), data)
    const faults = own.filter((v) => v.outcome.vector !== null).length
    rows.push(`| ${name} | ${new Set(own.map((v) => v.case.code)).size} | ${own.length} | ${faults} | ${Math.ceil(data.length / 1024)} |`)
  }
  const left = new Map<string, number>()
  for (const l of opcodes().left) left.set(l.reason, (left.get(l.reason) ?? 0) + 1)
  const counts = [
    '| file | codes | cases | of them exceptions | KiB |',
    '|---|---|---|---|---|',
    ...rows,
    '',
    `Recorded on: ${source}.`,
    '',
    'Codes of 64-bit mode up to x86-64-v2 that are not recorded:',
    '',
    ...[...left].map(([why, n]) => `- ${n}: ${why}`),
  ]
  const readme = readFileSync(fileUrl('README.md'), 'utf8')
  writeFileSync(
    fileUrl('README.md'),
    readme.replace(/<!-- counts -->[^]*<!-- end -->/, `<!-- counts -->\n${counts.join('\n')}\n<!-- end -->`),
  )
  process.stdout.write(`${counts.join('\n')}\n`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main()

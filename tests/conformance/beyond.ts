// Codes beyond x86-64-v2 that CPUID offers all the same (LZCNT, MOVBE, CLFLUSHOPT), recorded like the others.
// To record them again: npx tsx tests/conformance/beyond.ts

import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Code, CpuidFeature, EncodingKind, Instruction, Mnemonic } from 'iced-x86'
import { draw } from './oracle/cases.ts'
import { decodeVectors, encodeVectors, type Vector } from './oracle/format.ts'
import { processor, unavailable } from './oracle/hardware.ts'
import type { Opcode } from './oracle/opcodes.ts'
import { committedSalt, recordVectors } from './oracle/record.ts'

const features = new Set(['LZCNT', 'MOVBE', 'CLFLUSHOPT'])
const PER_CODE = 40
const file = new URL('vectors/beyond.bin', import.meta.url)

/** The codes, in the recorder's terms. */
export function beyondCodes(): Opcode[] {
  const out: Opcode[] = []
  for (const [name, code] of Object.entries(Code) as [string, Code][]) {
    if (typeof code !== 'number') continue
    const instruction = new Instruction()
    instruction.code = code
    const info = instruction.opCode
    const feature = Array.from(instruction.cpuidFeatures(), (f) => CpuidFeature[f]).join('+')
    instruction.free()
    if (!features.has(feature) || info.encoding !== EncodingKind.Legacy || !info.isInstruction || !info.mode64) continue
    const kinds = Array.from({ length: info.opCount }, (_, i) => info.opKind(i))
    out.push({ code, name, mnemonic: Mnemonic[info.mnemonic]!, family: 'integer', kinds, info })
  }
  return out
}

/** Fresh vectors of these codes, recorded on this machine. */
export const freshBeyond = (perCode: number, salt: number): Vector[] =>
  recordVectors(beyondCodes().flatMap((o) => Array.from({ length: perCode }, (_, n) => draw(o, n, salt))))

export const committedBeyond = (): Vector[] => decodeVectors(readFileSync(file)).vectors

function main(): void {
  const reason = unavailable()
  if (reason !== null) {
    process.stderr.write(`${reason}\n`)
    process.exitCode = 1
    return
  }
  const { vendor, family, model } = processor()
  const vectors = freshBeyond(PER_CODE, committedSalt)
  writeFileSync(file, encodeVectors({ source: `${vendor} family ${family} model ${model}`, vectors }))
  process.stdout.write(`${vectors.length} cases of ${beyondCodes().length} codes\n`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main()

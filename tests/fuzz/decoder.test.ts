// The decoder against iced-x86's on random bytes in 16-, 32- and 64-bit code: valid or not, length, mnemonic,
// operand size, address.
// FUZZ_STRINGS: how many strings (default 240,000); FUZZ_SEED: another sequence. Where makers differ, ours is Intel's reading.

import { CodeExt, CpuidFeature, Decoder as Iced, DecoderOptions, Instruction, Mnemonic, OpKind, Register, RegisterExt } from 'iced-x86'
import { describe, expect, it } from 'vitest'
import { features } from '../../src-core/cpu/cpuid.ts'
import { Decoder, NO_REGISTER, RIP_REGISTER, type CodeSize, type Decoded } from '../../src-core/isa/decoder.ts'
import { forms } from '../../src-core/isa/forms.ts'
import { table } from '../../src-core/isa/table.ts'
import { offered } from '../conformance/missing.ts'
import { random } from '../guests/images.ts'

const STRINGS = Number(process.env['FUZZ_STRINGS'] ?? 240_000)
const SEED = Number(process.env['FUZZ_SEED'] ?? 0xdec0de)

const decoder = new Decoder(forms(table), features(true))
const prefixes = [0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65, 0x48, 0x41, 0x4f, 0x44, 0x40]

/** Prefixes, then an opcode of any map, then random bytes. */
function draw(next: () => number): Uint8Array {
  const b = Uint8Array.from({ length: 15 }, () => next() >>> 11)
  let at = 0
  for (let n = next() % 6; n > 2; n--) b[at++] = prefixes[(next() >>> 7) % prefixes.length]!
  const map = (next() >>> 5) % 6
  if (map > 1) b[at++] = 0x0f
  if (map > 3) b[at++] = map === 4 ? 0x38 : 0x3a
  return b
}

/** Differences by design: what is compared, as text, and why. */
const byDesign: readonly (readonly [RegExp, string])[] = [
  [/^(16|32) none: iced-x86 has 0F 0[57] SYS(CALL|RET)$/, 'outside 64-bit mode #UD on Intel (SDM 2B SYSCALL, SYSRET)'],
  [/none: iced-x86 has (a\d\d )?NP 0F 01 C[89] (MONITOR|MWAIT)$/, 'CPUID does not offer it: #UD'],
  [/name: BSF 0F BC \/r, iced-x86 .*TZCNT/, 'CPUID does not offer BMI1: the prefix is ignored (SDM 2B TZCNT)'],
  [/extra: WBINVD 0F 09, iced-x86 WBNOINVD$/, 'CPUID does not offer it: the prefix is ignored (SDM 2B WBNOINVD)'],
  [
    /extra: NOP 0F (18|1[A-F]) \/[r0-7], iced-x86 (CLDEMOTE|PREFETCHITI|MPX|CET_(SS|IBT))$/,
    'hints and rows of features CPUID does not offer are NOPs',
  ],
  [/extra: MOV (8E|0F 2[0-3]) \/r, iced-x86 invalid$/, 'the assist refuses CS and registers that do not exist: #UD too (SDM 2B MOV)'],
]

const instruction = new Instruction()
/** What differs for one string, as text, or ''. */
function compare(b: Uint8Array, mode: CodeSize): string {
  const iced = new Iced(mode, b, DecoderOptions.None)
  iced.decodeOut(instruction)
  iced.free()
  const info = CodeExt.opCode(instruction.code)
  const feature = [...instruction.cpuidFeatures()].map((f) => CpuidFeature[f]).join('+')
  const theirs = !instruction.isInvalid && offered.has(feature)
  const text = `${info.opCodeString} ${info.instructionString}`
  const operandSize = info.operandSize
  info.free()
  const o = decoder.decode(b, 0, b.length, mode)
  if ('kind' in o) return theirs ? `none: iced-x86 has ${text}` : ''
  const ours = `${o.form.row.mnemonic} ${o.form.row.encoding}`
  if (!theirs) return `extra: ${ours}, iced-x86 ${instruction.isInvalid ? 'invalid' : feature}`
  if (o.length !== instruction.length) return `length: ${ours} ${o.length}, iced-x86 ${instruction.length} ${text}`
  if (!sameName(o, Mnemonic[instruction.mnemonic]!.toUpperCase())) return `name: ${ours}, iced-x86 ${text}`
  if (operandSize && o.form.sized && o.form.size !== 8 && operandSize !== o.form.size)
    return `size: ${ours} ${o.form.size}, iced-x86 ${text}`
  if (o.memory && hasMemory()) {
    const [a, b] = [ourAddress(o, mode), theirAddress(o.addressSize, mode)]
    if (a !== b) return `address: ${ours} ${a}, iced-x86 ${text} ${b}`
  }
  return ''
}

const sameName = (o: Decoded, theirs: string): boolean => {
  const ours = o.form.row.mnemonic.toUpperCase()
  return (
    ours.split('/').includes(theirs) ||
    theirs.replace(/[BWDQ]$|64$/, '') === ours ||
    theirs.replace(/^J[ER]?CXZ$|^WAIT$|^RESERVED/, (m) => aliases[m]!) === ours
  )
}
const aliases: Readonly<Record<string, string>> = { JCXZ: 'JRCXZ', JECXZ: 'JRCXZ', JRCXZ: 'JRCXZ', WAIT: 'FWAIT', RESERVED: '' }

/** Base, index × scale, displacement and segment of the ModRM operand; 64-bit code: only FS and GS count. */
function ourAddress(d: Decoded, mode: CodeSize): string {
  const base = d.base === RIP_REGISTER ? 'rip' : d.base
  const segment = mode === 64 && d.segment < 4 ? '' : d.segment
  return [
    base,
    d.index,
    d.index === NO_REGISTER ? 0 : d.scale,
    d.addressSize === 16 ? d.displacement & 0xffff : d.displacement | 0,
    segment,
  ].join(' ')
}
function theirAddress(addressSize: number, mode: CodeSize): string {
  const i = instruction
  const number = (r: Register): number => (r === Register.None ? NO_REGISTER : RegisterExt.number(r))
  const relative = i.memoryBase === Register.RIP || i.memoryBase === Register.EIP
  const value = Number(BigInt.asIntN(32, i.memoryDisplacement)) - (relative ? i.length : 0)
  const segment = RegisterExt.number(i.memorySegment)
  const scale = i.memoryIndex === Register.None ? 0 : Math.log2(i.memoryIndexScale)
  const base = relative ? 'rip' : number(i.memoryBase)
  return [
    base,
    number(i.memoryIndex),
    scale,
    addressSize === 16 ? value & 0xffff : value | 0,
    mode === 64 && segment < 4 ? '' : segment,
  ].join(' ')
}
const hasMemory = (): boolean => [0, 1, 2].some((n) => n < instruction.opCount && instruction.opKind(n) === OpKind.Memory)

const seen = new Map<string, number>()
describe('random bytes', () => {
  it.each([16, 32, 64] as const)(
    `decode as iced-x86 decodes them, ${STRINGS} strings (FUZZ_SEED=${SEED}): %s-bit code`,
    (mode) => {
      const next = random(SEED + mode)
      const found = new Map<string, string>()
      let valid = 0
      for (let n = 0; n < STRINGS / 3; n++) {
        const b = draw(next)
        const difference = compare(b, mode)
        if (difference === '') {
          if (!('kind' in decoder.decode(b, 0, b.length, mode))) valid++
          continue
        }
        const known = byDesign.find(([pattern]) => pattern.test(`${mode} ${difference}`))
        if (known) seen.set(known[1], (seen.get(known[1]) ?? 0) + 1)
        else if (!found.has(difference)) found.set(difference, Buffer.from(b).toString('hex'))
      }
      expect([...found].map(([what, bytes]) => `${bytes}  ${what}`)).toEqual([])
      expect(valid).toBeGreaterThan(STRINGS / 15)
    },
    60_000 + STRINGS / 10,
  )
  it('meet every difference by design', () => {
    console.log([...seen].map(([why, n]) => `${n} strings: ${why}`).join('\n'))
    expect(byDesign.filter(([, why]) => !seen.has(why)).map(([, why]) => why)).toEqual([])
  })
})

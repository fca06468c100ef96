// Comparison of an executor with recorded outcomes: differences by name, bounds for approximations, a report per code.
import { Formatter, FormatterSyntax, OpKind, Register, RegisterExt, type Instruction } from 'iced-x86'
import { decode } from './cases.ts'
import { memoryAfter, memoryBefore } from './hardware.ts'
import type { Vector } from './format.ts'
import { comparedFlags, flagBits, gprNames, layout, type Case, type Outcome, type State } from './machine.ts'
import { toleranceOf, type Tolerance } from './masks.ts'

/** Runs one case from its state and memory (background and patches, see memoryBefore) to the end of its instruction or to an exception. */
export interface Executor {
  /** `changes` may list bytes that kept their value; a throw counts as a mismatch */
  run(c: Case): Outcome
}

/** One thing that differs, e.g. `RAX 0000000000000001 ≠ 0000000000000002`. */
export interface Difference {
  what: string
  expected: string
  actual: string
}

export interface CodeResult {
  cases: number
  mismatches: number
  /** the first mismatch, as text of several lines */
  first: string | null
}
export interface Report {
  cases: number
  mismatches: number
  codes: Map<string, CodeResult>
}

const hex = (n: bigint | number, digits: number): string => n.toString(16).padStart(digits, '0')
/** Register contents, most significant byte first. */
const hexOf = (b: Uint8Array): string =>
  Array.from(b, (v) => hex(v, 2))
    .reverse()
    .join('')
const same = (a: Uint8Array, b: Uint8Array): boolean => a.every((v, i) => v === b[i])
// prettier-ignore
const flagText = (f: number): string => Object.entries(flagBits).filter(([, bit]) => f & bit).map(([name]) => name).join(' ') || '-'
export const vectorNames = [
  '#DE',
  '#DB',
  'NMI',
  '#BP',
  '#OF',
  '#BR',
  '#UD',
  '#NM',
  '#DF',
  '9',
  '#TS',
  '#NP',
  '#SS',
  '#GP',
  '#PF',
  '15',
  '#MF',
  '#AC',
  '#MC',
  '#XM',
] as const

/** Difference of two finite numbers relative to the larger, lanes of 32 bits. */
function closeSingles(a: Uint8Array, b: Uint8Array, relative: number): boolean {
  const x = new DataView(a.buffer, a.byteOffset, 16)
  const y = new DataView(b.buffer, b.byteOffset, 16)
  for (let i = 0; i < 16; i += 4) {
    if (x.getUint32(i, true) === y.getUint32(i, true)) continue
    const p = x.getFloat32(i, true)
    const q = y.getFloat32(i, true)
    if (!Number.isFinite(p) || !Number.isFinite(q) || p < 0 !== q < 0) return false
    const tiny = Math.abs(p) < 2 ** -125 && Math.abs(q) < 2 ** -125
    if (!tiny && Math.abs(p - q) > relative * Math.abs(p)) return false
  }
  return true
}

/** A finite ten-byte value as signed integer and power of two; null for infinities, NaNs and unsupported encodings. */
function parts(v: Uint8Array): { n: bigint; exponent: number } | null {
  const view = new DataView(v.buffer, v.byteOffset, 10)
  const n = view.getBigUint64(0, true)
  const exponent = view.getUint16(8, true) & 0x7fff
  if (exponent === 0x7fff || (exponent > 0 && n >> 63n === 0n)) return null
  return { n: v[9]! & 0x80 ? -n : n, exponent: Math.max(1, exponent) - 0x3fff - 63 }
}

function closeExtended(a: Uint8Array, b: Uint8Array, t: Tolerance, argument: Uint8Array): boolean {
  const p = parts(a)
  const q = parts(b)
  if (!p || !q) return false
  const low = Math.max(Math.min(p.exponent, q.exponent), Math.max(p.exponent, q.exponent) - 128)
  const scaled = (v: { n: bigint; exponent: number }): bigint =>
    v.exponent >= low ? v.n << BigInt(v.exponent - low) : v.n >> BigInt(low - v.exponent)
  const difference = scaled(p) - scaled(q)
  const magnitude = (n: bigint): number => Number(n < 0n ? -n : n)
  if (magnitude(difference) <= t.relative * magnitude(scaled(p))) return true
  const x = parts(argument)
  if (!x || t.ofArgument === undefined) return false
  const steep = Math.log2(1 + (magnitude(scaled(p)) * 2 ** low) ** 2) // the derivative of the tangent; at most 1 for sine and cosine
  return Math.log2(magnitude(difference)) + low <= Math.log2(magnitude(x.n)) + x.exponent + Math.log2(t.ofArgument) + steep
}

/** What differs between a recorded outcome and an actual one, undefined parts and bounds taken into account. */
export function differences(v: Vector, actual: Outcome): Difference[] {
  const found: Difference[] = []
  const { outcome: o, masks: m, case: c } = v
  const e = o.state
  const a = actual.state
  const note = (what: string, expected: string, is: string): void => void (expected !== is && found.push({ what, expected, actual: is }))
  const event = (x: Outcome): string => (x.vector === null ? 'completed' : `${vectorNames[x.vector] ?? x.vector}(${hex(x.errorCode, 1)})`)
  note('outcome', event(o), event(actual))
  if (o.vector === 14 && actual.vector === 14) note('CR2', hex(o.cr2, 16), hex(actual.cr2, 16))
  // prettier-ignore
  gprNames.forEach((name, n) => { if (e.gpr[n] !== a.gpr[n]) note(name, hex(e.gpr[n]!, 16), hex(a.gpr[n]!, 16)) })
  note('RIP', hex(e.rip, 16), hex(a.rip, 16))
  note('FS.base', hex(e.fsBase, 16), hex(a.fsBase, 16))
  note('GS.base', hex(e.gsBase, 16), hex(a.gsBase, 16))
  const flags = comparedFlags & ~m.rflags
  if ((e.rflags ^ a.rflags) & flags)
    note(`RFLAGS (${flagText((e.rflags ^ a.rflags) & flags)})`, flagText(e.rflags & flags), flagText(a.rflags & flags))
  note('MXCSR', hex(e.mxcsr, 4), hex(a.mxcsr, 4))
  note('FCW', hex(e.fcw, 4), hex(a.fcw, 4))
  note('FSW', hex(e.fsw & ~m.fsw, 4), hex(a.fsw & ~m.fsw, 4))
  note('FTW', hex(e.ftw, 2), hex(a.ftw, 2))
  const t = toleranceOf(c.code)
  for (let n = 0; n < 8; n++) {
    const x = e.st.subarray(n * 10, n * 10 + 10)
    const y = a.st.subarray(n * 10, n * 10 + 10)
    if (!same(x, y) && !(t?.target === 'st' && closeExtended(x, y, t, c.state.st.subarray(0, 10)))) note(`ST${n}`, hexOf(x), hexOf(y))
  }
  for (let n = 0; n < 16; n++) {
    const x = e.xmm.subarray(n * 16, n * 16 + 16)
    const y = a.xmm.subarray(n * 16, n * 16 + 16)
    if (!same(x, y) && !(t?.target === 'singles' && closeSingles(x, y, t.relative))) note(`XMM${n}`, hexOf(x), hexOf(y))
  }
  if (o.changes.length === 0 && actual.changes.length === 0) return found
  const before = memoryBefore(c)
  const x = memoryAfter(before, o.changes)
  const y = memoryAfter(before, actual.changes)
  for (const i of m.ignored) for (let n = i.offset; n < i.offset + i.length; n++) x[n] = y[n] = 0
  for (let n = 0; n < x.length; n++) {
    if (x[n] === y[n]) continue
    const end = Math.min(n + 16, x.length)
    note(
      `memory ${hex(layout.data + n, 8)}`,
      Buffer.from(x.subarray(n, end)).toString('hex'),
      Buffer.from(y.subarray(n, end)).toString('hex'),
    )
    break
  }
  return found
}

function inputs(s: State): string[] {
  const lines = [0, 4, 8, 12].map((n) => [0, 1, 2, 3].map((k) => `${gprNames[n + k]!.padEnd(3)} ${hex(s.gpr[n + k]!, 16)}`).join('  '))
  lines.push(`RFLAGS ${flagText(s.rflags)}  MXCSR ${hex(s.mxcsr, 4)}  FCW ${hex(s.fcw, 4)}  FSW ${hex(s.fsw, 4)}  FTW ${hex(s.ftw, 2)}`)
  return lines
}

/** Linear address of an explicit memory operand (RIP and 67H included), or null. */
function operandAddress(i: Instruction, s: State): bigint | null {
  if (![0, 1, 2].some((n) => n < i.opCount && i.opKind(n) === OpKind.Memory)) return null
  const value = (r: Register): bigint => (RegisterExt.isGPR(r) ? s.gpr[RegisterExt.number(RegisterExt.fullRegister(r))]! : 0n)
  const narrow =
    [i.memoryBase, i.memoryIndex].some((r) => RegisterExt.isGPR32(r)) || i.memoryBase === Register.EIP || i.memoryDisplSize === 4
  const index = i.memoryIndex === Register.AL ? value(i.memoryIndex) & 0xffn : value(i.memoryIndex) * BigInt(i.memoryIndexScale)
  const ea = BigInt.asUintN(narrow ? 32 : 64, value(i.memoryBase) + index + i.memoryDisplacement)
  return BigInt.asUintN(64, ea + (i.segmentPrefix === Register.FS ? s.fsBase : i.segmentPrefix === Register.GS ? s.gsBase : 0n))
}

/** A mismatch in full: bytes and disassembly, the inputs the instruction names, every difference. */
export function explain(v: Vector, found: readonly Difference[]): string {
  const { case: c } = v
  const instruction = decode(c.bytes)
  const formatter = new Formatter(FormatterSyntax.Intel)
  const text = formatter.format(instruction)
  const at = operandAddress(instruction, c.state)
  formatter.free()
  instruction.free()
  const lines = [
    `${c.code}: ${Buffer.from(c.bytes).toString('hex')}  ${text}${c.repeat ? '  (to the end of the repetition)' : ''}`,
    ...inputs(c.state),
  ]
  for (const [, n] of text.matchAll(/\bxmm(\d+)/g))
    lines.push(`XMM${n} ${hexOf(c.state.xmm.subarray(Number(n) * 16, Number(n) * 16 + 16))}`)
  if (/\b(st|mm\d)|^f/.test(text)) for (let n = 0; n < 8; n++) lines.push(`ST${n} ${hexOf(c.state.st.subarray(n * 10, n * 10 + 10))}`)
  for (const p of c.patches) lines.push(`memory ${hex(layout.data + p.offset, 8)}: ${Buffer.from(p.bytes).toString('hex')}`)
  const offset = at === null ? -1 : Number(at) - layout.data
  if (offset >= 0 && offset < layout.dataSize) {
    lines.push(`operand at ${hex(at!, 8)}: ${Buffer.from(memoryBefore(c).subarray(offset, offset + 16)).toString('hex')}`)
  }
  for (const d of found) lines.push(`≠ ${d.what}`, `    recorded ${d.expected}`, `    actual   ${d.actual}`)
  return lines.map((l, n) => (n === 0 ? l : `    ${l}`)).join('\n')
}

/** Runs every vector through the executor. */
export function compare(vectors: Iterable<Vector>, executor: Executor): Report {
  const report: Report = { cases: 0, mismatches: 0, codes: new Map() }
  for (const v of vectors) {
    let result = report.codes.get(v.case.code)
    if (!result) report.codes.set(v.case.code, (result = { cases: 0, mismatches: 0, first: null }))
    result.cases++
    report.cases++
    let found: Difference[]
    try {
      found = differences(v, executor.run(v.case))
    } catch (error) {
      found = [{ what: 'executor', expected: 'an outcome', actual: `threw ${error instanceof Error ? error.stack : String(error)}` }]
    }
    if (found.length === 0) continue
    result.mismatches++
    report.mismatches++
    result.first ??= explain(v, found)
  }
  return report
}

/** The report as text: totals, then the first mismatch of each failing code, at most `limit` of them. */
export function reportText(report: Report, limit = 40): string {
  const failing = [...report.codes].filter(([, r]) => r.mismatches > 0)
  const lines = [`${report.cases} cases of ${report.codes.size} codes, ${report.mismatches} mismatches in ${failing.length} codes`]
  for (const [code, r] of failing.slice(0, limit)) lines.push(`-- ${code}: ${r.mismatches} of ${r.cases}`, r.first!)
  // prettier-ignore
  if (failing.length > limit) lines.push(`-- and ${failing.length - limit} more: ${failing.slice(limit).map(([code, r]) => `${code} ${r.mismatches}/${r.cases}`).join(', ')}`)
  return lines.join('\n')
}

// Every form that uses memory, at an address it may not use: the fault leaves registers, flags and memory as they were
// (SDM 3A 6.5, faults; src-core/isa/README.md, "Order of effects"). In 64-bit and 32-bit code at CPL 0: absent page, read-only page, and an
// operand whose first bytes are in a good page and whose last are in an absent one.

import { describe, expect, it } from 'vitest'
import { Cr0, Cr4, CS, Efer, Rights } from '../../src-core/arch/registers.ts'
import { resolveBoard } from '../../src-core/board/config.ts'
import { Machine } from '../../src-core/board/machine.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import { features } from '../../src-core/cpu/cpuid.ts'
import { engine } from '../../src-core/cpu/engine.ts'
import { fields, FIELDS_SIZE, offsets, type FieldName } from '../../src-core/isa/state.ts'
import type { Form } from '../../src-core/isa/forms.ts'
import { encode } from './encoder.ts'

const TABLES = 0x100000
const LEGACY_TABLES = 0x110000
const GOOD = 0x200000
const READ_ONLY = 0x201000
const CODE_PAGE = 0x202000
/** Linear: a writable page, then an absent one, then a read-only one. */
const LINEAR = 0x10000000
const LINEAR_CODE = 0x10400000
const boundary = LINEAR + 0x1000
const absent = boundary + 0x800
const readOnly = LINEAR + 0x2000

const all = engine(features()).forms
const usesStack = /^(PUSH|POP|PUSHA|POPA|PUSHF|POPF|CALL|RET|RETF|IRET|ENTER|LEAVE)$/
const implicit = (f: Form): boolean =>
  f.operands.some((o) => ['moffs', 'source', 'destination', 'translation'].includes(o.place)) ||
  usesStack.test(f.row.mnemonic) ||
  /^MASKMOV/.test(f.row.mnemonic)
const memoryForms = all.filter((f) => f.memory || implicit(f))

/** Forms with a memory operand that they do not access, or not at an absent page. */
const untouched: readonly (readonly [RegExp, string])[] = [
  [/^LEA /, 'computes the address only'],
  [/^(NOP|PREFETCH\w*) /, 'hints do not fault'],
  [/^INVLPG /, 'takes any linear address'],
  [/^UD[01] /, '#UD before the operand'],
  [/^CALL 9A/, 'reads the descriptor of its immediate selector first'],
]

const exempt = (f: Form): boolean => untouched.some(([pattern]) => pattern.test(`${f.row.mnemonic} ${f.row.encoding}`))

const machine = new Machine({ config: resolveBoard(PRESETS.get('uma-1n')!, { megabytes: 4, processors: 1 }), costs: false })
const core = machine.cores[0]!
let raised: number | undefined
core.intercepts = {
  taken: (point, ...args) => {
    if (point !== 'exception') return false
    raised = args[0] as number
    return true
  },
}

/** A linear page in both kinds of tables, accessed and dirty so that walking changes nothing. */
function mapPages(): void {
  const long = new DataView(new ArrayBuffer(0x6000))
  const legacy = new DataView(new ArrayBuffer(0x3000))
  const table = 0x63n
  long.setBigUint64(0, BigInt(TABLES + 0x1000) | table, true)
  long.setBigUint64(0x1000, BigInt(TABLES + 0x2000) | table, true)
  const map = (linear: number, physical: number, writable: boolean): void => {
    const directory = linear >>> 21
    const at = 0x3000 + (directory & 1 ? 0 : directory === LINEAR >>> 21 ? 0x1000 : 0x2000)
    long.setBigUint64(0x2000 + 8 * directory, BigInt(TABLES + at) | table, true)
    long.setBigUint64(at + 8 * ((linear >>> 12) & 511), BigInt(physical) | (writable ? 0x63n : 0x61n), true)
    const second = linear >>> 22 === LINEAR >>> 22 ? 0x1000 : 0x2000
    legacy.setUint32(4 * (linear >>> 22), (LEGACY_TABLES + second) | 0x63, true)
    legacy.setUint32(second + 4 * ((linear >>> 12) & 1023), physical | (writable ? 0x63 : 0x61), true)
  }
  map(LINEAR, GOOD, true)
  map(readOnly, READ_ONLY, false)
  map(LINEAR_CODE, CODE_PAGE, true)
  machine.physical.load(TABLES, new Uint8Array(long.buffer))
  machine.physical.load(LEGACY_TABLES, new Uint8Array(legacy.buffer))
}
mapPages()

/** A state in which every form gets as far as its memory operand; rBX, rSP, rBP, rSI, rDI point at `address`. */
function prepare(mode: 32 | 64, address: number): void {
  const s = core.state
  core.reset(true)
  s.cr0 = Cr0.PE | Cr0.PG | Cr0.WP | Cr0.NE | Cr0.MP | Cr0.ET
  s.cr4 = Cr4.OSFXSR | Cr4.OSXMMEXCPT | Cr4.FSGSBASE | Cr4.OSXSAVE | (mode === 64 ? Cr4.PAE : 0n)
  s.cr3 = BigInt(mode === 64 ? TABLES : LEGACY_TABLES)
  s.efer = mode === 64 ? Efer.LME | Efer.LMA | Efer.SCE : 0n
  s.xcr0 = 3n
  for (let i = 0; i < 6; i++) {
    s.segSelector.set(i, i === CS ? 8 : 0x10)
    s.segBase.set(i, 0n)
    s.segLimit.set(i, 0xffffffff)
    s.segRights.set(i, (i === CS ? 0xb | (mode === 64 ? Rights.L : Rights.DB) : 3 | Rights.DB) | Rights.S | Rights.P | Rights.G)
  }
  for (let i = 0; i < 16; i++) s.gpr.set(i, [3, 4, 5, 6, 7].includes(i) ? BigInt(address) : BigInt(i + 4))
  s.rip = BigInt(LINEAR_CODE)
  s.xmm.fill(0x9b)
  s.fpr.fill(0xc7)
  s.fcw = 0x37f
  s.ftw = 0xff
  core.modeChanged()
  core.setRflags(0x8d7n) // the six arithmetic flags
  core.mmu.flushAll()
}

const compared = (Object.keys(fields) as FieldName[]).filter((n) => !('derived' in fields[n]) && n !== 'cycles' && n !== 'instructions')
const bytesOf = { u8: 1, u16: 2, u32: 4, i32: 4, u64: 8, bytes: 1 }
const snapshot = (): Buffer => Buffer.from(machine.physical.bytes.slice(core.state.base, core.state.base + FIELDS_SIZE))
const changedFields = (x: Buffer, y: Buffer): string[] =>
  compared.filter((n) => {
    const end = offsets[n] + fields[n].count * bytesOf[fields[n].type]
    return x.compare(y, offsets[n], end, offsets[n], end) !== 0
  })
const dram = (): Buffer => Buffer.from(machine.physical.dump(GOOD, 0x2000))

const spell = (f: Form): string => `${f.row.mnemonic} ${f.repeat} ${f.opcode} ${f.row.operands}`
const immediateOf = (f: Form): number => (f.row.mnemonic === 'ENTER' ? 0 : 1)

/** Runs a form once; the vector, or undefined if it completed or does not exist in this mode. Fails if a fault left a trace. */
function attempt(f: Form, mode: 32 | 64, address: number): 'absent' | 'completed' | number {
  const bytes = encode(f, {
    mode,
    reg: f.operands.some((o) => o.file === 'sreg') ? 3 : 1,
    rm: 1,
    address: BigInt(address),
    immediate: immediateOf(f),
  })
  if (!bytes) return 'absent'
  const decoded = engine(features()).decoder.decode(bytes, 0, bytes.length, mode)
  if ('kind' in decoded || decoded.form !== f) return 'absent'
  machine.physical.load(CODE_PAGE, bytes)
  core.code.flush()
  prepare(mode, address)
  const state = snapshot()
  const memory = dram()
  raised = undefined
  core.run(core.time + 1)
  if (raised === undefined) return 'completed'
  const changed = changedFields(state, snapshot())
  if (!memory.equals(dram())) changed.push('memory')
  const text = `${mode}-bit ${Buffer.from(bytes).toString('hex')} ${spell(f)} at ${address.toString(16)}: vector ${raised} changed`
  if (changed.length > 0) expect(changed, text).toEqual([])
  return raised
}

const seen = new Set<Form>()
describe.each([64, 32] as const)('%s-bit code', (mode) => {
  it('every memory form faults at an absent page and changes nothing', () => {
    const wrong: string[] = []
    let faults = 0
    for (const f of memoryForms) {
      const result = attempt(f, mode, absent)
      if (result === 'absent') continue
      seen.add(f)
      if (exempt(f) === (result === 14)) wrong.push(`${spell(f)}: ${result}`)
      if (result === 14) faults++
    }
    console.log(`${mode}-bit: ${faults} memory forms fault and leave no trace`)
    expect(wrong).toEqual([])
    expect(faults).toBeGreaterThan(mode === 64 ? 1000 : 700)
  })
  it('a read-only page: what would write faults and changes nothing', () => {
    const results = memoryForms.filter((f) => !exempt(f)).map((f) => attempt(f, mode, readOnly + 0x400))
    expect(results.filter((r) => r === 14).length).toBeGreaterThan(mode === 64 ? 300 : 200)
  })
  it.each([1, 4, 16, 64])('an operand whose first %s bytes are good: nothing is stored', (good) => {
    const results = memoryForms.filter((f) => f.repeat === '').map((f) => attempt(f, mode, boundary - good))
    expect(results.filter((r) => typeof r === 'number').length).toBeGreaterThan(good < 16 ? 60 : 5)
  })
})

it('every memory form has been tried but those CPUID does not offer', () => {
  const missed = memoryForms.filter((f) => !seen.has(f) && (!f.row.attributes.feature || features().has(f.row.attributes.feature)))
  expect(missed.map(spell)).toEqual([])
})

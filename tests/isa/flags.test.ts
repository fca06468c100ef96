// Which flags a row reads, writes and calls undefined, against iced-x86's description of the same opcode.

import { describe, expect, it } from 'vitest'
import { Code, Instruction, RflagsBits } from 'iced-x86'
import type { E } from '../../src-core/isa/context.ts'
import type { Row } from '../../src-core/isa/row.ts'
import { families } from '../../src-core/isa/table.ts'
import type { Condition, OpSize } from '../../src-core/isa/value.ts'
import { coverage, spellings } from '../conformance/coverage.ts'
import { opcodes, type Opcode } from '../conformance/iced.ts'
import { offered } from '../conformance/missing.ts'

const NAMES = ['OF', 'SF', 'ZF', 'AF', 'CF', 'PF'] as const
type Name = (typeof NAMES)[number]
interface Effects {
  read: Set<Name>
  written: Set<Name>
  undefined: Set<Name>
  assist: boolean
}
const conditionReads: Record<Condition, readonly Name[]> = {
  o: ['OF'],
  no: ['OF'],
  b: ['CF'],
  ae: ['CF'],
  e: ['ZF'],
  ne: ['ZF'],
  be: ['CF', 'ZF'],
  a: ['CF', 'ZF'],
  s: ['SF'],
  ns: ['SF'],
  p: ['PF'],
  np: ['PF'],
  l: ['SF', 'OF'],
  ge: ['SF', 'OF'],
  le: ['SF', 'OF', 'ZF'],
  g: ['SF', 'OF', 'ZF'],
}

/** Runs the meaning on a context whose every value is the handle 0, and notes what is said about flags. */
function effects(row: Row, bits: OpSize): Effects {
  const out: Effects = { read: new Set(), written: new Set(), undefined: new Set(), assist: false }
  const all = (but: readonly Name[] = []) => NAMES.filter((n) => !but.includes(n)).forEach((n) => out.written.add(n))
  const said = (name: Name, flag: unknown) => {
    if (typeof flag === 'object') out.undefined.add(name)
    else if (flag !== undefined && flag !== 'keep') out.written.add(name)
  }
  const special: Record<string, unknown> = {
    bits,
    no: 0,
    yes: 0,
    carry: () => Number(out.read.add('CF').size < 0),
    adjust: () => Number(out.read.add('AF').size < 0),
    cond: (c: Condition) => conditionReads[c].forEach((n) => out.read.add(n)),
    flagsAdd: (_a: unknown, _b: unknown, _r: unknown, keep?: string) => all(keep ? ['CF'] : []),
    flagsSub: (_a: unknown, _b: unknown, _r: unknown, keep?: string) => all(keep ? ['CF'] : []),
    flagsLogic: () => void (all(['AF']), out.undefined.add('AF')),
    flagsUndefined: () => NAMES.forEach((n) => out.undefined.add(n)),
    flags: (f: Record<string, unknown>) => {
      for (const n of NAMES) said(n, f[n])
      if (f.ZF !== undefined) for (const n of ['SF', 'PF'] as const) if (f[n] === undefined) out.written.add(n)
      if (f.ZF === undefined) for (const n of ['SF', 'ZF', 'PF'] as const) said(n, f.result)
    },
    assist: () => void (out.assist = true),
    mulU: () => [0, 0],
    mulS: () => [0, 0],
    divU: () => ({ q: 0, r: 0, overflow: 0 }),
    divS: () => ({ q: 0, r: 0, overflow: 0 }),
  }
  const context = new Proxy(special, { get: (t, name: string) => (name in t ? t[name] : () => 0) })
  const inputs = row.operands
    .split(', ')
    .filter((o) => o !== '' && !/^[=@]/.test(o))
    .map((o) => (o.endsWith('m128') ? [0, 0] : 0))
  row.meaning(context as unknown as E<OpSize>, ...(inputs as never[]))
  return out
}

const set = (bits: number): Name[] => NAMES.filter((n) => bits & RflagsBits[n])
function described(o: Opcode): { read: Name[]; modified: Name[]; undefined: Name[] } {
  const i = new Instruction()
  i.code = Code[o.name as keyof typeof Code]
  if (/, imm8$/.test(o.text)) i.immediate8 = 3
  const answer = {
    read: set(i.rflagsRead),
    modified: set(i.rflagsWritten | i.rflagsCleared | i.rflagsSet),
    undefined: set(i.rflagsUndefined),
  }
  i.free()
  return answer
}

const general = [
  'arithmetic',
  'logic',
  'shift',
  'multiply',
  'bit',
  'move',
  'convert',
  'stack',
  'branch',
  'string',
  'flag',
  'segment',
  'system',
  'io',
]

describe('flags of the integer rows against iced-x86', () => {
  const rows = general.flatMap((name) => families[name]!)
  const { byRow } = coverage(
    rows,
    opcodes((f) => offered.has(f)),
    () => false,
  )
  it('agree', () => {
    const wrong: string[] = []
    let compared = 0
    for (const [row, covered] of byRow) {
      const o = covered[0]!
      const e = effects(row, (spellings(row)[0]!.size || 8) as OpSize)
      if (e.assist) continue
      const d = described(o)
      const ours = (s: Set<Name>) => NAMES.filter((n) => s.has(n))
      const say = (what: string, a: Name[], b: Name[]) => {
        if (a.join() !== b.join())
          wrong.push(`${row.mnemonic} ${row.encoding}: ${what} ${a.join(' ') || 'none'}, iced-x86 ${b.join(' ') || 'none'}`)
      }
      say('reads', ours(e.read), d.read)
      say('writes', ours(e.written), d.modified)
      say('leaves undefined', ours(e.undefined), d.undefined)
      compared++
    }
    expect(wrong).toEqual([])
    expect(compared).toBeGreaterThan(300)
  })
})

// Completeness, counted: each of iced-x86's opcodes that CPUID offers has a row, and each row is one of them.

import { describe, expect, it } from 'vitest'
import { families, table } from '../../src-core/isa/table.ts'
import { coverage } from '../conformance/coverage.ts'
import { featureSets, opcodes, type Opcode } from '../conformance/iced.ts'
import { noRow, notOffered, offered, onlyOurs, otherModes, otherOperands } from '../conformance/missing.ts'

const sets = featureSets()
const list = opcodes((features) => offered.has(features))
const group = (o: Opcode): 'x87' | 'MMX' | 'SSE' | 'state images' | 'general' =>
  o.features.startsWith('FPU') || o.name === 'Wait'
    ? 'x87'
    : o.features === 'MMX' || /\bmm\b|\bmm\//.test(o.text)
      ? 'MMX'
      : /^(FXSAVE|FXRSTOR|XSAVE|XRSTOR|LDMXCSR|STMXCSR)/.test(o.text)
        ? 'state images'
        : /^S?SSE/.test(o.features) && !/^(LFENCE|MFENCE|SFENCE|PREFETCH|MOVNTI|CLFLUSH|PAUSE)/.test(o.text)
          ? 'SSE'
          : 'general'
const result = coverage(table, list, (o) => group(o) === 'general')

describe('the table against iced-x86', () => {
  it('decides about every feature set', () => {
    expect(sets.filter((f) => offered.has(f) === f in notOffered)).toEqual([])
  })
  for (const name of ['general', 'state images', 'x87', 'MMX', 'SSE'] as const)
    it(`has a row for every ${name} opcode`, () => {
      const part = coverage(
        table,
        list.filter((o) => group(o) === name),
        () => false,
      )
      expect(part.missing).toEqual([])
      expect(part.covered).toBeGreaterThan(0)
    })
  it('agrees on modes, LOCK, forms and operands', () => {
    expect(result.differences).toEqual([])
  })
  it('has no row that iced-x86 does not know', () => {
    expect(result.extra.filter((e) => !(e in onlyOurs))).toEqual([])
  })
  it('lists no exception in vain', () => {
    const names = new Set(list.map((o) => o.name))
    expect([...Object.keys(noRow), ...Object.keys(otherModes), ...Object.keys(otherOperands)].filter((n) => !names.has(n))).toEqual([])
    expect(Object.keys(onlyOurs).filter((e) => !result.extra.includes(e))).toEqual([])
    expect(Object.keys(notOffered).filter((f) => !sets.includes(f))).toEqual([])
  })
  it('counts', () => {
    const lines = Object.entries(families).map(([name, rows]) => ({
      family: name,
      rows: rows.length,
      opcodes: rows.reduce((n, r) => n + (result.byRow.get(r)?.length ?? 0), 0),
    }))
    console.table(lines)
    console.log(`${result.covered} of ${list.length} opcodes have a row; ${list.filter((o) => o.withWait).length} are a WAIT and another`)
    expect(table.length).toBe(lines.reduce((n, l) => n + l.rows, 0))
  })
})

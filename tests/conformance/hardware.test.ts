// Our processor against recorded hardware: every committed vector, and where there is hardware to ask a fresh batch.
// Then the table's rows with the number of cases each has.

import { randomInt } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { committedBeyond, freshBeyond } from './beyond.ts'
import { OurProcessor } from './executor.ts'
import { differences, explain, reportText, type Report } from './oracle/compare.ts'
import type { Vector } from './oracle/format.ts'
import { unavailable } from './oracle/hardware.ts'
import { acceptedReason, makersDiffer } from './oracle/masks.ts'
import { committed, families, fresh } from './oracle/record.ts'
import { countRows, rowsText, spell, unrecorded } from './rows.ts'

const files = new Map<string, readonly Vector[]>(families.map((f) => [f, committed(f).vectors]))
files.set('beyond', committedBeyond())
const ours = new OurProcessor()
const accepted = new Map<string, number>()

/** Runs vectors; differences on which makers disagree are counted in `accepted` and are no mismatches. */
function run(vectors: readonly Vector[]): Report {
  const report: Report = { cases: 0, mismatches: 0, codes: new Map() }
  for (const v of vectors) {
    let result = report.codes.get(v.case.code)
    if (!result) report.codes.set(v.case.code, (result = { cases: 0, mismatches: 0, first: null }))
    result.cases++
    report.cases++
    const found = differences(v, ours.run(v.case))
    if (found.length === 0) continue
    const reason = acceptedReason(v, found)
    if (reason !== undefined) accepted.set(reason, (accepted.get(reason) ?? 0) + 1)
    else {
      result.mismatches++
      report.mismatches++
      result.first ??= explain(v, found)
    }
  }
  return report
}

describe('our processor', () => {
  it.each([...files])('does what hardware did: %s', (name, vectors) => {
    const report = run(vectors)
    console.log(`${name}: ${report.cases} cases of ${report.codes.size} codes, ${report.mismatches} mismatches`)
    if (report.mismatches > 0) expect.fail(reportText(report, 10))
    expect(report.cases).toBeGreaterThan(200)
  })

  it('differs from the recording processor only where the SDM says otherwise, and there indeed', () => {
    console.log(makersDiffer.map((m) => `${accepted.get(m.reason) ?? 0} cases: ${m.reason}`).join('\n'))
    expect(makersDiffer.filter((m) => !m.rare && !accepted.has(m.reason)).map((m) => m.reason)).toEqual([])
    const total = [...accepted.values()].reduce((a, b) => a + b, 0)
    expect(total).toBeLessThan(40)
  })

  it('accepts no other difference of those instructions', () => {
    const v = files.get('sse')!.find((x) => x.case.code === 'Cvtpi2ps_xmm_mmm64')!
    expect(acceptedReason(v, [{ what: 'FTW', expected: '00', actual: 'ff' }])).toContain('CVTPI2PS')
    expect(acceptedReason(v, [{ what: 'XMM3', expected: '0', actual: '1' }])).toBeUndefined()
    const shift = files.get('integer')!.find((x) => x.case.code === 'Shrd_rm16_r16_CL' && (x.case.state.gpr[1]! & 31n) < 17n)!
    expect(acceptedReason(shift, [{ what: 'RAX', expected: '0', actual: '1' }])).toBeUndefined()
  })
})

const why = unavailable()
const salt = Number(process.env['ORACLE_SEED'] ?? randomInt(1 << 30))
describe.skipIf(why !== null)(`this machine's processor${why === null ? '' : ` (skipped: ${why})`}`, () => {
  it(`agrees with ours on a fresh batch (ORACLE_SEED=${salt})`, () => {
    const report = run([...fresh(4, salt), ...freshBeyond(20, salt)])
    console.log(`fresh, ORACLE_SEED=${salt}: ${report.cases} cases, ${report.mismatches} mismatches`)
    if (report.mismatches > 0) expect.fail(`ORACLE_SEED=${salt}\n${reportText(report, 10)}`)
  })
})

describe('rows', () => {
  const cases = new Map<string, number>()
  for (const vectors of files.values()) for (const v of vectors) cases.set(v.case.code, (cases.get(v.case.code) ?? 0) + 1)
  const rows = countRows(cases)

  it('have recorded cases, or a reason', () => {
    console.log(rowsText(rows))
    expect(rows.filter((r) => r.cases === 0 && r.reason === undefined).map((r) => spell(r.row))).toEqual([])
  })
  it('lists no reason in vain', () => {
    const without = rows.filter((r) => r.cases === 0).map((r) => spell(r.row))
    expect(unrecorded.filter(([pattern]) => !without.some((w) => pattern.test(w))).map(([, reason]) => reason)).toEqual([])
    expect(rows.filter((r) => r.cases > 0 && unrecorded.some(([pattern]) => pattern.test(spell(r.row)))).map((r) => spell(r.row))).toEqual(
      [],
    )
  })
  it('are spelled by every recorded code', () => {
    const spelled = new Set(rows.flatMap((r) => r.codes))
    expect([...cases.keys()].filter((c) => !spelled.has(c))).toEqual([])
  })
})

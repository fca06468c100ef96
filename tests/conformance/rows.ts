// The table's rows beside the recorded vectors: which of iced-x86's codes spell a row's forms, how many cases each row has,
// and for a row without any the reason.

import { families } from '../../src-core/isa/table.ts'
import type { Row } from '../../src-core/isa/row.ts'
import { coverage } from './coverage.ts'
import { opcodes as allOpcodes } from './iced.ts'
import { offered } from './missing.ts'
import { opcodes as oracleOpcodes } from './oracle/opcodes.ts'

export interface RowCount {
  readonly family: string
  readonly row: Row
  /** Names of the codes that spell the row's forms in 64-bit mode. */
  readonly codes: readonly string[]
  readonly cases: number
  /** Why there is no case; undefined: there are some, or nobody said why not. */
  readonly reason: string | undefined
}

/** Rows that no recording reaches, by mnemonic, beyond what the oracle's own list of codes says. */
export const unrecorded: readonly (readonly [RegExp, string])[] = [
  [/^(SYSCALL|SYSRET|SYSENTER|SYSEXIT)$/, 'enters or leaves the host kernel; tests/cpu'],
  [/^(RDTSC|RDTSCP|RDPID|CPUID|XGETBV)$/, 'the answer is the machine’s own: time, processor number, identification; tests/cpu'],
  [/^(MONITOR|MWAIT|INVPCID|CLAC|STAC)$/, 'privileged: #UD or #GP at CPL 3; tests/cpu'],
  [/^(XSAVE|XSAVEOPT|XRSTOR|XSAVE64|XRSTOR64|XSAVEOPT64)$/, 'CR4.OSXSAVE and XCR0 belong to the host; tests/cpu'],
  [/^(LZCNT|TZCNT|MOVBE|CLFLUSHOPT|PREFETCHWT1)$/, 'not offered: CPUID says x86-64-v2'],
  [/^(PREFETCHW|PREFETCH)$/, 'a hint without effect'],
]

const spell = (row: Row): string => `${row.mnemonic} ${row.encoding}`

/** All rows in the table's order. `cases`: recorded cases by code name. */
export function countRows(cases: ReadonlyMap<string, number>): RowCount[] {
  const offeredCodes = allOpcodes((features) => offered.has(features))
  const all = Object.values(families).flat()
  const { byRow } = coverage(all, offeredCodes, () => false)
  const left = new Map(oracleOpcodes().left.map((l) => [l.name, l.reason]))
  return Object.entries(families).flatMap(([family, rows]) =>
    rows.map((row) => {
      const spelled = byRow.get(row) ?? []
      const codes = spelled.filter((o) => o.mode64).map((o) => o.name)
      const count = codes.reduce((n, c) => n + (cases.get(c) ?? 0), 0)
      return { family, row, codes, cases: count, reason: count > 0 ? undefined : reasonFor(row, codes, left) }
    }),
  )
}

function reasonFor(row: Row, codes: readonly string[], left: ReadonlyMap<string, string>): string | undefined {
  const own = unrecorded.find(([pattern]) => pattern.test(row.mnemonic))?.[1]
  if (own !== undefined) return own
  if (row.attributes.modes === 'not64') return 'does not exist in 64-bit mode'
  return codes.map((c) => left.get(c)).find((r) => r !== undefined)
}

/** One line a family, then one a row: "  12 0F AF /r  IMUL =…" with the count in front, or the reason behind. */
export function rowsText(rows: readonly RowCount[]): string {
  const lines: string[] = []
  for (const family of new Set(rows.map((r) => r.family))) {
    const own = rows.filter((r) => r.family === family)
    const recorded = own.filter((r) => r.cases > 0)
    lines.push(`${family}: ${own.length} rows, ${recorded.length} with ${recorded.reduce((n, r) => n + r.cases, 0)} cases`)
    for (const r of own) {
      const reason = r.cases > 0 ? '' : `  (${r.reason ?? 'no reason given'})`
      lines.push(`${String(r.cases).padStart(7)}  ${spell(r.row)}${r.row.operands === '' ? '' : `  ${r.row.operands}`}${reason}`)
    }
  }
  return lines.join('\n')
}

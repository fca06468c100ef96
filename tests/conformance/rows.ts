// The table's rows beside the recorded vectors: which of iced-x86's codes spell a row's forms, how many cases each row has,
// and for a row without any the reason.

import { families } from '../../src-core/isa/table.ts'
import type { Row } from '../../src-core/isa/row.ts'
import { coverage } from './coverage.ts'
import { opcodes } from './iced.ts'
import { offered } from './missing.ts'

export interface RowCount {
  readonly family: string
  readonly row: Row
  /** Names of the codes that spell the row's forms in 64-bit mode. */
  readonly codes: readonly string[]
  readonly cases: number
  /** Why there is no case; undefined: there are some, or nobody said why not. */
  readonly reason: string | undefined
}

/** Rows without a recorded case, by mnemonic and encoding, each with its reason; every other row must have one. */
export const unrecorded: readonly (readonly [RegExp, string])[] = [
  [/^(VM[A-Z]+|INVEPT|INVVPID) /, 'VT-x: root mode belongs to the host kernel'],
  [/^(SYSCALL|SYSRET|SYSENTER|SYSEXIT) /, 'enters or leaves the host kernel'],
  [/^(INT|INT1|INT3) /, 'enters the host kernel through its IDT'],
  [/^(JMP FF \/5|CALL FF \/3|RETF C[AB]|IRET CF)/, 'far transfer: the outcome depends on the host kernel’s GDT'],
  [/^(MOV 8E|POP 0F A[19]|L[SFG]S 0F B)/, 'segment load: the outcome depends on the host kernel’s GDT'],
  [/^(VERR|VERW|LAR|LSL) /, 'reads descriptors of the host kernel’s GDT'],
  [/^(SLDT|STR|SGDT|SIDT|SMSW) /, 'UMIP: the host kernel emulates it or refuses it'],
  [/^(IN|OUT|INS|OUTS) /, 'ports and their permission bitmap belong to the host'],
  [/^(CLI|STI) /, 'IOPL-sensitive: the host decides about virtual interrupts'],
  [/^(RDTSC|RDTSCP|RDPID|RDPMC|CPUID|XGETBV) /, 'the answer is the processor’s own: time, number, identification'],
  [/^(XSAVE|XSAVEOPT|XRSTOR) /, 'XCR0 and the area’s layout belong to the host'],
  [/^(LLDT|LTR|LGDT|LIDT|LMSW|SWAPGS|HLT|CLTS|INVD|WBINVD|INVLPG|INVPCID|RDMSR|WRMSR|XSETBV|CLAC|STAC) /, 'privileged'],
  [/^MOV 0F 2[0-3] /, 'privileged'],
  [/^(MONITOR|MWAIT|TZCNT|PREFETCHWT1) /, 'CPUID does not offer it: #UD, or the instruction without its prefix'],
  [
    /^(NOP|PREFETCHW?) 0F (0D|19|1[A-E]|18 \/[4-7]|1F \/[1-7])/,
    'a reserved NOP or hint that iced-x86 decodes on demand only, or one whose register form is reserved',
  ],
]

export const spell = (row: Row): string => `${row.mnemonic} ${row.encoding}`

/** All rows in the table's order. `cases`: recorded cases by code name. */
export function countRows(cases: ReadonlyMap<string, number>): RowCount[] {
  const offeredCodes = opcodes((features) => offered.has(features))
  const all = Object.values(families).flat()
  const { byRow } = coverage(all, offeredCodes, () => false)
  return Object.entries(families).flatMap(([family, rows]) =>
    rows.map((row) => {
      const codes = (byRow.get(row) ?? []).filter((o) => o.mode64).map((o) => o.name)
      const count = codes.reduce((n, c) => n + (cases.get(c) ?? 0), 0)
      return { family, row, codes, cases: count, reason: count > 0 ? undefined : reasonFor(row) }
    }),
  )
}

function reasonFor(row: Row): string | undefined {
  if (row.attributes.modes === 'not64') return 'does not exist in 64-bit mode, which is what the recorder runs'
  return unrecorded.find(([pattern]) => pattern.test(spell(row)))?.[1]
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

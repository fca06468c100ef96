// The benchmark's result: medians, ratios and the text table.

import type { Measure } from './engine.ts'

export type Result = { readonly median: Measure; readonly runs: readonly Measure[] } | { readonly failed: string }

export interface Row {
  readonly name: string
  readonly stresses: string
  readonly count: number
  /** By the engine's name; an engine that is not here has no entry. */
  readonly results: Readonly<Record<string, Result>>
}

/** The run whose processor time is in the middle (the lower of two). */
export function medianRun(runs: readonly Measure[]): Measure {
  return [...runs].sort((a, b) => a.cpu - b.cpu)[(runs.length - 1) >> 1]!
}

export function geometricMean(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : Math.exp(values.reduce((sum, v) => sum + Math.log(v), 0) / values.length)
}

const median = (row: Row, engine: string): Measure | undefined => {
  const result = row.results[engine]
  return result && 'median' in result ? result.median : undefined
}

/** Guest instructions per second on the wall, in millions. */
export function mips(measure: Measure | undefined): number | undefined {
  return measure?.instructions === undefined ? undefined : measure.instructions / measure.wall / 1e6
}

/** How many times as fast as `other` our 64-bit build is: the other's processor time divided by ours. */
export function speed(row: Row, other: string): number | undefined {
  const [a, b] = [median(row, 'ours'), median(row, other)]
  return a && b && a.cpu > 0 && b.cpu > 0 ? b.cpu / a.cpu : undefined
}

/** Checksums in all runs of all engines; more than one is an error. */
export function checksums(row: Row): string[] {
  const all = Object.values(row.results).flatMap((r) => ('runs' in r ? r.runs.map((m) => m.checksum ?? '') : []))
  return [...new Set(all)]
}

/** Why the row is not right, one line each. */
export function complaints(row: Row): string[] {
  const said = Object.entries(row.results).flatMap(([engine, r]) => ('failed' in r ? [`${row.name}, ${engine}: ${r.failed}`] : []))
  if (checksums(row).length > 1) {
    const each = Object.entries(row.results).flatMap(([engine, r]) =>
      'runs' in r ? [`${engine} ${r.runs.map((m) => m.checksum).join(' ')}`] : [],
    )
    said.push(`${row.name}: checksums differ: ${each.join(', ')}`)
  }
  return said
}

export interface Means {
  readonly qemu: number | undefined
  readonly v86: number | undefined
  readonly mips: number | undefined
}

export function means(rows: readonly Row[]): Means {
  const over = (value: (row: Row) => number | undefined) => geometricMean(rows.map(value).filter((v) => v !== undefined))
  return { qemu: over((r) => speed(r, 'qemu')), v86: over((r) => speed(r, 'v86')), mips: over((r) => mips(median(r, 'ours'))) }
}

const WIDTHS = { name: 11, stresses: 26, number: 10 } as const
const number = (value: number | undefined, digits: number) => (value === undefined ? '–' : value.toFixed(digits)).padStart(WIDTHS.number)

export function headLines(engines: readonly string[]): string[] {
  const columns = ['MIPS', ...engines.map((e) => `${e} s`), '÷ QEMU', '÷ v86'].map((c) => c.padStart(WIDTHS.number))
  const line = `${'workload'.padEnd(WIDTHS.name)}${'stresses'.padEnd(WIDTHS.stresses)}${columns.join('')}`
  return [line, '─'.repeat(line.length)]
}

export function rowLine(row: Row, engines: readonly string[]): string {
  const seconds = engines.map((engine) => {
    const result = row.results[engine]
    return result && 'failed' in result ? 'failed'.padStart(WIDTHS.number) : number(median(row, engine)?.cpu, 3)
  })
  const columns = [number(mips(median(row, 'ours')), 0), ...seconds, number(speed(row, 'qemu'), 2), number(speed(row, 'v86'), 2)]
  return `${row.name.padEnd(WIDTHS.name)}${row.stresses.padEnd(WIDTHS.stresses)}${columns.join('')}`
}

export function meanLine(rows: readonly Row[], engines: readonly string[]): string {
  const { qemu, v86, mips: rate } = means(rows)
  const blank = ' '.repeat(WIDTHS.number * engines.length)
  return `${'geometric mean'.padEnd(WIDTHS.name + WIDTHS.stresses)}${number(rate, 0)}${blank}${number(qemu, 2)}${number(v86, 2)}`
}

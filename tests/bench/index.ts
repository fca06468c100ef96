// `npm run bench`: our machine, QEMU's TCG and v86 on the same workloads, in fresh processes, taking turns. README.md says how
// to read the table. Status 0; 1 when a run failed or checksums differ; 64 usage.

import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { Compiler } from './build.ts'
import type { Engine, Measure } from './engine.ts'
import { linuxBoots } from './linux.ts'
import { buildOurs, ours } from './ours.ts'
import { PROCESSOR_TIME } from './process.ts'
import { qemu } from './qemu.ts'
import { complaints, headLines, meanLine, means, medianRun, mips, rowLine, speed, type Result, type Row } from './table.ts'
import { v86 } from './v86.ts'
import { WORKLOADS } from './workloads.ts'

const USAGE = `usage: npm run bench -- [--runs N] [--only NAME[,NAME…]] [--engines ours,qemu,v86,ours32] [--host PRESET]
                     [--scale F] [--time-limit SECONDS] [--json FILE]
workloads: ${WORKLOADS.map((w) => w.name).join(' ')} linux`
const LINUX = 'linux'

interface Options {
  readonly runs: number
  readonly only: readonly string[]
  readonly engines: readonly string[]
  readonly host: string
  readonly scale: number
  readonly timeLimit: number
  readonly json: string | undefined
}

function usage(reason: string): never {
  console.error(`bench: ${reason}\n${USAGE}`)
  process.exit(64)
}

function parse(): Options {
  const list = (text: string | undefined, all: readonly string[], what: string) => {
    const names = text?.split(',') ?? []
    const unknown = names.find((n) => !all.includes(n))
    if (unknown !== undefined) usage(`there is no ${what} ${unknown}`)
    return names
  }
  const positive = (text: string, option: string) => (Number(text) > 0 ? Number(text) : usage(`--${option} ${text} is not above 0`))
  try {
    const { values } = parseArgs({
      options: {
        runs: { type: 'string', default: '3' },
        only: { type: 'string' },
        engines: { type: 'string', default: 'ours,qemu,v86' },
        host: { type: 'string', default: 'uma-1n' },
        scale: { type: 'string', default: '1' },
        'time-limit': { type: 'string', default: '120' },
        json: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    })
    if (values.help) {
      console.log(USAGE)
      process.exit(0)
    }
    return {
      runs: Math.ceil(positive(values.runs, 'runs')),
      only: list(values.only, [...WORKLOADS.map((w) => w.name), LINUX], 'workload'),
      engines: list(values.engines, ['ours', 'ours32', 'qemu', 'v86'], 'engine'),
      host: values.host,
      scale: positive(values.scale, 'scale'),
      timeLimit: positive(values['time-limit'], 'time-limit'),
      json: values.json,
    }
  } catch (error) {
    return usage((error as Error).message)
  }
}

async function repeat(runs: number, each: ReadonlyMap<string, () => Promise<Measure>>): Promise<Record<string, Result>> {
  const taken = new Map<string, Measure[]>()
  const failed = new Map<string, string>()
  for (let run = 0; run < runs; run++)
    for (const [name, once] of each) {
      if (failed.has(name)) continue
      try {
        taken.set(name, [...(taken.get(name) ?? []), await once()])
      } catch (error) {
        failed.set(name, (error as Error).message)
      }
    }
  const result = (name: string): Result => {
    const reason = failed.get(name)
    const list = taken.get(name) ?? []
    return reason === undefined ? { median: medianRun(list), runs: list } : { failed: reason }
  }
  return Object.fromEntries([...each.keys()].map((name) => [name, result(name)]))
}

const options = parse()
const chosen = (name: string) => options.only.length === 0 || options.only.includes(name)
const engines: Engine[] = []
if (options.engines.some((n) => n.startsWith('ours'))) await buildOurs()
for (const name of options.engines) {
  const engine =
    name === 'qemu'
      ? await qemu(options.timeLimit)
      : name === 'v86'
        ? v86(options.timeLimit)
        : ours(name === 'ours' ? 64 : 32, options.host, options.timeLimit)
  if ('missing' in engine) console.log(`${name} is left out: ${engine.missing}`)
  else engines.push(engine)
}
const names = engines.map((e) => e.name)
const problems: string[] = []
const rows: Row[] = []

const selected = WORKLOADS.filter((w) => chosen(w.name))
const compiler = selected.length > 0 ? await Compiler.find() : { missing: '' }
if ('missing' in compiler) {
  if (selected.length > 0) console.log(`the workloads are left out: ${compiler.missing}`)
} else {
  console.log(headLines(names).join('\n'))
  for (const workload of selected) {
    const count = Math.max(1, Math.round(workload.count * options.scale))
    const each = new Map<string, () => Promise<Measure>>()
    for (const engine of engines) {
      const image = await compiler.image(workload.name, engine.bits)
      each.set(engine.name, () => engine.run(image, count))
    }
    const row: Row = { name: workload.name, stresses: workload.stresses, count, results: await repeat(options.runs, each) }
    rows.push(row)
    problems.push(...complaints(row))
    console.log(rowLine(row, names))
  }
  console.log(meanLine(rows, names))
  console.log(
    `\n${PROCESSOR_TIME ? 'Processor' : 'Wall'} seconds between the guests' markers, median of ${options.runs}; MIPS are guest instructions per second on the wall.\n` +
      '÷ QEMU, ÷ v86: how many times as fast ours is (above 1: faster). ours and qemu run 64-bit code, v86 (and ours32) the 32-bit build of the same C.',
  )
}

let linux: { version: string; results: Record<string, Result> } | undefined
if (chosen(LINUX)) {
  const boots = await linuxBoots(options.host, options.timeLimit)
  if ('missing' in boots) console.log(`linux is left out: ${boots.missing}`)
  else {
    const each = new Map((['ours', 'qemu'] as const).filter((n) => names.includes(n)).map((n) => [n, boots.boot[n]]))
    linux = { version: boots.version, results: await repeat(options.runs, each) }
    const row: Row = { name: LINUX, stresses: 'to the shell prompt', count: 1, results: linux.results }
    problems.push(...complaints(row))
    const parts = Object.entries(linux.results).map(([name, r]) => {
      if ('failed' in r) return `${name} failed`
      const rate = mips(r.median)
      return `${name} ${r.median.cpu.toFixed(1)} s (wall ${r.median.wall.toFixed(1)} s${rate === undefined ? '' : `, ${rate.toFixed(0)} MIPS`})`
    })
    const ratio = speed(row, 'qemu')
    console.log(
      `linux ${linux.version} to the shell prompt: ${parts.join(', ')}${ratio === undefined ? '' : `, ÷ QEMU ${ratio.toFixed(2)}`}`,
    )
  }
}

for (const problem of problems) console.error(`bench: ${problem}`)
if (options.json !== undefined) {
  const host = { processor: cpus()[0]?.model ?? 'unknown', processors: cpus().length, node: process.version, processorTime: PROCESSOR_TIME }
  const text = JSON.stringify({ host, options, rows, means: means(rows), linux: linux ?? null, problems }, null, 2)
  try {
    mkdirSync(dirname(options.json), { recursive: true })
    writeFileSync(options.json, `${text}\n`)
  } catch (error) {
    console.error(`bench: ${options.json} cannot be written: ${(error as Error).message}`)
    process.exitCode = 66
  }
}
if (problems.length > 0) process.exitCode = 1

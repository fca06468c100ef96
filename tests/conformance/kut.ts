// Runs a directory of already built kvm-unit-tests images (and their unittests.cfg) on the emulated machine:
//   npx tsx tests/conformance/kut.ts DIR [NAME…] [--time SECONDS] [--log FOLDER] [--host PRESET] [--env KEY=VALUE]…
// A NAME is a configuration, a group or FILE.flat, and may end in *; with ^ before it, it is left out.
// Each runs in a process of its own. Does not model: QEMU's CPU models and devices; the processor is always ours.

import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { fileURLToPath } from 'node:url'
import { resolveBoard } from '../../src-core/board/config.ts'
import { firmware } from '../../src-core/board/firmware.ts'
import { Machine } from '../../src-core/board/machine.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import { loadImage } from '../../src-core/guests/load.ts'

interface Configuration {
  readonly name: string
  readonly file: string
  readonly processors: number
  readonly megabytes: number
  readonly append: string
  readonly groups: readonly string[]
}

type Outcome = 'PASS' | 'FAIL' | 'SKIP' | 'TIME' | 'HANG' | 'TRIPLE' | 'ERROR'

interface Result {
  readonly outcome: Outcome
  readonly seconds: number
  readonly instructions: number
  readonly output: string
  /** What the processor was asked for and does not have; where it stood, unless it ended by the exit port. */
  readonly notes: readonly string[]
}

const DEFAULT_MEGABYTES = 128
/** What QEMU's pc shows when no -rtc is given is the host's time; ours is fixed. */
const EPOCH = 1_735_689_600
/** Exit status of a test that skipped all it has: (38 << 1) | 1. */
const SKIPPED = 77

/** `[name]` sections of `key = value` lines. */
function parseConfigurations(text: string): Configuration[] {
  const out: Configuration[] = []
  for (const section of text.split(/^\[/m).slice(1)) {
    const end = section.indexOf(']')
    const values = new Map<string, string>()
    for (const line of section.slice(end + 1).split('\n')) {
      const [, key, value] = /^(\w+)\s*=\s*(.*?)\s*$/.exec(line) ?? []
      if (key !== undefined) values.set(key, value!)
    }
    const file = values.get('file')
    if (file === undefined) continue
    const [, amount, unit] = /(?:^|\s)-m\s+(\d+)([gG]?)/.exec(values.get('qemu_params') ?? '') ?? []
    out.push({
      name: section.slice(0, end),
      file,
      processors: Number(values.get('smp') ?? 1),
      megabytes: amount === undefined ? DEFAULT_MEGABYTES : Math.min(Number(amount) * (unit ? 1024 : 1), 3072),
      append: (values.get('test_args') ?? '').replace(/`date \+%s`/, String(EPOCH)).replace(/^(["'])(.*)\1$/, '$2'),
      groups: (values.get('groups') ?? '').split(/\s+/).filter((g) => g !== ''),
    })
  }
  return out
}

const matches = (pattern: string, c: Configuration): boolean =>
  [c.name, c.file, ...c.groups].some((n) => (pattern.endsWith('*') ? n.startsWith(pattern.slice(0, -1)) : n === pattern))

async function runOne(folder: string, c: Configuration, preset: string, limit: number, environment: readonly string[]): Promise<Result> {
  const started = performance.now()
  const config = resolveBoard(PRESETS.get(preset)!, { megabytes: c.megabytes, processors: c.processors })
  let output = ''
  const machine = new Machine({
    config,
    epoch: EPOCH,
    serial: (port, byte) => {
      if (port === 0) output += String.fromCharCode(byte)
    },
  })
  const kernel = { name: basename(c.file), data: readFileSync(join(folder, c.file)) }
  const initrd = environment.length > 0 ? { name: 'environment', data: new TextEncoder().encode(`${environment.join('\n')}\n`) } : undefined
  const image = await loadImage({ kernel, initrd, platform: firmware(config), append: c.append })
  machine.load(image.segments, image.entry)
  const seconds = (): number => (performance.now() - started) / 1000
  let outcome: Outcome
  const notes: string[] = []
  try {
    for (;;) {
      const { stop, idle } = machine.run()
      if (stop?.kind === 'exit') outcome = stop.code === 0 ? 'PASS' : ((stop.code << 1) | 1) === SKIPPED ? 'SKIP' : 'FAIL'
      else if (stop?.kind === 'tripleFault') outcome = 'TRIPLE'
      else if (stop) outcome = 'FAIL'
      else if (idle) outcome = 'HANG'
      else if (seconds() > limit) outcome = 'TIME'
      else continue
      notes.push(stop?.kind === 'exit' ? `exit ${stop.code}` : (stop?.kind ?? 'no end'))
      break
    }
  } catch (error) {
    outcome = 'ERROR'
    notes.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
  }
  for (const core of outcome === 'PASS' || outcome === 'SKIP' ? [] : machine.cores) {
    const s = core.state
    notes.push(
      `cpu${core.index} rip ${s.rip.toString(16)} cs ${s.segSelector.get(1).toString(16)} cpl ${s.cpl} activity ${s.activity} cr2 ${s.cr2.toString(16)}`,
    )
  }
  for (const [what, times] of machine.unimplemented) notes.push(`${what} ×${times}`)
  return { outcome, seconds: seconds(), instructions: machine.cores.reduce((sum, core) => sum + core.instructions, 0), output, notes }
}

function runApart(folder: string, c: Configuration, preset: string, limit: number, environment: readonly string[]): Promise<Result> {
  const own = [...process.execArgv, fileURLToPath(import.meta.url), folder]
  const options = ['--host', preset, '--time', String(limit), ...environment.flatMap((e) => ['--env', e]), '--one', JSON.stringify(c)]
  const child = spawn(process.execPath, [...own, ...options], { stdio: ['ignore', 'pipe', 'pipe'] })
  const deadline = setTimeout(() => child.kill('SIGKILL'), (limit + 30) * 1000)
  let text = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (d: string) => (text += d))
  child.stderr.setEncoding('utf8').on('data', (d: string) => (errors += d))
  return new Promise((done) => {
    child.on('close', (code, signal) => {
      clearTimeout(deadline)
      if (code === 0) return done(JSON.parse(text) as Result)
      const outcome = signal === 'SIGKILL' ? 'HANG' : 'ERROR'
      done({ outcome, seconds: limit, instructions: 0, output: '', notes: [signal ? 'a run that never came back' : errors.slice(-2000)] })
    })
  })
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    time: { type: 'string' },
    log: { type: 'string' },
    host: { type: 'string' },
    env: { type: 'string', multiple: true },
    one: { type: 'string' },
  },
})
const [folder, ...names] = positionals
const limit = Number(values.time ?? 90)
const preset = values.host ?? 'uma-1n'
const environment = values.env ?? []
if (folder === undefined || !PRESETS.has(preset) || !(limit > 0)) {
  console.error('usage: npx tsx tests/conformance/kut.ts DIR [NAME…] [--time SECONDS] [--log FOLDER] [--host PRESET] [--env KEY=VALUE]…')
  process.exit(64)
}
if (values.one !== undefined) {
  process.stdout.write(JSON.stringify(await runOne(folder, JSON.parse(values.one) as Configuration, preset, limit, environment)))
} else {
  const described = existsSync(join(folder, 'unittests.cfg'))
    ? parseConfigurations(readFileSync(join(folder, 'unittests.cfg'), 'utf8'))
    : []
  const known = new Set(described.map((c) => c.file))
  const bare = readdirSync(folder)
    .filter((f) => /\.(flat|elf)$/.test(f) && !known.has(f))
    .map((file): Configuration => ({ name: file, file, processors: 1, megabytes: DEFAULT_MEGABYTES, append: '', groups: [] }))
  const wanted = names.filter((n) => !n.startsWith('^'))
  const unwanted = names.filter((n) => n.startsWith('^')).map((n) => n.slice(1))
  const chosen = [...described, ...bare].filter(
    (c) =>
      existsSync(join(folder, c.file)) &&
      (wanted.length === 0 || wanted.some((n) => matches(n, c))) &&
      !unwanted.some((n) => matches(n, c)),
  )
  if (values.log !== undefined) mkdirSync(values.log, { recursive: true })
  const counts = new Map<Outcome, number>()
  console.log('test                              result   pass  fail xfail  skip   seconds  M instr')
  for (const c of chosen) {
    const r = await runApart(folder, c, preset, limit, environment)
    const lines = (kind: string): number => r.output.match(new RegExp(`^${kind}: `, 'gm'))?.length ?? 0
    const cells = ['PASS', 'FAIL', 'XFAIL', 'SKIP'].map((k) => String(lines(k)).padStart(5)).join(' ')
    console.log(
      `${c.name.padEnd(33)} ${r.outcome.padEnd(7)} ${cells} ${r.seconds.toFixed(1).padStart(9)} ${(r.instructions / 1e6).toFixed(1).padStart(8)}`,
    )
    counts.set(r.outcome, (counts.get(r.outcome) ?? 0) + 1)
    if (values.log !== undefined) writeFileSync(join(values.log, `${c.name}.log`), `${r.output}\n--\n${r.notes.join('\n')}\n`)
  }
  console.log([...counts].map(([outcome, n]) => `${n} ${outcome}`).join(', '), `of ${chosen.length} configurations`)
}

// The options of `ring1 boot`: one table, from which they are read, checked and explained.

import { parseArgs } from 'node:util'
import { placements, type PlacementName } from '../../src-core/hypervisor/placement.ts'
import { nearest } from './nearest.ts'
import { usage } from './status.ts'

interface OptionRow {
  readonly name: string
  /** What the value is, in help; without it the option is a switch. */
  readonly value?: string
  readonly short?: string
  readonly about: string
}

export const bootRows = [
  { name: 'on', value: 'metal|vm', about: 'where the guest runs: metal, the emulated server itself (default), or vm, a virtual machine on it' },
  { name: 'kernel', value: 'FILE', short: 'k', about: 'Linux boot image, PVH or Multiboot ELF, or flat program; without it: Minos' },
  { name: 'initrd', value: 'FILE', short: 'i', about: "the kernel's initial file system or first module" },
  { name: 'append', value: 'TEXT', short: 'a', about: "the kernel's command line" },
  { name: 'load-at', value: 'ADDR', about: 'load the kernel file as it is at this physical address (0x… or decimal) and jump there' },
  { name: 'host', value: 'PRESET|FILE', about: 'the server: a preset (ring1 hosts) or a topology file in JSON; default intel-4n' },
  { name: 'memory', value: 'MB', short: 'm', about: "the server's memory, split over its nodes; default 1024" },
  { name: 'cpus', value: 'N', about: 'processors, dealt round-robin over the sockets; default one a node' },
  { name: 'vtx', value: 'on|off', about: 'processors with VT-x and EPT, for hypervisors; default on' },
  { name: 'vcpus', value: 'N', about: "the virtual machine's processors, one on each of the server's; default all of them" },
  { name: 'vm-memory', value: 'MB', about: "the virtual machine's memory; default half the server's" },
  { name: 'placement', value: 'POLICY', about: 'which node a page of the virtual machine comes from: first-touch (default), round-4k or round-1g' },
  { name: 'serial', value: 'stdio|FILE', about: 'where COM1 is: this terminal or pipe (default), or a file for its output' },
  { name: 'until', value: 'TEXT', about: 'end with 0 as soon as the serial output contains TEXT' },
  { name: 'time-limit', value: 'SECONDS', about: 'end with 124 after this much wall time' },
  { name: 'stop-at', value: 'CYCLES', about: 'end with 0 at the first halting place at or after this virtual time' },
  { name: 'report', value: 'FILE', about: 'write figures of the run as JSON' },
  { name: 'hash', about: "add SHA-256 of memory and of the machine's state to the report" },
  { name: 'save', value: 'FILE', about: 'write the whole machine to a file at the end' },
  { name: 'restore', value: 'FILE', about: 'go on with a saved machine instead of starting one' },
  { name: 'help', short: 'h', about: 'this text' },
] as const satisfies readonly OptionRow[]

/** Without --vtx. */
export const DEFAULT_VTX = true

export interface GuestOptions {
  readonly kernel?: string
  readonly initrd?: string
  readonly append?: string
  readonly loadAt?: number
}

export interface BootOptions extends GuestOptions {
  /** In a virtual machine instead of on the server itself. */
  readonly vm?: { readonly vcpus?: number; readonly memory?: number; readonly placement: PlacementName }
  /** A preset's name or a file's path. */
  readonly host?: string
  readonly memory?: number
  readonly cpus?: number
  readonly vtx?: boolean
  /** `stdio` or a file's path. */
  readonly serial: string
  readonly until?: string
  /** Seconds of wall time. */
  readonly timeLimit?: number
  /** Cycles of virtual time. */
  readonly stopAt?: number
  readonly report?: string
  readonly hash: boolean
  readonly save?: string
  readonly restore?: string
}

type Given = ReadonlyMap<string, string | true>

/** Options by name, as given. Throws CommandError(64) for what is unknown, incomplete or given twice. */
function read(args: readonly string[], rows: readonly OptionRow[]): Given {
  const { tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(
      rows.map((r) => [r.name, { type: r.value === undefined ? 'boolean' : 'string', ...(r.short ? { short: r.short } : {}) }] as const),
    ),
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  const given = new Map<string, string | true>()
  for (const t of tokens) {
    if (t.kind === 'positional') throw usage(`unexpected argument '${t.value}'${near(t.value, rows)}`)
    if (t.kind !== 'option') continue
    const row = rows.find((r) => r.name === t.name)
    if (!row) throw usage(`unknown option '${t.rawName}'${near(t.name, rows)}`)
    if (given.has(t.name)) throw usage(`--${t.name} is given twice`)
    if (row.value === undefined) {
      if (t.value !== undefined) throw usage(`--${t.name} takes no value`)
      given.set(t.name, true)
      continue
    }
    if (t.value === undefined || t.value === '') throw usage(`--${t.name} needs a value: --${t.name} ${row.value}`)
    if (!t.inlineValue && t.value.startsWith('-'))
      throw usage(`--${t.name} needs a value: --${t.name} ${row.value} (write --${t.name}=${t.value} for one that begins with a dash)`)
    given.set(t.name, t.value)
  }
  return given
}

function near(word: string, rows: readonly OptionRow[]): string {
  const name = nearest(word, rows.map((r) => r.name))
  return name === undefined ? '' : `; did you mean --${name}?`
}

function number(given: Given, name: string, what: string, form: RegExp, least: number, most: number): number | undefined {
  const text = given.get(name)
  if (typeof text !== 'string') return undefined
  const value = form.test(text) ? Number(text) : NaN
  if (!(value >= least && value <= most)) throw usage(`--${name} ${text}: not ${what}`)
  return value
}

const decimal = /^\d{1,16}$/
const address = /^(0x[0-9a-f]{1,13}|\d{1,16})$/i
const seconds = /^\d{1,9}(\.\d{1,9})?$/
const MOST_ADDRESS = 2 ** 52 - 1

/** Reads what follows `ring1 boot`; 'help' when help is asked for. Throws CommandError(64). */
export function bootOptions(args: readonly string[]): BootOptions | 'help' {
  const given = read(args, bootRows)
  if (given.has('help')) return 'help'
  const text = <K extends string>(name: string, key: K) => {
    const value = given.get(name)
    return (typeof value === 'string' ? { [key]: value } : {}) as { [P in K]?: string }
  }
  const count = <K extends string>(key: K, value: number | undefined) => (value === undefined ? {} : { [key]: value }) as { [P in K]?: number }

  const on = given.get('on') ?? 'metal'
  if (on !== 'metal' && on !== 'vm') throw usage(`--on ${String(on)}: not a place to run; metal and vm are`)
  if (on === 'metal')
    for (const name of ['vcpus', 'vm-memory', 'placement']) if (given.has(name)) throw usage(`--${name} without --on vm: there is no virtual machine`)
  const policy = given.get('placement') ?? 'first-touch'
  const placement = placements.find((p) => p === policy)
  if (!placement) throw usage(`--placement ${String(policy)}: not a policy; ${placements.join(', ')} are`)
  const vm = {
    ...count('vcpus', number(given, 'vcpus', 'a whole number of processors', decimal, 1, 1e9)),
    ...count('memory', number(given, 'vm-memory', 'a whole number of megabytes', decimal, 1, 1e9)),
    placement,
  }
  const vtx = given.get('vtx')
  if (vtx !== undefined && vtx !== 'on' && vtx !== 'off') throw usage(`--vtx ${String(vtx)}: not on or off`)
  const options: BootOptions = {
    ...(on === 'vm' ? { vm } : {}),
    ...text('kernel', 'kernel'),
    ...text('initrd', 'initrd'),
    ...text('append', 'append'),
    ...count('loadAt', number(given, 'load-at', 'an address (0x… or decimal) below 2^52', address, 0, MOST_ADDRESS)),
    ...text('host', 'host'),
    ...count('memory', number(given, 'memory', 'a whole number of megabytes', decimal, 1, 1e9)),
    ...count('cpus', number(given, 'cpus', 'a whole number of processors', decimal, 1, 1e9)),
    ...(vtx === undefined ? {} : { vtx: vtx === 'on' }),
    serial: (given.get('serial') as string | undefined) ?? 'stdio',
    ...text('until', 'until'),
    ...count('timeLimit', number(given, 'time-limit', 'a number of seconds above 0', seconds, 1e-9, 1e9)),
    ...count('stopAt', number(given, 'stop-at', 'a number of cycles', decimal, 1, Number.MAX_SAFE_INTEGER)),
    ...text('report', 'report'),
    hash: given.has('hash'),
    ...text('save', 'save'),
    ...text('restore', 'restore'),
  }
  contradictions(options)
  return options
}

function contradictions(o: BootOptions): void {
  if (o.vm) {
    const unsaved: [string, unknown][] = [['save', o.save], ['restore', o.restore], ['hash', o.hash || undefined]]
    for (const [name, value] of unsaved) if (value !== undefined) throw usage(`--${name} with --on vm: the state of virtual machines cannot be written down yet`)
  }
  if (o.restore !== undefined) {
    const fixed: [string, unknown][] = [
      ['kernel', o.kernel], ['initrd', o.initrd], ['append', o.append], ['load-at', o.loadAt],
      ['host', o.host], ['memory', o.memory], ['cpus', o.cpus], ['vtx', o.vtx],
    ]
    for (const [name, value] of fixed)
      if (value !== undefined) throw usage(`--${name} contradicts --restore: a saved machine has its guest and its board already`)
  }
  if (o.initrd !== undefined && o.kernel === undefined) throw usage('--initrd without --kernel: Minos, the default guest, takes none')
  if (o.append !== undefined && o.kernel === undefined) throw usage('--append without --kernel: Minos, the default guest, takes no command line')
  if (o.loadAt !== undefined && o.kernel === undefined) throw usage('--load-at without --kernel: there is no file to load')
  if (o.hash && o.report === undefined) throw usage('--hash without --report: there is nowhere to write it')
}

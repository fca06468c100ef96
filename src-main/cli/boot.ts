// `ring1 boot`: reads and checks everything named, builds the machine, runs it, and says how it ended.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Machine } from '../../src-core/board/machine.ts'
import type { BoardConfig } from '../../src-core/board/config.ts'
import { TopologyError } from '../../src-core/board/topology.ts'
import { virtualBoard, VmMachine, type VmOptions } from '../../src-core/board/vm.ts'
import { distinct, OutputFile, readInput } from './files.ts'
import { loadGuest } from './guest.ts'
import { findHost, isFile, makeBoard } from './host.ts'
import { machineHash } from './machine-hash.ts'
import { DEFAULT_VTX, type BootOptions } from './options.ts'
import { report, type End } from './report.ts'
import { absolute, SavedMachine, saveMachine, type SavedBoard } from './saved-machine.ts'
import { SerialInput, type StandardInput } from './serial-input.ts'
import { FileOutput, StreamOutput, type SerialOutput } from './serial-output.ts'
import { Session } from './session.ts'
import { CommandError, Status, usage } from './status.ts'
import { tripleFault } from './triple-fault.ts'
import { Until } from './until.ts'

const MOST_NOTICES = 20
/** What a monitor's own frames and tables take at most, and firmware's first megabyte. */
const MONITOR_MEGABYTES = 16
const signals = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const

const say = (text: string): void => void process.stderr.write(`ring1: ${text}\n`)

function statusOf(end: End): number {
  switch (end.kind) {
    case 'powerOff':
    case 'until':
    case 'stopAt':
    case 'left':
      return Status.ok
    case 'exit':
      return ((end.code << 1) | 1) & 0xff
    case 'timeLimit':
    case 'stuck':
      return Status.timeLimit
    case 'tripleFault':
    case 'monitor':
      return Status.tripleFault
    case 'brokenPipe':
      return Status.brokenPipe
    case 'signal':
      return signals[end.name]
  }
}

async function explain(end: End, machine: Machine | VmMachine, options: BootOptions): Promise<void> {
  if (end.kind === 'tripleFault') say(machine instanceof VmMachine ? (machine.vm?.failure ?? 'triple fault') : await tripleFault(machine.cores[end.processor]!))
  if (end.kind === 'monitor') say(`the virtual machine cannot go on: ${end.reason}`)
  if (end.kind === 'timeLimit') say(`the time limit of ${options.timeLimit} s is over`)
  if (end.kind === 'stuck') say('the guest waits for an interrupt that can never come: nothing is due and its input has ended')
}

/** Frees what loading left behind: a machine allocates so little that the engine would keep an unpacked kernel for the whole run. */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  ;(runInNewContext('gc') as () => void)()
}

/** The board, and the guest to load at power-on, from the options or from a saved machine. */
async function prepare(options: BootOptions) {
  const saved = options.restore === undefined ? undefined : new SavedMachine(options.restore, await readInput(options.restore))
  const { memory, cpus } = options
  const board: SavedBoard = saved?.board ?? {
    topology: await findHost(options.host),
    ...(memory === undefined ? {} : { memory }),
    ...(cpus === undefined ? {} : { cpus }),
    vtx: options.vtx ?? DEFAULT_VTX,
    guest: absolute(options),
  }
  const config = makeBoard(board.topology, board, saved?.name)
  const guest = options.vm && virtualGuest(options.vm, config)
  const guestConfig = guest ? makeVirtual(() => virtualBoard(guest)) : config
  // a saved machine's guest is in its memory; its files are wanted again only when it reboots
  let image = saved ? undefined : await loadGuest(options, guestConfig)
  /** Puts the guest into the machine and forgets it: an unpacked kernel is tens of megabytes, and a reboot reads its files again. */
  const load = (machine: Pick<Machine, 'load'>): void => {
    if (image) machine.load(image.segments, image.entry)
    image = undefined
  }
  return { saved, board, config, guest, load, reload: () => loadGuest(board.guest, guestConfig) }
}

/** What the virtual machine gets of its server. Throws CommandError(64) for what that does not have. */
function virtualGuest(wish: NonNullable<BootOptions['vm']>, server: BoardConfig): VmOptions['guest'] {
  const processors = wish.vcpus ?? server.processors.length
  if (processors > server.processors.length) throw usage(`--vcpus ${processors}: the server has ${server.processors.length} processors`)
  const megabytes = wish.memory ?? Math.floor(server.megabytes / 2)
  if (megabytes > server.megabytes - MONITOR_MEGABYTES) throw usage(`--vm-memory ${megabytes}: the server has ${server.megabytes} MB, of which its monitor needs ${MONITOR_MEGABYTES}`)
  return { processors, megabytes, placement: wish.placement }
}

function makeVirtual<T>(make: () => T): T {
  try {
    return make()
  } catch (error) {
    if (error instanceof TopologyError) throw usage(`the virtual machine: ${error.message}`)
    throw error
  }
}

function build(config: BoardConfig, guest: VmOptions['guest'] | undefined, vtx: boolean, serial: (byte: number) => void): Machine | VmMachine {
  let notices = 0
  const unimplemented = (what: string): void => {
    if (notices < MOST_NOTICES) say(`the guest asked for what this processor does not have: ${what}`)
    if (++notices === MOST_NOTICES) say('more is in the report')
  }
  const options = { config, serial: (port: number, byte: number) => (port === 0 ? serial(byte) : undefined), unimplemented }
  try {
    return guest ? new VmMachine({ ...options, guest }) : new Machine({ ...options, vmx: vtx })
  } catch (error) {
    if (error instanceof RangeError) throw new CommandError(Status.internal, `this host cannot give ${config.megabytes} MB of memory: ${error.message}`)
    throw error
  }
}

/** Standard input; undefined where the process was given none. */
function standardInput(): StandardInput | undefined {
  try {
    return process.stdin
  } catch {
    return undefined
  }
}

/** Runs a guest to its end and returns the exit status. Rejects with CommandError. */
export async function boot(options: BootOptions): Promise<number> {
  const onStdio = options.serial === 'stdio'
  await distinct(
    [options.kernel, options.initrd, options.restore, options.host !== undefined && isFile(options.host) ? options.host : undefined],
    [onStdio ? undefined : options.serial, options.report, options.save],
  )
  const { saved, board, config, guest, load, reload } = await prepare(options)
  const reportFile = options.report === undefined ? undefined : new OutputFile(options.report)
  const saveFile = options.save === undefined ? undefined : new OutputFile(options.save)
  const output: SerialOutput = onStdio ? new StreamOutput(process.stdout) : new FileOutput(new OutputFile(options.serial))

  const until = options.until === undefined ? undefined : new Until(options.until)
  const machine = build(config, guest, board.vtx, (byte) => {
    if (until?.seen) return
    output.put(byte)
    if (until?.take(byte)) machine.interrupt()
  })
  load(machine)
  collectGarbage()
  const server = machine instanceof VmMachine ? machine.server : machine
  saved?.restore(server)

  const input = new SerialInput(onStdio ? standardInput() : undefined, {
    leave: () => session.end({ kind: 'left' }),
    say: (text) => void process.stderr.write(text),
    arrived: () => session.arrived(),
  })
  const skipIdle = !input.interactive && (until !== undefined || options.stopAt !== undefined)
  const { stopAt, timeLimit } = options
  const session = new Session({ machine, reload, output, input, until, stopAt, timeLimit, skipIdle })
  const interrupt = (name: keyof typeof signals): void => session.end({ kind: 'signal', name })
  for (const name of Object.keys(signals)) process.on(name, interrupt)
  try {
    if (input.interactive) {
      const { length } = config.processors
      const virtual = guest ? `; in a virtual machine of ${guest.megabytes} MB with ${guest.processors}` : ''
      say(`${config.topology.name}, ${length} processor${length === 1 ? '' : 's'}, ${config.megabytes} MB${virtual}; Ctrl-A X leaves, Ctrl-A H helps`)
    }
    const end = await session.run()
    await output.end()
    input.close()
    await explain(end, machine, options)
    const status = statusOf(end)
    if (saveFile) saveMachine(saveFile, server, board)
    const hash = options.hash ? machineHash(server) : undefined
    const vm = machine instanceof VmMachine ? machine.vm?.figures() : undefined
    const { wallSeconds, resets } = session
    const figures = { end, status, wallSeconds, resets, serialOut: output.count, serialIn: input.count, hash, vm }
    reportFile?.write(new TextEncoder().encode(`${JSON.stringify(report(server, figures), undefined, 2)}\n`))
    return status
  } finally {
    input.close()
    for (const name of Object.keys(signals)) process.off(name, interrupt)
    reportFile?.close()
    saveFile?.close()
  }
}

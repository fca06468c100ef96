// `ring1 boot`: reads and checks everything named, builds the machine, runs it, and says how it ended.

import { Machine } from '../../src-core/board/machine.ts'
import { distinct, OutputFile, readInput } from './files.ts'
import { loadGuest } from './guest.ts'
import { findHost, isFile, makeBoard } from './host.ts'
import { machineHash } from './machine-hash.ts'
import type { BootOptions } from './options.ts'
import { report, type End } from './report.ts'
import { absolute, SavedMachine, saveMachine, type SavedBoard } from './saved-machine.ts'
import { SerialInput, type StandardInput } from './serial-input.ts'
import { FileOutput, StreamOutput, type SerialOutput } from './serial-output.ts'
import { Session } from './session.ts'
import { CommandError, Status } from './status.ts'
import { tripleFault } from './triple-fault.ts'
import { Until } from './until.ts'

const MOST_NOTICES = 20
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
      return Status.tripleFault
    case 'brokenPipe':
      return Status.brokenPipe
    case 'signal':
      return signals[end.name]
  }
}

async function explain(end: End, machine: Machine, options: BootOptions): Promise<void> {
  if (end.kind === 'tripleFault') say(await tripleFault(machine.cores[end.processor]!))
  if (end.kind === 'timeLimit') say(`the time limit of ${options.timeLimit} s is over`)
  if (end.kind === 'stuck') say('the guest waits for an interrupt that can never come: nothing is due and its input has ended')
}

/** The board, and the guest to load at power-on, from the options or from a saved machine. */
async function prepare(options: BootOptions) {
  const saved = options.restore === undefined ? undefined : new SavedMachine(options.restore, await readInput(options.restore))
  const { memory, cpus } = options
  const board: SavedBoard = saved?.board ?? {
    topology: await findHost(options.host),
    ...(memory === undefined ? {} : { memory }),
    ...(cpus === undefined ? {} : { cpus }),
    guest: absolute(options),
  }
  const config = makeBoard(board.topology, board, saved?.name)
  // a saved machine's guest is in its memory; its files are wanted again only when it reboots
  const image = saved ? undefined : await loadGuest(options, config)
  return { saved, board, config, image, reload: async () => image ?? (await loadGuest(board.guest, config)) }
}

function build(config: ReturnType<typeof makeBoard>, serial: (byte: number) => void): Machine {
  let notices = 0
  const unimplemented = (what: string): void => {
    if (notices < MOST_NOTICES) say(`the guest asked for what this processor does not have: ${what}`)
    if (++notices === MOST_NOTICES) say('more is in the report')
  }
  try {
    return new Machine({ config, serial: (port, byte) => (port === 0 ? serial(byte) : undefined), unimplemented })
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
  const { saved, board, config, image, reload } = await prepare(options)
  const reportFile = options.report === undefined ? undefined : new OutputFile(options.report)
  const saveFile = options.save === undefined ? undefined : new OutputFile(options.save)
  const output: SerialOutput = onStdio ? new StreamOutput(process.stdout) : new FileOutput(new OutputFile(options.serial))

  const until = options.until === undefined ? undefined : new Until(options.until)
  const machine = build(config, (byte) => {
    if (until?.seen) return
    output.put(byte)
    if (until?.take(byte)) machine.interrupt()
  })
  if (image) machine.load(image.segments, image.entry)
  saved?.restore(machine)

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
      say(`${config.topology.name}, ${length} processor${length === 1 ? '' : 's'}, ${config.megabytes} MB; Ctrl-A X leaves, Ctrl-A H helps`)
    }
    const end = await session.run()
    await output.end()
    input.close()
    await explain(end, machine, options)
    const status = statusOf(end)
    if (saveFile) saveMachine(saveFile, machine, board)
    const hash = options.hash ? machineHash(machine) : undefined
    const { wallSeconds, resets } = session
    const figures = { end, status, wallSeconds, resets, serialOut: output.count, serialIn: input.count, hash }
    reportFile?.write(new TextEncoder().encode(`${JSON.stringify(report(machine, figures), undefined, 2)}\n`))
    return status
  } finally {
    input.close()
    for (const name of Object.keys(signals)) process.off(name, interrupt)
    reportFile?.close()
    saveFile?.close()
  }
}

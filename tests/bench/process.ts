// Runs an engine as a process of its own and reads its processor time when the guest says so on the serial line.
// Processor time is read from /proc (Linux, nanoseconds); elsewhere wall time stands for it.

import { spawn, type ChildProcess } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { checksumIn, END_MARKER, failureIn, START_MARKER, type Measure } from './engine.ts'

/** Whether `processorSeconds` tells processor time here. */
export const PROCESSOR_TIME = process.platform === 'linux'

/** Nanoseconds that all threads of a process and of its children have run; what has ended already counts nothing. */
function processorNanoseconds(pid: number): number {
  let sum = 0
  const text = (path: string) => {
    try {
      return readFileSync(path, 'latin1')
    } catch {
      return '' // ended between the listing and the reading
    }
  }
  let threads: string[] = []
  try {
    threads = readdirSync(`/proc/${pid}/task`)
  } catch {
    return 0
  }
  for (const thread of threads) {
    sum += Number(text(`/proc/${pid}/task/${thread}/schedstat`).split(' ')[0] || 0)
    for (const child of text(`/proc/${pid}/task/${thread}/children`).split(' '))
      if (child.trim()) sum += processorNanoseconds(Number(child))
  }
  return sum
}

const processorSeconds = (pid: number) => (PROCESSOR_TIME ? processorNanoseconds(pid) / 1e9 : performance.now() / 1e3)

export interface Task {
  readonly command: string
  readonly args: readonly string[]
  /** Seconds after which the run is given up. */
  readonly timeLimit: number
  /** Ends at this text instead of at the markers' end, and counts from the start of the process. */
  readonly until?: string
  /** The guest stays a while after its end marker (some wait for a byte); then the process ends with one of these statuses. */
  readonly statuses?: readonly number[]
}

const running = new Set<ChildProcess>()
process.on('exit', () => running.forEach(stop))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))

/** Rejects when the process cannot start, ends early, says `failed:`, or takes too long. */
export function measure(task: Task): Promise<Measure> {
  const child = spawn(task.command, task.args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true })
  running.add(child)
  const pid = child.pid
  return new Promise<Measure>((resolve, reject) => {
    let serial = ''
    let errors = ''
    let from: { cpu: number; wall: number } | undefined
    let took: { cpu: number; wall: number } | undefined
    let cpu = 0
    let late = false
    // a process that has ended reads as 0: what it had at its last output stands for it
    const now = () => ({ cpu: (cpu = Math.max(cpu, processorSeconds(pid!))), wall: performance.now() / 1e3 })
    const timer = setTimeout(() => fail(`no end after ${task.timeLimit} s`), task.timeLimit * 1e3)
    const finish = () => {
      clearTimeout(timer)
      stop(child)
      running.delete(child)
    }
    const fail = (why: string) => {
      finish()
      const said = errors.trim().split('\n').at(-1)
      reject(new Error(`${task.command}: ${why}${said ? ` (${said})` : ''}`))
    }
    if (pid === undefined) return void child.once('error', (e) => fail(e.message))
    if (task.until !== undefined) from = PROCESSOR_TIME ? { cpu: 0, wall: performance.now() / 1e3 } : now()
    child.stdin.on('error', () => {})
    child.stderr.setEncoding('utf8').on('data', (s: string) => (errors += s))
    child.stdout.on('data', (bytes: Buffer) => {
      if (task.until === undefined) {
        if (!from && bytes.includes(START_MARKER)) from = now()
        if (from && !took && bytes.includes(END_MARKER)) {
          late = processorSeconds(pid) === 0
          const end = now()
          took = { cpu: end.cpu - from.cpu, wall: end.wall - from.wall }
          child.stdin.write('\n')
        }
      }
      if (task.until !== undefined) now()
      serial += bytes.toString('latin1')
      const failure = failureIn(serial)
      if (failure !== undefined) fail(failure)
      else if (task.until !== undefined && serial.includes(task.until)) {
        const end = now()
        took = { cpu: end.cpu - from!.cpu, wall: end.wall - from!.wall }
        if (!task.statuses) {
          finish()
          resolve(took)
        }
      }
    })
    child.once('error', (e) => fail(e.message))
    child.once('close', (status, signal) => {
      const checksum = checksumIn(serial)
      if (!took || (task.until === undefined && checksum === undefined))
        fail(`ended early with ${signal ?? `status ${status}`}; the guest's last words: ${JSON.stringify(serial.slice(-160))}`)
      else if (late) fail('ended before its clocks could be read')
      else if (!task.statuses?.includes(status ?? -1)) fail(`ended with ${signal ?? `status ${status}`}`)
      else {
        finish()
        resolve({ ...took, ...(checksum === undefined ? {} : { checksum }) })
      }
    })
  })
}

/** Ends the process and what it started: it leads a group of its own. */
function stop(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    child.kill('SIGKILL')
  }
}

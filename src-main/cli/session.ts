// One run of a machine at the command line: turns of the guest, between them output, input, signals and waiting.

import type { Machine, Stop } from '../../src-core/board/machine.ts'
import type { VmStop } from '../../src-core/board/vm.ts'
import type { LoadedImage } from '../../src-core/guests/image.ts'
import { Pace } from './pace.ts'
import type { End } from './report.ts'
import type { SerialInput } from './serial-input.ts'
import type { SerialOutput } from './serial-output.ts'
import type { Until } from './until.ts'

/** Wall time of one turn, ms: the host's event loop is never away for much longer. */
const TURN = 15
const MODEM_CONTROL = 4
const RTS = 2
/** Virtual seconds after which input goes to a guest that does not know flow control. */
const PATIENCE = 3

/** A server, or a virtual machine on one. */
export interface Runnable extends Pick<Machine, 'time' | 'clock' | 'chips' | 'deaf' | 'powerOn' | 'load'> {
  run(idleUntil: number): { readonly stop: Stop | VmStop | undefined; readonly idle: boolean }
}

export interface SessionParts {
  readonly machine: Runnable
  /** The guest, to be loaded after a reset. Rejects with CommandError. */
  readonly reload: () => Promise<LoadedImage>
  readonly output: SerialOutput
  readonly input: SerialInput
  readonly until?: Until | undefined
  /** Cycles. */
  readonly stopAt?: number | undefined
  /** Seconds. */
  readonly timeLimit?: number | undefined
  /** Idle time passes at once. */
  readonly skipIdle: boolean
}

export class Session {
  resets = 0
  wallSeconds = 0
  private asked: End | undefined
  private wake: () => void = () => {}

  constructor(private readonly parts: SessionParts) {}

  /** Ends the run after the turn in progress. */
  end(why: End): void {
    this.asked ??= why
    this.wake()
  }

  /** Input arrived: an idle guest need not wait any longer. */
  arrived(): void {
    this.wake()
  }

  /** Runs until there is a reason to end. Rejects with CommandError when output cannot be written. */
  async run(): Promise<End> {
    const { machine, output, input, timeLimit = Infinity, skipIdle } = this.parts
    const began = performance.now()
    const pace = new Pace({ frequency: machine.clock.frequency, get time() { return machine.time }, get next() { return machine.clock.next } }, skipIdle, () => performance.now())
    const left = (): number => began + timeLimit * 1000 - performance.now()
    try {
      for (;;) {
        const { end, idle, reset } = this.turn(pace)
        await output.flush()
        if (reset) await this.restart()
        if (end) return end
        if (this.asked) return this.asked
        if (output.closed) return { kind: 'brokenPipe' }
        if (left() <= 0) return { kind: 'timeLimit' }
        if (machine.deaf && !input.open) return { kind: 'stuck' }
        if (!idle || this.deliver(pace.wait === Infinity)) await new Promise((resolve) => setImmediate(resolve))
        else if (pace.wait === Infinity && !input.open) return { kind: 'stuck' }
        else await this.sleep(Math.min(pace.wait, left()))
      }
    } finally {
      this.wallSeconds = (performance.now() - began) / 1000
    }
  }

  /** Lets the guest run for about TURN ms, or until it idles. */
  private turn(pace: Pace): { end?: End; idle: boolean; reset?: true } {
    const { machine, until, stopAt = Infinity } = this.parts
    const over = performance.now() + TURN
    let idle = false
    do {
      this.deliver(false)
      const progress = machine.run(pace.idleUntil())
      idle = progress.idle
      if (until?.seen) return { end: { kind: 'until' }, idle }
      const { stop } = progress
      if (stop?.kind === 'reset') return { idle: false, reset: true }
      if (stop) return { end: stop, idle }
      if (machine.time >= stopAt) return { end: { kind: 'stopAt' }, idle }
    } while (!idle && performance.now() < over)
    return { idle }
  }

  private async restart(): Promise<void> {
    const { machine, reload } = this.parts
    const image = await reload()
    this.resets++
    machine.powerOn()
    machine.load(image.segments, image.entry)
  }

  /**
   * Gives the guest what has been typed, if it is there to take it: with RTS (PC16550D, 8.6.6), as a terminal with flow control
   * does, so that what comes before the guest has set its port up is not lost. True if there was something to give.
   */
  private deliver(anyway: boolean): boolean {
    const { machine, input } = this.parts
    const uart = machine.chips.serial[0]!
    if (!input.ready(uart)) return false
    if (uart.registers.read(MODEM_CONTROL, 1) & RTS) this.patience = undefined
    else {
      this.patience ??= machine.time + PATIENCE * machine.clock.frequency
      if (!anyway && machine.time < this.patience) return false
    }
    input.feed(uart)
    return true
  }
  private patience: number | undefined

  private sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = ms === Infinity ? undefined : setTimeout(() => this.wake(), Math.min(Math.ceil(ms), 2 ** 31 - 1))
      this.wake = () => {
        clearTimeout(timer)
        this.wake = () => {}
        resolve()
      }
    })
  }
}

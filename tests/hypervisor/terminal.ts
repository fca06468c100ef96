// A VM on a server, and the terminal on its COM1.

import { resolveBoard } from '../../src-core/board/config.ts'
import { firmware } from '../../src-core/board/firmware.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import { VmMachine, type VmOptions, type VmStop } from '../../src-core/board/vm.ts'
import type { VmServer } from '../../src-core/board/vm-server.ts'
import type { NamedFile } from '../../src-core/guests/image.ts'
import { loadImage } from '../../src-core/guests/load.ts'

/** What a shell's line editor asks a terminal. */
const CURSOR_POSITION = '\x1b[6n'

export interface TerminalOptions {
  readonly host?: string
  readonly processors?: number
  readonly megabytes?: number
  readonly guest: VmOptions['guest']
  /** Beside other VMs: their server, this VM's name, and its first processor there. */
  readonly beside?: { readonly server: VmServer; readonly id: string; readonly first: number }
}

export class Terminal {
  readonly machine: VmMachine
  /** Everything printed, without carriage returns and questions for the cursor's position. */
  output = ''
  private read = 0

  constructor(options: TerminalOptions) {
    const config = resolveBoard(PRESETS.get(options.host ?? 'intel-4n')!, { processors: options.processors, megabytes: options.megabytes })
    const serial = (port: number, byte: number): void => {
      if (port !== 0 || byte === 13) return
      this.output += String.fromCharCode(byte)
      if (this.output.endsWith(CURSOR_POSITION)) this.output = this.output.slice(0, -CURSOR_POSITION.length)
    }
    const { server, id, first } = options.beside ?? {}
    this.machine = new VmMachine({ config, guest: options.guest, serial }, server, id, first)
  }

  async load(kernel: NamedFile, initrd?: NamedFile, append?: string): Promise<void> {
    const image = await loadImage({ kernel, initrd, append, platform: firmware(this.machine.config) })
    this.machine.load(image.segments, image.entry)
  }

  type(text: string): void {
    this.read = this.output.length
    this.machine.chips.serial[0]!.receive(Buffer.from(text, 'latin1'))
  }

  /** Runs until `done`, or a stop, which it answers. Throws when the VM would wait for ever or takes more than `cycles`. */
  until(done: () => boolean, cycles = 6.6e9): VmStop | undefined {
    const end = this.machine.time + cycles
    for (;;) {
      const { stop, idle } = this.machine.run()
      if (stop) return stop
      if (done()) return undefined
      if (idle || this.machine.time > end) throw new Error(`${idle ? 'idle' : 'no end'} after:\n${this.output.slice(-2000)}`)
    }
  }

  /** Types a line and answers what follows it, up to the next prompt. */
  command(line: string, prompt: string): string {
    this.type(`${line}\r`)
    const stop = this.until(() => this.output.length > this.read && this.output.endsWith(prompt))
    if (stop) throw new Error(`stopped: ${JSON.stringify(stop)}`)
    return this.output.slice(this.read, -prompt.length)
  }
}

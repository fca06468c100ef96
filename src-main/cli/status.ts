// Exit statuses of ring1; those of 64 and more follow sysexits(3) as far as it has them.

export const Status = {
  /** The guest powered off, `--until` was seen, `--stop-at` was reached, or the user left with Ctrl-A X. */
  ok: 0,
  usage: 64,
  /** A file that can be read but not loaded. */
  data: 65,
  /** A file that cannot be read, or cannot be written. */
  file: 66,
  tripleFault: 70,
  /** A fault of the host or of ring1 itself. */
  internal: 71,
  timeLimit: 124,
  /** 128 + SIGINT, SIGPIPE: ended by the user, or by who read the output. */
  interrupted: 130,
  brokenPipe: 141,
} as const

/** Ends the command with `status` and one line on standard error. */
export class CommandError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message)
    this.name = 'CommandError'
  }
}

export const usage = (message: string): CommandError => new CommandError(Status.usage, message)

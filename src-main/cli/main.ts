// The command `ring1`: which subcommand, and the exit status.

import packageJson from '../../package.json' with { type: 'json' }
import { boot } from './boot.ts'
import { help, unknownCommand } from './help.ts'
import { hosts } from './hosts.ts'
import { bootOptions } from './options.ts'
import { CommandError, Status, usage } from './status.ts'

/** Writes text whole, also to a slow pipe. A reader that has gone is no fault. */
const print = (text: string): Promise<void> =>
  new Promise((resolve) => {
    process.stdout.once('error', () => resolve())
    process.stdout.write(text, () => resolve())
  })

const asksHelp = (args: readonly string[]): boolean => args.length === 1 && (args[0] === '--help' || args[0] === '-h')

/** Runs one command; resolves with its exit status. Rejects with CommandError. */
export async function ring1(args: readonly string[]): Promise<number> {
  const [command, ...rest] = args
  switch (command) {
    case undefined:
      throw usage('a command is missing: boot, hosts or help')
    case 'boot': {
      const options = bootOptions(rest)
      if (options !== 'help') return boot(options)
      await print(help('boot'))
      return Status.ok
    }
    case 'hosts':
      if (rest.length > 1) throw usage(`unexpected argument '${rest[1]!}': ring1 hosts [NAME|FILE]`)
      if (!asksHelp(rest) && rest[0]?.startsWith('-')) throw usage(`unknown option '${rest[0]}': ring1 hosts [NAME|FILE]`)
      await print(asksHelp(rest) ? help('hosts') : await hosts(rest[0]))
      return Status.ok
    case 'help':
    case '--help':
    case '-h':
      if (rest.length > 1) throw usage(`unexpected argument '${rest[1]!}': ring1 help [command]`)
      await print(help(rest[0]))
      return Status.ok
    case '--version':
    case '-V':
      await print(`ring1 ${packageJson.version}\n`)
      return Status.ok
    default:
      throw unknownCommand(command)
  }
}

/** The process's whole life. */
export async function main(args: readonly string[]): Promise<void> {
  let status: number
  try {
    status = await ring1(args)
  } catch (error) {
    if (error instanceof CommandError) {
      status = error.status
      process.stderr.write(`ring1: ${error.message}\n`)
    } else {
      status = Status.internal
      process.stderr.write(`ring1: internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
    }
  }
  process.exit(status)
}

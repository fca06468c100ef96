// What `ring1 help` says.

import { bootRows } from './options.ts'
import { nearest } from './nearest.ts'
import { usage } from './status.ts'

const general = `ring1: an emulated NUMA x86-64 server, from the command line

  ring1 boot [options]      start a guest on the server; without --kernel: Minos, the teaching kernel
  ring1 hosts [NAME|FILE]   list the servers that come with it, or show one
  ring1 help [command]      this text, or a command's
  ring1 --version           the version
`

const boot = (): string => {
  const rows = bootRows.map((r) => {
    const short = 'short' in r ? `-${r.short}, ` : '    '
    return [`  ${short}--${r.name}${'value' in r ? ` ${r.value}` : ''}`, r.about] as const
  })
  const width = Math.max(...rows.map(([left]) => left.length)) + 2
  return `ring1 boot [options]: start a guest on the server

${rows.map(([left, right]) => left.padEnd(width) + right).join('\n')}

At a terminal, keys go to the guest's COM1; Ctrl-A X leaves, Ctrl-A H lists the other keys. Otherwise standard input
is COM1's input, to the byte. While the guest idles, its time keeps pace with the wall clock; with --until or --stop-at
and no terminal, idle time is skipped instead, and runs repeat to the cycle.

Exit status
    0  the guest powered off, --until was seen, --stop-at was reached, or Ctrl-A X
    N  (code << 1) | 1 when the guest wrote code to port 0xF4
   64  usage            65  a file that cannot be loaded     66  a file that cannot be read or written
   70  triple fault, or a virtual machine that its monitor cannot go on with     71  a fault of the host or of ring1
  124  time limit, or the guest waits for what can never come
  130  interrupted by Ctrl-C (129, 143: by a hang-up, a request to end)     141  nobody reads the output any more

The report's fields
  stop                  why the run ended: kind, and code or processor        status    the exit status
  board                 host, megabytes, nodes, processors                    resets    times the guest rebooted
  wallSeconds           from the first instruction to the last
  instructions          retired by all processors                             mips      millions of them a wall second
  virtualCycles         of the time-stamp counter                             virtualSeconds
  faults, pageFaults, interrupts, pageWalks
  deviceAccesses        by ports and by memory                                unclaimedAccesses  to no device
  nodeAccesses          by node: memory references that missed the software TLB, which the cost model charges
  processors            the same figures for each
  code                  decoded instructions, pages dropped, flushes, bytes in use
  serial                bytes out of COM1, and into it
  unimplemented         what the guest used that the processor has not, with counts
  vm                    with --on vm: VM entries, exits by reason, pages and their nodes, tables of the EPT
  hash                  with --hash: SHA-256 of memory, and of the rest of the machine's state
`
}

const hosts = `ring1 hosts: list the servers that come with ring1
ring1 hosts NAME|FILE: show one's nodes, distances and latencies; FILE is a topology in JSON
`

const texts: Record<string, () => string> = { boot, hosts: () => hosts, help: () => general }

export const commands = Object.keys(texts)

/** Text for one command, or for all. Throws CommandError(64) for a command that is not there. */
export function help(command?: string): string {
  if (command === undefined) return general
  const text = Object.hasOwn(texts, command) ? texts[command] : undefined
  if (!text) throw unknownCommand(command)
  return text()
}

export function unknownCommand(command: string) {
  const near = nearest(command, commands)
  return usage(`unknown command '${command}'${near === undefined ? '; ring1 help lists them' : `; did you mean ring1 ${near}?`}`)
}

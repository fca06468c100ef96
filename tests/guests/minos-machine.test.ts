// Minos on our own machine: every command, every preset, memory's distances as it measures them, reset and power-off.

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { resolveBoard } from '../../src-core/board/config.ts'
import { latency } from '../../src-core/board/costs.ts'
import { firmware } from '../../src-core/board/firmware.ts'
import { Machine, type Stop } from '../../src-core/board/machine.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import { parseTopology, type Topology } from '../../src-core/board/topology.ts'
import { loadImage } from '../../src-core/guests/load.ts'
import { minosImage, minosProgram } from '../../src-core/guests/minos/load.ts'

const PROMPT = '\nminos> '
const FOUR_GIB = 2 ** 32
/** No command takes this many cycles: 3 s. */
const MOST_CYCLES = 6.6e9
/** Instructions of a step beside its load, and what the loop's ends add. */
const STEP_OVERHEAD = 5

const lopsided = parseTopology(readFileSync(new URL('../../resources/hosts/lopsided-3n.json', import.meta.url), 'utf8'), 'lopsided-3n')
const host = (name: string): Topology => (name === lopsided.name ? lopsided : PRESETS.get(name)!)

/** A machine at Minos's prompt, and its terminal. */
class Terminal {
  readonly machine: Machine
  /** Everything printed, without carriage returns. */
  output = ''
  readonly unimplemented: string[] = []
  private read = 0

  private constructor(readonly config: ReturnType<typeof resolveBoard>) {
    this.machine = new Machine({
      config,
      serial: (port, byte) => {
        if (port === 0 && byte !== 13) this.output += String.fromCharCode(byte)
      },
      unimplemented: (what) => void this.unimplemented.push(what),
    })
  }

  static async boot(name: string, processors: number, megabytes: number): Promise<Terminal> {
    const terminal = new Terminal(resolveBoard(host(name), { processors, megabytes }))
    await terminal.load()
    terminal.until(() => terminal.prompted)
    return terminal
  }

  async load(): Promise<void> {
    const image = await loadImage({ kernel: { name: 'minos', data: minosImage() }, platform: firmware(this.config) })
    this.machine.load(image.segments, image.entry)
  }

  get prompted(): boolean {
    return this.output.endsWith(PROMPT)
  }

  type(text: string): void {
    this.read = this.output.length
    this.machine.chips.serial[0]!.receive(Buffer.from(text, 'latin1'))
  }

  /** Runs until `done`, or a stop, which it answers. Throws when the machine would wait for ever or takes too long. */
  until(done: () => boolean): Stop | undefined {
    const end = this.machine.time + MOST_CYCLES
    for (;;) {
      const { stop, idle } = this.machine.run()
      if (stop) return stop
      if (done()) return undefined
      if (idle || this.machine.time > end) throw new Error(`${idle ? 'idle' : 'no end'} after:\n${this.output.slice(this.read)}`)
    }
  }

  /** Types a line and answers what follows it, up to the next prompt. */
  command(line: string): string {
    this.type(`${line}\r`)
    expect(this.until(() => this.prompted && this.output.length > this.read)).toBeUndefined()
    return this.output.slice(this.read, -PROMPT.length + 1)
  }

  /** Types a line after which the machine stops. */
  last(line: string): Stop | undefined {
    this.type(`${line}\r`)
    return this.until(() => false)
  }

  figures(): unknown {
    return this.machine.cores.map((c) => [c.time, c.instructions, c.faults, c.interrupts, c.mmu.walks, c.mmu.chipAccesses, ...c.mmu.refills])
  }
}

/** Rows `  n:  a  b …` behind a heading. */
function matrix(text: string, heading: string): number[][] {
  const rows: number[][] = []
  for (const line of text.slice(text.indexOf(heading)).split('\n').slice(1)) {
    if (/^[\s\d]+$/.test(line) && line.trim() !== '') continue // the columns' numbers
    const row = /^ +\d+:((?: +\d+)+)$/.exec(line)
    if (!row) break
    rows.push(row[1]!.trim().split(/ +/).map(Number))
  }
  return rows
}

describe.each([
  ['uma-1n', 1, 64],
  ['uma-1n', 16, 1024],
  ['intel-2n', 4, 512],
  ['intel-4n', 1, 512],
  ['intel-4n', 4, 512],
  ['opteron-4n', 3, 512],
  ['opteron-8n', 16, 3584],
  ['opteron-8n', 1, 64],
  ['lopsided-3n', 4, 64],
] as const)('%s, %i processors, %i MB', (name, processors, megabytes) => {
  it('is found in ACPI and started as it is, and its memory can be used', async () => {
    const terminal = await Terminal.boot(name, processors, megabytes)
    const { config, output } = terminal
    const { nodes, distances } = config.topology
    expect(output).toContain('Minos, the teaching kernel of Ring -1\n')
    expect(output).toContain(`${nodes.length} node(s), ${processors} processor(s), ${processors} online\n`)
    const mine = (node: number) => config.processors.filter((p) => p.node === node)
    nodes.forEach((_, node) => {
      expect(output).toContain(`  node ${node}: processors ${mine(node).map((p) => p.index).join(' ') || 'none'}\n`)
    })
    const shown = [...output.matchAll(/^ {4}memory ([0-9a-f]{16}) \.\. ([0-9a-f]{16}) +(\d+) KiB$/gm)]
    for (const m of shown) expect(Number(`0x${m[2]}`) + 1 - Number(`0x${m[1]}`)).toBe(Number(m[3]) * 1024)
    expect(shown.reduce((sum, m) => sum + Number(m[3]) / 1024, 0)).toBe(megabytes)
    expect(matrix(output, 'Distances (SLIT):')).toEqual(distances)
    const initiators = nodes.map((_, n) => n).filter((n) => mine(n).length > 0)
    const ns = initiators.map((from) => nodes.map((_, to) => Math.round(config.topology.latency[from]![to]!)))
    expect(matrix(output, 'Access latency, ns (HMAT):')).toEqual(ns)

    const cpu = terminal.command('cpu')
    for (const p of config.processors)
      expect(cpu).toMatch(new RegExp(`^ +${p.index} {2}APIC id +${p.apicId} {2}node ${p.node} {2}online${p.index === 0 ? ', this one' : ''}$`, 'm'))

    const here = config.processors[0]!.node
    nodes.forEach((_, node) => {
      const touched = /^node \d+: 500 pages written, (\d+) cycles per page$/m.exec(terminal.command(`touch ${node} 500`))
      const idle = latency(config.topology, here, node)
      expect(Number(touched![1])).toBeGreaterThanOrEqual(idle)
      expect(Number(touched![1])).toBeLessThanOrEqual(idle + STEP_OVERHEAD)
    })

    // a page that was touched holds its own address; the ranges' ends are there, and what is behind them is not
    const top = config.ranges.at(-1)!
    const end = top.start + top.length
    expect(terminal.command(`peek ${end - 8}`)).toMatch(/\n0{16}\n$/)
    expect(terminal.command(`peek ${end}`)).toMatch(end <= FOUR_GIB || end % 2 ** 30 !== 0 ? /\nf{16}\n$/ : /#PF page fault/)
    if (end > FOUR_GIB) expect(terminal.command(`peek 0x${top.start.toString(16)}`)).toContain(`\n${top.start.toString(16).padStart(16, '0')}\n`)

    const used = /^ +(\d+) +(\d+) +(\d+) +(\d+)$/gm
    const memory = [...terminal.command('mem').matchAll(used)].map((m) => m.slice(1).map(Number))
    expect(memory.map((row) => row[0])).toEqual(nodes.map((_, n) => n))
    memory.forEach(([node, total, taken, free]) => {
      const pages = config.ranges.filter((r) => r.node === node).reduce((sum, r) => sum + r.length / 4096, 0)
      expect(total! + (node === 0 ? 512 : 0)).toBeGreaterThanOrEqual(pages)
      expect(total).toBeLessThanOrEqual(pages)
      expect(taken).toBe(500 + (node === 0 ? Math.ceil(Math.max(0, end - FOUR_GIB) / 2 ** 30) : 0))
      expect(free).toBe(total! - taken!)
    })
    expect(terminal.unimplemented).toEqual([])
  })
})

// One memory access a step, by distance: local below one hop below two, remote over local 1.4 to 1.5, two hops about 1.9 (board/costs.ts).
describe.each([
  ['uma-1n', 64],
  ['intel-2n', 256],
  ['intel-4n', 256],
  ['opteron-4n', 256],
  ['opteron-8n', 3584],
  ['lopsided-3n', 256],
] as const)('chase on %s', (name, megabytes) => {
  it('shows the distance of every node', async () => {
    const terminal = await Terminal.boot(name, 1, megabytes)
    const { topology, processors } = terminal.config
    const here = processors[0]!.node
    const measured = topology.nodes.map((_, node) => {
      const text = terminal.command(`chase ${node}`)
      const m = /\nnode (\d+): (\d+) KiB, 200000 steps, (\d+) cycles = (\d+\.\d) ns a step\n$/.exec(text)
      expect(m?.slice(1, 3), text).toEqual([String(node), '32768'])
      const cycles = Number(m![3])
      const idle = latency(topology, here, node)
      expect(cycles).toBeGreaterThan(idle)
      expect(cycles).toBeLessThanOrEqual(idle + STEP_OVERHEAD)
      // whole cycles are cut off, tenths of a nanosecond too
      const ns = Number(m![4]) * topology.frequency
      expect(ns).toBeGreaterThan((cycles - 0.3) * 1e9)
      expect(ns).toBeLessThan((cycles + 1) * 1e9)
      return cycles
    })
    const distances = topology.distances[here]!
    const tiers = [...new Set(distances)].sort((a, b) => a - b)
    const ratios = distances.map((d, node) => [tiers.indexOf(d), measured[node]! / measured[here]!] as const)
    for (const [hops, ratio] of ratios) {
      const [least, most] = [[1, 1], [1.4, 1.5], [1.85, 1.95]][hops]!
      expect(ratio).toBeGreaterThanOrEqual(least!)
      expect(ratio).toBeLessThanOrEqual(most!)
    }
  })
})

describe('on the default board', () => {
  it('every command answers, every mistake is named, and the machine reboots and powers off', async () => {
    const terminal = await Terminal.boot('intel-4n', 4, 128)
    const { machine } = terminal
    const says = (line: string, text: string | RegExp): void => {
      if (typeof text === 'string') expect(terminal.command(line)).toContain(text)
      else expect(terminal.command(line)).toMatch(text)
    }
    const commands = ['help', 'cpu', 'numa', 'mem', 'touch', 'release', 'chase', 'irq', 'int3', 'peek', 'vmx-steps', 'ept', 'reboot', 'poweroff']
    expect([...terminal.command('help').matchAll(/^ {2}([\w-]+)/gm)].map((m) => m[1])).toEqual(commands)
    says('cpu', /^GenuineIntel, .*\nFeatures: fpu .* cx16 .* tsc-deadline .*\nTime-stamp counter: 2200 MHz, CPUID 15H\n/m)
    expect(matrix(terminal.command('numa'), 'Distances (SLIT):')).toEqual(terminal.config.topology.distances)
    says('mem', /^ {2}0000000000100000 \.\. 0000000007ffffff {2}RAM$/m)

    // pages are taken, given back, and run out
    const free = (): number => Number(/^ +2 +\d+ +\d+ +(\d+)$/m.exec(terminal.command('mem'))![1])
    expect(free()).toBe(8192)
    says('touch 2 8000', /^node 2: 8000 pages written, \d+ cycles per page$/m)
    expect(free()).toBe(192)
    says('chase 2', /^The node's free memory is small; .*\nnode 2: 512 KiB, 200000 steps, [34] cycles = 1\.\d ns a step$/m)
    says('touch 2 193', 'touch: node 2 has only 192 free pages; release NODE gives back what touch took\n')
    says('touch 2 192', 'node 2: 192 pages written')
    says('chase 2', 'chase: that node has no 64 KiB of free memory in one piece\n')
    says('release 2', /^release 2\n$/)
    expect(free()).toBe(8192)

    // LAPIC timer in TSC-deadline mode (SDM 3A 11.5.4.1)
    const before = machine.time
    const irq = terminal.command('irq')
    expect(irq).toContain('Timer at 100 Hz: 10 20 30 40 50 ticks\nVector  count\n')
    expect(irq).toMatch(/^ {4}64 {5}50 {2}local APIC timer$/m)
    expect(irq).toMatch(/^ {4}36 +\d+ {2}serial port$/m)
    expect((machine.time - before) / terminal.config.topology.frequency).toBeCloseTo(0.5, 1)
    terminal.type('irq\r')
    expect(terminal.until(() => terminal.output.endsWith(' 20 '))).toBeUndefined()
    terminal.type('\x03')
    expect(terminal.until(() => terminal.prompted)).toBeUndefined()
    expect(terminal.output).toMatch(/Timer at 100 Hz: 10 20 ticks\n[^:]*$/)

    // an exception's frame: #BP returns behind INT3 (one byte), #PF goes back to the shell
    const int3 = minosProgram().symbols.get('command_int3')!.value + 1n
    const frame = terminal.command('int3')
    expect(frame).toContain(`\nException 3 #BP breakpoint, error code 00000000\n  RIP ${int3.toString(16).padStart(16, '0')}  CS 0008  RFLAGS 0000000000000`)
    expect(frame).toMatch(/ R15 [0-9a-f]{16}\nBack behind the INT3\.\n$/)
    says('peek 0x100000', `\n${machine.physical.view.getBigUint64(machine.physical.host(0x100000), true).toString(16).padStart(16, '0')}\n`)
    says('peek 0x7f00001000', /\nException 14 #PF page fault, error code 00000000, address CR2 0000007f00001000\n[^]*\nBack to the shell\.\n\n$/)
    says('peek 0xfee00030', /\n0{8}01050014\n$/) // the version register: 14H, entries 0 to 5, EOI broadcast suppression (SDM 3A 11.4.8)

    // mistakes
    says('nonsense', "There is no command 'nonsense'; type help for the commands.\n")
    says('helpx', "There is no command 'helpx'")
    for (const line of ['touch', 'touch 0', 'release', 'chase', 'peek']) says(line, 'An argument is missing; type help.\n')
    for (const line of ['touch 4 1', 'release 4', 'chase 4']) says(line, 'There is no node 4; the nodes are 0 to 3\n')
    for (const [line, word] of [
      ['touch 0 x', 'x'],
      ['chase 0x', '0x'],
      ['chase 1a', '1a'],
      ['peek 0xg', '0xg'],
      ['peek -1', '-1'],
      ['chase 18446744073709551616', '18446744073709551616'],
      ['peek 0x10000000000', '0x10000000000'],
    ] as const)
      says(line, `'${word}' is not a number that fits here\n`)
    says('touch 0 0', 'PAGES must be at least 1')
    says('peek 0xFFFFFFFFFF', 'address CR2 000000ffffffffff')

    // the line: Backspace, Delete, Ctrl-U, Ctrl-C, spaces, tabs and escapes, CR LF, and no more than there is room for
    says('junk\x15hex\x08l\x7flp', /junk(\x08 \x08){4}hex\x08 \x08l\x08 \x08lp\n {2}help /)
    says('\x08\x7f\x15\t\x1b\x80  help  me ', /^ {2}help  me \n {2}help /)
    terminal.type('junk\x03')
    expect(terminal.until(() => terminal.output.endsWith('junk^C\nminos> '))).toBeUndefined()
    expect(terminal.command('')).toBe('\n')
    expect(terminal.command('   ')).toBe('   \n')
    terminal.type('nothing\r\nmem\n')
    expect(terminal.until(() => /Pages of 4 KiB:[^>]*minos> $/.test(terminal.output))).toBeUndefined()
    expect(terminal.output).toContain("minos> nothing\nThere is no command 'nothing'; type help for the commands.\nminos> mem\nMemory map:")
    const long = 'y'.repeat(200)
    expect(terminal.command(long)).toBe(`${long.slice(0, 119)}${'\x07'.repeat(81)}\nThere is no command '${long.slice(0, 119)}'; type help for the commands.\n`)

    expect(terminal.last('reboot')).toEqual({ kind: 'reset' })
    terminal.output = ''
    machine.powerOn()
    await terminal.load()
    expect(terminal.until(() => terminal.prompted)).toBeUndefined()
    expect(terminal.output).toContain('4 node(s), 4 processor(s), 4 online\n')
    expect(free()).toBe(8192)
    expect(terminal.last('poweroff')).toEqual({ kind: 'powerOff' })
    expect(terminal.output.endsWith('minos> poweroff\n')).toBe(true)
    expect(terminal.unimplemented).toEqual([])
  })

  it('two runs end at the same cycle, with the same counts and the same text', async () => {
    const run = async (): Promise<unknown[]> => {
      const terminal = await Terminal.boot('intel-4n', 4, 128)
      for (const line of ['cpu', 'touch 3 5000', 'chase 1', 'irq', 'peek 0x7f00001000', 'int3', 'mem']) terminal.command(line)
      expect(terminal.last('poweroff')).toEqual({ kind: 'powerOff' })
      return [terminal.machine.time, terminal.figures(), terminal.output]
    }
    expect(await run()).toEqual(await run())
  })
})

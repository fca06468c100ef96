// Debian's unmodified kernel on the metal: to a shell that takes commands, with the server's nodes, the same way twice.

import { closeSync, openSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { debianGuest } from '../../scripts/guests/debian.ts'
import { PROMPT, READY_TEXT } from '../../scripts/guests/initrd.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import { buildOnce, folder, start, type Ran } from '../cli/ring1.ts'

const guest = await debianGuest()
if ('missing' in guest) console.log(`skipped: booting Debian's kernel, because it cannot be had here: ${guest.missing}`)

const LIMIT = 400_000

interface Report {
  virtualCycles: number
  hash: { memory: string; state: string }
  processors: { node: number; instructions: number }[]
  unclaimedAccesses: { ports: number; memory: number }
}

describe.skipIf('missing' in guest)("Debian's kernel", () => {
  if ('missing' in guest) return
  const files = folder()
  const kernel = ['--kernel', guest.kernel, '--initrd', guest.initrdNuma, '--append', 'console=ttyS0 quiet']

  /** Boots with `commands` typed at the shell's prompt. */
  async function boot(name: string, commands: string[], ...args: string[]): Promise<Ran & { report: Report }> {
    const fd = openSync(files.write(`${name}.txt`, commands.map((c) => `${c}\n`).join('')), 'r')
    const report = files.path(`${name}.json`)
    const ran = await start(['boot', '--on', 'metal', ...args, '--time-limit', '350', '--report', report], fd).done
    closeSync(fd)
    return { ...ran, report: JSON.parse(readFileSync(report, 'utf8')) as Report }
  }

  /** What the guest printed after it echoed a command, up to the next prompt. */
  const answer = (ran: Ran, command: string): string => {
    const text = ran.text.replace(/\r/g, '')
    const echo = `${PROMPT}${command}\n`
    const at = text.indexOf(echo)
    if (at < 0) throw new Error(`the shell was never given ${command}; standard error: ${ran.errors}; output: …${text.slice(-2000)}`)
    return text.slice(at + echo.length).split(`\n${PROMPT}`)[0]!
  }

  beforeAll(buildOnce)
  afterAll(() => files.remove())

  it('reaches a shell on four nodes, which takes commands and powers off', async () => {
    const commands = ['numactl -H', 'cat /proc/version', 'echo $((6 * 7))', 'poweroff -f']
    const ran = await boot('shell', commands, ...kernel, '--host', 'intel-4n', '--cpus', '4', '--until', 'never printed')
    expect(ran.status, ran.errors).toBe(0)
    expect(ran.text).toContain(`${READY_TEXT}: Linux ${guest.version}, 4 processors`)
    expect(answer(ran, 'cat /proc/version')).toMatch(/^Linux version 6\.1\.\S+-cloud-amd64 /)
    expect(answer(ran, 'echo $((6 * 7))')).toBe('42')
    const numa = answer(ran, 'numactl -H')
    expect(numa).toContain('available: 4 nodes (0-3)')
    for (const n of [0, 1, 2, 3]) expect(numa).toMatch(new RegExp(`node ${n} cpus: ${n}\nnode ${n} size: 2\\d\\d MB\n`))
    const rows = PRESETS.get('intel-4n')!.distances.map((row, n) => `  ${n}: ${row.map((d) => String(d).padStart(3)).join(' ')} `)
    expect(numa).toContain(`node distances:\nnode   0   1   2   3 \n${rows.join('\n')}`)
    expect(ran.text).toContain('Power down')
    for (const p of ran.report.processors) expect(p.instructions).toBeGreaterThan(1_000_000)
  }, LIMIT)

  it('runs on two nodes with four processors', async () => {
    const ran = await boot('two', ['numactl -H', 'poweroff -f'], ...kernel, '--host', 'intel-2n', '--cpus', '4', '--until', 'never printed')
    expect(ran.status, ran.errors).toBe(0)
    expect(answer(ran, 'numactl -H')).toMatch(/available: 2 nodes \(0-1\)\nnode 0 cpus: 0 1\n[^]*\nnode 1 cpus: 2 3\n[^]*\n {2}0: {2}10 {2}21 \n {2}1: {2}21 {2}10 /)
  }, LIMIT)

  it('ends with equal cycles and memory: run twice, and saved in the middle and restored', async () => {
    const until = ['--until', 'the answer is 42', '--hash']
    const commands = ['echo the answer is $((6 * 7))']
    const saved = files.path('saved')
    const middle = boot('middle', commands, ...kernel, '--stop-at', '400000000', '--save', saved)
    const [first, second] = await Promise.all([boot('first', commands, ...kernel, ...until), boot('second', commands, ...kernel, ...until)])
    expect(first.status, first.errors).toBe(0)
    const { virtualCycles, hash } = first.report
    expect([second.report.virtualCycles, second.report.hash]).toEqual([virtualCycles, hash])

    const before = await middle
    expect(before.status, before.errors).toBe(0)
    expect(before.report.virtualCycles).toBeLessThan(virtualCycles)
    const after = await boot('after', commands, '--restore', saved, ...until)
    expect(after.status, after.errors).toBe(0)
    expect(before.text + after.text).toBe(first.text)
    expect([after.report.virtualCycles, after.report.hash]).toEqual([virtualCycles, hash])
  }, 3 * LIMIT)
})

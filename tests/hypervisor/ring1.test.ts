// `ring1 boot --on vm`: the same guests, statuses and bytes as on the metal, and what the report adds.

import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildOnce, folder, programs, ring1, sentBytes, start } from '../cli/ring1.ts'

const files = folder()
const LIMIT = 60_000

beforeAll(buildOnce, LIMIT)
afterAll(() => files.remove())

const flat = (name: keyof typeof programs, code: Uint8Array, ...more: string[]): string[] => [
  'boot', '--on', 'vm', '--host', 'uma-1n', '--memory', '64', '--kernel', files.write(name, code), '--load-at', '0x7c00', '--time-limit', '50', ...more,
]

describe('ring1 boot --on vm', () => {
  it('starts Minos, and reports exits and pages', async () => {
    const report = files.path('report.json')
    const ran = await ring1('boot', '--on', 'vm', '--memory', '256', '--placement', 'round-4k', '--until', 'minos>', '--time-limit', '50', '--report', report)
    expect(ran.status, ran.errors).toBe(0)
    expect(ran.text).toContain('1 node(s), 4 processor(s), 4 online')
    expect(ran.text).toContain('131072 KiB') // half of the server's
    const { vm, board } = JSON.parse(readFileSync(report, 'utf8')) as { vm: Record<string, never>; board: { nodes: number } }
    expect(vm).toMatchObject({ entries: expect.any(Number), exits: { ioInstruction: expect.any(Number), cpuid: expect.any(Number), eptViolation: expect.any(Number) } })
    expect(Math.min(...(vm['pagesByNode'] as number[]))).toBeGreaterThan(5)
    expect(board).toBeDefined()
  }, LIMIT)

  it('ends as the guest ends', async () => {
    expect((await ring1(...flat('exit', programs.exit(5)))).status).toBe(11)
    const fault = await ring1(...flat('tripleFault', programs.tripleFault))
    expect(fault.status).toBe(70)
    expect(fault.errors).toContain('triple fault of virtual processor 0: RIP 7C05')
    const stuck = await ring1(...flat('stuck', programs.stuck))
    expect([stuck.status, stuck.errors]).toEqual([124, expect.stringContaining('waits for an interrupt that can never come')])
  }, LIMIT)

  it('passes every byte, in and out', async () => {
    expect((await ring1(...flat('bytes', programs.bytes))).output.equals(sentBytes())).toBe(true)
    const echo = await start(flat('echo', programs.echo), 'through the virtual UART q').done
    expect([echo.text, echo.status]).toEqual(['through the virtual UART ', 1])
  }, LIMIT)

  it('starts the guest again when that resets its machine', async () => {
    const report = files.path('resets.json')
    const ran = await ring1(...flat('reset', programs.reset, '--until', 'RRR', '--report', report))
    expect([ran.text, ran.status]).toEqual(['RRR', 0])
    expect((JSON.parse(readFileSync(report, 'utf8')) as { resets: number }).resets).toBe(2)
  }, LIMIT)

  it('refuses what the server does not have', async () => {
    const refusal = async (...args: string[]) => {
      const { status, errors } = await ring1('boot', '--on', 'vm', ...args)
      return [status, errors.trim()]
    }
    expect(await refusal('--vcpus', '5')).toEqual([64, expect.stringContaining('--vcpus 5: the server has 4 processors')])
    expect(await refusal('--vm-memory', '1024')).toEqual([64, expect.stringContaining('--vm-memory 1024: the server has 1024 MB')])
    expect(await refusal('--vm-memory', '1')).toEqual([64, expect.stringContaining('the virtual machine: ')])
  }, LIMIT)
})

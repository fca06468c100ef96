// Runs repeat: the same inputs end with the same cycles, memory and state; also when the run was cut in two.

import { closeSync, openSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildOnce, folder, start } from './ring1.ts'

const files = folder()
beforeAll(buildOnce)
afterAll(() => files.remove())

interface Report {
  virtualCycles: number
  hash: { memory: string; state: string }
}

async function boot(name: string, input: string, ...args: string[]): Promise<{ text: string; report: Report }> {
  const fd = openSync(files.write(`${name}.txt`, input), 'r')
  const report = files.path(`${name}.json`)
  const ran = await start(['boot', '--time-limit', '60', '--report', report, '--hash', ...args], fd).done
  closeSync(fd)
  expect([ran.status, ran.errors]).toEqual([0, ''])
  return { text: ran.text, report: JSON.parse(readFileSync(report, 'utf8')) as Report }
}

const board = ['--host', 'opteron-4n', '--memory', '64', '--cpus', '6']
const typed = 'touch 1 500\rchase 2\rnuma\rpoweroff\r'

describe('Minos on six processors', () => {
  it('ends the same way twice, and when saved in the middle and restored', async () => {
    const skip = ['--until', 'never printed']
    const saved = files.path('saved')
    const first = await boot('first', typed, ...board, ...skip)
    const { virtualCycles, hash } = first.report
    expect(hash.memory).toMatch(/^[0-9a-f]{64}$/)
    const second = await boot('second', typed, ...board, ...skip)
    expect(second.text).toBe(first.text)
    expect([second.report.virtualCycles, second.report.hash]).toEqual([virtualCycles, hash])

    const before = await boot('before', typed, ...board, '--stop-at', '6000000', '--save', saved)
    expect(before.report.virtualCycles).toBeGreaterThanOrEqual(6_000_000)
    expect(before.report.virtualCycles).toBeLessThan(virtualCycles)
    expect(before.report.hash).not.toEqual(hash)
    const after = await boot('after', '', '--restore', saved, ...skip)
    expect(before.text + after.text).toBe(first.text)
    expect([after.report.virtualCycles, after.report.hash]).toEqual([virtualCycles, hash])
  })

  it('ends differently when the input differs', async () => {
    const [a, b] = await Promise.all([boot('a', 'touch 0 1\rpoweroff\r', ...board, '--until', 'never'), boot('b', 'touch 1 1\rpoweroff\r', ...board, '--until', 'never')])
    expect(a.report.hash.memory).not.toBe(b.report.hash.memory)
  })
})

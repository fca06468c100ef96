// The benchmark's own parts: its arithmetic, and that the guests compute the same in both builds under v86 and QEMU.

import { describe, expect, it } from 'vitest'
import { Compiler } from './build.ts'
import { checksumIn, failureIn } from './engine.ts'
import { largeSource } from './large.ts'
import { measure } from './process.ts'
import { qemu } from './qemu.ts'
import { complaints, geometricMean, means, medianRun, mips, rowLine, speed, type Row } from './table.ts'
import { v86 } from './v86.ts'
import { WORKLOADS } from './workloads.ts'

const once = (cpu: number, checksum = '00000001', instructions?: number) => ({
  cpu,
  wall: cpu * 2,
  checksum,
  ...(instructions === undefined ? {} : { instructions }),
})
const result = (...runs: ReturnType<typeof once>[]) => ({ median: medianRun(runs), runs })
const row = (results: Row['results']): Row => ({ name: 'sieve', stresses: 'integer', count: 1, results })

describe('figures', () => {
  it('takes the run in the middle, the lower of two', () => {
    expect(medianRun([once(3), once(1), once(2)]).cpu).toBe(2)
    expect(medianRun([once(4), once(1)]).cpu).toBe(1)
  })

  it('divides the other engine’s seconds by ours', () => {
    const r = row({ ours: result(once(0.5, '00000001', 4e8)), qemu: result(once(1)), v86: result(once(2)) })
    expect([speed(r, 'qemu'), speed(r, 'v86'), mips(once(0.5, '00000001', 4e8))]).toEqual([2, 4, 400])
    expect(geometricMean([2, 8])).toBeCloseTo(4)
    expect(geometricMean([])).toBeUndefined()
    expect(means([r, row({ qemu: result(once(1)) })])).toEqual({ qemu: 2, v86: 4, mips: expect.closeTo(400) })
  })

  it('complains of checksums that differ, in any run, and of runs that failed', () => {
    expect(complaints(row({ ours: result(once(1)), qemu: result(once(1)) }))).toEqual([])
    expect(complaints(row({ ours: result(once(1), once(1, '00000002')) }))).toHaveLength(1)
    expect(complaints(row({ ours: { failed: 'no end after 1 s' } }))).toEqual(['sieve, ours: no end after 1 s'])
    expect(rowLine(row({ ours: { failed: 'x' }, v86: result(once(1.5)) }), ['ours', 'v86'])).toMatch(
      /^sieve +integer +– +failed +1\.500 +– +–$/,
    )
  })
})

describe('the serial line', () => {
  it('has a checksum only when it is complete', () => {
    expect(checksumIn('\x03checksum 0123abcd\ndone\n')).toBe('0123abcd')
    expect(checksumIn('\x03checksum 0123abcd\ndon')).toBeUndefined()
    expect(failureIn('\nfailed: page fault 00000002 0000000000100abc\n')).toBe('page fault 00000002 0000000000100abc')
  })

  it('refuses a process that ends early, cannot start, or does not end', async () => {
    const task = { timeLimit: 20, statuses: [1] }
    await expect(measure({ ...task, command: process.execPath, args: ['-e', 'process.exit(3)'] })).rejects.toThrow(
      'ended early with status 3',
    )
    await expect(measure({ ...task, command: '/nonexistent', args: [] })).rejects.toThrow('ENOENT')
    const idle = { command: process.execPath, args: ['-e', 'setInterval(() => {}, 1000)'], statuses: [1], timeLimit: 0.5 }
    await expect(measure(idle)).rejects.toThrow('no end after 0.5 s')
  })

  it('counts between the markers alone', async () => {
    const busy = (ms: number) => `for (const t = Date.now(); Date.now() - t < ${ms}; );`
    const script = `${busy(300)} const w = (s) => require('fs').writeSync(1, s); w('\\x02'); ${busy(400)} w('\\x03');
      process.stdin.once('data', () => { w('checksum 00000007\\ndone\\n'); process.exit(1) })`
    const took = await measure({ command: process.execPath, args: ['-e', script], timeLimit: 20, statuses: [1] })
    expect(took.checksum).toBe('00000007')
    expect(took.cpu).toBeLessThan(0.6)
    expect(took.wall).toBeGreaterThan(0.1)
  })
})

const compiler = await Compiler.find()
const tcg = await qemu(60)
const other = v86(60)

describe('guests', () => {
  it('generates the same large code every time', () => {
    expect(largeSource()).toBe(largeSource())
    expect(largeSource().match(/noipa/g)!.length).toBeGreaterThanOrEqual(1000)
  })

  // the large one takes gcc half a minute; the full benchmark checks its checksum too
  const some = WORKLOADS.filter((w) => w.name !== 'large')
  if ('missing' in compiler || 'missing' in tcg || 'missing' in other)
    it.skip(`compute the same everywhere: ${[compiler, tcg, other]
      .map((e) => ('missing' in e ? e.missing : ''))
      .join(' ')
      .trim()}`, () => {})
  else
    it.each(some)('$name computes the same in 64-bit code under QEMU and 32-bit code under v86', { timeout: 120_000 }, async ({ name }) => {
      const [a, b] = await Promise.all([
        compiler.image(name, 64).then((i) => tcg.run(i, 1)),
        compiler.image(name, 32).then((i) => other.run(i, 1)),
      ])
      expect(a.checksum).toMatch(/^[0-9a-f]{8}$/)
      expect(b.checksum).toBe(a.checksum)
    })
})

// `ring1 boot` as a user runs it: exit statuses, exact output, reports, bad input.

import { openSync, readFileSync, closeSync, existsSync, symlinkSync, chmodSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildOnce, folder, programs, ring1, sentBytes, start } from './ring1.ts'

const files = folder()
const flat = (name: keyof typeof programs, code = 0): string[] => {
  const program = programs[name]
  return ['--kernel', files.write(`${name}.bin`, typeof program === 'function' ? program(code) : program), '--load-at', '0x7c00']
}
const small = ['--host', 'uma-1n', '--memory', '16']
const oneLine = /^ring1: [^\n]+\n$/

beforeAll(buildOnce)
afterAll(() => files.remove())

describe('other commands', () => {
  it('show help, presets and the version', async () => {
    const [help, boot, hosts, host, version] = await Promise.all([
      ring1('help'), ring1('help', 'boot'), ring1('hosts'), ring1('hosts', 'opteron-4n'), ring1('--version'),
    ])
    for (const r of [help, boot, hosts, host, version]) expect([r.status, r.errors]).toEqual([0, ''])
    expect(help.text).toContain('ring1 boot [options]')
    expect(boot.text).toContain('--time-limit SECONDS')
    for (const name of ['uma-1n', 'intel-2n', 'intel-4n *', 'opteron-4n', 'opteron-8n']) expect(hosts.text).toContain(`\n${name} `)
    expect(host.text).toMatch(/distance \(SLIT\)\n +0 +1 +2 +3\n +0 +10 +16 +16 +16\n/)
    expect(version.text).toMatch(/^ring1 \d+\.\d+\.\d+\n$/)
  })

  it('are not invented', async () => {
    for (const [args, words] of [[['boto'], 'did you mean ring1 boot?'], [[], 'a command is missing'], [['hosts', 'intel-4m'], 'did you mean intel-4n?']] as const) {
      const r = await ring1(...args)
      expect([r.status, r.text]).toEqual([64, ''])
      expect(r.errors).toMatch(oneLine)
      expect(r.errors).toContain(words)
    }
  })
})

describe('how a run ends', () => {
  it('Minos reaches its prompt in 2 seconds', async () => {
    const r = await ring1('boot', '--until', 'minos> ', '--time-limit', '30', '--report', files.path('minos.json'))
    expect([r.status, r.errors]).toEqual([0, ''])
    expect(r.text.endsWith('minos> ')).toBe(true)
    expect(r.text).toContain('4 node(s), 4 processor(s), 4 online')
    const report = JSON.parse(readFileSync(files.path('minos.json'), 'utf8')) as Record<string, unknown>
    expect(report).toMatchObject({
      stop: { kind: 'until' }, status: 0, resets: 0, unimplemented: {},
      board: { host: 'intel-4n', megabytes: 1024, nodes: 4, processors: 4 },
      serial: { out: r.output.length, in: 0 },
    })
    expect(report['wallSeconds']).toBeLessThan(2)
    expect(report['instructions']).toBeGreaterThan(1000)
    expect((report['nodeAccesses'] as number[]).length).toBe(4)
  })

  it('Minos takes commands and powers off', async () => {
    const r = await start(['boot', '--time-limit', '60'], 'numa\rpoweroff\r').done
    expect([r.status, r.errors]).toEqual([0, ''])
    expect(r.text.match(/Distances \(SLIT\)/g)).toHaveLength(2)
  })

  it('the guest exits with a code', async () => {
    for (const [code, status] of [[0, 1], [5, 11], [0x7f, 255]] as const) {
      const r = await ring1('boot', ...flat('exit', code), ...small)
      expect([r.status, r.text, r.errors]).toEqual([status, '', ''])
    }
  })

  it('the time limit passes', async () => {
    const r = await ring1('boot', ...flat('spin'), ...small, '--time-limit', '0.5')
    expect([r.status, r.errors]).toEqual([124, 'ring1: the time limit of 0.5 s is over\n'])
  })

  it('the guest waits for nothing', async () => {
    const r = await ring1('boot', ...flat('stuck'), ...small, '--time-limit', '20')
    expect(r.status).toBe(124)
    expect(r.errors).toContain('can never come')
  })

  it('a triple fault shows registers and the instruction', async () => {
    const r = await ring1('boot', ...flat('tripleFault'), ...small)
    expect(r.status).toBe(70)
    expect(r.errors).toContain('triple fault on processor 0 (APIC id 0) at cycle ')
    expect(r.errors).toMatch(/\nRIP 0000000000007C05 {2}RFLAGS 00000002 \[\] IOPL 0 {2}CPL 0\n/)
    expect(r.errors).toMatch(/\nIDT base 0000000000000000 {2}limit 0000\n/)
    expect(r.errors).toMatch(/\nat 0000000000007C05: 0F 0B {3}ud2\n$/)
    for (const name of ['RAX', 'R15', 'CS ', 'TR ', 'CR0', 'CR4', 'EFER']) expect(r.errors).toContain(`${name} `)
  })

  it('a reset starts the guest again', async () => {
    const r = await ring1('boot', ...flat('reset'), ...small, '--until', 'RRR', '--time-limit', '20', '--report', files.path('resets.json'))
    expect([r.status, r.text]).toEqual([0, 'RRR'])
    expect(JSON.parse(readFileSync(files.path('resets.json'), 'utf8'))).toMatchObject({ resets: 2 })
  })

  it('--until stops the guest at the instruction that sent the last byte', async () => {
    const r = await ring1('boot', ...flat('bytes'), ...small, '--until', '\x01', '--report', files.path('until.json'))
    expect([r.status, r.output.equals(sentBytes().subarray(0, 3))]).toEqual([0, true])
    // mov xor │ mov xor out loop │ mov xor out loop │ mov xor out
    const report = JSON.parse(readFileSync(files.path('until.json'), 'utf8')) as { instructions: number }
    expect(report.instructions).toBe(2 + 4 + 4 + 3)
  })

  it('an interrupt from the keyboard ends it with 130', async () => {
    const { child, done } = start(['boot', '--time-limit', '60'], 'open')
    await new Promise((resolve) => child.stdout!.once('data', resolve))
    child.kill('SIGINT')
    const r = await done
    expect([r.status, r.signal, r.errors]).toEqual([130, null, ''])
  })

  it('a reader that goes away ends it quietly', async () => {
    const { child, done } = start(['boot', '--time-limit', '60'], 'open')
    child.stdout!.destroy()
    const r = await done
    expect([r.status, r.errors]).toEqual([141, ''])
  })
})

describe('serial output and input', () => {
  it('is exact through a pipe and in a file', async () => {
    const pipe = await ring1('boot', ...flat('bytes'), ...small)
    expect(pipe.status).toBe(1)
    expect(pipe.output.equals(sentBytes())).toBe(true)
    const file = await ring1('boot', ...flat('bytes'), ...small, '--serial', files.path('serial.bin'))
    expect([file.status, file.text]).toEqual([1, ''])
    expect(readFileSync(files.path('serial.bin')).equals(sentBytes())).toBe(true)
  })

  it('is exact to a reader that is slow', async () => {
    const { child, done } = start(['boot', ...flat('bytes'), ...small])
    child.stdout!.pause()
    await new Promise((resolve) => setTimeout(resolve, 1500))
    child.stdout!.resume()
    expect((await done).output.equals(sentBytes())).toBe(true)
  })

  it('echoes a file of input to the byte, the same way twice', async () => {
    const data = `${'0123456789 over the lazy dogs; '.repeat(300)}q`
    const text = files.write('input.txt', data)
    const reports = []
    for (const n of [1, 2]) {
      const fd = openSync(text, 'r')
      const r = await start(['boot', ...flat('echo'), ...small, '--until', 'NEVER', '--report', files.path(`echo${n}.json`)], fd).done
      closeSync(fd)
      expect(r.status).toBe(1)
      expect(r.text === data.slice(0, -1)).toBe(true)
      reports.push(JSON.parse(readFileSync(files.path(`echo${n}.json`), 'utf8')))
    }
    expect(reports[0].serial).toEqual({ out: data.length - 1, in: data.length })
    expect(reports[1].virtualCycles).toBe(reports[0].virtualCycles)
    expect(reports[1].instructions).toBe(reports[0].instructions)
  })
})

describe('bad input', () => {
  const refused = async (status: number, words: string, ...args: string[]): Promise<void> => {
    const r = await ring1('boot', '--time-limit', '20', ...args)
    expect([r.status, r.text]).toEqual([status, ''])
    expect(r.errors).toMatch(oneLine)
    expect(r.errors).toContain(words)
  }

  it('files that cannot be read', async () => {
    const kernel = files.write('noise.bin', 'not a kernel at all')
    await refused(66, 'no such file', '--kernel', files.path('absent'))
    await refused(66, 'is a folder', '--kernel', files.path('.'))
    await refused(66, 'not a file', '--kernel', '/dev/null')
    await refused(66, 'no such file', '--kernel', kernel, '--initrd', files.path('absent'))
    await refused(66, 'no such file', '--host', files.path('absent.json'))
    await refused(66, 'no such file', '--restore', files.path('absent'))
  })

  it('files that cannot be loaded', async () => {
    const [exit] = [flat('exit')]
    await refused(65, 'neither an ELF file', '--kernel', files.write('noise.bin', 'not a kernel at all'))
    await refused(65, 'empty', '--kernel', files.write('empty.bin', ''))
    await refused(65, 'not JSON', '--host', files.write('bad.json', '{'))
    await refused(65, 'nodes', '--host', files.write('few.json', '{"name":"x","nodes":[]}'))
    await refused(65, 'not a saved machine', '--restore', files.write('saved', 'RING1 SAVED MACHINE 9\n'))
    await refused(65, 'cut off', '--restore', files.write('saved', 'RING1 SAVED MACHINE 1\n\x7f\x7f\x7f\x7f'))
    await refused(65, 'large.bin', ...exit, ...small, '--initrd', files.write('large.bin', new Uint8Array(17 << 20)))
  })

  it('wishes that cannot be met', async () => {
    await refused(64, 'no preset', '--host', 'intel-9n')
    await refused(64, '17 processors', '--cpus', '17')
    await refused(64, 'memory of 2 MB', '--memory', '2')
    await refused(64, 'memory of 9999 MB', '--memory', '9999')
  })

  it('outputs that cannot be written: nothing runs', async () => {
    await refused(66, 'cannot be written: no such file', '--report', files.path('no/where.json'))
    await refused(66, 'cannot be written: is a folder', '--serial', files.path('.'))
    await refused(66, 'cannot be written', '--save', files.path('no/where'))
  })

  it('outputs that would write over what is read', async () => {
    const kernel = files.write('precious.bin', programs.exit(1))
    symlinkSync(kernel, files.path('alias'))
    await refused(64, 'written over', '--kernel', kernel, '--load-at', '0x7c00', '--report', files.path('alias'))
    await refused(64, 'written over', '--serial', files.path('x'), '--report', files.path('x'))
    expect(readFileSync(kernel)).toEqual(Buffer.from(programs.exit(1)))
    expect(existsSync(files.path('x'))).toBe(false)
  })

  it.skipIf(process.getuid?.() === 0 || process.platform === 'win32')('files without permission', async () => {
    chmodSync(files.write('secret', 'x'), 0)
    await refused(66, 'permission denied', '--kernel', files.path('secret'))
  })
})

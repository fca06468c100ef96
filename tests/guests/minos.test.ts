// Minos: its image, and its life under QEMU's PVH loader and firmware, where QEMU is installed.
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { minosImage, minosProgram, readMinos } from '../../src-core/guests/minos/load.ts'
import { buildMinos, MINOS_FILES } from '../../src-core/guests/minos/minos.ts'

describe('the image', () => {
  it('is made once, and the same from the texts', () => {
    expect(minosImage()).toBe(minosImage())
    expect(Buffer.compare(Buffer.from(buildMinos(readMinos)), Buffer.from(minosImage()))).toBe(0)
  })

  it('carries a PVH note that names the 32-bit entry', () => {
    const image = minosImage()
    const view = new DataView(image.buffer, image.byteOffset)
    const headers = Number(view.getBigUint64(32, true))
    const note = Array.from({ length: view.getUint16(56, true) }, (_, n) => headers + n * 56).find((at) => view.getUint32(at, true) === 4)
    expect(note).toBeDefined()
    const at = Number(view.getBigUint64((note as number) + 8, true))
    // Elf_Nhdr: namesz, descsz, type; then "Xen\0" and XEN_ELFNOTE_PHYS32_ENTRY's value
    expect([view.getUint32(at, true), view.getUint32(at + 4, true), view.getUint32(at + 8, true)]).toEqual([4, 8, 18])
    expect(Buffer.from(image.subarray(at + 12, at + 16)).toString()).toBe('Xen\0')
    expect(view.getBigUint64(at + 16, true)).toBe(minosProgram().symbols.get('start')?.value)
    expect(minosProgram().entry).toBe(minosProgram().symbols.get('start')?.value)
  })

  it('has lines and symbols for every file', () => {
    const { lines, symbols } = minosProgram()
    expect(new Set(lines.map((l) => l.file))).toEqual(new Set(MINOS_FILES))
    expect(symbols.get('shell')?.address).toBe(true)
  })
})

const QEMU = 'qemu-system-x86_64'
const absent = spawnSync(QEMU, ['--version']).error !== undefined
if (absent) console.log(`skipped: Minos under QEMU, because ${QEMU} is not installed`)

describe.skipIf(absent)('under QEMU', () => {
  let folder = ''
  let kernel = ''
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'minos-'))
    kernel = join(folder, 'minos.elf')
    writeFileSync(kernel, minosImage())
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  /** Types each line at a prompt. Resolves with everything printed once QEMU has ended by itself; rejects after 50 s. */
  const run = (machine: string[], lines: string[]): Promise<string> =>
    new Promise((resolve, reject) => {
      const child = spawn(QEMU, [
        '-kernel',
        kernel,
        '-nographic',
        '-monitor',
        'none',
        '-serial',
        'stdio',
        '-no-reboot',
        '-accel',
        'tcg',
        ...machine,
      ])
      let output = ''
      let seen = 0
      let next = 0
      const late = setTimeout(() => {
        child.kill('SIGKILL')
        reject(new Error(`QEMU did not end; it printed:\n${output}`))
      }, 50_000)
      const listen = (chunk: Buffer): void => {
        output += chunk.toString('latin1').replace(/\r/g, '')
        const prompt = output.indexOf('\nminos> ', seen)
        if (prompt < 0 || next >= lines.length) return
        seen = prompt + 8
        child.stdin.write(`${lines[next++]}\r`)
      }
      child.stdout.on('data', listen)
      child.stderr.on('data', listen)
      child.on('close', () => {
        clearTimeout(late)
        resolve(output.slice(Math.max(0, output.indexOf('Minos, the'))))
      })
    })

  const node = (n: number, megabytes: number, processors: string): string[] => [
    '-object',
    `memory-backend-ram,id=m${n},size=${megabytes}M`,
    '-numa',
    `node,nodeid=${n},memdev=m${n},cpus=${processors}`,
  ]
  const two = ['-m', '512', '-smp', '4', ...node(0, 256, '0-1'), ...node(1, 256, '2-3'), '-numa', 'dist,src=0,dst=1,val=21']

  it('finds two nodes, starts four processors, answers every command and powers off', async () => {
    const text = await run(two, [
      'help',
      'cpu',
      'numa',
      'mem',
      'touch 1 1000',
      'mem',
      'release 1',
      'chase 0',
      'chase 1',
      'irq',
      'int3',
      'poweroff',
    ])
    expect(text).toContain('2 node(s), 4 processor(s), 4 online')
    expect(text).toMatch(/node 0: processors 0 1\n/)
    expect(text).toMatch(/node 1: processors 2 3\n {4}memory 0000000010000000 \.\. 000000001fffffff {4}262144 KiB/)
    expect(text).toMatch(/0: {3}10 {3}21\n {3}1: {3}21 {3}10\n/)
    for (const command of ['help', 'cpu', 'numa', 'mem', 'touch NODE PAGES', 'chase NODE', 'irq', 'int3', 'reboot', 'poweroff'])
      expect(text).toContain(`\n  ${command}`)
    expect(text).toMatch(/3 {2}APIC id {3}3 {2}node 1 {2}online\n/)
    expect(text).toMatch(/node 1: 1000 pages written, \d+ cycles per page\n/)
    const pages = [...text.matchAll(/\n {5}1 +(\d+) +(\d+) +(\d+)\n/g)].map((m) => m.slice(1).map(Number))
    expect(pages).toEqual([
      [65504, 0, 65504],
      [65504, 1000, 64504],
    ])
    expect(text).toMatch(/node 0: 32768 KiB, 200000 steps, \d+ cycles = \d+\.\d ns a step\n/)
    expect(text).toMatch(/node 1: 32768 KiB, 200000 steps, \d+ cycles/)
    expect(text).toMatch(/Timer at 100 Hz: 10 20 30 40 50 ticks\n/)
    expect(text).toMatch(/ 64 {5}5\d {2}local APIC timer\n/)
    expect(text).toMatch(/Exception 3 #BP breakpoint, error code 00000000\n {2}RIP [0-9a-f]{16} {2}CS 0008/)
    expect(text).toContain('Back behind the INT3.')
    expect(text).not.toContain('did not power off')
  })

  it('says what is wrong with a line, edits lines, survives a page fault, reboots', async () => {
    const lines = [
      'nonsense',
      'touch',
      'touch 9 1',
      'touch 0 x',
      'touch 0 0',
      'touch 0 99999999',
      'junk\x15cpx\x7fu',
      'junk\x03',
      '',
      'peek 0x7f00001000',
      'peek 0x1000000',
      'reboot',
    ]
    const text = await run(['-m', '64', '-smp', '1'], lines)
    expect(text).toContain('Uniform memory: there is no SRAT.')
    expect(text).toContain("There is no command 'nonsense'; type help for the commands.")
    expect(text).toContain('An argument is missing; type help.')
    expect(text).toContain('There is no node 9; the nodes are 0 to 0')
    expect(text).toContain("'x' is not a number that fits here")
    expect(text).toContain('PAGES must be at least 1')
    expect(text).toMatch(/node 0 has only \d+ free pages/)
    expect(text).toMatch(/\nFeatures: fpu tsc/)
    expect(text).toContain('junk^C\nminos> ')
    expect(text).toMatch(/Exception 14 #PF page fault, error code 00000000, address CR2 0000007f00001000\n/)
    expect(text).toMatch(/Back to the shell\.\n\nminos> peek 0x1000000\n[0-9a-f]{16}\n/)
    expect(text.trimEnd().endsWith('reboot')).toBe(true)
  })

  it('runs 16 processors on 8 nodes with memory above 4 GiB', async () => {
    const nodes = Array.from({ length: 8 }, (_, n) => node(n, 640, `${2 * n}-${2 * n + 1}`)).flat()
    const text = await run(['-M', 'q35', '-m', '5120', '-smp', '16', ...nodes], ['touch 7 20', 'chase 7', 'poweroff'])
    expect(text).toContain('8 node(s), 16 processor(s), 16 online')
    expect(text).toMatch(/node 7: processors 14 15\n {4}memory 0000000198000000 /)
    expect(text).toMatch(/node 7: 20 pages written/)
    expect(text).toMatch(/node 7: 32768 KiB, 200000 steps/)
  })
})

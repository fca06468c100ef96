// Reading the command line: every option, and every way to get it wrong.

import { describe, expect, it } from 'vitest'
import { help } from '../../src-main/cli/help.ts'
import { distance, nearest } from '../../src-main/cli/nearest.ts'
import { bootOptions, bootRows } from '../../src-main/cli/options.ts'
import { CommandError } from '../../src-main/cli/status.ts'

const refusal = (...args: string[]): string => {
  try {
    bootOptions(args)
  } catch (error) {
    expect(error).toBeInstanceOf(CommandError)
    expect((error as CommandError).status).toBe(64)
    expect((error as CommandError).message).not.toContain('\n')
    return (error as CommandError).message
  }
  throw new Error(`accepted: ${args.join(' ')}`)
}

describe('boot options', () => {
  it('have defaults', () => {
    expect(bootOptions([])).toEqual({ serial: 'stdio', hash: false })
  })

  it('are read in every form', () => {
    const args = ['--on', 'metal', '-k', 'k', '--initrd=i', '-a', 'console=ttyS0 quiet', '--memory', '512', '--cpus=4', '--host', 'uma-1n', '--serial', 'log']
    const more = ['--until', 'x', '--time-limit', '1.5', '--stop-at', '9', '--report', 'r', '--hash', '--save', 's', '--load-at', '0x7C00', '--vtx', 'on']
    expect(bootOptions([...args, ...more])).toEqual({
      kernel: 'k', initrd: 'i', append: 'console=ttyS0 quiet', memory: 512, cpus: 4, host: 'uma-1n', serial: 'log',
      until: 'x', timeLimit: 1.5, stopAt: 9, report: 'r', hash: true, save: 's', loadAt: 0x7c00, vtx: true,
    })
    expect(bootOptions(['--help', '--kernel', 'k'])).toBe('help')
    expect(bootOptions(['-k', 'k', '--append=--x'])).toMatchObject({ append: '--x' })
  })

  it('suggest what was meant', () => {
    expect(refusal('--kernal', 'x')).toBe("unknown option '--kernal'; did you mean --kernel?")
    expect(refusal('--untli=x')).toContain('--until?')
    expect(refusal('--time', '3')).toContain('--time-limit?')
    expect(refusal('--zzzzzz')).toBe("unknown option '--zzzzzz'")
    expect(refusal('vmlinuz')).toContain("unexpected argument 'vmlinuz'")
  })

  it('need their values, once', () => {
    expect(refusal('--kernel')).toBe('--kernel needs a value: --kernel FILE')
    expect(refusal('--kernel', '--initrd')).toContain('--kernel=--initrd')
    expect(refusal('--until=')).toContain('needs a value')
    expect(refusal('--hash=yes')).toBe('--hash takes no value')
    expect(refusal('--cpus', '1', '--cpus', '2')).toBe('--cpus is given twice')
  })

  it.each([
    ['--memory', '0'], ['--memory', '1.5'], ['--memory', '1G'], ['--cpus', 'four'], ['--cpus', '0x4'], ['--load-at', '7c00h'],
    ['--load-at', '0x10000000000000'], ['--time-limit', '0'], ['--time-limit', 'inf'], ['--stop-at', '0'], ['--stop-at', '1e9'],
  ])('refuse %s %s', (name, value) => {
    expect(refusal('--kernel', 'k', name, value)).toMatch(/: not a/)
  })

  it('contradict each other', () => {
    expect(refusal('--initrd', 'i')).toContain('--initrd without --kernel')
    expect(refusal('--append', 'a')).toContain('--append without --kernel')
    expect(refusal('--load-at', '0')).toContain('--load-at without --kernel')
    expect(refusal('--on', 'vm', '--save', 's')).toContain('--save with --on vm')
    expect(refusal('--on', 'vm', '--placement', 'random')).toContain('first-touch, round-4k, round-1g are')
    for (const o of ['vcpus', 'vm-memory', 'placement']) expect(refusal(`--${o}`, '1')).toContain(`--${o} without --on vm`)
    expect(refusal('--on', 'mars')).toContain('--on mars')
    expect(refusal('--vtx', 'yes')).toBe('--vtx yes: not on or off')
    expect(refusal('--hash')).toContain('--hash without --report')
    for (const o of ['kernel', 'host', 'memory', 'cpus', 'vtx']) expect(refusal('--restore', 's', `--${o}`, o === 'vtx' ? 'off' : '8')).toContain(`--${o} contradicts --restore`)
  })

  it('are all in the help', () => {
    for (const row of bootRows) expect(help('boot')).toContain(`--${row.name}`)
    expect(() => help('boto')).toThrow("unknown command 'boto'; did you mean ring1 boot?")
    expect(() => help('constructor')).toThrow('unknown command')
  })
})

describe('the nearest word', () => {
  it('is measured in insertions, deletions, substitutions and swaps', () => {
    expect([distance('', 'abc'), distance('abc', 'abc'), distance('abc', 'acb'), distance('kitten', 'sitting')]).toEqual([3, 0, 1, 3])
  })

  it('is not far away', () => {
    expect(nearest('--cpu', ['cpus', 'append'])).toBe('cpus')
    expect(nearest('x', ['cpus', 'append'])).toBeUndefined()
    expect(nearest('', ['cpus'])).toBeUndefined()
  })
})

// `ring1 boot` at a terminal: a pseudo-terminal made by script(1) of util-linux, where it is installed.

import { spawn, spawnSync } from 'node:child_process'
import { beforeAll, describe, expect, it } from 'vitest'
import { buildOnce, ENTRY } from './ring1.ts'

const absent = process.platform !== 'linux' || !spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes('util-linux')
if (absent) console.log('skipped: ring1 at a terminal, because there is no script(1) of util-linux')

beforeAll(buildOnce)

/** Types each part once the text before it has appeared since the last one. */
function atTerminal(command: string, parts: readonly (readonly [after: string, keys: string])[]): Promise<{ status: number | null; text: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn('script', ['-qec', command, '/dev/null'], { stdio: 'pipe' })
    let text = ''
    let from = 0
    let next = 0
    const late = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`it did not end; it printed:\n${text}`))
    }, 40_000)
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      const part = parts[next]
      const at = part ? text.indexOf(part[0], from) : -1
      if (!part || at < 0) return
      from = at + part[0].length
      next++
      child.stdin.write(part[1])
    })
    child.on('close', (status) => {
      clearTimeout(late)
      resolve({ status, text })
    })
  })
}

describe.skipIf(absent)('at a terminal', () => {
  const boot = `${process.execPath} ${ENTRY} boot --time-limit 30`

  it('keys reach the guest unechoed, and Ctrl-C too', async () => {
    const { status, text } = await atTerminal(boot, [['minos> ', 'bogus\x03'], ['bogus', '\rpoweroff\r']])
    expect(status).toBe(0)
    expect(text).toContain('ring1: intel-4n, 4 processors, 1024 MB; Ctrl-A X leaves, Ctrl-A H helps')
    expect(text.match(/bogus/g)!.length).toBeLessThanOrEqual(2) // the guest's echo, and its answer
  })

  it('Ctrl-A H helps and Ctrl-A X leaves, with the terminal as it was', async () => {
    const { status, text } = await atTerminal(`stty -a >&2; ${boot}; s=$?; stty -a >&2; exit $s`, [['minos> ', '\x01h'], ['send Ctrl-A', '\x01x']])
    expect(status).toBe(0)
    const settings = [...text.matchAll(/-?\bicanon\b|-?\becho\b|-?\bisig\b/g)].map(([m]) => m)
    expect(settings.slice(0, settings.length / 2)).toEqual(settings.slice(settings.length / 2))
    expect(settings).toContain('icanon')
  })
})

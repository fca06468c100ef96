// `npm test`: what the tests need, then build, type-check, lint and tests once. `npm test -- FILTER…` runs some of the tests.
// Last line: how many passed, failed and were skipped; build, type-check and lint count as one each.

import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const results = join(root, 'out/tests.json')
const tool = (path) => join(root, 'node_modules', path)
const skips = new Set()

/** Runs a program in the repository's folder, showing its output; resolves with its exit status. */
function run(command, args, environment = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...environment } })
    let line = ''
    child.stdout.on('data', (chunk) => {
      process.stdout.write(chunk)
      const lines = (line + chunk).split('\n')
      line = lines.pop()
      for (const l of lines) {
        const skip = /^\s*skipped: (.+)$/.exec(l)
        if (skip) skips.add(skip[1])
      }
    })
    child.on('error', (error) => {
      process.stdout.write(`${command}: ${error.message}\n`)
      resolve(127)
    })
    child.on('close', (code) => resolve(code ?? 1))
  })
}

const has = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined

/** Compilers for the tests that compare with this processor, where Debian's packages can be installed. */
async function install() {
  const wanted = [['gcc', ['gcc', 'libc6-dev']], ['as', ['binutils']]].filter(([command]) => !has(command))
  if (wanted.length === 0) return
  const names = wanted.flatMap(([, packages]) => packages)
  const why = !existsSync('/usr/bin/apt-get') ? 'this is not a Debian system' : process.getuid?.() !== 0 ? 'only root can install it' : undefined
  if (why === undefined) {
    const apt = (...args) => run('apt-get', ['-q', '-y', ...args], { DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' })
    if ((await apt('install', '--no-install-recommends', ...names)) === 0) return
    if ((await apt('update')) === 0 && (await apt('install', '--no-install-recommends', ...names)) === 0) return
  }
  for (const [command] of wanted) skips.add(`what needs ${command}, because it is not installed and ${why ?? 'apt-get could not install it'}`)
}

/** Debian's kernel and file systems into the cache; where they cannot be had, the tests that want them say so. */
const fetchGuests = () => run(process.execPath, [tool('tsx/dist/cli.mjs'), 'scripts/guests/fetch.ts'])

async function tests(filters) {
  mkdirSync(join(root, 'out'), { recursive: true })
  rmSync(results, { force: true })
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${results}`]
  const status = await run(process.execPath, [tool('vitest/vitest.mjs'), 'run', ...reporters, ...filters])
  if (!existsSync(results)) return { passed: 0, failed: 1, skipped: 0 }
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(readFileSync(results, 'utf8'))
  // a file that cannot be collected, or an error outside tests, fails the run without a failed test
  return { passed: numPassedTests, failed: Math.max(numFailedTests, status === 0 ? 0 : 1), skipped: numPendingTests + numTodoTests }
}

const filters = process.argv.slice(2)
if (filters.length === 0) {
  await install()
  await fetchGuests()
}
const steps = [
  ['build', [join(root, 'scripts/build.mjs')]],
  ...(filters.length > 0 ? [] : [['type-check', [tool('typescript/bin/tsc'), '--noEmit', '-p', '.']], ['lint', [tool('eslint/bin/eslint.js'), '.']]]),
]
let passed = 0
let failed = 0
for (const [name, args] of steps) {
  const ok = (await run(process.execPath, args)) === 0
  process.stdout.write(`${ok ? 'passed' : 'FAILED'}: ${name}\n`)
  if (ok) passed++
  else failed++
}
const ran = await tests(filters)
for (const reason of skips) process.stdout.write(`skipped: ${reason}\n`)
process.stdout.write(`${passed + ran.passed} passed, ${failed + ran.failed} failed, ${ran.skipped} skipped\n`)
process.exitCode = failed + ran.failed === 0 ? 0 : 1

// `npm start`: the command-line demonstration. At a terminal, Minos's shell; otherwise its start up to the prompt.

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const ring1 = fileURLToPath(new URL('ring1.mjs', import.meta.url))
const interactive = process.stdin.isTTY && process.stdout.isTTY
const args = ['boot', ...(interactive ? [] : ['--until', 'minos> ', '--time-limit', '60'])]
const shown = args.map((a) => (a.includes(' ') ? `'${a}'` : a)).join(' ')
process.stderr.write(`The window is not there yet: this is \`npm run -s ring1 -- ${shown}\`.\n`)

const child = spawn(process.execPath, [ring1, ...args], { stdio: [interactive ? 'inherit' : 'ignore', 'inherit', 'inherit'] })
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
child.on('close', (code) => {
  if (!interactive && code === 0) process.stdout.write('\n')
  process.exitCode = code ?? 1
})

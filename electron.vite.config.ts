// What is bundled for the main process. There is one entry so far, the command line; the windows' preload and renderer,
// and the headless host, come with the window itself.

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { tsImport } from 'tsx/esm/api'
import type { UserConfig } from 'electron-vite'
import type { Plugin } from 'vite'

const here = import.meta.url
const path = (name: string): string => fileURLToPath(new URL(name, here))
const MINOS = path('./src-core/guests/minos/load.ts')
const INTERPRETER = path('./src-core/cpu/interpreter/load.ts')
const TABLE = path('./src-core/isa/table.ts')
const FORMS = path('./src-core/isa/forms.ts')

/** An expression for these bytes. */
const inline = (bytes: Uint8Array): string => {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
  return `new Uint8Array(Buffer.from('${text}', 'base64'))`
}

const numbers = (list: Uint16Array): string =>
  `new Uint16Array(${inline(new Uint8Array(list.buffer, list.byteOffset, list.byteLength))}.buffer)`

/** Minos assembled now: its image goes into the bundle in place of the texts and the assembler. */
async function minos(): Promise<string> {
  const { minosImage } = (await tsImport(MINOS, here)) as typeof import('./src-core/guests/minos/load.ts')
  return `const image = ${inline(minosImage())}\nexport const minosImage = () => image\n`
}

/** The interpreter built now, from the rows that go into the same bundle: its module and what is said about each form. */
async function interpreter(): Promise<string> {
  const { table } = (await tsImport(TABLE, here)) as typeof import('./src-core/isa/table.ts')
  const { forms } = (await tsImport(FORMS, here)) as typeof import('./src-core/isa/forms.ts')
  const { loadInterpreter } = (await tsImport(INTERPRETER, here)) as typeof import('./src-core/cpu/interpreter/load.ts')
  const { bytes, handlers, anyHandlers, assists } = loadInterpreter(forms(table))
  const known = [...assists.entries()].filter(([, assist]) => assist !== undefined)
  return [
    `const assists = new Array(${assists.length})`,
    `for (const [id, assist] of JSON.parse(${JSON.stringify(JSON.stringify(known))})) assists[id] = assist`,
    `const interpreter = { bytes: ${inline(bytes)}, handlers: ${numbers(handlers)}, anyHandlers: ${numbers(anyHandlers)}, assists }`,
    `export const loadInterpreter = () => interpreter\n`,
  ].join('\n')
}

/** Files of the bundle that are made anew instead of taken from the sources. */
function made(): Plugin {
  const makers = new Map([
    [MINOS, minos],
    [INTERPRETER, interpreter],
  ])
  return { name: 'made', load: (id) => makers.get(id.split('?')[0]!)?.() ?? null }
}

/** The libraries a run needs at once are bundled; iced-x86 is loaded when something is disassembled. */
const lazy = ['iced-x86']
const { dependencies } = JSON.parse(await readFile(new URL('./package.json', here), 'utf8')) as { dependencies: Record<string, string> }

export default {
  main: {
    plugins: [made()],
    build: {
      outDir: 'out/main',
      emptyOutDir: false, // a command may be starting from it
      target: 'node20',
      externalizeDeps: { include: lazy, exclude: Object.keys(dependencies).filter((d) => !lazy.includes(d)) },
      rollupOptions: {
        input: { cli: 'src-main/cli/cli.ts' },
        output: { format: 'es', entryFileNames: '[name].js' },
      },
    },
  },
} satisfies UserConfig

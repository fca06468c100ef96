// What is bundled for the main process. There is one entry so far, the command line; the windows' preload and renderer,
// and the headless host, come with the window itself.

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { tsImport } from 'tsx/esm/api'
import type { UserConfig } from 'electron-vite'
import type { Plugin } from 'vite'

const here = import.meta.url
const MINOS = fileURLToPath(new URL('./src-core/guests/minos/load.ts', here))

/** Minos assembled now: its image goes into the bundle in place of the texts and the assembler. */
function minos(): Plugin {
  return {
    name: 'minos',
    async load(id) {
      if (id.split('?')[0] !== MINOS) return null
      const { minosImage } = (await tsImport(MINOS, here)) as { minosImage: () => Uint8Array }
      const text = Buffer.from(minosImage()).toString('base64')
      return `const image = new Uint8Array(Buffer.from('${text}', 'base64'))\nexport const minosImage = () => image\n`
    },
  }
}

/** The libraries a run needs at once are bundled; iced-x86 is loaded when something is disassembled. */
const lazy = ['iced-x86']
const { dependencies } = JSON.parse(await readFile(new URL('./package.json', here), 'utf8')) as { dependencies: Record<string, string> }

export default {
  main: {
    plugins: [minos()],
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

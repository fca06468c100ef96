// Which folder may import which (ARCHITECTURE.md, "Folders").

import { describe, expect, it } from 'vitest'
import { files, imports } from './tree.ts'

const machine = ['arch', 'wasm', 'isa', 'memory', 'paging', 'cpu', 'vmx', 'devices'] as const

/** src-core/<folder> → the other folders of src-core that it may import. */
const allowed: Record<string, readonly string[]> = {
  arch: [],
  protocol: [],
  wasm: [],
  isa: ['arch', 'wasm'],
  memory: ['arch'],
  paging: ['arch', 'memory'],
  cpu: ['arch', 'wasm', 'isa', 'memory', 'paging'],
  vmx: ['arch', 'memory', 'paging', 'cpu'],
  devices: ['arch', 'memory'],
  guests: ['arch', 'memory'],
  board: [...machine, 'guests', 'hypervisor'],
  hypervisor: ['arch'],
  observe: ['protocol', ...machine, 'board'],
  worker: ['protocol', ...machine, 'guests', 'board', 'hypervisor', 'observe'],
}

/** Packages that src-core may use, by folder. */
const packages: Record<string, readonly string[]> = {
  guests: ['fflate', 'fzstd', 'xz-decompress', 'iced-x86'],
  board: ['zod'],
  protocol: ['zod'],
}

/** Files that may use Node, with what they use. */
const nodeUsers: Record<string, readonly string[]> = { 'src-core/guests/minos/load.ts': ['node:fs'] }

const core = files('src-core', /\.ts$/).filter((f) => !f.endsWith('.d.ts'))

describe('src-core', () => {
  it('has only folders with a place in the layers', () => {
    expect([...new Set(core.map((f) => f.split('/')[1]))].filter((f) => !Object.hasOwn(allowed, f!))).toEqual([])
  })

  it('imports only along the layers', () => {
    const wrong: string[] = []
    for (const file of core) {
      const folder = file.split('/')[1]!
      for (const target of imports(file)) {
        const [top, other] = target.split('/')
        if (top !== 'src-core') {
          const known = target.startsWith('.') || target.startsWith('src-') ? [] : [...(packages[folder] ?? []), ...(nodeUsers[file] ?? [])]
          if (folder !== 'worker' && !known.includes(target)) wrong.push(`${file} → ${target}`)
        } else if (other !== folder && !allowed[folder]?.includes(other!)) wrong.push(`${file} → ${target}`)
      }
    }
    expect(wrong).toEqual([])
  })

  it('has no cycle of folders', () => {
    const reach = (from: string, seen: Set<string>): Set<string> => {
      for (const next of allowed[from]!) if (!seen.has(next)) reach(next, seen.add(next))
      return seen
    }
    expect(Object.keys(allowed).filter((f) => reach(f, new Set()).has(f))).toEqual([])
  })
})

describe('the other trees', () => {
  it('import the machine, and it does not import them', () => {
    const wrong = files('src-main', /\.ts$/).flatMap((f) => imports(f).filter((t) => /^(src-renderer|tests|scripts)\//.test(t)).map((t) => `${f} → ${t}`))
    expect(wrong).toEqual([])
  })

  it('resolve every relative import to a file with its extension', () => {
    const all = new Set(files('.', /\.(ts|mjs|js|json)$/))
    const wrong = files('.', /^(src-core|src-main|tests|scripts)\/.*\.ts$/)
      .flatMap((f) => imports(f).map((t) => [f, t] as const))
      .filter(([, t]) => /^(src-|tests\/|scripts\/|package\.json)/.test(t) && !all.has(t))
    expect(wrong).toEqual([])
  })
})

// The repository's own files as the rules see them.

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const FOREIGN = new Set(['node_modules', 'out', 'dist', '.cache', '.git', 'coverage'])

/** Paths of all files below `folder`, relative to the root, with slashes. */
export function files(folder = '.', pattern = /./): string[] {
  const found: string[] = []
  const visit = (path: string): void => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (FOREIGN.has(entry.name)) continue
      const inner = join(path, entry.name)
      if (entry.isDirectory()) visit(inner)
      else if (entry.isFile()) found.push(relative(ROOT, inner).split(sep).join('/'))
    }
  }
  visit(join(ROOT, folder))
  return found.filter((f) => pattern.test(f)).sort()
}

export const text = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

/** What a module imports or re-exports, types included: paths relative to the root, or package names. */
export function imports(path: string): string[] {
  return ts.preProcessFile(text(path), true, true).importedFiles.map(({ fileName }) => {
    if (!fileName.startsWith('.')) return fileName
    return relative(ROOT, join(ROOT, dirname(path), fileName)).split(sep).join('/')
  })
}

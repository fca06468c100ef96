// How long files are, what they are called, and what they must not mention.

import { describe, expect, it } from 'vitest'
import { files, text } from './tree.ts'

const LONGEST = 500
/** Tables of facts, which nobody reads from top to bottom. */
const data: readonly RegExp[] = [/^tests\/conformance\/vectors\//, /^tests\/.*-vectors\.txt$/, /package-lock\.json$/]

const sources = files('.', /\.(ts|mjs|js|vue|asm|c)$/)

describe('sources', () => {
  it(`have at most ${LONGEST} lines`, () => {
    const long = sources.filter((f) => !data.some((d) => d.test(f))).map((f) => [f, text(f).split('\n').length - 1] as const)
    expect(long.filter(([, lines]) => lines > LONGEST)).toEqual([])
  })

  it('are named after what they are', () => {
    const vague = ['utils?', 'helpers?', 'managers?', 'commons?', 'misc', 'stuff'].join('|')
    const pattern = new RegExp(`(^|[/.-])(${vague})([/.-]|$)`, 'i')
    expect(files('.').filter((f) => pattern.test(f))).toEqual([])
  })

  it('promise nothing', () => {
    const marks = new RegExp(`\\b(${['TO', 'FIX', 'X'].map((a, n) => a + ['DO', 'ME', 'XX'][n]!).join('|')})\\b`)
    expect(sources.filter((f) => marks.test(text(f)))).toEqual([])
  })

  it('run every test', () => {
    const alone = new RegExp(`\\b(it|test|describe)\\.(${['only', 'todo', 'fails'].join('|')})\\b`)
    expect(files('tests', /\.ts$/).filter((f) => alone.test(text(f)))).toEqual([])
  })

  it('switch few lint rules off', () => {
    const mark = ['eslint', 'disable'].join('-')
    const ignore = ['@ts', 'ignore'].join('-')
    expect(sources.filter((f) => text(f).includes(ignore))).toEqual([])
    expect(sources.filter((f) => f.startsWith('src-') && text(f).includes(mark)).length).toBeLessThanOrEqual(3)
  })

  it('name no folder of the machine they were written on', () => {
    const folders = ['work', 'root', 'home', 'Users'].join('|')
    const pattern = new RegExp(`(^|[\\s'"\`(=:])/(${folders})/`, 'm')
    const readable = files('.', /(\.(ts|mjs|js|json|md|asm|c|html|vue|css|svg)|^\.ci\/run)$/).filter((f) => f !== 'package-lock.json')
    expect(readable.filter((f) => pattern.test(text(f)))).toEqual([])
  })
})

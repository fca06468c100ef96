// Source texts to single lines: %macro name N … %endmacro, %rep N … %endrep, arguments %1 … %9, count %0, private labels %%name.
import { LineFault, type Place } from './diagnostic.ts'

export interface SourceFile {
  readonly name: string
  readonly text: string
}

export interface Line extends Place {
  readonly text: string
}

interface Macro {
  readonly name: string
  readonly arguments: number
  readonly body: readonly Line[]
}

export type Report = (place: Place, problem: string, hint?: string) => void

const MOST_LINES = 400_000
const DEEPEST = 50

/** Arguments at top level commas; {…} keeps commas together. */
function split(text: string): string[] {
  const out: string[] = []
  let part = ''
  let depth = 0
  let quote = ''
  for (let i = 0; i < text.length; i++) {
    const c = text[i] as string
    if (quote) {
      if (c === quote) quote = ''
      else if (quote === '`' && c === '\\') part += text[i++]
    } else if (c === '"' || c === "'" || c === '`') quote = c
    else if (c === ';') break
    else if (c === '(' || c === '[' || c === '{') depth++
    else if (c === ')' || c === ']' || c === '}') depth--
    else if (c === ',' && depth === 0) {
      out.push(part.trim())
      part = ''
      continue
    }
    part += text[i] ?? ''
  }
  if (part.trim() || out.length) out.push(part.trim())
  return out.map((a) => (a.startsWith('{') && a.endsWith('}') ? a.slice(1, -1) : a))
}

/** Lines of all files in order, macros expanded. Faults go to `report`; the rest is still returned. */
export function expand(files: readonly SourceFile[], report: Report): Line[] {
  const macros = new Map<string, Macro>()
  const out: Line[] = []
  let expansions = 0
  let full = false

  const block = (lines: readonly Line[], from: number, opening: string, closing: string): number => {
    let depth = 1
    for (let i = from; i < lines.length; i++) {
      const word = /^\s*(%\w+)/.exec((lines[i] as Line).text)?.[1]?.toLowerCase()
      if (word === opening) depth++
      else if (word === closing && --depth === 0) return i
    }
    return -1
  }

  const walk = (lines: readonly Line[], depth: number): void => {
    for (let i = 0; i < lines.length; i++) {
      const line = lines[i] as Line
      if (full) return
      if (out.length >= MOST_LINES) {
        full = true
        report(line, `the macros make more than ${MOST_LINES} lines`, 'does a macro use itself without end?')
        return
      }
      const directive = /^\s*%(\w+)\s*(.*?)\s*(;.*)?$/.exec(line.text)
      if (directive) {
        const word = (directive[1] as string).toLowerCase()
        const rest = directive[2] as string
        if (word === 'macro' || word === 'rep') {
          const end = block(lines, i + 1, `%${word}`, word === 'macro' ? '%endmacro' : '%endrep')
          if (end < 0) {
            report(line, `%${word} has no %end${word}`, `close it with a line %end${word}`)
            return
          }
          const body = lines.slice(i + 1, end)
          i = end
          if (word === 'macro') define(line, rest, body)
          else repeat(line, rest, body, depth)
        } else report(line, `there is no directive %${word}`, 'known: %macro, %endmacro, %rep, %endrep')
        continue
      }
      const call = /^(\s*(?:[A-Za-z_.?@][\w.?@#~]*:)?\s*)([A-Za-z_.?@][\w.?@#~]*)(?![\w.?@#~:])(.*)$/.exec(line.text)
      const macro = call ? macros.get((call[2] as string).toLowerCase()) : undefined
      if (!call || !macro) {
        out.push(line)
        continue
      }
      if ((call[1] as string).trim()) out.push({ ...line, text: call[1] as string })
      const given = split(call[3] as string)
      const place = { ...line, column: (call[1] as string).length + 1 }
      if (given.length !== macro.arguments) {
        report(place, `macro ${macro.name} takes ${macro.arguments} argument${macro.arguments === 1 ? '' : 's'}, ${given.length} given`)
        continue
      }
      if (depth >= DEEPEST) {
        report(place, `macros are nested more than ${DEEPEST} deep`, `does ${macro.name} use itself?`)
        full = true
        return
      }
      const own = ++expansions
      walk(
        macro.body.map((b) => ({ ...line, inMacro: macro.name, text: substitute(b.text, given, own) })),
        depth + 1,
      )
    }
  }

  const define = (line: Line, rest: string, body: readonly Line[]): void => {
    const head = /^([A-Za-z_.?@][\w.?@#~]*)\s*([0-9]?)$/.exec(rest)
    if (!head) return report(line, 'a macro begins with %macro name count', 'for one: %macro outb 2')
    const name = (head[1] as string).toLowerCase()
    if (macros.has(name)) return report(line, `macro ${name} is defined twice`)
    macros.set(name, { name, arguments: Number(head[2] || 0), body })
  }

  const repeat = (line: Line, rest: string, body: readonly Line[], depth: number): void => {
    if (!/^[0-9]{1,5}$/.test(rest)) return report(line, '%rep needs a plain number up to 99999', 'for one: %rep 8; the round is %0 inside')
    if (depth >= DEEPEST) return report(line, `%rep is nested more than ${DEEPEST} deep`)
    for (let n = 0; n < Number(rest) && !full; n++) {
      const own = ++expansions
      walk(
        body.map((b) => ({ ...b, text: b.text.replace(/%%([A-Za-z_]\w*)/g, `..@${own}.$1`).replace(/%0/g, String(n)) })),
        depth + 1,
      )
    }
  }

  for (const file of files) walk(linesOf(file), 0)
  return out
}

const linesOf = (file: SourceFile): Line[] => file.text.split(/\r?\n/).map((text, n) => ({ file: file.name, line: n + 1, column: 1, text }))

function substitute(text: string, given: readonly string[], own: number): string {
  if (!text.includes('%')) return text
  return text.replace(/%%([A-Za-z_]\w*)|%([0-9])/g, (_, label: string | undefined, n: string | undefined) =>
    label !== undefined ? `..@${own}.${label}` : n === '0' ? String(given.length) : (given[Number(n) - 1] ?? ''),
  )
}

/** Turns a LineFault into a report at its line; anything else is passed on. */
export function reporting(place: Place, report: Report, work: () => void): void {
  try {
    work()
  } catch (fault) {
    if (!(fault instanceof LineFault)) throw fault
    report({ ...place, column: place.inMacro ? 1 : fault.column }, fault.problem, fault.hint)
  }
}

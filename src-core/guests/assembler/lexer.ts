// One line of assembly text to tokens. Numbers: 10, 0x1F, 1Fh, 0b101, 101b, 0o17, with _ between digits.
import { LineFault } from './diagnostic.ts'

export interface Token {
  readonly kind: 'name' | 'number' | 'string' | 'mark' | 'end'
  readonly text: string
  readonly value: bigint
  readonly column: number
}

const SPACE = /[ \t\r\f\v]+/y
const NAME = /[A-Za-z_.?@][\w.?@#~]*/y
const DIGITS = /[0-9][0-9A-Za-z_]*/y
const MARKS = ['<<', '>>', '$$', '+', '-', '*', '/', '%', '&', '|', '^', '~', '!', '(', ')', '[', ']', '{', '}', ',', ':', '$', '=']
const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  0: '\0',
  e: '\x1b',
  b: '\b',
  '\\': '\\',
  '`': '`',
  '"': '"',
  "'": "'",
}

function numberOf(text: string, column: number): bigint {
  const t = text.replace(/_/g, '').toLowerCase()
  const made =
    /^0x[0-9a-f]+$/.test(t) || /^0b[01]+$/.test(t) || /^0o[0-7]+$/.test(t)
      ? BigInt(t)
      : /^[0-9]+$/.test(t)
        ? BigInt(t)
        : /^[0-9][0-9a-f]*h$/.test(t)
          ? BigInt('0x' + t.slice(0, -1))
          : /^[01]+b$/.test(t)
            ? BigInt('0b' + t.slice(0, -1))
            : undefined
  if (made === undefined)
    throw new LineFault(column, `'${text}' is not a number`, 'write 10, 0x1F, 1Fh, 0b101 or 0o17; a name cannot begin with a digit')
  if (made >= 1n << 64n) throw new LineFault(column, `${text} does not fit in 64 bits`)
  return made
}

function stringAt(line: string, start: number): { text: string; end: number } {
  const quote = line[start]
  let text = ''
  for (let i = start + 1; i < line.length; i++) {
    const c = line[i] as string
    if (c === quote) return { text, end: i + 1 }
    if (quote !== '`' || c !== '\\') {
      text += c
      continue
    }
    const escape = line[++i] ?? ''
    const hex = /^x[0-9a-fA-F]{2}/.exec(line.slice(i, i + 3))
    if (hex) {
      text += String.fromCharCode(parseInt(hex[0].slice(1), 16))
      i += 2
    } else if (ESCAPES[escape] !== undefined) text += ESCAPES[escape]
    else throw new LineFault(i + 1, `unknown escape \\${escape}`, 'in `…` strings: \\n \\r \\t \\0 \\e \\b \\\\ \\xNN')
  }
  throw new LineFault(start + 1, 'this string has no closing quote', `end it with ${quote} on the same line`)
}

/** Tokens of one line, the comment (`;` to the end) left out, an 'end' token last. Throws LineFault. */
export function tokens(line: string): Token[] {
  const out: Token[] = []
  let i = 0
  const match = (re: RegExp): string | undefined => {
    re.lastIndex = i
    return re.exec(line)?.[0]
  }
  while (i < line.length) {
    const space = match(SPACE)
    if (space) {
      i += space.length
      continue
    }
    const c = line[i] as string
    const column = i + 1
    if (c === ';') break
    if (c === '"' || c === "'" || c === '`') {
      const { text, end } = stringAt(line, i)
      out.push({ kind: 'string', text, value: 0n, column })
      i = end
      continue
    }
    const digits = match(DIGITS)
    if (digits) {
      if (/^1to\d+$/i.test(digits)) out.push({ kind: 'name', text: digits, value: 0n, column })
      else out.push({ kind: 'number', text: digits, value: numberOf(digits, column), column })
      i += digits.length
      continue
    }
    const name = match(NAME)
    if (name) {
      out.push({ kind: 'name', text: name, value: 0n, column })
      i += name.length
      continue
    }
    const mark = MARKS.find((m) => line.startsWith(m, i))
    if (!mark) throw new LineFault(column, `'${c}' has no meaning here`, 'comments begin with ;')
    out.push({ kind: 'mark', text: mark, value: 0n, column })
    i += mark.length
  }
  out.push({ kind: 'end', text: 'the end of the line', value: 0n, column: line.length + 1 })
  return out
}

/** A place in a token list, with the few ways of moving over it. */
export class Reader {
  at = 0
  constructor(readonly list: readonly Token[]) {}
  get token(): Token {
    return this.list[this.at] as Token
  }
  peek(ahead = 1): Token {
    return this.list[Math.min(this.at + ahead, this.list.length - 1)] as Token
  }
  next(): Token {
    const t = this.token
    if (t.kind !== 'end') this.at++
    return t
  }
  is(mark: string): boolean {
    return this.token.kind === 'mark' && this.token.text === mark
  }
  take(mark: string): boolean {
    if (!this.is(mark)) return false
    this.at++
    return true
  }
  expect(mark: string, where: string): void {
    if (!this.take(mark)) throw new LineFault(this.token.column, `expected ${mark} ${where}, found ${this.token.text}`)
  }
  /** The token as a lower-case word, or '' */
  get word(): string {
    return this.token.kind === 'name' ? this.token.text.toLowerCase() : ''
  }
  end(after: string): void {
    if (this.token.kind !== 'end')
      throw new LineFault(this.token.column, `unexpected ${this.token.text} after ${after}`, 'one statement to a line')
  }
}

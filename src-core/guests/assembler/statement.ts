// One line to one statement: label, directive, data or instruction. Addresses are not known yet.
import { LineFault, type Place } from './diagnostic.ts'
import type { Prefixes } from './encode.ts'
import { unknownWord } from './encode.ts'
import { parseExpression, type Expression } from './expression.ts'
import { Reader, tokens } from './lexer.ts'
import { meaningOf, type Meaning } from './opcodes.ts'
import { parseOperand, type Operand } from './operand.ts'
import { registerNamed, widthOf } from './registers.ts'

export type Item = { readonly bytes: Uint8Array } | { readonly value: Expression; readonly column: number }

export interface InstructionText {
  readonly kind: 'instruction'
  readonly word: string
  readonly meaning: Meaning
  readonly operands: readonly Operand[]
  readonly prefixes: Prefixes
  readonly bits: number
  readonly column: number
}

export type Body =
  | InstructionText
  | { readonly kind: 'data'; readonly width: number; readonly items: readonly Item[] }
  | { readonly kind: 'reserve'; readonly width: number; readonly count: Expression; readonly column: number }
  | {
      readonly kind: 'align'
      readonly to: Expression
      readonly fill: Expression | undefined
      readonly code: boolean
      readonly column: number
    }
  | { readonly kind: 'times'; readonly count: Expression; readonly body: Body; readonly column: number }
  | { readonly kind: 'label' }

export interface Statement {
  readonly place: Place
  readonly section: string
  readonly body: Body
}

export interface SectionText {
  readonly name: string
  readonly write: boolean
  readonly execute: boolean
  readonly nobits: boolean
  readonly align: number
  readonly place: Place
}

/** What a symbol stands for: a place between statements, or an expression. */
export type Symbol = { readonly place: Place } & (
  { readonly kind: 'label'; readonly statement: number } | { readonly kind: 'equ'; readonly value: Expression; readonly statement: number }
)

export interface Parsed {
  readonly statements: Statement[]
  readonly sections: Map<string, SectionText>
  readonly symbols: Map<string, Symbol>
  readonly origin: Expression | undefined
  readonly entry: { readonly name: string; readonly place: Place } | undefined
}

const DATA: Readonly<Record<string, number>> = { db: 1, dw: 2, dd: 4, dq: 8 }
const RESERVE: Readonly<Record<string, number>> = { resb: 1, resw: 2, resd: 4, resq: 8 }
const PREFIXES = /^(lock|rep|repe|repz|repne|repnz|xacquire|xrelease|bnd|notrack|o16|o32|o64|a16|a32|a64|cs|ds|es|fs|gs|ss)$/
const KNOWN: Readonly<Record<string, Pick<SectionText, 'write' | 'execute' | 'nobits' | 'align'>>> = {
  text: { write: false, execute: true, nobits: false, align: 16 },
  data: { write: true, execute: false, nobits: false, align: 16 },
  rodata: { write: false, execute: false, nobits: false, align: 16 },
  note: { write: false, execute: false, nobits: false, align: 4 },
  bss: { write: true, execute: false, nobits: true, align: 16 },
}

export class Parser {
  readonly statements: Statement[] = []
  readonly sections = new Map<string, SectionText>()
  readonly symbols = new Map<string, Symbol>()
  origin: Expression | undefined
  entry: { readonly name: string; readonly place: Place } | undefined
  private scope = ''
  private section = ''
  private addressing: 'rel' | 'abs' = 'rel'

  constructor(private bits: number) {}

  private qualify = (name: string): string => (name.startsWith('..@') ? name : name.startsWith('.') ? this.scope + name : name)

  /** Takes one line in. Throws LineFault. */
  line(text: string, place: Place): void {
    const r = new Reader(tokens(text))
    for (;;) {
      if (r.token.kind === 'end') return
      const colon =
        r.token.kind === 'name' && r.peek().text === ':' && r.peek().kind === 'mark' && !(widthOf(registerNamed(r.word)) === 'segment')
      const bare =
        r.token.kind === 'name' &&
        r.peek().kind === 'name' &&
        (DATA[r.peek().text.toLowerCase()] ?? RESERVE[r.peek().text.toLowerCase()]) !== undefined
      if (colon || (bare && !/^times$/i.test(r.token.text))) {
        this.label(r.token.text, { ...place, column: r.token.column }, r.token.column)
        r.next()
        if (colon) r.next()
        continue
      }
      if (r.token.kind === 'name' && r.peek().kind === 'name' && r.peek().text.toLowerCase() === 'equ') {
        const name = r.next()
        r.next()
        const value = parseExpression(r, this.qualify)
        r.end('the equ')
        this.define(
          this.qualify(name.text),
          { kind: 'equ', value, statement: this.statements.length, place: { ...place, column: name.column } },
          name.column,
        )
        this.add({ kind: 'label' }, place)
        return
      }
      break
    }
    if (!this.directive(r, place)) this.add(this.body(r), place)
  }

  private add(body: Body, place: Place): void {
    if (!this.section) this.open('.text', {}, place)
    this.statements.push({ place, section: this.section, body })
  }

  private label(name: string, place: Place, column: number): void {
    const full = this.qualify(name)
    if (registerNamed(name.toLowerCase())) throw new LineFault(column, `'${name}' is a register and cannot be a label`)
    if (!name.startsWith('.')) this.scope = full
    this.add({ kind: 'label' }, place)
    this.define(full, { kind: 'label', statement: this.statements.length - 1, place }, column)
  }

  private define(name: string, symbol: Symbol, column: number): void {
    const earlier = this.symbols.get(name)
    if (earlier)
      throw new LineFault(column, `'${name}' is defined twice`, `it was first defined at ${earlier.place.file}:${earlier.place.line}`)
    this.symbols.set(name, symbol)
  }

  private open(name: string, attributes: Partial<SectionText>, place: Place): void {
    this.section = name
    if (this.sections.has(name)) return
    const base = KNOWN[/^\.(text|data|rodata|note|bss)/.exec(name)?.[1] ?? 'data'] as (typeof KNOWN)[string]
    this.sections.set(name, { ...base, ...attributes, name, place })
  }

  private directive(r: Reader, place: Place): boolean {
    const word = r.word
    const { column } = r.token
    switch (word) {
      case 'bits': {
        r.next()
        const bits = Number(r.next().value)
        if (bits !== 16 && bits !== 32 && bits !== 64) throw new LineFault(column, 'bits must be 16, 32 or 64')
        this.bits = bits
        break
      }
      case 'default': {
        r.next()
        const mode = r.next().text.toLowerCase()
        if (mode !== 'rel' && mode !== 'abs') throw new LineFault(column, 'default is followed by rel or abs')
        this.addressing = mode
        break
      }
      case 'org':
        r.next()
        if (this.origin) throw new LineFault(column, 'org appears twice', 'the image has one origin')
        this.origin = parseExpression(r, this.qualify)
        break
      case 'global':
      case 'entry': {
        r.next()
        const name = r.next()
        if (name.kind !== 'name') throw new LineFault(name.column, `${word} needs a label`)
        if (word === 'entry') this.entry = { name: name.text, place: { ...place, column: name.column } }
        break
      }
      case 'section':
      case 'segment':
        r.next()
        this.sectionLine(r, place)
        break
      default:
        return false
    }
    r.end(word)
    return true
  }

  private sectionLine(r: Reader, place: Place): void {
    const name = r.next()
    if (name.kind !== 'name') throw new LineFault(name.column, 'a section needs a name', '.text, .rodata, .data, .bss or .note')
    const attributes: { align?: number; write?: boolean; execute?: boolean; nobits?: boolean } = {}
    while (r.token.kind === 'name') {
      const { column } = r.token
      const word = r.next().text.toLowerCase()
      if (word === 'align') {
        r.expect('=', 'after align')
        const n = Number(r.next().value)
        if (!(n >= 1 && n <= 1 << 21 && (n & (n - 1)) === 0)) throw new LineFault(column, 'align must be a power of two up to 2 MiB')
        attributes.align = n
      } else if (word === 'exec' || word === 'noexec') attributes.execute = word === 'exec'
      else if (word === 'write' || word === 'nowrite') attributes.write = word === 'write'
      else if (word === 'nobits' || word === 'progbits') attributes.nobits = word === 'nobits'
      else
        throw new LineFault(
          column,
          `'${word}' is not a section attribute`,
          'known: align=N, exec, write, nobits and their opposites noexec, nowrite, progbits',
        )
    }
    this.open(name.text, attributes, place)
  }

  private body(r: Reader): Body {
    const word = r.word
    const { column } = r.token
    if (r.token.kind !== 'name')
      throw new LineFault(column, `a statement cannot begin with ${r.token.text}`, 'it begins with a label, a directive or an instruction')
    if (DATA[word] !== undefined) {
      r.next()
      const body: Body = { kind: 'data', width: DATA[word], items: this.items(r, DATA[word]) }
      r.end('the data')
      return body
    }
    if (RESERVE[word] !== undefined || word === 'align' || word === 'alignb') {
      r.next()
      const first = parseExpression(r, this.qualify)
      const execute = this.sections.get(this.section)?.execute ?? true
      const fill = word === 'align' && r.take(',') ? parseExpression(r, this.qualify) : undefined
      r.end(word)
      if (RESERVE[word] !== undefined) return { kind: 'reserve', width: RESERVE[word], count: first, column }
      return { kind: 'align', to: first, fill, code: execute && word === 'align', column }
    }
    if (word === 'times') {
      r.next()
      const count = parseExpression(r, this.qualify)
      const body = this.body(r)
      if (body.kind === 'times') throw new LineFault(column, 'times cannot repeat times', 'multiply the counts')
      return { kind: 'times', count, body, column }
    }
    return this.instruction(r)
  }

  private items(r: Reader, width: number): Item[] {
    const out: Item[] = []
    do {
      const { column } = r.token
      const after = r.peek()
      if (r.token.kind === 'string' && (after.kind === 'end' || after.text === ',') && after.kind !== 'string') {
        const text = new TextEncoder().encode(r.next().text)
        const bytes = new Uint8Array(Math.ceil(text.length / width) * width)
        bytes.set(text)
        out.push({ bytes })
      } else out.push({ value: parseExpression(r, this.qualify), column })
    } while (r.take(','))
    return out
  }

  private instruction(r: Reader): Body {
    const p = {
      lock: false,
      repeat: '' as '' | 'rep' | 'repne',
      operandSize: 0,
      addressSize: 0,
      segment: 0,
      xacquire: false,
      xrelease: false,
      bnd: false,
      notrack: false,
      mask: 0,
      zeroing: false,
    }
    const start = r.token.column
    while (PREFIXES.test(r.word) && r.peek().kind === 'name') {
      const word = r.next().text.toLowerCase()
      if (word === 'lock' || word === 'xacquire' || word === 'xrelease' || word === 'bnd' || word === 'notrack') p[word] = true
      else if (word.startsWith('rep')) p.repeat = word.startsWith('repn') ? 'repne' : 'rep'
      else if (/^[oa]\d/.test(word)) p[word[0] === 'o' ? 'operandSize' : 'addressSize'] = Number(word.slice(1))
      else p.segment = registerNamed(word)
    }
    const { column } = r.token
    const word = r.word
    if (!word) throw new LineFault(column, 'a prefix needs an instruction after it')
    r.next()
    // o64 sysret is what others write for sysretq
    const meaning =
      (p.operandSize === 64 && /^(sysret|sysexit)$/.test(word) && meaningOf(`${word}q`, this.bits)) || meaningOf(word, this.bits)
    if (!meaning) throw unknownWord(word, column)
    const operands: Operand[] = []
    if (r.token.kind !== 'end') {
      do operands.push(parseOperand(r, { qualify: this.qualify, defaultAddressing: this.addressing }))
      while (r.take(','))
    }
    r.end('the operands')
    if (operands.length === 1 && operands[0]?.to) operands.push({ kind: 'register', register: registerNamed('st0'), size: 0, column })
    if (operands.length > 5) throw new LineFault(column, 'no instruction has so many operands')
    for (const o of operands) {
      if (o.mask) p.mask = o.mask
      if (o.zeroing) p.zeroing = true
    }
    return { kind: 'instruction', word, meaning, operands, prefixes: p, bits: this.bits, column: p.lock || p.repeat ? start : column }
  }
}

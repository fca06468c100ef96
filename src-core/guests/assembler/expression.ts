// Expressions over constants, labels, $ and $$: | ^ & << >> + - * / % and unary - + ~ !, C's precedence, 64-bit wrap.
import { LineFault } from './diagnostic.ts'
import type { Reader } from './lexer.ts'

export type Expression =
  | { readonly kind: 'number'; readonly value: bigint }
  | { readonly kind: 'symbol'; readonly name: string; readonly column: number }
  | { readonly kind: 'here' | 'start' }
  | { readonly kind: 'unary'; readonly op: string; readonly a: Expression }
  | { readonly kind: 'binary'; readonly op: string; readonly a: Expression; readonly b: Expression; readonly column: number }

/** `address`: how many more label addresses were added than subtracted; ≠ 0 means that it moves with the image. */
export interface Value {
  readonly value: bigint
  readonly address: number
}

export interface Scope {
  readonly here: bigint
  readonly start: bigint
  symbol(name: string, column: number): Value
}

const LEVELS: readonly (readonly string[])[] = [['|'], ['^'], ['&'], ['<<', '>>'], ['+', '-'], ['*', '/', '%']]
const DEEPEST = 200

/** Little-endian value of a character constant of at most 8 bytes. */
export function characters(text: string, column: number): bigint {
  const bytes = new TextEncoder().encode(text)
  if (bytes.length > 8)
    throw new LineFault(column, `a string of ${bytes.length} bytes is too long for a number`, 'at most 8; longer strings go in db')
  return bytes.reduceRight((sum, b) => (sum << 8n) | BigInt(b), 0n)
}

/** `qualify` gives a local label its full name. Throws LineFault. */
export function parseExpression(r: Reader, qualify: (name: string) => string, depth = 0): Expression {
  const level = (n: number): Expression => {
    const ops = LEVELS[n]
    if (!ops) return unary()
    let a = level(n + 1)
    let terms = 0
    while (r.token.kind === 'mark' && ops.includes(r.token.text)) {
      const t = r.next()
      if (++terms > 1000) throw new LineFault(t.column, 'this expression is too long')
      a = { kind: 'binary', op: t.text, a, b: level(n + 1), column: t.column }
    }
    return a
  }
  const unary = (): Expression => {
    const t = r.token
    if (depth++ > DEEPEST) throw new LineFault(t.column, 'this expression is nested too deeply')
    try {
      if (t.kind === 'mark' && '-+~!'.includes(t.text)) {
        r.next()
        return { kind: 'unary', op: t.text, a: unary() }
      }
      r.next()
      if (t.kind === 'number') return { kind: 'number', value: t.value }
      if (t.kind === 'string') return { kind: 'number', value: characters(t.text, t.column) }
      if (t.kind === 'name') return { kind: 'symbol', name: qualify(t.text), column: t.column }
      if (t.text === '$' && t.kind === 'mark') return { kind: 'here' }
      if (t.text === '$$') return { kind: 'start' }
      if (t.text === '(') {
        const inner = parseExpression(r, qualify, depth)
        r.expect(')', 'to close the parenthesis')
        return inner
      }
    } finally {
      depth--
    }
    throw new LineFault(t.column, `expected a number, a label or an expression, found ${t.text}`)
  }
  return level(0)
}

const wrap = (v: bigint): bigint => (v < -(1n << 63n) || v >= 1n << 64n ? BigInt.asUintN(64, v) : v)

/** Throws LineFault for division by zero and what `scope.symbol` throws. */
export function evaluate(e: Expression, scope: Scope): Value {
  switch (e.kind) {
    case 'number':
      return { value: e.value, address: 0 }
    case 'symbol':
      return scope.symbol(e.name, e.column)
    case 'here':
      return { value: scope.here, address: 1 }
    case 'start':
      return { value: scope.start, address: 1 }
    case 'unary': {
      const a = evaluate(e.a, scope)
      if (e.op === '-') return { value: wrap(-a.value), address: -a.address }
      if (e.op === '~') return { value: ~BigInt.asIntN(64, a.value), address: a.address }
      if (e.op === '!') return { value: a.value === 0n ? 1n : 0n, address: a.address }
      return a
    }
    case 'binary': {
      const a = evaluate(e.a, scope)
      const b = evaluate(e.b, scope)
      const address = e.op === '+' ? a.address + b.address : e.op === '-' ? a.address - b.address : a.address || b.address ? 1 : 0
      return { value: wrap(combine(e.op, a.value, b.value, e.column)), address }
    }
  }
}

function combine(op: string, a: bigint, b: bigint, column: number): bigint {
  switch (op) {
    case '+':
      return a + b
    case '-':
      return a - b
    case '*':
      return a * b
    case '|':
      return a | b
    case '^':
      return a ^ b
    case '&':
      return a & b
    case '<<':
      return b >= 0n && b < 64n ? a << b : 0n
    case '>>':
      return b >= 0n && b < 64n ? BigInt.asUintN(64, a) >> b : 0n
  }
  if (b === 0n) throw new LineFault(column, 'division by zero')
  return op === '/' ? a / b : a % b
}

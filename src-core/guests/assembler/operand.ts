// Operands in Intel syntax: registers, immediates, [memory], seg:offset, with size and distance words.
import { LineFault } from './diagnostic.ts'
import { parseExpression, type Expression } from './expression.ts'
import type { Reader } from './lexer.ts'
import { registerNamed, widthOf } from './registers.ts'

/** Bytes named by a size word; `far`, `near`, `short` and `strict` are kept apart. */
const SIZES: Readonly<Record<string, number>> = {
  byte: 1,
  word: 2,
  dword: 4,
  fword: 6,
  qword: 8,
  tword: 10,
  tbyte: 10,
  oword: 16,
  xmmword: 16,
  yword: 32,
  ymmword: 32,
  zword: 64,
  zmmword: 64,
}

export interface Memory {
  readonly base: number
  readonly index: number
  readonly scale: number
  readonly segment: number
  readonly displacement: Expression | undefined
  /** 'rel' and 'abs' as written, else the default in force */
  readonly addressing: 'rel' | 'abs'
  readonly broadcast: boolean
}

/** EVEX decorations: opmask register and zeroing. */
interface Common {
  readonly column: number
  readonly size: number
  readonly mask?: number
  readonly zeroing?: boolean
  /** x87's `to`: this register is the destination, ST(0) the source */
  readonly to?: boolean
}

export type Operand = Common &
  (
    | { readonly kind: 'register'; readonly register: number }
    | { readonly kind: 'immediate'; readonly value: Expression; readonly distance: '' | 'short' | 'near' }
    | { readonly kind: 'memory'; readonly memory: Memory; readonly far: boolean }
    | { readonly kind: 'far'; readonly selector: Expression; readonly offset: Expression }
  )

export interface OperandContext {
  readonly qualify: (name: string) => string
  readonly defaultAddressing: 'rel' | 'abs'
}

/** st(3) as against st3 */
const isIndexed = (r: Reader): boolean => r.word === 'st' && r.peek().text === '(' && r.peek(2).kind === 'number' && r.peek(3).text === ')'

function registerAt(r: Reader): number {
  if (isIndexed(r)) return registerNamed(`st${r.peek(2).text}`)
  return r.word ? registerNamed(r.word) : 0
}

function takeRegister(r: Reader): number {
  const register = registerAt(r)
  r.at += isIndexed(r) ? 4 : 1
  return register
}

const isSegment = (register: number): boolean => widthOf(register) === 'segment'

function parseMemory(r: Reader, context: OperandContext, outerSegment: number): Memory {
  const open = r.next()
  let addressing: 'rel' | 'abs' | undefined
  let segment = outerSegment
  for (;;) {
    if (/^(word|dword|qword)$/.test(r.word))
      r.next() // the address's own width, which follows from its value here
    else if (r.word === 'rel' || r.word === 'abs') addressing = r.next().text.toLowerCase() as 'rel' | 'abs'
    else if (registerAt(r) && isSegment(registerAt(r)) && r.peek().text === ':') {
      segment = takeRegister(r)
      r.next()
    } else break
  }
  const parts: { register: number; scale: number; column: number }[] = []
  let displacement: Expression | undefined
  let sign = '+'
  while (r.token.kind !== 'end') {
    const { column } = r.token
    const swapped =
      r.token.kind === 'number' && r.peek().text === '*' && r.peek(2).kind === 'name' && registerNamed(r.peek(2).text.toLowerCase()) !== 0
    if (swapped || registerAt(r)) {
      if (sign === '-')
        throw new LineFault(
          column,
          'a register cannot be subtracted in an address',
          'the processor adds base, index*scale and displacement',
        )
      let scale = 1
      if (swapped) {
        scale = Number(r.next().value)
        r.next()
      }
      const register = takeRegister(r)
      if (!swapped && r.is('*') && (r.peek().kind === 'number' || r.peek().text === '(')) {
        r.next()
        const t = r.next()
        if (t.kind !== 'number') throw new LineFault(t.column, 'the scale must be 1, 2, 4 or 8')
        scale = Number(t.value)
      }
      parts.push({ register, scale, column })
    } else {
      const term = parseTerm(r, context)
      displacement = displacement
        ? { kind: 'binary', op: sign, a: displacement, b: term, column }
        : sign === '-'
          ? { kind: 'unary', op: '-', a: term }
          : term
    }
    if (r.is('+') || r.is('-')) sign = r.next().text
    else break
  }
  r.expect(']', 'to close the memory operand')
  let broadcast = false
  if (r.is('{') && /^1to/i.test(r.peek().text + r.peek(2).text)) {
    broadcast = true
    while (!r.take('}') && r.token.kind !== 'end') r.next()
  }
  if (!parts.length && !displacement) throw new LineFault(open.column, 'this memory operand is empty', 'write [register] or [label]')
  return {
    ...arrange(parts),
    segment,
    displacement,
    addressing: addressing ?? (segment && !parts.length ? 'abs' : context.defaultAddressing),
    broadcast,
  }
}

// A term of the displacement sum: products and shifts bind tighter than the + between parts.
function parseTerm(r: Reader, context: OperandContext): Expression {
  const start = r.at
  let depth = 0
  let end = r.at
  for (; r.list[end] && r.list[end]?.kind !== 'end'; end++) {
    const { text, kind } = r.list[end] as { text: string; kind: string }
    if (kind !== 'mark') continue
    if (text === '(') depth++
    else if (text === ')') depth--
    else if (depth === 0 && (text === ']' || ((text === '+' || text === '-') && end > start && isOperandEnd(r.list[end - 1]?.text ?? ''))))
      break
  }
  const inner = Object.assign(Object.create(Object.getPrototypeOf(r) as object) as Reader, {
    list: [...r.list.slice(0, end), { kind: 'end', text: r.list[end]?.text ?? ']', value: 0n, column: r.list[end]?.column ?? 1 }],
    at: start,
  })
  const e = parseExpression(inner, context.qualify)
  if (inner.token.kind !== 'end')
    throw new LineFault(
      inner.token.column,
      `unexpected ${inner.token.text} in this address`,
      'an address is [base + index*scale + displacement]',
    )
  r.at = end
  return e
}

const isOperandEnd = (text: string): boolean => !['<<', '>>', '+', '-', '*', '/', '%', '&', '|', '^', '~', '!', '('].includes(text)

function arrange(parts: { register: number; scale: number; column: number }[]): { base: number; index: number; scale: number } {
  if (parts.length > 2)
    throw new LineFault(parts[2]?.column ?? 1, 'an address has at most two registers', 'base + index*scale + displacement')
  for (const p of parts) {
    if (!['16', '32', '64', 'ip', 'xmm', 'ymm', 'zmm'].includes(widthOf(p.register)))
      throw new LineFault(p.column, 'this register cannot be part of an address')
    if (![1, 2, 3, 4, 5, 8, 9].includes(p.scale))
      throw new LineFault(p.column, `scale ${p.scale} cannot be encoded`, 'the scale is 1, 2, 4 or 8')
  }
  const vector = (register: number): boolean => /mm$/.test(widthOf(register))
  let [a, b] = parts
  if (!a) return { base: 0, index: 0, scale: 1 }
  if (!b) {
    if (vector(a.register)) return { base: 0, index: a.register, scale: a.scale }
    if (a.scale === 1) return { base: a.register, index: 0, scale: 1 }
    // [r*2] is shorter as [r+r]; [r*3], [r*5] and [r*9] exist only as [r+r*2], [r+r*4], [r+r*8]
    return a.scale === 4 || a.scale === 8
      ? { base: 0, index: a.register, scale: a.scale }
      : { base: a.register, index: a.register, scale: a.scale - 1 }
  }
  if (a.scale !== 1 || vector(a.register)) [a, b] = [b, a]
  if (a.scale !== 1) throw new LineFault(b.column, 'only one register of an address can be scaled')
  // SDM 2.1.5: index 100B means none, so that the stack pointer can only be a base
  if (b.scale === 1 && (b.register === registerNamed('rsp') || b.register === registerNamed('esp'))) [a, b] = [b, a]
  if (![1, 2, 4, 8].includes(b.scale)) throw new LineFault(b.column, `scale ${b.scale} cannot be encoded here`, 'the scale is 1, 2, 4 or 8')
  const sixteen = widthOf(a.register) === '16'
  // 16-bit addresses: BX or BP is the base, SI or DI the index
  if (sixteen && (a.register === registerNamed('si') || a.register === registerNamed('di'))) [a, b] = [b, a]
  return { base: a.register, index: b.register, scale: b.scale }
}

/** One operand. Throws LineFault. */
export function parseOperand(r: Reader, context: OperandContext): Operand {
  const { column } = r.token
  let size = 0
  let far = false
  let to = false
  let distance: '' | 'short' | 'near' = ''
  for (;;) {
    const word = r.word
    if (SIZES[word] !== undefined && r.peek().text !== ',') size = SIZES[word] as number
    else if (word === 'far') far = true
    else if (word === 'short' || word === 'near') distance = word
    else if (word === 'to' && r.peek().text.toLowerCase().startsWith('st')) to = true
    else if (word !== 'ptr' && word !== 'strict') break
    r.next()
  }
  const operand = parsePlain(r, context, { column, size }, far, distance)
  let extra: { mask?: number; zeroing?: boolean } = {}
  while (r.take('{')) {
    const word = r.next().text.toLowerCase()
    if (word === 'z') extra = { ...extra, zeroing: true }
    else if (/^k[1-7]$/.test(word)) extra = { ...extra, mask: registerNamed(word) }
    else throw new LineFault(r.token.column, `{${word}} is not a decoration`, 'write {k1} … {k7}, {z} or {1to8}')
    r.expect('}', 'to close the decoration')
  }
  return { ...operand, ...extra, ...(to ? { to } : {}) }
}

function parsePlain(r: Reader, context: OperandContext, common: Common, far: boolean, distance: '' | 'short' | 'near'): Operand {
  if (r.is('[')) return { ...common, kind: 'memory', memory: parseMemory(r, context, 0), far }
  const register = registerAt(r)
  if (register) {
    takeRegister(r)
    if (isSegment(register) && r.is(':') && r.peek().text === '[') {
      r.next()
      return { ...common, kind: 'memory', memory: parseMemory(r, context, register), far }
    }
    return { ...common, kind: 'register', register }
  }
  const value = parseExpression(r, context.qualify)
  if (r.take(':')) return { ...common, kind: 'far', selector: value, offset: parseExpression(r, context.qualify) }
  return { ...common, kind: 'immediate', value, distance }
}

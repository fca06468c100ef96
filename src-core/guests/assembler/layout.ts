// Addresses and bytes: passes over the statements until no size changes. A form given up as too short is never tried again,
// so that instructions only grow and the passes end.
import { AssemblyError, LineFault, type Diagnostic } from './diagnostic.ts'
import { candidates, checkPrefixes, encode, valuesFit, type Candidate } from './encode.ts'
import { evaluate, type Expression, type Scope, type Value } from './expression.ts'
import { Register } from './iced.ts'
import { ruleOf, type Written } from './match.ts'
import type { Operand } from './operand.ts'
import type { Line, Section } from './program.ts'
import { reporting, type Report } from './source.ts'
import type { Body, InstructionText, Parsed, Statement } from './statement.ts'

const MOST_BYTES = 64 * 1024 * 1024
const MOST_PASSES = 60

interface Sized {
  readonly candidate: Candidate
  readonly size: number
  /** as encoded at address 0 with every address 0: final when the instruction holds none */
  readonly bytes: Uint8Array
}

interface Sizing {
  key: string
  list: Sized[]
  readonly rejected: Set<number>
}

/** What is known of an instruction for good: its bytes when nothing in it can move, else its size when one form is left. */
interface Fixed {
  readonly size: number
  readonly bytes?: Uint8Array
}

export class Layout {
  private readonly address: bigint[] = []
  private readonly sizes: number[] = []
  private readonly sizing = new Map<Body, Sizing>()
  private readonly fixed = new Map<Body, Fixed>()
  private readonly constants = new Map<string, boolean>()
  private readonly bases = new Map<string, bigint>()
  private readonly equals = new Map<string, Value>()
  private readonly busy = new Set<string>()
  private pass = 0
  private at = { here: 0n, section: '' }
  readonly lines: Line[] = []

  constructor(
    private readonly parsed: Parsed,
    private readonly origin: bigint,
    private readonly report: Report,
    private readonly faults: readonly Diagnostic[],
  ) {}

  private readonly scope = (): Scope => ({
    here: this.at.here,
    start: this.bases.get(this.at.section) ?? 0n,
    symbol: (name, column) => this.symbol(name, column),
  })

  private value(e: Expression): Value {
    return evaluate(e, this.scope())
  }

  /** Value of a label or equ. Throws LineFault when there is none. */
  symbol(name: string, column: number): Value {
    const s = this.parsed.symbols.get(name)
    if (!s) {
      const local = [...this.parsed.symbols.keys()].find((k) => k.endsWith(name) && k !== name)
      throw new LineFault(
        column,
        `'${name}' is not defined`,
        local ? `there is a local label ${local}` : 'is the name spelled as at its definition?',
      )
    }
    if (s.kind === 'label') return { value: this.address[s.statement] ?? 0n, address: 1 }
    const known = this.equals.get(name)
    if (known) return known
    if (this.busy.has(name) || this.busy.size > 500) throw new LineFault(column, `'${name}' is defined by way of itself`)
    this.busy.add(name)
    const before = this.at
    this.at = { here: this.address[s.statement] ?? 0n, section: this.parsed.statements[s.statement]?.section ?? '' }
    try {
      const made = this.value(s.value)
      this.equals.set(name, made)
      return made
    } finally {
      this.busy.delete(name)
      this.at = before
    }
  }

  /** Throws AssemblyError when sizes never settle; other faults go to `report`. */
  run(): Section[] {
    const { statements } = this.parsed
    let settled = false
    while (!settled) {
      settled = this.round()
      this.pass++
      if (this.faults.length) throw new AssemblyError(this.faults.slice(0, 20) as unknown as [Diagnostic, ...Diagnostic[]])
      if (this.pass > MOST_PASSES) {
        const place = statements[0]?.place ?? { file: '', line: 1, column: 1 }
        throw new AssemblyError([
          { ...place, problem: 'the sizes of this program never settle', hint: 'a times, align or equ depends on its own size' },
        ])
      }
    }
    return this.emit()
  }

  private round(): boolean {
    this.equals.clear()
    const offsets = new Map<string, number>()
    let same = this.pass > 0
    this.parsed.statements.forEach((s, n) => {
      const offset = offsets.get(s.section) ?? 0
      const here = (this.bases.get(s.section) ?? this.origin) + BigInt(offset)
      if (this.address[n] !== here) same = false
      this.address[n] = here
      this.at = { here, section: s.section }
      reporting(s.place, this.report, () => {
        this.sizes[n] = this.sizeOf(s.body, here)
        if (offset + (this.sizes[n] as number) > MOST_BYTES) throw new LineFault(1, `section ${s.section} is larger than 64 MiB here`)
      })
      offsets.set(s.section, Math.min(offset + (this.sizes[n] ?? 0), MOST_BYTES))
    })
    let base = this.origin
    for (const section of this.ordered()) {
      const align = BigInt(section.align)
      base = ((base + align - 1n) / align) * align
      if (this.bases.get(section.name) !== base) same = false
      this.bases.set(section.name, base)
      base += BigInt(offsets.get(section.name) ?? 0)
    }
    return same
  }

  // nobits sections come last, so that the file holds only what has bytes
  private ordered() {
    const all = [...this.parsed.sections.values()]
    return [...all.filter((s) => !s.nobits), ...all.filter((s) => s.nobits)]
  }

  private count(e: Expression, column: number, what: string): number {
    const { value } = this.value(e)
    if (value < 0n) throw new LineFault(column, `${what} is negative (${value})`, 'does the code before it already pass the place?')
    if (value > BigInt(MOST_BYTES)) throw new LineFault(column, `${what} is too large (${value})`)
    return Number(value)
  }

  private alignment(body: Extract<Body, { kind: 'align' }>, here: bigint): number {
    const to = this.count(body.to, body.column, 'the alignment')
    if (to < 1 || (to & (to - 1)) !== 0) throw new LineFault(body.column, `${to} is not a power of two`)
    return Number((BigInt(to) - (here % BigInt(to))) % BigInt(to))
  }

  private sizeOf(body: Body, here: bigint): number {
    switch (body.kind) {
      case 'label':
        return 0
      case 'data':
        return body.items.reduce((sum, i) => sum + ('bytes' in i ? i.bytes.length : body.width), 0)
      case 'reserve':
        return this.count(body.count, body.column, 'the count') * body.width
      case 'align':
        return this.alignment(body, here)
      case 'times': {
        const times = this.count(body.count, body.column, 'times')
        let each = this.sizeOf(body.body, here)
        // one size for all: what the last cannot reach, the first does not use
        if (body.body.kind === 'instruction' && times > 1) {
          this.at = { ...this.at, here: here + BigInt(each * (times - 1)) }
          each = Math.max(each, this.sizeOf(body.body, this.at.here))
          this.at = { ...this.at, here }
        }
        if (times * each > MOST_BYTES) throw new LineFault(body.column, 'times makes more than 64 MiB')
        if (body.body.kind === 'instruction' && times > 100_000)
          throw new LineFault(body.column, 'times repeats an instruction more than 100000 times')
        return times * each
      }
      case 'instruction':
        return this.fixed.get(body)?.size ?? this.sizeOfInstruction(body, here)
    }
  }

  // Instructions that hold no address are encoded once; those with one form left and only addresses to move keep their size.
  private sizeOfInstruction(text: InstructionText, here: bigint): number {
    const { candidate, size, bytes } = this.choose(text, here)
    const parts = text.operands.map((o) => expressionsOf(o))
    const branch = candidate.form.kinds.some((k) => ruleOf(k)?.is === 'branch')
    if (!branch && parts.every((list) => list.every((e) => this.isConstant(e)))) {
      this.fixed.set(text, { size, bytes })
      return size
    }
    const sizing = this.sizing.get(text)
    const left = sizing ? sizing.list.length - sizing.rejected.size : 0
    if (
      left === 1 &&
      this.pass > 0 &&
      (branch || parts.every((list) => list.every((e) => this.isConstant(e) || this.value(e).address !== 0)))
    )
      this.fixed.set(text, { size })
    return size
  }

  /** Made of numbers and of equs made of numbers: the same in every pass. */
  private isConstant(e: Expression): boolean {
    switch (e.kind) {
      case 'number':
        return true
      case 'unary':
        return this.isConstant(e.a)
      case 'binary':
        return this.isConstant(e.a) && this.isConstant(e.b)
      case 'symbol': {
        const known = this.constants.get(e.name)
        if (known !== undefined) return known
        const s = this.parsed.symbols.get(e.name)
        this.constants.set(e.name, false)
        const is = s?.kind === 'equ' && this.isConstant(s.value)
        this.constants.set(e.name, is)
        return is
      }
    }
    return false
  }

  private written(o: Operand): Written {
    switch (o.kind) {
      case 'register':
        return { kind: 'register', register: o.register, size: o.size }
      case 'far':
        return { kind: 'far', selector: this.value(o.selector).value, offset: this.value(o.offset).value, size: o.size }
      case 'immediate': {
        const { value, address } = this.value(o.value)
        return { kind: 'immediate', value, address: address !== 0, distance: o.distance, size: o.size }
      }
      case 'memory': {
        const m = o.memory
        const { value, address } = m.displacement ? this.value(m.displacement) : { value: 0n, address: 0 }
        const bare = !m.base && !m.index && m.addressing === 'rel' && address !== 0
        const relative = bare || m.base === Register.RIP
        return {
          kind: 'memory',
          base: m.base,
          index: m.index,
          scale: m.scale,
          segment: m.segment,
          displacement: value,
          address: address !== 0,
          relative,
          broadcast: m.broadcast,
          far: o.far,
          size: o.size,
        }
      }
    }
  }

  private choose(text: InstructionText, here: bigint): Sized {
    const { word, meaning, bits, prefixes } = text
    const operands = text.operands.map((o) => {
      const w = this.written(o)
      if (w.kind !== 'memory' || !w.relative) return w
      if (bits === 64) return w.base ? { ...w, displacement: w.address ? w.displacement : w.displacement + here } : w
      if (w.base) throw new LineFault(o.column, 'rip-relative addresses exist only in 64-bit code')
      return { ...w, relative: false }
    })
    let key = ''
    for (const w of operands)
      if (w.kind === 'immediate') key += w.address ? 'a,' : `${w.value},`
      else if (w.kind === 'memory') key += w.address ? 'a,' : `${w.displacement},`
    let sizing = this.sizing.get(text)
    if (sizing?.key !== key) {
      const columns = [text.column, ...text.operands.map((o) => o.column)]
      const found = candidates(word, meaning, operands, bits, prefixes, columns)
      checkPrefixes(
        word,
        found.map((c) => c.form),
        prefixes,
        text.column,
      )
      if (prefixes.lock && text.operands[0]?.kind !== 'memory' && text.operands[1]?.kind !== 'memory')
        throw new LineFault(text.column, `lock needs a memory operand`, 'only a memory destination can be locked')
      const list = this.measured(found, text)
      sizing = { key, list, rejected: sizing?.rejected ?? new Set() }
      this.sizing.set(text, sizing)
    }
    const fresh = ({ candidate: c }: Sized): Candidate => ({ form: c.form, operands: refresh(c.operands, operands) })
    for (const entry of sizing.list) {
      if (sizing.rejected.has(entry.candidate.form.code)) continue
      const candidate = fresh(entry)
      if (this.reaches(candidate, entry.size, here) && valuesFit(candidate, bits)) return { ...entry, candidate }
      if (this.pass > 0) sizing.rejected.add(candidate.form.code)
    }
    // the first pass knows no addresses yet, so that nothing is given up by it
    const longest = sizing.list.at(-1)
    if (this.pass === 0 && longest) return { ...longest, candidate: fresh(longest) }
    throw this.outOfReach(text, sizing, operands, here)
  }

  private measured(found: Candidate[], text: InstructionText): Sized[] {
    const list: Sized[] = []
    let fault: unknown
    for (const candidate of found) {
      if (!valuesFit(candidate, text.bits)) {
        const movable = candidate.operands.some((w) => (w.kind === 'immediate' || w.kind === 'memory') && w.address)
        if (!movable) continue
      }
      try {
        const tame = candidate.operands.map((w) =>
          w.kind === 'memory' && w.relative ? { ...w, displacement: 0n } : w.kind === 'immediate' && w.address ? { ...w, value: 0n } : w,
        )
        const bytes = encode({ ...candidate, operands: tame }, text.bits, text.prefixes, 0n, text.column, 0n)
        list.push({ candidate, size: bytes.length, bytes })
      } catch (reason) {
        fault = reason
      }
    }
    if (!list.length && fault) throw fault
    if (!list.length) throw this.tooLarge(text)
    return list.sort((a, b) => a.candidate.form.rank - b.candidate.form.rank || a.size - b.size)
  }

  private tooLarge(text: InstructionText): LineFault {
    const at = text.operands.find((o) => o.kind === 'immediate') ?? text.operands.find((o) => o.kind !== 'register')
    const e = at?.kind === 'immediate' ? ` (${this.value(at.value).value})` : ''
    return new LineFault(
      at?.column ?? text.column,
      `this value${e} does not fit the operand`,
      'use a wider register, or mask the value with &',
    )
  }

  private outOfReach(text: InstructionText, sizing: Sizing, operands: readonly Written[], here: bigint): LineFault {
    const branch = sizing.list.some(({ candidate: c }) => c.form.kinds.some((k) => ruleOf(k)?.is === 'branch'))
    const to = operands.find((w) => w.kind === 'immediate')
    if (!branch || to?.kind !== 'immediate') return this.tooLarge(text)
    const only = text.operands.some((o) => o.kind === 'immediate' && o.distance === 'short')
      ? 'drop the word short'
      : 'this instruction has only a short form: jump round it with a near jmp'
    return new LineFault(text.column, `the target is ${to.value - here} bytes away, out of reach of ${text.word}`, only)
  }

  private reaches({ form, operands }: Candidate, size: number, here: bigint): boolean {
    for (let n = 0; n < form.kinds.length; n++) {
      const rule = ruleOf(form.kinds[n] as number)
      const w = operands[n]
      if (w?.kind === 'memory' && w.relative && this.pass > 0) {
        const distance = w.displacement - here - BigInt(size)
        if (distance < -0x80000000n || distance > 0x7fffffffn) return false
      }
      if (rule?.is !== 'branch' || w?.kind !== 'immediate' || this.pass === 0) continue
      const distance = w.value - here - BigInt(size)
      // 16- and 32-bit code wraps its instruction pointer
      const near = rule.code === 16 ? BigInt.asIntN(16, distance) : rule.code === 32 ? BigInt.asIntN(32, distance) : distance
      const bound = rule.bytes === 1 ? 128n : rule.code === 16 ? 0x8000n : 0x80000000n
      if (near < -bound || near >= bound) return false
    }
    return true
  }

  private emit(): Section[] {
    const parts = new Map<string, { bytes: Uint8Array; used: number }>()
    const sizeOf = new Map<string, number>()
    this.parsed.statements.forEach((s, n) => sizeOf.set(s.section, (sizeOf.get(s.section) ?? 0) + (this.sizes[n] ?? 0)))
    for (const section of this.parsed.sections.values())
      parts.set(section.name, { bytes: new Uint8Array(section.nobits ? 0 : (sizeOf.get(section.name) ?? 0)), used: 0 })
    this.parsed.statements.forEach((s, n) => {
      const part = parts.get(s.section)
      const section = this.parsed.sections.get(s.section)
      if (!part || !section) return
      const size = this.sizes[n] ?? 0
      this.at = { here: this.address[n] ?? 0n, section: s.section }
      reporting(s.place, this.report, () => {
        if (section.nobits) {
          if (size && s.body.kind !== 'reserve' && s.body.kind !== 'align')
            throw new LineFault(1, `${s.section} holds no bytes`, 'use resb, resw, resd or resq there, or put this into .data')
        } else this.write(s, s.body, part.bytes.subarray(part.used, part.used + size), this.address[n] ?? 0n)
      })
      if (size) this.lines.push({ address: this.address[n] ?? 0n, size, file: s.place.file, line: s.place.line })
      part.used += size
    })
    if (this.faults.length) throw new AssemblyError(this.faults.slice(0, 20) as unknown as [Diagnostic, ...Diagnostic[]])
    return this.ordered().map((s) => ({
      name: s.name,
      address: this.bases.get(s.name) ?? 0n,
      size: sizeOf.get(s.name) ?? 0,
      bytes: parts.get(s.name)?.bytes ?? new Uint8Array(0),
      write: s.write,
      execute: s.execute,
      align: s.align,
    }))
  }

  private write(s: Statement, body: Body, into: Uint8Array, here: bigint): void {
    switch (body.kind) {
      case 'data':
        return this.writeData(body, into)
      case 'align':
        into.fill(body.fill ? Number(BigInt.asUintN(8, this.value(body.fill).value)) : body.code ? 0x90 : 0)
        return
      case 'times': {
        const times = this.count(body.count, body.column, 'times')
        const each = times ? into.length / times : 0
        for (let n = 0; n < times && each; n++) {
          this.at = { here: here + BigInt(n * each), section: s.section }
          this.write(s, body.body, into.subarray(n * each, (n + 1) * each), here + BigInt(n * each))
        }
        return
      }
      case 'instruction': {
        const known = this.fixed.get(body)?.bytes
        if (known) return into.set(known)
        const { candidate, size } = this.choose(body, here)
        const bytes = encode(candidate, body.bits, body.prefixes, here, body.column)
        if (bytes.length !== size || size !== into.length)
          throw new LineFault(
            body.column,
            'this instruction changed its size between passes',
            'give its operand a size word, for one: near, dword',
          )
        into.set(bytes)
      }
    }
  }

  private writeData(body: Extract<Body, { kind: 'data' }>, into: Uint8Array): void {
    let at = 0
    for (const item of body.items) {
      if ('bytes' in item) {
        into.set(item.bytes, at)
        at += item.bytes.length
        continue
      }
      const { value } = this.value(item.value)
      const bits = BigInt(body.width * 8)
      if (value >= 1n << bits || value < -(1n << (bits - 1n)))
        throw new LineFault(item.column, `${value} does not fit in ${body.width * 8} bits`, 'mask it with &, or use a wider directive')
      for (let n = 0, v = BigInt.asUintN(64, value); n < body.width; n++, v >>= 8n) into[at++] = Number(v & 0xffn)
    }
  }
}

function expressionsOf(o: Operand): Expression[] {
  if (o.kind === 'immediate') return [o.value]
  if (o.kind === 'far') return [o.selector, o.offset]
  return o.kind === 'memory' && o.memory.displacement ? [o.memory.displacement] : []
}

// Candidate operands are a spelling (reordered, shortened) of the written ones; values move from pass to pass, so match by kind in order.
function refresh(old: readonly Written[], now: readonly Written[]): readonly Written[] {
  return old.map((o, n) => {
    const w = now[n]
    if (o.kind === 'register') return o
    return w?.kind === o.kind ? w : (now.find((x) => x.kind === o.kind) ?? o)
  })
}

// Written instruction to bytes: candidate forms by operand class, then iced-x86's encoder; the caller takes the shortest that reaches.
import { LineFault } from './diagnostic.ts'
import { Code, Encoder, Instruction, OpKind, Register } from './iced.ts'
import { fitsImmediate, isImplied, matches, needs64, ruleOf, type Written } from './match.ts'
import { similarTo, type Form, type Meaning } from './opcodes.ts'
import { registerNamed, widthOf } from './registers.ts'

export interface Prefixes {
  readonly lock: boolean
  readonly repeat: '' | 'rep' | 'repne'
  readonly operandSize: number
  readonly addressSize: number
  readonly segment: number
  readonly xacquire: boolean
  readonly xrelease: boolean
  readonly bnd: boolean
  readonly notrack: boolean
  /** EVEX opmask register, 0 if none, and zeroing-masking */
  readonly mask: number
  readonly zeroing: boolean
}

export interface Candidate {
  readonly form: Form
  readonly operands: readonly Written[]
}

const encoders = new Map<number, Encoder>()
const encoderOf = (bits: number): Encoder => {
  const known = encoders.get(bits)
  if (known) return known
  const made = new Encoder(bits)
  encoders.set(bits, made)
  return made
}

const registerOperand = (name: string): Written => ({ kind: 'register', register: registerNamed(name), size: 0 })

/** Shorthands the manual or NASM allow: what is not written, or written the other way round. */
function spellings(word: string, operands: readonly Written[]): (readonly Written[])[] {
  const [a, b, c] = operands
  const out: (readonly Written[])[] = [operands]
  // what takes 16 bits of any register is shortest with the 32-bit name: no operand-size prefix (SDM volume 2, MOV Sreg)
  const narrow = operands.at(-1)
  if (
    narrow?.kind === 'register' &&
    widthOf(narrow.register) === '16' &&
    (/^(lldt|ltr|verr|verw|lmsw)$/.test(word) || (word === 'mov' && a?.kind === 'register' && widthOf(a.register) === 'segment'))
  )
    out.unshift([...operands.slice(0, -1), { ...narrow, register: narrow.register - Register.AX + Register.EAX }])
  if (word === 'imul' && a?.kind === 'register' && b?.kind === 'immediate' && !c) out.push([a, a, b])
  if ((word === 'test' || word === 'xchg') && a && b && !c) out.push([b, a])
  if (/^(blendvp[sd]|pblendvb|sha256rnds2)$/.test(word) && c?.kind === 'register' && c.register === Register.XMM0)
    out.push(operands.slice(0, 2))
  if (word[0] === 'f') {
    if (!a) out.push([registerOperand('st1'), registerOperand('st0')], [registerOperand('st0'), registerOperand('st1')])
    else if (!b && a.kind === 'register') out.push([registerOperand('st0'), a], [a, registerOperand('st0')])
  }
  return out
}

function formMatches(form: Form, written: readonly Written[], bits: number, prefixes: Prefixes, operandSize: number): boolean {
  if (!form.modes.includes(bits)) return false
  if (operandSize && form.operandSize !== operandSize) return false
  if ((prefixes.mask && !form.mask) || (prefixes.zeroing && !form.zeroing)) return false
  if (prefixes.addressSize && form.addressSize && form.addressSize !== prefixes.addressSize) return false
  const implied = written.length === 0 && form.kinds.some(isImplied)
  const kinds = implied ? [] : form.kinds.filter((k) => !isImplied(k))
  if (kinds.length !== written.length) return false
  for (let i = 0; i < kinds.length; i++) {
    const rule = ruleOf(kinds[i] as number)
    const w = written[i] as Written
    if (!rule || !matches(rule, w, bits)) return false
    if (w.kind !== 'memory') continue
    // LDS, LSS and the like load a far pointer too, but are written without the word
    if (w.far !== form.far && (w.far || form.kinds.length === 1)) return false
    if (w.broadcast) {
      if (!form.broadcastBytes) return false
    } else if (w.size && form.memoryBytes && w.size !== form.memoryBytes) return false
  }
  return true
}

// XCHG EAX, EAX clears the upper half of RAX in 64-bit code; its one-byte form, 90H, is NOP and does not
const clearsByName = (form: Form, [a, b]: readonly Written[], bits: number): boolean =>
  bits === 64 && form.code === Code.Xchg_r32_EAX && a?.kind === 'register' && b?.kind === 'register' && a.register === b.register

/** All forms that the operands match, shorthands included. Throws LineFault saying why there is none, or that a size is missing. */
export function candidates(
  word: string,
  meaning: Meaning,
  operands: readonly Written[],
  bits: number,
  prefixes: Prefixes,
  columns: readonly number[],
): Candidate[] {
  const at = columns[0] ?? 1
  const written =
    meaning.predicate === undefined
      ? operands
      : [...operands, { kind: 'immediate' as const, value: meaning.predicate, address: false, distance: '' as const, size: 0 }]
  const [first, second] = written
  // a PUSH of a number moves the stack pointer by the mode's width, be another encoding shorter or not
  const pushed =
    word === 'push' && first?.kind === 'immediate' && !first.size ? (bits === 16 && !fitsImmediate(first.value, 16, 16) ? 32 : bits) : 0
  const size = prefixes.operandSize || meaning.operandSize || pushed
  // MOV r64, imm with the upper half zero is MOV r32, imm32: writing a 32-bit register clears the rest (SDM volume 1, 3.4.1.1)
  if (
    bits === 64 &&
    word === 'mov' &&
    first?.kind === 'register' &&
    widthOf(first.register) === '64' &&
    second?.kind === 'immediate' &&
    !second.address &&
    !second.size
  )
    if (second.value >= 0n && second.value < 1n << 32n)
      return candidates(
        word,
        meaning,
        [{ ...first, register: first.register - Register.RAX + Register.EAX }, second],
        bits,
        prefixes,
        columns,
      )
  const all: Candidate[] = []
  for (const spelling of spellings(word, written)) {
    const found = meaning.forms.filter((f) => formMatches(f, spelling, bits, prefixes, size) && !clearsByName(f, spelling, bits))
    if (!found.length) continue
    all.push(...unambiguous(word, found, spelling, bits, columns).map((form) => ({ form, operands: spelling })))
    // XCHG is symmetric: the form with the accumulator may be the other way round
    if (word !== 'xchg') break
  }
  if (all.length) return all.sort((a, b) => a.form.rank - b.form.rank)
  const only64 = operands.findIndex(
    (w) => (w.kind === 'register' && needs64(w.register)) || (w.kind === 'memory' && (needs64(w.base) || needs64(w.index))),
  )
  if (bits !== 64 && only64 >= 0)
    throw new LineFault(
      columns[only64 + 1] ?? at,
      `this register exists only in 64-bit code, and this is ${bits}-bit`,
      'put `bits 64` before 64-bit code',
    )
  const inOther = meaning.forms.filter((f) => f.modes.includes(bits))
  if (!inOther.length)
    throw new LineFault(
      at,
      `${word} does not exist in ${bits}-bit code`,
      `it is valid with bits ${[...new Set(meaning.forms.flatMap((f) => f.modes))].join(', ')}`,
    )
  const listed = [...new Set(inOther.map((f) => f.text.replace(/^\S+\s*/, '') || '(no operands)'))]
  throw new LineFault(
    at,
    `${word} does not take these operands`,
    `it takes ${listed.slice(0, 8).join('; ')}${listed.length > 8 ? '; …' : ''}`,
  )
}

function unambiguous(word: string, found: Form[], written: readonly Written[], bits: number, columns: readonly number[]): Form[] {
  const at = written.findIndex((w) => w.kind === 'memory' && !w.size && !w.broadcast)
  if (at < 0) return found
  const sizes = [...new Set(found.map((f) => f.memoryBytes))].filter((n) => n !== 0)
  const names: Readonly<Record<number, string>> = {
    1: 'byte',
    2: 'word',
    4: 'dword',
    6: 'fword',
    8: 'qword',
    10: 'tword',
    16: 'oword',
    32: 'yword',
    64: 'zword',
  }
  if (sizes.length < 2 || !sizes.some((n) => names[n])) return found
  const wanted = /^(call|jmp|push|pop)$/.test(word)
    ? found.some((f) => f.far)
      ? bits === 16
        ? 2
        : 4
      : bits / 8
    : /^(lgdt|lidt|sgdt|sidt)/.test(word)
      ? (sizes[0] as number)
      : 0
  if (wanted) return found.filter((f) => f.memoryBytes === wanted)
  const words = sizes.sort((a, b) => a - b).map((n) => names[n] ?? `${n} bytes`)
  throw new LineFault(columns[at + 1] ?? 1, `the size of this memory operand is not known`, `write ${words.join(' or ')} before the [`)
}

/** Do the immediates and displacements of this candidate fit? Branch distances are not looked at. */
export function valuesFit({ form, operands }: Candidate, bits: number): boolean {
  let i = 0
  for (const kind of form.kinds) {
    if (isImplied(kind)) continue
    const w = operands[i++]
    const rule = ruleOf(kind)
    if (!w) return true
    if (rule?.is === 'immediate' && w.kind === 'immediate' && !fitsImmediate(w.value, rule.fits, rule.to)) return false
    if (w.kind === 'memory' && rule?.is !== 'offset') {
      const width = addressWidth(w, bits)
      if (!w.relative && !fitsImmediate(w.displacement, Math.min(32, width), width)) return false
    }
    if (w.kind === 'far' && !(fitsImmediate(w.selector, 16, 16) && (rule?.is !== 'far' || fitsImmediate(w.offset, rule.bits, rule.bits))))
      return false
  }
  return true
}

function addressWidth(w: Extract<Written, { kind: 'memory' }>, bits: number): number {
  for (const register of [w.base, w.index]) {
    const width = widthOf(register)
    if (width === '64' || register === Register.RIP) return 64
    if (width === '32' || register === Register.EIP) return 32
    if (width === '16') return 16
  }
  return bits === 16 && (w.displacement > 0xffffn || w.displacement < -0x8000n) ? 32 : bits
}

const STRING_KINDS: Readonly<Record<string, readonly [number, number, number]>> = {
  si: [OpKind.MemorySegSI, OpKind.MemorySegESI, OpKind.MemorySegRSI],
  di: [OpKind.MemorySegDI, OpKind.MemorySegEDI, OpKind.MemorySegRDI],
  es: [OpKind.MemoryESDI, OpKind.MemoryESEDI, OpKind.MemoryESRDI],
}

function setMemory(into: Instruction, w: Extract<Written, { kind: 'memory' }>, bits: number, offset: boolean): void {
  const width = addressWidth(w, bits)
  if (w.segment) into.segmentPrefix = w.segment
  into.memoryBase = w.relative ? Register.RIP : w.base
  if (w.relative) {
    into.memoryDisplSize = 8
    into.memoryDisplacement = BigInt.asUintN(64, w.displacement)
    return
  }
  into.memoryIndex = w.index
  into.memoryIndexScale = w.scale
  const bare = !w.base && !w.index
  const full = width / 8
  // a displacement that moves with the image keeps its full width, so that sizes do not depend on where it is loaded
  const bytes = offset ? full : bare || w.address || (!w.base && w.index) ? full : w.displacement === 0n ? 0 : 1
  into.memoryDisplSize = bytes
  into.memoryDisplacement = BigInt.asUintN(width, w.displacement)
}

/**
 * Bytes of a candidate at `address`. Throws LineFault with the encoder's reason (for one: AH beside a REX prefix).
 * `target` replaces the branch target, to learn a size before it is known.
 */
export function encode(
  { form, operands }: Candidate,
  bits: number,
  prefixes: Prefixes,
  address: bigint,
  column: number,
  target?: bigint,
): Uint8Array {
  const raw = new Instruction()
  try {
    fill(raw, form, operands, bits, prefixes, target)
    const encoder = encoderOf(bits)
    try {
      encoder.encode(raw, BigInt.asUintN(64, address))
    } catch (reason) {
      encoder.takeBuffer()
      throw new LineFault(
        column,
        'this instruction cannot be encoded',
        (reason instanceof Error ? reason.message : String(reason)).replace(/\s+/g, ' '),
      )
    }
    return encoder.takeBuffer()
  } finally {
    raw.free()
  }
}

function fill(
  i: Instruction,
  form: Form,
  operands: readonly Written[],
  bits: number,
  prefixes: Prefixes,
  target: bigint | undefined,
): void {
  i.code = form.code
  const addressSize = prefixes.addressSize || bits
  let next = 0
  let immediates = 0
  const implied = operands.length === 0
  if (prefixes.segment) i.segmentPrefix = prefixes.segment
  form.kinds.forEach((kind, n) => {
    const rule = ruleOf(kind)
    if (!rule) return
    if (rule.is === 'implied') {
      if (rule.pointer === 'bx') {
        i.setOpKind(n, OpKind.Memory)
        i.memoryBase = addressSize === 64 ? Register.RBX : addressSize === 32 ? Register.EBX : Register.BX
        i.memoryIndex = Register.AL
      } else
        i.setOpKind(
          n,
          (STRING_KINDS[rule.pointer] as readonly [number, number, number])[addressSize === 16 ? 0 : addressSize === 32 ? 1 : 2],
        )
      return
    }
    if (implied) {
      if (rule.is === 'register' && rule.only) i.setOpRegister(n, rule.only)
      return
    }
    const w = operands[next++] as Written
    switch (w.kind) {
      case 'register':
        i.setOpKind(n, OpKind.Register)
        i.setOpRegister(n, w.register)
        return
      case 'memory':
        i.setOpKind(n, OpKind.Memory)
        setMemory(i, w, bits, rule.is === 'offset')
        if (w.broadcast) i.isBroadcast = true
        return
      case 'far':
        i.setOpKind(n, rule.is === 'far' && rule.bits === 16 ? OpKind.FarBranch16 : OpKind.FarBranch32)
        i.farBranchSelector = Number(BigInt.asUintN(16, w.selector))
        if (rule.is === 'far' && rule.bits === 16) i.farBranch16 = Number(BigInt.asUintN(16, w.offset))
        else i.farBranch32 = Number(BigInt.asUintN(32, w.offset))
        return
      case 'immediate':
        if (rule.is === 'branch') {
          const kindOf = rule.opKind === OpKind.NearBranch32 && bits === 64 ? OpKind.NearBranch64 : rule.opKind
          i.setOpKind(n, kindOf)
          const to = BigInt.asUintN(kindOf === OpKind.NearBranch16 ? 16 : kindOf === OpKind.NearBranch32 ? 32 : 64, target ?? w.value)
          if (kindOf === OpKind.NearBranch16) i.nearBranch16 = Number(to)
          else if (kindOf === OpKind.NearBranch32) i.nearBranch32 = Number(to)
          else i.nearBranch64 = to
        } else if (rule.is === 'immediate') {
          i.setOpKind(n, immediates++ && rule.opKind === OpKind.Immediate8 ? OpKind.Immediate8_2nd : rule.opKind)
          i.setImmediateI64(
            n,
            BigInt.asIntN(64, rule.fits === rule.to ? BigInt.asUintN(rule.to, w.value) : BigInt.asIntN(rule.to, w.value)),
          )
        }
    }
  })
  if (prefixes.lock) i.hasLockPrefix = true
  if (prefixes.repeat === 'rep') i.hasRepPrefix = true
  if (prefixes.repeat === 'repne' || prefixes.bnd) i.hasRepnePrefix = true
  if (prefixes.xacquire) i.hasXacquirePrefix = true
  if (prefixes.xrelease) i.hasXreleasePrefix = true
  if (prefixes.mask) i.opMask = prefixes.mask
  if (prefixes.zeroing) i.zeroingMasking = true
  if (prefixes.notrack) i.segmentPrefix = Register.DS
}

/** Throws LineFault when a prefix has no meaning with these forms. */
export function checkPrefixes(word: string, forms: readonly Form[], p: Prefixes, column: number): void {
  const wrong = (name: string, hint: string): never => {
    throw new LineFault(column, `${name} cannot be used with ${word}`, hint)
  }
  if (p.lock && !forms.some((f) => f.lock))
    wrong('lock', 'it needs a read-modify-write instruction such as add, xchg or cmpxchg, with a memory destination')
  if (p.repeat === 'rep' && !forms.some((f) => f.rep)) wrong('rep', 'it belongs before movs, stos, lods, cmps, scas, ins and outs')
  if (p.repeat === 'repne' && !forms.some((f) => f.repne)) wrong('repne', 'it belongs before cmps and scas')
  if (p.xacquire && !forms.some((f) => f.xacquire)) wrong('xacquire', 'it needs a locked instruction')
  if (p.xrelease && !forms.some((f) => f.xrelease)) wrong('xrelease', 'it needs a locked instruction')
  if (p.bnd && !forms.some((f) => f.bnd)) wrong('bnd', 'it belongs before near branches')
  if (p.notrack && !forms.some((f) => f.notrack)) wrong('notrack', 'it belongs before indirect near branches')
}

/** The fault for a word that is neither instruction nor directive. */
export function unknownWord(word: string, column: number): LineFault {
  const near = similarTo(word)
  return new LineFault(
    column,
    `there is no instruction or directive '${word}'`,
    near.length ? `did you mean ${near.join(' or ')}?` : 'a label needs a colon: name:',
  )
}

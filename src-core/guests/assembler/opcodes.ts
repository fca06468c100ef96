// Every encodable form of every mnemonic, read from iced-x86's own opcode metadata; no table of ours.
// Not offered: Knights Corner's MVEX forms, reserved NOPs, and the 8086's POP CS, whose byte is the 0FH escape since.
import { Code, CodeExt, MemorySize, MemorySizeExt, Mnemonic } from './iced.ts'

export interface Form {
  readonly code: number
  /** OpCodeOperandKind per operand */
  readonly kinds: readonly number[]
  /** MemorySize, and its bytes (0: any) */
  readonly memory: number
  readonly memoryBytes: number
  readonly broadcastBytes: number
  readonly far: boolean
  readonly operandSize: number
  readonly addressSize: number
  readonly modes: readonly number[]
  /** 1 for forms of withdrawn extensions, tried after all others */
  readonly rank: number
  readonly lock: boolean
  readonly rep: boolean
  readonly repne: boolean
  readonly xacquire: boolean
  readonly xrelease: boolean
  readonly bnd: boolean
  readonly notrack: boolean
  readonly mask: boolean
  readonly zeroing: boolean
  /** as the manual writes it, for messages */
  readonly text: string
}

const CONDITIONS: Readonly<Record<string, string>> = {
  c: 'b',
  nae: 'b',
  nb: 'ae',
  nc: 'ae',
  z: 'e',
  nz: 'ne',
  na: 'be',
  nbe: 'a',
  pe: 'p',
  po: 'np',
  nge: 'l',
  nl: 'ge',
  ng: 'le',
  nle: 'g',
}
const ALIASES = new Map<string, string>([
  ['loopz', 'loope'],
  ['loopnz', 'loopne'],
  ['retn', 'ret'],
  ['movabs', 'mov'],
  ['fwait', 'wait'],
  ['xlat', 'xlatb'],
  ['ud2a', 'ud2'],
  ['iretw', 'iret'],
  ['pushfw', 'pushf'],
  ['popfw', 'popf'],
  ['pushaw', 'pusha'],
  ['popaw', 'popa'],
  ['pmulhrwa', 'pmulhrw'],
  ['cmpaxadd', 'cmpnbexadd'],
  ['cmpaexadd', 'cmpnbxadd'],
  ['cmpgxadd', 'cmpnlexadd'],
  ['cmpgexadd', 'cmpnlxadd'],
  ['cmpnexadd', 'cmpnzxadd'],
  ['cmpexadd', 'cmpzxadd'],
])
for (const [from, to] of Object.entries(CONDITIONS)) for (const stem of ['j', 'set', 'cmov']) ALIASES.set(stem + from, stem + to)

/** Names whose operand size follows `bits`: the manual's IRET is IRETD in 32-bit code, PUSHF is PUSHFQ in 64-bit code. */
const SIZED: Readonly<Record<string, readonly [string, string]>> = {
  iret: ['iretd', 'iretd'],
  pushf: ['pushfd', 'pushfq'],
  popf: ['popfd', 'popfq'],
  pusha: ['pushad', 'pushad'],
  popa: ['popad', 'popad'],
}

/** Written mnemonics that name another's operand size. */
const WITH_SIZE: Readonly<Record<string, readonly [string, number]>> = {
  retfq: ['retf', 64],
  retfd: ['retf', 32],
  retfw: ['retf', 16],
  retq: ['ret', 64],
  pushw: ['push', 16],
  pushd: ['push', 32],
  pushq: ['push', 64],
  popw: ['pop', 16],
  popq: ['pop', 64],
}

// SDM volume 2A, CMPPS: predicates 0…7 have names of their own
const PREDICATES = ['eq', 'lt', 'le', 'unord', 'neq', 'nlt', 'nle', 'ord']

const codesOf = new Map<string, number[]>()
const formsOf = new Map<string, readonly Form[]>()
const MNEMONIC_NAMES = new Map<number, string>()

function index(): void {
  for (const [name, value] of Object.entries(Mnemonic)) if (typeof value === 'number') MNEMONIC_NAMES.set(value, name.toLowerCase())
  for (const code of Object.values(Code)) {
    if (typeof code !== 'number') continue
    const info = CodeExt.opCode(code)
    const name = MNEMONIC_NAMES.get(info.mnemonic) ?? ''
    info.free()
    const list = codesOf.get(name)
    if (list) list.push(code)
    else codesOf.set(name, [code])
  }
  for (const none of ['invalid', 'db', 'dw', 'dd', 'dq', 'zero_bytes', 'reservednop', 'reserved_nop']) codesOf.delete(none)
}

const MVEX = 5

function formOf(code: number): Form | undefined {
  const o = CodeExt.opCode(code)
  try {
    if (!o.isInstruction || o.isReservedNop || code === Code.Popw_CS || (o.encoding as number) === MVEX) return undefined
    const memory = o.memorySize as number
    const bytes = MemorySizeExt.size(memory)
    const kinds = [o.op0Kind, o.op1Kind, o.op2Kind, o.op3Kind, o.op4Kind].slice(0, o.opCount)
    const far = memory === MemorySize.SegPtr16 || memory === MemorySize.SegPtr32 || memory === MemorySize.SegPtr64
    return {
      code,
      kinds,
      memory,
      memoryBytes:
        memory === MemorySize.SegPtr16
          ? 2
          : memory === MemorySize.SegPtr32
            ? 4
            : memory === MemorySize.SegPtr64
              ? 8
              : bytes > 64
                ? 0
                : bytes,
      broadcastBytes: o.canBroadcast ? MemorySizeExt.size(o.broadcastMemorySize) : 0,
      far,
      operandSize: o.operandSize,
      addressSize: o.addressSize,
      modes: [16, 32, 64].filter((bits) => o.isAvailableInMode(bits)),
      rank: o.decoderOption ? 1 : 0,
      lock: o.canUseLockPrefix,
      rep: o.canUseRepPrefix,
      repne: o.canUseRepnePrefix,
      xacquire: o.canUseXacquirePrefix,
      xrelease: o.canUseXreleasePrefix,
      bnd: o.canUseBndPrefix,
      notrack: o.canUseNotrackPrefix,
      mask: o.canUseOpMaskRegister,
      zeroing: o.canUseZeroingMasking,
      text: o.instructionString.toLowerCase(),
    }
  } finally {
    o.free()
  }
}

export interface Meaning {
  readonly forms: readonly Form[]
  /** operand size that the name itself asks for, 0 if none */
  readonly operandSize: number
  /** comparison predicate that the name stands for */
  readonly predicate?: bigint
}

function formsNamed(name: string): readonly Form[] | undefined {
  const known = formsOf.get(name)
  if (known) return known
  const codes = codesOf.get(name)
  if (!codes) return undefined
  const made = codes.map(formOf).filter((f) => f !== undefined)
  formsOf.set(name, made)
  return made
}

/** What a lower-case mnemonic means in code of `bits`; undefined when no such instruction exists. */
export function meaningOf(word: string, bits: number): Meaning | undefined {
  if (!codesOf.size) index()
  const sized = SIZED[word]
  let name = sized && bits !== 16 ? sized[bits === 64 ? 1 : 0] : (ALIASES.get(word) ?? word)
  let operandSize = 0
  if (WITH_SIZE[name] && !codesOf.has(name)) [name, operandSize] = WITH_SIZE[name] as readonly [string, number]
  const forms = formsNamed(name)
  if (forms?.length) return { forms, operandSize }
  const compare = /^(v?cmp)([a-z]+?)(ps|pd|ss|sd)$/.exec(word)
  const predicate = compare ? PREDICATES.indexOf(compare[2] as string) : -1
  const base = compare && predicate >= 0 ? formsNamed((compare[1] as string) + (compare[3] as string)) : undefined
  return base ? { forms: base, operandSize: 0, predicate: BigInt(predicate) } : undefined
}

/** Known mnemonics within one edit of a wrong one, for hints. */
export function similarTo(word: string): string[] {
  if (!codesOf.size) index()
  const near = (a: string, b: string): boolean => {
    if (Math.abs(a.length - b.length) > 1 || a === b) return false
    let i = 0
    while (i < a.length && a[i] === b[i]) i++
    const [x, y] = [a.slice(i), b.slice(i)]
    return (
      x.slice(1) === y || y.slice(1) === x || x.slice(1) === y.slice(1) || (x[0] === y[1] && x[1] === y[0] && x.slice(2) === y.slice(2))
    )
  }
  return [...codesOf.keys(), ...ALIASES.keys()].filter((name) => near(word, name)).slice(0, 4)
}

// The SDM's opcode column, parsed once (SDM vol. 2 3.1.1.1; README.md, "Encoding").

export type MandatoryPrefix = '' | 'NP' | '66' | 'F2' | 'F3'
/** Immediates in order: i = operand size up to 32 bits, c = the same for displacements, mo = moffs. */
export type ImmediateKind = 'ib' | 'iw' | 'id' | 'io' | 'i' | 'cb' | 'cw' | 'cd' | 'c' | 'mo'

export interface Encoding {
  readonly prefix: MandatoryPrefix
  readonly rexW: boolean
  /** 0 one-byte, 1 0FH, 2 0F38H, 3 0F3AH. */
  readonly map: 0 | 1 | 2 | 3
  readonly opcode: number
  /** +r: the opcode's low three bits are a register. */
  readonly plusRegister: boolean
  /** ModRM: 'r' for /r, a digit for /0…/7, undefined for none or a literal. */
  readonly modrm: 'r' | number | undefined
  /** A literal ModRM byte, and whether its low three bits are a register (+i). */
  readonly literal: number | undefined
  readonly literalPlusIndex: boolean
  readonly immediates: readonly ImmediateKind[]
}

const IMMEDIATES = new Set(['ib', 'iw', 'id', 'io', 'i', 'cb', 'cw', 'cd', 'c', 'mo'])

/** Throws SyntaxError naming the encoding when it is not in the notation. */
export function parseEncoding(text: string): Encoding {
  const words = text.replace(/REX\.W( \+)?/, 'REX.W').split(' ').filter((w) => w !== '')
  let prefix: MandatoryPrefix = ''
  let rexW = false
  let at = 0
  for (; at < words.length; at++) {
    const w = words[at]!
    if (w === 'REX.W') rexW = true
    else if (w === 'NP' || ((w === '66' || w === 'F2' || w === 'F3') && words.length > at + 1 && /^([0-9A-F]{2}|REX\.W)/.test(words[at + 1]!))) prefix = w
    else break
  }
  const bytes: { value: number; suffix: string }[] = []
  for (; at < words.length; at++) {
    const m = /^([0-9A-F]{2})(\+r|\+i)?$/.exec(words[at]!)
    if (!m) break
    bytes.push({ value: parseInt(m[1]!, 16), suffix: m[2] ?? '' })
  }
  let modrm: Encoding['modrm']
  const immediates: ImmediateKind[] = []
  for (; at < words.length; at++) {
    const w = words[at]!
    const digit = /^\/([0-7r])$/.exec(w)
    if (digit) modrm = digit[1] === 'r' ? 'r' : Number(digit[1])
    else if (IMMEDIATES.has(w)) immediates.push(w as ImmediateKind)
    else throw new SyntaxError(`encoding "${text}": what is "${w}"?`)
  }
  let map: Encoding['map'] = 0
  let first = 0
  if (bytes[0]?.value === 0x0f && bytes.length > 1) {
    const second = bytes[1]!.value
    map = second === 0x38 && bytes.length > 2 ? 2 : second === 0x3a && bytes.length > 2 ? 3 : 1
    first = map === 1 ? 1 : 2
  }
  const opcode = bytes[first]
  const literal = bytes[first + 1]
  if (!opcode || bytes.length > first + 2) throw new SyntaxError(`encoding "${text}": opcode bytes`)
  return {
    prefix,
    rexW,
    map,
    opcode: opcode.value,
    plusRegister: opcode.suffix === '+r',
    modrm,
    literal: literal?.value,
    literalPlusIndex: literal?.suffix === '+i',
    immediates,
  }
}

/** Does the instruction have a ModRM byte? */
export const hasModrm = (e: Encoding): boolean => e.modrm !== undefined || e.literal !== undefined

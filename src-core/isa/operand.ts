// Operand names (README.md, "Operands") resolved for one operand size and one of the register and memory forms.

import { offsets } from './state.ts'
import * as R from '../arch/registers.ts'

export type Access = '' | '=' | '+' | '~' | '@'
/** Where an operand is: ModRM.reg or opcode register, ModRM.rm, memory, immediate, … */
export type Place =
  | 'reg' | 'rm' | 'memory' | 'moffs' | 'bitString' | 'address' | 'relative' | 'immediate' | 'one' | 'fixed' | 'counter' | 'source' | 'destination' | 'translation' | 'stackIndex'
export type File = 'gpr' | 'xmm' | 'mm' | 'sreg' | 'control'
/** How the value is represented in the emit context. */
export type Representation = 'integer' | 'v128' | 'f32' | 'f64' | 'pair' | 'm80'

export interface Operand {
  readonly access: Access
  readonly name: string
  readonly place: Place
  readonly file: File
  readonly representation: Representation
  /** Bits of the value. */
  readonly width: number
  /** Bits in memory. */
  readonly memoryWidth: number
  /** Offset in the processor block, for fixed registers. */
  readonly at: number
  /** A memory operand must be aligned to 16 bytes. */
  readonly aligned: boolean
  /** Immediate is 8 bits, sign-extended. */
  readonly signExtended8: boolean
  /** Narrower value in a 32-bit register: reads take the low part, writes zero-extend (PINSRB, PEXTRB). */
  readonly inRegister32: boolean
}

const gpr = (n: number): number => offsets.gpr + 8 * n
const FIXED: Record<string, [at: number, width: number]> = {
  '<rAX>': [gpr(R.RAX), 0], '<rCX>': [gpr(R.RCX), 0], '<rDX>': [gpr(R.RDX), 0], '<rBX>': [gpr(R.RBX), 0], '<rBP>': [gpr(R.RBP), 0],
  '<AL>': [gpr(R.RAX), 8], '<AH>': [gpr(R.RAX) + 1, 8], '<AX>': [gpr(R.RAX), 16], '<CL>': [gpr(R.RCX), 8], '<DX>': [gpr(R.RDX), 16],
  '<EAX>': [gpr(R.RAX), 32], '<ECX>': [gpr(R.RCX), 32], '<EDX>': [gpr(R.RDX), 32], '<EBX>': [gpr(R.RBX), 32],
  '<RAX>': [gpr(R.RAX), 64], '<RCX>': [gpr(R.RCX), 64], '<RDX>': [gpr(R.RDX), 64], '<RBX>': [gpr(R.RBX), 64],
  '<RBP>': [gpr(R.RBP), 64], '<RSP>': [gpr(R.RSP), 64], '<R11>': [gpr(R.R11), 64],
}

const SEGMENTS = ['<ES>', '<CS>', '<SS>', '<DS>', '<FS>', '<GS>']

/** Names whose operands have the operand size. */
export const variesWithSize = (name: string): boolean =>
  /^(r\/m|r|r\.rm|m\.W|r\/m:bit|imm|simm8|moffs|<r..>|<DS:rSI>|<ES:rDI>)$/.test(name)

export const accessOf = (text: string): Access => (/^[=+~@]/.test(text) ? (text[0] as Access) : '')
export const nameOf = (text: string): string => text.replace(/^[=+~@]/, '')

/** May ModRM.rm be a register here, memory here? Undefined: the operand is not ModRM.rm. */
export function rmForms(name: string): { register: boolean; memory: boolean } | undefined {
  if (/^(r\/m|xmm\/m|mm\/m|r32\/m)/.test(name)) return { register: true, memory: true }
  if (/\.rm(:|$)/.test(name)) return { register: true, memory: false }
  if (/^m(\d|\.W|$)/.test(name)) return { register: false, memory: true }
  return undefined
}

/** Throws SyntaxError for a name that is not in the notation. */
export function operand(text: string, size: number, memory: boolean): Operand {
  const access = accessOf(text)
  const name = nameOf(text)
  const base: Operand = {
    access, name, place: 'reg', file: 'gpr', representation: 'integer', width: size, memoryWidth: size, at: 0,
    aligned: false, signExtended8: false, inRegister32: false,
  }
  const fixed = FIXED[name]
  if (fixed) return { ...base, place: 'fixed', at: fixed[0], width: fixed[1] || size, memoryWidth: fixed[1] || size }
  const segment = SEGMENTS.indexOf(name)
  if (segment >= 0) return { ...base, place: 'fixed', file: 'sreg', at: offsets.segSelector + 4 * segment, width: 16, memoryWidth: 16 }
  if (name === 'CR' || name === 'DR') return { ...base, file: 'control', width: 64, memoryWidth: 64 }
  const rm = memory ? 'memory' : 'rm'
  const numbered = /^(r\/m|r|imm|moffs|m)(\d+)(\.rm|:r32)?$/.exec(name)
  if (numbered && name !== 'm128' && name !== 'm80') {
    const width = Number(numbered[2])
    const place: Place =
      numbered[1] === 'r/m' ? rm
      : numbered[1] === 'm' ? 'memory'
      : numbered[1] === 'imm' ? 'immediate'
      : numbered[1] === 'moffs' ? 'moffs'
      : numbered[3] === '.rm' ? 'rm'
      : 'reg'
    return { ...base, place, width, memoryWidth: width }
  }
  const vector = /^(xmm|mm)(\.rm|\/m(\d+)(u?))?(?::([fi])(\d+))?$/.exec(name)
  if (vector) {
    const file = vector[1] as File
    const inMemory = !!vector[3] && memory
    const lane = vector[6] ? Number(vector[6]) : 0
    const full = file === 'mm' ? 64 : 128
    const width = lane || (vector[3] && Number(vector[3]) < full && !vector[5] ? Number(vector[3]) : full)
    const representation: Representation = vector[5] === 'f' ? (lane === 32 ? 'f32' : 'f64') : width === 128 ? 'v128' : 'integer'
    const memoryWidth = vector[3] ? Number(vector[3]) : width
    return {
      ...base, file, representation, width, memoryWidth,
      place: inMemory ? 'memory' : vector[2] ? 'rm' : 'reg',
      aligned: memoryWidth === 128 && vector[4] !== 'u',
    }
  }
  switch (name) {
    case 'r/m': return { ...base, place: rm }
    case 'r': return base
    case 'r.rm': return { ...base, place: 'rm' }
    case 'm.W': return { ...base, place: 'memory' }
    case 'r/m:bit': return { ...base, place: memory ? 'bitString' : 'rm' }
    case 'imm': return { ...base, place: 'immediate' }
    case 'simm8': return { ...base, place: 'immediate', signExtended8: true }
    case 'moffs': return { ...base, place: 'moffs' }
    case 'm': return { ...base, place: 'address', width: 64 }
    case 'rel': return { ...base, place: 'relative', width: 64 }
    case '<STi>': return { ...base, place: 'stackIndex', width: 32 }
    case '1': return { ...base, place: 'one', width: 8 }
    case 'Sreg': return { ...base, file: 'sreg', width: 16, memoryWidth: 16 }
    case '<aCX>': return { ...base, place: 'counter', width: 64 }
    case '<DS:rSI>': return { ...base, place: 'source' }
    case '<ES:rDI>': return { ...base, place: 'destination' }
    case '<DS:rBX+AL>': return { ...base, place: 'translation', width: 8, memoryWidth: 8 }
    case 'm128': return { ...base, place: 'memory', representation: 'pair', width: 128, memoryWidth: 128 }
    case 'm80': return { ...base, place: 'memory', representation: 'm80', width: 80, memoryWidth: 80 }
    case 'm128:v':
    case 'm128u:v': return { ...base, place: 'memory', representation: 'v128', file: 'xmm', width: 128, memoryWidth: 128, aligned: name === 'm128:v' }
    case '<XMM0>': return { ...base, place: 'fixed', file: 'xmm', representation: 'v128', width: 128, memoryWidth: 128, at: offsets.xmm }
    case 'r32/m8': return { ...base, place: rm, width: 8, memoryWidth: 8, inRegister32: true }
    case 'r32/m16': return { ...base, place: rm, width: 16, memoryWidth: 16, inRegister32: true }
  }
  throw new SyntaxError(`operand "${text}" is not in the notation`)
}

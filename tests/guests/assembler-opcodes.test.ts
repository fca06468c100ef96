// Every opcode form that iced-x86 lists, in every mode: its text assembles, decodes to the same mnemonic, and what NASM's
// formatter makes of the bytes assembles to the same bytes again.
import {
  Code,
  CodeExt,
  Decoder,
  DecoderOptions,
  EncodingKind,
  Formatter,
  FormatterSyntax,
  MemorySizeExt,
  Mnemonic,
  OpCodeOperandKind as K,
} from 'iced-x86'
import { describe, expect, it } from 'vitest'
import { assemble } from '../../src-core/guests/assembler/assemble.ts'

const SIZE: Readonly<Record<number, string>> = {
  1: 'byte ',
  2: 'word ',
  4: 'dword ',
  6: 'fword ',
  8: 'qword ',
  10: 'tword ',
  16: 'oword ',
  32: 'yword ',
  64: 'zword ',
}

const REGISTER: Readonly<Record<string, string>> = {
  r8: 'cl',
  r16: 'cx',
  r32: 'ecx',
  r64: 'rcx',
  mm: 'mm1',
  xmm: 'xmm1',
  ymm: 'ymm1',
  zmm: 'zmm1',
  k: 'k1',
  kp1: 'k2',
  bnd: 'bnd1',
  tmm: 'tmm1',
  xmmp3: 'xmm4',
  zmmp3: 'zmm4',
}
const OTHER: Readonly<Record<string, string>> = {
  r8: 'dl',
  r16: 'dx',
  r32: 'edx',
  r64: 'rdx',
  mm: 'mm2',
  xmm: 'xmm2',
  ymm: 'ymm2',
  zmm: 'zmm2',
  k: 'k2',
  tmm: 'tmm2',
}
const THIRD: Readonly<Record<string, string>> = {
  r32: 'ebx',
  r64: 'rbx',
  xmm: 'xmm3',
  ymm: 'ymm3',
  zmm: 'zmm3',
  k: 'k3',
  tmm: 'tmm3',
  xmmp3: 'xmm4',
  zmmp3: 'zmm4',
}

/** A text for one operand kind; undefined for implied operands. */
function operand(kind: number, bits: number, memoryBytes: number, far: boolean, memory: boolean, nth: number): string | undefined {
  const name = K[kind] as string
  const address = bits === 64 ? '[rsi+8]' : bits === 32 ? '[esi+8]' : '[si+8]'
  const sized = `${far ? 'far ' : ''}${SIZE[memoryBytes] ?? ''}${address}`
  const choose = (register: string): string =>
    (nth === 0 ? REGISTER[register] : nth === 1 ? (OTHER[register] ?? REGISTER[register]) : (THIRD[register] ?? REGISTER[register])) ??
    `?${name}`
  if (IMPLIED.test(name)) return undefined
  if (name.startsWith('mem_vsib'))
    return `${SIZE[memoryBytes] ?? ''}[${bits === 64 ? 'rsi' : 'esi'}+${name.endsWith('x') ? 'xmm' : name.endsWith('y') ? 'ymm' : 'zmm'}5*4+8]`
  if (name === 'mem_mib' || name === 'sibmem') return bits === 64 ? '[rsi+rbx+8]' : '[esi+ebx+8]'
  if (name === 'mem_mpx') return bits === 64 ? '[rsi+8]' : '[esi+8]'
  if (name === 'mem_offs') return bits === 64 ? '[0x123456789abcd]' : '[0x1234]'
  if (name === 'mem') return sized
  const either = /^(\w+)_or_mem/.exec(name)?.[1]
  if (either) return memory ? (name.endsWith('mpx') && bits === 16 ? '[esi+8]' : sized) : choose(either)
  if (/^(r8|r16|r32|r64|mm|xmm|ymm|zmm|k|kp1|bnd|tmm|xmmp3|zmmp3)_/.test(name)) return choose(name.split('_')[0] as string)
  const fixed: Readonly<Record<string, string>> = {
    seg_reg: 'ds',
    cr_reg: 'cr3',
    dr_reg: 'dr6',
    tr_reg: 'tr6',
    sti_opcode: 'st2',
    imm4_m2z: '1',
    imm8_const_1: '1',
    imm8: '5',
    imm16: '0x1234',
    imm32: '0x12345678',
    imm32sex64: '0x12345678',
    imm64: '0x123456789abcdef0',
    farbr2_2: 'word 8:0x1234',
    farbr4_2: 'dword 8:0x12345678',
  }
  if (fixed[name]) return fixed[name]
  if (/^imm8sex/.test(name)) return '-5'
  if (/^br.*_1$/.test(name)) return 'short $+20'
  if (/^(br|xbegin)/.test(name)) return 'near $+2000'
  return name
}

const IMPLIED = /^(seg_r(SI|DI|BX)|es_rDI)/
/** 16-bit forms whose plain name follows the mode instead, as in the manual */
const NAMES: Readonly<Record<string, string>> = { pushf: 'pushfw', popf: 'popfw', pusha: 'pushaw', popa: 'popaw', iret: 'iretw' }
/**
 * Left out. VIA's, AMD's and withdrawn forms: their prefix or registers are part of the opcode. Second spellings of an
 * instruction on 16 bits, and far branches through m16:64: the formatter writes them like the first. MOVDIR64B, ENQCMD:
 * their address must have the register's width.
 */
const ODD =
  /^(Montmul|Xsha|Xcrypt|Xstore|Ccs_|Via_undoc|Invlpga|Ud0$|Popw_CS|Arpl_r32m16|(Lkgs|Lldt|Ltr|Lmsw|Verr|Verw)_r(32|64)m16|(Call|Jmp)_m1664|Getsecq|(Enqcmds?|Movdir64b)_r(16|32))/

interface Opcode {
  readonly code: number
  readonly name: string
  readonly mnemonic: number
  readonly kinds: readonly number[]
  readonly bytes: number
  readonly far: boolean
  readonly needsMask: boolean
  readonly modes: readonly number[]
}

const opcodes: Opcode[] = []
for (const [name, code] of Object.entries(Code)) {
  if (typeof code !== 'number') continue
  const o = CodeExt.opCode(code)
  const kinds = [o.op0Kind, o.op1Kind, o.op2Kind, o.op3Kind, o.op4Kind].slice(0, o.opCount)
  const size = MemorySizeExt.size(o.memorySize)
  const far = o.memorySize >= 16 && o.memorySize <= 18
  // left out: forms behind a decoder option (withdrawn extensions), Knights Corner, reserved NOPs, pseudo-instructions
  if (
    o.isInstruction &&
    !o.isReservedNop &&
    o.encoding !== EncodingKind.MVEX &&
    o.decoderOption === 0 &&
    !/^(INVALID|Declare)/.test(name) &&
    !ODD.test(name)
  )
    opcodes.push({
      code,
      name,
      mnemonic: o.mnemonic,
      kinds,
      bytes: far ? (o.memorySize === 16 ? 2 : o.memorySize === 17 ? 4 : 8) : size,
      far,
      needsMask: o.requireOpMaskRegister && o.encoding === EncodingKind.EVEX,
      modes: [16, 32, 64].filter((b) => o.isAvailableInMode(b)),
    })
  o.free()
}

function decode(bytes: Uint8Array, bits: number): { mnemonic: number; text: string; length: number } {
  const decoder = new Decoder(bits, bytes, DecoderOptions.None)
  decoder.ip = 0x1000n
  const instruction = decoder.decode()
  const formatter = new Formatter(FormatterSyntax.Nasm)
  formatter.hexPrefix = '0x'
  formatter.hexSuffix = ''
  formatter.usePseudoOps = false
  const made = { mnemonic: instruction.mnemonic, text: formatter.format(instruction), length: instruction.length }
  formatter.free()
  instruction.free()
  decoder.free()
  return made
}

const bytesOf = (text: string, bits: number): Uint8Array => assemble(text, { bits: bits as 16 | 32 | 64, origin: 0x1000n }).flat()

describe.each([64, 32, 16])('in %i-bit code', (bits) => {
  it('assembles every opcode, and what the bytes read as again', () => {
    const wrong: string[] = []
    let done = 0
    for (const o of opcodes) {
      if (!o.modes.includes(bits)) continue
      for (const memory of [false, true]) {
        if (memory && !o.kinds.some((k) => /_or_mem/.test(K[k] ?? ''))) continue
        const written = o.kinds.map((k, n) => operand(k, bits, o.bytes, o.far, memory, n)).filter((x) => x !== undefined)
        if (o.needsMask) written[0] += '{k1}'
        const pushed = /^Push([wd])_imm/.exec(o.name)?.[1]
        if (pushed) written[0] = `${pushed === 'w' ? 'word' : 'dword'} ${written[0]}`
        const implied = o.kinds.some((k) => IMPLIED.test(K[k] ?? '')) && !/maskmov/i.test(o.name)
        const mnemonic = (Mnemonic[o.mnemonic] as string).toLowerCase()
        const text = `${NAMES[mnemonic] ?? mnemonic} ${implied ? '' : written.join(', ')}`
        try {
          const bytes = bytesOf(text, bits)
          // FSTCW and the like are FWAIT and the rest (SDM volume 2, FSTCW)
          const read = decode(
            /^F(stcw|eni|disi|clex|init|setpm|save|stsw|stenv)/.test(o.name) && !/^Fn/.test(o.name) ? bytes.subarray(1) : bytes,
            bits,
          )
          done++
          if (bytes[0] === 0x9b && o.mnemonic !== Mnemonic.Wait) continue
          if (read.mnemonic !== o.mnemonic || read.length !== bytes.length)
            wrong.push(`${o.name}: ${text} → ${Buffer.from(bytes).toString('hex')} reads ${read.text}`)
          else {
            const again = bytesOf(read.text, bits)
            // a shorter form that reads the same is what the text now asks for; XCHG is symmetric
            const same = decode(again, bits)
            if (again.length > bytes.length || (same.text !== read.text && o.mnemonic !== Mnemonic.Xchg))
              wrong.push(
                `${o.name}: ${text} → ${Buffer.from(bytes).toString('hex')}, but ${read.text} → ${Buffer.from(again).toString('hex')}`,
              )
          }
        } catch (reason) {
          wrong.push(`${o.name}: ${text}: ${(reason as Error).message}`)
        }
      }
    }
    expect(wrong).toEqual([])
    expect(done).toBeGreaterThan(7000)
  })
})

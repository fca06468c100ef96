// iced-x86's list of legacy-encoded opcodes, in the terms of our table: an independent statement of what must exist.

import { Code, CodeExt, CpuidFeature, EncodingKind, Instruction } from 'iced-x86'

export interface Opcode {
  /** iced-x86's identifier, Add_rm16_imm8. */
  readonly name: string
  /** "o16 83 /0 ib" and "ADD r/m16, imm8". */
  readonly opcode: string
  readonly text: string
  /** CPUID features, "SSE2" or "FPU+CMOV"; the processor generation for older ones. */
  readonly features: string
  readonly mode32: boolean
  readonly mode64: boolean
  readonly lock: boolean
  /** A WAIT (9BH) and another instruction under one name. */
  readonly withWait: boolean
  // The opcode column, taken apart.
  readonly prefix: string
  readonly operandSize: 0 | 16 | 32 | 64
  /** Opcode bytes, a literal ModRM byte included; "+r" and "+i" without their size. */
  readonly bytes: string
  readonly modrm: string
  readonly immediates: string
}

/** Takes an opcode column apart. Throws SyntaxError for a word it does not know. */
export function column(opcode: string): Pick<Opcode, 'prefix' | 'operandSize' | 'bytes' | 'modrm' | 'immediates'> {
  let prefix = ''
  let operandSize: Opcode['operandSize'] = 0
  const bytes: string[] = []
  let modrm = ''
  const immediates: string[] = []
  const words = opcode.split(' ')
  words.forEach((w, i) => {
    if (/^o(16|32|64)$/.test(w)) operandSize = Number(w.slice(1)) as Opcode['operandSize']
    else if (/^a(16|32|64)$/.test(w)) return
    else if (bytes.length === 0 && /^(NP|66|F2|F3)$/.test(w) && /^(o\d\d|[0-9A-F]{2}(\+.*)?)$/.test(words[i + 1] ?? '')) prefix = w
    else if (/^[0-9A-F]{2}$/.test(w)) bytes.push(w)
    else if (/^[0-9A-F]{2}\+(r[bwdo]|i)$/.test(w)) bytes.push(w.slice(0, 4))
    else if (/^\/[r0-7]$/.test(w)) modrm = w
    else if (/^(i[bwdo]|c[bwdp]|mo)$/.test(w)) immediates.push(w)
    else throw new SyntaxError(`"${opcode}": what is "${w}"?`)
  })
  return { prefix, operandSize, bytes: bytes.join(' '), modrm, immediates: immediates.join(' ') }
}

/** All legacy-encoded (not VEX, EVEX, XOP, 3DNow!) instructions whose features `offered` accepts. */
export function opcodes(offered: (features: string) => boolean): Opcode[] {
  const out: Opcode[] = []
  for (const [name, code] of Object.entries(Code)) {
    if (typeof code !== 'number') continue
    const info = CodeExt.opCode(code)
    const instruction = new Instruction()
    instruction.code = code
    const features = [...instruction.cpuidFeatures()].map((f) => CpuidFeature[f]).join('+')
    if (info.isInstruction && info.encoding === EncodingKind.Legacy && offered(features)) {
      const taken = info.fwait ? { prefix: '', operandSize: 0 as const, bytes: '', modrm: '', immediates: '' } : column(info.opCodeString)
      out.push({
        name,
        opcode: info.opCodeString,
        text: info.instructionString,
        features,
        mode32: info.mode32,
        mode64: info.mode64,
        lock: info.canUseLockPrefix,
        withWait: info.fwait,
        ...taken,
      })
    }
    instruction.free()
    info.free()
  }
  return out
}

/** The feature sets that iced-x86 gives to legacy-encoded instructions. */
export function featureSets(): string[] {
  const seen = new Set<string>()
  opcodes((features) => {
    seen.add(features)
    return false
  })
  return [...seen].sort()
}

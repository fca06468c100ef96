// Which of iced-x86's opcodes the oracle records: legacy-encoded, 64-bit mode, x86-64-v2, executable at CPL 3.
// What is left out of that set is named here with its reason.
import { Code, CpuidFeature, EncodingKind, Instruction, Mnemonic, OpCodeOperandKind as Kind, type OpCodeInfo } from 'iced-x86'

export type Family = 'integer' | 'x87' | 'mmx' | 'sse' | 'sse2' | 'sse3' | 'sse4'

// prettier-ignore
const familyOf: Record<string, Family> = {
  INTEL8086: 'integer', INTEL186: 'integer', INTEL286: 'integer', INTEL386: 'integer', INTEL486: 'integer', X64: 'integer',
  PAUSE: 'integer', CMOV: 'integer', CX8: 'integer', CMPXCHG16B: 'integer', MULTIBYTENOP: 'integer', POPCNT: 'integer',
  FSGSBASE: 'integer', CLFSH: 'integer', FPU: 'x87', FPU287: 'x87', FPU387: 'x87', 'FPU+CMOV': 'x87', 'FPU+SSE3': 'x87', FXSR: 'x87',
  MMX: 'mmx', SSE: 'sse', SSE2: 'sse2', SSE3: 'sse3', SSSE3: 'sse3', SSE4_1: 'sse4', SSE4_2: 'sse4',
}

/** Codes inside the set above that are not recorded: a pattern over the code's name, and why. */
export const excluded: readonly (readonly [RegExp, string])[] = [
  [/^(Int|Int1|Int3|Into)(_|$)/, 'enters the host kernel through its IDT'],
  [/^(Call_ptr|Call_m16(16|32|64)|Jmp_ptr|Jmp_m16(16|32|64)|Retf|Iret)/, 'far transfer: outcome depends on the host kernel’s GDT'],
  [/^(L[dfges]s|Lss)_|^Mov_Sreg_|^Pop[wqd]_[FGDES]S$/, 'segment load: outcome depends on the host kernel’s GDT'],
  [/^(Lar|Lsl|Verr|Verw)_/, 'reads descriptors of the host kernel’s GDT'],
  [/^(Sgdt|Sidt|Sldt|Str|Smsw)(_|$)/, 'UMIP: the host kernel emulates it or refuses it'],
  [/^(In|Out|Ins[bwd]|Outs[bwd])_/, 'port access: permission bitmap and ports belong to the host'],
  [/^(Cli|Sti)$/, 'IOPL-sensitive: the host decides whether VME-style virtual interrupts apply'],
  [/^Bswap_r16$/, 'result is undefined (SDM, BSWAP)'],
]

export interface Opcode {
  code: Code
  /** iced-x86's name of the code */
  name: string
  mnemonic: string
  family: Family
  /** OpCodeOperandKind of each operand */
  kinds: Kind[]
  info: OpCodeInfo
}

const whole = (info: OpCodeInfo): string | null => {
  if (info.mustBeCpl0 || !info.cpl3) return 'privileged: #GP at CPL 3 whatever its operands, tested with the system instructions'
  if (info.fwait) return 'FWAIT and the no-wait form, two instructions, each recorded by itself'
  if (!info.intelDecoder64) return 'decoded by AMD processors only (66H on a near branch)'
  if (info.decoderOption !== 0 || info.isReservedNop) return 'obsolete or vendor encoding behind a decoder option'
  return null
}

/** Every code of the set, split into those to record and those left out with the reason. */
export function opcodes(): { recorded: Opcode[]; left: { name: string; reason: string }[] } {
  const recorded: Opcode[] = []
  const left: { name: string; reason: string }[] = []
  for (const [name, code] of Object.entries(Code) as [string, Code][]) {
    if (typeof code !== 'number' || name === 'INVALID' || name.startsWith('Declare')) continue
    const instruction = new Instruction()
    instruction.code = code
    const info = instruction.opCode
    const family = familyOf[Array.from(instruction.cpuidFeatures(), (f) => CpuidFeature[f]).join('+')]
    const mnemonic = Mnemonic[info.mnemonic]!
    instruction.free()
    if (family === undefined || !info.mode64 || info.encoding !== EncodingKind.Legacy || !info.isInstruction) continue
    const reason = whole(info) ?? excluded.find(([pattern]) => pattern.test(name))?.[1]
    if (reason !== undefined) left.push({ name, reason })
    else recorded.push({ code, name, mnemonic, family, kinds: Array.from({ length: info.opCount }, (_, i) => info.opKind(i)), info })
  }
  return { recorded, left }
}

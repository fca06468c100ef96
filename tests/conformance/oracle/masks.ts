// What of an outcome is not compared, and what is compared within bounds: flags the SDM leaves undefined (from
// iced-x86, sharpened by the shift count), stored fields the makers fill differently, approximated results.
// Then the recorded outcomes in which an AMD processor does otherwise than the SDM says, one by one (`makersDiffer`).
import { Mnemonic, RflagsBits, type Instruction } from 'iced-x86'
import type { Difference } from './compare.ts'
import type { Vector } from './format.ts'
import { flagBits, layout, type Case, type Outcome } from './machine.ts'

/** Bits that count as undefined, and memory that is not compared. */
export interface Masks {
  /** RFLAGS bits not compared */
  rflags: number
  /** x87 status word bits not compared */
  fsw: number
  /** offsets into the data pages not compared */
  ignored: { offset: number; length: number }[]
}

/** How a destination is compared. `relative`: error against the recorded value, per lane or of ST0, ST1. */
export interface Tolerance {
  target: 'singles' | 'st'
  relative: number
  /** absolute part, as a fraction of |ST0| before the instruction: argument reduction with a 66-bit π (SDM vol. 1, 8.3.8) */
  ofArgument?: number
}

export const knownDifferences: readonly string[] = [
  'RCPPS RCPSS RSQRTPS RSQRTSS: any result within 1.5·2^-12 of the exact one is right (SDM); two such results may be 3·2^-12 apart.',
  'FSIN FCOS FSINCOS FPTAN FPATAN F2XM1 FYL2X FYL2XP1: results differ in the last bits (SDM vol. 1, 8.3.10: within 1 ulp); C1 (rounding direction) and PE are not compared.',
  'FCMOVcc, FCOMI, FCOMIP, FUCOMI, FUCOMIP: the SDM says what C1 becomes on stack underflow only; AMD keeps it otherwise; not compared.',
  'BSF and BSR of zero: SDM calls the destination undefined; AMD documents it unchanged, upper half included, and Intel parts do the same.',
  'FIP, FDP, FOP, FCS, FDS: AMD stores them only while an exception is pending; stored images are not compared there.',
  'FXSAVE: MXCSR_MASK has bit 17 on AMD (misaligned SSE), bytes 416–511 are the processor’s; neither is compared. LDMXCSR never tries bit 17.',
  'Near branches with 66H: AMD truncates RIP to 16 bits, Intel ignores the prefix; not recorded.',
  'UD0 without ModRM is an AMD reading; only the forms with ModRM are recorded.',
  'A page fault of a masked-off MASKMOVDQU or MASKMOVQ byte, and bytes stored by FNSAVE, FNSTENV, FXSAVE before a fault, are the processor’s choice; not tried.',
  'ENTER that faults: frame words pushed below RSP before the fault may stay in memory (AMD leaves them); 272 bytes below RSP are not compared.',
  'CVTPS2PI and its kin with an unmasked SIMD exception: whether the transition to MMX state has happened is the processor’s choice; not tried.',
  'SYSRET, SYSCALL in compatibility mode, segment limits in 64-bit mode: makers differ; none of it runs in this oracle.',
]

// prettier-ignore
const rflagsOf: readonly (readonly [RflagsBits, number])[] = [
  [RflagsBits.CF, flagBits.CF], [RflagsBits.PF, flagBits.PF], [RflagsBits.AF, flagBits.AF], [RflagsBits.ZF, flagBits.ZF],
  [RflagsBits.SF, flagBits.SF], [RflagsBits.OF, flagBits.OF], [RflagsBits.DF, flagBits.DF], [RflagsBits.AC, flagBits.AC],
]
// prettier-ignore
const fswOf: readonly (readonly [RflagsBits, number])[] = [
  [RflagsBits.C0, 0x100], [RflagsBits.C1, 0x200], [RflagsBits.C2, 0x400], [RflagsBits.C3, 0x4000],
]
const bitsOf = (map: readonly (readonly [RflagsBits, number])[], set: number): number =>
  map.reduce((n, [bit, own]) => (set & bit ? n | own : n), 0)

const transcendental = /^F(sin|cos|sincos|ptan|patan|2xm1|yl2x|yl2xp1)$/

/** Shift and rotate counts decide which flags are undefined (SDM, SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD). */
function shiftFlags(mnemonic: string, c: Case, i: Instruction): number | null {
  if (!/^(Sal|Shl|Shr|Sar|Rol|Ror|Rcl|Rcr|Shld|Shrd)$/.test(mnemonic)) return null
  const bits = Number(/_rm(\d+)/.exec(c.code)![1]!)
  const raw = c.code.endsWith('_CL')
    ? Number(c.state.gpr[1]! & 0xffn)
    : c.code.endsWith('_1')
      ? 1
      : Number(i.immediate(i.opCount - 1) & 0xffn)
  const count = raw & (bits === 64 ? 63 : 31)
  if (count === 0) return 0
  const rotate = mnemonic.startsWith('R')
  const beyond = count >= bits && /^(Shl|Sal|Shr)$/.test(mnemonic) ? flagBits.CF : 0
  return (rotate ? 0 : flagBits.AF) | beyond | (count === 1 ? 0 : flagBits.OF)
}

// prettier-ignore
const storedFields: readonly (readonly [RegExp, readonly (readonly [number, number])[]])[] = [
  [/^Fxsave/, [[6, 18], [28, 4], [416, 96]]],
  [/^(Fnstenv|Fstenv)_m28|^Fnsave_m108/, [[12, 16]]],
  [/^(Fnstenv|Fstenv)_m14|^Fnsave_m94/, [[6, 8]]],
]

/** The part of a range of linear addresses that lies in the data pages. */
function clip(at: bigint, length: number): { offset: number; length: number }[] {
  const from = Number(at) - layout.data
  const offset = Math.max(0, from)
  const end = Math.min(layout.dataSize, from + length)
  return end > offset ? [{ offset, length: end - offset }] : []
}

/** Masks of one recorded case. `i` is the case's decoded instruction, `at` the linear address of its memory operand if it has one. */
export function masksOf(c: Case, o: Outcome, i: Instruction, at: bigint | undefined): Masks {
  const mnemonic = Mnemonic[i.mnemonic]!
  const faulted = o.vector !== null
  if (faulted && mnemonic === 'Enter') return { rflags: 0, fsw: 0, ignored: clip(c.state.gpr[4]! - 272n, 272) }
  if (faulted && o.vector !== 0) return { rflags: 0, fsw: 0, ignored: [] }
  const undefinedBits = i.rflagsUndefined
  const rflags = shiftFlags(mnemonic, c, i) ?? bitsOf(rflagsOf, undefinedBits)
  const fsw = bitsOf(fswOf, undefinedBits) | (transcendental.test(mnemonic) ? 0x220 : 0) | (/^F(cmov|u?comip?$)/.test(mnemonic) ? 0x200 : 0)
  const fields = storedFields.find(([pattern]) => pattern.test(c.code))?.[1] ?? []
  const ignored = at === undefined ? [] : fields.flatMap(([offset, length]) => clip(at + BigInt(offset), length))
  return { rflags, fsw, ignored }
}

export function toleranceOf(code: string): Tolerance | null {
  if (/^R(cp|sqrt)[ps]s_/.test(code)) return { target: 'singles', relative: 3 * 2 ** -12 }
  if (!transcendental.test(code.split('_')[0]!)) return null
  return { target: 'st', relative: 2 ** -61, ...(/^F(sin|cos|sincos|ptan)/.test(code) ? { ofArgument: 2 ** -64 } : {}) }
}

/** An outcome on which the recording processor (AMD) and the SDM disagree, or which the SDM leaves open as a whole. */
export interface MakersDiffer {
  readonly code: RegExp
  /** What differs, with the SDM's word on it. */
  readonly reason: string
  /** Too rare to be among the committed vectors. */
  readonly rare?: true
  /** Is this difference that one? `actual`: what the executor did; all differences of the case must be accepted. */
  readonly accepts: (v: Vector, d: Difference, all: readonly Difference[]) => boolean
}

const countOf = (c: Case): number => {
  const raw = c.code.endsWith('_CL') ? Number(c.state.gpr[1]! & 0xffn) : c.bytes[c.bytes.length - 1]!
  return raw & 31
}
/** The x87 invalid-operation exception is raised and not masked. */
const unmaskedInvalid = (v: Vector): boolean => (v.outcome.state.fsw & 1) !== 0 && (v.outcome.state.fcw & 1) === 0

export const makersDiffer: readonly MakersDiffer[] = [
  {
    code: /^Movsxd_r16_rm16$/,
    reason:
      'MOVSXD r16, m16: reads a word (SDM 2B MOVSXD, 63 /r with r16, r/m16); AMD reads a doubleword, which can fault where the word does not',
    accepts: (v, _d, all) =>
      (v.outcome.vector === 14 || v.outcome.vector === 17) && all.some((d) => d.what === 'outcome' && d.actual === 'completed'),
  },
  {
    code: /^(Pop_rm|Push_rm|Call_rm|Movs[bwdq]_|Cmps[bwdq]_)/,
    reason:
      'two memory operands, one misaligned, one in an absent page: page faults precede alignment checks (SDM 3A table 6-2); AMD goes by operand',
    rare: true,
    accepts: (v, _d, all) => v.outcome.vector === 17 && all.some((d) => d.what === 'outcome' && d.actual.startsWith('#PF')),
  },
  {
    code: /^Ud[01]_/,
    reason: 'UD0, UD1 cut off behind the opcode: the fetch of the rest faults first (SDM 2B UD); AMD does not fetch it',
    rare: true,
    accepts: (v, _d, all) => v.outcome.vector === 6 && all.some((d) => d.what === 'outcome' && d.actual === '#PF(14)'),
  },
  {
    code: /./,
    reason: 'a page fault far from the case: the recorder’s own process happens to have a page there, so that bit P is set',
    rare: true,
    accepts: (v, d, all) =>
      all.length === 1 &&
      v.outcome.vector === 14 &&
      (v.outcome.errorCode & 1) === 1 &&
      d.actual === `#PF(${(v.outcome.errorCode - 1).toString(16)})` &&
      v.outcome.cr2 >> 20n !== BigInt(layout.data >>> 20) &&
      v.outcome.cr2 >> 20n !== BigInt(layout.code >>> 20),
  },
  {
    code: /^Cmps[bwdq]_/,
    reason: 'CMPS with both operands in absent pages: which one CR2 names is open (SDM 3A 6.9 orders kinds of faults, not operands)',
    accepts: (v, d, all) => v.outcome.vector === 14 && d.what === 'CR2' && all.length === 1,
  },
  {
    code: /^(Shld|Shrd)_rm16_r16_/,
    reason: 'SHLD, SHRD r/m16 by more than 16: result and flags are undefined (SDM 2B SHLD, SHRD)',
    accepts: (v, d) => v.outcome.vector === null && countOf(v.case) > 16 && !/^(outcome|RIP|CR2|MXCSR|F..|ST\d|XMM\d+)$/.test(d.what),
  },
  {
    code: /^F(u)?comip?_/,
    reason: 'FCOMI and kin with unmasked #IA: ZF PF CF are set only if the exception is masked (SDM 2A FCOMI); AMD sets them',
    accepts: (v, d) => unmaskedInvalid(v) && /^RFLAGS \((ZF|PF|CF| )+\)$/.test(d.what),
  },
  {
    code: /^Cvtpi2ps_/,
    reason: 'CVTPI2PS xmm, m64: the transition to MMX state comes whatever the source (SDM 2A CVTPI2PS, unlike CVTPI2PD); AMD has none',
    accepts: (_v, d, all) => /^(FSW|FTW|ST\d)$/.test(d.what) || all.some((x) => x.what === 'outcome' && x.actual === '#MF(0)'),
  },
]

/** Why all of a case's differences are accepted, or undefined. */
export function acceptedReason(v: Vector, all: readonly Difference[]): string | undefined {
  return makersDiffer.find((m) => m.code.test(v.case.code) && all.every((d) => m.accepts(v, d, all)))?.reason
}

// Does a written operand fit an operand kind of an opcode form? SDM volume 2A 3.1.1.3 names the kinds.
import { OpCodeOperandKind as K, OpKind, Register } from './iced.ts'
import { numberWithin, widthOf, type Width } from './registers.ts'

/** An operand with its expressions worked out. */
export type Written =
  | { readonly kind: 'register'; readonly register: number; readonly size: number }
  | {
      readonly kind: 'immediate'
      readonly value: bigint
      readonly address: boolean
      readonly distance: '' | 'short' | 'near'
      readonly size: number
    }
  | {
      readonly kind: 'memory'
      readonly base: number
      readonly index: number
      readonly scale: number
      readonly segment: number
      readonly displacement: bigint
      readonly address: boolean
      readonly relative: boolean
      readonly broadcast: boolean
      readonly far: boolean
      readonly size: number
    }
  | { readonly kind: 'far'; readonly selector: bigint; readonly offset: bigint; readonly size: number }

export type Rule =
  | { readonly is: 'register'; readonly width: Width; readonly only?: number }
  | { readonly is: 'memory'; readonly width?: Width; readonly vector?: Width }
  | { readonly is: 'offset' }
  /** `fits` bits, sign-extended to `to` bits; opKind for iced-x86 */
  | { readonly is: 'immediate'; readonly fits: number; readonly to: number; readonly only?: bigint; readonly opKind: number }
  | { readonly is: 'branch'; readonly code: number; readonly bytes: number; readonly opKind: number }
  | { readonly is: 'far'; readonly bits: number }
  | { readonly is: 'implied'; readonly pointer: 'si' | 'di' | 'es' | 'bx' }

const RULES = new Map<number, Rule>()
const register = (width: Width, ...kinds: number[]): void => kinds.forEach((k) => RULES.set(k, { is: 'register', width }))
const fixed = (width: Width, kind: number, only: number): Map<number, Rule> => RULES.set(kind, { is: 'register', width, only })
const memory = (width: Width | undefined, ...kinds: number[]): void =>
  kinds.forEach((k) => RULES.set(k, width ? { is: 'memory', width } : { is: 'memory' }))
const immediate = (kind: number, fits: number, to: number, opKind: number, only?: bigint): Map<number, Rule> =>
  RULES.set(kind, { is: 'immediate', fits, to, opKind, ...(only === undefined ? {} : { only }) })
const branch = (kind: number, code: number, bytes: number, opKind: number): Map<number, Rule> =>
  RULES.set(kind, { is: 'branch', code, bytes, opKind })

register('8', K.r8_reg, K.r8_opcode)
register('16', K.r16_reg, K.r16_reg_mem, K.r16_rm, K.r16_opcode)
register('32', K.r32_reg, K.r32_reg_mem, K.r32_rm, K.r32_opcode, K.r32_vvvv)
register('64', K.r64_reg, K.r64_reg_mem, K.r64_rm, K.r64_opcode, K.r64_vvvv)
register('segment', K.seg_reg)
register('k', K.k_reg, K.kp1_reg, K.k_rm, K.k_vvvv)
register('mm', K.mm_reg, K.mm_rm)
register('xmm', K.xmm_reg, K.xmm_rm, K.xmm_vvvv, K.xmmp3_vvvv, K.xmm_is4, K.xmm_is5)
register('ymm', K.ymm_reg, K.ymm_rm, K.ymm_vvvv, K.ymm_is4, K.ymm_is5)
register('zmm', K.zmm_reg, K.zmm_rm, K.zmm_vvvv, K.zmmp3_vvvv)
register('cr', K.cr_reg)
register('dr', K.dr_reg)
register('tr', K.tr_reg)
register('bnd', K.bnd_reg)
register('st', K.sti_opcode)
register('tmm', K.tmm_reg, K.tmm_rm, K.tmm_vvvv)
fixed('segment', K.es, Register.ES)
fixed('segment', K.cs, Register.CS)
fixed('segment', K.ss, Register.SS)
fixed('segment', K.ds, Register.DS)
fixed('segment', K.fs, Register.FS)
fixed('segment', K.gs, Register.GS)
fixed('8', K.al, Register.AL)
fixed('8', K.cl, Register.CL)
fixed('16', K.ax, Register.AX)
fixed('16', K.dx, Register.DX)
fixed('32', K.eax, Register.EAX)
fixed('64', K.rax, Register.RAX)
fixed('st', K.st0, Register.ST0)
memory(undefined, K.mem, K.mem_mpx, K.mem_mib, K.sibmem)
memory('8', K.r8_or_mem)
memory('16', K.r16_or_mem)
memory('32', K.r32_or_mem, K.r32_or_mem_mpx)
memory('64', K.r64_or_mem, K.r64_or_mem_mpx)
memory('mm', K.mm_or_mem)
memory('xmm', K.xmm_or_mem)
memory('ymm', K.ymm_or_mem)
memory('zmm', K.zmm_or_mem)
memory('bnd', K.bnd_or_mem_mpx)
memory('k', K.k_or_mem)
for (const kind of [K.mem_vsib32x, K.mem_vsib64x]) RULES.set(kind, { is: 'memory', vector: 'xmm' })
for (const kind of [K.mem_vsib32y, K.mem_vsib64y]) RULES.set(kind, { is: 'memory', vector: 'ymm' })
for (const kind of [K.mem_vsib32z, K.mem_vsib64z]) RULES.set(kind, { is: 'memory', vector: 'zmm' })
RULES.set(K.mem_offs, { is: 'offset' })
immediate(K.imm4_m2z, 4, 4, OpKind.Immediate8)
immediate(K.imm8, 8, 8, OpKind.Immediate8)
immediate(K.imm8_const_1, 8, 8, OpKind.Immediate8, 1n)
immediate(K.imm8sex16, 8, 16, OpKind.Immediate8to16)
immediate(K.imm8sex32, 8, 32, OpKind.Immediate8to32)
immediate(K.imm8sex64, 8, 64, OpKind.Immediate8to64)
immediate(K.imm16, 16, 16, OpKind.Immediate16)
immediate(K.imm32, 32, 32, OpKind.Immediate32)
immediate(K.imm32sex64, 32, 64, OpKind.Immediate32to64)
immediate(K.imm64, 64, 64, OpKind.Immediate64)
branch(K.br16_1, 16, 1, OpKind.NearBranch16)
branch(K.br32_1, 32, 1, OpKind.NearBranch32)
branch(K.br64_1, 64, 1, OpKind.NearBranch64)
branch(K.br16_2, 16, 2, OpKind.NearBranch16)
branch(K.br32_4, 32, 4, OpKind.NearBranch32)
branch(K.br64_4, 64, 4, OpKind.NearBranch64)
branch(K.xbegin_2, 16, 2, OpKind.NearBranch32)
branch(K.xbegin_4, 0, 4, OpKind.NearBranch32)
branch(K.brdisp_2, 16, 2, OpKind.NearBranch16)
branch(K.brdisp_4, 32, 4, OpKind.NearBranch32)
RULES.set(K.farbr2_2, { is: 'far', bits: 16 })
RULES.set(K.farbr4_2, { is: 'far', bits: 32 })
RULES.set(K.seg_rSI, { is: 'implied', pointer: 'si' })
RULES.set(K.es_rDI, { is: 'implied', pointer: 'es' })
RULES.set(K.seg_rDI, { is: 'implied', pointer: 'di' })
RULES.set(K.seg_rBX_al, { is: 'implied', pointer: 'bx' })

export const ruleOf = (kind: number): Rule | undefined => RULES.get(kind)

export const isImplied = (kind: number): boolean => RULES.get(kind)?.is === 'implied'

/** Does `value` fit in `fits` bits, sign-extended to `to`? Either sign's reading of a `to`-bit number counts. */
export function fitsImmediate(value: bigint, fits: number, to: number): boolean {
  if (value < -(1n << BigInt(to - 1)) || value >= 1n << BigInt(to)) return false
  if (fits === to) return true
  const signed = BigInt.asIntN(to, value)
  return signed >= -(1n << BigInt(fits - 1)) && signed < 1n << BigInt(fits - 1)
}

/** By class alone; immediates and branch distances are judged by `fitsImmediate` and by layout. */
export function matches(rule: Rule, w: Written, bits: number): boolean {
  switch (rule.is) {
    case 'register':
      return w.kind === 'register' && widthOf(w.register) === rule.width && (!rule.only || rule.only === w.register)
    case 'memory':
      if (w.kind === 'register') return rule.width !== undefined && widthOf(w.register) === rule.width
      if (w.kind !== 'memory') return false
      if (rule.vector) return widthOf(w.index) === rule.vector
      return !/mm$/.test(widthOf(w.index))
    case 'offset':
      // in 64-bit code only for addresses that 32 sign-extended bits cannot reach
      return w.kind === 'memory' && !w.base && !w.index && !w.relative && (bits !== 64 || !fitsImmediate(w.displacement, 32, 64))
    case 'immediate':
      if (w.kind !== 'immediate' || w.distance) return false
      if (w.size && w.size * 8 !== rule.fits && w.size * 8 !== rule.to) return false
      if (rule.only !== undefined) return w.value === rule.only && !w.address
      return !(w.address && rule.fits === 8 && rule.to !== 8)
    case 'branch': {
      if (w.kind !== 'immediate') return false
      const wanted = w.size ? w.size * 8 : bits
      if (rule.code !== 0 && rule.code !== wanted && !(rule.opKind === OpKind.NearBranch32 && rule.code === 16 && wanted === 16))
        return false
      if (rule.code === 0 && wanted === 16) return false
      return w.distance === '' || (w.distance === 'short') === (rule.bytes === 1)
    }
    case 'far':
      return w.kind === 'far' && (w.size ? w.size * 8 : bits === 16 ? 16 : 32) === rule.bits
    case 'implied':
      return false
  }
}

/** High-byte registers cannot be named beside a REX prefix; only 64-bit code has R8…R15, CR8 and the like. */
export function needs64(register: number): boolean {
  const width = widthOf(register)
  if (width === '64') return true
  if (width === '8') return register >= Register.SPL
  return ['16', '32', 'xmm', 'ymm', 'zmm', 'cr', 'dr'].includes(width) && numberWithin(register) >= 8
}

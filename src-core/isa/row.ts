// One row states one instruction: encoding, operands, meaning (README.md). Operand strings are parsed by the type checker.

import type { E } from './context.ts'
import type { Addr, Done, F32, F64, If, M80, OpSize, Pair, V128, Val } from './value.ts'

type Digits = { '8': 8; '16': 16; '32': 32; '64': 64 }

/** Operand names whose value type does not follow from a number in the name. */
interface Named<W extends OpSize> {
  // operand-size general operands
  'r/m': Val<W>
  r: Val<W>
  'r.rm': Val<W> // ModRM.rm, register form only
  'm.W': Val<W> // ModRM.rm, memory form only
  'r/m:bit': Val<W> // bit-string operand: the unit of W bits that the register operand's bit number falls in (BT, BTS, BTR, BTC)
  imm: Val<W>
  simm8: Val<W>
  moffs: Val<W>
  m: Addr // the effective address itself (LEA)
  rel: Addr // branch target
  '1': Val<8>
  Sreg: Val<16>
  CR: Val<64> // the control or debug register that ModRM.reg and REX.R name; only decoded
  DR: Val<64>
  // fixed registers: lower case r follows the operand size
  '<rAX>': Val<W>
  '<rCX>': Val<W>
  '<rDX>': Val<W>
  '<rBX>': Val<W>
  '<rBP>': Val<W>
  '<AL>': Val<8>
  '<CL>': Val<8>
  '<AH>': Val<8>
  '<AX>': Val<16>
  '<DX>': Val<16>
  '<EAX>': Val<32>
  '<ECX>': Val<32>
  '<EDX>': Val<32>
  '<EBX>': Val<32>
  '<RAX>': Val<64>
  '<RCX>': Val<64>
  '<RDX>': Val<64>
  '<RBX>': Val<64>
  '<RBP>': Val<64>
  '<RSP>': Val<64>
  '<R11>': Val<64>
  '<ES>': Val<16>
  '<CS>': Val<16>
  '<SS>': Val<16>
  '<DS>': Val<16>
  '<FS>': Val<16>
  '<GS>': Val<16>
  '<aCX>': Addr // rCX of address size, zero-extended (JrCXZ, LOOP)
  // string operands; the frame steps rSI and rDI
  '<DS:rSI>': Val<W>
  '<ES:rDI>': Val<W>
  '<DS:rBX+AL>': Val<8>
  // memory only
  m128: Pair<64>
  m80: M80
  // vector registers; '.rm' is ModRM.rm in its register form
  xmm: V128
  'xmm.rm': V128
  '<XMM0>': V128
  'xmm/m128': V128 // aligned
  'xmm/m128u': V128
  'm128:v': V128 // memory form only, aligned
  'm128u:v': V128
  'xmm:f64': F64
  'xmm:f32': F32
  'xmm:i64': Val<64>
  'xmm:i32': Val<32>
  'xmm.rm:i64': Val<64>
  'xmm/m64:f64': F64
  'xmm/m32:f32': F32
  'xmm/m64:i64': Val<64>
  'xmm/m32:i32': Val<32>
  'xmm/m16:i16': Val<16>
  mm: Val<64>
  'mm.rm': Val<64>
  'mm/m64': Val<64>
  'mm/m32': Val<32>
  'r/m32:r32': Val<32>
  'r32/m8': Val<8> // a register's low byte or a byte of memory (PINSRB, PEXTRB)
  'r32/m16': Val<16>
}

type One<S extends string, W extends OpSize> = S extends keyof Named<W>
  ? Named<W>[S]
  : S extends `r/m${infer N extends keyof Digits}`
    ? Val<Digits[N]>
    : S extends `r${infer N extends keyof Digits}`
      ? Val<Digits[N]>
      : S extends `r${infer N extends keyof Digits}.rm`
        ? Val<Digits[N]>
        : S extends `imm${infer N extends keyof Digits}`
          ? Val<Digits[N]>
          : S extends `moffs${infer N extends keyof Digits}`
            ? Val<Digits[N]>
            : S extends `m${infer N extends keyof Digits}`
              ? Val<Digits[N]>
              : { 'unknown operand': S }

type List<S extends string> = S extends '' ? [] : S extends `${infer A}, ${infer B}` ? [A, ...List<B>] : [S]
type In<L extends string[], W extends OpSize> = L extends [infer A extends string, ...infer B extends string[]]
  ? A extends `${'=' | '@'}${string}`
    ? In<B, W>
    : A extends `${'+' | '~'}${infer N}`
      ? [One<N, W>, ...In<B, W>]
      : [One<A, W>, ...In<B, W>]
  : []
type Out<L extends string[], W extends OpSize> = L extends [infer A extends string, ...infer B extends string[]]
  ? A extends `~${infer N}`
    ? [If<One<N, W>>, ...Out<B, W>]
    : A extends `${'=' | '+'}${infer N}`
      ? [One<N, W>, ...Out<B, W>]
      : Out<B, W>
  : []
type Returned<T extends unknown[]> = T extends [] ? Done : T extends [infer A] ? A : Readonly<T>

type Bare<S extends string> = S extends `${'=' | '+' | '~' | '@'}${infer N}` ? N : S
type FixedWidth<S extends string> = S extends `r/m${infer N extends keyof Digits}`
  ? Digits[N]
  : S extends `r${infer N extends keyof Digits}`
    ? Digits[N]
    : S extends `imm${infer N extends keyof Digits}`
      ? Digits[N]
      : S extends `moffs${infer N extends keyof Digits}`
        ? Digits[N]
        : S extends '<AL>' | '<AH>'
          ? 8
          : never
type Varies<L extends string[]> = L extends [infer A extends string, ...infer B extends string[]]
  ? Bare<A> extends 'r/m' | 'r' | 'r.rm' | 'm.W' | 'r/m:bit' | 'imm' | 'simm8' | 'moffs' | '<DS:rSI>' | '<ES:rDI>' | `<r${string}`
    ? true
    : Varies<B>
  : false
type First<S extends string> = S extends `${infer A}, ${string}` ? Bare<A> : Bare<S>
type Any<S extends string> = <W extends OpSize>(e: E<W>, ...operands: In<List<S>, W>) => Returned<Out<List<S>, W>>

/** A meaning is generic in W unless all its operands have fixed widths; then E has the width of the first. */
export type Meaning<S extends string> =
  Varies<List<S>> extends false
    ? [FixedWidth<First<S>>] extends [never]
      ? Any<S>
      : (e: E<FixedWidth<First<S>>>, ...operands: In<List<S>, FixedWidth<First<S>>>) => Returned<Out<List<S>, FixedWidth<First<S>>>>
    : Any<S>

/** CPUID features a row may depend on; a row whose feature is off does not decode (its bytes fall to the row beneath). */
export type Feature =
  | 'FPU' | 'MMX' | 'SSE' | 'SSE2' | 'SSE3' | 'SSSE3' | 'SSE4.1' | 'SSE4.2' | 'POPCNT' | 'CX8' | 'CX16' | 'CMOV' | 'FXSR' | 'XSAVE' | 'XSAVEOPT'
  | 'SYSCALL' | 'SEP' | 'RDTSCP' | 'FSGSBASE' | 'SMAP' | 'INVPCID' | 'MONITOR' | 'LAHF' | 'CLFSH' | 'LZCNT' | 'BMI1' | 'MOVBE' | 'PREFETCHW' | 'VMX' | 'CLFLUSHOPT' | 'RDPID'

export interface Attributes {
  /** LOCK is allowed, in the memory form. */
  lock?: true
  rep?: 'count' | 'zero'
  modes?: 'only64' | 'not64'
  /** Operand size in 64-bit mode: 64 without REX.W; 'forced' ignores 66H too. */
  size64?: 'default' | 'forced'
  sizes?: readonly OpSize[]
  feature?: Feature
  /** Alignment a memory operand needs, else #GP(0). */
  align?: 16
  /** Checks ahead of any operand: #UD, #NM and #MF of the family. */
  before?: (e: E<OpSize>) => Done
  /** x87: the instruction's address, opcode and memory operand go to FIP, FOP and FDP. */
  pointers?: true
  /** ModRM.mod is ignored and taken as register (MOV CR, MOV DR). */
  modIgnored?: true
  /** F2H and F3H are #UD. */
  noRepeat?: true
}

export interface Row {
  readonly mnemonic: string
  readonly encoding: string
  readonly operands: string
  // The operand string, not this field, types a meaning; emitters call it with handles.
  readonly meaning: (e: E<OpSize>, ...operands: never[]) => unknown
  readonly attributes: Attributes
}

export const row = <const S extends string>(
  mnemonic: string,
  encoding: string,
  operands: S,
  meaning: Meaning<S>,
  attributes: Attributes = {},
): Row => ({ mnemonic, encoding, operands, meaning: meaning as Row['meaning'], attributes })

export const hex = (n: number): string => n.toString(16).toUpperCase().padStart(2, '0')

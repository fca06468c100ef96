// x87 floating point (SDM 1 chapter 8; SDM 2A FABS … FYL2XP1; encodings SDM 2D appendix A.5 and table B-39).
// Aliases the manual leaves blank but every processor decodes are rows too. State images: state-image.ts.
// Not modelled: 287 and Cyrix extensions (FRSTPM, FSTDW, …), which are #UD.

import type { E } from './context.ts'
import { hex, row, type Attributes, type Row } from './row.ts'
import type { CallName } from './calls.ts'
import type { x87Calls } from './x87-calls.ts'
import type { Bit, Condition, Done, If, M80, OpSize, Val } from './value.ts'

type Signatures = typeof x87Calls
/** Calls with these argument types that return nothing. */
type Signed<S> = { [K in keyof Signatures]: Signatures[K] extends S ? K : never }[keyof Signatures] & CallName
type Named<I extends readonly string[]> = Signed<{ in: I; out: readonly [] }>
type Plain = Named<readonly []>
type Word = Named<readonly ['i32']>
type Long = Named<readonly ['i64']>

const done = (_returned: undefined): Done => _returned as Done
const waiting: Attributes = { feature: 'FPU', before: (e) => e.available('x87') }
const noWait: Attributes = { feature: 'FPU', before: (e) => e.available('x87NoWait') }

/** `<STi>` gives the meaning i itself, the low three bits of ModRM, not a register. */
const sti = (mnemonic: string, encoding: string, meaning: (e: E<OpSize>, i: Val<32>) => Done, attributes: Attributes = waiting): Row => ({
  mnemonic,
  encoding: `${encoding}+i`,
  operands: '<STi>',
  meaning: meaning as Row['meaning'],
  attributes,
})
const stack = (mnemonic: string, encoding: string, name: Word): Row => sti(mnemonic, encoding, (e, i) => done(e.call(name, i)))
const alone = (mnemonic: string, encoding: string, name: Plain, attributes: Attributes = waiting): Row =>
  row(mnemonic, encoding, '', (e) => done(e.call(name)), attributes)
const m16 = (mnemonic: string, encoding: string, name: Word): Row =>
  row(mnemonic, encoding, 'm16', (e, v) => done(e.call(name, e.sx(v, 32))), waiting)
const m32 = (mnemonic: string, encoding: string, name: Word): Row =>
  row(mnemonic, encoding, 'm32', (e, v) => done(e.call(name, v)), waiting)
const m64 = (mnemonic: string, encoding: string, name: Long): Row =>
  row(mnemonic, encoding, 'm64', (e, v) => done(e.call(name, v)), waiting)
const m80 = (mnemonic: string, encoding: string, name: 'fldM80' | 'fbld'): Row =>
  row(mnemonic, encoding, 'm80', (e, [significand, exponent]) => done(e.call(name, significand, e.zx(exponent, 32))), waiting)


type Operation = 'add' | 'mul' | 'sub' | 'subr' | 'div' | 'divr'
/** The eight forms of an operation. DC and DE exchange the reversed pairs: in their register forms ST(i) is the destination. */
const operation = (n: Operation, digit: number, opposite: number): Row[] => {
  const name = n.toUpperCase()
  const base = (op: string, d: number): string => `${op} ${hex(0xc0 + d * 8)}`
  return [
    m32(`F${name}`, `D8 /${digit}`, `f${n}M32`),
    m64(`F${name}`, `DC /${digit}`, `f${n}M64`),
    m32(`FI${name}`, `DA /${digit}`, `fi${n}`),
    m16(`FI${name}`, `DE /${digit}`, `fi${n}`),
    stack(`F${name}`, base('D8', digit), `f${n}`),
    stack(`F${name}`, base('DC', opposite), `f${n}To`),
    stack(`F${name}P`, base('DE', opposite), `f${n}Pop`),
  ]
}

const compares: Row[] = [
  m32('FCOM', 'D8 /2', 'fcomM32'),
  m64('FCOM', 'DC /2', 'fcomM64'),
  m32('FCOMP', 'D8 /3', 'fcompM32'),
  m64('FCOMP', 'DC /3', 'fcompM64'),
  m32('FICOM', 'DA /2', 'ficom'),
  m16('FICOM', 'DE /2', 'ficom'),
  m32('FICOMP', 'DA /3', 'ficomp'),
  m16('FICOMP', 'DE /3', 'ficomp'),
  ...['D8 D0', 'DC D0'].map((code) => stack('FCOM', code, 'fcom')),
  ...['D8 D8', 'DC D8', 'DE D0'].map((code) => stack('FCOMP', code, 'fcomp')),
  alone('FCOMPP', 'DE D9', 'fcompp'),
  stack('FUCOM', 'DD E0', 'fucom'),
  stack('FUCOMP', 'DD E8', 'fucomp'),
  alone('FUCOMPP', 'DA E9', 'fucompp'),
  alone('FTST', 'D9 E4', 'ftst'),
  alone('FXAM', 'D9 E5', 'fxam'),
]
/** ZF, PF, CF from the comparison unless #IA is unmasked; OF, SF, AF are cleared in any case (SDM 2A FCOMI). */
const compareFlags = (mnemonic: string, encoding: string, name: 'fcomi' | 'fcomip' | 'fucomi' | 'fucomip'): Row =>
  sti(
    mnemonic,
    encoding,
    (e, i) => {
      const oldZ = e.cond('e')
      const oldP = e.cond('p')
      const oldC = e.carry()
      const r = e.call(name, i)
      const stay = e.bit(r, 7)
      return e.flags({
        ZF: e.select(stay, oldZ, e.bit(r, 6)), PF: e.select(stay, oldP, e.bit(r, 2)), CF: e.select(stay, oldC, e.bit(r, 0)),
        SF: e.no, OF: e.no, AF: e.no,
      })
    },
    waiting,
  )

const loads: Row[] = [
  m32('FLD', 'D9 /0', 'fldM32'),
  m64('FLD', 'DD /0', 'fldM64'),
  m80('FLD', 'DB /5', 'fldM80'),
  stack('FLD', 'D9 C0', 'fld'),
  m16('FILD', 'DF /0', 'fild'),
  m32('FILD', 'DB /0', 'fild'),
  m64('FILD', 'DF /5', 'fildM64'),
  m80('FBLD', 'DF /4', 'fbld'),
  ...(['fld1', 'fldl2t', 'fldl2e', 'fldpi', 'fldlg2', 'fldln2', 'fldz'] as const).map((n, i) => alone(n.toUpperCase(), `D9 ${hex(0xe8 + i)}`, n)),
]

// Stores use `~`: the page is checked before the call may pop, and nothing is stored when an exception is unmasked.
type Store<O extends readonly string[]> = Signed<{ in: readonly []; out: O }>
type Store32 = Store<readonly ['i32', 'i32']>
type Store64 = Store<readonly ['i64', 'i32']>
const store16 = (mnemonic: string, encoding: string, name: Store32, attributes: Attributes = waiting): Row =>
  row(mnemonic, encoding, '~m16', (e): If<Val<16>> => {
    const [v, ok] = e.call(name)
    return { when: e.bit(ok, 0), write: e.low(v, 16) }
  }, attributes)
const store32 = (mnemonic: string, encoding: string, name: Store32, attributes: Attributes = waiting): Row =>
  row(mnemonic, encoding, '~m32', (e): If<Val<32>> => {
    const [v, ok] = e.call(name)
    return { when: e.bit(ok, 0), write: v }
  }, attributes)
const store64 = (mnemonic: string, encoding: string, name: Store64, attributes: Attributes = waiting): Row =>
  row(mnemonic, encoding, '~m64', (e): If<Val<64>> => {
    const [v, ok] = e.call(name)
    return { when: e.bit(ok, 0), write: v }
  }, attributes)
const store80 = (mnemonic: string, encoding: string, name: 'fstpM80' | 'fbstp'): Row =>
  row(mnemonic, encoding, '~m80', (e): If<M80> => {
    const [v, top] = e.call(name)
    return { when: e.bit(top, 16), write: [v, e.low(top, 16)] }
  }, waiting)
const sse3: Attributes = { ...waiting, feature: 'SSE3' }

const stores: Row[] = [
  store32('FST', 'D9 /2', 'fstM32'),
  store32('FSTP', 'D9 /3', 'fstpM32'),
  store64('FST', 'DD /2', 'fstM64'),
  store64('FSTP', 'DD /3', 'fstpM64'),
  store80('FSTP', 'DB /7', 'fstpM80'),
  stack('FST', 'DD D0', 'fst'),
  ...['DD D8', 'DF D0', 'DF D8'].map((code) => stack('FSTP', code, 'fstp')),
  stack('FSTPNCE', 'D9 D8', 'fstpnce'),
  store16('FIST', 'DF /2', 'fistM16'),
  store16('FISTP', 'DF /3', 'fistpM16'),
  store32('FIST', 'DB /2', 'fistM32'),
  store32('FISTP', 'DB /3', 'fistpM32'),
  store64('FISTP', 'DF /7', 'fistpM64'),
  store80('FBSTP', 'DF /6', 'fbstp'),
  store16('FISTTP', 'DF /1', 'fisttpM16', sse3),
  store32('FISTTP', 'DB /1', 'fisttpM32', sse3),
  store64('FISTTP', 'DD /1', 'fisttpM64', sse3),
]

const fcmov = (suffix: string, encoding: string, condition: Condition): Row =>
  sti(`FCMOV${suffix}`, encoding, (e, i) => done(e.call('fcmov', i, e.zx(e.cond(condition) as Bit, 32))), { ...waiting, feature: 'CMOV' })

const registers: Row[] = [
  ...['D9 C8', 'DD C8', 'DF C8'].map((code) => stack('FXCH', code, 'fxch')),
  stack('FFREE', 'DD C0', 'ffree'),
  stack('FFREEP', 'DF C0', 'ffreep'),
  alone('FINCSTP', 'D9 F7', 'fincstp'),
  alone('FDECSTP', 'D9 F6', 'fdecstp'),
  ...(['b', 'e', 'be', 'p'] as const).map((c, k) => fcmov(c === 'p' ? 'U' : c.toUpperCase(), `DA ${['C0', 'C8', 'D0', 'D8'][k]}`, c)),
  ...(['ae', 'ne', 'a', 'np'] as const).map((c, k) => fcmov(['NB', 'NE', 'NBE', 'NU'][k]!, `DB ${['C0', 'C8', 'D0', 'D8'][k]}`, c)),
]

const functions: Row[] = (
  [
    ['FCHS', 'E0'], ['FABS', 'E1'], ['F2XM1', 'F0'], ['FYL2X', 'F1'], ['FPTAN', 'F2'], ['FPATAN', 'F3'], ['FXTRACT', 'F4'],
    ['FPREM1', 'F5'], ['FPREM', 'F8'], ['FYL2XP1', 'F9'], ['FSQRT', 'FA'], ['FSINCOS', 'FB'], ['FRNDINT', 'FC'], ['FSCALE', 'FD'],
    ['FSIN', 'FE'], ['FCOS', 'FF'],
  ] as const
).map(([mnemonic, modrm]) => alone(mnemonic, `D9 ${modrm}`, mnemonic.toLowerCase() as Lowercase<typeof mnemonic>))

/** Control instructions: they do not touch FIP, FDP and FOP (SDM 1 8.1.8). */
const control: Row[] = [
  alone('FNINIT', 'DB E3', 'fninit', noWait),
  alone('FNCLEX', 'DB E2', 'fnclex', noWait),
  // The 8087's interrupt masks and the 287's protected mode: nothing since the 387.
  alone('FNENI', 'DB E0', 'fnop', noWait),
  alone('FNDISI', 'DB E1', 'fnop', noWait),
  alone('FNSETPM', 'DB E4', 'fnop', noWait),
  row('FLDCW', 'D9 /5', 'm16', (e, v) => done(e.call('fldcw', e.zx(v, 32))), waiting),
  row('FNSTCW', 'D9 /7', '=m16', (e) => e.low(e.call('fnstcw'), 16), noWait),
  row('FNSTSW', 'DD /7', '=m16', (e) => e.low(e.call('fnstsw'), 16), noWait),
  row('FNSTSW', 'DF E0', '=<AX>', (e) => e.low(e.call('fnstsw'), 16), noWait),
  row('FWAIT', '9B', '', (e) => done(e.call('fwait')), { feature: 'FPU' }),
]

const recording: Row[] = [
  ...operation('add', 0, 0), ...operation('mul', 1, 1), ...operation('sub', 4, 5), ...operation('subr', 5, 4), ...operation('div', 6, 7),
  ...operation('divr', 7, 6),
  ...compares,
  compareFlags('FCOMI', 'DB F0', 'fcomi'), compareFlags('FCOMIP', 'DF F0', 'fcomip'),
  compareFlags('FUCOMI', 'DB E8', 'fucomi'), compareFlags('FUCOMIP', 'DF E8', 'fucomip'),
  ...loads, ...stores, ...registers, ...functions,
  alone('FNOP', 'D9 D0', 'fnop'),
]

/** All but the control instructions record their address, opcode and operand (SDM 1 8.1.8, 8.1.9). */
const recorded = recording.map((r): Row => ({ ...r, attributes: { ...r.attributes, pointers: true } }))

export const x87: readonly Row[] = [...recorded, ...control]

// Encodings of the x87 instructions as the recorder ran them, and the call each row makes: memory operands at [RDI].

import type { x87Calls } from '../../src-core/isa/x87-calls.ts'

export type CallName = keyof typeof x87Calls
/** `load`/`store`: bytes of the memory operand. `i`: ModRM.rm is a stack index. `flags`: result goes to EFLAGS. */
export interface Form {
  readonly code: readonly [number, number]
  readonly call: CallName
  readonly i?: true
  readonly load?: 2 | 4 | 8 | 10
  readonly store?: 2 | 4 | 8 | 10
  readonly flags?: true
  /** FCMOVcc: the condition over CF (1), PF (4), ZF (64). */
  readonly condition?: (flags: number) => boolean
}
const sti = (op: number, base: number, call: CallName): Form => ({ code: [op, base], call, i: true })
const plain = (op: number, modrm: number, call: CallName): Form => ({ code: [op, modrm], call })
const load = (op: number, digit: number, call: CallName, bytes: 2 | 4 | 8 | 10): Form => ({ code: [op, digit * 8 + 7], call, load: bytes })
const store = (op: number, digit: number, call: CallName, bytes: 2 | 4 | 8 | 10): Form => ({ code: [op, digit * 8 + 7], call, store: bytes })
const six = (digit: number, n: string, reverse: string): Form[] => {
  const name = (suffix: string, base = n) => (base + suffix) as CallName
  const swapped = digit >= 4 ? digit ^ 1 : digit
  return [
    load(0xd8, digit, name('M32'), 4),
    load(0xdc, digit, name('M64'), 8),
    load(0xda, digit, `fi${n.slice(1)}` as CallName, 4),
    load(0xde, digit, `fi${n.slice(1)}` as CallName, 2),
    sti(0xd8, 0xc0 + digit * 8, name('')),
    sti(0xdc, 0xc0 + digit * 8, name('To', digit >= 4 ? reverse : n)),
    sti(0xde, 0xc0 + swapped * 8, name('Pop')),
  ]
}
const cmov = (op: number, base: number, condition: (f: number) => boolean): Form => ({ code: [op, base], call: 'fcmov', i: true, condition })

export const forms: readonly Form[] = [
  ...six(0, 'fadd', 'fadd'), ...six(1, 'fmul', 'fmul'), ...six(4, 'fsub', 'fsubr'), ...six(5, 'fsubr', 'fsub'), ...six(6, 'fdiv', 'fdivr'), ...six(7, 'fdivr', 'fdiv'),
  load(0xd8, 2, 'fcomM32', 4), load(0xd8, 3, 'fcompM32', 4), load(0xdc, 2, 'fcomM64', 8), load(0xdc, 3, 'fcompM64', 8),
  load(0xda, 2, 'ficom', 4), load(0xda, 3, 'ficomp', 4), load(0xde, 2, 'ficom', 2), load(0xde, 3, 'ficomp', 2),
  sti(0xd8, 0xd0, 'fcom'), sti(0xd8, 0xd8, 'fcomp'), sti(0xdc, 0xd0, 'fcom'), sti(0xdc, 0xd8, 'fcomp'), sti(0xde, 0xd0, 'fcomp'),
  plain(0xde, 0xd9, 'fcompp'), sti(0xdd, 0xe0, 'fucom'), sti(0xdd, 0xe8, 'fucomp'), plain(0xda, 0xe9, 'fucompp'),
  plain(0xd9, 0xe4, 'ftst'), plain(0xd9, 0xe5, 'fxam'),
  { code: [0xdb, 0xf0], call: 'fcomi', i: true, flags: true }, { code: [0xdf, 0xf0], call: 'fcomip', i: true, flags: true },
  { code: [0xdb, 0xe8], call: 'fucomi', i: true, flags: true }, { code: [0xdf, 0xe8], call: 'fucomip', i: true, flags: true },
  sti(0xd9, 0xc0, 'fld'), load(0xd9, 0, 'fldM32', 4), load(0xdd, 0, 'fldM64', 8), load(0xdb, 5, 'fldM80', 10),
  load(0xdf, 0, 'fild', 2), load(0xdb, 0, 'fild', 4), load(0xdf, 5, 'fildM64', 8), load(0xdf, 4, 'fbld', 10),
  plain(0xd9, 0xe8, 'fld1'), plain(0xd9, 0xe9, 'fldl2t'), plain(0xd9, 0xea, 'fldl2e'), plain(0xd9, 0xeb, 'fldpi'), plain(0xd9, 0xec, 'fldlg2'),
  plain(0xd9, 0xed, 'fldln2'), plain(0xd9, 0xee, 'fldz'),
  sti(0xdd, 0xd0, 'fst'), sti(0xdd, 0xd8, 'fstp'), sti(0xdf, 0xd0, 'fstp'), sti(0xdf, 0xd8, 'fstp'), sti(0xd9, 0xd8, 'fstpnce'),
  store(0xd9, 2, 'fstM32', 4), store(0xd9, 3, 'fstpM32', 4), store(0xdd, 2, 'fstM64', 8), store(0xdd, 3, 'fstpM64', 8), store(0xdb, 7, 'fstpM80', 10),
  store(0xdf, 2, 'fistM16', 2), store(0xdf, 3, 'fistpM16', 2), store(0xdb, 2, 'fistM32', 4), store(0xdb, 3, 'fistpM32', 4), store(0xdf, 7, 'fistpM64', 8),
  store(0xdf, 6, 'fbstp', 10), store(0xdf, 1, 'fisttpM16', 2), store(0xdb, 1, 'fisttpM32', 4), store(0xdd, 1, 'fisttpM64', 8),
  sti(0xd9, 0xc8, 'fxch'), sti(0xdd, 0xc8, 'fxch'), sti(0xdf, 0xc8, 'fxch'), sti(0xdd, 0xc0, 'ffree'), sti(0xdf, 0xc0, 'ffreep'),
  plain(0xd9, 0xf7, 'fincstp'), plain(0xd9, 0xf6, 'fdecstp'),
  cmov(0xda, 0xc0, (f) => (f & 1) !== 0), cmov(0xda, 0xc8, (f) => (f & 64) !== 0), cmov(0xda, 0xd0, (f) => (f & 65) !== 0), cmov(0xda, 0xd8, (f) => (f & 4) !== 0),
  cmov(0xdb, 0xc0, (f) => (f & 1) === 0), cmov(0xdb, 0xc8, (f) => (f & 64) === 0), cmov(0xdb, 0xd0, (f) => (f & 65) === 0), cmov(0xdb, 0xd8, (f) => (f & 4) === 0),
  plain(0xd9, 0xe1, 'fabs'), plain(0xd9, 0xe0, 'fchs'), plain(0xd9, 0xfa, 'fsqrt'), plain(0xd9, 0xfd, 'fscale'), plain(0xd9, 0xfc, 'frndint'),
  plain(0xd9, 0xf4, 'fxtract'), plain(0xd9, 0xf8, 'fprem'), plain(0xd9, 0xf5, 'fprem1'), plain(0xd9, 0xf0, 'f2xm1'), plain(0xd9, 0xf1, 'fyl2x'),
  plain(0xd9, 0xf9, 'fyl2xp1'), plain(0xd9, 0xf2, 'fptan'), plain(0xd9, 0xf3, 'fpatan'), plain(0xd9, 0xfe, 'fsin'), plain(0xd9, 0xff, 'fcos'), plain(0xd9, 0xfb, 'fsincos'),
  plain(0xdb, 0xe3, 'fninit'), plain(0xdb, 0xe2, 'fnclex'), load(0xd9, 5, 'fldcw', 2), store(0xd9, 7, 'fnstcw', 2), store(0xdd, 7, 'fnstsw', 2), plain(0xd9, 0xd0, 'fnop'),
]

// Bitwise logic (SDM 2A/2B: AND OR XOR NOT TEST). AF, undefined after them, is 0.

import { group1, group3, type Binary, type Compare } from './arithmetic.ts'
import { row, type Row } from './row.ts'

const logical =
  (operation: 'and' | 'or' | 'xor'): Binary =>
  (e, a, b) => {
    const r = e[operation](a, b)
    e.flagsLogic(r)
    return r
  }
const test: Compare = (e, a, b) => e.flagsLogic(e.and(a, b))

export const logic: Row[] = [
  ...group1('OR', 1, logical('or')),
  ...group1('AND', 4, logical('and')),
  ...group1('XOR', 6, logical('xor')),
  ...group3('NOT', 2, (e, a) => e.not(a)),
  row('TEST', '84 /r', 'r/m8, r8', test),
  row('TEST', '85 /r', 'r/m, r', test),
  row('TEST', 'A8 ib', '<AL>, imm8', test),
  row('TEST', 'A9 i', '<rAX>, imm', test),
  // /1 is an undocumented alias of /0
  ...[0, 1].flatMap((n) => [row('TEST', `F6 /${n} ib`, 'r/m8, imm8', test), row('TEST', `F7 /${n} i`, 'r/m, imm', test)]),
]

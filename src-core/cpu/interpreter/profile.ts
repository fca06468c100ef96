// Which forms are arms of the interpreter's loop: those that fill compiled programs and kernels. The rest are functions.
// About 300, so that the loop stays small enough to be optimised quickly: with 700 it ran a third slower.

import type { Form } from '../../isa/forms.ts'

/** Mnemonic → operand sizes of its hot forms. */
const HOT: Readonly<Record<string, readonly number[]>> = {
  MOV: [8, 32, 64], ADD: [32, 64], SUB: [32, 64], AND: [8, 32, 64], OR: [32, 64], XOR: [32, 64], CMP: [8, 16, 32, 64], TEST: [8, 32, 64],
  LEA: [32, 64], PUSH: [64], POP: [64], CALL: [64], RET: [64], JMP: [64], INC: [32, 64], DEC: [32, 64], NEG: [32, 64], NOT: [32, 64],
  SHL: [32, 64], SHR: [32, 64], SAR: [32, 64], MOVZX: [32], MOVSX: [32, 64], MOVSXD: [64], IMUL: [32, 64], BT: [64], NOP: [32, 64],
}
const JUMPS = /^J[A-Z]+$/
const CONDITIONAL = /^(SET|CMOV)(b|ae|e|ne|be|a|s|ns|l|ge|le|g)$/i

/** Encodings of hot mnemonics that compilers hardly use: moves with offsets or system registers, aliases, far transfers. */
const RARE = /^(A[0-3] mo|8[EC] |0F 2|D[0-3] \/6|C[01] \/6|82 |9A|EA|C[AB]|0F B[CD]|0F (1[89A-E]|0D)|F3 0F|66 0F|1[0-9A-F] |9B|0F A[08]|0F A[19]|(06|07|0E|16|17|1E|1F)$)/
/** These are hot in their register forms only. */
const REGISTER_ONLY = new Set(['SHL', 'SHR', 'SAR', 'NEG', 'NOT', 'BT', 'MOVSX', 'IMUL'])

export function isHot(form: Form): boolean {
  const { row } = form
  if (form.repeat !== '' || row.attributes.modes === 'not64' || RARE.test(row.encoding)) return false
  const m = row.mnemonic
  if (form.memory && REGISTER_ONLY.has(m)) return false
  if (JUMPS.test(m) && m !== 'JMP') return form.size === 64 && !/CXZ/i.test(m)
  if (CONDITIONAL.test(m)) return /^SET/i.test(m) ? !form.memory : form.size === 64 && !form.memory
  return HOT[m]?.includes(form.size) ?? false
}

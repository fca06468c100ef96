// The stack (SDM 2B: PUSH POP PUSHA POPA PUSHF POPF ENTER LEAVE). POP of segment registers loads descriptors: an assist.

import { DS, ES, FS, GS, SS } from '../arch/registers.ts'
import { row, type Row } from './row.ts'

const anySize = { sizes: [16, 32, 64], size64: 'default' } as const
const not64 = { sizes: [16, 32], modes: 'not64' } as const

export const stack: Row[] = [
  row('PUSH', '50+r', 'r', (e, v) => e.push(v), { size64: 'default' }),
  row('PUSH', 'FF /6', 'r/m', (e, v) => e.push(v), { size64: 'default' }),
  row('PUSH', '68 i', 'imm', (e, v) => e.push(v), { size64: 'default' }),
  row('PUSH', '6A ib', 'simm8', (e, v) => e.push(v), { size64: 'default' }),
  row('POP', '58+r', '=r', (e) => e.pop(), { size64: 'default' }),
  row('POP', '8F /0', '=r/m', (e) => e.pop(), { size64: 'default' }),
  // A selector is pushed zero-extended, one of the two behaviours that SDM 2B PUSH allows for 32-bit pushes.
  row('PUSH', '06', '<ES>', (e, v) => e.push(v), not64),
  row('PUSH', '0E', '<CS>', (e, v) => e.push(v), not64),
  row('PUSH', '16', '<SS>', (e, v) => e.push(v), not64),
  row('PUSH', '1E', '<DS>', (e, v) => e.push(v), not64),
  row('PUSH', '0F A0', '<FS>', (e, v) => e.push(v), anySize),
  row('PUSH', '0F A8', '<GS>', (e, v) => e.push(v), anySize),
  row('POP', '07', '@<ES>', (e) => e.assist('popSegment', ES), not64),
  row('POP', '17', '@<SS>', (e) => e.assist('popSegment', SS), not64),
  row('POP', '1F', '@<DS>', (e) => e.assist('popSegment', DS), not64),
  row('POP', '0F A1', '@<FS>', (e) => e.assist('popSegment', FS), anySize),
  row('POP', '0F A9', '@<GS>', (e) => e.assist('popSegment', GS), anySize),
  row('PUSHA', '60', '', (e) => e.assist('pusha'), not64),
  row('POPA', '61', '', (e) => e.assist('popa'), not64),
  row('PUSHF', '9C', '', (e) => e.assist('pushf'), anySize),
  row('POPF', '9D', '', (e) => e.assist('popf'), anySize),
  row('ENTER', 'C8 iw ib', '@imm16, @imm8', (e) => e.assist('enter'), anySize),
  row('LEAVE', 'C9', '=<rBP>, <RBP>', (e, frame) => e.popAt(frame), { size64: 'default' }),
]

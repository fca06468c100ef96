// Mistakes that the row types must refuse: each line below is an error, and the compiler checks that it is.

import { row } from '../../src-core/isa/row.ts'

// @ts-expect-error mixing widths: r8 with the operand size
row('X', '01 /r', '+r/m, r8', (e, a, b) => e.add(a, b))
// @ts-expect-error one value where two operands are written
row('X', 'F7 /4', '=<rDX>, +<rAX>, r/m', (e, a, b) => e.mul(a, b))
// @ts-expect-error two values where one operand is written
row('X', '87 /r', '+r/m, r', (_e, a, b) => [b, a])
// @ts-expect-error a jump to an address that may have 16 bits
row('X', 'FF /4', 'r/m', (e, a) => e.jump(a))
// @ts-expect-error unknown operand name
row('X', '01 /r', '+rm/32, r', (e, a, b) => e.add(a, b))
// @ts-expect-error unknown assist
row('X', '0F A2', '', (e) => e.assist('cpuidd'))
// @ts-expect-error assist without its argument
row('X', 'CC', '', (e) => e.assist('int'))
// @ts-expect-error a byte where a bit is wanted
row('X', '0F 44 /r', '+r, r/m', (e, a, b) => e.select(e.k(8, 1), a, b))
// @ts-expect-error writes an operand that is only read
row('X', '39 /r', 'r/m, r', (e, a, b) => e.add(a, b))
// @ts-expect-error reads an operand that is only written
row('X', '8B /r', '=r, r/m', (e, a, b) => e.add(a, b))
// @ts-expect-error a plain value for a destination that may be kept
row('X', '0F BC /r', '~r, r/m', (e, _old, v) => e.ctz(v))
// @ts-expect-error unknown CPUID feature
row('X', '0F A2', '', (e) => e.assist('cpuid'), { feature: 'SSE9' })
// @ts-expect-error LOCK is allowed or not mentioned
row('X', '01 /r', '+r/m, r', (e, a, b) => e.add(a, b), { lock: false })
// @ts-expect-error a fault that does not exist
row('X', 'F7 /6', 'r/m', (e, a) => e.fault(e.isZero(a), '#XX'))
// @ts-expect-error fixed width 8: its meaning cannot yield 32 bits
row('X', '88 /r', '=r/m8, r8', (e, v) => e.zx(v, 32))

// Control transfer (SDM 2A/2B: JMP Jcc JrCXZ LOOPcc CALL RET, far forms, INT INTO INT1 INT3 IRET BOUND, UD).
// Far transfers and interrupts are assists. Near branches in 64-bit mode ignore 66H, as Intel parts do.

import type { E } from './context.ts'
import { hex, row, type Row } from './row.ts'
import { conditions, type Addr, type Bit, type OpSize, type Val } from './value.ts'

const near = { size64: 'forced' } as const
const anySize = { sizes: [16, 32, 64] } as const
const not64 = { modes: 'not64' } as const
const not64Sized = { modes: 'not64', sizes: [16, 32] } as const

const call = (e: E<OpSize>, to: Addr) => {
  e.push(e.nextRip)
  return e.jump(to)
}
/** LOOPcc: rCX of address size counts down; the jump is taken unless it reaches 0, and `and` holds. */
const loop =
  (and: (e: E<OpSize>) => Bit) =>
  (e: E<OpSize>, count: Addr, to: Addr): Addr => {
    const more = e.not(e.eq(count, e.k(64, 1)))
    e.jumpIf(e.and(more, and(e)), to)
    return e.sub(count, e.k(64, 1))
  }
const ud = (e: E<OpSize>) => e.assist('ud')

export const branch: Row[] = [
  ...conditions.flatMap((c, i) => [
    row(`J${c.toUpperCase()}`, `${hex(0x70 + i)} cb`, 'rel', (e, to) => e.jumpIf(e.cond(c), to), near),
    row(`J${c.toUpperCase()}`, `0F ${hex(0x80 + i)} c`, 'rel', (e, to) => e.jumpIf(e.cond(c), to), near),
  ]),
  row(
    'LOOPNE',
    'E0 cb',
    '+<aCX>, rel',
    loop((e) => e.cond('ne')),
    near,
  ),
  row(
    'LOOPE',
    'E1 cb',
    '+<aCX>, rel',
    loop((e) => e.cond('e')),
    near,
  ),
  row(
    'LOOP',
    'E2 cb',
    '+<aCX>, rel',
    loop((e) => e.yes),
    near,
  ),
  row('JrCXZ', 'E3 cb', '<aCX>, rel', (e, count, to) => e.jumpIf(e.isZero(count), to), near),
  row('JMP', 'EB cb', 'rel', (e, to) => e.jump(to), near),
  row('JMP', 'E9 c', 'rel', (e, to) => e.jump(to), near),
  row('JMP', 'FF /4', 'r/m', (e, to) => e.jump(e.zx(to, 64)), near),
  row('CALL', 'E8 c', 'rel', call, near),
  row('CALL', 'FF /2', 'r/m', (e, to: Val<number>) => call(e as E<OpSize>, e.zx(to, 64)), near),
  row('RET', 'C3', '', (e) => e.jump(e.zx(e.pop(), 64)), near),
  row(
    'RET',
    'C2 iw',
    'imm16',
    (e, bytes) => {
      const to = e.pop()
      e.release(bytes)
      return e.jump(e.zx(to, 64))
    },
    near,
  ),

  row('JMP', 'EA i iw', '@imm, @imm16', (e) => e.assist('farJump'), not64Sized),
  row('JMP', 'FF /5', '@m', (e) => e.assist('farJump'), anySize),
  row('CALL', '9A i iw', '@imm, @imm16', (e) => e.assist('farCall'), not64Sized),
  row('CALL', 'FF /3', '@m', (e) => e.assist('farCall'), anySize),
  row('RETF', 'CA iw', '@imm16', (e) => e.assist('farReturn'), anySize),
  row('RETF', 'CB', '', (e) => e.assist('farReturn'), anySize),
  row('IRET', 'CF', '', (e) => e.assist('interruptReturn'), anySize),
  row('INT3', 'CC', '', (e) => e.assist('int', 3)),
  row('INT', 'CD ib', '@imm8', (e) => e.assist('int', 'immediate')),
  row('INTO', 'CE', '', (e) => e.assist('into'), not64),
  row('INT1', 'F1', '', (e) => e.assist('int1')),
  row('BOUND', '62 /r', '@r, @m', (e) => e.assist('bound'), not64Sized),

  row('UD0', '0F FF /r', '@r32, @r/m32', ud),
  row('UD1', '0F B9 /r', '@r32, @r/m32', ud),
  row('UD2', '0F 0B', '', ud),
]

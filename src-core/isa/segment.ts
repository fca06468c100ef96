// Segment registers and descriptor tables (SDM 2A/2B: MOV Sreg, LDS…LGS, LAR LSL VERR VERW ARPL, LGDT…STR, RD/WR FS/GS BASE, SWAPGS).
// PUSH and POP of segment registers: stack.ts.

import { DS, ES, FS, GS, SS } from '../arch/registers.ts'
import { row, type Row } from './row.ts'

const anySize = { sizes: [16, 32, 64] } as const
const not64Sized = { modes: 'not64', sizes: [16, 32] } as const
const fsgsbase = { modes: 'only64', sizes: [32, 64], feature: 'FSGSBASE' } as const

export const segment: Row[] = [
  // Memory receives 16 bits whatever the operand size; a register is zero-extended.
  row('MOV', '8C /r', '=m16, Sreg', (_e, v) => v),
  row('MOV', '8C /r', '=r.rm, Sreg', (e, v) => e.sized(v)),
  row('MOV', '8E /r', '@Sreg, @r/m16', (e) => e.assist('loadSegment')),
  row('LES', 'C4 /r', '@r, @m', (e) => e.assist('loadFarPointer', ES), not64Sized),
  row('LDS', 'C5 /r', '@r, @m', (e) => e.assist('loadFarPointer', DS), not64Sized),
  row('LSS', '0F B2 /r', '@r, @m', (e) => e.assist('loadFarPointer', SS), anySize),
  row('LFS', '0F B4 /r', '@r, @m', (e) => e.assist('loadFarPointer', FS), anySize),
  row('LGS', '0F B5 /r', '@r, @m', (e) => e.assist('loadFarPointer', GS), anySize),

  row('SLDT', '0F 00 /0', '@m16', (e) => e.assist('sldt')),
  row('SLDT', '0F 00 /0', '@r.rm', (e) => e.assist('sldt')),
  row('STR', '0F 00 /1', '@m16', (e) => e.assist('str')),
  row('STR', '0F 00 /1', '@r.rm', (e) => e.assist('str')),
  row('LLDT', '0F 00 /2', '@r/m16', (e) => e.assist('lldt')),
  row('LTR', '0F 00 /3', '@r/m16', (e) => e.assist('ltr')),
  row('VERR', '0F 00 /4', '@r/m16', (e) => e.assist('verr')),
  row('VERW', '0F 00 /5', '@r/m16', (e) => e.assist('verw')),
  row('LAR', '0F 02 /r', '@r, @r/m16', (e) => e.assist('lar')),
  row('LSL', '0F 03 /r', '@r, @r/m16', (e) => e.assist('lsl')),
  row('ARPL', '63 /r', '@r/m16, @r16', (e) => e.assist('arpl'), { modes: 'not64' }),

  // 16-bit operands load 24 bits of base (SDM 2A LGDT/LIDT); stores write all of it.
  row('SGDT', '0F 01 /0', '@m', (e) => e.assist('sgdt')),
  row('SIDT', '0F 01 /1', '@m', (e) => e.assist('sidt')),
  row('LGDT', '0F 01 /2', '@m', (e) => e.assist('lgdt'), anySize),
  row('LIDT', '0F 01 /3', '@m', (e) => e.assist('lidt'), anySize),

  row('RDFSBASE', 'F3 0F AE /0', '@r.rm', (e) => e.assist('readFsBase'), fsgsbase),
  row('RDGSBASE', 'F3 0F AE /1', '@r.rm', (e) => e.assist('readGsBase'), fsgsbase),
  row('WRFSBASE', 'F3 0F AE /2', '@r.rm', (e) => e.assist('writeFsBase'), fsgsbase),
  row('WRGSBASE', 'F3 0F AE /3', '@r.rm', (e) => e.assist('writeGsBase'), fsgsbase),
  row('SWAPGS', '0F 01 F8', '', (e) => e.assist('swapgs'), { modes: 'only64' }),
]

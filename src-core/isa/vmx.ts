// Virtual-machine extensions (SDM 3C 30): every check is an assist's, since their order against VM exits and operand faults is their own.
// Not here: GETSEC.

import { row, type Row } from './row.ts'

const feature = 'VMX' as const
const only64 = { modes: 'only64', feature } as const
const not64 = { modes: 'not64', feature } as const

export const vmx: Row[] = [
  row('VMXON', 'F3 0F C7 /6', '@m64', (e) => e.assist('vmxon'), { feature }),
  row('VMCLEAR', '66 0F C7 /6', '@m64', (e) => e.assist('vmclear'), { feature }),
  row('VMPTRLD', 'NP 0F C7 /6', '@m64', (e) => e.assist('vmptrld'), { feature }),
  row('VMPTRST', 'NP 0F C7 /7', '@m64', (e) => e.assist('vmptrst'), { feature }),
  row('VMREAD', 'NP 0F 78 /r', '@r/m64, @r64', (e) => e.assist('vmread'), only64),
  row('VMREAD', 'NP 0F 78 /r', '@r/m32, @r32', (e) => e.assist('vmread'), not64),
  row('VMWRITE', 'NP 0F 79 /r', '@r64, @r/m64', (e) => e.assist('vmwrite'), only64),
  row('VMWRITE', 'NP 0F 79 /r', '@r32, @r/m32', (e) => e.assist('vmwrite'), not64),
  row('VMCALL', 'NP 0F 01 C1', '', (e) => e.assist('vmcall'), { feature }),
  row('VMLAUNCH', 'NP 0F 01 C2', '', (e) => e.assist('vmlaunch'), { feature }),
  row('VMRESUME', 'NP 0F 01 C3', '', (e) => e.assist('vmresume'), { feature }),
  row('VMXOFF', 'NP 0F 01 C4', '', (e) => e.assist('vmxoff'), { feature }),
  row('VMFUNC', 'NP 0F 01 D4', '', (e) => e.assist('vmfunc'), { feature }),
  row('INVEPT', '66 0F 38 80 /r', '@r64, @m128', (e) => e.assist('invept'), only64),
  row('INVEPT', '66 0F 38 80 /r', '@r32, @m128', (e) => e.assist('invept'), not64),
  row('INVVPID', '66 0F 38 81 /r', '@r64, @m128', (e) => e.assist('invvpid'), only64),
  row('INVVPID', '66 0F 38 81 /r', '@r32, @m128', (e) => e.assist('invvpid'), not64),
]

// Port input and output (SDM 2A/2B: IN INS OUT OUTS; SDM 1 chapter 19). REX.W is ignored: ports are at most 32 bits wide.
// The assists check the I/O permission bitmap and, for INS and OUTS, do one iteration.

import { row, type Row } from './row.ts'

const wide = { sizes: [16, 32] } as const

export const io: Row[] = [
  row('IN', 'E4 ib', '@<AL>, @imm8', (e) => e.assist('in', 8)),
  row('IN', 'E5 ib', '@<rAX>, @imm8', (e) => e.assist('in', e.bits), wide),
  row('IN', 'EC', '@<AL>, @<DX>', (e) => e.assist('in', 8)),
  row('IN', 'ED', '@<rAX>, @<DX>', (e) => e.assist('in', e.bits), wide),
  row('OUT', 'E6 ib', '@imm8, @<AL>', (e) => e.assist('out', 8)),
  row('OUT', 'E7 ib', '@imm8, @<rAX>', (e) => e.assist('out', e.bits), wide),
  row('OUT', 'EE', '@<DX>, @<AL>', (e) => e.assist('out', 8)),
  row('OUT', 'EF', '@<DX>, @<rAX>', (e) => e.assist('out', e.bits), wide),
  row('INS', '6C', '@<ES:rDI>, @<DX>', (e) => e.assist('ins'), { rep: 'count', sizes: [8] }),
  row('INS', '6D', '@<ES:rDI>, @<DX>', (e) => e.assist('ins'), { rep: 'count', ...wide }),
  row('OUTS', '6E', '@<DX>, @<DS:rSI>', (e) => e.assist('outs'), { rep: 'count', sizes: [8] }),
  row('OUTS', '6F', '@<DX>, @<DS:rSI>', (e) => e.assist('outs'), { rep: 'count', ...wide }),
]

// String instructions (SDM 2A/2B: MOVS CMPS SCAS LODS STOS; REP is SDM 2B REP/REPE/REPNE). INS and OUTS: io.ts.
// A row is one iteration; the frame counts rCX and steps rSI and rDI by RFLAGS.DF.

import type { E } from './context.ts'
import { row, type Row } from './row.ts'
import type { Done, OpSize, Val } from './value.ts'

const same = <V>(_e: unknown, v: V): V => v
const compare = <W extends OpSize>(e: E<W>, a: Val<W>, b: Val<W>): Done => e.flagsSub(a, b, e.sub(a, b))
const bytes = { sizes: [8] } as const
const count = { rep: 'count' } as const
const zero = { rep: 'zero' } as const

export const string: Row[] = [
  row('MOVS', 'A4', '=<ES:rDI>, <DS:rSI>', same, { ...count, ...bytes }),
  row('MOVS', 'A5', '=<ES:rDI>, <DS:rSI>', same, count),
  row('CMPS', 'A6', '<DS:rSI>, <ES:rDI>', compare, { ...zero, ...bytes }),
  row('CMPS', 'A7', '<DS:rSI>, <ES:rDI>', compare, zero),
  row('STOS', 'AA', '=<ES:rDI>, <rAX>', same, { ...count, ...bytes }),
  row('STOS', 'AB', '=<ES:rDI>, <rAX>', same, count),
  row('LODS', 'AC', '=<rAX>, <DS:rSI>', same, { ...count, ...bytes }),
  row('LODS', 'AD', '=<rAX>, <DS:rSI>', same, count),
  row('SCAS', 'AE', '<rAX>, <ES:rDI>', compare, { ...zero, ...bytes }),
  row('SCAS', 'AF', '<rAX>, <ES:rDI>', compare, zero),
]

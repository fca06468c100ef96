// Flag instructions (SDM 2A/2B: CLC STC CMC CLD STD CLI STI LAHF SAHF; SALC of opcode D6H, undocumented; CLAC STAC).

import type { E } from './context.ts'
import { row, type Row } from './row.ts'
import type { Bit, Done, OpSize, Val } from './value.ts'

const setCarry = (e: E<OpSize>, CF: Bit): Done => e.flags({ result: 'keep', CF, OF: 'keep', AF: 'keep' })

// AH: 7 SF · 6 ZF · 5 0 · 4 AF · 3 0 · 2 PF · 1 1 · 0 CF (SDM 1 3.4.3)
const lahf = (e: E<OpSize>): Val<8> => {
  const at = (flag: Bit, position: number) => e.shl(e.zx(flag, 8), e.k(8, position))
  const high = e.or(at(e.cond('s'), 7), at(e.cond('e'), 6))
  return e.or(e.or(high, at(e.adjust(), 4)), e.or(e.or(at(e.cond('p'), 2), e.k(8, 2)), at(e.carry(), 0)))
}
const sahf = (e: E<OpSize>, ah: Val<8>): Done =>
  e.flags({ SF: e.bit(ah, 7), ZF: e.bit(ah, 6), AF: e.bit(ah, 4), PF: e.bit(ah, 2), CF: e.bit(ah, 0), OF: 'keep' })

export const flag: Row[] = [
  row('CLC', 'F8', '', (e) => setCarry(e as E<OpSize>, e.no)),
  row('STC', 'F9', '', (e) => setCarry(e as E<OpSize>, e.yes)),
  row('CMC', 'F5', '', (e) => setCarry(e as E<OpSize>, e.not(e.carry()))),
  row('CLD', 'FC', '', (e) => e.direction(false)),
  row('STD', 'FD', '', (e) => e.direction(true)),
  row('CLI', 'FA', '', (e) => e.assist('cli')),
  row('STI', 'FB', '', (e) => e.assist('sti')),
  // CPUID.80000001H:ECX[0] speaks of 64-bit mode only.
  row('LAHF', '9F', '=<AH>', lahf, { modes: 'not64' }),
  row('LAHF', '9F', '=<AH>', lahf, { modes: 'only64', feature: 'LAHF' }),
  row('SAHF', '9E', '<AH>', sahf, { modes: 'not64' }),
  row('SAHF', '9E', '<AH>', sahf, { modes: 'only64', feature: 'LAHF' }),
  row('SALC', 'D6', '=<AL>', (e) => e.select(e.carry(), e.k(8, 0xff), e.k(8, 0)), { modes: 'not64' }),
  row('CLAC', 'NP 0F 01 CA', '', (e) => e.assist('clac'), { feature: 'SMAP' }),
  row('STAC', 'NP 0F 01 CB', '', (e) => e.assist('stac'), { feature: 'SMAP' }),
]

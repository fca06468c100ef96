// RFLAGS from the two flag words and back (isa/flags-emit.ts draws them), on 32-bit halves of the processor block.

import { offsets, type ProcessorState } from '../isa/state.ts'

const RES = offsets.res >>> 2
const AUX = offsets.aux >>> 2
const RFLAGS = offsets.rflags >>> 2
/** CF PF AF ZF SF OF. */
const ARITHMETIC = 0x8d5
const FIXED = 2
const DF = 1 << 10

/** CF PF AF ZF SF OF as RFLAGS bits. */
function arithmeticFlags(w: Uint32Array): number {
  const res = w[RES]!
  const aux = w[AUX]!
  const top = w[AUX + 1]! >>> 30
  const CF = top >> 1
  const OF = CF ^ (top & 1)
  const ZF = (res | w[RES + 1]!) === 0 ? 1 : 0
  const SF = (w[RES + 1]! >>> 31) ^ (aux & 1)
  const nibbles = (res ^ (res >>> 4)) & 15
  const PF = ((0x9669 >> nibbles) & 1) ^ ((aux >> 1) & 1)
  return CF | (PF << 2) | (((aux >> 3) & 1) << 4) | (ZF << 6) | (SF << 7) | (OF << 11)
}

/** RFLAGS as an unsigned number: its upper half is 0. */
export const rflagsNumber = (s: ProcessorState): number => ((s.words[RFLAGS]! & ~ARITHMETIC) | FIXED | arithmeticFlags(s.words)) >>> 0

export const readRflags = (s: ProcessorState): bigint => BigInt(rflagsNumber(s))

export function writeRflags(s: ProcessorState, value: bigint): void {
  const w = s.words
  const f = Number(BigInt.asUintN(32, value))
  const CF = f & 1
  const PF = (f >> 2) & 1
  const AF = (f >> 4) & 1
  const ZF = (f >> 6) & 1
  const SF = (f >> 7) & 1
  const OF = (f >> 11) & 1
  // res 0 has even parity, res 1 odd; neither is negative
  w[RES] = ZF ^ 1
  w[RES + 1] = 0
  w[AUX] = (AF << 3) | ((PF ^ ZF) << 1) | SF
  w[AUX + 1] = ((CF << 31) | ((CF ^ OF) << 30)) >>> 0
  w[RFLAGS] = ((f & ~ARITHMETIC) | FIXED) >>> 0
  w[RFLAGS + 1] = 0
  s.direction = f & DF ? -1 : 1
}

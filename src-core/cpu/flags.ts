// RFLAGS from the two flag words and back (TABLE §5; layout in isa/flags-emit.ts).

import { Rflags } from '../arch/registers.ts'
import type { ProcessorState } from './state.ts'

const evenParity = (x: number): boolean => {
  x ^= x >> 4
  return ((0x9669 >> (x & 15)) & 1) === 1
}

/** CF PF AF ZF SF OF as RFLAGS bits. */
export function arithmeticFlags(res: bigint, aux: bigint): bigint {
  const auxLow = Number(aux & 0xffn)
  const auxTop = Number(aux >> 62n)
  const CF = auxTop >> 1
  const OF = CF ^ (auxTop & 1)
  const AF = (auxLow >> 3) & 1
  const ZF = res === 0n ? 1 : 0
  const SF = Number(res >> 63n) ^ (auxLow & 1)
  const PF = (evenParity(Number(res & 0xffn)) ? 1 : 0) ^ ((auxLow >> 1) & 1)
  return BigInt(CF | (PF << 2) | (AF << 4) | (ZF << 6) | (SF << 7) | (OF << 11))
}

/** The two words that stand for given RFLAGS bits. */
export function flagWords(rflags: bigint): { res: bigint; aux: bigint } {
  const f = Number(rflags & 0xfffn)
  const [CF, PF, AF, ZF, SF, OF] = [f & 1, (f >> 2) & 1, (f >> 4) & 1, (f >> 6) & 1, (f >> 7) & 1, (f >> 11) & 1]
  // res 0 has even parity, res 1 odd
  const res = ZF ? 0n : 1n
  const parity = ZF
  return { res, aux: (BigInt((CF << 1) | (CF ^ OF)) << 62n) | BigInt((AF << 3) | ((PF ^ parity) << 1) | SF) }
}

export const readRflags = (s: ProcessorState): bigint => (s.rflags & ~Rflags.arithmetic) | Rflags.fixed | arithmeticFlags(s.res, s.aux)

export function writeRflags(s: ProcessorState, value: bigint): void {
  const words = flagWords(value)
  s.res = words.res
  s.aux = words.aux
  s.rflags = (value & ~Rflags.arithmetic) | Rflags.fixed
  s.direction = value & Rflags.DF ? -1 : 1
}

// CRC32 (SDM vol. 2A): polynomial 11EDC6F41H, bits reflected, no inversion. Eight tables take eight bytes at a time.

import type { ProcessorState } from '../../isa/state.ts'
import { slotsOf } from './mxcsr.ts'

const REFLECTED = 0x82f63b78
const tables = Array.from({ length: 8 }, () => new Int32Array(256))
for (let i = 0; i < 256; i++) {
  let c = i
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ REFLECTED : c >>> 1
  tables[0]![i] = c
}
for (let t = 1; t < 8; t++)
  for (let i = 0; i < 256; i++) {
    const c = tables[t - 1]![i]!
    tables[t]![i] = (c >>> 8) ^ tables[0]![c & 0xff]!
  }
const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
]

/** Word 0: the sum so far; slot 1: data; word 8: its bytes, 1, 2, 4 or 8. The new sum to word 0. */
export function crc32(s: ProcessorState): number {
  const { words } = slotsOf(s)
  let c = words[0]!
  const data = words[4]!
  switch (words[8]) {
    case 8: {
      const x = c ^ data
      const y = words[5]!
      c = t7[x & 0xff]! ^ t6[(x >>> 8) & 0xff]! ^ t5[(x >>> 16) & 0xff]! ^ t4[x >>> 24]!
      c ^= t3[y & 0xff]! ^ t2[(y >>> 8) & 0xff]! ^ t1[(y >>> 16) & 0xff]! ^ t0[y >>> 24]!
      break
    }
    case 4: {
      const x = c ^ data
      c = t3[x & 0xff]! ^ t2[(x >>> 8) & 0xff]! ^ t1[(x >>> 16) & 0xff]! ^ t0[x >>> 24]!
      break
    }
    case 2: {
      const x = c ^ (data & 0xffff)
      c = (x >>> 16) ^ t1[x & 0xff]! ^ t0[(x >>> 8) & 0xff]!
      break
    }
    default:
      c = (c >>> 8) ^ t0[(c ^ data) & 0xff]!
  }
  words[0] = c
  return 0
}

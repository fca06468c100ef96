// Width and byte-order conversion (SDM 2A/2B: CBW CWDE CDQE CWD CDQ CQO MOVZX MOVSX MOVSXD BSWAP MOVBE).

import type { E } from './context.ts'
import { row, type Row } from './row.ts'
import type { OpSize, Size, Val } from './value.ts'

/** The bytes of v in reverse order. */
const reversed = <W extends OpSize>(e: E<W>, v: Val<W>): Val<W> => {
  const mask = (half: number): Val<W> => (e.bits === 64 ? (e.k64(half, half) as Val<number> as Val<W>) : e.n(half))
  const swap = (x: Val<W>, by: number, low: number) => e.or(e.and(e.shr(x, e.n(by)), mask(low)), e.shl(e.and(x, mask(low)), e.n(by)))
  if (e.bits === 8) return v
  let r = swap(v, 8, 0x00ff00ff)
  if (e.bits >= 32) r = swap(r, 16, 0x0000ffff)
  return e.bits === 64 ? e.or(e.shr(r, e.n(32)), e.shl(r, e.n(32))) : r
}

export const convert: Row[] = [
  row('CBW/CWDE/CDQE', '98', '+<rAX>', (e, v) => e.sx(e.low(v, (e.bits / 2) as Size), e.bits)),
  row('CWD/CDQ/CQO', '99', '=<rDX>, <rAX>', (e, v) => e.sar(v, e.n(e.bits - 1))),
  row('MOVZX', '0F B6 /r', '=r, r/m8', (e, v) => e.sized(v)),
  row('MOVZX', '0F B7 /r', '=r, r/m16', (e, v) => e.sized(v)),
  row('MOVSX', '0F BE /r', '=r, r/m8', (e, v) => e.sx(v, e.bits)),
  row('MOVSX', '0F BF /r', '=r, r/m16', (e, v) => e.sx(v, e.bits)),
  row('MOVSXD', '63 /r', '=r, r/m', (_e, v) => v, { modes: 'only64', sizes: [16, 32] }),
  row('MOVSXD', 'REX.W + 63 /r', '=r64, r/m32', (e, v) => e.sx(v, 64), { modes: 'only64' }),
  // A 16-bit operand is undefined; Intel parts give 0.
  row('BSWAP', '0F C8+r', '+r', (e, v) => (e.bits === 16 ? e.n(0) : reversed(e, v))),
  row('MOVBE', '0F 38 F0 /r', '=r, m.W', reversed, { feature: 'MOVBE', noRepeat: true }),
  row('MOVBE', '0F 38 F1 /r', '=m.W, r', reversed, { feature: 'MOVBE', noRepeat: true }),
]

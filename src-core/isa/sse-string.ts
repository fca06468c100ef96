// String and checksum instructions of SSE4.2 (SDM vol. 2B, 4.1: PCMPESTRI PCMPESTRM PCMPISTRI PCMPISTRM; vol. 2A: CRC32).

import type { E } from './context.ts'
import { row, type Row } from './row.ts'
import { sse } from './sse-family.ts'
import type { OpSize, V128, Val } from './value.ts'

/** An explicit length: the magnitude, at most 16. */
const clipped = <W extends OpSize, X extends 32 | 64>(e: E<W>, x: Val<X>, width: X): Val<32> => {
  const sign = e.sar(x, e.k(width, width - 1))
  const magnitude = e.sub(e.xor(x, sign), sign)
  return e.low(e.select(e.ltu(magnitude, e.k(width, 16)), magnitude, e.k(width, 16)), 32)
}
/** imm8 with both lengths, as the call wants them. */
const explicit = <W extends OpSize, X extends 32 | 64>(e: E<W>, n: Val<8>, a: Val<X>, b: Val<X>, width: X): Val<32> => {
  const lengths = e.or(e.shl(clipped(e, a, width), e.k(32, 8)), e.shl(clipped(e, b, width), e.k(32, 16)))
  return e.or(e.or(e.zx(n, 32), lengths), e.k(32, 1 << 24))
}

/** Sets the flags; gives the mask and the index. */
const compare = <W extends OpSize>(e: E<W>, a: V128, b: V128, control: Val<32>): { mask: V128; index: Val<32> } => {
  const [mask, answer] = e.call('pcmpstr', a, b, control)
  e.flags({ CF: e.bit(answer, 0), ZF: e.bit(answer, 1), SF: e.bit(answer, 2), OF: e.bit(answer, 3), AF: e.no, PF: e.no })
  return { mask, index: e.shr(answer, e.k(32, 8)) }
}

const crc = <W extends OpSize>(e: E<W>, sum: Val<32>, data: Val<number>, bytes: number): Val<32> =>
  e.call('crc32', sum, e.zx(data, 64), e.k(32, bytes))

export const sseString: readonly Row[] = [
  row(
    'PCMPESTRM',
    '66 0F 3A 60 /r ib',
    'xmm, xmm/m128u, imm8, <EAX>, <EDX>, =<XMM0>',
    (e, a, b, n, x, y) => compare(e, a, b, explicit(e, n, x, y, 32)).mask,
    sse('SSE4.2'),
  ),
  row(
    'PCMPESTRM',
    '66 REX.W + 0F 3A 60 /r ib',
    'xmm, xmm/m128u, imm8, <RAX>, <RDX>, =<XMM0>',
    (e, a, b, n, x, y) => compare(e, a, b, explicit(e, n, x, y, 64)).mask,
    sse('SSE4.2'),
  ),
  row(
    'PCMPESTRI',
    '66 0F 3A 61 /r ib',
    'xmm, xmm/m128u, imm8, <EAX>, <EDX>, =<ECX>',
    (e, a, b, n, x, y) => compare(e, a, b, explicit(e, n, x, y, 32)).index,
    sse('SSE4.2'),
  ),
  row(
    'PCMPESTRI',
    '66 REX.W + 0F 3A 61 /r ib',
    'xmm, xmm/m128u, imm8, <RAX>, <RDX>, =<ECX>',
    (e, a, b, n, x, y) => compare(e, a, b, explicit(e, n, x, y, 64)).index,
    sse('SSE4.2'),
  ),
  row('PCMPISTRM', '66 0F 3A 62 /r ib', 'xmm, xmm/m128u, imm8, =<XMM0>', (e, a, b, n) => compare(e, a, b, e.zx(n, 32)).mask, sse('SSE4.2')),
  row('PCMPISTRI', '66 0F 3A 63 /r ib', 'xmm, xmm/m128u, imm8, =<ECX>', (e, a, b, n) => compare(e, a, b, e.zx(n, 32)).index, sse('SSE4.2')),
  // general registers only: usable whatever CR0 and CR4 say of the vector state
  row('CRC32', 'F2 0F 38 F0 /r', '+r32, r/m8', (e, sum, v) => crc(e, sum, v, 1), { feature: 'SSE4.2' }),
  row('CRC32', 'F2 REX.W + 0F 38 F0 /r', '+r64, r/m8', (e, sum, v) => e.zx(crc(e, e.low(sum, 32), v, 1), 64), { feature: 'SSE4.2' }),
  row('CRC32', 'F2 0F 38 F1 /r', '+r32, r/m', (e, sum, v) => crc(e, sum, v, e.bits / 8), { feature: 'SSE4.2', sizes: [16, 32] }),
  row('CRC32', 'F2 REX.W + 0F 38 F1 /r', '+r64, r/m64', (e, sum, v) => e.zx(crc(e, e.low(sum, 32), v, 8), 64), { feature: 'SSE4.2' }),
]

// Integer rows against the SDM's pseudo-code, one bit or one digit at a time (SDM 2A/2B, by mnemonic).

import { describe, expect, it } from 'vitest'
import type { Row } from '../../src-core/isa/row.ts'
import { table } from '../../src-core/isa/table.ts'
import type { OpSize } from '../../src-core/isa/value.ts'
import { evaluate, type Flags } from './evaluate.ts'

const find = (mnemonic: string, encoding: string): Row => {
  const r = table.find((x) => x.mnemonic === mnemonic && x.encoding === encoding)
  if (!r) throw new RangeError(`${mnemonic} ${encoding}`)
  return r
}
const clear: Flags = { CF: 0, PF: 0, AF: 0, ZF: 0, SF: 0, OF: 0 }
const sizes: OpSize[] = [8, 16, 32, 64]
const mask = (w: number) => (1n << BigInt(w)) - 1n
// xorshift64: a fixed sequence
let seed = 0x9e3779b97f4a7c15n
const next = (w: number): bigint => {
  seed ^= (seed << 13n) & mask(64)
  seed ^= seed >> 7n
  seed ^= (seed << 17n) & mask(64)
  return seed & mask(w)
}
const interesting = (w: number): bigint[] => [0n, 1n, mask(w), mask(w) >> 1n, (mask(w) >> 1n) + 1n, next(w), next(w), next(w)]

describe('shifts and rotates, bit by bit', () => {
  // one step: [value, carry]
  const steps: Record<string, (v: bigint, c: bigint, w: number) => [bigint, bigint]> = {
    ROL: (v, _c, w) => [((v << 1n) | (v >> BigInt(w - 1))) & mask(w), v >> BigInt(w - 1)],
    ROR: (v, _c, w) => [(v >> 1n) | ((v & 1n) << BigInt(w - 1)), v & 1n],
    RCL: (v, c, w) => [((v << 1n) | c) & mask(w), v >> BigInt(w - 1)],
    RCR: (v, c, w) => [(v >> 1n) | (c << BigInt(w - 1)), v & 1n],
    SHL: (v, _c, w) => [(v << 1n) & mask(w), v >> BigInt(w - 1)],
    SAL: (v, _c, w) => [(v << 1n) & mask(w), v >> BigInt(w - 1)],
    SHR: (v) => [v >> 1n, v & 1n],
    SAR: (v, _c, w) => [(v >> 1n) | (v & (1n << BigInt(w - 1))), v & 1n],
  }
  Object.entries(steps).forEach(([mnemonic, step]) => {
    const n = ['ROL', 'ROR', 'RCL', 'RCR', 'SHL', 'SHR', 'SAL', 'SAR'].indexOf(mnemonic)
    it(mnemonic, () => {
      let checks = 0
      for (const w of sizes)
        for (const a of interesting(w))
          for (const CF of [0, 1])
            for (let count = 0; count < 256; count += count < 70 ? 1 : 37) {
              let masked = count & (w === 64 ? 63 : 31)
              const flagsChange = masked !== 0
              if (mnemonic === 'RCL' || mnemonic === 'RCR') masked %= w + 1 // a whole turn changes nothing
              let [v, c] = [a, BigInt(CF)]
              for (let i = 0; i < masked; i++) [v, c] = step(v, c, w)
              const before = { ...clear, CF, AF: 1, ZF: 1 }
              const by = (encoding: string, k: number) =>
                evaluate(
                  find(mnemonic, encoding),
                  w,
                  [
                    [a, w],
                    [BigInt(k), 8],
                  ],
                  before,
                )
              const r = by(w === 8 ? `D2 /${n}` : `D3 /${n}`, count)
              const where = `${mnemonic} ${w} ${a.toString(16)} by ${count}, CF ${CF}`
              expect(r.values[0], where).toBe(v)
              expect(r.flags.CF, where).toBe(flagsChange ? Number(c) : CF)
              if (!flagsChange) expect(r.flags, where).toEqual(before)
              else if (mnemonic.startsWith('R')) expect([r.flags.ZF, r.flags.AF], where).toEqual([1, 1])
              else expect(r.flags.ZF, where).toBe(Number(v === 0n))
              if (count === 1) {
                const once = by(w === 8 ? `D0 /${n}` : `D1 /${n}`, 1)
                expect([once.values, once.flags], where).toEqual([r.values, r.flags])
                expect(once.undefined.has('OF'), where).toBe(false)
                expect(once.flags.OF, where).toBe(Number((a ^ v) >> BigInt(w - 1)) * (mnemonic === 'SAR' ? 0 : 1))
              }
              checks++
            }
      expect(checks).toBeGreaterThan(4000)
    })
  })
  for (const [mnemonic, encoding] of [
    ['SHLD', '0F A5 /r'],
    ['SHRD', '0F AD /r'],
  ] as const)
    it(mnemonic, () => {
      for (const w of [16, 32, 64] as const)
        for (const a of interesting(w))
          for (const b of interesting(w))
            for (let count = 0; count <= (w === 16 ? 16 : w - 1); count++) {
              let [v, feed, c] = [a, b, 0n]
              for (let i = 0; i < count; i++)
                if (mnemonic === 'SHLD')
                  [v, feed, c] = [((v << 1n) | (feed >> BigInt(w - 1))) & mask(w), (feed << 1n) & mask(w), v >> BigInt(w - 1)]
                else [v, feed, c] = [(v >> 1n) | ((feed & 1n) << BigInt(w - 1)), feed >> 1n, v & 1n]
              const r = evaluate(
                find(mnemonic, encoding),
                w,
                [
                  [a, w],
                  [b, w],
                  [BigInt(count), 8],
                ],
                clear,
              )
              expect([r.values[0], r.flags.CF], `${mnemonic} ${w} ${a} ${b} ${count}`).toEqual([v, Number(c)])
              if (count === 1) expect(r.flags.OF).toBe(Number((a ^ v) >> BigInt(w - 1)))
            }
    })
})

describe('decimal adjustment', () => {
  const every = function* () {
    for (let al = 0; al < 256; al++) for (const CF of [0, 1]) for (const AF of [0, 1]) yield { al, CF, AF }
  }
  for (const sign of [1, -1])
    it(sign > 0 ? 'DAA' : 'DAS', () => {
      for (const { al, CF, AF } of every()) {
        let [v, c, a] = [al, 0, 0]
        if ((al & 15) > 9 || AF) {
          c = Number(CF || v + 6 * sign > 255 || v + 6 * sign < 0)
          v = (v + 6 * sign) & 255
          a = 1
        }
        if (al > 0x99 || CF) {
          v = (v + 0x60 * sign) & 255
          c = 1
        } else if (sign > 0) c = 0
        const r = evaluate(sign > 0 ? find('DAA', '27') : find('DAS', '2F'), 8, [[BigInt(al), 8]], { ...clear, CF, AF })
        expect([r.values[0], r.flags.CF, r.flags.AF, r.flags.ZF, r.flags.SF], `${al} ${CF} ${AF}`).toEqual([
          BigInt(v),
          c,
          a,
          Number(v === 0),
          v >> 7,
        ])
      }
    })
  for (const sign of [1, -1])
    it(sign > 0 ? 'AAA' : 'AAS', () => {
      for (const { al, AF } of every())
        for (const ah of [0, 1, 0x7f, 0xff]) {
          const over = (al & 15) > 9 || AF === 1
          let ax = (ah << 8) | al
          if (over) {
            ax = (ax + 6 * sign) & 0xffff
            ax = (ax + 0x100 * sign) & 0xffff
          }
          const r = evaluate(sign > 0 ? find('AAA', '37') : find('AAS', '3F'), 16, [[BigInt((ah << 8) | al), 16]], { ...clear, AF })
          expect([r.values[0], r.flags.CF, r.flags.AF]).toEqual([BigInt(ax & 0xff0f), Number(over), Number(over)])
        }
    })
  it('AAM and AAD', () => {
    for (let base = 0; base < 256; base += 5)
      for (const al of [0, 9, 63, 255]) {
        const aam = evaluate(
          find('AAM', 'D4 ib'),
          8,
          [
            [BigInt(al), 8],
            [BigInt(base), 8],
          ],
          clear,
        )
        if (base === 0) expect(aam.fault).toBe('#DE')
        else expect(aam.values).toEqual([BigInt(Math.floor(al / base)), BigInt(al % base)])
        const aad = evaluate(
          find('AAD', 'D5 ib'),
          8,
          [
            [7n, 8],
            [BigInt(al), 8],
            [BigInt(base), 8],
          ],
          clear,
        )
        expect(aad.values).toEqual([0n, BigInt((al + 7 * base) & 255)])
      }
  })
})

describe('arithmetic and bits', () => {
  it('ADC and SBB carry through', () => {
    for (const w of sizes)
      for (const a of interesting(w))
        for (const b of interesting(w))
          for (const CF of [0, 1]) {
            const adc = evaluate(
              find('ADC', w === 8 ? '10 /r' : '11 /r'),
              w,
              [
                [a, w],
                [b, w],
              ],
              { ...clear, CF },
            )
            const sum = a + b + BigInt(CF)
            expect([adc.values[0], adc.flags.CF]).toEqual([sum & mask(w), Number(sum >> BigInt(w))])
            const signedSum = BigInt.asIntN(w, a) + BigInt.asIntN(w, b) + BigInt(CF)
            expect(adc.flags.OF).toBe(Number(BigInt.asIntN(w, signedSum) !== signedSum))
            const sbb = evaluate(
              find('SBB', w === 8 ? '18 /r' : '19 /r'),
              w,
              [
                [a, w],
                [b, w],
              ],
              { ...clear, CF },
            )
            expect([sbb.values[0], sbb.flags.CF]).toEqual([(a - b - BigInt(CF)) & mask(w), Number(a < b + BigInt(CF))])
            expect(sbb.flags.AF).toBe(Number((a & 15n) < (b & 15n) + BigInt(CF)))
          }
  })
  it('INC, DEC and NEG', () => {
    for (const w of sizes)
      for (const a of interesting(w)) {
        const inc = evaluate(find('INC', w === 8 ? 'FE /0' : 'FF /0'), w, [[a, w]], { ...clear, CF: 1 })
        expect([inc.values[0], inc.flags.CF, inc.flags.OF]).toEqual([(a + 1n) & mask(w), 1, Number(a === mask(w) >> 1n)])
        const neg = evaluate(find('NEG', w === 8 ? 'F6 /3' : 'F7 /3'), w, [[a, w]], clear)
        expect([neg.values[0], neg.flags.CF]).toEqual([-a & mask(w), Number(a !== 0n)])
      }
  })
  it('BSWAP and MOVBE', () => {
    const bswap = (w: OpSize, v: bigint) => evaluate(find('BSWAP', '0F C8+r'), w, [[v, w]], clear).values[0]
    expect(bswap(32, 0x11223344n)).toBe(0x44332211n)
    expect(bswap(64, 0x1122334455667788n)).toBe(0x8877665544332211n)
    expect(bswap(16, 0x1122n)).toBe(0n)
    expect(evaluate(find('MOVBE', '0F 38 F0 /r'), 16, [[0x1122n, 16]], clear).values[0]).toBe(0x2211n)
  })
  it('bit scans and counts', () => {
    for (const w of [16, 32, 64] as const) {
      expect(
        evaluate(
          find('BSF', '0F BC /r'),
          w,
          [
            [5n, w],
            [0n, w],
          ],
          clear,
        ),
      ).toMatchObject({ values: [null], flags: { ZF: 1 } })
      for (let i = 0; i < w; i++) {
        const v = 1n << BigInt(i)
        const scan = (name: string, code: string, x: bigint) =>
          evaluate(
            find(name, code),
            w,
            [
              [0n, w],
              [x, w],
            ],
            clear,
          ).values[0]
        expect(scan('BSF', '0F BC /r', v | (mask(w) & ~(v - 1n)))).toBe(BigInt(i))
        expect(scan('BSR', '0F BD /r', v | (v - 1n))).toBe(BigInt(i))
        const bts = evaluate(
          find('BTS', '0F AB /r'),
          w,
          [
            [0n, w],
            [BigInt(i + 3 * w) & mask(w), w],
          ],
          clear,
        )
        expect([bts.values[0], bts.flags.CF]).toEqual([v, 0])
        const btr = evaluate(
          find('BTR', '0F BA /6 ib'),
          w,
          [
            [mask(w), w],
            [BigInt(i), 8],
          ],
          clear,
        )
        expect([btr.values[0], btr.flags.CF]).toEqual([mask(w) ^ v, 1])
      }
      expect(evaluate(find('TZCNT', 'F3 0F BC /r'), w, [[0n, w]], clear)).toMatchObject({ values: [BigInt(w)], flags: { CF: 1, ZF: 0 } })
      expect(evaluate(find('LZCNT', 'F3 0F BD /r'), w, [[mask(w), w]], clear)).toMatchObject({ values: [0n], flags: { CF: 0, ZF: 1 } })
    }
  })
  it('CMPXCHG8B and 16B', () => {
    const eight = (old: bigint) =>
      evaluate(
        find('CMPXCHG8B', '0F C7 /1'),
        32,
        [
          [old, 64],
          [1n, 32],
          [2n, 32],
          [3n, 32],
          [4n, 32],
        ],
        { ...clear, CF: 1, OF: 1 },
      )
    expect(eight(0x1_0000_0002n)).toMatchObject({ values: [0x3_0000_0004n, null, null], flags: { ZF: 1, CF: 1, OF: 1 } })
    expect(eight(0x5_0000_0002n)).toMatchObject({ values: [0x5_0000_0002n, 5n, 2n], flags: { ZF: 0, CF: 1, OF: 1 } })
  })
  it('LAHF and SAHF are inverse', () => {
    for (let v = 0; v < 256; v++) {
      const { flags } = evaluate(find('SAHF', '9E'), 8, [[BigInt(v), 8]], { ...clear, OF: 1 })
      expect(flags.OF).toBe(1)
      expect(evaluate(find('LAHF', '9F'), 8, [], flags).values[0]).toBe(BigInt((v & 0xd5) | 2))
    }
  })
  it('IDIV faults on a quotient that does not fit', () => {
    const idiv = find('IDIV', 'F7 /7')
    expect(
      evaluate(
        idiv,
        32,
        [
          [0xffffffffn, 32],
          [0x80000000n, 32],
          [0xffffffffn, 32],
        ],
        clear,
      ).fault,
    ).toBe('#DE')
    expect(
      evaluate(
        idiv,
        32,
        [
          [0n, 32],
          [7n, 32],
          [0xfffffffen, 32],
        ],
        clear,
      ).values,
    ).toEqual([1n, 0xfffffffdn])
  })
})

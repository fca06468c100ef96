// Masked and unmasked responses, stack faults, availability and special operands of the x87 (SDM 1 8.5; tables of SDM 2A).

import { beforeEach, describe, expect, it } from 'vitest'
import { unavailableVector, updateAvailability, waitVector } from '../../src-core/cpu/x87/availability.ts'
import { x87CallImplementations as calls } from '../../src-core/cpu/x87/calls.ts'
import type { CallName } from './x87-forms.ts'
import { state as s } from './x87-run.ts'

const [IE, DE, ZE, OE, UE, PE, SF, ES, C0, C1, C2, C3] = [1, 2, 4, 8, 16, 32, 0x40, 0x80, 0x100, 0x200, 0x400, 0x4000] as const
const scratch = new DataView(s.scratch.buffer, s.scratch.byteOffset, 64)

const load = (se: number, sig: bigint): void => {
  scratch.setBigUint64(0, sig, true)
  scratch.setUint32(16, se, true)
  calls.fldM80(s)
}
const number = (x: number): void => {
  scratch.setFloat64(0, x, true)
  calls.fldM64(s)
}
const run = (name: CallName, i = 0): void => {
  scratch.setInt32(0, i, true)
  expect(calls[name](s)).toBe(0)
}
/** ST(i) as "se:significand". */
const st = (i: number): string => {
  const p = (((s.fsw >> 11) + i) & 7) * 16
  const v = new DataView(s.fpr.buffer, s.fpr.byteOffset + p)
  return `${v.getUint16(8, true).toString(16).padStart(4, '0')}:${v.getBigUint64(0, true).toString(16).padStart(16, '0')}`
}
const value = (i: number): number => {
  const [se, sig] = st(i).split(':') as [string, string]
  const e = parseInt(se, 16)
  return (e & 0x8000 ? -1 : 1) * Number(BigInt(`0x${sig}`)) * 2 ** ((e & 0x7fff) - 16446)
}
const top = (): number => (s.fsw >> 11) & 7
const depth = (): number => s.ftw.toString(2).replace(/0/g, '').length

const ONE = 1n << 63n
const INDEFINITE = 'ffff:c000000000000000'
const INFINITY = '7fff:8000000000000000'
const NAN = 0xc123456789abcdefn
const SNAN = 0x8123456789abcdefn

beforeEach(() => {
  s.cr0 = 1n
  s.cr4 = 0x200n
  calls.fninit(s)
})

describe('numeric exceptions', () => {
  it('masked #Z delivers infinity, unmasked leaves the operands and becomes pending (8.5.3)', () => {
    number(3)
    number(0)
    run('fdivTo', 1)
    expect(st(1)).toBe(INFINITY)
    expect(s.fsw & 0xff).toBe(ZE)
    calls.fninit(s)
    s.fcw = 0x37f & ~ZE
    number(3)
    number(0)
    run('fdivPop', 1)
    expect([value(0), value(1), depth()]).toEqual([0, 3, 2])
    expect(s.fsw & 0x80ff).toBe(0x8000 | ES | ZE)
    expect(unavailableVector(s, 'x87')).toBe(16)
    expect(s.unavailable).toBe(5)
    expect(waitVector(s)).toBe(16)
    calls.fnclex(s)
    expect(s.fsw & 0x80ff).toBe(0)
    expect(s.unavailable).toBe(0)
  })
  it('masked overflow follows the rounding mode (table 4-10), unmasked wraps the exponent by 24576 (8.5.4)', () => {
    const overflow = (rc: number, sign: number): string => {
      calls.fninit(s)
      s.fcw = 0x37f | (rc << 10)
      load(0x7ffe | sign, ONE)
      number(4)
      run('fmul', 1)
      expect(s.fsw & 0x3f).toBe(OE | PE)
      return st(0)
    }
    const largest = '7ffe:ffffffffffffffff'
    expect([0, 1, 2, 3].map((rc) => overflow(rc, 0))).toEqual([INFINITY, largest, INFINITY, largest])
    expect([0, 1, 2, 3].map((rc) => overflow(rc, 0x8000).slice(1))).toEqual([INFINITY, INFINITY, largest, largest].map((x) => (x === INFINITY ? 'fff:8000000000000000' : 'ffe:ffffffffffffffff')))
    calls.fninit(s)
    s.fcw = 0x37f & ~OE
    load(0x7ffe, ONE)
    number(4)
    run('fmul', 1)
    expect(st(0)).toBe(`${(0x7ffe + 2 - 0x6000).toString(16)}:8000000000000000`)
    expect(s.fsw & (OE | PE | ES)).toBe(OE | ES)
  })
  it('masked underflow needs an inexact result, unmasked does not (8.5.5)', () => {
    load(1, ONE)
    number(0.5)
    run('fmul', 1)
    expect(st(0)).toBe('0000:4000000000000000')
    expect(s.fsw & 0x3f).toBe(0)
    calls.fninit(s)
    load(1, ONE | 1n)
    number(0.5)
    run('fmul', 1)
    expect(s.fsw & 0x3f).toBe(UE | PE)
    calls.fninit(s)
    s.fcw = 0x37f & ~UE
    load(1, ONE)
    number(0.5)
    run('fmul', 1)
    expect(st(0)).toBe('6000:8000000000000000')
    expect(s.fsw & (UE | PE | ES)).toBe(UE | ES)
  })
  it('a denormal operand is #D (8.5.2); unmasked, arithmetic stops and a load still pushes', () => {
    load(0, 1n)
    load(0, 0n)
    run('fadd', 1)
    expect(s.fsw & 0x3f).toBe(DE)
    calls.fninit(s)
    s.fcw = 0x37f & ~DE
    scratch.setUint32(0, 1, true)
    calls.fldM32(s)
    expect([st(0), s.fsw & 0xff]).toEqual(['3f6a:8000000000000000', ES | DE])
    load(0, 5n)
    run('fadd', 0)
    expect(st(0)).toBe('0000:0000000000000005')
  })
  it('an inexact result reports its direction in C1 (8.1.3.3)', () => {
    number(1)
    number(3)
    run('fdivr', 1)
    expect(st(0)).toBe('3ffd:aaaaaaaaaaaaaaab')
    expect(s.fsw & (PE | C1)).toBe(PE | C1)
    number(3)
    number(2)
    run('fdiv', 1)
    run('fchs')
    expect(s.fsw & C1).toBe(0)
  })
  it('rounds to 24 and 53 bits under precision control (8.1.5.2) in all four modes', () => {
    const third = (pc: number, rc: number, sign: number): string => {
      calls.fninit(s)
      s.fcw = 0x7f | (pc << 8) | (rc << 10)
      number(3 * sign)
      number(1)
      run('fdiv', 1)
      return st(0).slice(5)
    }
    expect([0, 1, 2, 3].map((rc) => third(0, rc, 1))).toEqual(['aaaaab0000000000', 'aaaaaa0000000000', 'aaaaab0000000000', 'aaaaaa0000000000'])
    expect([0, 1, 2, 3].map((rc) => third(2, rc, -1))).toEqual(['aaaaaaaaaaaaa800', 'aaaaaaaaaaaab000', 'aaaaaaaaaaaaa800', 'aaaaaaaaaaaaa800'])
  })
  it('stores that overflow unmasked neither store nor pop (8.5.4)', () => {
    s.fcw = 0x37f & ~OE
    load(0x5000, ONE)
    run('fstpM32')
    expect(scratch.getInt32(16, true) & 1).toBe(0)
    expect([depth(), s.fsw & (OE | PE | ES)]).toEqual([1, OE | ES])
  })
})

describe('invalid operations (8.5.1)', () => {
  it.each<[string, CallName, number, bigint, number, bigint]>([
    ['∞ − ∞', 'fsub', 0x7fff, ONE, 0x7fff, ONE],
    ['0 × ∞', 'fmul', 0, 0n, 0x7fff, ONE],
    ['0 ÷ 0', 'fdiv', 0, 0n, 0, 0n],
    ['∞ ÷ ∞', 'fdiv', 0x7fff, ONE, 0xffff, ONE],
    ['∞ REM', 'fprem', 0x7fff, ONE, 0x3fff, ONE],
    ['REM 0', 'fprem1', 0x3fff, ONE, 0, 0n],
    ['√ of a negative', 'fsqrt', 0xbfff, ONE, 0, 0n],
    ['sin ∞', 'fsin', 0x7fff, ONE, 0, 0n],
    ['an unnormal', 'fadd', 0x3fff, 1n, 0x3fff, ONE],
    ['a pseudo-infinity', 'fmul', 0x7fff, 0n, 0x3fff, ONE],
  ])('%s is the indefinite', (_, name, ase, a, bse, b) => {
    load(bse, b)
    load(ase, a)
    run(name, 1)
    expect(st(0)).toBe(INDEFINITE)
    expect(s.fsw & 0x7f).toBe(IE)
    expect(s.fsw & C1).toBe(0)
  })
  it('selects among NaNs as table 4-7 says', () => {
    const sum = (ase: number, a: bigint, bse: number, b: bigint): [string, number] => {
      calls.fninit(s)
      load(bse, b)
      load(ase, a)
      run('fadd', 1)
      return [st(0), s.fsw & IE]
    }
    expect(sum(0x7fff, NAN, 0x3fff, ONE)).toEqual(['7fff:c123456789abcdef', 0])
    expect(sum(0x7fff, SNAN, 0x3fff, ONE)).toEqual(['7fff:c123456789abcdef', IE])
    expect(sum(0x7fff, NAN, 0xffff, NAN + 1n)).toEqual(['ffff:c123456789abcdf0', 0])
    expect(sum(0x7fff, SNAN + 9n, 0xffff, NAN)).toEqual(['ffff:c123456789abcdef', IE])
    expect(sum(0xffff, NAN, 0x7fff, NAN)).toEqual(['7fff:c123456789abcdef', 0])
  })
  it('integer stores that do not fit deliver the integer indefinite, FBSTP the decimal one', () => {
    number(40000)
    run('fistpM16')
    expect(scratch.getUint16(0, true)).toBe(0x8000)
    expect(s.fsw & 0x3f).toBe(IE)
    number(1e18)
    run('fbstp')
    expect(scratch.getBigUint64(0, true)).toBe(0xc000000000000000n)
    expect(scratch.getUint32(16, true) & 0xffff).toBe(0xffff)
  })
})

describe('the register stack (8.5.1.1)', () => {
  it('overflow: the indefinite is pushed, C1 = 1; unmasked nothing happens', () => {
    for (let i = 0; i < 8; i++) run('fld1')
    run('fldz')
    expect([st(0), top(), s.fsw & (IE | SF | C1)]).toEqual([INDEFINITE, 7, IE | SF | C1])
    calls.fninit(s)
    s.fcw = 0x37f & ~IE
    for (let i = 0; i < 8; i++) run('fld1')
    run('fldz')
    expect([value(0), top(), s.fsw & (IE | SF | C1 | ES)]).toEqual([1, 0, IE | SF | C1 | ES])
  })
  it('underflow: the indefinite as result, C1 = 0; unmasked no pop', () => {
    run('faddPop', 1)
    expect([st(0), top(), s.fsw & (IE | SF | C1)]).toEqual([INDEFINITE, 1, IE | SF])
    calls.fninit(s)
    s.fcw = 0x37f & ~IE
    run('fstpM80')
    expect([scratch.getUint32(16, true) >> 16, top(), s.ftw]).toEqual([0, 0, 0])
  })
  it('FXAM tells the eight classes (SDM 2A table 3-32)', () => {
    const classify = (se: number, sig: bigint): number => {
      calls.fninit(s)
      load(se, sig)
      run('fxam')
      return s.fsw & (C0 | C1 | C2 | C3)
    }
    expect(classify(0xbfff, 1n)).toBe(C1)
    expect(classify(0x7fff, NAN)).toBe(C0)
    expect(classify(0x3fff, ONE)).toBe(C2)
    expect(classify(0xffff, ONE)).toBe(C0 | C1 | C2)
    expect(classify(0, 0n)).toBe(C3)
    expect(classify(0, 1n)).toBe(C2 | C3)
    calls.fninit(s)
    run('fxam')
    expect(s.fsw & (C0 | C2 | C3)).toBe(C0 | C3)
  })
  it('FLDCW that unmasks an old flag makes it pending', () => {
    number(1)
    run('fldz')
    run('fdivTo', 1)
    expect(s.fsw & (ZE | ES)).toBe(ZE)
    run('fldcw', 0x37b)
    expect([s.fcw, s.fsw & ES, s.unavailable]).toEqual([0x37b, ES, 5])
  })
})

describe('special operands', () => {
  const two = (name: CallName, y: [number, bigint], x: [number, bigint]): [string, number] => {
    calls.fninit(s)
    load(...y)
    load(...x)
    run(name)
    expect(depth()).toBe(1)
    return [st(0), s.fsw & 0x3f]
  }
  const zero: [number, bigint] = [0, 0n]
  const minusZero: [number, bigint] = [0x8000, 0n]
  const one: [number, bigint] = [0x3fff, ONE]
  const minusOne: [number, bigint] = [0xbfff, ONE]
  const infinity: [number, bigint] = [0x7fff, ONE]
  const minusInfinity: [number, bigint] = [0xffff, ONE]
  it('FPATAN (SDM 2A table 3-29): multiples of π/4 by quadrant', () => {
    const pi = 'c90fdaa22168c235'
    expect(two('fpatan', zero, one)).toEqual(['0000:0000000000000000', 0])
    expect(two('fpatan', minusZero, infinity)).toEqual(['8000:0000000000000000', 0])
    expect(two('fpatan', zero, minusOne)).toEqual([`4000:${pi}`, PE])
    expect(two('fpatan', minusZero, minusZero)).toEqual([`c000:${pi}`, PE])
    expect(two('fpatan', one, zero)).toEqual([`3fff:${pi}`, PE])
    expect(two('fpatan', infinity, infinity)).toEqual([`3ffe:${pi}`, PE])
    expect(two('fpatan', minusInfinity, minusInfinity)).toEqual(['c000:96cbe3f9990e91a8', PE])
    expect(two('fpatan', infinity, minusOne)).toEqual([`3fff:${pi}`, PE])
    expect(two('fpatan', one, one)).toEqual([`3ffe:${pi}`, PE])
  })
  it('FYL2X (SDM 2A table 3-48)', () => {
    expect(two('fyl2x', one, zero)).toEqual(['ffff:8000000000000000', ZE])
    expect(two('fyl2x', minusOne, zero)).toEqual([INFINITY, ZE])
    expect(two('fyl2x', zero, zero)).toEqual([INDEFINITE, IE])
    expect(two('fyl2x', one, minusOne)).toEqual([INDEFINITE, IE])
    expect(two('fyl2x', infinity, one)).toEqual([INDEFINITE, IE])
    expect(two('fyl2x', infinity, [0x3ffe, ONE])).toEqual(['ffff:8000000000000000', 0])
    expect(two('fyl2x', zero, infinity)).toEqual([INDEFINITE, IE])
    expect(two('fyl2x', minusOne, infinity)).toEqual(['ffff:8000000000000000', 0])
    expect(two('fyl2x', one, one)).toEqual(['0000:0000000000000000', 0])
    expect(two('fyl2x', one, [0x4002, ONE])[0]).toBe('4000:c000000000000000')
  })
  it('FPREM reports the low quotient bits, FPREM1 rounds the quotient (SDM 2A)', () => {
    const rem = (name: CallName, x: number, y: number): [number, number] => {
      calls.fninit(s)
      number(y)
      number(x)
      run(name)
      return [value(0), s.fsw & (C0 | C1 | C2 | C3)]
    }
    expect(rem('fprem', 17, 3)).toEqual([2, C0 | C1])
    expect(rem('fprem1', 17, 3)).toEqual([-1, C3 | C0])
    expect(rem('fprem', -17, 3)).toEqual([-2, C0 | C1])
    expect(rem('fprem1', 5, 2)).toEqual([1, C3])
    expect(rem('fprem', 7, 8)).toEqual([7, 0])
    calls.fninit(s)
    number(3)
    number(2 ** 200)
    run('fprem')
    expect(s.fsw & C2).toBe(C2)
    let rounds = 1
    while (s.fsw & C2) {
      run('fprem')
      expect(++rounds).toBeLessThan(8)
    }
    expect(value(0)).toBe(Number(2n ** 200n % 3n))
  })
  it('trigonometry refuses |x| ≥ 2^63 with C2 and leaves ST(0) (SDM 2A FSIN)', () => {
    for (const name of ['fsin', 'fcos', 'fptan', 'fsincos'] as const) {
      calls.fninit(s)
      number(2 ** 63)
      run(name)
      expect([value(0), depth(), s.fsw & C2], name).toEqual([2 ** 63, 1, C2])
    }
  })
  it('reduces by the 66-bit π: the sine of the nearest double extended to π is the bits that follow (SDM 1 8.3.8)', () => {
    run('fldpi')
    run('fsin')
    // C.90FDAA2 2168C235 − C.90FDAA2 2168C234C is a quarter of the last place, 2^-62
    expect(st(0)).toBe('bfbf:8000000000000000')
    expect(value(0)).toBe(-(2 ** -64))
  })
  it('FSCALE and FXTRACT at their limits', () => {
    expect(two('fyl2xp1', one, zero)).toEqual(['0000:0000000000000000', 0])
    number(100000)
    number(1)
    run('fscale')
    expect([st(0), s.fsw & 0x3f]).toEqual([INFINITY, OE | PE])
    calls.fninit(s)
    number(0)
    run('fxtract')
    expect([st(0), st(1), s.fsw & 0x3f]).toEqual(['0000:0000000000000000', 'ffff:8000000000000000', ZE])
    calls.fninit(s)
    number(-12)
    run('fxtract')
    expect([value(0), value(1)]).toEqual([-1.5, 3])
  })
})

describe('availability (SDM 3A tables 2-2, 13-1)', () => {
  const PE0 = 1n
  const [MP, EM, TS] = [2n, 4n, 8n] as const
  it.each([
    [0n, 0x200n, false, -1, -1, -1, -1, 0],
    [TS, 0x200n, false, 7, 7, 7, 7, 0],
    [TS | MP, 0x200n, false, 7, 7, 7, 7, 7],
    [MP, 0x200n, false, -1, -1, -1, -1, 0],
    [EM, 0x200n, false, 7, 7, 6, 6, 0],
    [0n, 0n, false, -1, -1, -1, 6, 0],
    [0n, 0x200n, true, 16, -1, 16, -1, 16],
    [TS, 0x200n, true, 7, 7, 7, 7, 16],
  ])('CR0 %s CR4 %s ES %s', (cr0, cr4, es, x87, noWait, mmx, sse, wait) => {
    s.cr0 = PE0 | cr0
    s.cr4 = cr4
    s.fsw = es ? 0x8081 : 0
    updateAvailability(s)
    const want = [x87, noWait, mmx, sse]
    expect((['x87', 'x87NoWait', 'mmx', 'sse'] as const).map((f) => unavailableVector(s, f))).toEqual(want)
    expect(s.unavailable).toBe(want.reduce((bits, v, i) => bits | (v >= 0 ? 1 << i : 0), 0))
    expect(waitVector(s)).toBe(wait)
  })
})

// A row's meaning on concrete values: the emit context as BigInt arithmetic, for tests of one row alone.
// Covers integers and flags; memory, the stack and control transfer belong to the engines' tests.

import type { E } from '../../src-core/isa/context.ts'
import type { Row } from '../../src-core/isa/row.ts'
import type { Condition, OpSize, Size } from '../../src-core/isa/value.ts'

export interface Flags {
  CF: number
  PF: number
  AF: number
  ZF: number
  SF: number
  OF: number
}
export interface Outcome {
  /** Returned values in the order of the operands written; null where a `~` operand is kept. */
  readonly values: (bigint | null)[]
  readonly flags: Flags
  /** Flags that the row calls undefined here. */
  readonly undefined: ReadonlySet<keyof Flags>
  readonly fault: string | undefined
}
class Fault extends Error {}

const mask = (w: number) => (1n << BigInt(w)) - 1n
const signed = (v: bigint, w: number) => BigInt.asIntN(w, v)
const parity = (v: bigint): number => {
  let ones = 0
  for (let x = v & 0xffn; x; x >>= 1n) ones ^= Number(x & 1n)
  return 1 - ones
}

/** Applies the row's meaning at operand size `bits`; inputs are values with their widths, in the order of the operands read. */
export function evaluate(row: Row, bits: OpSize, inputs: readonly (readonly [value: bigint, width: number])[], before: Flags): Outcome {
  const values: bigint[] = [0n]
  const widths: number[] = [0]
  const make = (v: bigint, w: number): number => {
    values.push(v & mask(w))
    widths.push(w)
    return values.length - 1
  }
  const V = (h: number) => values[h]!
  const W = (h: number) => widths[h]!
  const same = (a: number, b: number) => {
    if (W(a) !== W(b)) throw new TypeError(`${row.mnemonic}: widths ${W(a)} and ${W(b)}`)
    return W(a)
  }
  const count = (a: number, n: number) => BigInt(Number(V(n)) & (same(a, n) === 64 ? 63 : 31)) // as WebAssembly masks it
  const flags = { ...before }
  const undefinedFlags = new Set<keyof Flags>()
  const szp = (h: number) => ({ ZF: Number(V(h) === 0n), SF: Number(V(h) >> BigInt(W(h) - 1)), PF: parity(V(h)) })
  const carries = (a: bigint, b: bigint, r: bigint, w: number) => {
    const c = (a & b) | ((a | b) & ~r)
    const at = (i: number) => Number((c >> BigInt(i)) & 1n)
    return { CF: at(w - 1), OF: at(w - 1) ^ at(w - 2), AF: at(3) }
  }
  const conditions: Partial<Record<Condition, () => number>> = {
    b: () => before.CF,
    e: () => before.ZF,
    ne: () => 1 - before.ZF,
    s: () => before.SF,
    p: () => before.PF,
    o: () => before.OF,
  }
  const context = {
    bits,
    n: (x: number) => make(BigInt(x), bits),
    k: (w: Size, x: number) => make(BigInt(x), w),
    k64: (low: number, high: number) => make((BigInt(high) << 32n) | BigInt(low >>> 0), 64),
    get no() {
      return make(0n, 1)
    },
    get yes() {
      return make(1n, 1)
    },
    add: (a: number, b: number) => make(V(a) + V(b), same(a, b)),
    sub: (a: number, b: number) => make(V(a) - V(b), same(a, b)),
    mul: (a: number, b: number) => make(V(a) * V(b), same(a, b)),
    and: (a: number, b: number) => make(V(a) & V(b), same(a, b)),
    or: (a: number, b: number) => make(V(a) | V(b), same(a, b)),
    xor: (a: number, b: number) => make(V(a) ^ V(b), same(a, b)),
    not: (a: number) => make(~V(a), W(a)),
    shl: (a: number, n: number) => make(V(a) << count(a, n), W(a)),
    shr: (a: number, n: number) => make(V(a) >> count(a, n), W(a)),
    sar: (a: number, n: number) => make(signed(V(a), W(a)) >> count(a, n), W(a)),
    ctz: (a: number) => {
      for (let i = 0; i < W(a); i++) if ((V(a) >> BigInt(i)) & 1n) return make(BigInt(i), W(a))
      return make(BigInt(W(a)), W(a))
    },
    clz: (a: number) => make(BigInt(V(a) === 0n ? W(a) : W(a) - V(a).toString(2).length), W(a)),
    popcnt: (a: number) => make(BigInt(V(a).toString(2).replaceAll('0', '').length), W(a)),
    mulU: (a: number, b: number) => [make(V(a) * V(b), W(a)), make((V(a) * V(b)) >> BigInt(W(a)), W(a))],
    mulS: (a: number, b: number) => {
      const p = signed(V(a), W(a)) * signed(V(b), W(b))
      return [make(p, W(a)), make(p >> BigInt(W(a)), W(a))]
    },
    divU: ([low, high]: [number, number], d: number) => {
      const n = (V(high) << BigInt(W(d))) | V(low)
      const q = V(d) === 0n ? 0n : n / V(d)
      return { q: make(q, W(d)), r: make(n - q * V(d), W(d)), overflow: make(BigInt(V(d) === 0n || q > mask(W(d))), 1) }
    },
    divS: ([low, high]: [number, number], d: number) => {
      const w = W(d)
      const n = signed((V(high) << BigInt(w)) | V(low), 2 * w)
      const D = signed(V(d), w)
      const q = D === 0n ? 0n : n / D
      return { q: make(q, w), r: make(n - q * D, w), overflow: make(BigInt(D === 0n || signed(q, w) !== q), 1) }
    },
    zx: (a: number, to: number) => make(V(a), to),
    sx: (a: number, to: number) => make(signed(V(a), W(a)), to),
    low: (a: number, to: number) => make(V(a), to),
    sized: (a: number) => make(V(a), bits),
    bit: (a: number, i: number) => make(V(a) >> BigInt(i), 1),
    msb: (a: number) => make(V(a) >> BigInt(W(a) - 1), 1),
    eq: (a: number, b: number) => (same(a, b), make(BigInt(V(a) === V(b)), 1)),
    ltu: (a: number, b: number) => (same(a, b), make(BigInt(V(a) < V(b)), 1)),
    lts: (a: number, b: number) => make(BigInt(signed(V(a), same(a, b)) < signed(V(b), W(b))), 1),
    isZero: (a: number) => make(BigInt(V(a) === 0n), 1),
    select: (c: number, a: number, b: number) => (same(a, b), V(c) ? a : b),
    carry: () => make(BigInt(before.CF), 1),
    adjust: () => make(BigInt(before.AF), 1),
    cond: (c: Condition) => make(BigInt(conditions[c]!()), 1),
    flagsAdd: (a: number, b: number, r: number, keep?: 'keep') => {
      Object.assign(flags, szp(r), carries(V(a), V(b), V(r), W(r)), keep ? { CF: before.CF } : {})
    },
    flagsSub: (a: number, b: number, r: number, keep?: 'keep') => {
      Object.assign(flags, szp(r), carries(V(a) ^ mask(W(a)), V(b), V(r) ^ mask(W(r)), W(r)), keep ? { CF: before.CF } : {})
    },
    flagsLogic: (r: number) => {
      Object.assign(flags, szp(r), { CF: 0, OF: 0, AF: 0 })
      undefinedFlags.add('AF')
    },
    flagsUndefined: () => {
      for (const f of Object.keys(flags)) undefinedFlags.add(f as keyof Flags)
    },
    flags: (f: Record<string, number | 'keep' | { undefined: number | 'keep' } | undefined>) => {
      if (f.unless !== undefined && V(f.unless as number)) return
      const { result, ...each } = f
      delete each.unless
      const r = typeof result === 'object' ? result.undefined : result
      if (typeof r === 'number') Object.assign(flags, szp(r))
      if (typeof result === 'object') for (const n of ['SF', 'ZF', 'PF'] as const) undefinedFlags.add(n)
      if (f.ZF !== undefined) Object.assign(flags, { SF: 0, PF: 0 })
      for (const [name, flag] of Object.entries(each) as [keyof Flags, number | 'keep' | { undefined: number | 'keep' }][]) {
        if (typeof flag === 'object') undefinedFlags.add(name)
        const v = typeof flag === 'object' ? flag.undefined : flag
        flags[name] = v === 'keep' ? before[name] : Number(V(v))
      }
    },
    fault: (when: number, vector: string) => {
      if (V(when)) throw new Fault(vector)
    },
  }
  const written = row.operands.split(', ').filter((o) => /^[=+~]/.test(o)).length
  try {
    const returned: unknown = row.meaning(context as unknown as E<OpSize>, ...(inputs.map(([v, w]) => make(v, w)) as never[]))
    const list = (written > 1 ? returned : written === 1 ? [returned] : []) as (number | { when: number; write: number })[]
    const out = list.map((x) => (typeof x === 'number' ? V(x) : V(x.when) ? V(x.write) : null))
    return { values: out, flags, undefined: undefinedFlags, fault: undefined }
  } catch (e) {
    if (e instanceof Fault) return { values: [], flags: before, undefined: undefinedFlags, fault: e.message }
    throw e
  }
}

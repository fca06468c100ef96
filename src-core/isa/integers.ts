// Integer operations of the emit context as arena nodes (context.ts).
// 8, 16 and 32 bits are i32, 64 is i64. Narrow values may carry rubbish above their width until an operation looks there.

import { Type } from '../wasm/module.ts'
import { Op } from '../wasm/opcodes.ts'
import { Arena, Kind } from './arena.ts'
import type { Bit, OpSize, Pair, Size, Val } from './value.ts'

/** Functions of the module being printed that nodes may invoke. */
export interface Intrinsics {
  /** (low: i64, high: i64, divisor: i64) → quotient; needs high < divisor. */
  readonly divide128: number
}

export abstract class Integers extends Arena {
  bits: OpSize = 64
  protected abstract readonly intrinsics: Intrinsics

  n(x: number): Val<never> {
    return this.constant(this.bits, x) as Val<never>
  }
  k<X extends Size>(width: X, x: number): Val<X> {
    return this.constant(width, x) as Val<X>
  }
  k64(low: number, high: number): Val<64> {
    return this.constant(64, low, high) as Val<64>
  }
  get no(): Bit {
    return this.constant(1, 0) as Bit
  }
  get yes(): Bit {
    return this.constant(1, 1) as Bit
  }

  /** A binary operation in the type of `a`; 8- and 16-bit results are dirty if `dirty`. */
  private arithmetic(op32: number, op64: number, a: number, b: number, dirty = 1): number {
    const w = this.width[a]!
    return w === 64 ? this.binary(op64, Type.i64, 64, a, b) : this.binary(op32, Type.i32, w, a, b, w < 32 ? dirty : 0)
  }

  /** The value with nothing above its width. */
  protected clean(x: number): number {
    if (!this.dirty[x]) return x
    const w = this.width[x]!
    return this.binary(Op.i32And, Type.i32, w, x, this.constant(32, w === 8 ? 0xff : w === 16 ? 0xffff : 1))
  }

  add<X extends Size>(a: Val<X>, b: Val<X>) {
    return this.arithmetic(Op.i32Add, Op.i64Add, a, b) as Val<X>
  }
  sub<X extends Size>(a: Val<X>, b: Val<X>) {
    return this.arithmetic(Op.i32Sub, Op.i64Sub, a, b) as Val<X>
  }
  mul<X extends Size>(a: Val<X>, b: Val<X>) {
    return this.arithmetic(Op.i32Mul, Op.i64Mul, a, b) as Val<X>
  }
  and<X extends number>(a: Val<X>, b: Val<X>) {
    return this.arithmetic(Op.i32And, Op.i64And, a, b, this.dirty[a]! & this.dirty[b]!) as Val<X>
  }
  or<X extends number>(a: Val<X>, b: Val<X>) {
    return this.arithmetic(Op.i32Or, Op.i64Or, a, b, this.dirty[a]! | this.dirty[b]!) as Val<X>
  }
  xor<X extends number>(a: Val<X>, b: Val<X>) {
    return this.arithmetic(Op.i32Xor, Op.i64Xor, a, b, this.dirty[a]! | this.dirty[b]!) as Val<X>
  }
  not<X extends number>(a: Val<X>): Val<X> {
    const w = this.width[a]!
    if (w === 1) return this.unary(Op.i32Eqz, Type.i32, 1, this.clean(a)) as Val<X>
    return this.arithmetic(Op.i32Xor, Op.i64Xor, a, this.constant(w === 64 ? 64 : 32, -1), 1) as Val<X>
  }
  shl<X extends Size>(a: Val<X>, n: Val<X>) {
    return this.arithmetic(Op.i32Shl, Op.i64Shl, a, this.clean(n)) as Val<X>
  }
  shr<X extends Size>(a: Val<X>, n: Val<X>) {
    return this.arithmetic(Op.i32ShrU, Op.i64ShrU, this.clean(a), this.clean(n), 0) as Val<X>
  }
  sar<X extends Size>(a: Val<X>, n: Val<X>): Val<X> {
    return this.arithmetic(Op.i32ShrS, Op.i64ShrS, this.signed(a), this.clean(n), 1) as Val<X>
  }
  ctz<X extends Size>(a: Val<X>): Val<X> {
    const w = this.width[a]!
    return (w === 64 ? this.unary(Op.i64Ctz, Type.i64, 64, a) : this.unary(Op.i32Ctz, Type.i32, w, this.clean(a))) as Val<X>
  }
  clz<X extends Size>(a: Val<X>): Val<X> {
    const w = this.width[a]!
    if (w === 64) return this.unary(Op.i64Clz, Type.i64, 64, a) as Val<X>
    const wide = this.unary(Op.i32Clz, Type.i32, w, this.clean(a))
    return (w === 32 ? wide : this.binary(Op.i32Sub, Type.i32, w, wide, this.constant(32, 32 - w))) as Val<X>
  }
  popcnt<X extends Size>(a: Val<X>): Val<X> {
    const w = this.width[a]!
    return (w === 64 ? this.unary(Op.i64Popcnt, Type.i64, 64, a) : this.unary(Op.i32Popcnt, Type.i32, w, this.clean(a))) as Val<X>
  }

  zx<X extends Size>(x: Val<number>, to: X): Val<X> {
    const w = this.width[x]!
    if (w === to) return x as number as Val<X>
    if (w > to) return this.low(x, to)
    if (this.isConst(x)) return this.constant(to, this.a[x]!, 0) as Val<X>
    if (to === 64) return this.unary(Op.i64ExtendI32U, Type.i64, 64, this.clean(x)) as Val<X>
    return this.alias(this.clean(x), to) as Val<X>
  }
  low<X extends number>(x: Val<number>, to: X): Val<X> {
    const w = this.width[x]!
    if (w === to) return x as number as Val<X>
    if (this.isConst(x)) return this.constant(to, this.a[x]!) as Val<X>
    if (w === 64) return this.unary(Op.i32WrapI64, Type.i32, to, x, to < 32 ? 1 : 0) as Val<X>
    return this.alias(x, to, to < 32 ? 1 : 0) as Val<X>
  }
  sx<X extends Size>(x: Val<number>, to: X): Val<X> {
    const w = this.width[x]!
    if (w === to) return x as number as Val<X>
    if (w > to) return this.low(x, to)
    const wide = this.signed(x)
    if (to === 64) return this.unary(Op.i64ExtendI32S, Type.i64, 64, wide) as Val<X>
    return this.alias(wide, to, to === 32 ? 0 : 1) as Val<X>
  }
  /** A narrow value sign-extended inside its i32. */
  private signed(x: number): number {
    const w = this.width[x]!
    if (w === 8) return this.unary(Op.i32Extend8S, Type.i32, 8, x, 1)
    if (w === 16) return this.unary(Op.i32Extend16S, Type.i32, 16, x, 1)
    if (w === 1) return this.binary(Op.i32Sub, Type.i32, 32, this.constant(32, 0), this.clean(x))
    return x
  }
  sized(x: Val<number>) {
    return this.zx(x, this.bits) as Val<never>
  }
  bit<X extends number>(x: Val<X>, index: number): Bit {
    const w = this.width[x]!
    if (w === 64) {
      const s = index === 0 ? x : this.binary(Op.i64ShrU, Type.i64, 64, x, this.constant(64, index))
      return this.unary(Op.i32WrapI64, Type.i32, 1, s, 1) as Bit
    }
    const s = index === 0 ? x : this.binary(Op.i32ShrU, Type.i32, w, x, this.constant(32, index))
    return this.binary(Op.i32And, Type.i32, 1, s, this.constant(32, 1)) as Bit
  }
  msb<X extends number>(x: Val<X>): Bit {
    return this.bit(x, this.width[x]! - 1)
  }

  protected compare(op32: number, op64: number, a: number, b: number): Bit {
    if (this.width[a] === 64) return this.binary(op64, Type.i32, 1, a, b) as Bit
    return this.binary(op32, Type.i32, 1, this.clean(a), this.clean(b)) as Bit
  }
  protected compareSigned(op32: number, op64: number, a: number, b: number): Bit {
    if (this.width[a] === 64) return this.binary(op64, Type.i32, 1, a, b) as Bit
    return this.binary(op32, Type.i32, 1, this.signed(a), this.signed(b)) as Bit
  }
  eq<X extends number>(a: Val<X>, b: Val<X>) {
    return this.compare(Op.i32Eq, Op.i64Eq, a, b)
  }
  ltu<X extends number>(a: Val<X>, b: Val<X>) {
    return this.compare(Op.i32LtU, Op.i64LtU, a, b)
  }
  lts<X extends number>(a: Val<X>, b: Val<X>) {
    return this.compareSigned(Op.i32LtS, Op.i64LtS, a, b)
  }
  isZero(a: Val<number>): Bit {
    return (this.width[a] === 64 ? this.unary(Op.i64Eqz, Type.i32, 1, a) : this.unary(Op.i32Eqz, Type.i32, 1, this.clean(a))) as Bit
  }
  select<X extends number>(c: Bit, a: Val<X>, b: Val<X>): Val<X> {
    const condition = this.clean(c)
    this.use(a)
    this.use(b)
    this.use(condition)
    return this.node(Kind.Select, 0, this.type[a] as typeof Type.i32, this.width[a]!, this.dirty[a]! | this.dirty[b]!, a, b, condition) as Val<X>
  }

  // ---- double width ---------------------------------------------------------------------------
  mulU<X extends Size>(a: Val<X>, b: Val<X>): Pair<X> {
    return this.product(a, b, false)
  }
  mulS<X extends Size>(a: Val<X>, b: Val<X>): Pair<X> {
    return this.product(a, b, true)
  }
  private product<X extends Size>(a: Val<X>, b: Val<X>, signed: boolean): Pair<X> {
    const w = this.width[a] as X
    if (w < 64) {
      const wide = (v: Val<X>) => (signed ? this.sx(v, 64) : this.zx(v, 64))
      const p = this.mul(wide(a), wide(b))
      return [this.low(p, w), this.low(this.shr(p, this.k(64, w)), w)]
    }
    // 64 × 64 from four 32 × 32 products; the signed high half subtracts each operand under the other's sign
    const A = a as number as Val<64>
    const B = b as number as Val<64>
    const mask = this.k64(-1, 0)
    const half = this.k(64, 32)
    const [aLow, aHigh, bLow, bHigh] = [this.and(A, mask), this.shr(A, half), this.and(B, mask), this.shr(B, half)]
    const ll = this.mul(aLow, bLow)
    const lh = this.add(this.mul(aLow, bHigh), this.shr(ll, half))
    const hl = this.add(this.mul(aHigh, bLow), this.and(lh, mask))
    let high = this.add(this.add(this.mul(aHigh, bHigh), this.shr(lh, half)), this.shr(hl, half))
    if (signed) {
      const under = (sign: Val<64>, v: Val<64>) => this.and(this.sar(sign, this.k(64, 63)), v)
      high = this.sub(this.sub(high, under(A, B)), under(B, A))
    }
    return [this.mul(A, B), high] as unknown as Pair<X>
  }

  divU<X extends Size>([low, high]: Pair<X>, d: Val<X>): { q: Val<X>; r: Val<X>; overflow: Bit } {
    const w = this.width[d] as X
    const overflow = this.not(this.ltu(high, d))
    if (w === 64) {
      const [L, H, D] = [low, high, d] as unknown as [Val<64>, Val<64>, Val<64>]
      const q = this.invoke(this.intrinsics.divide128, Type.i64, 64, [L, H, D]) as Val<64>
      const r = this.sub(L, this.mul(q, D))
      return { q, r, overflow } as unknown as { q: Val<X>; r: Val<X>; overflow: Bit }
    }
    const n = this.or(this.zx(low, 64), this.shl(this.zx(high, 64), this.k(64, w)))
    const [q, r] = this.quotient(n, this.zx(d, 64))
    return { q: this.low(q, w), r: this.low(r, w), overflow }
  }

  divS<X extends Size>([low, high]: Pair<X>, d: Val<X>): { q: Val<X>; r: Val<X>; overflow: Bit } {
    const w = this.width[d] as X
    const negative = (v: Val<64>) => this.sar(v, this.k(64, 63)) // all ones or none
    const magnitude = (v: Val<64>, s: Val<64>) => this.sub(this.xor(v, s), s)
    const D = this.sx(d, 64)
    const dSign = negative(D)
    const dAbs = magnitude(D, dSign)
    let qAbs: Val<64>
    let rAbs: Val<64>
    let nSign: Val<64>
    let tooLarge: Bit
    if (w === 64) {
      const [L, H] = [low, high] as unknown as [Val<64>, Val<64>]
      nSign = negative(H)
      const lAbs = magnitude(L, nSign)
      // the borrow into the high half happens when the low half is not zero
      const hAbs = this.select(this.isZero(nSign), H, this.select(this.isZero(L), this.sub(this.k(64, 0), H), this.not(H)))
      tooLarge = this.not(this.ltu(hAbs, dAbs))
      qAbs = this.invoke(this.intrinsics.divide128, Type.i64, 64, [lAbs, hAbs, dAbs]) as Val<64>
      rAbs = this.sub(lAbs, this.mul(qAbs, dAbs))
    } else {
      const n = this.or(this.zx(low, 64), this.shl(this.zx(high, 64), this.k(64, w)))
      const N = w === 32 ? n : w === 16 ? this.sx(this.low(n, 32), 64) : this.sx(this.low(n, 16), 64)
      nSign = negative(N)
      ;[qAbs, rAbs] = this.quotient(magnitude(N, nSign), dAbs)
      tooLarge = this.isZero(D)
    }
    const qSign = this.xor(nSign, dSign)
    const limit = this.sub(w === 64 ? this.k64(-1, 0x7fffffff) : this.k64(w === 32 ? 0x7fffffff : w === 16 ? 0x7fff : 0x7f, 0), qSign) // one more when negative
    const overflow = this.or(tooLarge, this.ltu(limit, qAbs))
    const q = this.low(magnitude(qAbs, qSign), w)
    const r = this.low(magnitude(rAbs, nSign), w)
    return { q, r, overflow }
  }

  /** 64-bit unsigned division that does not trap: a divisor of 0 is taken as 1. */
  private quotient(n: Val<64>, d: Val<64>): [q: Val<64>, r: Val<64>] {
    const safe = this.or(d, this.zx(this.isZero(d), 64))
    const q = this.binary(Op.i64DivU, Type.i64, 64, n, safe) as Val<64>
    return [q, this.sub(n, this.mul(q, safe))]
  }
}

// Arithmetic flags in two words (README.md, "Flags"), kept pending as a kind and handles until somebody looks.
//
//   res  sign-extended result          ZF = res == 0   SF = res<63> ^ aux<0>   PF = even parity of res<7:0> ^ aux<1>
//   aux  63 CF │ 62 CF^OF │ 3 AF │ 1 PF correction │ 0 SF correction

import { Op } from '../wasm/opcodes.ts'
import { Kind } from './arena.ts'
import { LanesEmit } from './lanes-emit.ts'
import type { Bit, Condition, Done, FlagBit, FlagValues, Size, Val } from './value.ts'

const done = undefined as Done
const enum Pending { None, Add, Sub, Logic, Each }

/** Flags as values, not yet in the two words. Handles are 0 where the kind has no use for them. */
interface PendingFlags {
  kind: Pending
  a: number
  b: number
  result: number
  keepCarry: boolean
  carry: number
  overflow: number
  adjust: number
  unless: number
  /** SF and PF corrections for `aux`, when ZF, SF and PF were given one by one. */
  corrections: number
}
const none = (): PendingFlags => ({ kind: Pending.None, a: 0, b: 0, result: 0, keepCarry: false, carry: 0, overflow: 0, adjust: 0, unless: 0, corrections: 0 })

export abstract class FlagsEmit extends LanesEmit {
  /** What earlier instructions left pending, and what this one will. */
  protected flagState = none()
  private next = none()
  /** Somebody may look at the flags behind this instruction. */
  protected flagsLive = true

  protected abstract flagWord(word: 'res' | 'aux'): Val<64>
  protected abstract setFlagWord(word: 'res' | 'aux', value: () => void): void

  protected get flagHandles(): readonly number[] {
    const f = this.flagState
    return [f.a, f.b, f.result, f.carry, f.overflow, f.adjust, f.unless, f.corrections]
  }

  override reset(): void {
    super.reset()
    this.flagState = none()
    this.next = none()
  }

  // ---- reading --------------------------------------------------------------------------------
  carry(): Bit {
    const fused = this.fused('b')
    if (fused) return fused
    if (this.flagState.kind) this.materialise()
    return this.clean(this.low(this.shr(this.flagWord('aux'), this.k(64, 63)), 1)) as Bit
  }

  adjust(): Bit {
    if (this.flagState.kind) this.materialise()
    return this.clean(this.bit(this.flagWord('aux'), 3)) as Bit
  }

  /** A condition straight from the operands of the last subtraction, or 0. */
  private fused(c: Condition): Bit | 0 {
    const f = this.flagState
    if (f.kind === Pending.None) return 0
    if (f.kind === Pending.Sub && !f.keepCarry && this.isDifference(f)) {
      const { a, b } = f
      switch (c) {
        case 'e': return this.compare(Op.i32Eq, Op.i64Eq, a, b)
        case 'ne': return this.compare(Op.i32Ne, Op.i64Ne, a, b)
        case 'b': return this.compare(Op.i32LtU, Op.i64LtU, a, b)
        case 'ae': return this.compare(Op.i32GeU, Op.i64GeU, a, b)
        case 'be': return this.compare(Op.i32LeU, Op.i64LeU, a, b)
        case 'a': return this.compare(Op.i32GtU, Op.i64GtU, a, b)
        case 'l': return this.compareSigned(Op.i32LtS, Op.i64LtS, a, b)
        case 'ge': return this.compareSigned(Op.i32GeS, Op.i64GeS, a, b)
        case 'le': return this.compareSigned(Op.i32LeS, Op.i64LeS, a, b)
        case 'g': return this.compareSigned(Op.i32GtS, Op.i64GtS, a, b)
      }
    }
    if (f.kind !== Pending.Each && !f.unless && (c === 'e' || c === 'ne')) {
      const zero = this.isZero(f.result as Val<64>)
      return c === 'e' ? zero : this.not(zero)
    }
    return 0
  }

  /** Is the result literally a − b, with no borrow in it? */
  private isDifference(f: PendingFlags): boolean {
    return this.kind[f.result] === Kind.Binary && this.a[f.result] === f.a && this.b[f.result] === f.b
  }

  cond(c: Condition): Bit {
    const fused = this.fused(c)
    if (fused) return fused
    if (this.flagState.kind) this.materialise()
    const top = (word: Val<64>, index: number) => this.clean(this.low(this.shr(word, this.k(64, index)), 1)) as Bit
    const CF = () => top(this.flagWord('aux'), 63)
    const ZF = () => this.isZero(this.flagWord('res'))
    const SF = () => this.clean(this.xor(top(this.flagWord('res'), 63), this.low(this.flagWord('aux'), 1))) as Bit
    const OF = () => {
      const aux = this.flagWord('aux')
      return this.xor(top(aux, 63), top(aux, 62))
    }
    const PF = () => {
      const ones = this.popcnt(this.and(this.flagWord('res'), this.k64(0xff, 0)))
      return this.not(this.clean(this.xor(this.low(ones, 1), top(this.flagWord('aux'), 1))) as Bit)
    }
    switch (c) {
      case 'o': return OF()
      case 'no': return this.not(OF())
      case 'b': return CF()
      case 'ae': return this.not(CF())
      case 'e': return ZF()
      case 'ne': return this.not(ZF())
      case 'be': return this.or(CF(), ZF())
      case 'a': return this.not(this.or(CF(), ZF()))
      case 's': return SF()
      case 'ns': return this.not(SF())
      case 'p': return PF()
      case 'np': return this.not(PF())
      case 'l': return this.xor(SF(), OF())
      case 'ge': return this.not(this.xor(SF(), OF()))
      case 'le': return this.or(ZF(), this.xor(SF(), OF()))
      case 'g': return this.not(this.or(ZF(), this.xor(SF(), OF())))
    }
  }

  // ---- writing --------------------------------------------------------------------------------
  private pend(kind: Pending, a: number, b: number, result: number, keepCarry: boolean): Done {
    if (keepCarry && this.flagState.kind) this.materialise()
    if (!this.flagsLive) {
      this.flagState.kind = Pending.None
      return done
    }
    this.next = { ...none(), kind, a, b, result, keepCarry }
    return done
  }
  flagsAdd<X extends Size>(a: Val<X>, b: Val<X>, r: Val<X>, carry?: 'keep'): Done {
    return this.pend(Pending.Add, a, b, r, carry === 'keep')
  }
  flagsSub<X extends Size>(a: Val<X>, b: Val<X>, r: Val<X>, carry?: 'keep'): Done {
    return this.pend(Pending.Sub, a, b, r, carry === 'keep')
  }
  flagsLogic<X extends Size>(r: Val<X>): Done {
    return this.pend(Pending.Logic, 0, 0, r, false)
  }
  flags<X extends Size>(f: FlagValues<X>): Done {
    if (!this.flagsLive) {
      this.flagState.kind = Pending.None
      return done
    }
    if (this.flagState.kind) this.materialise()
    const chosen = typeof f.result === 'object' ? f.result.undefined : f.result
    const value = (flag: FlagBit, condition: Condition | 'adjust'): Bit => {
      const v = typeof flag === 'object' ? flag.undefined : flag
      if (v !== 'keep') return v
      return condition === 'adjust' ? this.bit(this.flagWord('aux'), 3) : this.cond(condition)
    }
    let result: number
    let corrections: number = 0
    if (f.ZF !== undefined) {
      // ZF chooses res = 0 or 1, whose parity is even or odd and sign positive; the corrections make SF and PF independent
      result = this.zx(this.not(f.ZF), 64)
      const SF = f.SF === undefined ? this.no : value(f.SF, 's')
      const PF = f.PF === undefined ? this.no : value(f.PF, 'p')
      const wrongParity = this.xor(PF, f.ZF)
      corrections = this.or(this.zx(this.clean(SF) as Bit, 64), this.shl(this.zx(this.clean(wrongParity) as Bit, 64), this.k(64, 1)))
    } else if (chosen === 'keep' || chosen === undefined) {
      result = this.flagWord('res')
      corrections = this.and(this.flagWord('aux'), this.k64(3, 0))
    } else result = chosen
    this.next = {
      ...none(),
      kind: Pending.Each,
      result,
      corrections,
      carry: value(f.CF, 'b'),
      overflow: value(f.OF, 'o'),
      adjust: value(f.AF, 'adjust'),
      unless: f.unless ?? 0,
    }
    return done
  }

  flagsUndefined(): Done {
    return done
  }

  protected get writesFlags(): boolean {
    return this.next.kind !== Pending.None
  }

  /** Counts the uses that the pending flags will make of their handles. */
  protected useFlags(): void {
    const f = this.next
    for (const x of [f.a, f.b, f.result, f.carry, f.overflow, f.adjust, f.unless, f.corrections]) if (x) this.use(x)
  }

  /** What this instruction pended becomes the state; the caller pins or materialises it. */
  protected commitFlags(): void {
    if (this.next.kind === Pending.None) return
    this.flagState = this.next
    this.next = none()
  }

  protected beginFlags(): void {
    this.next = none()
  }

  /** Turns pending flags into the two words. */
  protected materialise(): void {
    const f = this.flagState
    if (f.kind === Pending.None) return
    this.flagState = none()
    const r = f.result as Val<64>
    const w = this.width[r]!
    let aux: Val<64>
    if (f.kind === Pending.Logic) aux = this.k(64, 0)
    else if (f.kind === Pending.Each) {
      const at = (flag: number, index: number) => this.shl(this.zx(this.clean(flag) as Bit, 64), this.k(64, index))
      aux = this.or(this.or(at(f.carry, 63), at(this.xor(f.carry as Bit, f.overflow as Bit), 62)), at(f.adjust, 3))
      if (f.corrections) aux = this.or(aux, f.corrections as Val<64>)
    } else {
      const sub = f.kind === Pending.Sub
      const b = f.b as Val<64>
      const a = sub ? this.not(f.a as Val<64>) : (f.a as Val<64>)
      // carries out of every bit; a subtraction's are those of ~a + b, seen through r instead of ~r
      const carries = this.or(this.and(a, b), this.and(this.or(a, b), sub ? r : this.not(r)))
      if (w === 64) aux = this.and(carries, this.k64(8, 0xc0000000 | 0))
      else {
        const top = this.shl(this.zx(this.low(carries, w as Size), 64), this.k(64, 64 - w))
        const low = this.zx(this.and(this.low(carries, 32), this.k(32, 8)), 64)
        aux = this.or(this.and(top, this.k64(0, 0xc0000000 | 0)), low)
      }
      if (f.keepCarry) {
        // the old carry replaces bit 63, and bit 62 = CF ^ OF follows it
        const change = this.and(this.xor(aux, this.flagWord('aux')), this.k64(0, 0x80000000 | 0))
        aux = this.xor(this.xor(aux, change), this.shr(change, this.k(64, 1)))
      }
    }
    let res: Val<64> = this.sx(r as Val<number>, 64)
    if (f.unless) {
      const keep = f.unless as Bit
      res = this.select(keep, this.flagWord('res'), res)
      aux = this.select(keep, this.flagWord('aux'), aux)
    }
    this.use(aux)
    this.use(res)
    if (f.kind === Pending.Each || f.keepCarry || f.unless) this.force(aux)
    this.setFlagWord('res', () => this.emit(res))
    this.setFlagWord('aux', () => this.emit(aux))
  }
}

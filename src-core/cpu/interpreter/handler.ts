// The emit context of the interpreter: one handler per form, over registers addressed by the decoded record.

import { offsets } from '../../isa/state.ts'
import { Exit, Record } from '../record.ts'
import { RecordEmit } from './record-operands.ts'
import type { Assists } from '../../isa/assists.ts'
import { calls, type CallName, type Signature } from '../../isa/calls.ts'
import type { Family } from '../../isa/context.ts'
import { Reference } from '../../isa/emit.ts'
import type { Bit, FaultName, Val } from '../../isa/value.ts'
import { Tlb, TLB_ENTRIES, TLB_ENTRY } from '../../paging/tlb.ts'
import { Type } from '../../wasm/module.ts'
import { Op } from '../../wasm/opcodes.ts'

/** Where a handler is printed: as an arm of the run loop, or as a function of its own. */
export type Placement = { readonly arm: number /* br depth to the loop outside the instruction */ } | 'function'

const callNames = Object.keys(calls) as CallName[]
const familyBit: { [F in Family]: number } = { x87: 0, x87NoWait: 1, mmx: 2, sse: 3 }
const vectorOf: { [F in FaultName]: number } = {
  '#DE': 0, '#DB': 1, '#BP': 3, '#OF': 4, '#BR': 5, '#UD': 6, '#NM': 7, '#SS': 12, '#GP': 13, '#MF': 16, '#XM': 19,
}

export class HandlerEmit extends RecordEmit {
  private placement: Placement = 'function'
  private budget = -1
  private readonly tlb = 2
  /** Assist name and arguments found while the form was printed. */
  assistFound: { name: keyof Assists; args: readonly unknown[] } | undefined

  /** Locals: in an arm 0 record, 1 block, 2 TLB, 3 budget; in a function 0 record, 1 block, 2 TLB. */
  place(placement: Placement, flat = false): void {
    this.placement = placement
    this.flat = flat
    this.specialised = false
    this.budget = placement === 'function' ? -1 : 3
    this.assistFound = undefined
  }

  // ---- memory ---------------------------------------------------------------------------------------
  protected translate(linear: Val<64>, info: number): number {
    const address = this.temp(Type.i64)
    const p = this.temp(Type.i32)
    const size = info & 0xff
    this.use(linear)
    this.emit(linear)
    this.tee(address)
    this.code.u8(Op.i32WrapI64)
    this.i32(7) // page number × TLB_ENTRY
    this.code.u8(Op.i32ShrU)
    this.i32((TLB_ENTRIES - 1) * TLB_ENTRY)
    this.code.u8(Op.i32And)
    this.get(this.tlb)
    this.code.u8(Op.i32Add)
    this.tee(p)
    this.memory(Op.i64Load, info & Reference.write ? Tlb.writeTag : Tlb.readTag)
    this.get(address)
    if (info & Reference.aligned) this.i64(~0xfff | 15)
    else {
      if (size > 1) {
        this.i64(size - 1)
        this.code.u8(Op.i64Add)
      }
      this.i64(~0xfff)
    }
    this.code.u8(Op.i64And)
    this.code.u8(Op.i64Ne)
    this.arm(
      () => {
        if (this.budget >= 0) {
          this.get(this.blockLocal)
          this.get(this.budget)
          this.memory(Op.i32Store, offsets.budget)
        }
        this.get(this.record)
        this.get(address)
        this.code.u8(Op.i32WrapI64)
        this.get(address)
        this.i64(32)
        this.code.u8(Op.i64ShrU)
        this.code.u8(Op.i32WrapI64)
        this.i32(info)
        this.code.u8(Op.call)
        this.code.u32(this.functions.slow)
        this.set(p)
        if (this.budget >= 0) {
          this.get(this.blockLocal)
          this.memory(Op.i32Load, offsets.budget)
          this.set(this.budget)
        }
        this.get(p)
        this.code.u8(Op.i32Eqz)
        this.arm(() => this.leave(Exit.Pending))
      },
      () => {
        this.get(p)
        this.memory(Op.i32Load, Tlb.addend)
        this.get(address)
        this.code.u8(Op.i32WrapI64)
        this.code.u8(Op.i32Add)
        this.set(p)
      },
    )
    return p
  }

  // ---- leaving --------------------------------------------------------------------------------------
  private storeExit(exit: number, info?: () => void): void {
    this.get(this.blockLocal)
    this.i32(exit)
    this.memory(Op.i32Store, offsets.exit)
    if (!info) return
    this.get(this.blockLocal)
    info()
    this.memory(Op.i32Store, offsets.exitInfo)
  }
  private leave(exit: number, info?: () => void): void {
    this.storeExit(exit, info)
    this.leaveRun()
  }
  private leaveRun(): void {
    if (this.placement === 'function') {
      this.get(this.record)
      this.code.u8(Op.return)
    } else {
      this.code.u8(Op.br)
      this.code.u32(this.depth + this.placement.arm + 2)
    }
  }
  protected leaveFault(vector: FaultName): void {
    this.leave(Exit.Vector, () => this.i32(vectorOf[vector]))
  }
  protected checkFamily(f: Family): void {
    this.get(this.blockLocal)
    this.memory(Op.i32Load, offsets.unavailable)
    this.i32(1 << familyBit[f])
    this.code.u8(Op.i32And)
    this.arm(() => this.leave(Exit.Family, () => this.i32(familyBit[f])))
  }
  protected leaveAssist(name: keyof Assists, args: readonly unknown[]): void {
    this.assistFound = { name, args }
    this.leave(Exit.Assist)
  }
  protected printCall(name: CallName, signature: Signature): void {
    this.i32(callNames.indexOf(name))
    this.code.u8(Op.call)
    this.code.u32(this.functions.call)
    if (!signature.faults) {
      this.code.u8(Op.drop)
      return
    }
    const vector = this.temp(Type.i32)
    this.tee(vector)
    this.arm(() => this.leave(Exit.Vector, () => this.get(vector)))
  }

  /** Continues at the record on the stack. */
  private goOn(): void {
    if (this.placement === 'function') this.code.u8(Op.return)
    else {
      this.set(this.record)
      this.code.u8(Op.br)
      this.code.u32(this.depth + this.placement.arm)
    }
  }
  private following(): void {
    this.get(this.record)
    this.i32(Record.size)
    this.code.u8(Op.i32Add)
  }
  protected skip(): void {
    this.following()
    this.goOn()
  }
  protected finish(again: Bit | 0): void {
    if (this.assistFound) {
      this.code.u8(Op.unreachable)
      return
    }
    if (again) {
      this.emit(again)
      this.arm(() => {
        this.get(this.record)
        this.goOn()
      })
    }
    if (this.target) {
      if (this.taken) {
        const taken = this.clean(this.taken)
        this.use(taken)
        this.emit(taken)
        this.arm(() => this.jumpTo())
      } else return this.jumpTo()
    }
    this.following()
    this.goOn()
  }
  private rememberPage(local: number): void {
    this.get(this.blockLocal)
    this.memory(Op.i64Load, offsets.ripBase)
    this.set(local)
  }
  /** A jump that stayed in its page is linked: next time it goes straight to the record. */
  private linkWithinPage(page: number, next: number): void {
    this.get(page)
    this.get(this.blockLocal)
    this.memory(Op.i64Load, offsets.ripBase)
    this.code.u8(Op.i64Eq)
    this.arm(() => {
      this.get(this.record)
      this.get(next)
      this.memory(Op.i32Store, Record.link)
    })
  }
  private jumpTo(): void {
    const next = this.temp(Type.i32)
    const direct = this.form.operands.some((o) => o.place === 'relative')
    const page = this.temp(Type.i64)
    const search = (): void => {
      if (direct) this.rememberPage(page)
      this.get(this.blockLocal)
      if (direct) this.get(this.record)
      else this.i32(0)
      this.memory(Op.i32Store, offsets.from)
      this.get(this.blockLocal)
      this.emit(this.target)
      this.code.u8(Op.call)
      this.code.u32(this.functions.jump)
      this.tee(next)
      this.code.u8(Op.i32Eqz)
      this.arm(() => this.leaveRun())
      if (direct) this.linkWithinPage(page, next)
    }
    if (direct) {
      this.get(this.record)
      this.memory(Op.i32Load, Record.link)
      this.tee(next)
      this.code.u8(Op.i32Eqz)
      this.arm(search)
    } else search()
    this.get(next)
    this.goOn()
  }

  // ---- pseudo handlers ------------------------------------------------------------------------------
  /** The end of a decoded run: goes on at `immediate` from the page's start, at no cost. */
  printGoOn(): void {
    this.bits = 64
    this.get(this.budget)
    this.i32(1)
    this.code.u8(Op.i32Add)
    this.set(this.budget)
    const next = this.temp(Type.i32)
    this.get(this.record)
    this.memory(Op.i32Load, Record.link)
    this.tee(next)
    this.code.u8(Op.i32Eqz)
    const page = this.temp(Type.i64)
    this.arm(() => {
      this.rememberPage(page)
      this.get(this.blockLocal)
      this.get(this.record)
      this.memory(Op.i32Store, offsets.from)
      this.get(this.blockLocal)
      this.get(this.blockLocal)
      this.memory(Op.i64Load, offsets.ripBase)
      this.get(this.record)
      this.memory(Op.i64Load, Record.immediate)
      this.code.u8(Op.i64Add)
      this.get(this.blockLocal)
      this.memory(Op.i64Load, offsets.linearMask)
      this.code.u8(Op.i64And)
      this.code.u8(Op.call)
      this.code.u32(this.functions.jump)
      this.tee(next)
      this.code.u8(Op.i32Eqz)
      this.arm(() => this.leaveRun())
      this.linkWithinPage(page, next)
    })
    this.get(next)
    this.goOn()
    this.releaseTemporaries([])
  }
  /** Leaves at no cost for TypeScript. */
  printLeave(exit: number): void {
    this.get(this.budget)
    this.i32(1)
    this.code.u8(Op.i32Add)
    this.set(this.budget)
    this.leave(exit)
  }
  /** Raises an exception that decoding found. */
  printVector(vector: number): void {
    this.leave(Exit.Vector, () => this.i32(vector))
  }
}

// The emit context of the interpreter: one handler per form, over registers addressed by the decoded record.

import { offsets } from '../state.ts'
import { AddressKind, Exit, Record, SegmentBits } from '../record.ts'
import type { Assists } from '../../isa/assists.ts'
import { calls, type CallName, type Signature } from '../../isa/calls.ts'
import type { Family } from '../../isa/context.ts'
import { Emit, Reference } from '../../isa/emit.ts'
import type { Intrinsics } from '../../isa/integers.ts'
import type { LaneField } from '../../isa/lanes-emit.ts'
import type { Operand } from '../../isa/operand.ts'
import type { Addr, Bit, FaultName, Val } from '../../isa/value.ts'
import { Type, type TypeCode } from '../../wasm/module.ts'
import { Op } from '../../wasm/opcodes.ts'

/** Function numbers of the module the handlers are printed into. */
export interface Functions extends Intrinsics {
  readonly slow: number
  readonly call: number
  readonly address: number
  readonly stackAddress: number
  readonly jump: number
}

/** Where a handler is printed: as an arm of the run loop, or as a function of its own. */
export type Placement = { readonly arm: number /* br depth to the loop outside the instruction */ } | 'function'

/** TLB geometry that compiled code relies on (paging). */
export const Tlb = { entries: 4096, entrySize: 32, read: 0, write: 8, addend: 16 } as const
/** Info bit: the reference is to ES whatever the record's segment says. */
export const ES_REFERENCE = 1 << 12

const DF = 1 << 10
const callNames = Object.keys(calls) as CallName[]
export const familyBit: { [F in Family]: number } = { x87: 0, x87NoWait: 1, mmx: 2, sse: 3 }
const vectorOf: { [F in FaultName]: number } = {
  '#DE': 0, '#DB': 1, '#BP': 3, '#OF': 4, '#BR': 5, '#UD': 6, '#NM': 7, '#SS': 12, '#GP': 13, '#MF': 16, '#XM': 19,
}

export class HandlerEmit extends Emit {
  protected override readonly intrinsics: Intrinsics
  private placement: Placement = 'function'
  // locals of the surrounding function
  private record = 0
  private budget = -1
  protected override blockLocal = 1
  private tlb = 2
  protected override readonly scratchOffset = offsets.scratch
  /**
   * Printed for flat 64-bit addresses only: no segmentation, address size or stack size to look at. `specialised` tells whether
   * that made a difference.
   */
  private flat = false
  specialised = false
  /** Assist name and arguments found while the form was printed. */
  assistFound: { name: keyof Assists; args: readonly unknown[] } | undefined

  constructor(private readonly functions: Functions) {
    super()
    this.intrinsics = functions
  }

  /** Locals: in an arm 0 record, 1 block, 2 TLB, 3 budget; in a function 0 record, 1 block, 2 TLB. */
  place(placement: Placement, flat = false): void {
    this.placement = placement
    this.flat = flat
    this.specialised = false
    this.record = 0
    this.blockLocal = 1
    this.tlb = 2
    this.budget = placement === 'function' ? -1 : 3
    this.assistFound = undefined
  }

  // ---- registers --------------------------------------------------------------------------------
  private field(o: Operand): number {
    return o.place === 'rm' ? Record.rm : Record.reg
  }
  private loadOp(o: Operand): [op: number, type: TypeCode, width: number] {
    switch (o.representation) {
      case 'v128': return [Op.v128Load, Type.v128, 128]
      case 'f32': return [Op.f32Load, Type.f32, 0]
      case 'f64': return [Op.f64Load, Type.f64, 0]
      default:
        return o.width === 64 ? [Op.i64Load, Type.i64, 64] : [o.width === 8 ? Op.i32Load8U : o.width === 16 ? Op.i32Load16U : Op.i32Load, Type.i32, o.width]
    }
  }
  protected readRegister(o: Operand): number {
    const [op, type, width] = this.loadOp(o)
    return o.place === 'fixed' ? this.loadAt(op, type, width, this.blockLocal, o.at) : this.loadIndirect(op, type, width, this.blockLocal, this.record, this.field(o))
  }
  protected writeRegister(o: Operand, value: number): void {
    this.get(this.blockLocal)
    const offset = o.place === 'fixed' ? o.at : 0
    if (o.place !== 'fixed') {
      this.get(this.record)
      this.memory(Op.i32Load16U, this.field(o))
      this.code.u8(Op.i32Add)
    }
    const store = (op: number, v: number): void => {
      this.emit(v)
      this.memory(op, offset)
    }
    switch (o.representation) {
      case 'v128': return store(Op.v128Store, value)
      case 'f32': return store(Op.f32Store, value)
      case 'f64': return store(Op.f64Store, value)
    }
    if (o.file === 'mm') {
      store(Op.i64Store, value)
      // the exponent of a register written by MMX is all ones (SDM 3A 12.2)
      this.get(this.blockLocal)
      this.get(this.record)
      this.memory(Op.i32Load16U, this.field(o))
      this.code.u8(Op.i32Add)
      this.i32(0xffff)
      return this.memory(Op.i32Store16, 8)
    }
    if (o.file === 'xmm') return store(o.width === 64 ? Op.i64Store : o.width === 32 ? Op.i32Store : Op.i32Store16, value)
    if (o.inRegister32 || (o.width === 32 && o.file === 'gpr')) {
      // a 32-bit write clears the upper half
      const wide = this.zx(value as Val<number>, 64)
      return store(Op.i64Store, wide)
    }
    store(o.width === 8 ? Op.i32Store8 : o.width === 16 ? Op.i32Store16 : o.width === 32 ? Op.i32Store : Op.i64Store, value)
  }
  protected readGpr(n: number): Val<64> {
    return this.loadAt(Op.i64Load, Type.i64, 64, this.blockLocal, offsets.gpr + 8 * n) as Val<64>
  }
  protected writeGpr(n: number, value: Val<64>): void {
    this.use(value)
    this.force(value)
    this.get(this.blockLocal)
    this.emit(value)
    this.memory(Op.i64Store, offsets.gpr + 8 * n)
  }
  protected immediate(o: Operand): number {
    const w = o.width
    const op = w === 8 ? Op.i32Load8U : w === 16 ? Op.i32Load16U : w === 32 ? Op.i32Load : Op.i64Load
    return this.loadAt(op, w === 64 ? Type.i64 : Type.i32, w, this.record, Record.immediate)
  }
  protected stackIndex(): Val<32> {
    return this.loadAt(Op.i32Load16U, Type.i32, 32, this.record, Record.reg) as Val<32>
  }
  protected flagWord(word: 'res' | 'aux'): Val<64> {
    return this.loadAt(Op.i64Load, Type.i64, 64, this.blockLocal, offsets[word]) as Val<64>
  }
  protected setFlagWord(word: 'res' | 'aux', value: () => void): void {
    this.get(this.blockLocal)
    value()
    this.memory(Op.i64Store, offsets[word])
  }
  protected pinFlags(): void {
    this.materialise()
  }
  protected direction64(): Val<64> {
    return this.sx(this.loadAt(Op.i32Load, Type.i32, 32, this.blockLocal, offsets.direction) as Val<32>, 64)
  }

  protected codeLimit(): Val<64> {
    return this.loadAt(Op.i64Load32U, Type.i64, 64, this.blockLocal, offsets.segLimit + 4) as Val<64>
  }
  protected setDirection(down: boolean): void {
    this.get(this.blockLocal)
    this.i32(down ? -1 : 1)
    this.memory(Op.i32Store, offsets.direction)
    this.get(this.blockLocal)
    this.get(this.blockLocal)
    this.memory(Op.i32Load, offsets.rflags)
    this.i32(down ? DF : ~DF)
    this.code.u8(down ? Op.i32Or : Op.i32And)
    this.memory(Op.i32Store, offsets.rflags)
  }
  protected laneField(name: LaneField): Val<32> {
    return this.loadAt(Op.i32Load, Type.i32, 32, this.blockLocal, offsets[name]) as Val<32>
  }
  protected setLaneField(name: LaneField, value: () => void): void {
    this.get(this.blockLocal)
    value()
    this.memory(Op.i32Store, offsets[name])
  }

  // ---- RIP ----------------------------------------------------------------------------------------
  private ripBase(): Val<64> {
    return this.loadAt(Op.i64Load, Type.i64, 64, this.blockLocal, offsets.ripBase) as Val<64>
  }
  get nextRip(): Addr {
    const offset = this.loadAt(Op.i32Load16U, Type.i32, 32, this.record, Record.offset) as Val<32>
    const length = this.loadAt(Op.i32Load8U, Type.i32, 32, this.record, Record.length) as Val<32>
    return this.add(this.ripBase(), this.zx(this.add(offset, length), 64))
  }
  protected relative(): Addr {
    const target = this.add(this.ripBase(), this.loadAt(Op.i64Load, Type.i64, 64, this.record, Record.immediate) as Val<64>)
    return this.bits === 64 ? target : this.and(target, this.k64(this.bits === 16 ? 0xffff : -1, 0))
  }

  // ---- addresses ------------------------------------------------------------------------------------
  protected rawOffset(): Val<64> {
    const base = this.loadIndirect(Op.i64Load, Type.i64, 64, this.blockLocal, this.record, Record.base) as Val<64>
    const index = this.loadIndirect(Op.i64Load, Type.i64, 64, this.blockLocal, this.record, Record.index) as Val<64>
    const scale = this.loadAt(Op.i64Load8U, Type.i64, 64, this.record, Record.scale) as Val<64>
    const displacement = this.loadAt(Op.i64Load32S, Type.i64, 64, this.record, Record.displacement) as Val<64>
    return this.add(this.add(base, this.shl(index, scale)), displacement)
  }
  /** A value in a local of its own, changed by `print` if the record's byte at `field` has a bit of `mask`. */
  private adjusted(value: Val<64>, field: number, mask: number, print: (local: number) => void): Val<64> {
    this.specialised = true
    if (this.flat) return value
    const t = this.temp(Type.i64)
    this.use(value)
    this.emit(value)
    this.set(t)
    this.get(this.record)
    this.memory(Op.i32Load8U, field)
    if (mask !== 0xff) {
      this.i32(mask)
      this.code.u8(Op.i32And)
    }
    this.arm(() => {
      print(t)
      this.set(t)
    })
    return this.localNode(t, Type.i64, 64) as Val<64>
  }
  protected effectiveOffset(): Val<64> {
    // the address masks stand in the block at addressMasks[0, 1, 2]; kind's bits 1 and 2 choose
    return this.adjusted(this.rawOffset(), Record.kind, AddressKind.size32 | AddressKind.size16, (t) => {
      this.get(t)
      this.get(this.blockLocal)
      this.get(this.record)
      this.memory(Op.i32Load8U, Record.kind)
      this.i32(AddressKind.size32 | AddressKind.size16)
      this.code.u8(Op.i32And)
      this.i32(2)
      this.code.u8(Op.i32Shl)
      this.code.u8(Op.i32Add)
      this.memory(Op.i64Load, offsets.addressMasks)
      this.code.u8(Op.i64And)
    })
  }
  protected linear(offset: Val<64>, info: number, es?: 'es'): Val<64> {
    return this.adjusted(offset, Record.kind, 0xff, (t) => {
      this.get(this.blockLocal)
      this.get(this.record)
      this.get(t)
      this.i32(info | (es ? ES_REFERENCE : 0))
      this.code.u8(Op.call)
      this.code.u32(this.functions.address)
    })
  }
  protected addressMask(): Val<64> {
    return this.loadIndirect(Op.i64Load, Type.i64, 64, this.blockLocal, this.record, Record.index) as Val<64>
  }
  protected addressKeep(): Val<64> {
    return this.loadIndirect(Op.i64Load, Type.i64, 64, this.blockLocal, this.record, Record.base) as Val<64>
  }
  protected stackLinear(offset: Val<64>, info: number): Val<64> {
    return this.adjusted(offset, Record.segment, SegmentBits.legacyStack, (t) => {
      this.get(this.blockLocal)
      this.get(t)
      this.i32(info)
      this.code.u8(Op.call)
      this.code.u32(this.functions.stackAddress)
    })
  }
  protected stackPointer(value: Val<64>): Val<64> {
    return this.adjusted(value, Record.segment, SegmentBits.legacyStack, (t) => {
      this.get(t)
      this.get(this.blockLocal)
      this.memory(Op.i64Load, offsets.stackMask)
      this.code.u8(Op.i64And)
      this.get(this.blockLocal)
      this.memory(Op.i64Load, offsets.gpr + 8 * 4)
      this.get(this.blockLocal)
      this.memory(Op.i64Load, offsets.stackKeep)
      this.code.u8(Op.i64And)
      this.code.u8(Op.i64Or)
    })
  }

  protected translate(linear: Val<64>, info: number): number {
    const address = this.temp(Type.i64)
    const p = this.temp(Type.i32)
    const size = info & 0xff
    this.use(linear)
    this.emit(linear)
    this.tee(address)
    this.code.u8(Op.i32WrapI64)
    this.i32(7)
    this.code.u8(Op.i32ShrU)
    this.i32((Tlb.entries - 1) << 5)
    this.code.u8(Op.i32And)
    this.get(this.tlb)
    this.code.u8(Op.i32Add)
    this.tee(p)
    this.memory(Op.i64Load, info & Reference.write ? Tlb.write : Tlb.read)
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
      this.code.u32(this.depth + this.placement.arm + 1)
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
  protected checkPrivileged(): void {
    this.get(this.blockLocal)
    this.memory(Op.i32Load, offsets.cpl)
    this.arm(() => this.leave(Exit.Vector, () => this.i32(13)))
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

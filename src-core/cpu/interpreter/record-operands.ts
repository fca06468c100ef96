// Where the interpreter finds operands: registers by the offsets in the decoded record, addresses by its base, index and kind.

import { offsets } from '../../isa/state.ts'
import { AddressKind, Record, SegmentBits } from '../record.ts'
import { Emit } from '../../isa/emit.ts'
import type { Intrinsics } from '../../isa/integers.ts'
import type { LaneField } from '../../isa/lanes-emit.ts'
import type { Operand } from '../../isa/operand.ts'
import type { Addr, Val } from '../../isa/value.ts'
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

/** Info bit: the reference is to ES whatever the record's segment says. */
export const ES_REFERENCE = 1 << 12
const DF = 1 << 10

export abstract class RecordEmit extends Emit {
  protected override readonly intrinsics: Intrinsics
  // locals of the surrounding function
  protected readonly record = 0
  protected override readonly blockLocal = 1
  protected override readonly scratchOffset = offsets.scratch
  /**
   * Printed for flat 64-bit addresses only: no segmentation, address size or stack size to look at. `specialised` tells whether
   * that made a difference.
   */
  protected flat = false
  specialised = false

  constructor(protected readonly functions: Functions) {
    super()
    this.intrinsics = functions
  }

  // ---- registers --------------------------------------------------------------------------------
  protected field(o: Operand): number {
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
  protected ripBase(): Val<64> {
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

  /** FIP, FOP and FDP of the x87 instruction that completes (SDM 1 8.1.8, 8.1.9); the record's immediate holds FOP. */
  protected recordPointers(memory: boolean): void {
    const store = (op: number, field: number, value: Val<64> | Val<32>): void => {
      this.get(this.blockLocal)
      this.emit(value)
      this.memory(op, field)
    }
    const offset = this.loadAt(Op.i64Load16U, Type.i64, 64, this.record, Record.offset) as Val<64>
    const mask = this.loadAt(Op.i64Load, Type.i64, 64, this.blockLocal, offsets.linearMask) as Val<64>
    store(Op.i64Store, offsets.fip, this.and(this.add(this.ripBase(), offset), mask))
    store(Op.i32Store, offsets.fop, this.loadAt(Op.i32Load16U, Type.i32, 32, this.record, Record.immediate) as Val<32>)
    if (memory) store(Op.i64Store, offsets.fdp, this.effectiveOffset())
  }
}

// The functions every handler may call: segmentation of non-flat references, stack addresses, jumps, 128-bit division.

import { offsets } from '../../isa/state.ts'
import { AddressKind, Exit, Record, SegmentBits } from '../record.ts'
import { Arena } from '../../isa/arena.ts'
import { Reference } from '../../isa/emit.ts'
import { Type, type Func, type TypeCode } from '../../wasm/module.ts'
import { Op } from '../../wasm/opcodes.ts'
import { ES_REFERENCE } from './record-operands.ts'

/** A linear address that no translation holds: the slow path answers #GP(0) or #SS(0). */
const NOT_CANONICAL = [0, 0x80000000 | 0] as const
/** Entries of the code TLB: u64 linear page, u32 table of records by page offset, u32 unused. */
export const CodeTlb = { entries: 512, entrySize: 16, page: 0, table: 8 } as const

class Printer extends Arena {
  ops(...list: number[]): this {
    for (const op of list) this.opcode(op)
    return this
  }
  /** `if` without result. */
  when(body: () => void, otherwise?: () => void): void {
    this.arm(body, otherwise)
  }
  loadBlock(op: number, offset: number, block: number): void {
    this.get(block)
    this.memory(op, offset)
  }
  func(parameters: TypeCode[], results: TypeCode[], locals: TypeCode[], print: () => void): Func {
    this.reset()
    print()
    const code = this.code
    this.code = new (code.constructor as new () => typeof code)()
    return { parameters, results, locals, code }
  }
}

const { i32, i64 } = Type

/** (block, record, offset, info) → linear address in the operand's segment, after masking and limit checks (SDM 3A 5.3). */
export function addressFunction(): Func {
  const p = new Printer()
  const [block, record, offset, info, kind, segment] = [0, 1, 2, 3, 4, 5]
  return p.func([i32, i32, i64, i32], [i64], [i32, i32], () => {
    p.get(record)
    p.memory(Op.i32Load8U, Record.kind)
    p.tee(kind)
    p.i32(AddressKind.size32)
    p.ops(Op.i32And)
    p.when(
      () => {
        p.get(offset)
        p.i64(-1, 0)
        p.ops(Op.i64And)
        p.set(offset)
      },
      () => {
        p.get(kind)
        p.i32(AddressKind.size16)
        p.ops(Op.i32And)
        p.when(() => {
          p.get(offset)
          p.i64(0xffff, 0)
          p.ops(Op.i64And)
          p.set(offset)
        })
      },
    )
    p.get(info)
    p.i32(ES_REFERENCE)
    p.ops(Op.i32And)
    p.when(
      () => {
        p.i32(0)
        p.set(segment)
      },
      () => {
        p.get(record)
        p.memory(Op.i32Load8U, Record.segment)
        p.i32(SegmentBits.register)
        p.ops(Op.i32And)
        p.set(segment)
      },
    )
    p.get(kind)
    p.i32(AddressKind.legacy)
    p.ops(Op.i32And, Op.i32Eqz)
    p.when(() => {
      effectiveBase(p, block, segment)
      p.get(offset)
      p.ops(Op.i64Add, Op.return)
    })
    limited(p, block, offset, info, segment)
  })
}

/** (block, offset, info) → linear address of a stack reference outside 64-bit mode. */
export function stackAddressFunction(): Func {
  const p = new Printer()
  const [block, offset, info, segment] = [0, 1, 2, 3]
  return p.func([i32, i64, i32], [i64], [i32], () => {
    p.get(offset)
    p.loadBlock(Op.i64Load, offsets.stackMask, block)
    p.ops(Op.i64And)
    p.set(offset)
    p.i32(2)
    p.set(segment)
    limited(p, block, offset, info, segment)
  })
}

function effectiveBase(p: Printer, block: number, segment: number): void {
  p.get(block)
  p.get(segment)
  p.i32(3)
  p.ops(Op.i32Shl, Op.i32Add)
  p.memory(Op.i64Load, offsets.segEffective)
}

/** base + offset if the segment allows all bytes of the access, else an address that faults. */
function limited(p: Printer, block: number, offset: number, info: number, segment: number): void {
  const bound = (field: number): void => {
    p.get(block)
    p.get(segment)
    p.i32(2)
    p.ops(Op.i32Shl, Op.i32Add)
    p.memory(Op.i64Load32U, field)
  }
  const check = (low: number, high: number): void => {
    p.get(offset)
    bound(low)
    p.ops(Op.i64LtU)
    p.get(offset)
    p.get(info)
    p.i32(0xff)
    p.ops(Op.i32And, Op.i64ExtendI32U, Op.i64Add)
    p.i64(1)
    p.ops(Op.i64Sub)
    bound(high)
    p.ops(Op.i64GtU, Op.i32Or)
    p.when(() => {
      p.i64(...NOT_CANONICAL)
      p.ops(Op.return)
    })
  }
  p.get(info)
  p.i32(Reference.write)
  p.ops(Op.i32And)
  p.when(
    () => check(offsets.segWriteLow, offsets.segWriteHigh),
    () => check(offsets.segReadLow, offsets.segReadHigh),
  )
  effectiveBase(p, block, segment)
  p.get(offset)
  p.ops(Op.i64Add)
  p.i64(-1, 0)
  p.ops(Op.i64And)
}

/** (block, RIP) → the record there, having set ripBase; or 0, having set rip and the exit code. */
export function jumpFunction(): Func {
  const p = new Printer()
  const [block, rip, linear, entry, record] = [0, 1, 2, 3, 4]
  return p.func([i32, i64], [i32], [i64, i32, i32], () => {
    p.get(rip)
    p.loadBlock(Op.i64Load, offsets.csBase, block)
    p.ops(Op.i64Add)
    p.loadBlock(Op.i64Load, offsets.linearMask, block)
    p.ops(Op.i64And)
    p.tee(linear)
    p.ops(Op.i32WrapI64)
    p.i32(12 - 4)
    p.ops(Op.i32ShrU)
    p.i32((CodeTlb.entries - 1) * CodeTlb.entrySize)
    p.ops(Op.i32And)
    p.loadBlock(Op.i32Load, offsets.codeTlb, block)
    p.ops(Op.i32Add)
    p.tee(entry)
    p.memory(Op.i64Load, CodeTlb.page)
    p.get(linear)
    p.i64(~0xfff)
    p.ops(Op.i64And, Op.i64Eq)
    p.when(() => {
      p.get(entry)
      p.memory(Op.i32Load, CodeTlb.table)
      p.get(linear)
      p.ops(Op.i32WrapI64)
      p.i32(0xfff)
      p.ops(Op.i32And)
      p.i32(2)
      p.ops(Op.i32Shl, Op.i32Add)
      p.memory(Op.i32Load, 0)
      p.tee(record)
      p.when(() => {
        p.get(block)
        p.get(rip)
        p.get(linear)
        p.i64(0xfff)
        p.ops(Op.i64And, Op.i64Sub)
        p.memory(Op.i64Store, offsets.ripBase)
        p.get(record)
        p.ops(Op.return)
      })
    })
    p.get(block)
    p.get(rip)
    p.memory(Op.i64Store, offsets.rip)
    p.get(block)
    p.i32(Exit.Jump)
    p.memory(Op.i32Store, offsets.exit)
    p.i32(0)
  })
}

/** (low, high, divisor) → quotient of an unsigned 128-bit value; 0 when it would not fit. Shift and subtract. */
export function divide128Function(): Func {
  const p = new Printer()
  const [low, high, divisor, count, carry] = [0, 1, 2, 3, 4]
  return p.func([i64, i64, i64], [i64], [i32, i32], () => {
    p.get(high)
    p.get(divisor)
    p.ops(Op.i64GeU)
    p.when(() => {
      p.i64(0)
      p.ops(Op.return)
    })
    p.get(high)
    p.ops(Op.i64Eqz)
    p.when(() => {
      p.get(low)
      p.get(divisor)
      p.ops(Op.i64DivU, Op.return)
    })
    p.i32(64)
    p.set(count)
    p.ops(Op.loop, 0x40)
    // the bit shifted out of `high` makes it at least the divisor
    p.get(high)
    p.i64(63)
    p.ops(Op.i64ShrU, Op.i32WrapI64)
    p.set(carry)
    p.get(high)
    p.i64(1)
    p.ops(Op.i64Shl)
    p.get(low)
    p.i64(63)
    p.ops(Op.i64ShrU, Op.i64Or)
    p.set(high)
    p.get(low)
    p.i64(1)
    p.ops(Op.i64Shl)
    p.set(low)
    p.get(carry)
    p.get(high)
    p.get(divisor)
    p.ops(Op.i64GeU, Op.i32Or)
    p.when(() => {
      p.get(high)
      p.get(divisor)
      p.ops(Op.i64Sub)
      p.set(high)
      p.get(low)
      p.i64(1)
      p.ops(Op.i64Or)
      p.set(low)
    })
    p.get(count)
    p.i32(1)
    p.ops(Op.i32Sub)
    p.tee(count)
    p.ops(Op.brIf, 0)
    p.ops(Op.end)
    p.get(low)
  })
}

// Values as nodes of a flat arena, printed as WebAssembly when a row commits.
// A node used once is printed in place; one used twice gets a temporary local. No object per value.

import { Bytes } from '../wasm/bytes.ts'
import { Type, type TypeCode } from '../wasm/module.ts'
import { Op } from '../wasm/opcodes.ts'

/** What a node's `a`, `b`, `c` mean. Operands are node handles unless said otherwise. */
export const enum Kind {
  Const, //    a low, b high half
  V128Const, // a: index into `vectors`
  Local, //    a: local index
  Unary, //    op(a)
  Binary, //   op(a, b)
  Ternary, //  op(a, b, c)
  Lane, //     op(a [, b]) with a lane immediate in c; b = 0: none
  Shuffle, //  i8x16.shuffle(a, b), c: index into `vectors`
  Select, //   c ? a : b
  Load, //     op at local a + offset c
  Indirect, // op at local `a` + the unsigned 16-bit field at local b + c (register named by a decoded record)
  Invoke, //   internal function a with argument nodes from `arguments_[b]`
  Alias, //    the same WebAssembly value as a, in another width
}

const CAPACITY = 1 << 16

export abstract class Arena {
  protected readonly kind = new Uint8Array(CAPACITY)
  protected readonly op = new Uint16Array(CAPACITY)
  /** Width in bits as rows see it; 0 for floats, 128 for vectors. */
  protected readonly width = new Uint8Array(CAPACITY)
  protected readonly type = new Uint8Array(CAPACITY)
  /** 1: bits above the width are rubbish. */
  protected readonly dirty = new Uint8Array(CAPACITY)
  protected readonly refs = new Uint8Array(CAPACITY)
  private readonly temporary = new Int16Array(CAPACITY)
  protected readonly a = new Int32Array(CAPACITY)
  protected readonly b = new Int32Array(CAPACITY)
  protected readonly c = new Int32Array(CAPACITY)
  private top = 1
  /** Nodes given a temporary, newest last, so that an arm's temporaries can be forgotten. */
  private readonly bound: number[] = []
  private readonly free = new Map<TypeCode, number[]>()
  private lent: number[] = []
  protected vectors: Uint8Array[] = []
  protected arguments_: number[][] = []

  code = new Bytes()
  /** Types of the temporaries, from local `firstTemporary`. */
  locals: TypeCode[] = []
  firstTemporary = 0
  /** Nesting of blocks around the code being printed, inside the instruction. */
  depth = 0

  /** Forget everything: the start of a function. */
  reset(): void {
    this.top = 1
    this.code.length = 0
    this.locals = []
    this.free.clear()
    this.lent = []
    this.bound.length = 0
    this.vectors = []
    this.arguments_ = []
    this.depth = 0
  }

  // ---- building -------------------------------------------------------------------------------
  protected node(kind: Kind, op: number, type: TypeCode, width: number, dirty: number, a: number, b: number, c: number): number {
    const i = this.top++
    if (i >= CAPACITY) throw new RangeError('emit arena overflow')
    this.kind[i] = kind
    this.op[i] = op
    this.type[i] = type
    this.width[i] = width
    this.dirty[i] = dirty
    this.a[i] = a
    this.b[i] = b
    this.c[i] = c
    this.refs[i] = 0
    this.temporary[i] = -1
    return i
  }

  /** Counts one more use; only whether there are two matters. */
  protected use(x: number): void {
    if (this.refs[x]! < 2) this.refs[x]!++
  }

  protected unary(op: number, type: TypeCode, width: number, a: number, dirty = 0): number {
    this.use(a)
    return this.node(Kind.Unary, op, type, width, dirty, a, 0, 0)
  }

  protected binary(op: number, type: TypeCode, width: number, a: number, b: number, dirty = 0): number {
    this.use(a)
    this.use(b)
    return this.node(Kind.Binary, op, type, width, dirty, a, b, 0)
  }

  protected ternary(op: number, type: TypeCode, width: number, a: number, b: number, c: number): number {
    this.use(a)
    this.use(b)
    this.use(c)
    return this.node(Kind.Ternary, op, type, width, 0, a, b, c)
  }

  /** A SIMD operation with a lane immediate: extract (`b` = 0) or replace. */
  protected lane(op: number, type: TypeCode, width: number, lane: number, a: number, b = 0): number {
    this.use(a)
    if (b) this.use(b)
    return this.node(Kind.Lane, op, type, width, 0, a, b, lane)
  }

  /** i8x16.shuffle with sixteen lane numbers (0…15 of a, 16…31 of b). */
  protected shuffle(a: number, b: number, lanes: ArrayLike<number>): number {
    this.use(a)
    this.use(b)
    this.vectors.push(Uint8Array.from(lanes))
    return this.node(Kind.Shuffle, 0x10d, Type.v128, 128, 0, a, b, this.vectors.length - 1)
  }

  protected v128Const(bytes: ArrayLike<number>): number {
    this.vectors.push(Uint8Array.from(bytes))
    return this.node(Kind.V128Const, 0x10c, Type.v128, 128, 0, this.vectors.length - 1, 0, 0)
  }

  /** An integer constant; `low` and `high` are 32-bit halves, narrow ones are cut to their width. */
  protected constant(width: number, low: number, high = low < 0 ? -1 : 0): number {
    return this.node(Kind.Const, 0, width === 64 ? Type.i64 : Type.i32, width, 0, width < 32 ? low & ((1 << width) - 1) : low | 0, high | 0, 0)
  }

  protected localNode(index: number, type: TypeCode, width: number): number {
    return this.node(Kind.Local, 0, type, width, 0, index, 0, 0)
  }

  /** A load at `local + offset`, printed where its value is needed: only for memory that cannot change before. */
  protected loadAt(op: number, type: TypeCode, width: number, local: number, offset: number): number {
    return this.node(Kind.Load, op, type, width, 0, local, 0, offset)
  }

  /** A load at `base` + (u16 at `record` + field). */
  protected loadIndirect(op: number, type: TypeCode, width: number, base: number, record: number, field: number): number {
    return this.node(Kind.Indirect, op, type, width, 0, base, record, field)
  }

  /** A call of function number `index` that has no effect but its result. */
  protected invoke(index: number, type: TypeCode, width: number, args: number[]): number {
    for (const x of args) this.use(x)
    this.arguments_.push(args)
    return this.node(Kind.Invoke, 0, type, width, 0, index, this.arguments_.length - 1, 0)
  }

  protected alias(x: number, width: number, dirty = 0): number {
    this.use(x)
    this.use(x)
    return this.node(Kind.Alias, 0, this.type[x] as TypeCode, width, dirty, x, 0, 0)
  }

  protected isConst(x: number): boolean {
    return this.kind[x] === Kind.Const
  }

  // ---- printing -------------------------------------------------------------------------------
  get(local: number): void {
    this.code.u8(Op.localGet)
    this.code.u32(local)
  }

  set(local: number): void {
    this.code.u8(Op.localSet)
    this.code.u32(local)
  }

  tee(local: number): void {
    this.code.u8(Op.localTee)
    this.code.u32(local)
  }

  i32(x: number): void {
    this.code.u8(Op.i32Const)
    this.code.s32(x)
  }

  i64(low: number, high = low < 0 ? -1 : 0): void {
    this.code.u8(Op.i64Const)
    this.code.s64(low, high)
  }

  /** An opcode; 100H and above are SIMD. */
  opcode(op: number): void {
    if (op >= 0x100) {
      this.code.u8(0xfd)
      this.code.u32(op - 0x100)
    } else this.code.u8(op)
  }

  /** A load or store opcode with its memory argument; alignment hint 0. */
  memory(op: number, offset: number): void {
    this.opcode(op)
    this.code.u8(0)
    this.code.u32(offset)
  }

  /** A temporary local that `releaseTemporaries` takes back when the instruction ends. */
  protected temp(type: TypeCode): number {
    let list = this.free.get(type)
    if (!list) this.free.set(type, (list = []))
    let t = list.pop()
    if (t === undefined) {
      t = this.firstTemporary + this.locals.length
      this.locals.push(type)
    }
    this.lent.push(t)
    return t
  }

  /** Temporaries that no value in `kept` occupies become free. */
  protected releaseTemporaries(kept: readonly number[]): void {
    const held = new Set<number>()
    for (const x of kept) if (x && this.temporary[x]! >= 0) held.add(this.temporary[x]!)
    const still: number[] = []
    for (const t of this.lent) {
      if (held.has(t)) still.push(t)
      else this.free.get(this.locals[t - this.firstTemporary]!)!.push(t)
    }
    this.lent = still
  }

  /** Prints a node's value onto the WebAssembly stack. */
  emit(x: number): void {
    if (this.temporary[x]! >= 0) return this.get(this.temporary[x]!)
    const a = this.a[x]!
    const b = this.b[x]!
    const c = this.c[x]!
    switch (this.kind[x] as Kind) {
      case Kind.Const:
        if (this.type[x] === Type.i64) this.i64(a, b)
        else this.i32(a)
        return
      case Kind.Local:
        return this.get(a)
      case Kind.Alias:
        return this.emit(a)
      case Kind.V128Const:
        this.opcode(this.op[x]!)
        this.code.raw(this.vectors[a]!)
        break
      case Kind.Unary:
        this.emit(a)
        this.opcode(this.op[x]!)
        break
      case Kind.Binary:
        this.emit(a)
        this.emit(b)
        this.opcode(this.op[x]!)
        break
      case Kind.Ternary:
        this.emit(a)
        this.emit(b)
        this.emit(c)
        this.opcode(this.op[x]!)
        break
      case Kind.Lane:
        this.emit(a)
        if (b) this.emit(b)
        this.opcode(this.op[x]!)
        this.code.u8(c)
        break
      case Kind.Shuffle:
        this.emit(a)
        this.emit(b)
        this.opcode(this.op[x]!)
        this.code.raw(this.vectors[c]!)
        break
      case Kind.Select:
        this.emit(a)
        this.emit(b)
        this.emit(c)
        this.code.u8(Op.select)
        break
      case Kind.Load:
        this.get(a)
        this.memory(this.op[x]!, c)
        break
      case Kind.Indirect:
        this.get(a)
        this.get(b)
        this.memory(Op.i32Load16U, c)
        this.code.u8(Op.i32Add)
        this.memory(this.op[x]!, 0)
        break
      case Kind.Invoke:
        for (const argument of this.arguments_[b]!) this.emit(argument)
        this.code.u8(Op.call)
        this.code.u32(a)
        break
    }
    if (this.refs[x]! > 1) {
      const t = this.temp(this.type[x] as TypeCode)
      this.tee(t)
      this.bind(x, t)
    }
  }

  private bind(x: number, t: number): void {
    this.temporary[x] = t
    this.bound.push(x)
  }

  /** Evaluates now, into a temporary: for what must not be printed after a write. */
  protected force(x: number): void {
    if (x === 0 || this.kind[x] === Kind.Const || this.temporary[x]! >= 0) return
    if (this.kind[x] === Kind.Alias) return this.force(this.a[x]!)
    this.refs[x] = 1
    this.emit(x)
    const t = this.temp(this.type[x] as TypeCode)
    this.set(t)
    this.bind(x, t)
  }

  /** `if` on the i32 on the stack; temporaries bound inside are forgotten behind it. */
  protected arm(body: () => void, otherwise?: () => void): void {
    this.code.u8(Op.if)
    this.code.u8(0x40)
    this.depth++
    this.forgetting(body)
    if (otherwise) {
      this.code.u8(Op.else)
      this.forgetting(otherwise)
    }
    this.depth--
    this.code.u8(Op.end)
  }

  private forgetting(body: () => void): void {
    const mark = this.bound.length
    body()
    while (this.bound.length > mark) this.temporary[this.bound.pop()!] = -1
  }
}

// The frame around every row: operands read, meaning asked, results written, in the order of README.md, "Order of effects".
// Where registers, flags and addresses live is left to cpu/interpreter.

import { RSI, RDI, RSP } from '../arch/registers.ts'
import { Type, type TypeCode } from '../wasm/module.ts'
import { Op } from '../wasm/opcodes.ts'
import type { Assists } from './assists.ts'
import { calls, SCRATCH_SLOT, type CallArguments, type CallName, type CallResult, type CallType, type Signature } from './calls.ts'
import type { E, Family } from './context.ts'
import { FlagsEmit } from './flags-emit.ts'
import type { Form } from './forms.ts'
import type { Operand } from './operand.ts'
import type { Addr, Bit, Done, FaultName, If, OpSize, Val } from './value.ts'

const done = undefined as Done
const valueType: Record<CallType, TypeCode> = { i32: Type.i32, i64: Type.i64, f32: Type.f32, f64: Type.f64, v128: Type.v128 }
const valueWidth: Record<CallType, number> = { i32: 32, i64: 64, f32: 0, f64: 0, v128: 128 }
const loadOp: Record<CallType, number> = { i32: Op.i32Load, i64: Op.i64Load, f32: Op.f32Load, f64: Op.f64Load, v128: Op.v128Load }
const storeOp: Record<CallType, number> = { i32: Op.i32Store, i64: Op.i64Store, f32: Op.f32Store, f64: Op.f64Store, v128: Op.v128Store }

/** How a memory reference is checked: bits of `info` for the slow path (paging). */
export const Reference = { write: 1 << 8, stack: 1 << 9, aligned: 1 << 10, loaded: 1 << 11 } as const

export abstract class Emit extends FlagsEmit {
  protected form!: Form
  // What the row asked for, pending until it returns.
  private pushed = 0
  protected popped = false
  private released = 0
  private frame = 0
  protected target = 0
  protected taken = 0
  private later: (() => void)[] = []

  // ---- where things live ------------------------------------------------------------------------
  protected abstract readRegister(o: Operand): number
  protected abstract writeRegister(o: Operand, value: number): void
  protected abstract readGpr(n: number): Val<64>
  protected abstract writeGpr(n: number, value: Val<64>): void
  protected abstract immediate(o: Operand): number
  /** i of ST(i). */
  protected abstract stackIndex(): Val<32>
  /** Branch target of this instruction; RIP of the next one. */
  protected abstract relative(): Addr
  abstract get nextRip(): Addr
  /** Offset named by ModRM, SIB and displacement; and the same masked to the address size. */
  protected abstract rawOffset(): Val<64>
  protected abstract effectiveOffset(): Val<64>
  /** Linear address of an offset, masked to the address size, in the operand's segment (`es`: in ES, whatever the overrides), checked for `info`. */
  protected abstract linear(offset: Val<64>, info: number, es?: 'es'): Val<64>
  /** Mask of the address size, and what a narrow write keeps of the register. */
  protected abstract addressMask(): Val<64>
  protected abstract addressKeep(): Val<64>
  /** Linear address of the stack offset; the stack pointer with its low bits (by stack size) replaced. */
  protected abstract stackLinear(offset: Val<64>, info: number): Val<64>
  protected abstract stackPointer(value: Val<64>): Val<64>
  /** Prints the translation of a linear address; answers the local that holds the host address. Leaves on a fault. */
  protected abstract translate(linear: Val<64>, info: number): number
  /** Prints leaving for a fault of the row's, for family `f`, for an assist; a call to function `name`. */
  protected abstract leaveFault(vector: FaultName): void
  protected abstract checkFamily(f: Family): void
  protected abstract leaveAssist(name: keyof Assists, args: readonly unknown[]): void
  protected abstract printCall(name: CallName, signature: Signature): void
  protected abstract get blockLocal(): number
  protected abstract get scratchOffset(): number
  /** Everything is written: go on with the next instruction, a target, or this one again. */
  protected abstract finish(again: Bit | 0): void
  /** After the flags of this instruction became the state. */
  protected abstract pinFlags(): void
  /** rCX is zero: the repeated instruction is over. */
  protected abstract skip(): void

  // ---- effects of rows ----------------------------------------------------------------------------
  push(v: Val<number>): Done {
    this.pushed = this.zx(v, this.bits)
    return done
  }
  pop(): Val<never> {
    return this.popFrom(this.readGpr(RSP))
  }
  popAt(frame: Addr): Val<never> {
    this.frame = frame
    return this.popFrom(frame)
  }
  private popFrom(top: Val<64>): Val<never> {
    this.popped = true
    const p = this.translate(this.stackLinear(top, this.bits >> 3), (this.bits >> 3) | Reference.stack)
    return this.loadHost(p, this.bits) as Val<never>
  }
  release(bytes: Val<16>): Done {
    this.released = bytes
    return done
  }
  jump(to: Addr): Done {
    this.target = to
    return done
  }
  jumpIf(c: Bit, to: Addr): Done {
    this.taken = c
    this.target = to
    return done
  }
  fault(when: Bit, vector: FaultName): Done {
    const c = this.clean(when)
    this.use(c)
    this.emit(c)
    this.arm(() => this.leaveFault(vector))
    return done
  }
  available(family: Family): Done {
    this.checkFamily(family)
    return done
  }
  assist<K extends keyof Assists>(name: K, ...args: Assists[K]): Done {
    this.leaveAssist(name, args)
    return done
  }
  direction(down: boolean): Done {
    this.afterwards(() => this.setDirection(down))
    return done
  }
  call<K extends CallName>(name: K, ...arguments_: CallArguments<K>): CallResult<K> {
    const values = arguments_ as readonly number[]
    const signature: Signature = (calls as Record<string, Signature>)[name as string]!
    signature.in.forEach((type, i) => {
      this.get(this.blockLocal)
      this.use(values[i]!)
      this.emit(values[i]!)
      this.memory(storeOp[type], this.scratchOffset + i * SCRATCH_SLOT)
    })
    this.printCall(name, signature)
    const results = signature.out.map((type, i) => {
      const t = this.temp(valueType[type])
      this.get(this.blockLocal)
      this.memory(loadOp[type], this.scratchOffset + i * SCRATCH_SLOT)
      this.set(t)
      return this.localNode(t, valueType[type], valueWidth[type])
    })
    return (results.length === 0 ? undefined : results.length === 1 ? results[0] : results) as CallResult<K>
  }
  /** Defers printing to step 6 of the frame: for state of the row's family (x87 tags, direction flag). */
  protected afterwards(print: () => void): void {
    this.later.push(print)
  }

  // ---- memory -------------------------------------------------------------------------------------
  private loadHost(pointer: number, width: number): number {
    const type = width === 64 ? Type.i64 : Type.i32
    const t = this.temp(type)
    this.get(pointer)
    this.memory(width === 8 ? Op.i32Load8U : width === 16 ? Op.i32Load16U : width === 32 ? Op.i32Load : Op.i64Load, 0)
    this.set(t)
    return this.localNode(t, type, width)
  }
  private loadOperand(pointer: number, o: Operand): number | readonly number[] {
    const plain = (op: number, type: TypeCode, width: number): number => {
      const t = this.temp(type)
      this.get(pointer)
      this.memory(op, 0)
      this.set(t)
      return this.localNode(t, type, width)
    }
    switch (o.representation) {
      case 'integer': return this.loadHost(pointer, o.memoryWidth)
      case 'f32': return plain(Op.f32Load, Type.f32, 0)
      case 'f64': return plain(Op.f64Load, Type.f64, 0)
      case 'v128': return plain(Op.v128Load, Type.v128, 128)
      case 'pair':
      case 'm80': {
        const low = this.loadHost(pointer, 64)
        const t = this.temp(o.representation === 'pair' ? Type.i64 : Type.i32)
        this.get(pointer)
        this.memory(o.representation === 'pair' ? Op.i64Load : Op.i32Load16U, 8)
        this.set(t)
        return [low, o.representation === 'pair' ? this.localNode(t, Type.i64, 64) : this.localNode(t, Type.i32, 16)]
      }
    }
  }
  private storeOperand(pointer: number, o: Operand, value: number | readonly number[]): void {
    const plain = (op: number, v: number, offset = 0): void => {
      this.get(pointer)
      this.emit(v)
      this.memory(op, offset)
    }
    switch (o.representation) {
      case 'integer': {
        const w = o.memoryWidth
        return plain(w === 8 ? Op.i32Store8 : w === 16 ? Op.i32Store16 : w === 32 ? Op.i32Store : Op.i64Store, value as number)
      }
      case 'f32': return plain(Op.f32Store, value as number)
      case 'f64': return plain(Op.f64Store, value as number)
      case 'v128': return plain(Op.v128Store, value as number)
      case 'pair':
      case 'm80': {
        const [low, high] = value as readonly [number, number]
        plain(Op.i64Store, low)
        return plain(o.representation === 'pair' ? Op.i64Store : Op.i32Store16, high, 8)
      }
    }
  }

  /** Linear address of a memory operand for an access described by `info`. */
  private operandLinear(o: Operand, info: number): Val<64> {
    switch (o.place) {
      case 'source': return this.linear(this.readGpr(RSI), info)
      case 'destination': return this.linear(this.readGpr(RDI), info, 'es')
      case 'translation': {
        const index = this.add(this.readGpr(3), this.zx(this.low(this.readGpr(0), 8), 64))
        return this.linear(index, info)
      }
      case 'bitString': {
        // the unit that bit number `reg` (signed) falls in: EA + (reg >> log2 W) × W/8 (SDM vol. 2 3.1.1.9)
        const register = this.form.operands.find((x) => x.place === 'reg')!
        const index = this.sx(this.readRegister(register) as Val<number>, 64)
        const shift = o.width === 64 ? 6 : o.width === 32 ? 5 : 4
        const unit = this.shl(this.sar(index, this.k(64, shift)), this.k(64, shift - 3))
        return this.linear(this.add(this.rawOffset(), unit), info)
      }
      case 'moffs': return this.linear(this.immediate({ ...o, width: 64 }) as Val<64>, info)
      default: return this.linear(this.rawOffset(), info)
    }
  }
  private isMemory(o: Operand): boolean {
    const p = o.place
    return p === 'memory' || p === 'source' || p === 'destination' || p === 'translation' || p === 'bitString' || p === 'moffs'
  }
  private info(o: Operand, write: boolean, loaded = false): number {
    const aligned = (o.aligned || this.form.row.attributes.align === 16) && o.memoryWidth === 128
    const size = o.representation === 'm80' ? 10 : o.memoryWidth >> 3
    return size | (write ? Reference.write : 0) | (loaded ? Reference.loaded : 0) | (aligned ? Reference.aligned : 0)
  }

  // ---- one instruction ------------------------------------------------------------------------------
  run(form: Form): void {
    this.form = form
    this.bits = form.size as OpSize
    this.pushed = this.released = this.frame = this.target = this.taken = 0
    this.popped = false
    this.later = []
    this.beginFlags()
    const { attributes, meaning } = form.row
    const context = this as unknown as E<OpSize>

    attributes.before?.(context)
    const repeated = form.repeat !== ''
    let count = 0 as number as Val<64>
    if (repeated) {
      count = this.and(this.readGpr(1), this.addressMask())
      this.force(count)
      const zero = this.isZero(count)
      this.use(zero)
      this.emit(zero)
      this.arm(() => this.skip())
    }

    const pointers = new Map<Operand, number>()
    const inputs: (number | readonly number[])[] = []
    for (const o of form.read) {
      if (this.isMemory(o)) {
        const written = o.access === '+' || o.access === '~'
        const info = this.info(o, written, written)
        const p = this.translate(this.operandLinear(o, info), info)
        pointers.set(o, p)
        inputs.push(this.loadOperand(p, o))
      } else inputs.push(this.readOperand(o))
    }

    const returned = meaning(context, ...(inputs as never[])) as unknown
    const { outs, destinations } = this.outputs(form, returned, inputs)
    for (const v of outs.flat()) this.use(v)

    let pushPointer = -1
    let stackTop = 0 as number as Val<64>
    if (this.pushed) {
      this.use(this.pushed)
      stackTop = this.sub(this.readGpr(RSP), this.k(64, this.bits >> 3))
      const info = (this.bits >> 3) | Reference.write | Reference.stack
      pushPointer = this.translate(this.stackLinear(stackTop, info), info)
    }
    form.written.forEach((o) => {
      if (!this.isMemory(o) || pointers.has(o)) return
      const info = this.info(o, true)
      pointers.set(o, this.translate(this.operandLinear(o, info), info))
    })

    if (this.target) this.checkTarget(form.operands.some((o) => o.place === 'relative'))
    if (this.taken) this.use(this.taken)
    if (this.target) this.use(this.target)
    if (this.released) this.use(this.released)
    const flagged = this.writesFlags
    if (flagged) this.useFlags()
    if (outs.length > 1 || (outs.length > 0 && (flagged || this.target || this.later.length > 0))) for (const v of outs.flat()) this.force(v)
    if (this.taken && outs.length > 0) this.force(this.taken)
    if (this.target && (outs.length > 0 || this.pushed || this.popped)) this.force(this.target)

    if (pushPointer >= 0) this.storeInteger(pushPointer, this.bits, this.pushed)
    form.written.forEach((o, i) => {
      const p = pointers.get(o)
      if (p !== undefined) this.storeOperand(p, o, outs[i]!.length === 1 ? outs[i]![0]! : outs[i]!)
    })
    if (flagged) {
      this.commitFlags()
      this.pinFlags()
    }
    for (const print of this.later) print()
    if (attributes.pointers) this.recordPointers(form.memory)
    this.commitMmx()
    if (this.pushed) this.writeGpr(RSP, this.stackPointer(stackTop))
    if (this.popped) {
      const from = (this.frame || this.readGpr(RSP)) as Val<64>
      let top = this.add(from, this.k(64, this.bits >> 3))
      if (this.released) top = this.add(top, this.zx(this.released as Val<16>, 64))
      this.writeGpr(RSP, this.stackPointer(top))
    }
    for (let i = destinations.length; i--; ) if (!pointers.has(destinations[i]!)) this.writeOperand(destinations[i]!, outs[i]![0]!)
    this.finish(this.stepString(form, repeated, count))
    this.endOfInstruction()
  }

  private endOfInstruction(): void {
    this.releaseTemporaries(this.flagHandles)
  }
  private writeOperand(o: Operand, value: number): void {
    if (o.place !== 'counter') return this.writeRegister(o, value)
    this.writeGpr(1, this.or(this.and(value as Val<64>, this.addressMask()), this.and(this.readGpr(1), this.addressKeep())))
  }

  private storeInteger(pointer: number, width: number, value: number): void {
    this.get(pointer)
    this.emit(value)
    this.memory(width === 16 ? Op.i32Store16 : width === 32 ? Op.i32Store : Op.i64Store, 0)
  }

  private readOperand(o: Operand): number {
    switch (o.place) {
      case 'immediate': return this.immediate(o)
      case 'one': return this.constant(8, 1)
      case 'address': return this.effectiveOffset()
      case 'relative': return this.relative()
      case 'stackIndex': return this.stackIndex()
      case 'counter': return this.and(this.readGpr(1), this.addressMask())
      default: return this.readRegister(o)
    }
  }

  /** The meaning's results by written operand, each a list of one or two handles, and where they go. */
  private outputs(form: Form, returned: unknown, inputs: readonly (number | readonly number[])[]): { outs: number[][]; destinations: Operand[] } {
    const destinations = [...form.written]
    if (returned === undefined) return { outs: [], destinations: [] }
    const list = (form.written.length > 1 ? returned : [returned]) as (number | readonly number[] | If<number>)[]
    const outs = list.map((v, i) => {
      if (typeof v === 'number') return [v]
      if (Array.isArray(v)) return [...(v as number[])]
      // `~`: memory is rewritten with what it held; of a register the whole keeps its value, upper half included
      const o = form.written[i]!
      const { when, write } = v as If<number | readonly number[]>
      if (typeof write !== 'number') {
        const old = inputs[form.read.indexOf(o)] as readonly number[]
        return write.map((x, n) => this.select(when, x as Val<64>, old[n] as Val<64>))
      }
      if (this.isMemory(o)) return [this.select(when, write as Val<32>, inputs[form.read.indexOf(o)] as Val<32>)]
      if (o.width !== 32) return [this.select(when, write as Val<64>, inputs[form.read.indexOf(o)] as Val<64>)]
      const whole: Operand = { ...o, width: 64 }
      destinations[i] = whole
      return [this.select(when, this.zx(write as Val<number>, 64), this.readRegister(whole) as Val<64>)]
    })
    return { outs, destinations }
  }

  /** Steps rSI, rDI and rCX of a string instruction; answers whether it goes on. */
  private stepString(form: Form, repeated: boolean, count: Val<64>): Bit | 0 {
    const uses = (p: Operand['place']) => form.operands.some((o) => o.place === p)
    if (!uses('source') && !uses('destination')) return 0
    const bytes = form.size >> 3
    const step = this.shl(this.direction64(), this.k(64, bytes === 8 ? 3 : bytes === 4 ? 2 : bytes === 2 ? 1 : 0))
    const merge = (n: number, next: Val<64>) =>
      this.writeGpr(n, this.or(this.and(next, this.addressMask()), this.and(this.readGpr(n), this.addressKeep())))
    let goOn: Bit | 0 = 0
    if (repeated) {
      const left = this.sub(count, this.k(64, 1))
      this.force(left)
      goOn = this.not(this.isZero(left))
      if (form.row.attributes.rep === 'zero') goOn = this.and(goOn, this.cond(form.repeat === 'rep' ? 'e' : 'ne'))
      this.use(goOn)
      this.force(goOn)
      merge(1, left)
    }
    this.use(step)
    this.use(step)
    if (uses('source')) merge(RSI, this.add(this.readGpr(RSI), step))
    if (uses('destination')) merge(RDI, this.add(this.readGpr(RDI), step))
    return goOn
  }
  /** #GP(0) before anything is written: a target that is not canonical, or outside 64-bit mode behind CS's limit (SDM 2A JMP). */
  private checkTarget(direct: boolean): void {
    const target = this.target as Addr
    let bad: Bit
    if (this.bits === 64) {
      if (direct) return
      const extended = this.sar(this.shl(target, this.k(64, 16)), this.k(64, 16))
      bad = this.not(this.eq(extended, target))
    } else bad = this.ltu(this.codeLimit(), target)
    if (this.taken) {
      this.use(this.taken)
      this.use(this.taken)
      bad = this.and(this.taken as Bit, bad)
    }
    this.use(target)
    this.use(target)
    this.fault(bad, '#GP')
  }
  /** CS's limit, outside 64-bit mode. */
  protected abstract codeLimit(): Val<64>
  /** Prints setting FIP, FOP and, of a memory operand, FDP. */
  protected abstract recordPointers(memory: boolean): void
  /** Prints setting RFLAGS.DF. */
  protected abstract setDirection(down: boolean): void
  /** +1 or −1 by RFLAGS.DF. */
  protected abstract direction64(): Val<64>
}

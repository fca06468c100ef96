// Runs one row's meaning without decoder or interpreter: operands at fixed places of a processor block, one WebAssembly function.
// ModRM.reg is register 1 of its file, ModRM.rm register 2 or sixteen bytes of memory behind the block.

import { sseImplementations } from '../../src-core/cpu/sse/calls.ts'
import { updateSseNative } from '../../src-core/cpu/sse/mxcsr.ts'
import { FIELDS_SIZE, offsets, processorState, type ProcessorState } from '../../src-core/isa/state.ts'
import {
  calls,
  SCRATCH_SLOT,
  type CallArguments,
  type CallName,
  type CallResult,
  type CallType,
  type Signature,
} from '../../src-core/isa/calls.ts'
import { FlagsEmit } from '../../src-core/isa/flags-emit.ts'
import type { LaneField } from '../../src-core/isa/lanes-emit.ts'
import { operand, type Operand } from '../../src-core/isa/operand.ts'
import type { Row } from '../../src-core/isa/row.ts'
import type { Done, Val } from '../../src-core/isa/value.ts'
import { assembleModule, Type, type TypeCode } from '../../src-core/wasm/module.ts'
import { Op } from '../../src-core/wasm/opcodes.ts'
import type { Case } from './sse-cases.ts'

export const MEMORY = FIELDS_SIZE
export const IMMEDIATE = FIELDS_SIZE + 64
const SIZE = 65536
const BLOCK = 0 // local

const callNames = Object.keys(calls)
const typeOf: Record<CallType, TypeCode> = { i32: Type.i32, i64: Type.i64, f32: Type.f32, f64: Type.f64, v128: Type.v128 }
const loads: Record<CallType, number> = { i32: Op.i32Load, i64: Op.i64Load, f32: Op.f32Load, f64: Op.f64Load, v128: Op.v128Load }
const stores: Record<CallType, number> = { i32: Op.i32Store, i64: Op.i64Store, f32: Op.f32Store, f64: Op.f64Store, v128: Op.v128Store }
const bitsOf: Record<CallType, number> = { i32: 32, i64: 64, f32: 0, f64: 0, v128: 128 }

class RowEmit extends FlagsEmit {
  protected override readonly intrinsics = { divide128: 0 }
  override firstTemporary = 1
  private flagged = false

  protected laneField(name: LaneField): Val<32> {
    return this.loadAt(Op.i32Load, Type.i32, 32, BLOCK, offsets[name]) as Val<32>
  }
  protected setLaneField(name: LaneField, value: () => void): void {
    this.get(BLOCK)
    value()
    this.memory(Op.i32Store, offsets[name])
  }
  protected flagWord(word: 'res' | 'aux'): Val<64> {
    return this.loadAt(Op.i64Load, Type.i64, 64, BLOCK, offsets[word]) as Val<64>
  }
  protected setFlagWord(word: 'res' | 'aux', value: () => void): void {
    this.get(BLOCK)
    value()
    this.memory(Op.i64Store, offsets[word])
  }
  override flags(f: Parameters<FlagsEmit['flags']>[0]): Done {
    this.flagged = true
    return super.flags(f)
  }
  available(): Done {
    return undefined as Done
  }
  call<K extends CallName>(name: K, ...arguments_: CallArguments<K>): CallResult<K> {
    const values = arguments_ as readonly number[]
    const signature = (calls as Record<string, Signature>)[name]!
    signature.in.forEach((type, i) => {
      this.get(BLOCK)
      this.use(values[i]!)
      this.emit(values[i]!)
      this.memory(stores[type], offsets.scratch + i * SCRATCH_SLOT)
    })
    this.i32(callNames.indexOf(name))
    this.code.u8(Op.call)
    this.code.u32(0)
    this.code.u8(Op.if)
    this.code.u8(0x40)
    this.i32(1)
    this.code.u8(Op.return)
    this.code.u8(Op.end)
    const results = signature.out.map((type, i) => {
      const t = this.temp(typeOf[type])
      this.get(BLOCK)
      this.memory(loads[type], offsets.scratch + i * SCRATCH_SLOT)
      this.set(t)
      return this.localNode(t, typeOf[type], bitsOf[type])
    })
    return (results.length === 1 ? results[0] : results) as never
  }

  private at(o: Operand): number {
    if (o.place === 'memory') return MEMORY
    if (o.place === 'immediate') return IMMEDIATE
    if (o.place === 'fixed') return o.at
    const n = o.place === 'rm' ? 2 : 1
    return o.file === 'xmm' ? offsets.xmm + 16 * n : o.file === 'mm' ? offsets.fpr + 16 * n : offsets.gpr + 8 * n
  }
  private code_(o: Operand): CallType {
    const r = o.representation
    return r === 'v128' || r === 'f32' || r === 'f64' ? r : o.width === 64 ? 'i64' : 'i32'
  }
  private read(o: Operand, immediate: number | undefined): number {
    if (o.place === 'immediate' && immediate !== undefined) return this.constant(8, immediate)
    const type = this.code_(o)
    const op = type !== 'i32' ? loads[type] : o.width === 8 ? Op.i32Load8U : o.width === 16 ? Op.i32Load16U : Op.i32Load
    return this.loadAt(op, typeOf[type], type === 'i32' ? o.width : bitsOf[type], BLOCK, this.at(o))
  }
  private write(o: Operand, v: number): void {
    this.get(BLOCK)
    const general = o.file === 'gpr' && o.place !== 'memory' && (o.width === 32 || o.inRegister32)
    this.emit(general ? this.zx(v as Val<number>, 64) : v)
    const type = general ? 'i64' : this.code_(o)
    this.memory(type !== 'i32' ? stores[type] : o.width === 8 ? Op.i32Store8 : o.width === 16 ? Op.i32Store16 : Op.i32Store, this.at(o))
  }

  compile(row: Row, operands: readonly Operand[], size: 8 | 16 | 32 | 64, immediate: number | undefined): Uint8Array {
    this.reset()
    this.bits = size
    const inputs = operands.filter((o) => o.access !== '=' && o.access !== '@').map((o) => this.read(o, immediate))
    const out = (row.meaning as unknown as (e: RowEmit, ...inputs: number[]) => number | number[] | undefined)(this, ...inputs)
    const values = out === undefined ? [] : typeof out === 'number' ? [out] : out
    for (const v of values) {
      this.use(v)
      this.force(v)
    }
    if (this.flagged) {
      this.commitFlags()
      this.materialise()
      this.flagged = false
    }
    this.commitMmx()
    operands.filter((o) => o.access === '=' || o.access === '+').forEach((o, i) => this.write(o, values[i]!))
    this.i32(0)
    return assembleModule({
      imports: [{ name: 'call', parameters: [Type.i32], results: [Type.i32] }],
      functions: [{ parameters: [Type.i32], results: [Type.i32], locals: this.locals, code: this.code, export: 'run' }],
    })
  }
}

/** A processor block with its memory behind it. */
export class RowMachine {
  readonly memory = new WebAssembly.Memory({ initial: 1, maximum: SIZE / 65536, shared: true })
  readonly state: ProcessorState = processorState(this.memory, 0)
  readonly bytes = new Uint8Array(this.memory.buffer)
  slowCalls = 0
  private readonly emit = new RowEmit()

  /** The row as a function: 0, or 1 when a call raised an exception. `immediate`: as a constant of the code, not loaded. */
  compile(row: Row, memory: boolean, size: 8 | 16 | 32 | 64, immediate?: number): () => number {
    const operands = row.operands
      .split(', ')
      .filter((t) => t !== '')
      .map((t) => operand(t, size, memory))
    const module = new WebAssembly.Module(this.emit.compile(row, operands, size, immediate))
    const call = (name: number): number => {
      this.slowCalls++
      return sseImplementations[callNames[name] as keyof typeof sseImplementations](this.state)
    }
    const { exports } = new WebAssembly.Instance(module, { env: { memory: this.memory, call } })
    return () => (exports.run as (block: number) => number)(0)
  }

  /** Runs one case; the state after it in the order of the case's words, then RFLAGS, MXCSR, and 1 for an exception. */
  execute(run: () => number, c: Case): number[] {
    const words = new Uint32Array(this.memory.buffer)
    const places = [0, 1, 2].flatMap((n) => [
      { at: (offsets.xmm + 16 * n) / 4, from: 4 * n, count: 4 },
      { at: (offsets.fpr + 16 * n) / 4, from: 16 + 2 * n, count: 2 },
      { at: (offsets.gpr + 8 * n) / 4, from: 22 + 2 * n, count: 2 },
    ])
    places.push({ at: MEMORY / 4, from: 12, count: 4 })
    for (const p of places) words.set(c.words.subarray(p.from, p.from + p.count), p.at)
    words[IMMEDIATE / 4] = c.immediate
    this.state.res = 0n // CF PF AF ZF SF OF all set
    this.state.aux = (1n << 63n) | 9n
    this.state.mxcsr = c.mxcsr
    updateSseNative(this.state)
    const fault = run()
    const after = new Uint32Array(28)
    for (const p of places) after.set(words.subarray(p.at, p.at + p.count), p.from)
    return [...after, fault ? 0 : this.flags(), this.state.mxcsr, fault]
  }

  /** RFLAGS' arithmetic bits out of the two flag words. */
  flags(): number {
    const { res, aux } = this.state
    const bit = (v: bigint, n: number): number => Number((v >> BigInt(n)) & 1n)
    let parity = Number(res & 0xffn)
    parity ^= parity >> 4
    parity ^= parity >> 2
    parity ^= parity >> 1
    const pf = (~parity & 1) ^ bit(aux, 1)
    const sf = bit(res, 63) ^ bit(aux, 0)
    return bit(aux, 63) | (pf << 2) | (bit(aux, 3) << 4) | ((res === 0n ? 1 : 0) << 6) | (sf << 7) | ((bit(aux, 63) ^ bit(aux, 62)) << 11)
  }
}

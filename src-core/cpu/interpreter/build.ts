// The interpreter's module: a run loop that dispatches records with `br_table`, hot forms as arms, the rest as functions.

import { offsets } from '../../isa/state.ts'
import { Exit, Pseudo, Record } from '../record.ts'
import type { Assists } from '../../isa/assists.ts'
import type { Form } from '../../isa/forms.ts'
import { Bytes } from '../../wasm/bytes.ts'
import { assembleModule, Type, typeIndex, type Func, type Import, type ModuleParts } from '../../wasm/module.ts'
import { Op } from '../../wasm/opcodes.ts'
import { HandlerEmit } from './handler.ts'
import type { Functions } from './record-operands.ts'
import { addressFunction, divide128Function, jumpFunction, stackAddressFunction } from './intrinsics.ts'

const { i32 } = Type
const imports: readonly Import[] = [
  { name: 'slow', parameters: [i32, i32, i32, i32], results: [i32] },
  { name: 'call', parameters: [i32], results: [i32] },
]
/** Function numbers: imports, then the intrinsics in this order, then handlers as functions, then `run`. */
const functions: Functions = { slow: 0, call: 1, address: 2, stackAddress: 3, jump: 4, divide128: 5 }
const INTRINSICS = 4

export interface AssistCall {
  readonly name: keyof Assists
  readonly args: readonly unknown[]
}

export interface Interpreter {
  readonly bytes: Uint8Array
  /** Handler number of each form, by form id: for flat 64-bit addresses, and for any. */
  readonly handlers: Uint16Array
  readonly anyHandlers: Uint16Array
  /** Which assist a form leaves for, by form id. */
  readonly assists: readonly (AssistCall | undefined)[]
}

/** Builds the module; forms for which `hot` answers true become arms of the run loop. */
export function buildInterpreter(forms: readonly Form[], hot: (form: Form) => boolean): Interpreter {
  const emit = new HandlerEmit(functions)
  const assists: (AssistCall | undefined)[] = []
  const handlers = new Uint16Array(forms.length)
  const anyHandlers = new Uint16Array(forms.length)

  // A form that is an assist from its first instruction on shares one handler.
  const callees: Func[] = []
  const armForms: Form[] = []
  const calleeForms: Form[] = []
  for (const form of forms) (hot(form) ? armForms : calleeForms).push(form)
  const firstArm = Pseudo.count
  const firstCallee = firstArm + armForms.length

  // a hot form is also a function, for addresses that are not flat
  for (const form of [...calleeForms, ...armForms]) {
    emit.reset()
    emit.place('function')
    emit.firstTemporary = 3
    emit.run(form)
    const hotForm = hot(form)
    if (hotForm && !emit.specialised) continue
    assists[form.id] = emit.assistFound
    anyHandlers[form.id] = firstCallee + callees.length
    if (!hotForm) handlers[form.id] = firstCallee + callees.length
    const code = new Bytes(emit.code.length + 16)
    code.append(emit.code)
    callees.push({ parameters: [i32, i32, i32], results: [i32], locals: [...emit.locals], code })
  }

  // The run loop:
  //
  //   block $exit
  //     block $exhausted
  //       loop $next
  //         budget −= 1;  budget < 0 → $exhausted
  //         block × (arms + 1)   br_table record.handler
  //         arm 0 … arm n        each ends in `br $next` with the next record, or leaves through $exit
  //         default              call_indirect record.handler
  //     $exhausted: budget += 1
  //   $exit: store the budget, answer the record
  const arms = firstCallee
  emit.reset()
  emit.place({ arm: 0 })
  emit.firstTemporary = 4
  const [record, block, tlb, budget] = [0, 1, 2, 3]
  const c = emit.code
  c.raw([Op.block, 0x40, Op.block, 0x40, Op.loop, 0x40])
  emit.get(budget)
  emit.i32(1)
  c.u8(Op.i32Sub)
  emit.tee(budget)
  emit.i32(0)
  c.u8(Op.i32LtS)
  c.raw([Op.brIf, 1])
  for (let i = 0; i <= arms; i++) c.raw([Op.block, 0x40])
  emit.get(record)
  emit.memory(Op.i32Load16U, Record.handler)
  c.u8(Op.brTable)
  c.u32(arms)
  for (let i = 0; i <= arms; i++) c.u32(i)
  c.u8(Op.end)
  for (let i = 0; i < arms; i++) {
    emit.place({ arm: arms - i }, true)
    if (i === Pseudo.goOn) emit.printGoOn()
    else if (i === Pseudo.cross) emit.printLeave(Exit.Cross)
    else if (i === Pseudo.leave) emit.printLeave(Exit.Leave)
    else if (i === Pseudo.undefined) emit.printVector(6)
    else if (i === Pseudo.tooLong) emit.printVector(13)
    else {
      const form = armForms[i - firstArm]!
      emit.run(form)
      assists[form.id] = emit.assistFound
      handlers[form.id] = i
      if (!emit.specialised) anyHandlers[form.id] = i
    }
    c.u8(Op.end)
  }
  // default: a handler that is a function
  emit.get(block)
  emit.get(budget)
  emit.memory(Op.i32Store, offsets.budget)
  emit.get(record)
  emit.get(block)
  emit.get(tlb)
  emit.get(record)
  emit.memory(Op.i32Load16U, Record.handler)
  emit.i32(firstCallee)
  c.u8(Op.i32Sub)
  const run: Func = { parameters: [i32, i32, i32, i32], results: [i32], locals: [], code: c, export: 'run' }
  const parts: ModuleParts = {
    imports,
    functions: [addressFunction(), stackAddressFunction(), jumpFunction(), divide128Function(), ...callees, run],
    elements: callees.map((_, i) => imports.length + INTRINSICS + i),
  }
  c.u8(Op.callIndirect)
  c.u32(typeIndex(parts, { parameters: [i32, i32, i32], results: [i32], locals: [], code: c }))
  c.u8(0)
  emit.set(record)
  emit.get(block)
  emit.memory(Op.i32Load, offsets.budget)
  emit.set(budget)
  emit.get(block)
  emit.memory(Op.i32Load, offsets.exit)
  c.raw([Op.i32Eqz, Op.brIf, 0, Op.br, 2])
  c.u8(Op.end) // loop
  c.u8(Op.end) // exhausted: the instruction did not run
  emit.get(budget)
  emit.i32(1)
  c.u8(Op.i32Add)
  emit.set(budget)
  c.u8(Op.end) // exit
  emit.get(block)
  emit.get(budget)
  emit.memory(Op.i32Store, offsets.budget)
  emit.get(record)
  const finished: ModuleParts = { ...parts, functions: parts.functions.map((f) => (f === run ? { ...run, locals: [...emit.locals] } : f)) }
  return { bytes: assembleModule(finished), handlers, anyHandlers, assists }
}

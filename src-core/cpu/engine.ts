// What all machines of a process share: the forms, the decoder and the interpreter's compiled module.

import { Decoder } from '../isa/decoder.ts'
import { forms, type Form } from '../isa/forms.ts'
import type { Feature } from '../isa/row.ts'
import { table } from '../isa/table.ts'
import type { Interpreter } from './interpreter/build.ts'
import { loadInterpreter } from './interpreter/load.ts'

export interface Engine {
  readonly forms: readonly Form[]
  readonly decoder: Decoder
  readonly interpreter: Interpreter
  readonly module: WebAssembly.Module
}

const engines = new Map<string, Engine>()

/** The engine for processors with these features; built once. */
export function engine(features: ReadonlySet<Feature>): Engine {
  const key = [...features].sort().join()
  const known = engines.get(key)
  if (known) return known
  const all = forms(table)
  const interpreter = loadInterpreter(all)
  const made = { forms: all, decoder: new Decoder(all, features), interpreter, module: new WebAssembly.Module(interpreter.bytes) }
  engines.set(key, made)
  return made
}

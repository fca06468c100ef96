// A WebAssembly module from functions already printed (core specification 5.5). One imported memory, one optional table.

import { Bytes } from './bytes.ts'

export const Type = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b } as const
export type TypeCode = (typeof Type)[keyof typeof Type]

export interface Import {
  readonly name: string
  readonly parameters: readonly TypeCode[]
  readonly results: readonly TypeCode[]
}

export interface Func {
  readonly parameters: readonly TypeCode[]
  readonly results: readonly TypeCode[]
  /** Types of the locals behind the parameters. */
  readonly locals: readonly TypeCode[]
  /** The body without its final `end`. */
  readonly code: Bytes
  readonly export?: string
}

export interface ModuleParts {
  readonly imports: readonly Import[]
  readonly functions: readonly Func[]
  /** Functions put into table 0, in order: indexes into imports then functions. */
  readonly elements?: readonly number[]
}

/** Function types in the order first used; `callIndirect` needs their index before the module is assembled. */
const signature = (f: Import | Func): string => `${f.parameters.join()}>${f.results.join()}`

/** Index of a function type among the module's types. */
export function typeIndex(parts: ModuleParts, like: Import | Func): number {
  return typesOf(parts).indexOf(signature(like))
}

function typesOf(parts: ModuleParts): string[] {
  return [...new Set([...parts.imports, ...parts.functions].map(signature))]
}

/** The module's bytes. Imports come from module "env"; the memory is "env.memory", shared. */
export function assembleModule(parts: ModuleParts): Uint8Array {
  const { imports, functions, elements } = parts
  const types = typesOf(parts)
  const out = new Bytes()
  out.raw([0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0])
  const section = (id: number, fill: (s: Bytes) => void): void => {
    const s = new Bytes(1 << 12)
    fill(s)
    out.u8(id)
    out.u32(s.length)
    out.append(s)
  }
  section(1, (s) => {
    s.u32(types.length)
    for (const t of types) {
      const [parameters, results] = t.split('>').map((x) => (x === '' ? [] : x.split(',').map(Number))) as [number[], number[]]
      s.u8(0x60)
      s.u32(parameters.length)
      s.raw(parameters)
      s.u32(results.length)
      s.raw(results)
    }
  })
  section(2, (s) => {
    s.u32(imports.length + 1)
    for (const i of imports) {
      s.text('env')
      s.text(i.name)
      s.u8(0)
      s.u32(types.indexOf(signature(i)))
    }
    s.text('env')
    s.text('memory')
    s.u8(2)
    s.u8(3) // shared, with a maximum
    s.u32(1)
    s.u32(65536)
  })
  section(3, (s) => {
    s.u32(functions.length)
    for (const f of functions) s.u32(types.indexOf(signature(f)))
  })
  if (elements)
    section(4, (s) => {
      s.u32(1)
      s.u8(0x70)
      s.u8(0)
      s.u32(elements.length)
    })
  section(7, (s) => {
    const exported = functions.flatMap((f, i) => (f.export ? [[f.export, i] as const] : []))
    s.u32(exported.length)
    for (const [name, i] of exported) {
      s.text(name)
      s.u8(0)
      s.u32(imports.length + i)
    }
  })
  if (elements)
    section(9, (s) => {
      s.u32(1)
      s.u8(0)
      s.raw([0x41, 0, 0x0b])
      s.u32(elements.length)
      for (const e of elements) s.u32(e)
    })
  section(10, (s) => {
    s.u32(functions.length)
    const body = new Bytes()
    for (const f of functions) {
      body.length = 0
      const runs: [count: number, type: number][] = []
      for (const t of f.locals) {
        const last = runs[runs.length - 1]
        if (last && last[1] === t) last[0]++
        else runs.push([1, t])
      }
      body.u32(runs.length)
      for (const [count, type] of runs) {
        body.u32(count)
        body.u8(type)
      }
      body.append(f.code)
      body.u8(0x0b)
      s.u32(body.length)
      s.append(body)
    }
  })
  return out.take()
}

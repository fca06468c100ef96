// The part of the WebAssembly JavaScript interface that src-core uses; no DOM types are in scope there.
declare namespace WebAssembly {
  type ValueType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128' | 'anyfunc'
  class Memory {
    constructor(descriptor: { initial: number; maximum?: number; shared?: boolean })
    readonly buffer: ArrayBuffer
    grow(pages: number): number
  }
  class Table {
    constructor(descriptor: { element: 'anyfunc'; initial: number; maximum?: number })
    readonly length: number
    // eslint-disable-next-line @typescript-eslint/no-unsafe-function-type
    get(index: number): Function | null
    // eslint-disable-next-line @typescript-eslint/no-unsafe-function-type
    set(index: number, value: Function | null): void
  }
  class Module {
    constructor(bytes: Uint8Array)
  }
  class Instance {
    constructor(module: Module, imports?: Record<string, Record<string, unknown>>)
    readonly exports: Record<string, unknown>
  }
}

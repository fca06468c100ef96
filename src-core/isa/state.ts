// The block of one logical processor inside the shared WebAssembly memory: named fields, one statement of the layout.
// The interpreter addresses fields by `offsets`, TypeScript by the accessors of `ProcessorState`, save and restore by name.

/** Field types: unsigned integers by bits; `bytes` are raw. 64-bit fields are bigint in TypeScript. */
type FieldType = 'u32' | 'i32' | 'u64' | 'bytes'
interface Field {
  readonly type: FieldType
  readonly count: number
  /** Not part of the machine's state: derived from other fields or meaningless between instructions. */
  readonly derived?: true
}
const u32 = { type: 'u32', count: 1 } as const
const i32 = { type: 'i32', count: 1 } as const
const u64 = { type: 'u64', count: 1 } as const
const array = <T extends FieldType>(type: T, count: number) => ({ type, count }) as const
const derived = <F extends Field>(f: F) => ({ ...f, derived: true }) as const

/** In this order the fields lie in memory, each aligned to its size (bytes: 16). */
export const fields = {
  gpr: array('u64', 16), // RAX RCX RDX RBX RSP RBP RSI RDI R8…R15
  rip: u64,
  /** RIP minus the offset in its linear page, while code runs: rip = ripBase + the record's offset. */
  ripBase: derived(u64),
  // Arithmetic flags as two words (flags-emit.ts) and the other bits of RFLAGS (with CF PF AF ZF SF OF clear, bit 1 set).
  res: u64,
  aux: u64,
  rflags: u64,
  zero: derived(u64), // always 0: "no base", "no index"
  page: derived(u64), // always 4096
  /** Masks of 64-, 32- and 16-bit addresses, then what a narrow write of the register keeps, likewise. */
  addressMasks: derived(array('u64', 3)),
  addressKeeps: derived(array('u64', 3)),
  /** Cycles left in this slice; stored whenever compiled code calls out or returns. */
  budget: derived(i32),
  /** Why compiled code returned (`Exit`), and the record that jumped, for linking. */
  exit: derived(u32),
  exitInfo: derived(u32),
  from: derived(u32),
  direction: derived(i32), // +1 or −1 (RFLAGS.DF)
  cpl: derived(u32),
  /** Nonzero bits forbid families: bit 0 x87, 1 x87 without wait, 2 MMX, 3 SSE; the vector is worked out when it happens. */
  unavailable: derived(u32),
  /** 1 while SSE arithmetic may use native operations (masked, nearest, no FTZ or DAZ, PE already set). */
  sseNative: derived(u32),
  codeTlb: derived(u32), // host address of the code TLB in force
  /** SP is rSP & stackMask; a narrow write keeps rSP & stackKeep. */
  stackMask: derived(u64),
  stackKeep: derived(u64),
  linearMask: derived(u64), // FFFF_FFFFH outside 64-bit mode
  csBase: derived(u64), // CS base as code sees it: 0 in 64-bit mode
  // Segment registers ES CS SS DS FS GS LDTR TR. Rights are descriptor bits 8…15 and 20…23 as in a VMCS, bit 16 unusable.
  segSelector: array('u32', 8),
  segBase: array('u64', 8),
  segLimit: array('u32', 8),
  segRights: array('u32', 8),
  // What address generation uses: base in force, inclusive offset ranges that may be read and written (low > high: none).
  segEffective: derived(array('u64', 8)),
  segReadLow: derived(array('u32', 8)),
  segReadHigh: derived(array('u32', 8)),
  segWriteLow: derived(array('u32', 8)),
  segWriteHigh: derived(array('u32', 8)),
  gdtrBase: u64,
  gdtrLimit: u32,
  idtrBase: u64,
  idtrLimit: u32,
  cr0: u64,
  cr2: u64,
  cr3: u64,
  cr4: u64,
  efer: u64,
  xcr0: u64,
  pdpte: array('u64', 4),
  dr: array('u64', 8),
  // x87 and MMX: eight physical registers of 16 bytes (significand u64, sign and exponent u16), not rotated by TOP.
  fpr: array('bytes', 128),
  fcw: u32,
  fsw: u32, // TOP in bits 13:11
  ftw: u32, // 8 bits in the FXSAVE form: 1 = not empty
  fop: u32,
  fip: u64,
  fdp: u64,
  fcs: u32,
  fds: u32,
  mxcsr: u32,
  xmm: array('bytes', 256),
  // Model-specific registers that the processor itself reads often.
  kernelGsBase: u64,
  star: u64,
  lstar: u64,
  cstar: u64,
  fmask: u64,
  sysenterCs: u64,
  sysenterEsp: u64,
  sysenterEip: u64,
  tscAux: u64,
  /** TSC = cycles of virtual time + this. */
  tscOffset: u64,
  /** 0 running, 1 halted, 2 shutdown (triple fault), 3 waiting for SIPI, 4 MWAIT. */
  activity: u32,
  /** Bit 0 STI shadow, bit 1 MOV SS shadow, bit 3 NMIs blocked. */
  interruptibility: u32,
  /** Debug exceptions that wait for the instruction boundary: DR6 bits. */
  pendingDebug: u32,
  /** Cycles of virtual time this processor has consumed, and instructions retired. */
  cycles: u64,
  instructions: u64,
  scratch: derived(array('bytes', 64)), // operands and results of calls, four slots of 16 bytes
  bounce: derived(array('bytes', 64)), // stands in for memory in accesses that cross pages or reach a chip
  insnRecord: derived(array('bytes', 96)), // records of an instruction that crosses a page
} as const satisfies Record<string, Field>

export type FieldName = keyof typeof fields

const widths: Record<FieldType, number> = { u32: 4, i32: 4, u64: 8, bytes: 1 }

function place(): { offsets: Record<FieldName, number>; size: number } {
  let at = 0
  const offsets = {} as Record<FieldName, number>
  for (const name of Object.keys(fields) as FieldName[]) {
    const f: Field = fields[name]
    const align = f.type === 'bytes' ? 16 : widths[f.type]
    at = Math.ceil(at / align) * align
    offsets[name] = at
    at += widths[f.type] * f.count
  }
  return { offsets, size: at }
}

const placed = place()
/** Byte offset of each field from the start of a processor block. */
export const offsets: Readonly<Record<FieldName, number>> = placed.offsets

/** Records address registers with 16 bits, so that the fields' part of a block stays under 64 KiB. */
export const FIELDS_SIZE = 4096
if (placed.size > FIELDS_SIZE) throw new RangeError(`processor fields take ${placed.size} bytes`)

type Scalar<T extends FieldType> = T extends 'u64' ? bigint : number
/** An array field: index, then value. */
export interface Indexed<V> {
  get(index: number): V
  set(index: number, value: V): void
}
type Accessor<F extends Field> = F['type'] extends 'bytes' ? Uint8Array : F['count'] extends 1 ? Scalar<F['type']> : Indexed<Scalar<F['type']>>
type Accessors = { -readonly [K in FieldName]: Accessor<(typeof fields)[K]> }

/** TypeScript's view of one processor block: a property per field. */
export type ProcessorState = Accessors & {
  /** Host address of the block. */
  readonly base: number
  /** The fields' part of the block as 32-bit words: field f is at offsets.f / 4. */
  readonly words: Uint32Array
}

// Two classes of elements, so that each access site sees one shape.
class WideElements implements Indexed<bigint> {
  constructor(private readonly view: BigUint64Array) {}
  get(index: number): bigint {
    return this.view[index]!
  }
  set(index: number, value: bigint): void {
    this.view[index] = value
  }
}
class NarrowElements implements Indexed<number> {
  constructor(private readonly view: Uint32Array) {}
  get(index: number): number {
    return this.view[index]!
  }
  set(index: number, value: number): void {
    this.view[index] = value
  }
}

/** Array fields are properties of their own; scalars are accessors on the prototype, which the engine keeps fast. */
class Block {
  readonly wide: BigUint64Array
  readonly words: Uint32Array
  readonly signed: Int32Array

  constructor(
    memory: WebAssembly.Memory,
    readonly base: number,
  ) {
    const { buffer } = memory
    this.wide = new BigUint64Array(buffer, base, FIELDS_SIZE >> 3)
    this.words = new Uint32Array(buffer, base, FIELDS_SIZE >> 2)
    this.signed = new Int32Array(buffer, base, FIELDS_SIZE >> 2)
    for (const [name, field] of Object.entries(fields) as [FieldName, Field][]) {
      const at = base + offsets[name]
      if (field.type === 'bytes') this.add(name, new Uint8Array(buffer, at, field.count))
      else if (field.count > 1 && field.type === 'u64') this.add(name, new WideElements(new BigUint64Array(buffer, at, field.count)))
      else if (field.count > 1) this.add(name, new NarrowElements(new Uint32Array(buffer, at, field.count)))
    }
  }

  private add(name: string, value: unknown): void {
    ;(this as unknown as Record<string, unknown>)[name] = value
  }
}

for (const [name, field] of Object.entries(fields) as [FieldName, Field][]) {
  if (field.count !== 1) continue
  const n = offsets[name] / widths[field.type]
  const accessor: PropertyDescriptor & ThisType<Block> =
    field.type === 'u64'
      ? {
          get() {
            return this.wide[n]
          },
          set(v: bigint) {
            this.wide[n] = v
          },
        }
      : field.type === 'i32'
        ? {
            get() {
              return this.signed[n]
            },
            set(v: number) {
              this.signed[n] = v
            },
          }
        : {
            get() {
              return this.words[n]
            },
            set(v: number) {
              this.words[n] = v
            },
          }
  Object.defineProperty(Block.prototype, name, accessor)
}

export const processorState = (memory: WebAssembly.Memory, base: number): ProcessorState => new Block(memory, base) as unknown as ProcessorState

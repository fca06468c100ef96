// Decoded code by host page and mode: tables of records, filled from where execution arrives (ARCHITECTURE.md, "Decoded code").
// Shared by all processors of a machine. Stores to a page with code drop what they touch; a full arena drops everything.

import { offsets } from '../isa/state.ts'
import { AddressKind, Pseudo, Record, SegmentBits } from './record.ts'
import { CodeTlb } from './interpreter/intrinsics.ts'
import type { CodePages } from '../paging/code-pages.ts'
import { NO_REGISTER, RIP_REGISTER, type Decoded, type Decoder, type CodeSize } from '../isa/decoder.ts'
import type { Operand } from '../isa/operand.ts'
import type { Form } from '../isa/forms.ts'

const TABLE_BYTES = 4096 * 4
/** A run of records ends here at the latest, so that code that is never reached is not decoded. */
const RUN_LENGTH = 48
/** A page that was dropped more often than this is not worth decoding ahead. */
const THRASHING = 16

/** What decoded code depends on besides the bytes, the code size: an index of `sizes`. */
export type CodeMode = number
export const codeMode = (size: CodeSize): CodeMode => (size === 64 ? 2 : size === 32 ? 1 : 0)
const sizes: readonly CodeSize[] = [16, 32, 64]

export interface CodePage {
  readonly hostPage: number
  readonly mode: CodeMode
  /** Host address of 4,096 record addresses, by page offset. */
  readonly table: number
  /** Bytes of the page that decoded instructions cover: a bit a byte. */
  readonly covered: Uint32Array
}

export interface CodeCounters {
  decoded: number
  dropped: number
  flushes: number
}

export class CodeCache {
  private readonly words: Int32Array
  private readonly halves: Uint16Array
  private readonly view: DataView
  private readonly bytes: Uint8Array
  private readonly pages = new Map<number, CodePage>()
  private freeTables: number[] = []
  /** How often each host page lost its code: one that keeps storing into itself is decoded an instruction at a time. */
  private readonly drops = new Map<number, number>()
  private top: number
  /** Decoded operands of records whose form is an assist; such a record's link is the index here. */
  private assists: Decoded[] = []
  private readonly ownAssists = new Map<number, number>()
  readonly counters: CodeCounters = { decoded: 0, dropped: 0, flushes: 0 }
  /** The processors' code TLBs, which must not outlive a table. */
  private readonly listeners: (() => void)[] = []

  constructor(
    memory: WebAssembly.Memory,
    private readonly arena: { readonly start: number; readonly end: number },
    private readonly decoder: Decoder,
    private readonly handlers: { readonly handlers: Uint16Array; readonly anyHandlers: Uint16Array },
    private readonly isAssist: (form: Form) => boolean,
    private readonly codePages: CodePages,
  ) {
    this.words = new Int32Array(memory.buffer)
    this.halves = new Uint16Array(memory.buffer)
    this.view = new DataView(memory.buffer)
    this.bytes = new Uint8Array(memory.buffer)
    this.top = arena.start
    codePages.written = (host, size) => this.written(host, size)
  }

  /** The page of code at a host page address, made if it is new. */
  page(hostPage: number, mode: CodeMode): CodePage {
    const key = hostPage * 4 + mode
    const known = this.pages.get(key)
    if (known) return known
    if (this.freeTables.length === 0 && this.top + TABLE_BYTES + 8192 > this.arena.end) this.flush()
    let table = this.freeTables.pop()
    if (table === undefined) {
      table = this.top
      this.top += TABLE_BYTES
    }
    this.words.fill(0, table >>> 2, (table + TABLE_BYTES) >>> 2)
    const page = { hostPage, mode, table, covered: new Uint32Array(128) }
    this.pages.set(key, page)
    this.codePages.protect(hostPage)
    return page
  }

  /** The record at `offset` of a page; decodes from there if there is none. */
  record(page: CodePage, offset: number): number {
    const known = this.words[(page.table >>> 2) + offset]!
    if (known !== 0) return known
    if (this.top + (RUN_LENGTH + 2) * Record.size > this.arena.end) {
      this.flush()
      return this.record(this.page(page.hostPage, page.mode), offset)
    }
    return this.decodeRun(page, offset)
  }

  private decodeRun(page: CodePage, start: number): number {
    const mode = sizes[page.mode]!
    const longest = (this.drops.get(page.hostPage) ?? 0) > THRASHING ? 1 : RUN_LENGTH
    const first = this.top
    let offset = start
    const end = page.hostPage + 4096
    for (let n = 0; n < longest; n++) {
      const at = page.hostPage + offset
      const d = this.decoder.decode(this.bytes, at, end, mode)
      const record = this.top
      this.top += Record.size
      this.words[(page.table >>> 2) + offset] = record
      if ('kind' in d) {
        const handler = d.kind === 'more' ? Pseudo.cross : d.kind === 'ud' ? Pseudo.undefined : Pseudo.tooLong
        this.pseudo(record, handler, offset, 0)
        this.cover(page, offset, Math.min(4096, offset + 15))
        return first
      }
      this.write(record, d, offset, mode)
      this.cover(page, offset, offset + d.length)
      offset += d.length
      this.counters.decoded++
      const following = offset < 4096 ? this.words[(page.table >>> 2) + offset]! : 0
      if (offset >= 4096 || following !== 0 || ends(d.form)) {
        this.pseudo(this.top, Pseudo.goOn, offset, following)
        this.top += Record.size
        return first
      }
    }
    this.pseudo(this.top, Pseudo.goOn, offset, 0)
    this.top += Record.size
    return first
  }

  private pseudo(record: number, handler: number, offset: number, link: number): void {
    const w = record >>> 2
    this.words.fill(0, w, w + Record.size / 4)
    this.halves[record >>> 1] = handler
    this.halves[(record + Record.offset) >>> 1] = offset
    this.words[w + Record.link / 4] = link
    this.words[w + Record.immediate / 4] = offset
  }

  /** Writes one instruction and a `leave` behind it at `record`, outside any page: it crosses two. */
  writeCrossing(record: number, bytes: Uint8Array, offset: number, mode: CodeSize): void {
    this.lastCrossingAssists = false
    const d = this.decoder.decode(bytes, 0, bytes.length, mode)
    if ('kind' in d) return this.pseudo(record, d.kind === 'ud' ? Pseudo.undefined : Pseudo.tooLong, offset, 0)
    this.write(record, d, offset, mode)
    this.pseudo(record + Record.size, Pseudo.leave, offset + d.length, 0)
  }

  /** How long the instruction in `bytes` is, or 0 if more bytes are needed. */
  lengthOf(bytes: Uint8Array, mode: CodeSize): number {
    const d = this.decoder.decode(bytes, 0, bytes.length, mode)
    return 'kind' in d ? (d.kind === 'more' ? 0 : bytes.length) : d.length
  }

  private write(record: number, d: Decoded, offset: number, mode: CodeSize): void {
    const v = this.view
    const form = d.form
    v.setUint16(record + Record.offset, offset, true)
    v.setUint16(record + Record.reg, registerOffset(form, 'reg', d.reg, d.rex), true)
    v.setUint16(record + Record.rm, registerOffset(form, 'rm', d.rm, d.rex), true)
    let displacement = d.displacement
    let base = d.base === NO_REGISTER ? offsets.zero : d.base === RIP_REGISTER ? offsets.ripBase : offsets.gpr + 8 * d.base
    let index = d.index === NO_REGISTER ? offsets.zero : offsets.gpr + 8 * d.index
    if (d.base === RIP_REGISTER) {
      const sum = displacement + offset + d.length
      if (sum > 0x7fffffff) index = offsets.page
      displacement = sum > 0x7fffffff ? sum - 4096 : sum
    } else if (popsInto(form) && d.base === 4) displacement += d.operandSize >> 3 // POP [rSP+x]: after the increment
    const step = d.addressSize === 64 ? 0 : d.addressSize === 32 ? 8 : 16
    if (form.operands.some((o) => o.place === 'source' || o.place === 'destination' || o.place === 'counter')) {
      index = offsets.addressMasks + step
      base = offsets.addressKeeps + step
    }
    v.setUint16(record + Record.base, base, true)
    v.setUint16(record + Record.index, index, true)
    v.setUint8(record + Record.scale, d.scale)
    let kind = d.addressSize === 64 ? 0 : d.addressSize === 32 ? AddressKind.size32 : AddressKind.size16
    if (mode !== 64) kind |= AddressKind.legacy | AddressKind.special
    else if (d.segment === 4 || d.segment === 5 || kind) kind |= AddressKind.special
    const { handlers, anyHandlers } = this.handlers
    v.setUint16(record + Record.handler, (kind === 0 ? handlers : anyHandlers)[form.id]!, true)
    v.setUint8(record + Record.kind, kind)
    v.setUint8(record + Record.length, d.length)
    v.setUint8(record + Record.segment, d.segment | (mode === 64 ? 0 : SegmentBits.legacyStack))
    v.setInt32(record + Record.displacement, displacement | 0, true)
    v.setUint32(record + Record.link, 0, true)
    let low = d.immediateLow
    let high = d.immediateHigh
    if (form.operands.some((o) => o.place === 'relative')) {
      const target = low + offset + d.length
      low = target | 0
      high = Math.floor(target / 2 ** 32)
    }
    if (form.row.attributes.pointers) low = ((d.opcode & 7) << 8) | d.modrm // FOP
    v.setInt32(record + Record.immediate, low, true)
    v.setInt32(record + Record.immediate + 4, high, true)
    if (this.isAssist(form)) {
      const index = this.assistIndex(record)
      v.setUint32(record + Record.link, index, true)
      this.assists[index] = { ...d }
      if (record < this.arena.start) this.lastCrossingAssists = true
    }
  }

  /** Was the last instruction that `writeCrossing` wrote an assist? */
  lastCrossingAssists = false

  /** Records in the arena get an index each; a processor's own record, written again and again, keeps one. */
  private assistIndex(record: number): number {
    if (record >= this.arena.start) return this.assists.length
    let index = this.ownAssists.get(record)
    if (index === undefined) this.ownAssists.set(record, (index = this.assists.length))
    return index
  }

  /** Operands of the assist at a record. */
  decodedAt(record: number): Decoded {
    return this.assists[this.words[(record + Record.link) >>> 2]!]!
  }

  /** Links a direct jump at `from` to its target, in the same page. */
  link(from: number, to: number): void {
    this.words[(from + Record.link) >>> 2] = to
  }

  private cover(page: CodePage, from: number, to: number): void {
    for (let i = from; i < to && i < 4096; i++) page.covered[i >>> 5]! |= 1 << (i & 31)
  }

  /** A store into a page that holds code: drops the page's code if it touches any. */
  private written(host: number, size: number): boolean {
    const hostPage = (host & ~0xfff) >>> 0
    const offset = host & 0xfff
    let touched = false
    for (let mode = 0; mode < 3 && !touched; mode++) {
      const page = this.pages.get(hostPage * 4 + mode)
      if (page) for (let i = offset; i < offset + size && i < 4096; i++) if (page.covered[i >>> 5]! & (1 << (i & 31))) touched = true
    }
    if (!touched) return false
    this.drop(hostPage)
    return true
  }

  /** Forgets all code of one host page. */
  drop(hostPage: number): void {
    for (let mode = 0; mode < 3; mode++) {
      const page = this.pages.get(hostPage * 4 + mode)
      if (!page) continue
      this.pages.delete(hostPage * 4 + mode)
      this.freeTables.push(page.table)
      this.counters.dropped++
    }
    if (this.drops.size >= 4096) this.drops.clear()
    this.drops.set(hostPage, (this.drops.get(hostPage) ?? 0) + 1)
    this.codePages.release(hostPage)
    this.forgetTables()
  }

  /** Forgets all code. Records stay readable until the arena is used again, by the next decoding. */
  flush(): void {
    for (const page of this.pages.values()) this.codePages.release(page.hostPage)
    this.pages.clear()
    this.assists = []
    this.ownAssists.clear()
    this.freeTables = []
    this.top = this.arena.start
    this.counters.flushes++
    this.forgetTables()
  }

  private forgetTables(): void {
    for (const forget of this.listeners) forget()
  }

  /** `forget` is called whenever a table of records goes away. */
  onForget(forget: () => void): void {
    this.listeners.push(forget)
  }

  get bytesUsed(): number {
    return this.top - this.arena.start
  }
}

export const CODE_TLB_BYTES = CodeTlb.entries * CodeTlb.entrySize

/** Nothing behind the instruction is reached by falling through. */
const ends = (form: Form): boolean => /^(JMP|RET|RETF|IRET|IRETQ|UD[012]|SYSRET|SYSEXIT|HLT)/.test(form.row.mnemonic)

const popsInto = (form: Form): boolean => form.memory && form.row.mnemonic === 'POP'

/** Offset in the processor block of the register that ModRM.reg (or the opcode) or ModRM.rm names. */
function registerOffset(form: Form, place: 'reg' | 'rm', n: number, rex: boolean): number {
  const o: Operand | undefined = form.operands.find((x) => x.place === place)
  if (place === 'reg' && form.operands.some((x) => x.place === 'stackIndex')) return n
  if (!o) return offsets.zero
  switch (o.file) {
    case 'xmm': return offsets.xmm + 16 * n
    case 'mm': return offsets.fpr + 16 * (n & 7)
    case 'sreg': return offsets.segSelector + 4 * (n % 6)
    case 'control': return offsets.zero
    case 'gpr': return o.width === 8 && !o.inRegister32 && !rex && n >= 4 && n < 8 ? offsets.gpr + 8 * (n - 4) + 1 : offsets.gpr + 8 * n
  }
}

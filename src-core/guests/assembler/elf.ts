// ELF executable writer: System V gABI chapters 4 and 5. One PT_LOAD a section, PT_NOTE for .note sections, .symtab.
import type { Program, Section } from './program.ts'

const PT_LOAD = 1
const PT_NOTE = 4
const SHT = { PROGBITS: 1, SYMTAB: 2, STRTAB: 3, NOTE: 7, NOBITS: 8 }
const SHN_ABS = 0xfff1

class Writer {
  bytes = new Uint8Array(4096)
  view = new DataView(this.bytes.buffer)
  at = 0
  constructor(readonly wide: boolean) {}
  private room(n: number): void {
    if (this.at + n <= this.bytes.length) return
    const bigger = new Uint8Array(Math.max(this.bytes.length * 2, this.at + n))
    bigger.set(this.bytes)
    this.bytes = bigger
    this.view = new DataView(bigger.buffer)
  }
  half(...values: number[]): void {
    for (const v of values) {
      this.room(2)
      this.view.setUint16(this.at, v, true)
      this.at += 2
    }
  }
  word(...values: number[]): void {
    for (const v of values) {
      this.room(4)
      this.view.setUint32(this.at, v, true)
      this.at += 4
    }
  }
  /** Elf32_Addr or Elf64_Addr */
  address(...values: (number | bigint)[]): void {
    for (const v of values) {
      if (!this.wide) {
        this.word(Number(BigInt.asUintN(32, BigInt(v))))
        continue
      }
      this.room(8)
      this.view.setBigUint64(this.at, BigInt.asUintN(64, BigInt(v)), true)
      this.at += 8
    }
  }
  put(bytes: Uint8Array): void {
    this.room(bytes.length)
    this.bytes.set(bytes, this.at)
    this.at += bytes.length
  }
  seek(at: number): void {
    const n = at - this.at
    if (n > 0) this.room(n)
    this.at = at
  }
}

class Strings {
  private readonly parts: number[] = [0]
  add(text: string): number {
    const at = this.parts.length
    for (const b of new TextEncoder().encode(text)) this.parts.push(b)
    this.parts.push(0)
    return at
  }
  get bytes(): Uint8Array {
    return Uint8Array.from(this.parts)
  }
}

/** The image of a program; 32-bit images hold addresses below 4 GiB. */
export function elfImage(program: Pick<Program, 'sections' | 'symbols' | 'entry'>, bits: 32 | 64): Uint8Array {
  const wide = bits === 64
  const w = new Writer(wide)
  const sections = program.sections.filter((s) => s.size > 0)
  const notes = sections.filter((s) => s.name.startsWith('.note'))
  const headerBytes = wide ? 64 : 52
  const segmentBytes = wide ? 56 : 32
  const sectionBytes = wide ? 64 : 40

  // p_offset ≡ p_vaddr modulo the page
  let at = headerBytes + segmentBytes * (sections.length + notes.length)
  const offsets = new Map<Section, number>()
  for (const s of sections) {
    if (s.bytes.length) at += Number((BigInt.asUintN(64, s.address) - BigInt(at)) & 0xfffn)
    offsets.set(s, at)
    at += s.bytes.length
  }
  const tables = Math.ceil(at / 8) * 8

  const names = new Strings()
  const symbolNames = new Strings()
  const symbols = new Writer(wide)
  const symbol = (name: number, value: bigint, info: number, section: number): void => {
    symbols.word(name)
    if (wide) {
      symbols.half(info, section)
      symbols.address(value, 0)
    } else {
      symbols.word(Number(BigInt.asUintN(32, value)), 0)
      symbols.half(info, section)
    }
  }
  symbol(0, 0n, 0, 0)
  for (const [name, { value, address }] of program.symbols) {
    const home = address ? sections.findIndex((s) => value >= s.address && value <= s.address + BigInt(s.size)) + 1 : 0
    symbol(symbolNames.add(name), value, 0, home || SHN_ABS)
  }
  const symbolBytes = symbols.bytes.subarray(0, symbols.at)
  const symbolCount = program.symbols.size + 1
  const heads = sections.map((s) => names.add(s.name))
  const headSymbols = names.add('.symtab')
  const headStrings = names.add('.strtab')
  const headNames = names.add('.shstrtab')
  const stringsAt = tables + symbolBytes.length
  const namesAt = stringsAt + symbolNames.bytes.length
  const sectionsAt = Math.ceil((namesAt + names.bytes.length) / 8) * 8

  w.put(Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0))
  w.half(2, wide ? 62 : 3) // ET_EXEC; EM_X86_64 or EM_386
  w.word(1)
  w.address(program.entry, headerBytes, sectionsAt)
  w.word(0)
  w.half(headerBytes, segmentBytes, sections.length + notes.length, sectionBytes, sections.length + 4, sections.length + 3)

  const segment = (type: number, s: Section, align: number): void => {
    const flags = 4 | (s.write ? 2 : 0) | (s.execute ? 1 : 0)
    w.word(type)
    if (wide) w.word(flags)
    w.address(offsets.get(s) ?? 0, s.address, s.address, s.bytes.length, s.size)
    if (!wide) w.word(flags)
    w.address(align)
  }
  for (const s of sections) segment(PT_LOAD, s, s.bytes.length ? 0x1000 : 1)
  for (const s of notes) segment(PT_NOTE, s, 4)

  for (const s of sections) {
    w.seek(offsets.get(s) ?? 0)
    w.put(s.bytes)
  }
  w.seek(tables)
  w.put(symbolBytes)
  w.put(symbolNames.bytes)
  w.put(names.bytes)
  w.seek(sectionsAt)
  const header = (
    name: number,
    type: number,
    flags: number,
    address: bigint,
    offset: number,
    size: number,
    link: number,
    info: number,
    align: number,
    entry: number,
  ): void => {
    w.word(name, type)
    w.address(flags, address, offset, size)
    w.word(link, info)
    w.address(align, entry)
  }
  header(0, 0, 0, 0n, 0, 0, 0, 0, 0, 0)
  sections.forEach((s, n) => {
    const type = !s.bytes.length ? SHT.NOBITS : notes.includes(s) ? SHT.NOTE : SHT.PROGBITS
    header(heads[n] ?? 0, type, 2 | (s.write ? 1 : 0) | (s.execute ? 4 : 0), s.address, offsets.get(s) ?? 0, s.size, 0, 0, s.align, 0)
  })
  const strings = sections.length + 2
  header(headSymbols, SHT.SYMTAB, 0, 0n, tables, symbolBytes.length, strings, symbolCount, 8, wide ? 24 : 16)
  header(headStrings, SHT.STRTAB, 0, 0n, stringsAt, symbolNames.bytes.length, 0, 0, 1, 0)
  header(headNames, SHT.STRTAB, 0, 0n, namesAt, names.bytes.length, 0, 0, 1, 0)
  return w.bytes.slice(0, w.at)
}

// Executable and Linkable Format, as far as loading needs it: header, program headers, notes (System V gABI chapters 4 and 5).
// x86 only, little-endian, both classes. Does not model: sections, relocation, dynamic linking.

import { ImageError, type NamedFile } from './image.ts'
import type { Placement } from './placement.ts'

const PT_LOAD = 1
const PT_NOTE = 4
const EM_386 = 3
const EM_X86_64 = 62
const MOST_HEADERS = 1024
const MOST_NOTE_BYTES = 1 << 20

export interface ElfSegment {
  readonly offset: number
  readonly physical: number
  readonly virtual: number
  readonly fileSize: number
  readonly memorySize: number
}

export interface ElfNote {
  readonly name: string
  readonly type: number
  readonly data: Uint8Array
}

export interface Elf {
  readonly class: 32 | 64
  readonly entry: number
  /** PT_LOAD segments that occupy memory. */
  readonly segments: readonly ElfSegment[]
  readonly notes: readonly ElfNote[]
}

export function isElf(data: Uint8Array): boolean {
  return data.length >= 4 && data[0] === 0x7f && data[1] === 0x45 && data[2] === 0x4c && data[3] === 0x46
}

/** Throws ImageError for anything but a well-formed x86 ELF file; all offsets in the result are inside the file. */
export function parseElf(file: NamedFile): Elf {
  const { data } = file
  const fail = (reason: string): never => {
    throw new ImageError(file.name, reason)
  }
  if (!isElf(data)) fail('not an ELF file')
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const wide = data[4] === 2
  if (data[4] !== 1 && data[4] !== 2) fail(`ELF class ${data[4] ?? 'missing'} is neither 32 nor 64 bits`)
  if (data[5] !== 1) fail('a big-endian ELF file')
  const headerSize = wide ? 64 : 52
  if (data.length < headerSize) fail(`the ELF header is cut off (${data.length} of ${headerSize} bytes)`)
  const machine = view.getUint16(18, true)
  if (machine !== EM_386 && machine !== EM_X86_64) fail(`an ELF file for machine ${machine}, not x86`)

  const word = (at: number, what: string): number => {
    if (!wide) return view.getUint32(at, true)
    const value = view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true)
    return value > Number.MAX_SAFE_INTEGER ? fail(`${what} is beyond 2^53`) : value
  }
  const table = word(wide ? 32 : 28, 'the program header offset')
  const entrySize = view.getUint16(wide ? 54 : 42, true)
  const count = view.getUint16(wide ? 56 : 44, true)
  const least = wide ? 56 : 32
  if (count === 0) fail('no program headers: not an executable')
  if (count > MOST_HEADERS) fail(`${count} program headers; at most ${MOST_HEADERS} are read`)
  if (entrySize < least) fail(`program headers of ${entrySize} bytes; at least ${least} are needed`)
  if (table + count * entrySize > data.length) fail('the program headers are cut off')

  const segments: ElfSegment[] = []
  const notes: ElfNote[] = []
  let noteBytes = 0
  for (let i = 0; i < count; i++) {
    const at = table + i * entrySize
    const type = view.getUint32(at, true)
    if (type !== PT_LOAD && type !== PT_NOTE) continue
    const of = `program header ${i}`
    const field = (narrow: number, broad: number, what: string) => word(at + (wide ? broad : narrow), `the ${what} of ${of}`)
    const offset = field(4, 8, 'offset')
    const fileSize = field(16, 32, 'file size')
    if (offset + fileSize > data.length) fail(`${of} wants ${fileSize} bytes at ${offset} of a file of ${data.length}: cut off`)
    if (type === PT_NOTE) {
      noteBytes += fileSize
      if (noteBytes > MOST_NOTE_BYTES) fail(`more than ${MOST_NOTE_BYTES} bytes of notes`)
      notes.push(...readNotes(data.subarray(offset, offset + fileSize)))
      continue
    }
    // p_vaddr of a kernel is canonical but above 2^53: only its low 52 bits are kept
    const virtual = wide
      ? (view.getUint32(at + 20, true) & 0xfffff) * 2 ** 32 + view.getUint32(at + 16, true)
      : view.getUint32(at + 8, true)
    const physical = field(12, 24, 'physical address')
    const memorySize = field(20, 40, 'memory size')
    if (fileSize > memorySize) fail(`${of} has more bytes in the file (${fileSize}) than in memory (${memorySize})`)
    if (memorySize > 0) segments.push({ offset, physical, virtual, fileSize, memorySize })
  }
  if (segments.length === 0) fail('nothing to load: no PT_LOAD segment')
  const entry = wide ? (view.getUint32(28, true) & 0xfffff) * 2 ** 32 + view.getUint32(24, true) : view.getUint32(24, true)
  return { class: wide ? 64 : 32, entry, segments, notes }
}

// A note: name size, descriptor size, type; name and descriptor each filled to 4 bytes. Reading stops at a bad one.
function readNotes(data: Uint8Array): ElfNote[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const notes: ElfNote[] = []
  let at = 0
  while (at + 12 <= data.length) {
    const nameSize = view.getUint32(at, true)
    const dataSize = view.getUint32(at + 4, true)
    const type = view.getUint32(at + 8, true)
    const from = at + 12 + Math.ceil(nameSize / 4) * 4
    if (from + dataSize > data.length) break
    const name = String.fromCharCode(...data.subarray(at + 12, at + 12 + Math.min(nameSize, 64))).replace(/\0.*$/s, '')
    notes.push({ name, type, data: data.subarray(from, from + dataSize) })
    at = from + Math.ceil(dataSize / 4) * 4
  }
  return notes
}

/** Puts all segments at their physical addresses. Throws ImageError when one does not fit. */
export function placeElf(elf: Elf, file: NamedFile, placement: Placement): void {
  for (const [i, s] of elf.segments.entries()) {
    placement.put(s.physical, file.data.subarray(s.offset, s.offset + s.fileSize), s.memorySize, `segment ${i} of the kernel`)
  }
}

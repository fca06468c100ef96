// The x86/HVM direct boot ABI ("PVH"): 32-bit flat protected mode, EBX = physical address of hvm_start_info
// (Xen public headers arch-x86/hvm/start_info.h, docs/misc/pvh.pandoc). Version 1 of the structure, with a memory map.

import { BOOT_CS, BOOT_DS, descriptorTable, RFLAGS_CLEAR, type EntryState } from './entry.ts'
import { placeElf, type Elf } from './elf.ts'
import { hex, ImageError, type LoadedImage, type LoadRequest, type NamedFile, type Platform } from './image.ts'
import { commandLineBytes, Placement } from './placement.ts'

const XEN_ELFNOTE_PHYS32_ENTRY = 18
const START_INFO_MAGIC = 0x336ec578
const MOST_COMMAND_LINE = 4095

/** The 32-bit entry point of the kernel's PVH note, or undefined when it has none. Throws ImageError for a malformed one. */
export function pvhEntry(elf: Elf, file: string): number | undefined {
  const note = elf.notes.find((n) => n.name === 'Xen' && n.type === XEN_ELFNOTE_PHYS32_ENTRY)
  if (!note) return undefined
  if (note.data.length !== 4 && note.data.length !== 8) throw new ImageError(file, `a PVH note of ${note.data.length} bytes, not 4 or 8`)
  const view = new DataView(note.data.buffer, note.data.byteOffset, note.data.byteLength)
  if (note.data.length === 8 && view.getUint32(4, true) !== 0) throw new ImageError(file, 'a PVH entry point above 4 GiB')
  return view.getUint32(0, true)
}

/** Lays out an ELF kernel with a PVH note. `kernel` is the ELF itself, which may have come out of the file that was asked for. */
export function loadPvh(request: LoadRequest, kernel: NamedFile, elf: Elf, entry: number): LoadedImage {
  const placement = new Placement(request.platform, kernel.name)
  placeElf(elf, kernel, placement)
  if (!placement.covers(entry)) throw new ImageError(kernel.name, `its PVH entry point ${hex(entry)} is not in any of its segments`)
  const started = passStartInfo(request, placement)
  return {
    format: 'pvh',
    entry: protectedEntry(entry, placement, { rbx: BigInt(started.startInfo) }),
    segments: placement.segments,
    ...(started.initrd ? { initrd: started.initrd } : {}),
    description: `${elf.class}-bit ELF entered through its PVH note at ${hex(entry)}`,
  }
}

/** Puts the start info, command line, modules and memory map into the boot area and the initrd high in memory. */
export function passStartInfo(
  request: LoadRequest,
  placement: Placement,
): { startInfo: number; initrd?: { address: number; length: number } } {
  const { platform } = request
  const line = commandLineBytes(request.append ?? '', MOST_COMMAND_LINE, request.kernel.name)
  const commandLine = placement.pass(line, 16, 'the command line')
  const map = placement.pass(memoryTable(platform), 16, 'the memory map')
  let initrd: { address: number; length: number } | undefined
  let modules = 0
  if (request.initrd) {
    const address = placement.putHigh(request.initrd, 2 ** 32)
    initrd = { address, length: request.initrd.data.length }
    // hvm_modlist_entry: address, size, command line, reserved
    modules = placement.pass(words64(address, initrd.length, 0, 0), 16, 'the module list')
  }

  //  0 magic │ 4 version │ 8 flags │ 12 modules │ 16 module list │ 24 command line │ 32 RSDP │ 40 memory map │ 48 entries │ 52 0
  const info = new Uint8Array(56)
  const view = new DataView(info.buffer)
  view.setUint32(0, START_INFO_MAGIC, true)
  view.setUint32(4, 1, true)
  view.setUint32(12, initrd ? 1 : 0, true)
  for (const [at, value] of [
    [16, modules],
    [24, commandLine],
    [32, platform.rsdp],
    [40, map],
  ] as const)
    view.setBigUint64(at, BigInt(value), true)
  view.setUint32(48, platform.map.length, true)
  return { startInfo: placement.pass(info, 16, 'the start info'), ...(initrd ? { initrd } : {}) }
}

// hvm_memmap_table_entry: address, size, type (as E820), reserved
function memoryTable(platform: Platform): Uint8Array {
  return words64(...platform.map.flatMap((r) => [r.address, r.length, r.type]))
}

function words64(...values: number[]): Uint8Array {
  const out = new Uint8Array(values.length * 8)
  const view = new DataView(out.buffer)
  for (const [i, v] of values.entries()) view.setBigUint64(i * 8, BigInt(v), true)
  return out
}

/** 32-bit flat protected mode with the boot GDT and the TSS that PVH asks for. */
export function protectedEntry(rip: number, placement: Placement, gprs: EntryState['gprs']): EntryState {
  const table = descriptorTable('protected')
  const base = placement.pass(table, 16, 'the descriptor table')
  return {
    mode: 'protected',
    rip,
    rflags: RFLAGS_CLEAR,
    gprs,
    cs: { selector: BOOT_CS, base: 0 },
    data: { selector: BOOT_DS, base: 0 },
    gdtr: { base, limit: table.length - 1 },
    tr: { base: 0, limit: 0x67 },
  }
}

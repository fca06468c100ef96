// Multiboot 0.6.96 ("Multiboot 1"): ELF32 or an image with address fields, flat 32-bit protected mode,
// EAX = 2BADB002H, EBX = physical address of the Multiboot information (sections 3.1 to 3.3).
// Does not model: video modes, drives, APM, symbol tables.

import { isElf, parseElf, placeElf } from './elf.ts'
import { hex, ImageError, type LoadedImage, type LoadRequest, type Platform } from './image.ts'
import { commandLineBytes, Placement } from './placement.ts'
import { protectedEntry } from './pvh.ts'

const HEADER_MAGIC = 0x1badb002
const LOADER_MAGIC = 0x2badb002
const SEARCH_BYTES = 8192
const MOST_COMMAND_LINE = 16383

const HeaderFlag = { addresses: 1 << 16 } as const
/** Requirements a loader must refuse when it does not know them: bits 3–15. */
const UNKNOWN_REQUIREMENTS = 0xfff8

const InfoFlag = { memory: 1 << 0, commandLine: 1 << 2, modules: 1 << 3, memoryMap: 1 << 6, loaderName: 1 << 9 } as const
const INFO_LENGTH = 116

export interface MultibootHeader {
  /** In the file. */
  readonly offset: number
  readonly flags: number
}

/** Finds the header: 4-aligned in the first 8 KiB, magic + flags + checksum = 0 (3.1.1). */
export function findMultiboot(data: Uint8Array): MultibootHeader | undefined {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  for (let offset = 0; offset + 12 <= Math.min(data.length, SEARCH_BYTES); offset += 4) {
    if (view.getUint32(offset, true) !== HEADER_MAGIC) continue
    const flags = view.getUint32(offset + 4, true)
    if (((HEADER_MAGIC + flags + view.getUint32(offset + 8, true)) & 0xffffffff) === 0) return { offset, flags }
  }
  return undefined
}

/** Lays out a Multiboot kernel; the initrd becomes its one module. Throws ImageError. */
export function loadMultiboot(request: LoadRequest, header: MultibootHeader): LoadedImage {
  const { kernel, platform } = request
  const unknown = header.flags & UNKNOWN_REQUIREMENTS
  if (unknown !== 0)
    throw new ImageError(kernel.name, `its Multiboot header requires features ${hex(unknown)} that this loader does not have`)
  const placement = new Placement(platform, kernel.name)
  let entry: number
  if ((header.flags & HeaderFlag.addresses) !== 0) entry = placeByAddresses(request, header, placement)
  else {
    if (!isElf(kernel.data)) throw new ImageError(kernel.name, 'a Multiboot header without address fields in a file that is not ELF')
    const elf = parseElf(kernel)
    if (elf.class !== 32) throw new ImageError(kernel.name, 'a 64-bit ELF file with a Multiboot header: Multiboot loads 32-bit ones')
    placeElf(elf, kernel, placement)
    // e_entry may be virtual: kernels linked high name their physical entry through the segment that holds it
    const home = elf.segments.find((s) => elf.entry >= s.virtual && elf.entry < s.virtual + s.memorySize)
    entry = placement.covers(elf.entry) || !home ? elf.entry : elf.entry - home.virtual + home.physical
  }
  if (!placement.covers(entry)) throw new ImageError(kernel.name, `its entry point ${hex(entry)} is not in what is loaded`)

  const module = request.initrd && { address: placement.putAbove(request.initrd, placement.end), length: request.initrd.data.length }
  const info = passInformation(request, placement, module)
  return {
    format: 'multiboot',
    entry: protectedEntry(entry, placement, { rax: BigInt(LOADER_MAGIC), rbx: BigInt(info) }),
    segments: placement.segments,
    ...(module ? { initrd: module } : {}),
    description: `Multiboot kernel entered at ${hex(entry)}`,
  }
}

// 12 header_addr │ 16 load_addr │ 20 load_end_addr │ 24 bss_end_addr │ 28 entry_addr, counted from the header (3.1.3)
function placeByAddresses(request: LoadRequest, header: MultibootHeader, placement: Placement): number {
  const { name, data } = request.kernel
  if (header.offset + 32 > data.length) throw new ImageError(name, 'the address fields of its Multiboot header are cut off')
  const view = new DataView(data.buffer, data.byteOffset + header.offset)
  const [headerAt, load, loadEnd, bssEnd, entry] = [12, 16, 20, 24, 28].map((o) => view.getUint32(o, true)) as [
    number,
    number,
    number,
    number,
    number,
  ]
  const from = header.offset - (headerAt - load)
  if (load > headerAt || from < 0)
    throw new ImageError(name, `its load address ${hex(load)} is not in the file (header at ${hex(headerAt)})`)
  const fileLength = loadEnd === 0 ? data.length - from : loadEnd - load
  if (fileLength <= 0) throw new ImageError(name, `its load end ${hex(loadEnd)} is not above its load address ${hex(load)}`)
  if (from + fileLength > data.length)
    throw new ImageError(name, `it names ${fileLength} bytes to load and has ${data.length - from}: cut off`)
  const length = Math.max(fileLength, bssEnd === 0 ? 0 : bssEnd - load)
  placement.put(load, data.subarray(from, from + fileLength), length, 'the kernel')
  return entry
}

// Multiboot information (3.3): 0 flags │ 4 mem_lower │ 8 mem_upper │ 16 cmdline │ 20 mods_count │ 24 mods_addr
// 44 mmap_length │ 48 mmap_addr │ 64 boot_loader_name
function passInformation(request: LoadRequest, placement: Placement, module: { address: number; length: number } | undefined): number {
  const { kernel, platform } = request
  const line = `${kernel.name} ${request.append ?? ''}`
  const commandLine = placement.pass(commandLineBytes(line, MOST_COMMAND_LINE, kernel.name), 16, 'the command line')
  const loaderName = placement.pass(new TextEncoder().encode('Ring -1\0'), 16, 'the loader name')
  const map = memoryTable(platform)
  const mapAt = placement.pass(map, 16, 'the memory map')

  const info = new Uint8Array(INFO_LENGTH)
  const view = new DataView(info.buffer)
  let flags = InfoFlag.memory | InfoFlag.commandLine | InfoFlag.memoryMap | InfoFlag.loaderName
  if (module && request.initrd) {
    flags |= InfoFlag.modules
    const text = placement.pass(commandLineBytes(request.initrd.name, MOST_COMMAND_LINE, request.initrd.name), 16, 'the module name')
    const list = new Uint8Array(16)
    for (const [i, v] of [module.address, module.address + module.length, text, 0].entries())
      new DataView(list.buffer).setUint32(i * 4, v, true)
    view.setUint32(20, 1, true)
    view.setUint32(24, placement.pass(list, 16, 'the module list'), true)
  }
  const lower = usableFrom(platform, 0)
  view.setUint32(0, flags, true)
  view.setUint32(4, Math.min(lower, 640 * 1024) / 1024, true)
  view.setUint32(8, usableFrom(platform, 0x100000) / 1024, true)
  view.setUint32(16, commandLine, true)
  view.setUint32(44, map.length, true)
  view.setUint32(48, mapAt, true)
  view.setUint32(64, loaderName, true)
  return placement.pass(info, 16, 'the Multiboot information')
}

/** Bytes of usable memory that begin at `address`. */
function usableFrom(platform: Platform, address: number): number {
  const range = platform.map.find((r) => r.type === 1 && r.address <= address && address < r.address + r.length)
  return range ? range.address + range.length - address : 0
}

// Each entry: 0 size of what follows (20) │ 4 base │ 12 length │ 20 type
function memoryTable(platform: Platform): Uint8Array {
  const out = new Uint8Array(platform.map.length * 24)
  const view = new DataView(out.buffer)
  for (const [i, r] of platform.map.entries()) {
    view.setUint32(i * 24, 20, true)
    view.setBigUint64(i * 24 + 4, BigInt(r.address), true)
    view.setBigUint64(i * 24 + 12, BigInt(r.length), true)
    view.setUint32(i * 24 + 20, r.type, true)
  }
  return out
}

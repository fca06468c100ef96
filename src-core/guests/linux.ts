// Linux entered by the 64-bit boot protocol: long mode, memory identity-mapped, RSI = the zero page
// (Linux Documentation/arch/x86/boot.rst "64-bit Boot Protocol", zero-page.rst). The kernel decompresses itself.

import { BOOT_CS, BOOT_DS, descriptorTable, RFLAGS_CLEAR } from './entry.ts'
import type { BzImage } from './bzimage.ts'
import { hex, ImageError, type LoadedImage, type LoadRequest } from './image.ts'
import { commandLineBytes, PAGE, Placement } from './placement.ts'

const ENTRY_64 = 0x200
const LOADER_UNDEFINED = 0xff
const MOST_E820 = 128

// Zero page: 070 acpi_rsdp_addr │ 0C0 ext_ramdisk_image, 0C4 its size, 0C8 ext_cmd_line_ptr │ 1E8 E820 entries │ 1F1 setup header
// 210 type_of_loader │ 211 loadflags │ 214 code32_start │ 218 ramdisk_image │ 21C ramdisk_size │ 228 cmd_line_ptr │ 2D0 E820 map
const ZERO_PAGE = {
  rsdp: 0x070,
  e820Count: 0x1e8,
  setupHeader: 0x1f1,
  loader: 0x210,
  code32: 0x214,
  initrd: 0x218,
  initrdSize: 0x21c,
  commandLine: 0x228,
  e820: 0x2d0,
}

/** Lays out the image with the kernel where it prefers to be. Throws ImageError. */
export function loadLinux64(request: LoadRequest, image: BzImage): LoadedImage {
  const { kernel, platform } = request
  if (!image.has64BitEntry) throw new ImageError(kernel.name, 'it has no PVH note that can be used and no 64-bit entry point')
  if (platform.map.length > MOST_E820)
    throw new ImageError(kernel.name, `a memory map of ${platform.map.length} entries; the zero page holds ${MOST_E820}`)
  const placement = new Placement(platform, kernel.name)
  const base = image.preferredAddress
  placement.put(base, image.protectedMode, Math.max(image.initSize, image.protectedMode.length), 'the kernel')
  const initrd = request.initrd && { address: placement.putHigh(request.initrd, image.initrdLimit), length: request.initrd.data.length }

  const zeroPage = new Uint8Array(PAGE)
  const view = new DataView(zeroPage.buffer)
  zeroPage.set(image.setupHeader, ZERO_PAGE.setupHeader)
  zeroPage[ZERO_PAGE.loader] = LOADER_UNDEFINED
  view.setUint32(ZERO_PAGE.code32, base, true)
  view.setUint32(ZERO_PAGE.initrd, initrd?.address ?? 0, true)
  view.setUint32(ZERO_PAGE.initrdSize, initrd?.length ?? 0, true)
  view.setUint32(
    ZERO_PAGE.commandLine,
    placement.pass(commandLineBytes(request.append ?? '', image.commandLineSize, kernel.name), 16, 'the command line'),
    true,
  )
  view.setBigUint64(ZERO_PAGE.rsdp, BigInt(platform.rsdp), true)
  zeroPage[ZERO_PAGE.e820Count] = platform.map.length
  for (const [i, r] of platform.map.entries()) {
    const at = ZERO_PAGE.e820 + i * 20
    view.setBigUint64(at, BigInt(r.address), true)
    view.setBigUint64(at + 8, BigInt(r.length), true)
    view.setUint32(at + 16, r.type, true)
  }

  const rsi = placement.pass(zeroPage, PAGE, 'the zero page')
  const table = descriptorTable('long')
  const gdt = placement.pass(table, 16, 'the descriptor table')
  return {
    format: 'linux',
    entry: {
      mode: 'long',
      rip: base + ENTRY_64,
      rflags: RFLAGS_CLEAR,
      gprs: { rsi: BigInt(rsi) },
      cs: { selector: BOOT_CS, base: 0 },
      data: { selector: BOOT_DS, base: 0 },
      gdtr: { base: gdt, limit: table.length - 1 },
      cr3: passIdentityMap(placement),
    },
    segments: placement.segments,
    ...(initrd ? { initrd } : {}),
    description: `Linux boot image (protocol ${image.protocol >> 8}.${image.protocol & 0xff}) entered at ${hex(base + ENTRY_64)} in long mode`,
  }
}

// PML4 → one PDPT → four page directories of 2 MiB pages: linear = physical up to 4 GiB (SDM 3A 4.5). Returns CR3.
function passIdentityMap(placement: Placement): number {
  const present = 0x3n
  const large = 0x80n
  const tables = new Uint8Array(6 * PAGE)
  const view = new DataView(tables.buffer)
  for (let i = 0; i < 2048; i++) view.setBigUint64(2 * PAGE + i * 8, (BigInt(i) << 21n) | large | present, true)
  const at = placement.pass(tables, PAGE, 'the page tables')
  view.setBigUint64(0, BigInt(at + PAGE) | present, true)
  for (let i = 0; i < 4; i++) view.setBigUint64(PAGE + i * 8, BigInt(at + (2 + i) * PAGE) | present, true)
  return at
}

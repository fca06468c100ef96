// A file loaded as it is at an address of the user's choice, and entered at its first byte: below 1 MiB in real mode,
// elsewhere in 32-bit flat protected mode. In both, EBX is the physical address of a PVH start info (pvh.ts),
// by which a program finds its command line, initrd, memory map and ACPI tables if it wants them.

import { RFLAGS_CLEAR, type EntryState } from './entry.ts'
import { hex, ImageError, type LoadedImage, type LoadRequest } from './image.ts'
import { Placement } from './placement.ts'
import { passStartInfo, protectedEntry } from './pvh.ts'

const REAL_MODE_END = 0x100000

/** Throws ImageError when the file is empty or does not fit at `loadAt`. */
export function loadFlat(request: LoadRequest, loadAt: number): LoadedImage {
  const { name, data } = request.kernel
  if (data.length === 0) throw new ImageError(name, 'the file is empty')
  if (!Number.isSafeInteger(loadAt) || loadAt < 0 || loadAt >= 2 ** 32)
    throw new ImageError(name, `cannot be entered at ${loadAt}: not an address below 4 GiB`)
  const placement = new Placement(request.platform, name)
  placement.put(loadAt, data, data.length, 'the program')
  const { startInfo, initrd } = passStartInfo(request, placement)
  const gprs = { rbx: BigInt(startInfo) }
  const real = loadAt < REAL_MODE_END
  return {
    format: 'flat',
    entry: real ? realEntry(loadAt, gprs) : protectedEntry(loadAt, placement, gprs),
    segments: placement.segments,
    ...(initrd ? { initrd } : {}),
    description: `flat program entered at ${hex(loadAt)} in ${real ? 'real' : '32-bit protected'} mode`,
  }
}

/** CS:IP is 0:addr within the first 64 KiB, as a PC enters a boot sector, else addr >> 4 : addr & FH. */
function realEntry(address: number, gprs: EntryState['gprs']): EntryState {
  const selector = address < 0x10000 ? 0 : address >> 4
  return {
    mode: 'real',
    rip: address - selector * 16,
    rflags: RFLAGS_CLEAR,
    gprs,
    cs: { selector, base: selector * 16 },
    data: { selector: 0, base: 0 },
  }
}

// From a file to a laid-out image: which kind of file it is decides the loader.
//   --load-at → flat │ ELF: Multiboot header (32-bit) → Multiboot, PVH note → PVH
//   Linux boot image: the kernel inside through its PVH note, else the 64-bit entry │ Multiboot address fields → Multiboot

import { isBzImage, parseBzImage, unpackKernel } from './bzimage.ts'
import { isElf, parseElf } from './elf.ts'
import { loadFlat } from './flat.ts'
import { ImageError, type LoadedImage, type LoadRequest } from './image.ts'
import { loadLinux64 } from './linux.ts'
import { findMultiboot, loadMultiboot } from './multiboot.ts'
import { loadPvh, pvhEntry } from './pvh.ts'

/** No kernel is unpacked beyond this, whatever the machine's memory. */
const MOST_UNPACKED = 512 * 1024 * 1024

/** Lays out a kernel or program with its initrd and command line. Rejects with ImageError and nothing else, whatever the file. */
export async function loadImage(request: LoadRequest): Promise<LoadedImage> {
  const { kernel, loadAt } = request
  if (loadAt !== undefined) return loadFlat(request, loadAt)
  if (kernel.data.length === 0) throw new ImageError(kernel.name, 'the file is empty')
  const multiboot = findMultiboot(kernel.data)
  if (isElf(kernel.data)) {
    const elf = parseElf(kernel)
    if (multiboot && elf.class === 32) return loadMultiboot(request, multiboot)
    const entry = pvhEntry(elf, kernel.name)
    if (entry !== undefined) return loadPvh(request, kernel, elf, entry)
    if (multiboot) return loadMultiboot(request, multiboot)
    throw new ImageError(kernel.name, 'an ELF file with neither a PVH note nor a Multiboot header: nothing says how to enter it')
  }
  if (isBzImage(kernel.data)) return loadLinux(request)
  if (multiboot) return loadMultiboot(request, multiboot)
  throw new ImageError(
    kernel.name,
    'neither an ELF file, nor a Linux boot image, nor a Multiboot kernel (a flat program needs --load-at ADDR)',
  )
}

async function loadLinux(request: LoadRequest): Promise<LoadedImage> {
  const image = parseBzImage(request.kernel)
  const memory = request.platform.map.reduce((sum, r) => (r.type === 1 ? sum + r.length : sum), 0)
  const inside = await unpackKernel(image, request.kernel, Math.min(memory, MOST_UNPACKED))
  if (inside && isElf(inside.data)) {
    const elf = parseElf(inside)
    const entry = pvhEntry(elf, inside.name)
    if (entry !== undefined) {
      const text = request.append ?? ''
      if (new TextEncoder().encode(text).length > image.commandLineSize) {
        throw new ImageError(inside.name, `the command line has more than the ${image.commandLineSize} bytes this kernel takes`)
      }
      const loaded = loadPvh(request, inside, elf, entry)
      return { ...loaded, description: `Linux boot image, ${image.compression} payload: ${loaded.description}` }
    }
  }
  return loadLinux64(request, image)
}

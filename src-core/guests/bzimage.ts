// The Linux/x86 boot image: setup sectors with a header, then the protected-mode part that holds the compressed kernel
// (Linux Documentation/arch/x86/boot.rst, protocol 2.10 and later).
// Does not model: zImage (loaded low), EFI entry, setup_data chains.

import { compressionOf, decompressPayload, type Compression } from './decompress.ts'
import { ImageError, type NamedFile } from './image.ts'

const BOOT_FLAG = 0xaa55
const HEADER_MAGIC = 0x53726448 // "HdrS"
const LEAST_VERSION = 0x20a
const HEADER_START = 0x1f1

export interface BzImage {
  /** major << 8 | minor. */
  readonly protocol: number
  /** The setup header, from 1F1H on, as it is copied into the zero page. */
  readonly setupHeader: Uint8Array
  /** What is loaded at 1 MiB or wherever the kernel prefers. */
  readonly protectedMode: Uint8Array
  readonly payload: Uint8Array
  readonly compression: Compression | undefined
  readonly preferredAddress: number
  /** Bytes the kernel needs from where it is loaded until it knows the memory map. */
  readonly initSize: number
  readonly initrdLimit: number
  readonly commandLineSize: number
  /** It has a 64-bit entry point 200H into its protected-mode part. */
  readonly has64BitEntry: boolean
}

export function isBzImage(data: Uint8Array): boolean {
  if (data.length < 0x206) return false
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  return view.getUint16(0x1fe, true) === BOOT_FLAG && view.getUint32(0x202, true) === HEADER_MAGIC
}

/** Throws ImageError for anything but a complete bzImage; all parts of the result are views into the file. */
export function parseBzImage(file: NamedFile): BzImage {
  const { data } = file
  const fail = (reason: string): never => {
    throw new ImageError(file.name, reason)
  }
  if (!isBzImage(data)) fail('not a Linux boot image')
  if (data.length < 0x268) fail('the Linux setup header is cut off')
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const protocol = view.getUint16(0x206, true)
  if (protocol < LEAST_VERSION) fail(`boot protocol ${protocol >> 8}.${protocol & 0xff}; 2.10 or later is needed`)
  if ((data[0x211]! & 1) === 0) fail('a zImage, which is loaded low; a bzImage is needed')
  const headerEnd = 0x202 + data[0x201]!
  if (headerEnd < 0x268 || headerEnd > 0x290 || headerEnd > data.length) fail(`a setup header that ends at ${headerEnd} is malformed`)
  const start = ((data[HEADER_START] || 4) + 1) * 512
  if (start >= data.length) fail(`its ${start} bytes of setup sectors are cut off`)

  // syssize counts 16-byte paragraphs: the file may go on behind (a signature), never be shorter
  const declared = view.getUint32(0x1f4, true) * 16
  if (declared > data.length - start + 15) fail(`the kernel is cut off: ${data.length - start} of ${declared} bytes`)
  const payloadAt = start + view.getUint32(0x248, true)
  const payloadLength = view.getUint32(0x24c, true)
  if (payloadAt + payloadLength > data.length) fail('the compressed kernel is cut off')
  const payload = data.subarray(payloadAt, payloadAt + payloadLength)
  const high = view.getUint32(0x25c, true)
  return {
    protocol,
    setupHeader: data.subarray(HEADER_START, headerEnd),
    protectedMode: data.subarray(start),
    payload,
    compression: compressionOf(payload),
    preferredAddress: high !== 0 ? fail('it prefers an address above 4 GiB') : view.getUint32(0x258, true),
    initSize: view.getUint32(0x260, true),
    initrdLimit: view.getUint32(0x22c, true) + 1,
    commandLineSize: view.getUint32(0x238, true),
    has64BitEntry: protocol >= 0x20c && (view.getUint16(0x236, true) & 1) !== 0,
  }
}

/** The ELF kernel inside, at most `most` bytes. Undefined when its compression is none of ours; rejects with ImageError. */
export async function unpackKernel(image: BzImage, file: NamedFile, most: number): Promise<NamedFile | undefined> {
  if (image.compression === undefined) return undefined
  try {
    return { name: file.name, data: await decompressPayload(image.payload, image.compression, most) }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new ImageError(file.name, `its ${image.compression} payload cannot be decompressed: ${error.message}`)
  }
}

// Resource descriptors for _CRS: small and large items in a buffer with an end tag (ACPI 6.5 6.4).

import { buffer, type Aml } from './aml.ts'

const u16 = (v: number) => [v & 0xff, (v >>> 8) & 0xff]
const u32 = (v: number) => [...u16(v & 0xffff), ...u16(Math.floor(v / 65536))]
const u64 = (v: number) => [...u32(v % 2 ** 32), ...u32(Math.floor(v / 2 ** 32))]

/** I/O port descriptor (6.4.2.5): 16-bit decode, fixed base. */
export function io(port: number, length: number): Aml {
  return [0x47, 0x01, ...u16(port), ...u16(port), 0x01, length]
}

/** IRQ descriptor (6.4.2.1), two bytes: edge, active high, exclusive. */
export function irq(number: number): Aml {
  return [0x22, ...u16(1 << number)]
}

/** 32-bit fixed memory range (6.4.3.4). */
export function memoryFixed(address: number, length: number, writable: boolean): Aml {
  return [0x86, ...u16(9), writable ? 1 : 0, ...u32(address), ...u32(length)]
}

// General flags of address spaces (6.4.3.5): 0 producer, 2 minimum fixed, 3 maximum fixed
const PRODUCED_FIXED = 0x0c

export function busNumbers(first: number, last: number): Aml {
  return [0x88, ...u16(13), 2, PRODUCED_FIXED, 0, ...u16(0), ...u16(first), ...u16(last), ...u16(0), ...u16(last - first + 1)]
}

/** I/O ports a bridge passes on, both ends included. */
export function ioWindow(first: number, last: number): Aml {
  return [0x88, ...u16(13), 1, PRODUCED_FIXED, 3, ...u16(0), ...u16(first), ...u16(last), ...u16(0), ...u16(last - first + 1)]
}

/** Memory a bridge passes on: read/write, below 4 GiB or anywhere. */
export function memoryWindow(address: number, length: number): Aml {
  const last = address + length - 1
  if (last < 2 ** 32) return [0x87, ...u16(23), 0, PRODUCED_FIXED, 1, ...u32(0), ...u32(address), ...u32(last), ...u32(0), ...u32(length)]
  return [0x8a, ...u16(43), 0, PRODUCED_FIXED, 1, ...u64(0), ...u64(address), ...u64(last), ...u64(0), ...u64(length)]
}

/** All items as the value of _CRS; the end tag's checksum 0 means "not computed" (6.4.2.9). */
export function resourceTemplate(...items: Aml[]): Aml {
  return buffer([...items.flatMap((i) => [...i]), 0x79, 0])
}

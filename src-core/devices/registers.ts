// Register files of fixed width behind a bus that offers 1, 2 and 4 byte accesses.

import type { AccessSize, Registers } from '../memory/device.ts'

/** Byte-wide registers: a wider access touches consecutive offsets, lowest first. Values are masked to 8 bits. */
export function byteRegisters(read: (offset: number) => number, write: (offset: number, value: number) => void): Registers {
  return {
    read(offset: number, size: AccessSize): number {
      let value = 0
      for (let i = 0; i < size; i++) value |= (read(offset + i) & 0xff) << (8 * i)
      return value >>> 0
    },
    write(offset: number, size: AccessSize, value: number): void {
      for (let i = 0; i < size; i++) write(offset + i, (value >>> (8 * i)) & 0xff)
    },
  }
}

/**
 * Registers of 32 bits at multiples of four. `write` gets the value in its byte lanes and the mask of lanes driven;
 * an access that straddles two registers reaches both, lower first.
 */
export function dwordRegisters(read: (offset: number) => number, write: (offset: number, value: number, lanes: number) => void): Registers {
  return {
    read(offset: number, size: AccessSize): number {
      const shift = (offset & 3) * 8
      let value = read(offset - (offset & 3)) >>> shift
      if (shift + size * 8 > 32) value |= read(offset - (offset & 3) + 4) << (32 - shift)
      return (size === 4 ? value : value & ((1 << (size * 8)) - 1)) >>> 0
    },
    write(offset: number, size: AccessSize, value: number): void {
      const shift = (offset & 3) * 8
      const lanes = size === 4 ? 0xffffffff : (1 << (size * 8)) - 1
      write(offset - (offset & 3), (value << shift) >>> 0, (lanes << shift) >>> 0)
      if (shift + size * 8 > 32) write(offset - (offset & 3) + 4, value >>> (32 - shift), lanes >>> (32 - shift))
    },
  }
}

/** `old` with the lanes of `value` that were driven. */
export const merge = (old: number, value: number, lanes: number): number => ((old & ~lanes) | (value & lanes)) >>> 0

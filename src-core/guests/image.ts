// What every loader takes and gives, and the one error it may throw.

import type { EntryState } from './entry.ts'

/** A file that cannot be loaded (exit status 65): `file` as the user named it, `reason` what is wrong with it. */
export class ImageError extends Error {
  readonly status = 65
  constructor(
    readonly file: string,
    readonly reason: string,
  ) {
    super(`${file}: ${reason}`)
    this.name = 'ImageError'
  }
}

export interface NamedFile {
  readonly name: string
  readonly data: Uint8Array
}

/** `data` at guest-physical `address`; up to `length` bytes the rest is zero. */
export interface Segment {
  readonly address: number
  readonly data: Uint8Array
  readonly length: number
}

/** A range of guest-physical memory as E820 types it: 1 usable, 2 reserved, 3 ACPI tables, 4 ACPI NVS. */
export interface MemoryRange {
  readonly address: number
  readonly length: number
  readonly type: 1 | 2 | 3 | 4
}

/** The machine a guest is loaded into. */
export interface Platform {
  /** In address order, disjoint. */
  readonly map: readonly MemoryRange[]
  /** Physical address of the ACPI RSDP, 0 when there is none. */
  readonly rsdp: number
  /** Usable low memory for what is passed to the guest. */
  readonly bootArea: { readonly address: number; readonly length: number }
}

export interface LoadRequest {
  readonly kernel: NamedFile
  readonly initrd?: NamedFile | undefined
  /** The command line to append. */
  readonly append?: string | undefined
  /** Load the file as it is at this physical address. */
  readonly loadAt?: number | undefined
  readonly platform: Platform
}

export type ImageFormat = 'pvh' | 'linux' | 'multiboot' | 'flat'

export interface LoadedImage {
  readonly format: ImageFormat
  readonly entry: EntryState
  /** Disjoint, all in usable memory; to be written in this order. */
  readonly segments: readonly Segment[]
  /** Where the initrd went. */
  readonly initrd?: { readonly address: number; readonly length: number }
  /** One line for people: what was found and how it is entered. */
  readonly description: string
}

export const hex = (n: number): string => `${n.toString(16).toUpperCase()}H`

// What the benchmark asks of an engine, and the words a guest says on its serial line (guests/kernel.c).

import type { Bits } from './build.ts'

export const START_MARKER = 0x02
export const END_MARKER = 0x03

/** Megabytes of memory every guest has. */
export const MEMORY = 256

export interface Measure {
  /** Seconds of processor time of all the engine's threads, between the markers. */
  readonly cpu: number
  /** Seconds on the wall, between the markers. */
  readonly wall: number
  /** Eight hexadecimal digits; absent where the run's end is a prompt. */
  readonly checksum?: string
  /** Guest instructions of the whole run, where the engine counts them. */
  readonly instructions?: number
}

export interface Engine {
  readonly name: string
  /** Which build of the workloads it runs. */
  readonly bits: Bits
  /** One run of an image in a fresh process. Rejects when the guest does not end as it should. */
  run(image: string, count: number): Promise<Measure>
}

/** Takes the checksum out of what follows the end marker, once it is complete. */
export function checksumIn(text: string): string | undefined {
  return /checksum ([0-9a-f]{8})\ndone\n/.exec(text)?.[1]
}

export function failureIn(text: string): string | undefined {
  return /failed: (.*)\n/.exec(text)?.[1]
}

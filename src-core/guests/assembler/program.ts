// What assembling makes: sections with addresses, symbols, and the line of every byte.

export interface Section {
  readonly name: string
  readonly address: bigint
  /** in memory; `bytes` is empty for sections that only reserve */
  readonly size: number
  readonly bytes: Uint8Array
  readonly write: boolean
  readonly execute: boolean
  readonly align: number
}

export interface Line {
  readonly address: bigint
  readonly size: number
  readonly file: string
  readonly line: number
}

export interface Program {
  readonly sections: readonly Section[]
  /** labels (full names: `outer.inner`) and equs */
  readonly symbols: ReadonlyMap<string, { readonly value: bigint; readonly address: boolean }>
  /** in order of address */
  readonly lines: readonly Line[]
  readonly entry: bigint
  /** Bytes from the lowest address to the last initialised one, gaps zero; load at `sections[0].address`. */
  flat(): Uint8Array
  /** Executable ELF image, 32 or 64 bit, with segments, notes and a symbol table. */
  elf(bits: 32 | 64): Uint8Array
}

/** The line whose bytes hold `address`, by bisection. */
export function lineAt(lines: readonly Line[], address: bigint): Line | undefined {
  let low = 0
  let high = lines.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((lines[middle] as Line).address <= address) low = middle + 1
    else high = middle
  }
  const line = lines[low - 1]
  return line && address < line.address + BigInt(line.size) ? line : undefined
}

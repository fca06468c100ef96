// A guest's linear address through its own paging structures, as a monitor that emulates an instruction must walk them
// (SDM 3A 4.3 … 4.5). Accessed and dirty flags are left: the processor has walked there, or will when it executes the access.

import { Cr0, Cr4, Efer } from '../arch/registers.ts'
import { PageFault } from '../arch/exceptions.ts'
import type { GuestMemory } from './guest-memory.ts'

export interface PagingState {
  readonly cr0: bigint
  readonly cr3: bigint
  readonly cr4: bigint
  readonly efer: bigint
}

/** A guest-physical address, or the error code of the page fault. */
export type Translation = { readonly address: number } | { readonly fault: number }

const TWO32 = 2 ** 32
const PS = 0x80
const [PRESENT, WRITABLE, USER] = [1, 2, 4]

/** `user`: at CPL 3. Pages that are read-only are so for CPL 0 too when CR0.WP is set. */
export function translate(memory: GuestMemory, s: PagingState, linear: bigint, write: boolean, user: boolean): Translation {
  if (!(s.cr0 & Cr0.PG)) return { address: Number(linear & 0xffff_ffffn) }
  const long = (s.efer & Efer.LMA) !== 0n
  const wide = long || (s.cr4 & Cr4.PAE) !== 0n
  const bytes = wide ? 8 : 4
  const bits = wide ? 9n : 10n
  let shift = long ? 39n : wide ? 30n : 22n
  let table = Number(s.cr3 & (wide && !long ? 0xffff_ffe0n : 0xf_ffff_ffff_f000n))
  const code = (write ? PageFault.W : 0) | (user ? PageFault.U : 0)
  let rights = WRITABLE | USER
  for (;;) {
    const pdpt = wide && !long && shift === 30n
    const index = Number((linear >> shift) & (pdpt ? 3n : (1n << bits) - 1n))
    const low = memory.read(table + index * bytes, 4)
    const high = wide ? memory.read(table + index * bytes + 4, 4) : 0
    if (low === undefined || high === undefined || !(low & PRESENT)) return { fault: code }
    if (!pdpt) rights &= low
    const leaf = shift === 12n || ((low & PS) !== 0 && !pdpt && (wide ? shift <= 30n : (s.cr4 & Cr4.PSE) !== 0n))
    const base = (high & 0xfffff) * TWO32 + ((low & ~0xfff) >>> 0)
    if (!leaf) {
      table = base
      shift -= bits
      continue
    }
    if (user && !(rights & USER)) return { fault: code | PageFault.P }
    if (write && !(rights & WRITABLE) && (user || s.cr0 & Cr0.WP)) return { fault: code | PageFault.P }
    const size = 2 ** Number(shift)
    // 4-MiB pages: address bits 39:32 in 20:13 (table 4-4)
    const start = !wide && shift === 22n ? ((low & 0xffc00000) >>> 0) + ((low >>> 13) & 0xff) * TWO32 : base - (base % size)
    return { address: start + Number(linear & (BigInt(size) - 1n)) }
  }
}

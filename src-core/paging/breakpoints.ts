// Data breakpoints of one processor, from DR0…DR3 and DR7 (SDM 3B 17.2.4, 17.2.5).

import { Dr7 } from '../arch/pte.ts'

interface Watch {
  readonly bit: number
  readonly low: number
  readonly high: number
  readonly length: number
  readonly reads: boolean
}

export class DataBreakpoints {
  private watches: Watch[] = []
  /** Any enabled? */
  active = false

  /** `dr`: the eight debug registers as pairs of 32-bit words. */
  update(dr: Int32Array): void {
    const dr7 = dr[14]!
    this.watches = []
    for (let n = 0; n < 4; n++) {
      const kind = Dr7.kind(dr7, n)
      if (!Dr7.enabled(dr7, n) || (kind & 1) === 0) continue
      const length = Dr7.length(dr7, n)
      // The length masks low address bits (table 17-1).
      this.watches.push({ bit: 1 << n, low: dr[n * 2]! & ~(length - 1), high: dr[n * 2 + 1]!, length, reads: kind === 3 })
    }
    this.active = this.watches.length > 0
  }

  /** Does a watched byte lie in the page? */
  inPage(low: number, high: number): boolean {
    return this.watches.some((w) => w.high === (high | 0) && ((w.low ^ low) & ~0xfff) === 0)
  }

  /** DR6 bits for an access of `size` bytes. */
  match(low: number, high: number, size: number, write: boolean): number {
    let bits = 0
    for (const w of this.watches) {
      const distance = ((w.high - high) | 0) * 2 ** 32 + ((w.low >>> 0) - (low >>> 0))
      if ((write || w.reads) && distance < size && distance > -w.length) bits |= w.bit
    }
    return bits
  }
}

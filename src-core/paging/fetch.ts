// Cached translations of instruction fetches (SDM 3A 4.10.2): page by page, user and supervisor apart. No cost is charged.

const ENTRIES = 512

export class FetchCache {
  // Tags: linear page and, in bit 0, user; all ones is none.
  private readonly low = new Int32Array(ENTRIES).fill(-1)
  private readonly high = new Int32Array(ENTRIES)
  private readonly page = new Float64Array(ENTRIES)

  /** Physical page, or -1. */
  lookup(low: number, high: number, user: boolean): number {
    const i = (low >>> 12) & (ENTRIES - 1)
    return this.low[i] === ((low & ~0xfff) | (user ? 1 : 0)) && this.high[i] === (high | 0) ? this.page[i]! : -1
  }

  fill(low: number, high: number, user: boolean, page: number): void {
    const i = (low >>> 12) & (ENTRIES - 1)
    this.low[i] = (low & ~0xfff) | (user ? 1 : 0)
    this.high[i] = high
    this.page[i] = page
  }

  flush(): void {
    this.low.fill(-1)
  }
}

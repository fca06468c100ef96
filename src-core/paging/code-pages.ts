// Which pages of DRAM hold decoded code: their stores take the slow path, so that code can be dropped before it runs stale
// (SDM 3A 11.6, self-modifying code). Shared by all processors of a machine.

/** What can lose its write access to a page. */
export interface WriteTags {
  /** Forgets that `hostPage` may be written without being asked. */
  strip(hostPage: number): void
}

export class CodePages {
  /** By host page number: 1 = decoded code lies there. */
  readonly holds: Uint8Array
  /** By host page number: 1 = some processor may hold a write tag. */
  readonly tagged: Uint8Array
  readonly units: WriteTags[] = []
  /** A store of `size` bytes at a host address in such a page is about to happen. True: code was dropped, so leave compiled code. */
  written: (host: number, size: number) => boolean = () => false

  /** `bytes`: length of the WebAssembly memory. */
  constructor(bytes: number) {
    this.holds = new Uint8Array(Math.ceil(bytes / 4096))
    this.tagged = new Uint8Array(Math.ceil(bytes / 4096))
  }

  /** Code appears on the page that holds host address `host`. */
  protect(host: number): void {
    const page = host >>> 12
    this.holds[page] = 1
    if (this.tagged[page] === 0) return
    this.tagged[page] = 0
    for (const unit of this.units) unit.strip((page << 12) >>> 0)
  }

  /** No code is left on the page. */
  release(host: number): void {
    this.holds[host >>> 12] = 0
  }
}

// Free 4-KiB frames of the server's DRAM, node by node. Several VMs draw from the same allocators; a frame has one owner at a time.
// Does not model: allocation by several threads (one thread runs all processors), larger frames.

export const FRAME = 4096

export interface FrameRange {
  /** Physical address of the first byte, and bytes; whole frames inside are used. */
  readonly start: number
  readonly length: number
  readonly node: number
}

interface Free {
  next: number
  readonly end: number
}

class NodeFrames {
  readonly ranges: Free[] = []
  readonly returned: number[] = []
  free = 0

  take(): number | undefined {
    const again = this.returned.pop()
    if (again !== undefined) {
      this.free--
      return again
    }
    const range = this.ranges.find((r) => r.next < r.end)
    if (!range) return undefined
    const frame = range.next
    range.next += FRAME
    this.free--
    return frame
  }
}

export class FrameAllocator {
  private readonly nodes: NodeFrames[] = []
  private readonly owners = new Map<number, string>()

  /** `distances[a][b]`: how far node b is from a; without memory on the wanted node the nearest that has some gives. */
  constructor(
    ranges: readonly FrameRange[],
    private readonly distances: readonly (readonly number[])[],
  ) {
    for (let n = 0; n < distances.length; n++) this.nodes.push(new NodeFrames())
    for (const r of ranges) {
      const next = Math.ceil(r.start / FRAME) * FRAME
      const end = Math.floor((r.start + r.length) / FRAME) * FRAME
      if (end <= next) continue
      const node = this.nodes[r.node]!
      node.ranges.push({ next, end })
      node.free += (end - next) / FRAME
    }
  }

  get nodeCount(): number {
    return this.nodes.length
  }

  /** Free frames of a node. */
  free(node: number): number {
    return this.nodes[node]!.free
  }

  /** A frame of `node`, else of the nearest node that has one (the lowest number among equals); undefined: none is left. */
  take(node: number, owner: string): number | undefined {
    let frame = this.nodes[node]!.take()
    if (frame === undefined) {
      const far = this.distances[node]!
      const others = this.nodes.map((_, n) => n).filter((n) => n !== node && this.free(n) > 0)
      const nearest = others.reduce((best, n) => (best < 0 || far[n]! < far[best]! ? n : best), -1)
      if (nearest < 0) return undefined
      frame = this.nodes[nearest]!.take()!
    }
    this.owners.set(frame, owner)
    return frame
  }

  /** Gives a frame back. Throws RangeError when `owner` does not have it. */
  release(frame: number, node: number, owner: string): void {
    if (this.owners.get(frame) !== owner) throw new RangeError(`frame ${frame.toString(16)}H is not of ${owner}`)
    this.owners.delete(frame)
    this.nodes[node]!.returned.push(frame)
    this.nodes[node]!.free++
  }

  /** Who has the frame that holds an address; undefined: nobody. */
  owner(address: number): string | undefined {
    return this.owners.get(address - (address % FRAME))
  }
}

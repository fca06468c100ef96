// Which node of the server a guest's page comes from. A guest sees one node; the EPT decides.

const FRAME = 4096
const GIB = 2 ** 30

export const placements = ['first-touch', 'round-4k', 'round-1g'] as const
export type PlacementName = (typeof placements)[number]

export interface Placement {
  /** `page`: guest-physical address; `toucher`: node of the processor that wants it. */
  node(page: number, toucher: number): number
}

/** `nodes`: how many the server has. */
export function placement(name: PlacementName, nodes: number): Placement {
  switch (name) {
    case 'first-touch':
      return { node: (_page, toucher) => toucher }
    case 'round-4k':
      return { node: (page) => Math.floor(page / FRAME) % nodes }
    case 'round-1g':
      return { node: (page) => Math.floor(page / GIB) % nodes }
  }
}

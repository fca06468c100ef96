// The second translation of guest-physical addresses (SDM 3C 28.2, extended page tables), as the walker asks for it.
// paging declares it; a virtual-machine architecture plugs it in while its guest runs.

/** What is read or written at a guest-physical address: what a linear address means, a paging-structure entry on the way, a PDPTE for its register. */
export const Reference = { page: 0, entry: 1, pdpte: 2 } as const

export interface SecondStage {
  /**
   * Where guest-physical `address` really lies. `reference`: of Reference (`entry` with `write`: its A or D bit is about to be
   * set). `linearLow`, `linearHigh`: the linear address being translated. `rights`: of the guest's page, R/W and U/S and XD in
   * bit 31, where `reference` is `page`. Answers -1 when the translation ends here; `stopped` is then what ends the instruction.
   */
  translate(address: number, write: boolean, fetch: boolean, reference: number, linearLow: number, linearHigh: number, rights: number): number
  /** Of the last address translated: may a cached translation also be used for writes? */
  readonly writable: boolean
  readonly stopped: object
  /** Entries of the second stage read since it was last set to 0. */
  references?: number
}

/** Why a second stage refused. */
export type StopKind = 'violation' | 'misconfiguration' | 'logFull'

/** Ends an instruction, or the delivery of an event, whose guest-physical access the second stage refused. Valid until the next one. */
export class SecondStageStop {
  kind: StopKind = 'violation'
  /** Exit qualification of a violation (SDM 3C table 27-7), else 0. */
  qualification = 0
  guestPhysical = 0
  linearLow = 0
  linearHigh = 0
  /** A violation that may become a virtualization exception (SDM 3C 25.5.6.1). */
  convertible = false
}

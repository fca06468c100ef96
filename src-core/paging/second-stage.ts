// The second translation of guest-physical addresses (SDM 3C 28.2, extended page tables), as the walker asks for it.
// paging declares it; a virtual-machine architecture plugs it in while its guest runs.

export interface SecondStage {
  /**
   * Where guest-physical `address` really lies. `table`: a paging-structure entry is read there (`write`: its A or D bit is
   * about to be set), else the page of the access itself. `linearLow`, `linearHigh`: the linear address being translated.
   * Answers -1 when the translation ends here; `stopped` is then what ends the instruction.
   */
  translate(address: number, write: boolean, fetch: boolean, table: boolean, linearLow: number, linearHigh: number): number
  /** Of the last address translated: may a cached translation also be used for writes? */
  readonly writable: boolean
  readonly stopped: object
}

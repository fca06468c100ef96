// The POST code latch at port 80H: a byte that can be read back. Kernels also write it to wait about a microsecond.

import type { Device, Registers, SavedState } from '../memory/device.ts'
import { byteRegisters } from './registers.ts'
import { restoreAs, saveAs, uint } from './state.ts'

const shape = { code: uint(8) }

export class Port80 implements Device {
  /** The last code written. */
  code = 0
  readonly registers: Registers

  constructor(readonly id: string) {
    this.registers = byteRegisters(
      (offset) => (offset === 0 ? this.code : 0xff),
      (offset, value) => {
        if (offset === 0) this.code = value
      },
    )
  }

  save(): SavedState {
    return saveAs(1, shape, { code: this.code })
  }

  restore(state: SavedState): void {
    this.code = restoreAs(this.id, 1, shape, state).code
  }

  reset(): void {
    this.code = 0
  }
}

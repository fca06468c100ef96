// System control port A, 92H (PIIX3 290550, 4.6.2): bit 1 gates A20, bit 0's rising edge resets the processor.
// The board joins its A20 with the 8042's by a Wire.

import type { Device, Line, Registers, SavedState } from '../memory/device.ts'
import { byteRegisters } from './registers.ts'
import { restoreAs, saveAs, uint } from './state.ts'

const shape = { value: uint(8) }

export class Port92 implements Device {
  private value = 0
  readonly registers: Registers

  constructor(
    readonly id: string,
    private readonly a20: Line,
    private readonly resetPulse: () => void,
  ) {
    this.registers = byteRegisters(
      (offset) => (offset === 0 ? this.value : 0xff),
      (offset, value) => {
        if (offset === 0) this.write(value)
      },
    )
  }

  private write(value: number): void {
    const changed = this.value ^ value
    this.value = value
    if ((changed & 2) !== 0) this.a20((value & 2) !== 0)
    if ((changed & value & 1) !== 0) this.resetPulse()
  }

  save(): SavedState {
    return saveAs(1, shape, { value: this.value })
  }

  restore(state: SavedState): void {
    this.value = restoreAs(this.id, 1, shape, state).value
  }

  reset(): void {
    this.write(0)
  }
}

// NMI status and control, port 61H (PIIX3 290550, 4.6.1): speaker gate, speaker data, refresh toggle and timer 2's OUT.
//   7 SERR#   6 IOCHK#   5 OUT2   4 refresh   3 IOCHK enable   2 SERR enable   1 speaker data   0 GATE2
// Not modelled: SERR# and IOCHK#, which nothing here raises; the speaker is a callback.

import type { Clock, Device, Line, Registers, SavedState } from '../memory/device.ts'
import { Oscillator } from './oscillator.ts'
import { byteRegisters } from './registers.ts'
import { restoreAs, saveAs, uint } from './state.ts'

/** Timer 2 as the port sees it. */
export interface SpeakerTimer {
  gate(level: boolean): void
  output(): boolean
}

const shape = { control: uint(4) }
const REFRESH_PERIOD_HZ = 66291 // a DRAM refresh each 15.085 µs

export class Port61 implements Device {
  private control = 0
  private readonly refresh: Oscillator
  readonly registers: Registers

  /** `speaker` hears whether timer 2's output reaches the loudspeaker. */
  constructor(
    readonly id: string,
    clock: Clock,
    private readonly timer: SpeakerTimer,
    private readonly speaker: Line = () => {},
  ) {
    this.refresh = new Oscillator(clock, REFRESH_PERIOD_HZ)
    this.registers = byteRegisters(
      (offset) => (offset === 0 ? this.read() : 0xff),
      (offset, value) => {
        if (offset === 0) this.write(value & 15)
      },
    )
  }

  private read(): number {
    return this.control | (this.refresh.now() % 2 === 1 ? 0x10 : 0) | (this.timer.output() ? 0x20 : 0)
  }

  private write(value: number): void {
    const changed = this.control ^ value
    this.control = value
    if ((changed & 1) !== 0) this.timer.gate((value & 1) !== 0)
    if ((changed & 2) !== 0) this.speaker((value & 2) !== 0)
  }

  save(): SavedState {
    return saveAs(1, shape, { control: this.control })
  }

  restore(state: SavedState): void {
    this.control = restoreAs(this.id, 1, shape, state).control
  }

  reset(): void {
    this.write(0)
  }
}

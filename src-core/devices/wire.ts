// A wire several chips may pull: asserted while any of its inputs is (open collector, PCI 2.2.6).

import type { Device, Line, SavedState } from '../memory/device.ts'
import { flag, queue, restoreAs, saveAs } from './state.ts'
import { StateError } from '../memory/device.ts'

const shape = { inputs: queue(flag, 256) }

export class Wire implements Device {
  private inputs: boolean[] = []

  constructor(
    readonly id: string,
    private readonly output: Line,
  ) {}

  /** A new input, at rest. The order of these calls is part of the saved state's meaning. */
  input(): Line {
    const n = this.inputs.length
    this.inputs.push(false)
    return (level) => {
      if (this.inputs[n] === level) return
      const before = this.level
      this.inputs[n] = level
      if (this.level !== before) this.output(!before)
    }
  }

  get level(): boolean {
    return this.inputs.includes(true)
  }

  save(): SavedState {
    return saveAs(1, shape, { inputs: this.inputs })
  }

  /** The output is not driven: whoever listens saves the level it was given. */
  restore(state: SavedState): void {
    const { inputs } = restoreAs(this.id, 1, shape, state)
    if (inputs.length !== this.inputs.length) throw new StateError(this.id, `${inputs.length} inputs, this wire has ${this.inputs.length}`)
    this.inputs = inputs
  }

  reset(): void {
    const before = this.level
    this.inputs.fill(false)
    if (before) this.output(false)
  }
}

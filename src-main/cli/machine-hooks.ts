// What the command line asks of a machine beyond running it.

import type { Machine } from '../../src-core/board/machine.ts'
import type { Json } from '../../src-core/memory/device.ts'

export interface MachineHooks {
  /** `run` returns at the next instruction boundary, without a stop. */
  interrupt(): void
  /** Everything but DRAM, as named versioned fields; only between runs. */
  save(): Json
  /** Throws StateError when the state does not fit; then nothing was changed. */
  restore(state: Json): void
}

export function hooks(machine: Machine): MachineHooks {
  const m = machine as Machine & Partial<MachineHooks>
  const missing = (what: string) => (): never => {
    throw new Error(`the machine has no ${what}`)
  }
  return {
    interrupt: () => m.interrupt?.(),
    save: () => (m.save ?? missing('save')).call(m),
    restore: (state) => (m.restore ?? missing('restore')).call(m, state),
  }
}

// The model-specific registers that are plain values of one processor (SDM 4 table 2-2; MTRRs SDM 3A 11.11, banks 3B 15.3).
// Does not model: what memory types, machine checks and DEBUGCTL would do; the values are kept as hardware keeps them.

import { MC_BANKS, MTRR_PAIRS, MiscEnable, PAT_RESET } from '../arch/msr.ts'
import { StateError, type SavedState } from '../memory/device.ts'
import type { Processor } from './processor.ts'

const FIXED_MTRRS = 11

const VERSION = 1
const hex = (v: bigint): string => v.toString(16)

/** Values as firmware leaves them. */
export class ModelRegisters {
  featureControl = 0n
  miscEnable = MiscEnable.reset
  pat = PAT_RESET
  /** Enabled, all write-back. */
  mtrrDefType = 0x806n
  mcgStatus = 0n
  mtrrVariable = new Array<bigint>(2 * MTRR_PAIRS).fill(0n)
  /** 64K at 0, two of 16K, eight of 4K. */
  mtrrFixed = new Array<bigint>(FIXED_MTRRS).fill(0x0606060606060606n)
  mcControl = new Array<bigint>(MC_BANKS).fill(0n)

  reset(): void {
    Object.assign(this, new ModelRegisters())
  }

  /** Every register by name, as hexadecimal text. */
  save(): SavedState {
    const fields: SavedState['fields'] = {}
    for (const [name, v] of Object.entries(this) as [string, bigint | bigint[]][]) fields[name] = typeof v === 'bigint' ? hex(v) : v.map(hex)
    return { version: VERSION, fields }
  }

  /** Throws StateError when the state is of another version or shape; then nothing was changed. */
  restore(state: SavedState): void {
    const part = 'model-specific registers'
    if (state.version !== VERSION) throw new StateError(part, `state version ${String(state.version)}, this machine has ${VERSION}`)
    const word = (name: string, text: unknown): bigint => {
      if (typeof text !== 'string' || !/^[0-9a-f]{1,16}$/.test(text)) throw new StateError(part, `field ${name} is not hexadecimal`)
      return BigInt('0x' + text)
    }
    const next: { [name: string]: bigint | bigint[] } = {}
    for (const [name, was] of Object.entries(this) as [string, bigint | bigint[]][]) {
      const text = state.fields[name]
      if (typeof was === 'bigint') next[name] = word(name, text)
      else {
        if (!Array.isArray(text) || text.length !== was.length) throw new StateError(part, `field ${name} is not a list of ${was.length}`)
        next[name] = text.map((t) => word(name, t))
      }
    }
    Object.assign(this, next)
  }
}

const all = new WeakMap<Processor, ModelRegisters>()

/** The plain registers of a processor, made at first use with their reset values. */
export function modelRegisters(cpu: Processor): ModelRegisters {
  let registers = all.get(cpu)
  if (!registers) all.set(cpu, (registers = new ModelRegisters()))
  return registers
}

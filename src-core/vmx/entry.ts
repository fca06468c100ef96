// VM entry (SDM 3C 26).

import { VmError } from '../arch/vmx.ts'
import type { Core } from '../cpu/run.ts'
import type { EntryResult, Vmx } from './vmx.ts'

/** Until controls are checked no entry is allowed. */
export function enter(_core: Core, _vmx: Vmx, _launch: boolean): EntryResult {
  return VmError.entryControls
}

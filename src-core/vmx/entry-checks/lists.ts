// All checks of a VM entry, in the order of SDM 3C 26.2 and 26.3.1. Those of a list are made in its order; the first that fails counts.

import type { EntryCheck } from './check.ts'
import { executionControlChecks } from './execution-controls.ts'
import { guestActivityChecks, guestPdpteChecks } from './guest-activity.ts'
import { guestFlowChecks, guestRegisterChecks, guestTableChecks } from './guest-registers.ts'
import { guestSegmentChecks } from './guest-segments.ts'
import { hostStateChecks } from './host-state.ts'
import { entryControlChecks, exitControlChecks } from './transition-controls.ts'

/** VMfailValid(7). */
export const controlChecks: readonly EntryCheck[] = [...executionControlChecks, ...exitControlChecks, ...entryControlChecks]

/** VMfailValid(8). */
export { hostStateChecks }

/** Exit reason 33. */
export const guestStateChecks: readonly EntryCheck[] = [
  ...guestRegisterChecks,
  ...guestSegmentChecks,
  ...guestTableChecks,
  ...guestFlowChecks,
  ...guestActivityChecks,
  ...guestPdpteChecks,
]

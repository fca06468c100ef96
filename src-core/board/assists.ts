// Every assist, from the families that implement them: one that is missing does not compile.

import { cacheAssists } from '../cpu/cache.ts'
import { controlRegisterAssists } from '../cpu/control-register.ts'
import { cpuidAssists } from '../cpu/cpuid.ts'
import { debugRegisterAssists } from '../cpu/debug-register.ts'
import { descriptorStoreAssists } from '../cpu/descriptor-store.ts'
import { farReturnAssists } from '../cpu/far-return.ts'
import { farTransferAssists } from '../cpu/far-transfer.ts'
import { fsgsbaseAssists } from '../cpu/fsgsbase.ts'
import { haltAssists } from '../cpu/halt.ts'
import { inputOutputAssists } from '../cpu/input-output.ts'
import { interruptFlagAssists } from '../cpu/interrupt-flag.ts'
import { interruptReturnAssists } from '../cpu/interrupt-return.ts'
import { maskMoveAssists } from '../cpu/mask-move.ts'
import { msrAssists } from '../cpu/msr.ts'
import type { AssistTable } from '../cpu/core-parts.ts'
import { segmentLoadAssists } from '../cpu/segment-load.ts'
import { segmentQueryAssists } from '../cpu/segment-query.ts'
import { softwareInterruptAssists } from '../cpu/software-interrupt.ts'
import { stackFrameAssists } from '../cpu/stack-frame.ts'
import { systemCallAssists } from '../cpu/system-call.ts'
import { tableRegisterAssists } from '../cpu/table-register.ts'
import { timeStampAssists } from '../cpu/time-stamp.ts'
import { x87Assists } from '../cpu/x87/assists.ts'
import { vmxAssists } from '../vmx/instructions.ts'

export const assists: AssistTable = {
  ...cacheAssists,
  ...controlRegisterAssists,
  ...cpuidAssists,
  ...debugRegisterAssists,
  ...descriptorStoreAssists,
  ...farReturnAssists,
  ...farTransferAssists,
  ...fsgsbaseAssists,
  ...haltAssists,
  ...inputOutputAssists,
  ...interruptFlagAssists,
  ...interruptReturnAssists,
  ...maskMoveAssists,
  ...msrAssists,
  ...segmentLoadAssists,
  ...segmentQueryAssists,
  ...softwareInterruptAssists,
  ...stackFrameAssists,
  ...systemCallAssists,
  ...tableRegisterAssists,
  ...timeStampAssists,
  ...x87Assists,
  ...vmxAssists,
}

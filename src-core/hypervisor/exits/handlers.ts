// Exit reason → handler (SDM 3C appendix C). Reasons of controls we do not set have none.

import { ExitReason, type ExitReasonName } from '../../arch/vmx.ts'
import type { VirtualProcessor } from '../virtual-processor.ts'
import { controlRegisterAccess } from './control-register.ts'
import { cpuid } from './cpuid.ts'
import { eptMisconfiguration, eptViolation } from './ept-violation.ts'
import { exceptionOrNmi } from './exception.ts'
import { hlt } from './hlt.ts'
import { externalInterrupt, window } from './interrupt.ts'
import { invd } from './invd.ts'
import { ioInstruction } from './io.ts'
import { rdmsr, wrmsr } from './msr.ts'
import { taskSwitch } from './task-switch.ts'
import { tripleFault } from './triple-fault.ts'
import { vmcall } from './vmcall.ts'
import { undefinedInstruction } from './vmx-instruction.ts'
import { xsetbv } from './xsetbv.ts'

export type ExitHandler = (processor: VirtualProcessor) => void

const byName: Partial<Record<ExitReasonName, ExitHandler>> = {
  exceptionOrNmi,
  externalInterrupt,
  tripleFault,
  interruptWindow: window,
  nmiWindow: window,
  taskSwitch,
  cpuid,
  hlt,
  invd,
  vmcall,
  vmclear: undefinedInstruction,
  vmlaunch: undefinedInstruction,
  vmptrld: undefinedInstruction,
  vmptrst: undefinedInstruction,
  vmread: undefinedInstruction,
  vmresume: undefinedInstruction,
  vmwrite: undefinedInstruction,
  vmxoff: undefinedInstruction,
  vmxon: undefinedInstruction,
  invept: undefinedInstruction,
  invvpid: undefinedInstruction,
  vmfunc: undefinedInstruction,
  getsec: undefinedInstruction,
  controlRegisterAccess,
  ioInstruction,
  rdmsr,
  wrmsr,
  eptViolation,
  eptMisconfiguration,
  xsetbv,
}

/** By basic exit reason. */
export const handlers: readonly (ExitHandler | undefined)[] = (() => {
  const list: (ExitHandler | undefined)[] = []
  for (const [name, handler] of Object.entries(byName)) list[ExitReason[name as ExitReasonName]] = handler
  return list
})()

/** By basic exit reason: its name. */
export const exitReasonNames: readonly (ExitReasonName | undefined)[] = (() => {
  const list: (ExitReasonName | undefined)[] = []
  for (const [name, reason] of Object.entries(ExitReason)) list[reason] = name as ExitReasonName
  return list
})()

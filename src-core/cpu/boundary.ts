// What is pending at an instruction boundary: INIT, SIPI, debug traps, NMI, interrupts, and a monitor's events between them,
// in priority order (SDM 3A table 6-2; SDM 3C 25.2 on what reaches a monitor).

import { Vector } from '../arch/exceptions.ts'
import { Rflags } from '../arch/registers.ts'
import { initialise, startAt } from './reset.ts'
import type { Core } from './run.ts'

const NMI_BLOCKED = 8
const MOV_SS = 2
const [SHUTDOWN, WAIT_FOR_SIPI] = [2, 3]

/** 'taken': something happened, look again. 'inactive': the processor does not run now. */
export function takeEvents(core: Core): 'none' | 'taken' | 'inactive' {
  const { state: s, signals } = core
  core.attention = false
  const guest = core.intercepts?.guest
  if (guest?.boundary('beforeInit')) return 'taken'
  // blocked in VMX root operation, and in a guest that waits for SIPI (SDM 3C 23.8, 25.2)
  if (signals.init && core.vmx?.mode !== 'root' && !(guest && s.activity === WAIT_FOR_SIPI)) {
    signals.init = false
    if (core.intercepts?.taken('init')) return 'taken'
    initialise(core)
    core.apic.initialise()
    return 'inactive'
  }
  if (s.activity === WAIT_FOR_SIPI) {
    if (signals.sipi < 0) return 'inactive'
    const vector = signals.sipi
    signals.sipi = -1
    if (core.intercepts?.taken('sipi', vector)) return 'taken'
    startAt(core, vector)
  }
  const shutdown = s.activity === SHUTDOWN
  const shadow = s.interruptibility & 3
  if (!shutdown) {
    if (guest?.boundary('beforeTraps')) return 'taken'
    if (s.pendingDebug && !(shadow & MOV_SS)) {
      const bits = s.pendingDebug
      s.pendingDebug = 0
      s.activity = 0
      core.deliver({ vector: Vector.DB, kind: 'exception', debug: bits, returnRip: s.rip })
      return taken(core)
    }
  } else if (!guest) return 'inactive'
  if (guest?.boundary('beforeNmi')) return 'taken'
  if (signals.nmi && !(s.interruptibility & NMI_BLOCKED) && !shadow) {
    signals.nmi = false
    if (core.intercepts?.taken('nmi')) return 'taken'
    s.activity = 0
    core.deliver({ vector: Vector.NMI, kind: 'nmi', returnRip: s.rip })
    return taken(core)
  }
  if (shutdown) return 'inactive'
  if (shadow) return 'none'
  if (guest?.boundary('beforeInterrupts')) return 'taken'
  if ((s.rflags & Rflags.IF || guest?.takesInterrupts) && core.apic.pendingVector() >= 0) {
    if (core.intercepts?.taken('externalInterrupt')) return 'taken'
    s.activity = 0
    core.interrupts++
    core.deliver({ vector: core.apic.acknowledge(), kind: 'external', returnRip: s.rip })
    return taken(core)
  }
  return 'none'
}

function taken(core: Core): 'taken' {
  core.attention = true
  return 'taken'
}

/** Could what is pending wake an inactive processor? */
export function couldWake(core: Core): boolean {
  const { state: s, signals } = core
  if (signals.init) return true
  if (s.activity === WAIT_FOR_SIPI) return signals.sipi >= 0
  const guest = core.intercepts?.guest
  if (guest?.wakes) return true
  if (s.activity === SHUTDOWN) return guest !== undefined && signals.nmi
  return signals.nmi || s.pendingDebug !== 0 || ((s.rflags & Rflags.IF) !== 0n && core.apic.pendingVector() >= 0)
}

// Delivery of interrupts and exceptions (SDM 3A chapter 6): what an event does in each mode, double faults and shutdown.
// Gates: interrupt-gate.ts, interrupt-gate64.ts; real-address and virtual-8086 vectors: interrupt-vector.ts.
// DR6 is the caller's. Does not model: machine checks on their way to #DF, SMM, CET shadow stacks.

import { Vector } from '../arch/exceptions.ts'
import { Dr6, Dr7 } from '../arch/pte.ts'
import { SecondStageStop } from '../paging/second-stage.ts'
import type { Event, EventKind } from './event.ts'
import { Fault } from './fault.ts'
import type { Instruction } from './instruction.ts'
import { Intercepted, intercepted } from './intercepts.ts'
import { enterThroughGate } from './interrupt-gate.ts'
import { enterThroughGate64 } from './interrupt-gate64.ts'
import { enterThroughVector, softwareInterruptInV86 } from './interrupt-vector.ts'
import { isLongMode, isRealMode, isVirtual8086 } from './mode.ts'
import type { Processor } from './processor.ts'
import { FaultInNewTask } from './task-switch.ts'

export type { Event, EventKind } from './event.ts'

type Class = 'benign' | 'contributory' | 'pageFault' | 'doubleFault'

/** SDM 3A table 6-4. */
function classOf(kind: EventKind, vector: number): Class {
  if (kind !== 'exception') return 'benign'
  if (vector === Vector.DF) return 'doubleFault'
  if (vector === Vector.PF || vector === Vector.VE) return 'pageFault'
  return vector === Vector.DE || (vector >= Vector.TS && vector <= Vector.GP) ? 'contributory' : 'benign'
}

/** Enters the handler, or throws Fault with the state before (or the new task's, as FaultInNewTask). */
function enter(cpu: Processor, e: Event): void {
  const s = cpu.state
  if (isLongMode(s)) enterThroughGate64(cpu, e)
  else if (isRealMode(s)) enterThroughVector(cpu, e)
  else if (!(e.kind === 'software' && isVirtual8086(s) && softwareInterruptInV86(cpu, e))) enterThroughGate(cpu, e)
  s.interruptibility &= ~3
  s.activity = 0
  // A #DB handler may use the debug registers (SDM 3B 17.2.4, GD).
  if (e.vector === Vector.DB && e.kind !== 'software' && !e.injected) s.dr.set(7, s.dr.get(7) & ~BigInt(Dr7.GD))
}

/** Answers the fault that ended the attempt, if one did. */
function attempt(cpu: Processor, e: Event): Fault | undefined {
  try {
    enter(cpu, e)
    return undefined
  } catch (reason) {
    if (reason instanceof Fault) return reason
    throw refused(cpu, reason)
  }
}

/** What ends a delivery that did not fault: with a second stage's refusal, the monitor runs (SDM 3C 27.2.4). */
const refused = (cpu: Processor, reason: unknown): unknown =>
  reason instanceof SecondStageStop && cpu.intercepts?.taken('secondStage', reason) ? intercepted : reason

function taken(cpu: Processor, f: Fault | Event, kind: EventKind): boolean {
  return cpu.intercepts !== undefined && cpu.intercepts.taken('exception', f.vector, f.errorCode, f.address, kind, f.debug)
}

/** DR6 of a #DB: B0–B3 are this exception's, the rest stays (SDM 3B 17.2.3). */
function explain(cpu: Processor, debug: number): void {
  const dr = cpu.state.dr
  dr.set(6, (debug & Dr6.BD ? dr.get(6) : dr.get(6) & ~0xfn) | BigInt(debug))
}

/** Triple fault (SDM 3A 6.15, #DF). */
function shutDown(cpu: Processor): void {
  if (cpu.intercepts?.taken('tripleFault')) return
  cpu.state.activity = 2
  cpu.board.tripleFault(cpu)
}

/**
 * Delivers an event: RIP, CS, RFLAGS, the stack and whatever else changes are then the handler's; a fault on the way is delivered in
 * its turn, as #DF, or ends in shutdown (SDM 3A table 6-5). Faults of software interrupts belong to their instruction and are thrown:
 * deliver those at state.rip. Throws nothing else but what the memory unit asks for (Again).
 */
export function deliver(cpu: Processor, event: Event): void {
  const s = cpu.state
  let e = event
  try {
    if (!e.injected && (e.kind === 'exception' || isSoftware(e.kind)) && taken(cpu, e, e.kind)) return
    if (e.kind === 'nmi' && !e.injected) s.interruptibility |= 8
    for (;;) {
      if (e.address !== undefined) s.cr2 = e.address
      if (e.debug !== undefined) explain(cpu, e.debug)
      cpu.delivery = e
      const fault = attempt(cpu, e)
      if (!fault) return
      if (taken(cpu, fault, 'exception')) return
      cpu.delivery = undefined
      if (isSoftware(e.kind) && !e.injected) throw fault
      const first = classOf(e.kind, e.vector)
      const second = classOf('exception', fault.vector)
      const returnRip = fault instanceof FaultInNewTask || isSoftware(e.kind) ? s.rip : e.returnRip
      if (fault.address !== undefined) s.cr2 = fault.address
      if (first === 'doubleFault' && second !== 'benign') return shutDown(cpu)
      const double = first === 'pageFault' ? second !== 'benign' : first === 'contributory' && second === 'contributory'
      if (double) {
        e = { vector: Vector.DF, kind: 'exception', errorCode: 0, returnRip }
        if (taken(cpu, e, 'exception')) return
      } else {
        e = {
          vector: fault.vector,
          kind: 'exception',
          returnRip,
          ...(fault.errorCode === undefined ? {} : { errorCode: fault.errorCode }),
        }
      }
    }
  } catch (reason) {
    if (!(reason instanceof Intercepted)) throw reason
  } finally {
    cpu.delivery = undefined
    cpu.nmiUnblocked = false
  }
}

const isSoftware = (kind: EventKind): boolean => kind === 'software' || kind === 'softwareException' || kind === 'int1'

/** A software interrupt as an instruction executes it. Throws Fault, or `intercepted` when a monitor took the exception or a fault on the way. */
export function interrupt(cpu: Processor, vector: number, kind: 'software' | 'softwareException' | 'int1', insn: Instruction): void {
  const e: Event = { vector, kind, returnRip: insn.nextRip, instructionLength: insn.length }
  if (kind !== 'software' && taken(cpu, e, kind)) throw intercepted
  cpu.delivery = e
  try {
    enter(cpu, e)
  } catch (reason) {
    if (reason instanceof Fault && taken(cpu, reason, 'exception')) throw intercepted
    throw refused(cpu, reason)
  } finally {
    cpu.delivery = undefined
  }
}

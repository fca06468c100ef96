// The port through which a virtual-machine architecture sees instructions and events before they take effect.
// cpu declares it and asks at the places the SDM orders; vmx implements it and the board plugs it in.

import type { SecondStageStop } from '../paging/second-stage.ts'
import type { EventKind } from './event.ts'
import type { Instruction } from './instruction.ts'

/** What an instruction or event does, never an exit reason. Arguments: what the SDM's exit qualification needs. */
export interface InterceptPoints {
  cpuid: []
  hlt: []
  pause: []
  rdtsc: []
  rdtscp: []
  rdpmc: []
  invlpg: [linear: bigint]
  invpcid: []
  invd: []
  wbinvd: []
  monitor: []
  mwait: []
  xsetbv: []
  rdmsr: [index: number]
  wrmsr: [index: number, value: bigint]
  readCr: [register: number, gpr: number]
  writeCr: [register: number, gpr: number, value: bigint]
  clts: []
  lmsw: [source: number, memoryOperand: boolean, linear: bigint]
  readDr: [register: number, gpr: number]
  writeDr: [register: number, gpr: number]
  io: [port: number, size: 1 | 2 | 4, input: boolean, string: boolean, rep: boolean, immediate: boolean]
  descriptorTable: [instruction: 'sgdt' | 'sidt' | 'lgdt' | 'lidt' | 'sldt' | 'str' | 'lldt' | 'ltr']
  taskSwitch: [selector: number, source: 'call' | 'iret' | 'jmp' | 'gate']
  /** `kind` tells INT3, INTO and INT1 from faults and traps; `debug`: what #DB would add to DR6. */
  exception: [vector: number, errorCode: number | undefined, address: bigint | undefined, kind: EventKind, debug: number | undefined]
  externalInterrupt: []
  nmi: []
  init: []
  sipi: [vector: number]
  tripleFault: []
  /** Of the virtual-machine extensions; its operands are in `insn`. */
  vmx: [instruction: VmxInstruction, insn: Instruction]
  /** The second stage of translation refused an access. False: the instruction ends with #VE. */
  secondStage: [stop: SecondStageStop]
}

export type VmxInstruction =
  | 'vmcall' | 'vmclear' | 'vmlaunch' | 'vmptrld' | 'vmptrst' | 'vmread' | 'vmresume' | 'vmwrite' | 'vmxoff' | 'vmxon' | 'invept' | 'invvpid' | 'vmfunc'

/** Where in the order of events a monitor's own come (SDM 3A table 6-2; SDM 3C 25.2). */
export type Boundary = 'beforeInit' | 'beforeTraps' | 'beforeNmi' | 'beforeInterrupts'

/** What else a monitor changes for a guest, without ending instructions (SDM 3C 25.2, 25.3, 25.5). */
export interface GuestRules {
  /** CR0 or CR4 as the guest reads it. */
  readControl(register: 0 | 4, value: bigint): bigint
  /** What is written there when the guest writes `value`: bits of the monitor keep what they are. */
  writeControl(register: 0 | 4, value: bigint): bigint
  /** CR8 kept for the guest; undefined, false: the local APIC's. */
  readTaskPriority(): number | undefined
  writeTaskPriority(value: number): boolean
  timeStamp(value: bigint): bigint
  /** Does the instruction not exist for the guest (#UD)? */
  lacks(instruction: 'rdtscp' | 'rdpid' | 'invpcid'): boolean
  /** IRET begins. True: it unblocks no NMI but the guest's own. `unblocked` is called if those were blocked. */
  interruptReturn(unblocked: () => void): boolean
  /** The monitor's own events at an instruction boundary. True: it runs now. */
  boundary(place: Boundary): boolean
  /** External interrupts reach the monitor whatever RFLAGS.IF. */
  readonly takesInterrupts: boolean
  /** Could an inactive guest be left or woken for something pending, other than its own NMIs and interrupts? */
  readonly wakes: boolean
  /** The processor's own time at which an event is due, or Infinity. */
  readonly deadline: number
  /** Instructions are executed one by one, with `stepped` behind each, and behind each event delivered. */
  readonly steps: boolean
  stepped(): void
}

export interface Intercepts {
  /** True: it was intercepted, the processor now runs the monitor, and the instruction must end without effect. */
  taken<P extends keyof InterceptPoints>(point: P, ...args: InterceptPoints[P]): boolean
  readonly guest?: GuestRules
}

/** Thrown after `taken` answered true, to end the instruction without effect; RIP and state are already the monitor's. */
export class Intercepted {}
export const intercepted = new Intercepted()

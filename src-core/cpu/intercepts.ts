// The port through which a virtual-machine architecture sees instructions and events before they take effect.
// cpu declares it and asks at the places the SDM orders; vmx implements it and the board plugs it in.

import type { EventKind } from './event.ts'

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
}

export interface Intercepts {
  /** True: it was intercepted, the processor now runs the monitor, and the instruction must end without effect. */
  taken<P extends keyof InterceptPoints>(point: P, ...args: InterceptPoints[P]): boolean
}

/** Thrown after `taken` answered true, to end the instruction without effect; RIP and state are already the monitor's. */
export class Intercepted {}
export const intercepted = new Intercepted()

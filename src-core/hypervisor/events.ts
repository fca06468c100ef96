// What a virtual processor has to be told: an exception of the monitor's, the event whose delivery an exit broke off, NMI, interrupts
// (SDM 3C 26.2.1.3, 26.5, 27.2.3; order as in SDM 3A table 6-2). One event a VM entry; for the rest windows are opened.

import { hasErrorCode } from '../arch/exceptions.ts'
import { Rflags } from '../arch/registers.ts'
import { Interruptibility, Interruption, InterruptionType, Primary } from '../arch/vmx.ts'
import type { VirtualProcessor } from './virtual-processor.ts'

export interface InjectedEvent {
  readonly vector: number
  readonly type: number
  readonly errorCode?: number
  /** Software events: bytes of their instruction. */
  readonly length?: number
}

/** A hardware exception. `errorCode`: where the vector pushes one and the guest is in protected mode. */
export const exception = (vector: number, errorCode?: number): InjectedEvent => ({
  vector,
  type: InterruptionType.hardwareException,
  ...(errorCode === undefined || !hasErrorCode(vector) ? {} : { errorCode }),
})

const NMI_VECTOR = 2
const SHADOW = Interruptibility.sti | Interruptibility.movSs

export class PendingEvents {
  readonly signals = { nmi: false, init: false, startup: -1 }
  private event: InjectedEvent | undefined
  /** The event of an entry that has to wait, and whether it was an NMI, which then is pending again. */
  private injected: InjectedEvent | undefined

  constructor(private readonly processor: VirtualProcessor) {}

  set(event: InjectedEvent): void {
    this.event = event
  }

  clear(): void {
    this.event = undefined
    this.signals.nmi = false
  }

  /** After an exit: an event whose delivery it broke off goes again (27.2.3). */
  interrupted(): void {
    const { processor } = this
    this.injected = undefined
    const information = processor.getNumber('idtVectoringInformation')
    if (information < Interruption.valid) return
    const type = (information >>> Interruption.typeShift) & 7
    const software =
      type === InterruptionType.softwareInterrupt || type === InterruptionType.softwareException || type === InterruptionType.privilegedSoftwareException
    this.event = {
      vector: information & 0xff,
      type,
      ...(information & Interruption.errorCode ? { errorCode: processor.getNumber('idtVectoringErrorCode') } : {}),
      ...(software ? { length: processor.getNumber('exitInstructionLength') } : {}),
    }
    if (type !== InterruptionType.nmi) return
    const blocking = processor.getNumber('guestInterruptibilityState')
    processor.set('guestInterruptibilityState', blocking & ~Interruptibility.nmi)
  }

  /** Writes the event that the next entry injects, if any. */
  inject(): boolean {
    const next = this.event ?? this.nmi() ?? this.interrupt()
    this.event = undefined
    this.injected = next
    if (!next) return false
    const { processor } = this
    const code = next.errorCode === undefined ? 0 : Interruption.errorCode
    processor.set('entryInterruptionInformation', (next.vector | (next.type << Interruption.typeShift) | code | Interruption.valid) >>> 0)
    if (next.errorCode !== undefined) processor.set('entryExceptionErrorCode', next.errorCode)
    if (next.length !== undefined) processor.set('entryInstructionLength', next.length)
    return true
  }

  /** The entry did not happen, and there is more to consider: what it would have injected is pending again. */
  takeBack(): void {
    if (!this.injected) return
    this.event = this.injected
    this.injected = undefined
    this.processor.set('entryInterruptionInformation', 0)
  }

  private nmi(): InjectedEvent | undefined {
    if (!this.signals.nmi) return undefined
    if (this.processor.getNumber('guestInterruptibilityState') & (SHADOW | Interruptibility.nmi)) return undefined
    this.signals.nmi = false
    return { vector: NMI_VECTOR, type: InterruptionType.nmi }
  }

  private interrupt(): InjectedEvent | undefined {
    const { processor } = this
    if (processor.apic.pendingVector() < 0) return undefined
    if (!(processor.get('guestRflags') & Rflags.IF) || processor.getNumber('guestInterruptibilityState') & SHADOW) return undefined
    return { vector: processor.apic.acknowledge(), type: InterruptionType.externalInterrupt }
  }

  /** Primary controls that end the guest as soon as what is still pending can be taken. */
  windows(): number {
    return (this.processor.apic.pendingVector() >= 0 ? Primary.interruptWindowExiting : 0) | (this.signals.nmi ? Primary.nmiWindowExiting : 0)
  }
}

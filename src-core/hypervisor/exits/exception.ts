// Exceptions and NMIs (SDM 3C 27.2.2): the bitmap asks for no exception; an NMI is the server's, and none of its chips sends one.

import { InterruptionType, Interruption } from '../../arch/vmx.ts'
import type { VirtualProcessor } from '../virtual-processor.ts'

export function exceptionOrNmi(p: VirtualProcessor): void {
  const information = p.getNumber('exitInterruptionInformation')
  p.port.charge(p.vm.costs.simple)
  const type = (information >>> Interruption.typeShift) & 7
  if (type !== InterruptionType.nmi) p.vm.fail(`exception ${information & 0xff} exited, which no bitmap asks for`)
}

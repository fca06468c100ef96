// VMX instructions, VMFUNC and GETSEC in a guest whose CPUID has neither: #UD (SDM 3C 30.3, with CR4.VMXE = 0 as the guest sees it).

import { Vector } from '../../arch/exceptions.ts'
import { exception } from '../events.ts'
import type { VirtualProcessor } from '../virtual-processor.ts'

export function undefinedInstruction(p: VirtualProcessor): void {
  p.port.charge(p.vm.costs.simple)
  p.raise(exception(Vector.UD))
}

// A triple fault ends the VM (SDM 3A 6.15, #DF).

import type { VirtualProcessor } from '../virtual-processor.ts'

export function tripleFault(p: VirtualProcessor): void {
  p.vm.tripleFault(p.index)
}

// HLT: the virtual processor waits for an event.

import type { VirtualProcessor } from '../virtual-processor.ts'

export function hlt(p: VirtualProcessor): void {
  p.port.charge(p.vm.costs.simple)
  p.halted = true
  p.skip()
}

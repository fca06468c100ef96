// INVD (SDM 2A): no cache holds anything, so it is as WBINVD, which does not exit.

import type { VirtualProcessor } from '../virtual-processor.ts'

export function invd(p: VirtualProcessor): void {
  p.port.charge(p.vm.costs.simple)
  p.skip()
}

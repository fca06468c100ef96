// XSETBV (SDM 2C): the guest has the processor's XCR0, so the monitor executes it in its place.

import { Vector } from '../../arch/exceptions.ts'
import { RCX } from '../../arch/registers.ts'
import { exception } from '../events.ts'
import type { VirtualProcessor } from '../virtual-processor.ts'

export function xsetbv(p: VirtualProcessor): void {
  p.port.charge(p.vm.costs.simple)
  if (!p.port.xsetbv(Number(p.register(RCX) & 0xffff_ffffn), p.edxEax)) return p.raise(exception(Vector.GP, 0))
  p.skip()
}

// Task switches by TSS (SDM 3C 25.4.2) always exit and are not emulated: 64-bit systems have none. The VM stops and says so.

import type { VirtualProcessor } from '../virtual-processor.ts'

export function taskSwitch(p: VirtualProcessor): void {
  p.vm.fail(`virtual processor ${p.index} switched tasks in hardware, which is not emulated`)
}

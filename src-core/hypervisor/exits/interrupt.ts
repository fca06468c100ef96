// External interrupts of the server, acknowledged by the exit (SDM 3C 24.7.1): they say that a virtual processor has something to look
// at. Interrupt and NMI windows: what waits can be injected now, which the next entry does.

import type { VirtualProcessor } from '../virtual-processor.ts'

const X2APIC_EOI = 0x80b

export function externalInterrupt(p: VirtualProcessor): void {
  p.port.charge(p.vm.costs.simple)
  p.port.wrmsr(X2APIC_EOI, 0n)
}

export function window(p: VirtualProcessor): void {
  p.port.charge(p.vm.costs.simple)
}

// What a guest sees of control registers, the TSC and NMI blocking, and the events of its monitor at instruction boundaries:
// TPR threshold, MTF, preemption timer, NMI and interrupt windows (SDM 3C 25.2, 25.3, 25.5.1, 25.5.2, 26.6).

import { Rflags } from '../arch/registers.ts'
import { ActivityState, ExitReason, Interruptibility, Pin, Primary, Secondary } from '../arch/vmx.ts'
import type { Boundary, GuestRules } from '../cpu/intercepts.ts'
import { vmExit } from './exit.ts'
import type { Vmx } from './vmx.ts'

/** Task priority in the virtual-APIC page. */
const VTPR = 0x80
/** TSC multipliers have 48 fraction bits. */
const FRACTION = 48n

export class MonitorRules implements GuestRules {
  constructor(private readonly vmx: Vmx) {}

  readControl(register: 0 | 4, value: bigint): bigint {
    const c = this.vmx.controls
    const mask = register === 0 ? c.cr0Mask : c.cr4Mask
    return ((register === 0 ? c.cr0Shadow : c.cr4Shadow) & mask) | (value & ~mask)
  }

  writeControl(register: 0 | 4, value: bigint): bigint {
    const { core, controls } = this.vmx
    const mask = register === 0 ? controls.cr0Mask : controls.cr4Mask
    return ((register === 0 ? core.state.cr0 : core.state.cr4) & mask) | (value & ~mask)
  }

  // ---- CR8 under the TPR shadow (29.3) ------------------------------------------------------------
  /** VTPR bits 7:4; undefined without the TPR shadow, or without memory at its page. */
  readTaskPriority(): number | undefined {
    const { core, controls } = this.vmx
    if ((controls.primary & Primary.useTprShadow) === 0) return undefined
    return core.physical.read(controls.virtualApic + VTPR, 1) >> 4
  }

  writeTaskPriority(value: number): boolean {
    const { core, controls } = this.vmx
    if ((controls.primary & Primary.useTprShadow) === 0) return false
    const host = core.physical.host(controls.virtualApic + VTPR)
    if (host !== 0 && core.mmu.code.holds[host >>> 12] !== 0) core.mmu.code.written(host, 4)
    core.physical.write(controls.virtualApic + VTPR, 4, value << 4)
    core.attention = true
    return true
  }

  timeStamp(value: bigint): bigint {
    const c = this.vmx.controls
    return BigInt.asUintN(64, ((value * c.tscMultiplier) >> FRACTION) + c.tscOffset)
  }

  lacks(instruction: 'rdtscp' | 'rdpid' | 'invpcid'): boolean {
    return (this.vmx.controls.secondary & (instruction === 'invpcid' ? Secondary.enableInvpcid : Secondary.enableRdtscp)) === 0
  }

  interruptReturn(unblocked: () => void): boolean {
    const { vmx } = this
    if ((vmx.controls.pin & Pin.nmiExiting) === 0) return false
    if (vmx.controls.pin & Pin.virtualNmis && vmx.virtualNmiBlocking) {
      vmx.virtualNmiBlocking = false
      vmx.core.attention = true
      unblocked()
    }
    return true
  }

  // ---- events at a boundary -----------------------------------------------------------------------
  get takesInterrupts(): boolean {
    return (this.vmx.controls.pin & Pin.externalInterruptExiting) !== 0
  }

  get deadline(): number {
    return this.vmx.preemptionDeadline
  }

  get steps(): boolean {
    return (this.vmx.controls.primary & Primary.monitorTrapFlag) !== 0
  }

  stepped(): void {
    this.vmx.pendingMtf = true
    this.vmx.core.attention = true
  }

  private get nmiWindow(): boolean {
    const { controls, virtualNmiBlocking, core } = this.vmx
    return (controls.primary & Primary.nmiWindowExiting) !== 0 && !virtualNmiBlocking && (core.state.interruptibility & Interruptibility.movSs) === 0
  }

  private get interruptWindow(): boolean {
    const { controls, core } = this.vmx
    return (controls.primary & Primary.interruptWindowExiting) !== 0 && (core.state.rflags & Rflags.IF) !== 0n
  }

  private get timerExpired(): boolean {
    return this.vmx.core.time >= this.vmx.preemptionDeadline
  }

  get wakes(): boolean {
    const { vmx } = this
    const { state, apic } = vmx.core
    if (this.timerExpired || this.nmiWindow) return true
    if (state.activity === ActivityState.shutdown) return false
    return vmx.pendingMtf || this.interruptWindow || (this.takesInterrupts && apic.pendingVector() >= 0)
  }

  boundary(place: Boundary): boolean {
    const { vmx } = this
    const { core, controls } = vmx
    const { activity } = core.state
    switch (place) {
      case 'beforeInit': {
        if (activity === ActivityState.shutdown || activity === ActivityState.waitForSipi) return false
        const priority = this.readTaskPriority()
        return priority !== undefined && priority < (controls.tprThreshold & 0xf) && this.exit(ExitReason.tprBelowThreshold)
      }
      case 'beforeTraps':
        if (!vmx.pendingMtf) return false
        vmx.pendingMtf = false
        return this.exit(ExitReason.monitorTrapFlag)
      case 'beforeNmi':
        if (this.timerExpired) return this.exit(ExitReason.preemptionTimer)
        return this.nmiWindow && this.exit(ExitReason.nmiWindow)
      case 'beforeInterrupts':
        return this.interruptWindow && this.exit(ExitReason.interruptWindow)
    }
  }

  private exit(reason: number): true {
    vmExit(this.vmx.core, this.vmx, reason, {})
    return true
  }
}

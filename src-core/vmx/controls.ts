// The VM-execution, VM-exit and VM-entry controls of a running guest (SDM 3C 24.6 … 24.8), read once at VM entry.
// Nothing a guest does changes them, but for the EPT pointer by VMFUNC (25.5.5.3).

import { Primary, Secondary } from '../arch/vmx.ts'
import type { Json } from '../memory/device.ts'
import type { Vmcs } from './vmcs.ts'

type Values = { [name: string]: number | bigint }

/** Numbers are unsigned; addresses and 32-bit words are numbers, 64-bit words bigint. */
export class Controls {
  pin = 0
  primary = 0
  /** 0 unless activated. */
  secondary = 0
  exit = 0
  entry = 0
  exceptionBitmap = 0
  pageFaultMask = 0
  pageFaultMatch = 0
  ioBitmapA = 0
  ioBitmapB = 0
  msrBitmaps = 0
  virtualApic = 0
  tprThreshold = 0
  cr3TargetCount = 0
  vpid = 0
  vmFunctions = 0
  eptpList = 0
  pmlAddress = 0
  virtualizationException = 0
  cr0Mask = 0n
  cr0Shadow = 0n
  cr4Mask = 0n
  cr4Shadow = 0n
  cr3Target0 = 0n
  cr3Target1 = 0n
  cr3Target2 = 0n
  cr3Target3 = 0n
  tscOffset = 0n
  tscMultiplier = 0n
  eptPointer = 0n

  /** Addresses are valid: VM entry has checked them. */
  load(vmcs: Vmcs): void {
    this.pin = vmcs.pinControls
    this.primary = vmcs.primaryControls
    const secondary = this.primary & Primary.activateSecondaryControls ? vmcs.secondaryControls : 0
    this.secondary = secondary
    this.exit = vmcs.exitControls
    this.entry = vmcs.entryControls
    this.exceptionBitmap = vmcs.exceptionBitmap
    this.pageFaultMask = vmcs.pageFaultErrorCodeMask
    this.pageFaultMatch = vmcs.pageFaultErrorCodeMatch
    this.cr3TargetCount = vmcs.cr3TargetCount
    this.tprThreshold = vmcs.tprThreshold
    this.vpid = secondary & Secondary.enableVpid ? vmcs.vpid : 0
    if (this.primary & Primary.useIoBitmaps) {
      this.ioBitmapA = Number(vmcs.ioBitmapA)
      this.ioBitmapB = Number(vmcs.ioBitmapB)
    }
    if (this.primary & Primary.useMsrBitmaps) this.msrBitmaps = Number(vmcs.msrBitmaps)
    if (this.primary & Primary.useTprShadow) this.virtualApic = Number(vmcs.virtualApicAddress)
    this.cr0Mask = vmcs.cr0GuestHostMask
    this.cr0Shadow = vmcs.cr0ReadShadow
    this.cr4Mask = vmcs.cr4GuestHostMask
    this.cr4Shadow = vmcs.cr4ReadShadow
    if (this.cr3TargetCount > 0) {
      this.cr3Target0 = vmcs.cr3Target0
      this.cr3Target1 = vmcs.cr3Target1
      this.cr3Target2 = vmcs.cr3Target2
      this.cr3Target3 = vmcs.cr3Target3
    }
    if (this.primary & Primary.useTscOffsetting) {
      this.tscOffset = vmcs.tscOffset
      this.tscMultiplier = secondary & Secondary.useTscScaling ? vmcs.tscMultiplier : 1n << 48n
    } else {
      this.tscOffset = 0n
      this.tscMultiplier = 1n << 48n
    }
    if (secondary & Secondary.enableEpt) this.eptPointer = vmcs.eptPointer
    if (secondary & Secondary.enableVmFunctions) {
      this.vmFunctions = Number(vmcs.vmFunctionControls & 1n)
      this.eptpList = this.vmFunctions ? Number(vmcs.eptpListAddress) : 0
    } else this.vmFunctions = 0
    if (secondary & Secondary.enablePml) this.pmlAddress = Number(vmcs.pmlAddress)
    if (secondary & Secondary.eptViolationVe) this.virtualizationException = Number(vmcs.virtualizationExceptionAddress)
  }

  clear(): void {
    Object.assign(this, new Controls())
  }

  /** Values by name, hexadecimal. */
  save(): Json {
    return Object.fromEntries(Object.entries(this as unknown as Values).map(([name, v]) => [name, v.toString(16)]))
  }

  /** false: the values are not of this shape; nothing was changed. */
  restore(json: Json | undefined): boolean {
    if (typeof json !== 'object' || json === null || Array.isArray(json)) return false
    const next: Values = {}
    for (const [name, was] of Object.entries(this as unknown as Values)) {
      const text = json[name]
      if (typeof text !== 'string' || !/^[0-9a-f]{1,16}$/.test(text)) return false
      if (typeof was === 'bigint') next[name] = BigInt(`0x${text}`)
      else if ((next[name] = parseInt(text, 16)) > Number.MAX_SAFE_INTEGER) return false
    }
    Object.assign(this, next)
    return true
  }
}

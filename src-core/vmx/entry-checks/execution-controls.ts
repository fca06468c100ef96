// VM-entry checks on the VM-execution control fields (SDM 3C 26.2.1.1). One that fails is VMfailValid(7).
// Controls that the processor does not have are refused by the first checks of all.

import { MAXPHYADDR } from '../../arch/registers.ts'
import { Pin, Primary, Secondary, ExitControl } from '../../arch/vmx.ts'
import { CR3_TARGETS, allowedPin, allowedPrimary, allowedSecondary, isAllowed, isValidEptPointer, vmFunctions } from '../capabilities.ts'
import { within, type Candidate, type EntryCheck } from './check.ts'
import type { WideField } from '../../arch/vmcs-fields.ts'

const check = within('26.2.1.1')
const PAGE = 4096

const primary = (c: Candidate, bit: number): boolean => (c.primary & bit) !== 0
const secondary = (c: Candidate, bit: number): boolean => (c.secondary & bit) !== 0
const pin = (c: Candidate, bit: number): boolean => (c.pin & bit) !== 0

/** An address that a control makes the processor use. */
const page = (id: string, field: WideField, used: (c: Candidate) => boolean): EntryCheck =>
  check(id, [field], '4-KiB aligned, within the physical-address width', (c) => !used(c) || c.physical(field, PAGE))

/** Byte 80H of the virtual-APIC page. The address is valid. */
const virtualTpr = (c: Candidate): number => c.core.physical.read(Number(c.vmcs.virtualApicAddress) + 0x80, 1)

export const executionControlChecks: readonly EntryCheck[] = [
  check('pinControls.allowed', ['pinControls'], 'only settings that IA32_VMX_TRUE_PINBASED_CTLS allows', (c) => isAllowed(c.pin, allowedPin)),
  check('primaryControls.allowed', ['primaryControls'], 'only settings that IA32_VMX_TRUE_PROCBASED_CTLS allows', (c) => isAllowed(c.primary, allowedPrimary)),
  check('secondaryControls.allowed', ['secondaryControls'], 'only settings that IA32_VMX_PROCBASED_CTLS2 allows', (c) => isAllowed(c.secondary, allowedSecondary)),
  check('cr3Targets.count', ['cr3TargetCount'], `at most ${CR3_TARGETS}`, (c) => c.vmcs.cr3TargetCount <= CR3_TARGETS),
  page('ioBitmapA.address', 'ioBitmapA', (c) => primary(c, Primary.useIoBitmaps)),
  page('ioBitmapB.address', 'ioBitmapB', (c) => primary(c, Primary.useIoBitmaps)),
  page('msrBitmaps.address', 'msrBitmaps', (c) => primary(c, Primary.useMsrBitmaps)),
  page('virtualApic.address', 'virtualApicAddress', (c) => primary(c, Primary.useTprShadow)),
  check(
    'tprThreshold.reserved', ['tprThreshold', 'primaryControls', 'secondaryControls'], 'bits 31:4 are 0 without virtual-interrupt delivery',
    (c) => !primary(c, Primary.useTprShadow) || secondary(c, Secondary.virtualInterruptDelivery) || c.vmcs.tprThreshold >>> 4 === 0,
  ),
  check(
    'tprThreshold.virtualTpr', ['tprThreshold', 'virtualApicAddress'], 'not above bits 7:4 of the virtual TPR',
    (c) =>
      !primary(c, Primary.useTprShadow) ||
      secondary(c, Secondary.virtualInterruptDelivery | Secondary.virtualizeApicAccesses) ||
      (c.vmcs.tprThreshold & 15) <= virtualTpr(c) >> 4,
  ),
  check('virtualNmis.nmiExiting', ['pinControls'], 'virtual NMIs only with NMI exiting', (c) => pin(c, Pin.nmiExiting) || !pin(c, Pin.virtualNmis)),
  check(
    'nmiWindow.virtualNmis', ['pinControls', 'primaryControls'], 'NMI-window exiting only with virtual NMIs',
    (c) => pin(c, Pin.virtualNmis) || !primary(c, Primary.nmiWindowExiting),
  ),
  page('apicAccess.address', 'apicAccessAddress', (c) => secondary(c, Secondary.virtualizeApicAccesses)),
  check(
    'tprShadow.apicVirtualization', ['primaryControls', 'secondaryControls'], 'no other virtualization of the APIC without the TPR shadow',
    (c) =>
      primary(c, Primary.useTprShadow) ||
      !secondary(c, Secondary.virtualizeX2apicMode | Secondary.apicRegisterVirtualization | Secondary.virtualInterruptDelivery),
  ),
  check(
    'x2apic.apicAccesses', ['secondaryControls'], 'not both x2APIC mode and APIC accesses virtualized',
    (c) => !secondary(c, Secondary.virtualizeX2apicMode) || !secondary(c, Secondary.virtualizeApicAccesses),
  ),
  check(
    'virtualInterrupts.externalInterrupts', ['pinControls', 'secondaryControls'], 'virtual-interrupt delivery only with external-interrupt exiting',
    (c) => !secondary(c, Secondary.virtualInterruptDelivery) || pin(c, Pin.externalInterruptExiting),
  ),
  check(
    'postedInterrupts.controls', ['pinControls', 'secondaryControls', 'exitControls'],
    'posted interrupts only with virtual-interrupt delivery and interrupts acknowledged on exit',
    (c) =>
      !pin(c, Pin.processPostedInterrupts) ||
      (secondary(c, Secondary.virtualInterruptDelivery) && (c.exit & ExitControl.acknowledgeInterrupt) !== 0),
  ),
  check(
    'postedInterrupts.vector', ['postedInterruptNotificationVector'], 'at most 255',
    (c) => !pin(c, Pin.processPostedInterrupts) || c.vmcs.postedInterruptNotificationVector <= 255,
  ),
  check(
    'postedInterrupts.address', ['postedInterruptDescriptorAddress'], '64-byte aligned, within the physical-address width',
    (c) => !pin(c, Pin.processPostedInterrupts) || c.physical('postedInterruptDescriptorAddress', 64),
  ),
  check('vpid.zero', ['vpid'], 'not 0', (c) => !secondary(c, Secondary.enableVpid) || c.vmcs.vpid !== 0),
  check(
    'eptPointer.format', ['eptPointer'], 'a memory type and flags that IA32_VMX_EPT_VPID_CAP has, 4 levels, reserved bits 0',
    (c) => !secondary(c, Secondary.enableEpt) || isValidEptPointer(c.vmcs.eptPointer, MAXPHYADDR),
  ),
  check('pml.ept', ['secondaryControls'], 'page-modification logging only with EPT', (c) => !secondary(c, Secondary.enablePml) || secondary(c, Secondary.enableEpt)),
  page('pml.address', 'pmlAddress', (c) => secondary(c, Secondary.enablePml)),
  check(
    'unrestrictedGuest.ept', ['secondaryControls'], 'an unrestricted guest only with EPT',
    (c) => !secondary(c, Secondary.unrestrictedGuest) || secondary(c, Secondary.enableEpt),
  ),
  check(
    'modeBasedExecute.ept', ['secondaryControls'], 'mode-based execute control only with EPT',
    (c) => !secondary(c, Secondary.modeBasedExecute) || secondary(c, Secondary.enableEpt),
  ),
  check(
    'vmFunctions.allowed', ['vmFunctionControls'], 'only functions that IA32_VMX_VMFUNC allows',
    (c) => !secondary(c, Secondary.enableVmFunctions) || (c.high('vmFunctionControls') === 0 && (c.low('vmFunctionControls') & ~Number(vmFunctions)) === 0),
  ),
  check(
    'eptpSwitching.ept', ['secondaryControls', 'vmFunctionControls'], 'EPTP switching only with EPT',
    (c) => !switches(c) || secondary(c, Secondary.enableEpt),
  ),
  page('eptpList.address', 'eptpListAddress', switches),
  page('vmreadBitmap.address', 'vmreadBitmapAddress', (c) => secondary(c, Secondary.vmcsShadowing)),
  page('vmwriteBitmap.address', 'vmwriteBitmapAddress', (c) => secondary(c, Secondary.vmcsShadowing)),
  page('virtualizationException.address', 'virtualizationExceptionAddress', (c) => secondary(c, Secondary.eptViolationVe)),
  check(
    'tscMultiplier.zero', ['tscMultiplier'], 'not 0',
    (c) => !secondary(c, Secondary.useTscScaling) || c.low('tscMultiplier') !== 0 || c.high('tscMultiplier') !== 0,
  ),
]

function switches(c: Candidate): boolean {
  return secondary(c, Secondary.enableVmFunctions) && (c.low('vmFunctionControls') & 1) !== 0
}

// A VMCS that VM entry accepts, for guests of several modes; and guests run from it until the first VM exit.
//
//   43000H page directory   44000H PDPT of PAE guests   45000H virtual-APIC page   46000H EPT PML4, 47000H EPT PDPT   48000H MSR lists
//   4F000H where the host goes on   50000H guest code   58000H guest stack

import { vmcsFields, type FieldName } from '../../src-core/arch/vmcs-fields.ts'
import { EntryControl, ExitControl, Pin, Primary, Secondary } from '../../src-core/arch/vmx.ts'
import { assemble } from '../../src-core/guests/assembler/assemble.ts'
import { allowedEntry, allowedExit, allowedPin, allowedPrimary } from '../../src-core/vmx/capabilities.ts'
import type { Vmcs } from '../../src-core/vmx/vmcs.ts'
import { Monitor } from './monitor.ts'

export { EntryControl, ExitControl, Pin, Primary, Secondary }

/** `ia32e`: 64-bit code. `protected`: 32-bit, paging. `pae`: 32-bit, PAE paging. `v86`. `real`: unrestricted, EPT. */
export type Mode = 'ia32e' | 'protected' | 'pae' | 'v86' | 'real'

const PAGE_DIRECTORY = 0x43000
export const PDPT = 0x44000
export const VIRTUAL_APIC = 0x45000
export const EPT = 0x46000
export const LISTS = 0x48000
/** Where the host goes on after an exit: a HLT. */
export const HOST = 0x4f000
export const GUEST = 0x50000
const GUEST_STACK = 0x58000
const TABLES = 0x20000

export class GuestBench extends Monitor {
  get vmcs(): Vmcs {
    return this.vmx.current!
  }

  /** VMX operation, with a fresh VMCS that enters a guest of this mode at GUEST. */
  prepare(mode: Mode = 'ia32e'): Vmcs {
    this.reset()
    this.begin()
    this.fill(mode)
    return this.vmcs
  }

  /** Writes every field of the current VMCS. */
  fill(mode: Mode): void {
    const { vmcs: v, machine } = this
    const { view } = machine.physical
    const host = (address: number): number => machine.physical.host(address)
    for (const name of Object.keys(vmcsFields) as FieldName[]) v.write(name, 0)
    const long = mode === 'ia32e'
    const unrestricted = mode === 'real'
    const sixteen = unrestricted || mode === 'v86'
    v.pinControls = allowedPin.must
    v.primaryControls = (allowedPrimary.must | Primary.activateSecondaryControls) >>> 0
    v.exitControls = (allowedExit.must | ExitControl.hostAddressSpaceSize) >>> 0
    v.entryControls = (allowedEntry.must | (long ? EntryControl.ia32eModeGuest : 0)) >>> 0
    v.virtualApicAddress = BigInt(VIRTUAL_APIC)
    v.tscMultiplier = 1n << 48n
    v.vmcsLinkPointer = 0xffff_ffff_ffff_ffffn
    v.eptPointer = BigInt(EPT) | 0x1en
    view.setBigUint64(host(EPT), BigInt(EPT + 0x1000) | 7n, true)
    view.setBigUint64(host(EPT + 0x1000), 0xb7n, true)
    for (let n = 0; n < 4; n++) view.setBigUint64(host(PDPT + 8 * n), n === 0 ? BigInt(TABLES + 0x2000) | 1n : 0n, true)
    view.setUint32(host(PAGE_DIRECTORY), 0xe7, true)

    const s = this.core.state
    v.hostCr0 = s.cr0
    v.hostCr3 = s.cr3
    v.hostCr4 = s.cr4
    v.hostPat = v.guestPat = 0x0007040600070406n
    v.hostEfer = 0x500n
    v.hostCsSelector = 8
    v.hostSsSelector = v.hostDsSelector = v.hostEsSelector = v.hostFsSelector = v.hostGsSelector = 0x10
    v.hostTrSelector = 0x40
    v.hostTrBase = s.segBase.get(7)
    v.hostGdtrBase = s.gdtrBase
    v.hostIdtrBase = s.idtrBase
    v.hostRip = BigInt(HOST)
    v.hostRsp = 0x38000n
    machine.physical.load(HOST, Uint8Array.of(0xf4))

    v.guestCr0 = unrestricted ? 0x30n : 0x80000031n
    v.guestCr3 = BigInt(mode === 'pae' ? PDPT : long ? TABLES : PAGE_DIRECTORY)
    v.guestCr4 = 0x2000n | (long || mode === 'pae' ? 0x20n : 0x10n)
    v.guestEfer = long ? 0x500n : 0n
    v.guestDr7 = 0x400n
    v.guestRflags = mode === 'v86' ? 0x20002n : 2n
    v.guestRip = sixteen ? 0n : BigInt(GUEST)
    v.guestRsp = sixteen ? 0x8000n : BigInt(GUEST_STACK)
    v.guestGdtrBase = s.gdtrBase
    v.guestGdtrLimit = s.gdtrLimit
    v.guestIdtrBase = unrestricted ? 0n : s.idtrBase
    v.guestIdtrLimit = unrestricted ? 0x3ff : s.idtrLimit
    v.guestTrSelector = 0x40
    v.guestTrBase = s.segBase.get(7)
    v.guestTrLimit = 0x67
    v.guestTrAccessRights = 0x8b
    v.guestLdtrAccessRights = 0x10000
    for (const name of ['Es', 'Cs', 'Ss', 'Ds', 'Fs', 'Gs'] as const) {
      const code = name === 'Cs'
      v.write(`guest${name}Selector`, sixteen ? 0 : code ? (long ? 8 : 0x18) : 0x10)
      v.write(`guest${name}Limit`, sixteen ? 0xffff : 0xffffffff)
      v.write(`guest${name}AccessRights`, mode === 'v86' ? 0xf3 : unrestricted ? (code ? 0x9b : 0x93) : code ? (long ? 0xa09b : 0xc09b) : 0xc093)
    }
    if (sixteen) {
      v.guestCsSelector = GUEST >> 4
      v.guestCsBase = BigInt(GUEST)
    }
    if (unrestricted) v.secondaryControls = Secondary.enableEpt | Secondary.unrestrictedGuest
  }

  /** Adds controls. */
  with(controls: { pin?: number; primary?: number; secondary?: number; exit?: number; entry?: number }): void {
    const v = this.vmcs
    v.pinControls = (v.pinControls | (controls.pin ?? 0)) >>> 0
    v.primaryControls = (v.primaryControls | (controls.primary ?? 0)) >>> 0
    v.secondaryControls = (v.secondaryControls | (controls.secondary ?? 0)) >>> 0
    v.exitControls = (v.exitControls | (controls.exit ?? 0)) >>> 0
    v.entryControls = (v.entryControls | (controls.entry ?? 0)) >>> 0
  }

  /** Puts guest code at GUEST. */
  place(text: string, bits: 16 | 32 | 64 = 64): void {
    const program = assemble(text + '\n', { origin: bits === 16 ? 0n : BigInt(GUEST), bits })
    this.machine.physical.load(GUEST, program.sections[0]!.bytes)
  }

  /** VMLAUNCH or VMRESUME until the host's HLT or the instruction's failure. Answers its result, or the exit reason in hexadecimal. */
  go(instruction: 'vmlaunch' | 'vmresume' = 'vmlaunch'): string {
    const { result } = this.run(instruction)
    return this.core.state.rip === BigInt(HOST) + 1n ? `exit ${this.vmcs.exitReason.toString(16)}` : result
  }
}

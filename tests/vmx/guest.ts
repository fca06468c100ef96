// A guest on top of tests/vmx/monitor.ts: a VMCS with everything a 64-bit guest needs, that shares its monitor's tables, GDT and IDT.
//
//   50000H guest code   58000H guest stack   5F000H host entry point: HLT

import { ExitReason, type ExitReasonName } from '../../src-core/arch/vmx.ts'
import type { FieldName } from '../../src-core/arch/vmcs-fields.ts'
import { assemble } from '../../src-core/guests/assembler/assemble.ts'
import { allowedEntry, allowedExit, allowedPin, allowedPrimary } from '../../src-core/vmx/capabilities.ts'
import type { Vmcs } from '../../src-core/vmx/vmcs.ts'
import { EntryControl, ExitControl, Primary } from '../../src-core/arch/vmx.ts'
import { Monitor } from './monitor.ts'

export const GUEST = 0x50000
export const GUEST_STACK = 0x58000
export const HOST = 0x5f000

const names = new Map<number, ExitReasonName>(Object.entries(ExitReason).map(([name, n]) => [n, name as ExitReasonName]))

export interface Left {
  readonly reason: ExitReasonName | 'none' | `VMfail ${number}`
  readonly qualification: bigint
  /** Guest RIP from the start of its code. */
  readonly at: number
  readonly length: number
}

export type Fields = { readonly [K in FieldName]?: bigint | number }

export class Guest extends Monitor {
  private launched = false
  /** Where the assembled guest ends. */
  end = 0

  get vmcs(): Vmcs {
    return this.vmx.current!
  }

  /** A new VMCS, current and clear. `controls`: bits to be 1 besides those that must be. */
  prepare(controls: { pin?: number; primary?: number; secondary?: number; exit?: number; entry?: number } = {}, fields: Fields = {}): void {
    this.reset()
    this.begin()
    this.launched = false
    const { vmcs } = this
    vmcs.pinControls = (allowedPin.must | (controls.pin ?? 0)) >>> 0
    vmcs.primaryControls = (allowedPrimary.must | (controls.primary ?? 0) | (controls.secondary === undefined ? 0 : Primary.activateSecondaryControls)) >>> 0
    vmcs.secondaryControls = (controls.secondary ?? 0) >>> 0
    vmcs.exitControls = (allowedExit.must | ExitControl.hostAddressSpaceSize | (controls.exit ?? 0)) >>> 0
    vmcs.entryControls = (allowedEntry.must | EntryControl.ia32eModeGuest | (controls.entry ?? 0)) >>> 0
    const s = this.core.state
    const both: Fields = {
      hostCr0: s.cr0, hostCr3: s.cr3, hostCr4: s.cr4, hostCsSelector: 0x08, hostSsSelector: 0x10, hostDsSelector: 0x10, hostEsSelector: 0x10,
      hostTrSelector: 0x40, hostTrBase: s.segBase.get(7), hostGdtrBase: s.gdtrBase, hostIdtrBase: s.idtrBase, hostRip: HOST, hostRsp: 0x38000,
      guestCr0: s.cr0, guestCr3: s.cr3, guestCr4: s.cr4, guestDr7: 0x400, guestRflags: 2, guestRsp: GUEST_STACK, guestRip: GUEST,
      guestCsSelector: 0x08, guestCsLimit: 0xffffffff, guestCsAccessRights: 0xa09b,
      guestTrSelector: 0x40, guestTrLimit: 0x67, guestTrAccessRights: 0x8b, guestTrBase: s.segBase.get(7), guestLdtrAccessRights: 0x10000,
      guestGdtrBase: s.gdtrBase, guestGdtrLimit: 0x2f, guestIdtrBase: s.idtrBase, guestIdtrLimit: 0x1ff, vmcsLinkPointer: (1n << 64n) - 1n,
    }
    for (const name of ['Ss', 'Ds', 'Es', 'Fs', 'Gs'] as const) {
      vmcs.write(`guest${name}Selector`, 0x10)
      vmcs.write(`guest${name}Limit`, 0xffffffff)
      vmcs.write(`guest${name}AccessRights`, 0xc093)
    }
    this.set({ ...both, ...fields })
    this.machine.physical.load(HOST, new Uint8Array([0xf4]))
  }

  set(fields: Fields): void {
    for (const [name, value] of Object.entries(fields) as [FieldName, bigint | number][]) this.vmcs.write(name, value)
  }

  /** Puts guest code in place; it starts at the next entry. */
  code(text: string, bits: 16 | 32 | 64 = 64): void {
    const data = assemble(`${text}\n`, { origin: BigInt(GUEST), bits }).sections[0]!.bytes
    this.machine.physical.load(GUEST, data)
    this.end = data.length
    this.vmcs.write('guestRip', GUEST)
  }

  /** VMLAUNCH or VMRESUME, and what became of it: back in the monitor, a failure, or ('none') a guest that waits. */
  enter(): Left {
    const s = this.core.state
    const outcome = this.run(this.launched ? 'vmresume' : 'vmlaunch')
    const { vmcs } = this
    if (this.vmx.mode === 'nonRoot') return { reason: 'none', qualification: 0n, at: Number(s.rip) - GUEST, length: 0 }
    if (outcome.result.startsWith('valid')) return { reason: `VMfail ${vmcs.vmInstructionError}`, qualification: 0n, at: 0, length: 0 }
    if (Number(s.rip) !== HOST + 1) throw new Error(`the monitor stopped at ${s.rip.toString(16)}H: ${outcome.result}`)
    this.launched = true
    return this.left()
  }

  /** A waiting guest goes on until it is left, for at most `cycles`. */
  wait(cycles: number): Left {
    const until = this.machine.time + cycles
    while (this.vmx.mode === 'nonRoot') {
      const { idle } = this.machine.run(until)
      if ((idle || this.machine.time > until) && this.vmx.mode === 'nonRoot') return { reason: 'none', qualification: 0n, at: Number(this.core.state.rip) - GUEST, length: 0 }
    }
    this.launched = true
    return this.left()
  }

  /** What the VMCS says about the last exit. */
  left(): Left {
    const { vmcs } = this
    const reason = names.get(vmcs.exitReason & 0xffff)!
    return { reason, qualification: vmcs.exitQualification, at: Number(vmcs.guestRip) - GUEST, length: vmcs.exitInstructionLength }
  }

  /** Runs guest code from its first instruction: 'reason qualification @offset'. */
  leave(text: string): string {
    this.code(text)
    const { reason, qualification, at } = this.enter()
    return `${reason} ${qualification.toString(16)} @${at.toString(16)}`
  }

  /** Goes on behind the instruction that exited. */
  skip(): void {
    this.vmcs.guestRip += BigInt(this.vmcs.exitInstructionLength)
  }

  gpr(n: number): bigint {
    return this.core.state.gpr.get(n)
  }
}

// The guest-state area at power-on, after INIT and after a start-up IPI (SDM 3A table 9-1, 8.4.2, 10.4.7.3; SDM 3C 24.4, 26.3.1).

import { SIGNATURE } from '../arch/cpuid.ts'
import { PAT_RESET } from '../arch/msr.ts'
import { Cr0, Cr4, RDX, Rights } from '../arch/registers.ts'
import { NO_POINTER } from '../arch/vmx.ts'
import type { FieldName } from '../arch/vmcs-fields.ts'
import type { VmxPort } from './port.ts'

export type GuestFields = Partial<Record<FieldName, bigint | number>>

/** Bits of CR0 and CR4 that VMX operation wants 1 and an unrestricted guest may believe to be 0 (23.8). */
export const CR0_HELD = Cr0.NE
export const CR4_HELD = Cr4.VMXE

const CR0_RESET = Cr0.ET | Cr0.NW | Cr0.CD
const REAL_DATA = Rights.P | Rights.S | 3
const REAL_CODE = Rights.P | Rights.S | 0xb

export const segmentNames = ['Es', 'Cs', 'Ss', 'Ds', 'Fs', 'Gs'] as const

/** What control-register fields hold for a value the guest believes in. */
export const controlRegisters = (cr0: bigint, cr4: bigint): GuestFields => ({
  guestCr0: cr0 | CR0_HELD,
  cr0ReadShadow: cr0,
  guestCr4: cr4 | CR4_HELD,
  cr4ReadShadow: cr4,
})

/** Everything INIT sets. At power-on the rest is as here, too. */
export function initialState(): GuestFields {
  const fields: GuestFields = {
    ...controlRegisters(CR0_RESET, 0n),
    guestCr3: 0, guestRsp: 0, guestRip: 0xfff0, guestRflags: 2, guestDr7: 0x400, guestEfer: 0,
    guestLdtrSelector: 0, guestLdtrBase: 0, guestLdtrLimit: 0xffff, guestLdtrAccessRights: Rights.P | 2,
    guestTrSelector: 0, guestTrBase: 0, guestTrLimit: 0xffff, guestTrAccessRights: Rights.P | 0xb,
    guestGdtrBase: 0, guestGdtrLimit: 0xffff, guestIdtrBase: 0, guestIdtrLimit: 0xffff,
    guestInterruptibilityState: 0, guestPendingDebugExceptions: 0,
  }
  for (const name of segmentNames) {
    fields[`guest${name}Selector`] = name === 'Cs' ? 0xf000 : 0
    fields[`guest${name}Base`] = name === 'Cs' ? 0xffff0000 : 0
    fields[`guest${name}Limit`] = 0xffff
    fields[`guest${name}AccessRights`] = name === 'Cs' ? REAL_CODE : REAL_DATA
  }
  return fields
}

/** What INIT leaves as it is and power-on sets. */
export const powerOnState: GuestFields = {
  guestSysenterCs: 0, guestSysenterEsp: 0, guestSysenterEip: 0, guestPat: PAT_RESET, guestDebugctl: 0, vmcsLinkPointer: NO_POINTER, guestActivityState: 0,
}

/** Real-address mode at vector × 4 KiB. */
export const startState = (vector: number): GuestFields => ({ guestCsSelector: vector << 8, guestCsBase: vector << 12, guestCsLimit: 0xffff, guestRip: 0 })

/** General registers after INIT. */
export function initialRegisters(port: VmxPort): void {
  for (let n = 0; n < 16; n++) port.setRegister(n, n === RDX ? BigInt(SIGNATURE) : 0n)
  port.writeCr2(0n)
}

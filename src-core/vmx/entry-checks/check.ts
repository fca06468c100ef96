// What a VM entry is checked against (SDM 3C 26.2, 26.3.1): each check as data, so that one that fails can be named and shown.
// Tests read fields as 32-bit halves; nothing here changes state or throws.

import type { FieldName, WideField } from '../../arch/vmcs-fields.ts'
import { Primary, ExitControl, EntryControl, Interruption } from '../../arch/vmx.ts'
import { Cr0, MAXPHYADDR, Rflags } from '../../arch/registers.ts'
import type { Core } from '../../cpu/run.ts'
import { slots, type Vmcs } from '../vmcs.ts'
import type { EntryFailure } from '../vmx.ts'

/** High halves of physical addresses stay below this. */
const HIGH_LIMIT = 2 ** (MAXPHYADDR - 32)

/** A VMCS about to be entered, with the control words as they count. */
export class Candidate {
  readonly pin: number
  readonly primary: number
  /** 0 unless activated. */
  readonly secondary: number
  readonly exit: number
  readonly entry: number
  readonly ia32e: boolean
  readonly host64: boolean
  /** Low half of guest CR0 and RFLAGS. */
  readonly cr0: number
  readonly rflags: number
  readonly protectedMode: boolean
  readonly v86: boolean
  /** VM-entry interruption information: an event is injected, its type and vector. */
  readonly injecting: boolean
  readonly type: number
  readonly vector: number
  private readonly words: Uint32Array
  private readonly first: number

  constructor(
    readonly core: Core,
    readonly vmcs: Vmcs,
  ) {
    this.words = vmcs.words
    this.first = vmcs.first
    this.pin = vmcs.pinControls
    this.primary = vmcs.primaryControls
    this.secondary = this.primary & Primary.activateSecondaryControls ? vmcs.secondaryControls : 0
    this.exit = vmcs.exitControls
    this.entry = vmcs.entryControls
    this.ia32e = (this.entry & EntryControl.ia32eModeGuest) !== 0
    this.host64 = (this.exit & ExitControl.hostAddressSpaceSize) !== 0
    this.cr0 = this.low('guestCr0')
    this.rflags = this.low('guestRflags')
    this.protectedMode = (this.cr0 & Number(Cr0.PE)) !== 0
    this.v86 = (this.rflags & Number(Rflags.VM)) !== 0
    const event = vmcs.entryInterruptionInformation
    this.injecting = (event & Interruption.valid) !== 0
    this.type = (event >>> Interruption.typeShift) & 7
    this.vector = event & 0xff
  }

  /** A field of up to 32 bits, or the low half of a wide one. */
  low(name: FieldName): number {
    return this.words[this.first + slots[name]]!
  }
  high(name: WideField): number {
    return this.words[this.first + slots[name] + 1]!
  }
  /** Bits 63:47 are equal. */
  canonical(name: WideField): boolean {
    const sign = (this.high(name) | 0) >> 15
    return sign === 0 || sign === -1
  }
  /** A physical address on a boundary of `alignment` bytes. */
  physical(name: WideField, alignment: number): boolean {
    return (this.low(name) & (alignment - 1)) === 0 && this.high(name) < HIGH_LIMIT
  }
  /** No bits beyond the physical-address width. */
  narrow(name: WideField): boolean {
    return this.high(name) < HIGH_LIMIT
  }
  /** 16-byte entries of an MSR list, 16-byte aligned, up to its last byte within the physical-address width (26.2.1.2). */
  msrList(address: WideField, count: FieldName): boolean {
    const n = this.low(count)
    return n === 0 || (this.physical(address, 16) && this.high(address) * 2 ** 32 + this.low(address) + 16 * n <= 2 ** MAXPHYADDR)
  }
  /** Every byte of a PAT names a memory type (SDM 3A 11.12.2). */
  pat(name: WideField): boolean {
    for (const half of [this.low(name), this.high(name)])
      for (let n = 0; n < 32; n += 8) {
        const type = (half >>> n) & 0xff
        if (type > 7 || type === 2 || type === 3) return false
      }
    return true
  }
}

export interface EntryCheck {
  /** Names the check for good: what, then which part of it. */
  readonly id: string
  /** Of SDM volume 3C. */
  readonly section: string
  readonly fields: readonly FieldName[]
  /** What must hold, in words. */
  readonly expected: string
  /** Exit qualification of a failed check on guest state (26.7). */
  readonly qualification?: number
  /** True: it holds. */
  readonly test: (c: Candidate) => boolean
}

/** The first check that does not hold. */
export function firstFailing(checks: readonly EntryCheck[], c: Candidate): EntryCheck | undefined {
  for (const check of checks) if (!check.test(c)) return check
  return undefined
}

/** A failed check with the values it looked at, hexadecimal. */
export function describe(check: EntryCheck, vmcs: Vmcs): EntryFailure {
  const value = (name: FieldName): string => `${name} = ${vmcs.read(name).toString(16).toUpperCase()}H`
  return { id: check.id, section: `SDM 3C ${check.section}`, expected: check.expected, actual: check.fields.map(value).join(', ') }
}

/** Builds checks of one section. */
export const within =
  (section: string) =>
  (id: string, fields: readonly FieldName[], expected: string, test: (c: Candidate) => boolean, qualification?: number): EntryCheck => ({
    id,
    section,
    fields,
    expected,
    test,
    ...(qualification === undefined ? {} : { qualification }),
  })

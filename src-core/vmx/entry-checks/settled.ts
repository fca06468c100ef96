// Which VMCS the checks of VM entry (SDM 3C 26.2, 26.3.1) have all passed, word for word: entered again unchanged, it passes again.
// Bits that no check looks at may differ: the arithmetic flags and DF, low halves of RIP and CR3, RSP, exit information, counters.
// Checks that look beyond the VMCS are never taken as settled: virtual TPR, link pointer, PDPTEs in memory.

import { fieldType, vmcsFields, wideFields, type FieldName } from '../../arch/vmcs-fields.ts'
import { Cr0, Cr4, Efer } from '../../arch/registers.ts'
import { Primary, Secondary } from '../../arch/vmx.ts'
import { fieldExists } from '../capabilities.ts'
import { slots } from '../vmcs.ts'
import type { Candidate } from './check.ts'

const ALL = 0xffff_ffff
/** Low and high half: bits that checks may look at. */
const looked: { readonly [K in FieldName]?: readonly [low: number, high: number] } = {
  guestRip: [0, ALL],
  guestCr3: [0, ALL],
  guestRsp: [0, 0],
  guestRflags: [~0xcd5 >>> 0, ALL],
  preemptionTimerValue: [0, 0],
  pmlIndex: [0, 0],
  eptpIndex: [0, 0],
  tscOffset: [0, 0],
}

/** Words of a region, and the bits of each that count. */
export const countedWords: readonly (readonly [word: number, mask: number])[] = (Object.keys(vmcsFields) as FieldName[])
  .filter((name) => fieldExists(name) && fieldType(vmcsFields[name]) !== 'information')
  .flatMap((name): [number, number][] => {
    const [low, high] = looked[name] ?? [ALL, ALL]
    return name in wideFields ? [[slots[name], low], [slots[name] + 1, high]] : [[slots[name], low]]
  })
  .filter(([, mask]) => mask !== 0)
  .sort(([a], [b]) => a - b)

const at = Uint16Array.from(countedWords, ([word]) => word)
const masks = Uint32Array.from(countedWords, ([, mask]) => mask)
const LINK = slots.vmcsLinkPointer
const CR4 = slots.guestCr4

const longNow = (c: Candidate): boolean => (c.core.state.efer & Efer.LMA) !== 0n

/** Do all checks of this VMCS look at nothing but itself and EFER.LMA? */
function isSelfContained(c: Candidate): boolean {
  const { words, first } = c.vmcs
  if (words[first + LINK] !== ALL || words[first + LINK + 1] !== ALL) return false
  if (c.primary & Primary.useTprShadow && !(c.secondary & Secondary.virtualInterruptDelivery)) return false
  const pae = (c.cr0 & Number(Cr0.PG)) !== 0 && (words[first + CR4]! & Number(Cr4.PAE)) !== 0 && !c.ia32e
  return !pae || (c.secondary & Secondary.enableEpt) !== 0
}

export class Settled {
  private address = -1
  private long = false
  private readonly words = new Uint32Array(at.length)

  /** True: the same VMCS, in all that counts, has passed every check before. */
  holds(c: Candidate): boolean {
    const { words, first, address } = c.vmcs
    if (address !== this.address || longNow(c) !== this.long) return false
    for (let n = 0; n < at.length; n++) if (((words[first + at[n]!]! ^ this.words[n]!) & masks[n]!) !== 0) return false
    return true
  }

  /** It has passed them now. */
  keep(c: Candidate): void {
    if (!isSelfContained(c)) {
      this.address = -1
      return
    }
    const { words, first, address } = c.vmcs
    this.address = address
    this.long = longNow(c)
    for (let n = 0; n < at.length; n++) this.words[n] = words[first + at[n]!]!
  }
}

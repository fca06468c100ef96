// The guest-state area as the processor holds it (SDM 3C 24.4): what is copied as it is, both ways, as 32-bit words.
// Segment registers have the same access rights here and there; a 64-bit register takes two words.

import type { FieldName, WideField } from '../arch/vmcs-fields.ts'
import { Cr0, Cr4, Efer, RSP } from '../arch/registers.ts'
import { offsets, type FieldName as StateField, type ProcessorState } from '../cpu/processor.ts'
import { slots, type Vmcs } from './vmcs.ts'

/** Pairs: word of the processor block, word of the VMCS region. */
const copied: number[] = []
const copy = (state: StateField, field: FieldName, words: 1 | 2, index = 0): void => {
  for (let n = 0; n < words; n++) copied.push((offsets[state] >>> 2) + index * words + n, slots[field] + n)
}

const segmentNames = ['Es', 'Cs', 'Ss', 'Ds', 'Fs', 'Gs', 'Ldtr', 'Tr'] as const
segmentNames.forEach((name, n) => {
  copy('segSelector', `guest${name}Selector`, 1, n)
  copy('segLimit', `guest${name}Limit`, 1, n)
  copy('segRights', `guest${name}AccessRights`, 1, n)
  copy('segBase', `guest${name}Base`, 2, n)
})
copy('gdtrBase', 'guestGdtrBase', 2)
copy('gdtrLimit', 'guestGdtrLimit', 1)
copy('idtrBase', 'guestIdtrBase', 2)
copy('idtrLimit', 'guestIdtrLimit', 1)
copy('cr3', 'guestCr3', 2)
copy('cr4', 'guestCr4', 2)
copy('gpr', 'guestRsp', 2, RSP)
copy('rip', 'guestRip', 2)
copy('sysenterCs', 'guestSysenterCs', 1)
copy('sysenterEsp', 'guestSysenterEsp', 2)
copy('sysenterEip', 'guestSysenterEip', 2)
const pairs = Uint16Array.from(copied)

const SELECTORS = offsets.segSelector >>> 2
const RIGHTS = offsets.segRights >>> 2
const RIGHTS_BITS = 0x1f0ff
const PDPTES = offsets.pdpte >>> 2
const SYSENTER_CS = offsets.sysenterCs >>> 2

/** Guest-state area → processor, but for CR0, RFLAGS, debug registers, MSRs of their own controls, and non-register state. */
export function loadCopied(s: ProcessorState, vmcs: Vmcs): void {
  const to = s.words
  const { words, first } = vmcs
  for (let n = 0; n < pairs.length; n += 2) to[pairs[n]!] = words[first + pairs[n + 1]!]!
  for (let n = 0; n < 8; n++) {
    to[SELECTORS + n]! &= 0xffff
    to[RIGHTS + n]! &= RIGHTS_BITS
  }
  to[SYSENTER_CS + 1] = 0
}

/** Processor → guest-state area, likewise, and CR0. */
export function saveCopied(s: ProcessorState, vmcs: Vmcs): void {
  const from = s.words
  const { words, first } = vmcs
  for (let n = 0; n < pairs.length; n += 2) words[first + pairs[n + 1]!] = from[pairs[n]!]!
  put(vmcs, 'guestCr0', from[CR0]!)
}

/** Stores an unsigned 32-bit value into a wide field. */
export function put(vmcs: Vmcs, field: WideField, value: number): void {
  const at = vmcs.first + slots[field]
  vmcs.words[at] = value
  vmcs.words[at + 1] = 0
}

/** PAE paging is in use. */
export const isPae = (s: ProcessorState): boolean => (s.cr0 & Cr0.PG) !== 0n && (s.cr4 & Cr4.PAE) !== 0n && (s.efer & Efer.LMA) === 0n

/** PDPTE registers, eight words in a row on both sides. */
export function loadPdptes(s: ProcessorState, vmcs: Vmcs): void {
  for (let n = 0; n < 8; n++) s.words[PDPTES + n] = vmcs.words[vmcs.first + slots.guestPdpte0 + n]!
}
export function savePdptes(s: ProcessorState, vmcs: Vmcs): void {
  for (let n = 0; n < 8; n++) vmcs.words[vmcs.first + slots.guestPdpte0 + n] = s.words[PDPTES + n]!
}

/** Bits of CR0 that VM entries and exits leave as they are: ET 4, 15:6, 17, 28:19, NW 29, CD 30 (26.3.2.1, 27.5.1). */
const CR0_KEPT = 0x7ffa_ffd0
const CR0 = offsets.cr0 >>> 2
/** CR0 from a field, low half; the upper one is 0 in all that is valid. */
export function loadCr0(s: ProcessorState, low: number): void {
  s.words[CR0] = (low & ~CR0_KEPT) | (s.words[CR0]! & CR0_KEPT)
}

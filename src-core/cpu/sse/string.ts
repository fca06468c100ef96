// PCMPESTRI PCMPESTRM PCMPISTRI PCMPISTRM (SDM vol. 2B, 4.1 "Imm8 control byte operation").
//
//   imm8  6 output: mask bytes / last index │ 5:4 polarity │ 3:2 aggregation │ 1:0 u8 u16 s8 s16

import type { ProcessorState } from '../../isa/state.ts'
import { slotsOf, type Slots } from './mxcsr.ts'

/** Bits of the answer in slot 1, and the index above them. */
export const CF = 1
export const ZF = 2
export const SF = 4
export const OF = 8
const INDEX_SHIFT = 8

const first = new Int32Array(16)
const second = new Int32Array(16)

function elements(slots: Slots, slot: number, control: number, into: Int32Array): number {
  const wide = control & 1
  const signed = control & 2
  const count = wide ? 8 : 16
  const bits = wide ? 16 : 8
  for (let i = 0; i < count; i++) {
    const at = i * bits
    const raw = (slots.words[slot * 4 + (at >> 5)]! >>> (at & 31)) & (wide ? 0xffff : 0xff)
    into[i] = signed ? (raw << (32 - bits)) >> (32 - bits) : raw
  }
  return count
}

/** Position of the first zero element: an implicit length. */
function terminated(list: Int32Array, count: number): number {
  let n = 0
  while (n < count && list[n] !== 0) n++
  return n
}

/** IntRes1 (SDM vol. 2B, 4.1.3, 4.1.4): aggregation with the overrides of table 4-7 for elements past an end. */
function aggregate(mode: number, count: number, lengthA: number, lengthB: number): number {
  let r = 0
  switch (mode) {
    case 0: // equal any
      for (let j = 0; j < lengthB; j++)
        for (let i = 0; i < lengthA; i++)
          if (first[i] === second[j]) {
            r |= 1 << j
            break
          }
      return r
    case 1: // ranges
      for (let j = 0; j < lengthB; j++)
        for (let i = 0; i + 1 < lengthA; i += 2)
          if (second[j]! >= first[i]! && second[j]! <= first[i + 1]!) {
            r |= 1 << j
            break
          }
      return r
    case 2: // equal each: both ended counts as equal
      for (let j = 0; j < count; j++) if (j < lengthA && j < lengthB ? first[j] === second[j] : j >= lengthA && j >= lengthB) r |= 1 << j
      return r
    default: // equal ordered: past the end of the first everything matches
      for (let j = 0; j < count; j++) {
        let match = true
        for (let i = 0; i < lengthA && i + j < count && match; i++) match = i + j < lengthB && first[i] === second[i + j]
        if (match) r |= 1 << j
      }
      return r
  }
}

/**
 * Slots 0 and 1: the strings. Word 8: imm8, bits 15:8 and 23:16 the explicit lengths (already clipped), bit 24: lengths are explicit.
 * Answers flags and index in word 4 (slot 1), and the mask (PCMPxSTRM's) in slot 0.
 */
export function compareStrings(s: ProcessorState): number {
  const slots = slotsOf(s)
  const control = slots.words[8]!
  const count = elements(slots, 0, control, first)
  elements(slots, 1, control, second)
  const explicit = (control & 0x1000000) !== 0
  const lengthA = explicit ? Math.min((control >>> 8) & 0xff, count) : terminated(first, count)
  const lengthB = explicit ? Math.min((control >>> 16) & 0xff, count) : terminated(second, count)
  const all = count === 16 ? 0xffff : 0xff
  let r = aggregate((control >> 2) & 3, count, lengthA, lengthB)
  if (control & 0x10) r ^= control & 0x20 ? (1 << lengthB) - 1 : all
  r &= all
  const index = r === 0 ? count : control & 0x40 ? 31 - Math.clz32(r) : 31 - Math.clz32(r & -r)
  const flags = (r ? CF : 0) | (lengthB < count ? ZF : 0) | (lengthA < count ? SF : 0) | (r & 1 ? OF : 0)
  slots.words[4] = flags | (index << INDEX_SHIFT)
  slots.words.fill(0, 0, 4)
  if (!(control & 0x40)) slots.words[0] = r
  else {
    const bits = 128 / count
    const ones = bits === 8 ? 0xff : 0xffff
    for (let i = 0; i < count; i++) if ((r >> i) & 1) slots.words[(i * bits) >> 5]! |= ones << ((i * bits) & 31)
  }
  return 0
}

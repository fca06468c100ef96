// Fields that follow from control registers and segment caches: code size, stack size, what segments allow (SDM 3A 3.4.5, 5.3).

import { Cr0, CS, Efer, FS, GS, Rflags, Rights, SS } from '../arch/registers.ts'
import type { CodeSize } from '../isa/decoder.ts'
import type { ProcessorState } from '../isa/state.ts'

const ALL = 0xffff_ffff_ffff_ffffn
const LOW32 = 0xffff_ffffn

export const isLongMode = (s: ProcessorState): boolean => (s.efer & Efer.LMA) !== 0n
export const isMode64 = (s: ProcessorState): boolean => isLongMode(s) && (s.segRights.get(CS) & Rights.L) !== 0
export const isRealMode = (s: ProcessorState): boolean => (s.cr0 & Cr0.PE) === 0n
export const isVirtual8086 = (s: ProcessorState): boolean => (s.rflags & Rflags.VM) !== 0n && !isLongMode(s)

export function codeSize(s: ProcessorState): CodeSize {
  const rights = s.segRights.get(CS)
  if (isLongMode(s) && rights & Rights.L) return 64
  return rights & Rights.DB ? 32 : 16
}

/** Base in force and the offsets that may be read and written, of one segment register. */
export function deriveSegment(s: ProcessorState, index: number): void {
  const mode64 = isMode64(s)
  const flat = mode64 && index !== FS && index !== GS
  s.segEffective.set(index, flat ? 0n : s.segBase.get(index))
  const rights = s.segRights.get(index)
  const limit = s.segLimit.get(index)
  let [low, high] = [0, limit]
  let readable = true
  let writable = true
  if (mode64) high = 0xffffffff
  else if (!isRealMode(s) && !isVirtual8086(s)) {
    if (rights & Rights.unusable || !(rights & Rights.P)) readable = writable = false
    else if (rights & Rights.code) {
      writable = false
      readable = (rights & Rights.writable) !== 0
    } else {
      writable = (rights & Rights.writable) !== 0
      if (rights & Rights.expandDown) {
        low = limit === 0xffffffff ? 1 : limit + 1
        high = limit === 0xffffffff ? 0 : rights & Rights.DB ? 0xffffffff : 0xffff
      }
    }
  }
  s.segReadLow.set(index, readable ? low : 1)
  s.segReadHigh.set(index, readable ? high : 0)
  s.segWriteLow.set(index, writable ? low : 1)
  s.segWriteHigh.set(index, writable ? high : 0)
}

/** Constants that decoded records name like registers. */
export function writeConstants(s: ProcessorState): void {
  s.zero = 0n
  s.page = 4096n
  s.addressMasks.set(0, ALL)
  s.addressMasks.set(1, LOW32)
  s.addressMasks.set(2, 0xffffn)
  s.addressKeeps.set(0, 0n)
  s.addressKeeps.set(1, 0n)
  s.addressKeeps.set(2, ALL ^ 0xffffn)
}

/** Everything that depends on mode, in one pass. */
export function deriveMode(s: ProcessorState): void {
  const mode64 = isMode64(s)
  s.cpl = isRealMode(s) ? 0 : isVirtual8086(s) ? 3 : (s.segRights.get(SS) >> Rights.dplShift) & 3
  s.csBase = mode64 ? 0n : s.segBase.get(CS)
  s.linearMask = mode64 ? ALL : LOW32
  const wide = s.segRights.get(SS) & Rights.DB
  s.stackMask = mode64 ? ALL : wide ? LOW32 : 0xffffn
  s.stackKeep = mode64 || wide ? 0n : ALL ^ 0xffffn
  s.direction = s.rflags & Rflags.DF ? -1 : 1
  for (let i = 0; i < 6; i++) deriveSegment(s, i)
}

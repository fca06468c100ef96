// FNSTENV, FLDENV, FNSAVE, FRSTOR: the x87 environment in its four formats (SDM 1 figures 8-9 to 8-12), registers behind it.
//   32-bit protected  FCW  FSW  FTW  FIP  FOP:FCS  FDP  FDS      doublewords, upper half of 1 to 3 and 7 FFFFH
//   32-bit real       FCW  FSW  FTW  FIP<15:0>  FIP<31:16>·FOP  FDP<15:0>  FDP<31:16>
//   16-bit            the same seven as words; real: FIP<19:16> and FOP share one. FCS and FDS are stored as zero.

import { Cr0, Rflags } from '../../arch/registers.ts'
import type { ProcessorState } from '../../isa/state.ts'
import { initialize, loadControl } from './calls.ts'
import { updateAvailability } from './availability.ts'
import type { AssistContext } from './state-image.ts'

/** Two bits a physical register: 0 valid, 1 zero, 2 special, 3 empty (SDM 1 8.1.7). */
function fullTag(s: ProcessorState): number {
  const v = new DataView(s.fpr.buffer, s.fpr.byteOffset)
  let tag = 0
  for (let p = 0; p < 8; p++) {
    const e = v.getUint16(p * 16 + 8, true) & 0x7fff
    const hi = v.getUint32(p * 16 + 4, true)
    const lo = v.getUint32(p * 16, true)
    const kind = !((s.ftw >> p) & 1) ? 3 : e === 0 && (hi | lo) === 0 ? 1 : e === 0 || e === 0x7fff || hi < 0x80000000 ? 2 : 0
    tag |= kind << (2 * p)
  }
  return tag
}
const abridged = (tag: number): number => {
  let bits = 0
  for (let p = 0; p < 8; p++) if (((tag >> (2 * p)) & 3) !== 3) bits |= 1 << p
  return bits
}

const real = (s: ProcessorState): boolean => !(s.cr0 & Cr0.PE) || (s.rflags & Rflags.VM) !== 0n
const wide = (c: AssistContext): boolean => c.operandSize !== 16
const environmentSize = (c: AssistContext): number => (wide(c) ? 28 : 14)

function environment(c: AssistContext): Uint8Array {
  const s = c.state
  const out = new Uint8Array(environmentSize(c))
  const v = new DataView(out.buffer)
  const fip = Number(s.fip & 0xffff_ffffn)
  const fdp = Number(s.fdp & 0xffff_ffffn)
  const fop = s.fop & 0x7ff
  const words = [s.fcw, s.fsw, fullTag(s)]
  if (wide(c)) {
    words.forEach((w, i) => v.setUint32(4 * i, (0xffff0000 | w) >>> 0, true))
    if (real(s)) {
      v.setUint32(12, fip & 0xffff, true)
      v.setUint32(16, ((fip >>> 16) << 12) | fop, true)
      v.setUint32(20, fdp & 0xffff, true)
      v.setUint32(24, (fdp >>> 16) << 12, true)
    } else {
      v.setUint32(12, fip, true)
      v.setUint32(16, fop << 16, true)
      v.setUint32(20, fdp, true)
      v.setUint32(24, 0xffff0000, true)
    }
    return out
  }
  words.forEach((w, i) => v.setUint16(2 * i, w, true))
  v.setUint16(6, fip & 0xffff, true)
  v.setUint16(10, fdp & 0xffff, true)
  if (real(s)) {
    v.setUint16(8, (((fip >>> 16) & 15) << 12) | fop, true)
    v.setUint16(12, ((fdp >>> 16) & 15) << 12, true)
  }
  return out
}

function loadEnvironment(c: AssistContext, image: Uint8Array): void {
  const s = c.state
  const v = new DataView(image.buffer, image.byteOffset)
  const step = wide(c) ? 4 : 2
  const field = (i: number): number => (wide(c) ? v.getUint32(4 * i, true) : v.getUint16(2 * i, true))
  const tag = v.getUint16(2 * step, true)
  let fip = field(3)
  let fdp = field(5)
  if (real(s)) {
    const mask = wide(c) ? 0xffff : 15
    fip = ((fip & 0xffff) | (((field(4) >>> 12) & mask) << 16)) >>> 0
    fdp = ((fdp & 0xffff) | (((field(6) >>> 12) & mask) << 16)) >>> 0
    s.fop = field(4) & 0x7ff
  } else s.fop = wide(c) ? (field(4) >>> 16) & 0x7ff : 0
  s.fip = BigInt(fip)
  s.fdp = BigInt(fdp)
  s.fcs = 0
  s.fds = 0
  s.ftw = abridged(tag)
  loadControl(s, v.getUint16(0, true), v.getUint16(step, true))
}

/** FNSTENV masks all exceptions after storing; flags stay, so nothing is pending any more (SDM 2A FSTENV). */
function fstenv(c: AssistContext): void {
  c.writeBytes(c.operandAddress(0), environment(c))
  const s = c.state
  s.fcw |= 0x3f
  s.fsw &= 0x7f7f
  updateAvailability(s)
}
function fldenv(c: AssistContext): void {
  loadEnvironment(c, c.readBytes(c.operandAddress(0), environmentSize(c)))
}

function fsave(c: AssistContext): void {
  const s = c.state
  const head = environment(c)
  const image = new Uint8Array(head.length + 80)
  image.set(head)
  const top = (s.fsw >> 11) & 7
  for (let i = 0; i < 8; i++) {
    const p = ((top + i) & 7) * 16
    image.set(s.fpr.subarray(p, p + 10), head.length + 10 * i)
  }
  c.writeBytes(c.operandAddress(0), image)
  initialize(s)
}
function frstor(c: AssistContext): void {
  const s = c.state
  const head = environmentSize(c)
  const image = c.readBytes(c.operandAddress(0), head + 80)
  loadEnvironment(c, image)
  const top = (s.fsw >> 11) & 7
  s.fpr.fill(0)
  for (let i = 0; i < 8; i++) s.fpr.set(image.subarray(head + 10 * i, head + 10 * i + 10), ((top + i) & 7) * 16)
}

export const environmentAssists = { fstenv, fldenv, fsave, frstor }

// Runs one x87 form through its call on a processor block, operands and results as the recorder has them.

import { processorState } from '../../src-core/isa/state.ts'
import { x87CallImplementations } from '../../src-core/cpu/x87/calls.ts'
import { SCRATCH_SLOT } from '../../src-core/isa/calls.ts'
import type { Form } from './x87-forms.ts'

export const state = processorState(new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }), 0)

/** Registers in stack order, ten bytes each; `memory` ten bytes; `flags` the low byte of RFLAGS. */
export interface Machine {
  fcw: number
  fsw: number
  ftw: number
  registers: Uint8Array
  memory: Uint8Array
  flags: number
}

const sext = (v: number, bytes: number) => (bytes === 2 ? (v << 16) >> 16 : v)

export function execute(form: Form, i: number, m: Machine): Machine {
  const s = state
  const top = (m.fsw >> 11) & 7
  s.fcw = m.fcw
  s.fsw = m.fsw
  s.ftw = m.ftw
  for (let k = 0; k < 8; k++) s.fpr.set(m.registers.subarray(k * 10, k * 10 + 10), ((top + k) & 7) * 16)
  const memory = m.memory.slice()
  const scratch = new DataView(s.scratch.buffer, s.scratch.byteOffset, 64)
  const view = new DataView(memory.buffer)
  s.scratch.fill(0x5a)
  if (form.i) scratch.setInt32(0, i, true)
  if (form.load === 2 || form.load === 4) scratch.setInt32(0, form.load === 2 && form.call !== 'fldcw' ? sext(view.getInt16(0, true), 2) : form.load === 2 ? view.getUint16(0, true) : view.getInt32(0, true), true)
  if (form.load === 8 || form.load === 10) scratch.setBigUint64(0, view.getBigUint64(0, true), true)
  if (form.load === 10) scratch.setInt32(SCRATCH_SLOT, view.getUint16(8, true), true)
  if (form.condition) scratch.setInt32(SCRATCH_SLOT, form.condition(m.flags) ? 1 : 0, true)
  x87CallImplementations[form.call](s)
  const second = scratch.getInt32(SCRATCH_SLOT, true)
  if (form.store) {
    const simple = form.call === 'fnstcw' || form.call === 'fnstsw'
    const go = simple || (form.store === 10 ? second & 0x10000 : second & 1)
    if (go) {
      memory.set(s.scratch.subarray(0, Math.min(8, form.store)))
      if (form.store === 10) view.setUint16(8, second & 0xffff, true)
    }
  }
  let flags = m.flags
  if (form.flags) {
    const r = scratch.getInt32(0, true)
    flags = (flags & ~0x90) | (r & 0x80 ? flags & 0x45 : 0)
    if (!(r & 0x80)) flags = (flags & ~0x45) | (r & 0x45)
  }
  const registers = new Uint8Array(80)
  const after = (s.fsw >> 11) & 7
  for (let k = 0; k < 8; k++) registers.set(s.fpr.subarray(((after + k) & 7) * 16, ((after + k) & 7) * 16 + 10), k * 10)
  return { fcw: s.fcw, fsw: s.fsw, ftw: s.ftw, registers, memory, flags }
}

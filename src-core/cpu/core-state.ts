// A processor's state as named, versioned fields (ARCHITECTURE.md, "Devices").
// Scalars of 64 bits are hexadecimal text, byte fields and translations base64; derived fields are worked out again.

import { StateError, type Json, type SavedState } from '../memory/device.ts'
import { modelRegisters } from './model-registers.ts'
import type { Core } from './run.ts'
import { fields, type FieldName, type Indexed } from '../isa/state.ts'

const VERSION = 1
type Named = { [name: string]: Json }

const kept = (Object.keys(fields) as FieldName[]).filter((name) => !('derived' in fields[name]))

export const toBase64 = (bytes: Uint8Array): string => {
  let text = ''
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000))
  return btoa(text)
}
export function fromBase64(part: string, text: Json | undefined): Uint8Array {
  if (typeof text !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4 !== 0) throw new StateError(part, 'a field is not base64')
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
}

/** Everything of a processor but what the machine keeps (the order of processors). */
export function saveCore(core: Core): SavedState {
  const s = core.state as unknown as Record<string, unknown>
  const registers: Named = {}
  for (const name of kept) {
    const { type, count } = fields[name]
    const value = s[name]
    const one = (v: unknown): Json => (typeof v === 'bigint' ? v.toString(16) : (v as number))
    if (type === 'bytes') registers[name] = toBase64(value as Uint8Array)
    else if (count === 1) registers[name] = one(value)
    else registers[name] = Array.from({ length: count }, (_, i) => one((value as Indexed<number | bigint>).get(i)))
  }
  const { nmi, init, sipi, smi } = core.signals
  return {
    version: VERSION,
    fields: {
      registers,
      models: modelRegisters(core).save() as unknown as Json,
      vmx: core.vmx ? (core.vmx.save() as unknown as Json) : null,
      time: core.time,
      instructions: core.instructions,
      faults: core.faults,
      interrupts: core.interrupts,
      attention: core.attention,
      signals: { nmi, init, sipi, smi },
      translations: toBase64(core.mmu.save()),
    },
  }
}

/** Throws StateError when the state is of another version or shape. */
export function restoreCore(core: Core, saved: SavedState): void {
  const part = `processor${core.index}`
  if (saved?.version !== VERSION) throw new StateError(part, `state version ${String(saved?.version)}, this machine has ${VERSION}`)
  const f = saved.fields
  const registers = f['registers'] as Named | undefined
  if (typeof registers !== 'object' || registers === null) throw new StateError(part, 'no registers')
  const count = (name: string): number => {
    const v = f[name]
    if (typeof v !== 'number' || !Number.isSafeInteger(v)) throw new StateError(part, `field ${name} is not a whole number`)
    return v
  }
  const values = kept.map((name) => decode(part, name, registers[name]))
  const [time, instructions, faults, interrupts] = [count('time'), count('instructions'), count('faults'), count('interrupts')]
  const translations = fromBase64(part, f['translations'])
  const signals = f['signals'] as { nmi?: Json; init?: Json; sipi?: Json; smi?: Json } | undefined
  if ((core.vmx !== undefined) !== (typeof f['vmx'] === 'object' && f['vmx'] !== null)) throw new StateError(part, 'VT-x is in one of the two only')
  modelRegisters(core).restore(f['models'] as unknown as SavedState)
  core.vmx?.restore(f['vmx'] as unknown as SavedState)

  const s = core.state as unknown as Record<string, unknown>
  kept.forEach((name, n) => {
    const value = values[n]!
    if (value instanceof Uint8Array) (s[name] as Uint8Array).set(value)
    else if (Array.isArray(value)) value.forEach((v, i) => (s[name] as Indexed<number | bigint>).set(i, v))
    else s[name] = value
  })
  core.time = time
  core.instructions = instructions
  core.faults = faults
  core.interrupts = interrupts
  core.signals.nmi = signals?.nmi === true
  core.signals.init = signals?.init === true
  core.signals.smi = signals?.smi === true
  core.signals.sipi = typeof signals?.sipi === 'number' ? signals.sipi : -1
  core.debugRegistersChanged()
  core.modeChanged()
  core.mmu.flushAll()
  if (!core.mmu.restore(translations)) throw new StateError(part, 'its translations are damaged')
  core.attention = f['attention'] === true
}

function decode(part: string, name: FieldName, json: Json | undefined): Uint8Array | (number | bigint)[] | number | bigint {
  const { type, count } = fields[name]
  const one = (v: Json | undefined): number | bigint => {
    if (type === 'u64') {
      if (typeof v !== 'string' || !/^[0-9a-f]{1,16}$/.test(v)) throw new StateError(part, `field ${name} is not hexadecimal`)
      return BigInt(`0x${v}`)
    }
    if (typeof v !== 'number' || !Number.isInteger(v) || v < 0 || v > 0xffffffff) throw new StateError(part, `field ${name} is not a 32-bit number`)
    return v
  }
  if (type === 'bytes') {
    const bytes = fromBase64(part, json)
    if (bytes.length !== count) throw new StateError(part, `field ${name} has ${bytes.length} bytes, not ${count}`)
    return bytes
  }
  if (count === 1) return one(json)
  if (!Array.isArray(json) || json.length !== count) throw new StateError(part, `field ${name} is not a list of ${count}`)
  return json.map(one)
}

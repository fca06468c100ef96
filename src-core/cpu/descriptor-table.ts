// Descriptor tables as the processor reads them: GDT, LDT, IDT, and stack pointers in the TSS (SDM 3A 2.4, 3.5.1, 5.8.5, 7.2, 7.7).
// All are implicit supervisor accesses (SDM 3A 4.6).

import { Vector } from '../arch/exceptions.ts'
import { LDTR, Rights, TR } from '../arch/registers.ts'
import { Descriptor } from './descriptor.ts'
import { Fault } from './fault.ts'
import { isLongMode } from './mode.ts'
import { isCanonical } from './privilege.ts'
import type { Processor } from './processor.ts'

const LOW32 = 0xffff_ffffn
const cell = new BigUint64Array(2)
const halves = new Uint32Array(cell.buffer)

/** Error code that names a selector: TI and index, bit 0 EXT (SDM 3A 6.13). */
export const selectorCode = (selector: number, ext = 0): number => (selector & 0xfffc) | ext

export const gp = (code = 0): Fault => new Fault(Vector.GP, code)
/** #GP, #NP, #SS or #TS that names a selector. */
export const selectorFault = (vector: number, selector: number, ext = 0): Fault => new Fault(vector, selectorCode(selector, ext))

/** Eight bytes at a linear address, as a descriptor. Throws Fault (#PF). */
export function readDescriptor(cpu: Processor, address: bigint): Descriptor {
  cell[0] = cpu.memory.read64(address, 'system')
  return new Descriptor(halves[0]!, halves[1]!, address)
}

/** Sixteen bytes; undefined: bits 12:8 of the last dword are not zero. Throws Fault (#PF). */
export function readWideDescriptor(cpu: Processor, address: bigint): Descriptor | undefined {
  cell[0] = cpu.memory.read64(address, 'system')
  const low = halves[0]!
  const high = halves[1]!
  cell[1] = cpu.memory.read64(address + 8n, 'system')
  return halves[3]! & 0x1f00 ? undefined : new Descriptor(low, high, address, halves[2]!)
}

function tableAddress(cpu: Processor, selector: number, last: number): bigint | undefined {
  const s = cpu.state
  let base = s.gdtrBase
  let limit = s.gdtrLimit
  if (selector & 4) {
    if (s.segRights.get(LDTR) & Rights.unusable) return undefined
    base = s.segBase.get(LDTR)
    limit = s.segLimit.get(LDTR)
  }
  const at = selector & 0xfff8
  if (at + last > limit) return undefined
  const linear = base + BigInt(at)
  return isLongMode(s) ? BigInt.asUintN(64, linear) : linear & LOW32
}

/** The descriptor a selector names; undefined: outside its table. Throws Fault (#PF). A null selector is the caller's to refuse. */
export function descriptorOf(cpu: Processor, selector: number): Descriptor | undefined {
  const at = tableAddress(cpu, selector, 7)
  return at === undefined ? undefined : readDescriptor(cpu, at)
}

/** A system descriptor: 16 bytes in IA-32e mode (SDM 3A 3.5.2). undefined: outside its table, or the second half is malformed. */
export function systemDescriptorOf(cpu: Processor, selector: number): Descriptor | undefined {
  const long = isLongMode(cpu.state)
  const at = tableAddress(cpu, selector, long ? 15 : 7)
  if (at === undefined) return undefined
  return long ? readWideDescriptor(cpu, at) : readDescriptor(cpu, at)
}

/** Sets the accessed bit of a code or data descriptor that is about to be loaded (SDM 3A 3.4.5.1). Throws Fault (#PF). */
export function markAccessed(cpu: Processor, d: Descriptor): void {
  if (!d.accessed) cpu.memory.write8(d.address + 5n, ((d.high >>> 8) & 0xff) | Rights.accessed, 'system')
}

/** Sets or clears the busy bit (type bit 1) of a TSS descriptor. Throws Fault (#PF). */
export function markBusy(cpu: Processor, address: bigint, busy: boolean): void {
  const old = cpu.memory.read8(address + 5n, 'system')
  cpu.memory.write8(address + 5n, busy ? old | 2 : old & ~2, 'system')
}

export const tssAddress = (cpu: Processor, offset: number): bigint => {
  const linear = cpu.state.segBase.get(TR) + BigInt(offset)
  return isLongMode(cpu.state) ? BigInt.asUintN(64, linear) : linear & LOW32
}

/** SS and SP of a privilege level in the current 16- or 32-bit TSS. Throws Fault: #TS(TR) beyond the limit, #PF. */
export function tssStack(cpu: Processor, level: number, ext: number): { selector: number; pointer: bigint } {
  const s = cpu.state
  const wide = (s.segRights.get(TR) & 8) !== 0
  const at = wide ? level * 8 + 4 : level * 4 + 2
  if (at + (wide ? 5 : 3) > s.segLimit.get(TR)) throw selectorFault(Vector.TS, s.segSelector.get(TR), ext)
  const m = cpu.memory
  const pointer = wide ? m.read32(tssAddress(cpu, at), 'system') : m.read16(tssAddress(cpu, at), 'system')
  return { selector: m.read16(tssAddress(cpu, at + (wide ? 4 : 2)), 'system'), pointer: BigInt(pointer) }
}

/** RSP0…RSP2 (offset 4 + 8n) or IST1…IST7 (offset 1CH + 8n) of the 64-bit TSS. Throws Fault: #TS(TR), #SS(ext) when not canonical, #PF. */
export function tssStack64(cpu: Processor, offset: number, ext: number): bigint {
  const s = cpu.state
  if (offset + 7 > s.segLimit.get(TR)) throw selectorFault(Vector.TS, s.segSelector.get(TR), ext)
  const pointer = cpu.memory.read64(tssAddress(cpu, offset), 'system')
  if (!isCanonical(pointer)) throw new Fault(Vector.SS, ext)
  return pointer
}

/** The stack segment of an inner privilege level, checked (SDM 3A 5.8.5, 6.12.1). Throws Fault: #TS, #SS when not present, #PF. */
export function innerStackSegment(cpu: Processor, selector: number, level: number, ext: number): Descriptor {
  if ((selector & 0xfffc) === 0) throw new Fault(Vector.TS, ext)
  const d = (selector & 3) === level ? descriptorOf(cpu, selector) : undefined
  if (!d || !d.isWritableData || d.dpl !== level) throw selectorFault(Vector.TS, selector, ext)
  if (!d.present) throw selectorFault(Vector.SS, selector, ext)
  return d
}

// Task switching (SDM 3A 7.2.1, 7.2.6, 7.3, 7.4; order of checks table 7-1). Not in IA-32e mode.
//
//   32-bit TSS   0 link  4 ESP0…SS2  1CH CR3  20H EIP  24H EFLAGS  28H EAX…EDI  48H ES CS SS DS FS GS  60H LDT  64H T  66H I/O base
//   16-bit TSS   0 link  2 SP0…SS2   0EH IP   10H FLAGS  12H AX…DI  22H ES CS SS DS  2AH LDT

import { CR3_PCID, Dr6 } from '../arch/pte.ts'
import { Vector } from '../arch/exceptions.ts'
import { Cr0, Cr4, CS, DS, ES, FS, GS, LDTR, Rflags, SS, TR } from '../arch/registers.ts'
import { descriptorOf, gp, markAccessed, markBusy, selectorFault, tssAddress } from './descriptor-table.ts'
import { SystemType, type Descriptor } from './descriptor.ts'
import { Fault } from './fault.ts'
import { intercepted } from './intercepts.ts'
import { deriveMode } from './mode.ts'
import type { Processor } from './processor.ts'
import { setFromDescriptor, setNull, setSegment, setV86 } from './segment-cache.ts'
import { currentStack, pushFrame, requireRoom, requireTarget, setStackPointer } from './stack.ts'

/** A fault behind the point of no return: state.rip and all else are the new task's. */
export class FaultInNewTask extends Fault {}

/** DR7: L0…L3 and LE, which a task switch clears (SDM 3B 17.2.4). */
const DR7_LOCAL = 0x155n
const SEGMENTS32 = [ES, CS, SS, DS, FS, GS]

/** The TSS descriptor of a task gate, or of a far jump or call. Throws Fault: #GP when local, outside the GDT or not available; #NP. */
export function availableTask(cpu: Processor, selector: number, ext = 0): Descriptor {
  const d = selector & 4 ? undefined : descriptorOf(cpu, selector)
  if (!d || d.isSegment || (d.type !== SystemType.tss16 && d.type !== SystemType.tss32)) throw selectorFault(Vector.GP, selector, ext)
  if (!d.present) throw selectorFault(Vector.NP, selector, ext)
  return d
}

interface NewState {
  readonly cr3: bigint | undefined
  readonly eip: bigint
  readonly flags: bigint
  readonly registers: readonly number[]
  /** ES CS SS DS FS GS. */
  readonly selectors: readonly number[]
  readonly ldt: number
  readonly trap: boolean
}

function parse(image: Uint8Array, wide: boolean): NewState {
  const v = new DataView(image.buffer)
  const word = (at: number): number => v.getUint16(at, true)
  const eight = [0, 1, 2, 3, 4, 5, 6, 7]
  if (wide) {
    return {
      cr3: BigInt(v.getUint32(0x1c, true)),
      eip: BigInt(v.getUint32(0x20, true)),
      flags: BigInt(v.getUint32(0x24, true)),
      registers: eight.map((n) => v.getUint32(0x28 + 4 * n, true)),
      selectors: SEGMENTS32.map((n) => word(0x48 + 4 * n)),
      ldt: word(0x60),
      trap: (word(0x64) & 1) !== 0,
    }
  }
  return {
    cr3: undefined,
    eip: BigInt(word(0x0e)),
    flags: BigInt(word(0x10)),
    registers: eight.map((n) => (0xffff0000 | word(0x12 + 2 * n)) >>> 0),
    selectors: [...[ES, CS, SS, DS].map((n) => word(0x22 + 2 * n)), 0, 0],
    ldt: word(0x2a),
    trap: false,
  }
}

/** The dynamic fields of the outgoing task: offset and bytes. */
function image(cpu: Processor, wide: boolean, rip: bigint, flags: bigint): { at: number; bytes: Uint8Array } {
  const s = cpu.state
  const bytes = new Uint8Array(wide ? 0x40 : 0x1c)
  const v = new DataView(bytes.buffer)
  const put = (slot: number, value: bigint): void => {
    if (wide) v.setUint32(slot * 4, Number(value & 0xffff_ffffn), true)
    else v.setUint16(slot * 2, Number(value & 0xffffn), true)
  }
  put(0, rip)
  put(1, flags)
  for (let n = 0; n < 8; n++) put(2 + n, s.gpr.get(n))
  for (let n = 0; n < (wide ? 6 : 4); n++) put(10 + n, BigInt(s.segSelector.get(n)))
  return { at: wide ? 0x20 : 0x0e, bytes }
}

/**
 * Switches to the task whose TSS `d` describes (checked for type and presence by the caller). `rip` and `flags` are saved for the
 * outgoing task; `errorCode` is pushed on the new stack. Throws Fault with nothing changed: #TS(selector) when the TSS is too short,
 * #PF; then FaultInNewTask; or `intercepted`.
 */
export function switchTask(
  cpu: Processor,
  selector: number,
  d: Descriptor,
  source: 'call' | 'iret' | 'jmp' | 'gate',
  rip: bigint,
  flags: bigint,
  ext = 0,
  errorCode?: number,
): void {
  const s = cpu.state
  const m = cpu.memory
  const wide = (d.type & 8) !== 0
  const oldWide = (s.segRights.get(TR) & 8) !== 0
  const nested = source === 'call' || source === 'gate'
  if (d.limit < (wide ? 0x67 : 0x2b)) throw selectorFault(Vector.TS, selector, ext)
  if (cpu.intercepts?.taken('taskSwitch', selector, source)) throw intercepted

  const oldSelector = s.segSelector.get(TR)
  const oldDescriptor = (s.gdtrBase + BigInt(oldSelector & 0xfff8)) & 0xffff_ffffn
  const saved = image(cpu, oldWide, rip, source === 'iret' ? flags & ~Rflags.NT : flags)
  m.probe(tssAddress(cpu, saved.at), saved.bytes.length, true, 'system')
  if (!nested) m.probe(oldDescriptor + 5n, 1, true, 'system')
  if (source !== 'iret') m.probe(d.address + 5n, 1, true, 'system')
  const incoming = parse(m.readBytes(d.base, wide ? 0x68 : 0x2c, 'system'), wide)
  if (nested) m.probe(d.base, 2, true, 'system')

  // Nothing below can fault until the new task is in place (SDM 3A 7.3, steps 6…12).
  if (!nested) markBusy(cpu, oldDescriptor, false)
  m.writeBytes(tssAddress(cpu, saved.at), saved.bytes, 'system')
  if (nested) m.write16(d.base, oldSelector, 'system')
  if (source !== 'iret') markBusy(cpu, d.address, true)
  setSegment(s, TR, selector, d.base, d.limit, d.rights | 2)
  s.cr0 |= Cr0.TS
  s.dr.set(7, s.dr.get(7) & ~DR7_LOCAL)
  cpu.memory.debugChanged()
  const badPdptes = loadCr3(cpu, incoming.cr3)

  s.rip = incoming.eip
  const newFlags = (incoming.flags & 0x3f7fd5n) | (nested ? Rflags.NT : 0n)
  cpu.setRflags(wide ? newFlags : newFlags & 0xffffn)
  incoming.registers.forEach((v, n) => s.gpr.set(n, BigInt(v)))
  const v86 = wide && (newFlags & Rflags.VM) !== 0n
  const cpl = v86 ? 3 : incoming.selectors[CS]! & 3
  setNull(s, LDTR, incoming.ldt)
  incoming.selectors.forEach((sel, n) => (v86 ? setV86(s, n, sel) : setNull(s, n, sel, n === SS ? cpl : 0)))
  s.interruptibility &= ~3
  if (incoming.trap) s.pendingDebug |= Dr6.BT
  try {
    if (badPdptes) throw gp()
    qualify(cpu, incoming, v86, cpl, ext)
    cpu.modeChanged()
    const limit = s.segLimit.get(CS)
    requireTarget(incoming.eip, limit, false, ext)
    if (errorCode !== undefined) {
      const stack = currentStack(cpu)
      const width = wide ? 4 : 2
      requireRoom(stack, width, 1, ext)
      setStackPointer(cpu, pushFrame(cpu, stack, width, [BigInt(errorCode)], cpl))
    }
  } catch (reason) {
    cpu.modeChanged()
    if (reason instanceof Fault) throw new FaultInNewTask(reason.vector, reason.errorCode, reason.address)
    throw reason
  }
}

/** True: the PDPTEs of the new CR3 have reserved bits set. */
function loadCr3(cpu: Processor, cr3: bigint | undefined): boolean {
  const s = cpu.state
  if (cr3 === undefined || (s.cr0 & Cr0.PG) === 0n) return false
  s.cr3 = s.cr4 & Cr4.PCIDE ? cr3 & ~CR3_PCID : cr3
  cpu.memory.flushNonGlobal()
  return (s.cr4 & Cr4.PAE) !== 0n && !cpu.memory.loadPdptes(cr3)
}

/** Loads LDTR and the segment caches of the new task. */
function qualify(cpu: Processor, t: NewState, v86: boolean, cpl: number, ext: number): void {
  const s = cpu.state
  const ts = (selector: number): Fault => selectorFault(Vector.TS, selector, ext)
  if (t.ldt & 0xfffc) {
    const ldt = t.ldt & 4 ? undefined : descriptorOf(cpu, t.ldt)
    if (!ldt || ldt.isSegment || ldt.type !== SystemType.ldt || !ldt.present) throw ts(t.ldt)
    setFromDescriptor(s, LDTR, t.ldt, ldt)
  } else if (t.ldt & 4) throw ts(t.ldt)
  if (v86) return
  deriveMode(s)

  const sel = t.selectors
  const code = sel[CS]! & 0xfffc ? descriptorOf(cpu, sel[CS]!) : undefined
  if (!code || !code.isCode || (code.isConforming ? code.dpl > cpl : code.dpl !== cpl)) throw ts(sel[CS]!)
  if (!code.present) throw selectorFault(Vector.NP, sel[CS]!, ext)
  markAccessed(cpu, code)
  setFromDescriptor(s, CS, sel[CS]!, code)

  const stack = sel[SS]! & 0xfffc ? descriptorOf(cpu, sel[SS]!) : undefined
  if (!stack || !stack.isWritableData || stack.dpl !== cpl || (sel[SS]! & 3) !== cpl) throw ts(sel[SS]!)
  if (!stack.present) throw selectorFault(Vector.SS, sel[SS]!, ext)
  markAccessed(cpu, stack)
  setFromDescriptor(s, SS, sel[SS]!, stack)

  for (const index of [ES, DS, FS, GS]) {
    const selector = sel[index]!
    if ((selector & 0xfffc) === 0) continue
    const d = descriptorOf(cpu, selector)
    if (!d || !d.isReadable || (!d.isConforming && d.dpl < Math.max(cpl, selector & 3))) throw ts(selector)
    if (!d.present) throw selectorFault(Vector.NP, selector, ext)
    markAccessed(cpu, d)
    setFromDescriptor(s, index, selector, d)
  }
}

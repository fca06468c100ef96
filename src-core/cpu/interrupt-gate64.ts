// Interrupt and trap gates of IA-32e mode (SDM 3A 6.14): 16-byte gates, IST, RSP0…RSP2, frames of SS RSP RFLAGS CS RIP and error code.

import { Vector } from '../arch/exceptions.ts'
import { CS, Rflags, Rights, RSP, SS } from '../arch/registers.ts'
import { descriptorOf, gp, markAccessed, readWideDescriptor, selectorFault, tssStack64 } from './descriptor-table.ts'
import { SystemType } from './descriptor.ts'
import type { Event } from './event.ts'
import { externalBit, savedFlags } from './event.ts'
import { Fault } from './fault.ts'
import { isCanonical } from './privilege.ts'
import type { Processor } from './processor.ts'
import { setCode, setNull } from './segment-cache.ts'

const CLEARED = Rflags.TF | Rflags.NT | Rflags.VM | Rflags.RF

export function enterThroughGate64(cpu: Processor, e: Event): void {
  const s = cpu.state
  const m = cpu.memory
  const ext = externalBit(e.kind)
  const vectorCode = (e.vector << 3) | 2 | ext
  if (e.vector * 16 + 15 > s.idtrLimit) throw gp(vectorCode)
  const gate = readWideDescriptor(cpu, BigInt.asUintN(64, s.idtrBase + BigInt(e.vector * 16)))
  if (!gate || gate.isSegment || (gate.type !== SystemType.interruptGate32 && gate.type !== SystemType.trapGate32)) throw gp(vectorCode)
  const cpl = s.cpl
  if ((e.kind === 'software' || e.kind === 'softwareException') && gate.dpl < cpl) throw gp(vectorCode)
  if (!gate.present) throw new Fault(Vector.NP, vectorCode)

  const selector = gate.gateSelector
  if ((selector & 0xfffc) === 0) throw gp(ext)
  const code = descriptorOf(cpu, selector)
  if (!code || !code.isCode || code.dpl > cpl || !code.isLong) throw selectorFault(Vector.GP, selector, ext)
  if (!code.present) throw selectorFault(Vector.NP, selector, ext)
  const level = code.isConforming ? cpl : code.dpl

  const ist = gate.gateIst
  let sp = ist !== 0 ? tssStack64(cpu, 0x1c + ist * 8, ext) : level !== cpl ? tssStack64(cpu, 4 + level * 8, ext) : s.gpr.get(RSP)
  sp &= 0xffff_ffff_ffff_fff0n
  const bottom = BigInt.asUintN(64, sp - (e.errorCode === undefined ? 40n : 48n))
  if (!isCanonical(bottom) || !isCanonical(BigInt.asUintN(64, sp - 1n))) throw new Fault(Vector.SS, ext)
  const target = gate.gateOffset
  if (!isCanonical(target)) throw gp(ext)

  const flags = savedFlags(cpu, e)
  markAccessed(cpu, code)
  // The frame is 16-byte aligned and at most 48 bytes: two pages at most, and no store of it can raise #AC.
  s.cpl = level
  try {
    const page = bottom & 0xfffn
    if (page > 4048n) {
      m.probe(BigInt.asUintN(64, sp - 8n), 8, true, 'data', true)
      m.probe(bottom, 8, true, 'data', true)
    }
    let at = sp - 8n
    m.write64(at, BigInt(s.segSelector.get(SS)))
    m.write64((at -= 8n), s.gpr.get(RSP))
    m.write64((at -= 8n), flags)
    m.write64((at -= 8n), BigInt(s.segSelector.get(CS)))
    m.write64((at -= 8n), e.returnRip)
    if (e.errorCode !== undefined) m.write64(bottom, BigInt(e.errorCode))
  } catch (reason) {
    s.cpl = cpl
    throw reason
  }

  const changed = level !== cpl || s.segRights.get(CS) !== (code.rights | Rights.accessed)
  s.gpr.set(RSP, bottom)
  if (level !== cpl) setNull(s, SS, level, level)
  setCode(s, selector, code, level)
  s.rip = target
  s.rflags &= gate.type === SystemType.interruptGate32 ? ~(CLEARED | Rflags.IF) : ~CLEARED
  if (changed) cpu.modeChanged()
}

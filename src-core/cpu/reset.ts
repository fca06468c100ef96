// What a processor is after power-on, INIT and a start-up IPI (SDM 3A table 9-1, 8.4.2, 10.4.7.3).

import { SIGNATURE } from '../arch/cpuid.ts'
import { Cr0, CS } from '../arch/registers.ts'
import { writeRflags } from './flags.ts'
import { modelRegisters } from './model-registers.ts'
import type { Core } from './run.ts'

/** Power-on values (SDM 3A table 9-1). */
export function powerOn(core: Core, bootstrap: boolean): void {
  const s = core.state
  initialise(core)
  s.xmm.fill(0)
  s.fpr.fill(0)
  s.fcw = 0x40
  s.fsw = 0
  s.ftw = 0
  s.fop = s.fcs = s.fds = 0
  s.fip = s.fdp = 0n
  s.mxcsr = 0x1f80
  s.xcr0 = 1n
  s.tscOffset = s.tscAux = 0n
  s.star = s.lstar = s.cstar = s.fmask = s.kernelGsBase = 0n
  s.sysenterCs = s.sysenterEsp = s.sysenterEip = 0n
  for (let i = 0; i < 4; i++) s.pdpte.set(i, 0n)
  modelRegisters(core).reset()
  core.vmx?.reset()
  s.cr0 = Cr0.ET | Cr0.NW | Cr0.CD
  s.activity = bootstrap ? 0 : 3
  core.signals.nmi = core.signals.init = core.signals.smi = false
  core.signals.sipi = -1
  core.mmu.flushAll()
  core.modeChanged()
}

/** INIT (SDM 3A 10.4.7.3, table 9-1): processors other than the first wait for a start-up IPI. */
export function initialise(core: Core): void {
  const s = core.state
  for (let i = 0; i < 16; i++) s.gpr.set(i, 0n)
  s.gpr.set(2, BigInt(SIGNATURE)) // family, model, stepping
  s.rip = 0xfff0n
  for (let i = 0; i < 8; i++) {
    s.segSelector.set(i, 0)
    s.segBase.set(i, 0n)
    s.segLimit.set(i, 0xffff)
    s.segRights.set(i, i === 6 ? 0x82 : i === 7 ? 0x8b : 0x93)
  }
  s.segSelector.set(CS, 0xf000)
  s.segBase.set(CS, 0xffff0000n)
  s.segRights.set(CS, 0x9b)
  s.gdtrBase = s.idtrBase = 0n
  s.gdtrLimit = s.idtrLimit = 0xffff
  s.cr0 = (s.cr0 & (Cr0.CD | Cr0.NW)) | Cr0.ET
  s.cr2 = s.cr3 = s.cr4 = 0n
  s.efer = 0n
  for (let i = 0; i < 4; i++) s.dr.set(i, 0n)
  s.dr.set(6, 0xffff0ff0n)
  s.dr.set(7, 0x400n)
  writeRflags(s, 2n)
  s.interruptibility = 0
  s.pendingDebug = 0
  s.activity = core.index === 0 ? 0 : 3
  core.debugRegistersChanged()
  core.mmu.flushAll()
  core.modeChanged()
}

/** The start-up IPI: real-address mode at vector × 4 KiB (SDM 3A 8.4.2). */
export function startAt(core: Core, vector: number): void {
  const s = core.state
  s.segSelector.set(CS, vector << 8)
  s.segBase.set(CS, BigInt(vector << 12))
  s.segLimit.set(CS, 0xffff)
  s.rip = 0n
  s.activity = 0
  core.modeChanged()
}

// Host state as VM exits load it (SDM 3C 27.5): what is not in the host-state area is fixed.

import { Cr4, CS, DS, ES, Efer, FS, GS, LDTR, Rights, SS, TR } from '../arch/registers.ts'
import { ExitControl, Interruptibility } from '../arch/vmx.ts'
import type { NarrowField } from '../arch/vmcs-fields.ts'
import { offsets, type FieldName as StateField } from '../cpu/processor.ts'
import type { FieldName } from '../arch/vmcs-fields.ts'
import { writeRflags } from '../cpu/flags.ts'
import { modelRegisters } from '../cpu/model-registers.ts'
import type { Core } from '../cpu/run.ts'
import { isPae, loadCr0 } from './guest-state.ts'
import { slots, type Vmcs } from './vmcs.ts'

const CODE64 = Rights.P | Rights.S | Rights.G | Rights.L | 0xb
const CODE32 = Rights.P | Rights.S | Rights.G | Rights.DB | 0xb
const DATA = Rights.P | Rights.S | Rights.G | Rights.DB | 3
const BUSY_TSS = Rights.P | 0xb
const TSS_LIMIT = 0x67
const DR7 = 0x400n

const segments: readonly (readonly [index: number, selector: NarrowField])[] = [
  [ES, 'hostEsSelector'], [CS, 'hostCsSelector'], [SS, 'hostSsSelector'], [DS, 'hostDsSelector'], [FS, 'hostFsSelector'], [GS, 'hostGsSelector'],
]

/** 64-bit registers that are copied: word of the processor block, word of the region. */
const quads: number[] = []
const copy = (state: StateField, field: FieldName, index = 0): void => void quads.push((offsets[state] >>> 2) + 2 * index, slots[field])
copy('cr3', 'hostCr3')
copy('segBase', 'hostFsBase', FS)
copy('segBase', 'hostGsBase', GS)
copy('segBase', 'hostTrBase', TR)
copy('gdtrBase', 'hostGdtrBase')
copy('idtrBase', 'hostIdtrBase')
copy('sysenterEsp', 'hostSysenterEsp')
copy('sysenterEip', 'hostSysenterEip')
copy('gpr', 'hostRsp', 4)
copy('rip', 'hostRip')
const words = { cr4: offsets.cr4 >>> 2, efer: offsets.efer >>> 2, selector: offsets.segSelector >>> 2, base: offsets.segBase >>> 2, limit: offsets.segLimit >>> 2, rights: offsets.segRights >>> 2, sysenterCs: offsets.sysenterCs >>> 2 } as const
const LONG = Number(Efer.LMA | Efer.LME)

/** False: the PDPTEs of a 32-bit host with PAE paging have reserved bits set. NMI blocking is left as it is. */
export function loadHostState(core: Core, vmcs: Vmcs): boolean {
  const s = core.state
  const w = s.words
  const from = vmcs.words
  const { first, exitControls } = vmcs
  const host64 = (exitControls & ExitControl.hostAddressSpaceSize) !== 0
  loadCr0(s, vmcs.readNumber('hostCr0'))
  for (let n = 0; n < quads.length; n += 2) {
    w[quads[n]!] = from[first + quads[n + 1]!]!
    w[quads[n]! + 1] = from[first + quads[n + 1]! + 1]!
  }
  const cr4 = vmcs.readNumber('hostCr4')
  w[words.cr4] = host64 ? cr4 | Number(Cr4.PAE) : cr4 & ~Number(Cr4.PCIDE)
  w[words.cr4 + 1] = 0
  w[words.sysenterCs] = vmcs.hostSysenterCs
  w[words.sysenterCs + 1] = 0
  const efer = exitControls & ExitControl.loadEfer ? vmcs.readNumber('hostEfer') : w[words.efer]!
  w[words.efer] = host64 ? efer | LONG : efer & ~LONG
  if (exitControls & ExitControl.loadPat) modelRegisters(core).pat = vmcs.hostPat
  if (s.dr.get(7) !== DR7) {
    s.dr.set(7, DR7)
    core.debugRegistersChanged()
  }

  for (const [index, field] of segments) {
    const selector = from[first + slots[field]]! & 0xffff
    w[words.selector + index] = selector
    w[words.limit + index] = 0xffff_ffff
    w[words.rights + index] = index === CS ? (host64 ? CODE64 : CODE32) : selector === 0 ? DATA | Rights.unusable : DATA
    if (index === FS || index === GS) continue
    w[words.base + 2 * index] = 0
    w[words.base + 2 * index + 1] = 0
  }
  w[words.selector + TR] = vmcs.hostTrSelector & 0xffff
  w[words.limit + TR] = TSS_LIMIT
  w[words.rights + TR] = BUSY_TSS
  w[words.selector + LDTR] = 0
  w[words.limit + LDTR] = 0
  w[words.base + 2 * LDTR] = w[words.base + 2 * LDTR + 1] = 0
  w[words.rights + LDTR] = Rights.unusable
  s.gdtrLimit = s.idtrLimit = 0xffff

  s.interruptibility &= Interruptibility.nmi
  s.activity = 0
  s.pendingDebug = 0
  writeRflags(s, 2n)
  core.modeChanged()
  return host64 || !isPae(s) || core.memory.loadPdptes(s.cr3)
}

// Every check of a VM entry, broken alone (SDM 3C 26.2, 26.3.1).

import { beforeAll, describe, expect, it } from 'vitest'
import type { Vmcs } from '../../src-core/vmx/vmcs.ts'
import { Candidate } from '../../src-core/vmx/entry-checks/check.ts'
import { controlChecks, guestStateChecks, hostStateChecks } from '../../src-core/vmx/entry-checks/lists.ts'
import { EntryControl, ExitControl, GuestBench, Pin, Primary, Secondary, VIRTUAL_APIC, type Mode } from './guest-bench.ts'

type Break = (v: Vmcs, b: GuestBench) => void
interface Case {
  readonly mode?: Mode
  readonly change: Break
  /** Checks that cannot hold either. */
  readonly also?: readonly string[]
}
const HIGH = 1n << 46n
const NONCANONICAL = 1n << 47n
const VALID = 2 ** 31
const all = [...controlChecks, ...hostStateChecks, ...guestStateChecks]
const bench = new GuestBench()

const failing = (): string[] => {
  const c = new Candidate(bench.core, bench.vmcs)
  return all.filter((check) => !check.test(c)).map((check) => check.id)
}
const inject = (type: number, vector: number, more = 0): Break => (v) => void (v.entryInterruptionInformation = (VALID + more + type * 256 + vector) >>> 0)
const secondary = (...bits: number[]): Break => (_, b) => b.with({ secondary: bits.reduce((x, y) => x | y) })
const both = (...parts: Break[]): Break => (v, b) => parts.forEach((part) => part(v, b))
const outside: Break = (v, b) => {
  b.core.state.efer = 0n
  v.exitControls = (v.exitControls & ~ExitControl.hostAddressSpaceSize) >>> 0
}
const posted: Break = (_, b) =>
  b.with({ pin: Pin.processPostedInterrupts | Pin.externalInterruptExiting, primary: Primary.useTprShadow, secondary: Secondary.virtualInterruptDelivery, exit: ExitControl.acknowledgeInterrupt })

const controls: { [id: string]: Case } = {
  'pinControls.allowed': { change: (_, b) => b.with({ pin: 1 << 8 }) },
  'primaryControls.allowed': { change: (_, b) => b.with({ primary: 1 }) },
  'secondaryControls.allowed': { change: secondary(2 ** 31) },
  'cr3Targets.count': { change: (v) => void (v.cr3TargetCount = 5) },
  'ioBitmapA.address': { change: (v, b) => (b.with({ primary: Primary.useIoBitmaps }), (v.ioBitmapA = 0x1001n)) },
  'ioBitmapB.address': { change: (v, b) => (b.with({ primary: Primary.useIoBitmaps }), (v.ioBitmapB = HIGH)) },
  'msrBitmaps.address': { change: (v, b) => (b.with({ primary: Primary.useMsrBitmaps }), (v.msrBitmaps = HIGH)) },
  'virtualApic.address': { change: (v, b) => (b.with({ primary: Primary.useTprShadow }), (v.virtualApicAddress = BigInt(VIRTUAL_APIC + 8))) },
  'tprThreshold.reserved': { change: (v, b) => (b.with({ primary: Primary.useTprShadow }), (v.tprThreshold = 0x10)) },
  'tprThreshold.virtualTpr': { change: (v, b) => (b.with({ primary: Primary.useTprShadow }), (v.tprThreshold = 1)) },
  'virtualNmis.nmiExiting': { change: (_, b) => b.with({ pin: Pin.virtualNmis }) },
  'nmiWindow.virtualNmis': { change: (_, b) => b.with({ primary: Primary.nmiWindowExiting }) },
  'apicAccess.address': { change: (v, b) => (b.with({ secondary: Secondary.virtualizeApicAccesses }), (v.apicAccessAddress = 8n)) },
  'tprShadow.apicVirtualization': { change: secondary(Secondary.apicRegisterVirtualization) },
  'x2apic.apicAccesses': { change: (_, b) => b.with({ primary: Primary.useTprShadow, secondary: Secondary.virtualizeX2apicMode | Secondary.virtualizeApicAccesses }) },
  'virtualInterrupts.externalInterrupts': { change: (_, b) => b.with({ primary: Primary.useTprShadow, secondary: Secondary.virtualInterruptDelivery }) },
  'postedInterrupts.controls': { change: (_, b) => b.with({ pin: Pin.processPostedInterrupts }) },
  'postedInterrupts.vector': { change: both(posted, (v) => void (v.postedInterruptNotificationVector = 256)) },
  'postedInterrupts.address': { change: both(posted, (v) => void (v.postedInterruptDescriptorAddress = 8n)) },
  'vpid.zero': { change: secondary(Secondary.enableVpid) },
  'eptPointer.format': { change: both(secondary(Secondary.enableEpt), (v) => void (v.eptPointer |= 0x80n)) },
  'pml.ept': { change: secondary(Secondary.enablePml) },
  'pml.address': { change: both(secondary(Secondary.enableEpt, Secondary.enablePml), (v) => void (v.pmlAddress = 8n)) },
  'unrestrictedGuest.ept': { change: secondary(Secondary.unrestrictedGuest) },
  'modeBasedExecute.ept': { change: secondary(Secondary.modeBasedExecute) },
  'vmFunctions.allowed': { change: both(secondary(Secondary.enableVmFunctions, Secondary.enableEpt), (v) => void (v.vmFunctionControls = 2n)) },
  'eptpSwitching.ept': { change: both(secondary(Secondary.enableVmFunctions), (v) => void (v.vmFunctionControls = 1n)) },
  'eptpList.address': {
    change: both(secondary(Secondary.enableVmFunctions, Secondary.enableEpt), (v) => ((v.vmFunctionControls = 1n), (v.eptpListAddress = HIGH))),
  },
  'vmreadBitmap.address': { change: both(secondary(Secondary.vmcsShadowing), (v) => void (v.vmreadBitmapAddress = 8n)) },
  'vmwriteBitmap.address': { change: both(secondary(Secondary.vmcsShadowing), (v) => void (v.vmwriteBitmapAddress = HIGH)) },
  'virtualizationException.address': { change: both(secondary(Secondary.eptViolationVe), (v) => void (v.virtualizationExceptionAddress = 8n)) },
  'tscMultiplier.zero': { change: both(secondary(Secondary.useTscScaling), (v) => void (v.tscMultiplier = 0n)) },

  'exitControls.allowed': { change: (v) => void (v.exitControls = (v.exitControls & ~1) >>> 0) },
  'savePreemptionTimer.active': { change: (_, b) => b.with({ exit: ExitControl.savePreemptionTimer }) },
  'exitMsrStore.address': { change: (v) => ((v.exitMsrStoreCount = 1), (v.exitMsrStoreAddress = 8n)) },
  'exitMsrLoad.address': { change: (v) => ((v.exitMsrLoadCount = 2), (v.exitMsrLoadAddress = HIGH - 16n)) },
  'entryControls.allowed': { change: (v) => void (v.entryControls = (v.entryControls & ~1) >>> 0) },
  'entryControls.smm': { change: (_, b) => b.with({ entry: EntryControl.entryToSmm }) },
  'injection.type': { change: inject(1, 0) },
  'injection.nmiVector': { change: inject(2, 3) },
  'injection.exceptionVector': { change: inject(3, 32) },
  'injection.otherVector': { change: inject(7, 1) },
  'injection.deliversErrorCode': { change: inject(3, 14) },
  'injection.reserved': { change: inject(3, 6, 1 << 12) },
  'injection.errorCode': { change: both(inject(3, 14, 1 << 11), (v) => void (v.entryExceptionErrorCode = 0x10000)) },
  'injection.instructionLength': { change: both(inject(4, 0x80), (v) => void (v.entryInstructionLength = 16)) },
  'entryMsrLoad.address': { change: (v) => ((v.entryMsrLoadCount = 1), (v.entryMsrLoadAddress = 4n)) },
}

const host: { [id: string]: Case } = {
  'host.cr0.fixed': { change: (v) => void (v.hostCr0 &= ~0x20n) },
  'host.cr4.fixed': { change: (v) => void (v.hostCr4 &= ~0x2000n) },
  'host.cr3.width': { change: (v) => void (v.hostCr3 |= HIGH) },
  'host.sysenterEsp.canonical': { change: (v) => void (v.hostSysenterEsp = NONCANONICAL) },
  'host.sysenterEip.canonical': { change: (v) => void (v.hostSysenterEip = NONCANONICAL) },
  'host.perfGlobalCtrl.reserved': { change: (v, b) => (b.with({ exit: ExitControl.loadPerfGlobalCtrl }), (v.hostPerfGlobalCtrl = 1n)) },
  'host.pat.types': { change: (v, b) => (b.with({ exit: ExitControl.loadPat }), (v.hostPat = 0x0200_0000_0000n)) },
  'host.efer.reserved': { change: (v, b) => (b.with({ exit: ExitControl.loadEfer }), (v.hostEfer |= 2n)) },
  'host.efer.addressSpaceSize': { change: (v, b) => (b.with({ exit: ExitControl.loadEfer }), (v.hostEfer = 0x400n)) },
  'host.cs.selector': { change: (v) => void (v.hostCsSelector |= 1) },
  'host.ss.selector': { change: (v) => void (v.hostSsSelector |= 3) },
  'host.ds.selector': { change: (v) => void (v.hostDsSelector |= 4) },
  'host.es.selector': { change: (v) => void (v.hostEsSelector |= 4) },
  'host.fs.selector': { change: (v) => void (v.hostFsSelector |= 2) },
  'host.gs.selector': { change: (v) => void (v.hostGsSelector |= 1) },
  'host.tr.selector': { change: (v) => void (v.hostTrSelector |= 4) },
  'host.cs.null': { change: (v) => void (v.hostCsSelector = 0) },
  'host.tr.null': { change: (v) => void (v.hostTrSelector = 0) },
  'host.ss.null': { mode: 'protected', change: both(outside, (v) => void (v.hostSsSelector = 0)) },
  'host.fs.base': { change: (v) => void (v.hostFsBase = NONCANONICAL) },
  'host.gs.base': { change: (v) => void (v.hostGsBase = NONCANONICAL) },
  'host.gdtr.base': { change: (v) => void (v.hostGdtrBase = NONCANONICAL) },
  'host.idtr.base': { change: (v) => void (v.hostIdtrBase = NONCANONICAL) },
  'host.tr.base': { change: (v) => void (v.hostTrBase = NONCANONICAL) },
  'addressSpace.outsideIa32e': { change: (_, b) => void (b.core.state.efer = 0n) },
  'addressSpace.insideIa32e': { mode: 'protected', change: (v) => void (v.exitControls = (v.exitControls & ~ExitControl.hostAddressSpaceSize) >>> 0) },
  'addressSpace.guest64': { change: (v) => void (v.exitControls = (v.exitControls & ~ExitControl.hostAddressSpaceSize) >>> 0), also: ['addressSpace.insideIa32e'] },
  'host.cr4.pcide': { mode: 'protected', change: both(outside, (v) => void (v.hostCr4 |= 1n << 17n)) },
  'host.rip.high': { mode: 'protected', change: both(outside, (v) => void (v.hostRip |= 1n << 32n)) },
  'host.cr4.pae': { change: (v) => void (v.hostCr4 &= ~0x20n) },
  'host.rip.canonical': { change: (v) => void (v.hostRip = NONCANONICAL) },
}

const guest: { [id: string]: Case } = {
  'guest.cr0.fixed': { change: (v) => void (v.guestCr0 &= ~0x20n) },
  'guest.cr0.pagingProtected': { mode: 'real', change: (v) => void (v.guestCr0 |= 1n << 31n) },
  'guest.cr4.fixed': { change: (v) => void (v.guestCr4 |= 1n << 15n) },
  'guest.debugctl.reserved': { change: (v, b) => (b.with({ entry: EntryControl.loadDebugControls }), (v.guestDebugctl = 4n)) },
  'guest.ia32e.paging': { mode: 'real', change: (v, b) => (b.with({ entry: EntryControl.ia32eModeGuest }), (v.guestCr4 |= 0x20n)) },
  'guest.ia32e.pae': { change: (v) => void (v.guestCr4 &= ~0x20n) },
  'guest.cr4.pcide': { mode: 'protected', change: (v) => void (v.guestCr4 |= 1n << 17n) },
  'guest.cr3.width': { change: (v) => void (v.guestCr3 |= 1n << 63n) },
  'guest.dr7.high': { change: (v, b) => (b.with({ entry: EntryControl.loadDebugControls }), (v.guestDr7 |= 1n << 32n)) },
  'guest.sysenterEsp.canonical': { change: (v) => void (v.guestSysenterEsp = NONCANONICAL) },
  'guest.sysenterEip.canonical': { change: (v) => void (v.guestSysenterEip = NONCANONICAL) },
  'guest.perfGlobalCtrl.reserved': { change: (v, b) => (b.with({ entry: EntryControl.loadPerfGlobalCtrl }), (v.guestPerfGlobalCtrl = 1n)) },
  'guest.pat.types': { change: (v, b) => (b.with({ entry: EntryControl.loadPat }), (v.guestPat = 8n)) },
  'guest.efer.reserved': { change: (v, b) => (b.with({ entry: EntryControl.loadEfer }), (v.guestEfer |= 1n << 12n)) },
  'guest.efer.lma': { change: (v, b) => (b.with({ entry: EntryControl.loadEfer }), (v.guestEfer = 0n)) },
  'guest.efer.lme': { change: (v, b) => (b.with({ entry: EntryControl.loadEfer }), (v.guestEfer = 0x400n)) },
  'guest.bndcfgs.format': { change: (v, b) => (b.with({ entry: EntryControl.loadBndcfgs }), (v.guestBndcfgs = 4n)) },

  'guest.ss.rpl': { change: (v) => void (v.guestCsSelector |= 1) },
  'guest.cs.base': { change: (v) => void (v.guestCsBase = 1n << 32n) },
  'guest.ss.base': { change: (v) => void (v.guestSsBase = 1n << 32n) },
  'guest.ds.base': { change: (v) => void (v.guestDsBase = 1n << 32n) },
  'guest.es.base': { change: (v) => void (v.guestEsBase = 1n << 32n) },
  'guest.fs.base': { change: (v) => void (v.guestFsBase = NONCANONICAL) },
  'guest.gs.base': { change: (v) => void (v.guestGsBase = NONCANONICAL) },
  'guest.tr.base': { change: (v) => void (v.guestTrBase = NONCANONICAL) },
  'guest.cs.type': { change: (v) => void (v.guestCsAccessRights = 0xa091) },
  'guest.ss.type': { change: (v) => void (v.guestSsAccessRights = 0xc091) },
  'guest.cs.dplData': { mode: 'real', change: (v) => void (v.guestCsAccessRights = 0xb3) },
  'guest.cs.dplNonconforming': { change: (v) => void (v.guestCsAccessRights |= 0x20) },
  'guest.cs.dplConforming': { change: (v) => void (v.guestCsAccessRights |= 0x24) },
  'guest.ss.dplRpl': { change: (v) => ((v.guestSsAccessRights |= 0x20), (v.guestCsAccessRights |= 0x20)) },
  'guest.ss.dplReal': { mode: 'real', change: (v) => ((v.guestSsAccessRights |= 0x20), (v.guestCsAccessRights |= 0x20)) },
  'guest.cs.defaultSize': { change: (v) => void (v.guestCsAccessRights |= 0x4000) },
  'guest.tr.table': { change: (v) => void (v.guestTrSelector |= 4) },
  'guest.tr.type': { change: (v) => void (v.guestTrAccessRights = 0x83) },
  'guest.tr.usable': { change: (v) => void (v.guestTrAccessRights |= 0x10000) },

  'guest.gdtr.base': { change: (v) => void (v.guestGdtrBase = NONCANONICAL) },
  'guest.idtr.base': { change: (v) => void (v.guestIdtrBase = NONCANONICAL) },
  'guest.gdtr.limit': { change: (v) => void (v.guestGdtrLimit = 0x10000) },
  'guest.idtr.limit': { change: (v) => void (v.guestIdtrLimit = 0x10000) },
  'guest.rip.high': { mode: 'protected', change: (v) => void (v.guestRip |= 1n << 32n) },
  'guest.rip.canonical': { change: (v) => void (v.guestRip = NONCANONICAL) },
  'guest.rflags.reserved': { change: (v) => void (v.guestRflags |= 8n) },
  'guest.rflags.vm': { mode: 'v86', change: (v, b) => (b.with({ entry: EntryControl.ia32eModeGuest }), (v.guestCr4 |= 0x20n)) },
  'guest.rflags.if': { change: inject(0, 0x20) },

  'guest.activity.supported': { change: (v) => void (v.guestActivityState = 4) },
  'guest.activity.hltPrivilege': {
    change: (v) => {
      v.guestActivityState = 1
      v.guestCsSelector |= 3
      v.guestSsSelector |= 3
      v.guestCsAccessRights |= 0x60
      v.guestSsAccessRights |= 0x60
    },
  },
  'guest.activity.blocking': { change: (v) => ((v.guestActivityState = 1), (v.guestInterruptibilityState = 1), (v.guestRflags |= 0x200n)) },
  'guest.activity.injection': { change: both(inject(0, 0x20), (v) => ((v.guestActivityState = 2), (v.guestRflags |= 0x200n))) },
  'guest.interruptibility.reserved': { change: (v) => void (v.guestInterruptibilityState = 0x10) },
  'guest.interruptibility.both': { change: (v) => ((v.guestInterruptibilityState = 3), (v.guestRflags |= 0x200n)) },
  'guest.interruptibility.stiFlag': { change: (v) => void (v.guestInterruptibilityState = 1) },
  'guest.interruptibility.interrupt': { change: both(inject(0, 0x20), (v) => ((v.guestInterruptibilityState = 1), (v.guestRflags |= 0x200n))) },
  'guest.interruptibility.nmiMovSs': { change: both(inject(2, 2), (v) => void (v.guestInterruptibilityState = 2)) },
  'guest.interruptibility.smi': { change: (v) => void (v.guestInterruptibilityState = 4) },
  'guest.interruptibility.virtualNmi': {
    change: both(inject(2, 2), (v, b) => (b.with({ pin: Pin.nmiExiting | Pin.virtualNmis }), (v.guestInterruptibilityState = 8))),
  },
  'guest.pendingDebug.reserved': { change: (v) => void (v.guestPendingDebugExceptions = 0x10n) },
  'guest.pendingDebug.step': { change: (v) => ((v.guestInterruptibilityState = 2), (v.guestRflags |= 0x100n)) },
  'guest.linkPointer.address': { change: (v) => void (v.vmcsLinkPointer = 0x42008n), also: ['guest.linkPointer.revision'] },
  'guest.linkPointer.revision': { change: (v) => void (v.vmcsLinkPointer = 0x50000n) },
  'guest.linkPointer.current': { change: (v) => void (v.vmcsLinkPointer = BigInt(v.address)) },
}

for (const [name, Name] of [['cs', 'Cs'], ['ss', 'Ss'], ['ds', 'Ds'], ['es', 'Es'], ['fs', 'Fs'], ['gs', 'Gs']] as const) {
  const [base, limit, rights, selector] = [`guest${Name}Base`, `guest${Name}Limit`, `guest${Name}AccessRights`, `guest${Name}Selector`] as const
  const or = (bits: number): Break => (v) => v.write(rights, v.readNumber(rights) | bits)
  const without = (bits: number): Break => (v) => v.write(rights, v.readNumber(rights) & ~bits)
  guest[`guest.${name}.v86Base`] = { mode: 'v86', change: (v) => v.write(base, v.read(base) + 1n) }
  guest[`guest.${name}.v86Limit`] = { mode: 'v86', change: (v) => v.write(limit, 0xfffe) }
  guest[`guest.${name}.v86Rights`] = { mode: 'v86', change: or(0x1000) }
  guest[`guest.${name}.descriptorType`] = { change: without(0x10) }
  guest[`guest.${name}.present`] = { change: without(0x80) }
  guest[`guest.${name}.reserved`] = { change: or(0x100) }
  guest[`guest.${name}.granularity`] = { change: without(0x8000) }
  if (name === 'cs' || name === 'ss') continue
  guest[`guest.${name}.accessed`] = { change: without(1) }
  guest[`guest.${name}.readable`] = { change: (v) => v.write(rights, 0xc099) }
  guest[`guest.${name}.dpl`] = { change: (v) => v.write(selector, 0x13) }
}
const ldt = (change: Break): Case => ({ change: both((v) => ((v.guestLdtrAccessRights = 0x82), (v.guestLdtrLimit = 0xff)), change) })
guest['guest.ldtr.base'] = ldt((v) => void (v.guestLdtrBase = NONCANONICAL))
guest['guest.ldtr.table'] = ldt((v) => void (v.guestLdtrSelector = 4))
guest['guest.ldtr.type'] = ldt((v) => void (v.guestLdtrAccessRights |= 1))
for (const [name, Name] of [['tr', 'Tr'], ['ldtr', 'Ldtr']] as const) {
  const rights = `guest${Name}AccessRights` as const
  const made = (change: Break): Case => (name === 'ldtr' ? ldt(change) : { change })
  guest[`guest.${name}.descriptorType`] = made((v) => v.write(rights, v.readNumber(rights) | 0x10))
  guest[`guest.${name}.present`] = made((v) => v.write(rights, v.readNumber(rights) & ~0x80))
  guest[`guest.${name}.reserved`] = made((v) => v.write(rights, v.readNumber(rights) | 0x20000))
  guest[`guest.${name}.granularity`] = made((v) => v.write(`guest${Name}Limit`, 0x100000))
}
for (const n of [0, 1, 2, 3] as const) {
  guest[`guest.pdpte${n}.field`] = { mode: 'pae', change: both(secondary(Secondary.enableEpt), (v) => v.write(`guestPdpte${n}`, 3n)) }
  guest[`guest.pdpte${n}.memory`] = { mode: 'pae', change: (_, b) => b.poke64(0x44000 + 8 * n, 3n) }
}

const cases = { ...controls, ...host, ...guest }

describe('VM-entry checks', () => {
  beforeAll(() => void bench.prepare())

  it('have distinct names and sections, and a case each', () => {
    const ids = all.map((check) => check.id)
    expect(new Set(ids).size).toBe(ids.length)
    expect(Object.keys(cases).sort()).toEqual([...ids].sort())
    for (const check of all) {
      expect(check.section).toMatch(/^26\.[23](\.\d)+$/)
      expect(check.fields.length).toBeGreaterThan(0)
    }
  })

  it.each(['ia32e', 'protected', 'pae', 'v86', 'real'] as const)('all hold for a valid %s guest', (mode) => {
    bench.prepare(mode)
    expect(failing()).toEqual([])
  })

  it.each(Object.entries(cases))('%s fails alone', (id, { mode = 'ia32e', change, also = [] }) => {
    bench.prepare(mode)
    change(bench.vmcs, bench)
    // Controls that this processor does not have may be refused for that, too.
    const found = failing().filter((x) => x === id || !x.endsWith('Controls.allowed'))
    expect(found.sort()).toEqual([id, ...also].sort())
  })
})

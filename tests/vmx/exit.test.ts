// VM exits: information fields, saved guest state, MSR lists, host state, VMX aborts.

import { beforeEach, describe, expect, it } from 'vitest'
import { GUEST, GuestBench, EntryControl, ExitControl, LISTS, Pin, Primary, Secondary } from './guest-bench.ts'

const b = new GuestBench()
const VALID = 2 ** 31
const HLT = 'exit c'
const VMCALL = 'exit 12'
const at = (n: number): bigint => BigInt(GUEST + n)

beforeEach(() => void b.prepare())

describe('host state', () => {
  it('has fixed values where the VMCS has none', () => {
    b.place('mov ax, 20h\n sub rsp, 10h\n std\n vmcall')
    const v = b.vmcs
    v.hostFsSelector = 0
    v.hostFsBase = 0x1234_5678_9000n
    v.hostGsBase = 0xffff_8000_0000_0000n
    v.hostEsSelector = 0
    v.hostTrSelector = 0x48
    v.guestLdtrAccessRights = 0x82
    v.guestLdtrSelector = 0x30
    v.guestFsLimit = 0xffff
    v.guestFsAccessRights = 0x93
    v.hostSysenterCs = 0x77
    v.hostSysenterEip = 0x88n
    expect(b.go()).toBe(VMCALL)
    const s = b.core.state
    expect([0, 1, 2, 3, 4, 5, 6, 7].map((n) => s.segSelector.get(n))).toEqual([0, 8, 0x10, 0x10, 0, 0x10, 0, 0x48])
    expect([1, 2].map((n) => s.segRights.get(n))).toEqual([0xa09b, 0xc093])
    expect([0, 4, 6].map((n) => s.segRights.get(n) >> 16)).toEqual([1, 1, 1])
    expect([s.segLimit.get(4), s.segLimit.get(7), s.gdtrLimit, s.idtrLimit, s.segRights.get(7)]).toEqual([0xffffffff, 0x67, 0xffff, 0xffff, 0x8b])
    expect([s.segBase.get(4), s.segBase.get(5)]).toEqual([0x1234_5678_9000n, 0xffff_8000_0000_0000n])
    expect([b.core.rflags(), s.dr.get(7), s.efer, s.sysenterCs, s.sysenterEip]).toEqual([2n, 0x400n, 0x500n, 0x77n, 0x88n])
    expect(s.gpr.get(4)).toBe(0x38000n)
  })

  it('makes PAE and long mode of a 64-bit host, whatever the guest was', () => {
    b.prepare('real')
    b.place('hlt', 16)
    b.with({ primary: Primary.hltExiting })
    expect(b.go()).toBe(HLT)
    const s = b.core.state
    expect([s.cr0 & 0x80000001n, s.cr4, s.efer]).toEqual([0x80000001n, 0x2020n, 0x500n])
    expect(b.vmcs.entryControls & EntryControl.ia32eModeGuest).toBe(0)
    expect(b.core.mode64).toBe(true)
  })

  it('comes back to a 32-bit host with PAE paging, or aborts over its PDPTEs', () => {
    for (const [entry, indicator] of [[0n, 0], [3n, 2]] as const) {
      b.prepare('protected')
      b.place('vmcall', 32)
      const v = b.vmcs
      const s = b.core.state
      s.efer = 0n
      s.cr3 = 0x44000n
      s.segRights.set(1, 0xc09b)
      b.core.memory.loadPdptes(s.cr3)
      b.core.mmu.flushAll()
      b.core.modeChanged()
      v.exitControls = (v.exitControls & ~ExitControl.hostAddressSpaceSize) >>> 0
      v.hostCr3 = 0x44000n
      b.poke64(0x44008, 0n)
      b.place('vmcall', 32)
      b.poke64(0x44008, 0n)
      expect(b.vmx.mode).toBe('root')
      if (entry !== 0n) b.poke64(0x44008, entry)
      b.run('vmlaunch', 32)
      expect(v.abortIndicator).toBe(indicator)
      expect([b.vmx.aborted, s.activity]).toEqual(indicator ? [true, 2] : [false, 1])
      expect([s.efer, s.segRights.get(1)]).toEqual([0n, 0xc09b])
    }
  })
})

describe('saved guest state', () => {
  it('is what the guest left', () => {
    b.place(
      'mov ax, 28h\n or ax, 3\n mov fs, ax\n mov rsp, 12345h\n mov eax, 21000h\n mov rbx, cr3\n mov cr3, rbx\n sti\n nop\n stc\n vmcall',
    )
    const v = b.vmcs
    v.guestGsBase = 0xffff_ffff_8000_0000n
    v.guestSsAccessRights = 0x10000
    v.guestEsAccessRights = 0x1c093
    expect(b.go()).toBe(VMCALL)
    expect([v.guestFsSelector, v.guestFsAccessRights, v.guestFsLimit]).toEqual([0x2b, 0xc0f3, 0xffffffff])
    expect([v.guestRsp, v.guestRflags, v.guestGsBase, v.guestCr3]).toEqual([0x12345n, 0x207n, 0xffff_ffff_8000_0000n, 0x20000n])
    expect([v.guestSsAccessRights & 0x10060, v.guestEsAccessRights & 0x10000]).toEqual([0x10000, 0x10000])
    expect([v.guestInterruptibilityState, v.guestActivityState, v.guestPendingDebugExceptions]).toEqual([0, 0, 0n])
  })

  it('tells blocking by STI and by MOV SS, the latter with the single step it holds back', () => {
    b.with({ primary: Primary.hltExiting })
    b.place('sti\n hlt')
    expect(b.go()).toBe(HLT)
    expect([b.vmcs.guestInterruptibilityState, b.vmcs.guestRip]).toEqual([1, at(1)])
    b.vmcs.guestRip += 1n
    b.prepare()
    b.place('mov eax, ss\n mov ss, eax\n cpuid')
    b.vmcs.exceptionBitmap = 2
    expect(b.go()).toBe('exit a')
    expect([b.vmcs.guestInterruptibilityState, b.vmcs.guestPendingDebugExceptions]).toEqual([2, 0n])
    b.prepare()
    b.place('mov ss, edi\n cpuid')
    b.core.state.gpr.set(7, 0x10n)
    b.vmcs.guestRflags = 0x102n
    expect(b.go()).toBe('exit a')
    expect([b.vmcs.guestInterruptibilityState, b.vmcs.guestPendingDebugExceptions]).toEqual([2, 0x4000n])
    expect(b.go('vmresume')).toBe('exit a')
  })

  it('does not let the guest’s TF trap its host', () => {
    b.place('cpuid')
    b.vmcs.guestRflags = 0x10102n
    expect(b.go()).toBe('exit a')
    expect(b.vmcs.guestRflags).toBe(0x102n)
    expect(b.core.state.pendingDebug).toBe(0)
  })

  it('includes PAT, EFER, debug registers and the timer by their controls', () => {
    b.with({
      pin: Pin.activatePreemptionTimer,
      entry: EntryControl.loadDebugControls | EntryControl.loadEfer,
      exit: ExitControl.savePat | ExitControl.saveEfer | ExitControl.saveDebugControls | ExitControl.savePreemptionTimer,
    })
    const v = b.vmcs
    v.guestEfer = 0xd01n
    v.guestDr7 = 0x401n
    v.preemptionTimerValue = 10_000
    v.guestPat = 0n
    b.place('nop\n vmcall')
    expect(b.go()).toBe(VMCALL)
    expect([v.guestEfer, v.guestDr7, v.guestPat]).toEqual([0xd01n, 0x401n, 0x0007040600070406n])
    expect(v.preemptionTimerValue).toBeGreaterThan(9_900)
    expect(v.preemptionTimerValue).toBeLessThanOrEqual(10_000)
  })

  it('includes PDPTEs under EPT', () => {
    b.prepare('pae')
    b.with({ secondary: Secondary.enableEpt })
    const v = b.vmcs
    v.guestPdpte0 = 0x22001n
    v.guestPdpte2 = 0x5000n
    b.poke64(0x44008, 0x9000n)
    b.place('mov eax, cr3\n mov cr3, eax\n vmcall', 32)
    expect(b.go()).toBe(VMCALL)
    expect([v.guestPdpte0, v.guestPdpte1, v.guestPdpte2]).toEqual([0x22001n, 0x9000n, 0n])
  })
})

describe('exit information', () => {
  it('of exceptions leaves CR2 and DR6 alone', () => {
    b.core.state.cr2 = 0x55n
    b.vmcs.exceptionBitmap = 1 << 14
    b.vmcs.idtVectoringInformation = 0x1234
    b.place('mov rbx, 8000000000h\n mov [rbx], al')
    expect(b.go()).toBe('exit 0')
    const v = b.vmcs
    expect([v.exitInterruptionInformation, v.exitInterruptionErrorCode, v.exitQualification]).toEqual([(VALID + 14 + 0x300 + 0x800) >>> 0, 2, 0x8000000000n])
    expect([v.idtVectoringInformation, v.guestRip, v.guestRflags, b.core.state.cr2]).toEqual([0, at(10), 0x10002n, 0x55n])
  })

  it('tells INT3 from INT1, with their lengths', () => {
    for (const [text, bit, information] of [['int3', 3, 0x603], ['db 0F1h', 1, 0x501]] as const) {
      b.prepare()
      b.vmcs.exceptionBitmap = 1 << bit
      b.place(`nop\n ${text}`)
      expect(b.go()).toBe('exit 0')
      expect([b.vmcs.exitInterruptionInformation, b.vmcs.exitInstructionLength, b.vmcs.guestRip]).toEqual([(VALID + information) >>> 0, 1, at(1)])
    }
  })

  it('names the event whose delivery faulted, and not one that is delivered', () => {
    b.vmcs.exceptionBitmap = 1 << 13
    b.vmcs.guestIdtrLimit = 0x1ff
    b.place('int 80h')
    expect(b.go()).toBe('exit 0')
    const v = b.vmcs
    expect([v.exitInterruptionInformation, v.exitInterruptionErrorCode]).toEqual([(VALID + 0xb0d) >>> 0, 0x402])
    expect([v.idtVectoringInformation, v.exitInstructionLength, v.guestRip]).toEqual([(VALID + 0x480) >>> 0, 2, at(0)])
    b.prepare()
    b.vmcs.exceptionBitmap = 1 << 13
    b.place('ud2')
    b.vmcs.guestIdtrLimit = 0x5f
    expect(b.go()).toBe('exit 0')
    expect([b.vmcs.idtVectoringInformation, b.vmcs.guestRip]).toEqual([(VALID + 0x306) >>> 0, at(0)])
  })

  it('is no IDT vectoring when #DF or a triple fault ends it', () => {
    b.vmcs.exceptionBitmap = 1 << 8
    b.vmcs.guestIdtrLimit = 0x4f
    b.place('mov rbx, 8000000000h\n mov [rbx], al')
    expect(b.go()).toBe('exit 0')
    expect([b.vmcs.exitInterruptionInformation, b.vmcs.idtVectoringInformation]).toEqual([(VALID + 0xb08) >>> 0, 0])
    b.prepare()
    b.vmcs.guestIdtrLimit = 0
    b.place('ud2')
    expect(b.go()).toBe('exit 2')
    expect([b.vmcs.exitInterruptionInformation, b.vmcs.idtVectoringInformation]).toEqual([0, 0])
  })

  it('says that IRET unblocked NMIs before it faulted', () => {
    b.vmcs.exceptionBitmap = 1 << 14
    b.vmcs.guestInterruptibilityState = 8
    b.place('mov rsp, 8000000000h\n iretq')
    expect(b.go()).toBe('exit 0')
    expect(b.vmcs.exitInterruptionInformation & 0x1000).toBe(0x1000)
    expect(b.vmcs.guestInterruptibilityState).toBe(0)
  })

  it('has displacements and operands of instructions', () => {
    const cases: readonly (readonly [string, number, bigint, number])[] = [
      ['sgdt [rbx+rcx*4-10h]', 0x2e, 0xffff_ffff_ffff_fff0n, 0x2 | (2 << 7) | (1 << 11) | (3 << 15) | (1 << 18) | (3 << 23)],
      ['lidt [r13+20h]', 0x2e, 0x20n, (2 << 7) | (1 << 11) | (3 << 15) | (1 << 22) | (13 << 23) | (3 << 28)],
      ['str ecx', 0x2f, 0n, (1 << 10) | (1 << 3) | (1 << 28)],
      ['vmread rbx, rsi', 0x17, 0n, (1 << 10) | (3 << 3) | (6 << 28)],
      ['vmptrld qword [fs:rax]', 0x15, 0n, (2 << 7) | (4 << 15) | (1 << 22)],
      [`vmclear qword [rel ${GUEST + 0x100}]`, 0x13, at(0x100), (2 << 7) | (3 << 15) | (1 << 22) | (1 << 27)],
      ['invept r9, [rsp]', 0x32, 0n, (2 << 7) | (2 << 15) | (1 << 22) | (4 << 23) | (9 << 28)],
    ]
    for (const [text, reason, qualification, information] of cases) {
      b.prepare()
      b.with({ secondary: Secondary.descriptorTableExiting })
      b.place(text)
      expect([text, b.go()]).toEqual([text, `exit ${reason.toString(16)}`])
      const v = b.vmcs
      expect([text, v.exitQualification, v.exitInstructionInformation.toString(16)]).toEqual([text, qualification, (information >>> 0).toString(16)])
    }
  })
})

describe('MSR lists', () => {
  const store = (...indexes: number[]): void => indexes.forEach((index, n) => (b.poke64(LISTS + 16 * n, BigInt(index)), b.poke64(LISTS + 16 * n + 8, 0n)))

  it('are stored before, and loaded behind, host state', () => {
    store(0xc0000102, 0x176, 0xc0000100)
    b.poke64(LISTS + 0x100, 0x176n)
    b.poke64(LISTS + 0x108, 0x999n)
    const v = b.vmcs
    v.exitMsrStoreAddress = BigInt(LISTS)
    v.exitMsrStoreCount = 3
    v.exitMsrLoadAddress = BigInt(LISTS + 0x100)
    v.exitMsrLoadCount = 1
    v.guestSysenterEip = 0x111n
    v.hostSysenterEip = 0x222n
    v.guestFsBase = 0x333n
    b.place('vmcall')
    b.core.state.kernelGsBase = 0x444n
    expect(b.go()).toBe(VMCALL)
    expect([b.peek64(LISTS + 8), b.peek64(LISTS + 0x18), b.peek64(LISTS + 0x28)]).toEqual([0x444n, 0x111n, 0x333n])
    expect(b.core.state.sysenterEip).toBe(0x999n)
  })

  it.each([
    ['store', 'exitMsrStoreCount', 'exitMsrStoreAddress', 0x808, 1],
    ['load', 'exitMsrLoadCount', 'exitMsrLoadAddress', 0xc0000100, 4],
  ] as const)('that fail to %s abort, and only a reset helps', (_name, count, address, index, indicator) => {
    store(index)
    b.vmcs.write(count, 1)
    b.vmcs.write(address, BigInt(LISTS))
    b.place('vmcall')
    const { vmcs } = b
    b.run('vmlaunch')
    expect([vmcs.abortIndicator, b.vmx.aborted, b.core.state.activity]).toEqual([indicator, true, 2])
    b.core.signals.nmi = b.core.signals.init = true
    b.core.attention = true
    b.core.run(b.core.time + 1000)
    expect(b.core.state.activity).toBe(2)
    b.reset()
    expect(b.vmx.aborted).toBe(false)
  })
})

describe('NMIs', () => {
  it('that exit are blocked in the host until IRET', () => {
    b.with({ pin: Pin.nmiExiting })
    b.place('again: jmp again')
    b.core.signals.nmi = true
    b.core.state.interruptibility |= 8
    expect(b.vmx.mode).toBe('root')
    expect(b.go()).toBe('exit 0')
    expect(b.vmcs.exitInterruptionInformation).toBe((VALID + 0x202) >>> 0)
    expect(b.core.state.interruptibility & 8).toBe(8)
    expect(b.vmcs.guestInterruptibilityState).toBe(0)
  })
})

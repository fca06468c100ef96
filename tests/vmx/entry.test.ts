// VM entries: failures and their names, state loading in every mode, MSR lists, event injection, pending debug exceptions, activity.

import { beforeEach, describe, expect, it } from 'vitest'
import { vmcsFields, type FieldName } from '../../src-core/arch/vmcs-fields.ts'
import { modelRegisters } from '../../src-core/cpu/model-registers.ts'
import { enter } from '../../src-core/vmx/entry.ts'
import { EntryControl, ExitControl, GUEST, GuestBench, LISTS, Pin, Primary, Secondary, type Mode } from './guest-bench.ts'

const b = new GuestBench()
const VALID = 2 ** 31
const HLT = 'exit c'
const VMCALL = 'exit 12'
const STUBS = 0x12000n

/** Handlers are HLTs 16 bytes apart: with HLT exiting the guest's RIP names the vector. */
const vectorReached = (): number => Number(b.vmcs.guestRip - STUBS) / 16
const list = (...entries: (readonly [index: number, value: bigint, reserved?: number])[]): void =>
  entries.forEach(([index, value, reserved = 0], n) => {
    b.poke64(LISTS + 16 * n, (BigInt(reserved) << 32n) | BigInt(index))
    b.poke64(LISTS + 16 * n + 8, value)
  })

beforeEach(() => void b.prepare())

describe('VMLAUNCH and VMRESUME', () => {
  it('run a guest to its VMCALL and on', () => {
    b.place('mov ebx, 1234h\n vmcall\n mov ebx, 5678h\n vmcall')
    expect(b.go()).toBe(VMCALL)
    expect(b.core.state.gpr.get(3)).toBe(0x1234n)
    expect(b.vmcs.guestRip).toBe(BigInt(GUEST + 5))
    expect(b.vmcs.exitInstructionLength).toBe(3)
    expect(b.vmcs.launched).toBe(true)
    expect(b.vmx.mode).toBe('root')
    expect(b.go('vmlaunch')).toBe('valid 4')
    b.vmcs.guestRip += 3n
    expect(b.go('vmresume')).toBe(VMCALL)
    expect(b.core.state.gpr.get(3)).toBe(0x5678n)
    expect(b.vmx.counters.entries).toBe(2)
    expect(b.vmx.counters.exits[18]).toBe(2)
  })

  it('fail with error 7 by controls, 8 by host state, and name the check', () => {
    b.vmcs.cr3TargetCount = 5
    b.vmcs.hostRip = 1n << 47n
    expect(b.go()).toBe('valid 7')
    expect(b.vmx.lastFailure).toEqual({ id: 'cr3Targets.count', section: 'SDM 3C 26.2.1.1', expected: 'at most 4', actual: 'cr3TargetCount = 5H' })
    b.vmcs.cr3TargetCount = 4
    expect(b.go()).toBe('valid 8')
    expect(b.vmx.lastFailure?.id).toBe('host.rip.canonical')
    expect(b.vmcs.launched).toBe(false)
  })

  it('leave the guest area and other exit information alone when guest state is invalid', () => {
    const v = b.vmcs
    v.guestRflags = 0x8002n
    v.guestRsp = 0x1111n
    v.exitInterruptionInformation = 0x1234
    v.idtVectoringInformation = 0x5678
    v.entryInterruptionInformation = (VALID + 6 + 0x300) >>> 0
    expect(b.go()).toBe('exit 80000021')
    expect(v.exitQualification).toBe(0n)
    expect(b.vmx.lastFailure?.id).toBe('guest.rflags.reserved')
    expect([v.guestRsp, v.guestRflags, v.exitInterruptionInformation, v.idtVectoringInformation]).toEqual([0x1111n, 0x8002n, 0x1234, 0x5678])
    expect(v.entryInterruptionInformation >>> 0).toBe((VALID + 6 + 0x300) >>> 0)
    expect(v.launched).toBe(false)
    expect(b.core.state.gpr.get(4)).toBe(0x38000n)
  })

  it('qualify invalid link pointers with 4 and PDPTEs with 2', () => {
    b.vmcs.vmcsLinkPointer = 0x50000n
    expect(b.go()).toBe('exit 80000021')
    expect(b.vmcs.exitQualification).toBe(4n)
    b.prepare('pae')
    b.poke64(0x44008, 3n)
    expect(b.go()).toBe('exit 80000021')
    expect(b.vmcs.exitQualification).toBe(2n)
    expect(b.vmx.lastFailure?.id).toBe('guest.pdpte1.memory')
  })
})

describe('guest state', () => {
  it('is loaded for 32-bit, PAE, virtual-8086 and real-mode guests', () => {
    const cases: readonly (readonly [Mode, 16 | 32, string])[] = [
      ['protected', 32, 'mov eax, cr4\n mov ebx, cs\n pushfd\n pop ecx\n vmcall'],
      ['pae', 32, 'mov eax, cr4\n mov ebx, cs\n pushfd\n pop ecx\n vmcall'],
      ['v86', 16, 'mov ebx, cs\n vmcall'],
      ['real', 16, 'mov eax, cr0\n mov ebx, cs\n vmcall'],
    ]
    for (const [mode, bits, text] of cases) {
      b.prepare(mode)
      b.place(text, bits)
      expect([mode, b.go()]).toEqual([mode, VMCALL])
      const s = b.core.state
      expect(s.gpr.get(3) & 0xffffn).toBe(bits === 16 ? BigInt(GUEST >> 4) : 0x18n)
      if (mode === 'pae') expect(s.gpr.get(0)).toBe(0x2020n)
      if (mode === 'protected') expect([s.gpr.get(0), s.gpr.get(1)]).toEqual([0x2010n, 2n])
      if (mode === 'real') expect(s.gpr.get(0)).toBe(0x30n)
      expect(s.efer & 0x400n).toBe(0x400n)
    }
  })

  it('keeps reserved bits of CR0, CD and NW, and takes the rest', () => {
    const s = b.core.state
    s.cr0 |= 1n << 30n
    b.vmcs.guestCr0 |= (1n << 29n) | (1n << 6n) | (1n << 16n)
    b.place('mov rax, cr0\n vmcall')
    expect(b.go()).toBe(VMCALL)
    expect(s.gpr.get(0)).toBe(0xc0010031n)
    expect(s.cr0 & (1n << 30n)).toBe(1n << 30n)
  })

  it('has DR7, EFER and PAT by their controls', () => {
    b.with({ entry: EntryControl.loadDebugControls | EntryControl.loadEfer | EntryControl.loadPat, exit: ExitControl.saveDebugControls | ExitControl.loadPat })
    b.vmcs.guestDr7 = 0xd002n
    b.vmcs.guestEfer = 0x501n
    b.vmcs.guestPat = 0n
    b.vmcs.hostPat = 0x0606060606060606n
    b.place('mov rbx, dr7\n mov ecx, 0C0000080h\n vmcall')
    expect(b.go()).toBe(VMCALL)
    expect(b.core.state.gpr.get(3)).toBe(0x402n)
    expect(b.vmcs.guestDr7).toBe(0x402n)
    expect(b.core.state.dr.get(7)).toBe(0x400n)
    expect(b.core.state.efer).toBe(0x501n)
    expect(modelRegisters(b.core).pat).toBe(0x0606060606060606n)
  })

  it('loads MSRs in order', () => {
    list([0xc0000102, 0x1111n], [0x174, 8n], [0xc0000102, 0x2222n])
    b.vmcs.entryMsrLoadAddress = BigInt(LISTS)
    b.vmcs.entryMsrLoadCount = 3
    b.place('vmcall')
    expect(b.go()).toBe(VMCALL)
    expect(b.core.state.kernelGsBase).toBe(0x2222n)
    expect(b.vmcs.guestSysenterCs).toBe(8)
  })

  it.each([
    ['FS base', [0xc0000100, 0n]], ['x2APIC', [0x808, 0n]], ['reserved bits', [0xc0000102, 0n, 1]], ['unknown', [0x12345, 0n]], ['bad value', [0xc0000102, 1n << 47n]],
    ['EFER.LME', [0xc0000080, 0x400n]],
  ] as const)('fails with reason 34 at an MSR entry: %s', (_name, bad) => {
    list([0xc0000102, 0x77n], bad)
    b.vmcs.entryMsrLoadAddress = BigInt(LISTS)
    b.vmcs.entryMsrLoadCount = 2
    b.place('vmcall')
    expect(b.go()).toBe('exit 80000022')
    expect(b.vmcs.exitQualification).toBe(2n)
    expect(b.core.state.kernelGsBase).toBe(0x77n)
    expect(b.vmx.lastFailure?.id).toBe('entryMsrLoad.entry')
    expect(b.vmcs.launched).toBe(false)
  })

  it('fails behind the recommended length of an MSR list', () => {
    for (let n = 0; n < 513; n++) list([0xc0000102, 0n])
    for (let n = 0; n < 513; n++) b.poke64(LISTS + 16 * n, 0xc0000102n)
    b.vmcs.entryMsrLoadAddress = BigInt(LISTS)
    b.vmcs.entryMsrLoadCount = 513
    expect(b.go()).toBe('exit 80000022')
    expect(b.vmcs.exitQualification).toBe(513n)
  })
})

describe('event injection', () => {
  beforeEach(() => {
    b.place('nop\n vmcall')
    b.with({ primary: Primary.hltExiting })
  })
  const inject = (type: number, vector: number, more = 0): void => void (b.vmcs.entryInterruptionInformation = (VALID + more + type * 256 + vector) >>> 0)
  const pushed = (n: number): bigint => b.peek64(Number(b.vmcs.guestRsp) + 8 * n)

  it('delivers interrupts, NMIs and exceptions before the first instruction', () => {
    for (const [type, vector] of [[0, 0x1f], [2, 2], [3, 6], [3, 1]] as const) {
      b.prepare()
      b.with({ primary: Primary.hltExiting })
      b.vmcs.guestRflags = 0x10202n
      inject(type, vector)
      expect(b.go()).toBe(HLT)
      expect(vectorReached()).toBe(vector)
      expect(pushed(0)).toBe(BigInt(GUEST))
      expect(pushed(2)).toBe(0x10202n)
      expect(b.vmcs.entryInterruptionInformation >>> 31).toBe(0)
      expect(b.core.state.dr.get(6) & 0xe00fn).toBe(0n)
    }
  })

  it('pushes the error code', () => {
    inject(3, 14, 1 << 11)
    b.vmcs.entryExceptionErrorCode = 0xabcd
    b.core.state.cr2 = 0x99n
    expect(b.go()).toBe(HLT)
    expect([vectorReached(), pushed(0), pushed(1)]).toEqual([14, 0xabcdn, BigInt(GUEST)])
    expect(b.core.state.cr2).toBe(0x99n)
  })

  it('pushes RIP behind software events', () => {
    for (const [type, vector, length] of [[4, 0x1e, 2], [5, 1, 1], [6, 3, 1], [4, 0x1e, 0]] as const) {
      b.prepare()
      b.with({ primary: Primary.hltExiting })
      inject(type, vector)
      b.vmcs.entryInstructionLength = length
      expect(b.go()).toBe(HLT)
      expect([vectorReached(), pushed(0)]).toEqual([vector, BigInt(GUEST + length)])
    }
  })

  it('is not watched by the exception bitmap, but faults on the way are, with IDT-vectoring information', () => {
    b.vmcs.exceptionBitmap = 0xffffffff
    inject(3, 6)
    expect(b.go()).toBe(HLT)
    b.prepare()
    b.vmcs.exceptionBitmap = 1 << 13
    b.vmcs.guestIdtrLimit = 0x5f
    b.vmcs.entryInstructionLength = 2
    inject(4, 0x80)
    expect(b.go()).toBe('exit 0')
    const v = b.vmcs
    expect(v.exitInterruptionInformation).toBe((VALID + 13 + 0x300 + 0x800) >>> 0)
    expect(v.exitInterruptionErrorCode).toBe(0x80 * 8 + 2)
    expect(v.idtVectoringInformation).toBe((VALID + 0x80 + 0x400) >>> 0)
    expect([v.exitInstructionLength, v.guestRip]).toEqual([2, BigInt(GUEST)])
    expect(v.guestRflags & 0x10000n).toBe(0x10000n)
  })

  it('continues with the guest’s own handler when a fault on the way is not watched', () => {
    b.vmcs.guestIdtrLimit = 0x1ff
    b.vmcs.entryInstructionLength = 2
    inject(4, 0x80)
    expect(b.go()).toBe(HLT)
    expect([vectorReached(), pushed(0), pushed(1)]).toEqual([13, BigInt(0x80 * 8 + 2), BigInt(GUEST)])
  })

  it('blocks NMIs, virtual ones with their control', () => {
    inject(2, 2)
    expect(b.go()).toBe(HLT)
    expect(b.vmcs.guestInterruptibilityState).toBe(8)
    expect(b.core.state.interruptibility & 8).toBe(8)
    b.prepare()
    b.with({ primary: Primary.hltExiting, pin: Pin.nmiExiting | Pin.virtualNmis })
    inject(2, 2)
    expect(b.go()).toBe(HLT)
    expect(b.vmcs.guestInterruptibilityState).toBe(8)
    expect(b.core.state.interruptibility & 8).toBe(0)
  })

  it('wakes a halted guest', () => {
    b.vmcs.guestActivityState = 1
    b.vmcs.guestRflags = 0x202n
    inject(0, 0x1f)
    expect(b.go()).toBe(HLT)
    expect([vectorReached(), b.vmcs.guestActivityState]).toEqual([0x1f, 0])
  })

  it('goes through the vector table of a real-mode guest', () => {
    b.prepare('real')
    b.machine.physical.view.setUint32(b.machine.physical.host(4 * 0x21), (GUEST >> 4) * 0x10000 + 0x100, true)
    b.machine.physical.load(GUEST + 0x100, Uint8Array.of(0x0f, 0x01, 0xc1))
    b.vmcs.entryInstructionLength = 2
    inject(4, 0x21)
    expect(b.go()).toBe(VMCALL)
    expect(b.vmcs.guestRip).toBe(0x100n)
    expect(b.machine.physical.read(0x7ffa, 2)).toBe(2)
  })
})

describe('what is pending after an entry', () => {
  it('is a single-step trap, delivered or watched', () => {
    b.place('nop\n vmcall')
    b.with({ primary: Primary.hltExiting })
    b.vmcs.guestPendingDebugExceptions = 0x4000n
    expect(b.go()).toBe(HLT)
    expect(vectorReached()).toBe(1)
    expect(b.core.state.dr.get(6) & 0x4000n).toBe(0x4000n)
    b.prepare()
    b.vmcs.exceptionBitmap = 2
    b.vmcs.guestPendingDebugExceptions = 0x5003n
    b.core.state.dr.set(6, 0xffff0ff0n)
    expect(b.go()).toBe('exit 0')
    expect(b.vmcs.exitQualification).toBe(0x4003n)
    expect(b.core.state.dr.get(6)).toBe(0xffff0ff0n)
    expect(b.vmcs.guestRip).toBe(BigInt(GUEST))
  })

  it('is dropped by an injected interrupt', () => {
    b.with({ primary: Primary.hltExiting })
    b.vmcs.guestPendingDebugExceptions = 0x4000n
    b.vmcs.guestRflags = 0x202n
    b.vmcs.entryInterruptionInformation = (VALID + 0x1f) >>> 0
    expect(b.go()).toBe(HLT)
    expect([vectorReached(), b.core.state.dr.get(6) & 0x4000n]).toEqual([0x1f, 0n])
  })

  it('is a preemption timer at 0, and MTF', () => {
    b.place('nop\n vmcall')
    b.with({ pin: Pin.activatePreemptionTimer })
    expect(b.go()).toBe('exit 34')
    expect(b.vmcs.guestRip).toBe(BigInt(GUEST))
    b.prepare()
    b.place('nop\n vmcall')
    b.vmcs.entryInterruptionInformation = (VALID + 0x700) >>> 0
    expect(b.go()).toBe('exit 25')
    expect(b.vmcs.guestRip).toBe(BigInt(GUEST))
  })

  it('is nothing of the host’s single step', () => {
    b.place('nop\n nop\n vmcall')
    const outcome = b.run('pushfq\n or qword [rsp], 100h\n popfq\n vmlaunch')
    expect(outcome.vector).toBeUndefined()
    expect(b.vmcs.exitReason).toBe(18)
  })
})

describe('any VMCS', () => {
  it('enters, exits, or fails with a named check', () => {
    let seed = 12345
    const random = (n: number): number => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) % n
    const names = Object.keys(vmcsFields) as FieldName[]
    const modes: readonly Mode[] = ['ia32e', 'protected', 'pae', 'v86', 'real']
    const seen = { entered: 0, exited: 0, failed: 0 }
    for (let round = 0; round < 1500; round++) {
      b.prepare(modes[round % modes.length])
      b.machine.physical.load(GUEST, Uint8Array.of(0x0f, 0x01, 0xc1))
      if (random(2)) b.with({ secondary: [Secondary.enableEpt, Secondary.enableVpid, Secondary.enableEpt | Secondary.unrestrictedGuest][random(3)]! })
      for (let n = random(4) + 1; n > 0; n--) {
        const name = names[random(names.length)]!
        const old = b.vmcs.read(name)
        b.vmcs.write(name, BigInt.asUintN(64, random(2) ? old ^ (1n << BigInt(random(64))) : BigInt(random(0x10000)) * BigInt(random(2 ** 31))))
      }
      const { lastFailure } = b.vmx
      expect(lastFailure).toBeUndefined()
      b.core.delivering = false
      const result = enter(b.core, b.vmx, true)
      if (b.vmx.counters.failedEntries > 0) {
        expect([0, 7, 8]).toContain(result)
        expect(b.vmx.mode).toBe('root')
        expect(b.vmx.lastFailure?.id).toMatch(/^[a-zA-Z0-9]+(\.[a-zA-Z0-9]+)+$/)
        seen.failed++
        continue
      }
      for (let n = 0; n < 20 && b.vmx.mode === 'nonRoot' && !b.vmx.aborted; n++) b.core.run(b.core.time + 50)
      if (b.vmx.mode === 'nonRoot') seen.entered++
      else seen.exited++
    }
    expect(seen.failed).toBeGreaterThan(100)
    expect(seen.exited).toBeGreaterThan(100)
  }, 120_000)
})

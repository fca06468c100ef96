// Capability MSRs tell what there is, consistently (SDM 3C appendix A), and VT-x stays out of sight without the option.

import { describe, expect, it } from 'vitest'
import { fieldIndex, vmcsFields, type FieldName } from '../../src-core/arch/vmcs-fields.ts'
import { Default1, ExitControl, Pin, Primary, Secondary, VmxMsr } from '../../src-core/arch/vmx.ts'
import { cpuidLeaf } from '../../src-core/cpu/cpuid.ts'
import { readMsr, writeMsr } from '../../src-core/cpu/msr.ts'
import {
  allowedEntry, allowedExit, allowedPin, allowedPrimary, allowedSecondary, capabilityMsr, CR4_FIXED1, eptVpid, fieldExists, isAllowed, isValidEptPointer,
} from '../../src-core/vmx/capabilities.ts'
import { REVISION } from '../../src-core/vmx/vmcs.ts'
import { Monitor } from './monitor.ts'

const get = (name: keyof typeof VmxMsr): bigint => capabilityMsr(VmxMsr[name])!
const low = (v: bigint): number => Number(v & 0xffff_ffffn)
const high = (v: bigint): number => Number(v >> 32n)
const monitor = new Monitor()

describe('the registers', () => {
  it('IA32_VMX_BASIC: revision, 4-KiB regions, all addresses, write-back, INS/OUTS information, TRUE MSRs', () => {
    const v = get('basic')
    expect(low(v)).toBe(REVISION)
    expect((v >> 32n) & 0x1fffn).toBe(4096n)
    expect([(v >> 48n) & 1n, (v >> 49n) & 1n, (v >> 50n) & 15n, (v >> 54n) & 1n, (v >> 55n) & 1n, v >> 56n]).toEqual([0n, 0n, 6n, 1n, 1n, 0n])
  })

  it.each([
    ['pin', 'truePin', Default1.pin, 0],
    ['primary', 'truePrimary', Default1.primary, Primary.cr3LoadExiting | Primary.cr3StoreExiting],
    ['exit', 'trueExit', Default1.exit, ExitControl.saveDebugControls],
    ['entry', 'trueEntry', Default1.entry, 4],
  ] as const)('%s controls: legacy and TRUE agree', (name, trueName, default1, relaxed) => {
    const [legacy, exact] = [get(name), get(trueName)]
    expect(high(legacy)).toBe(high(exact))
    expect(low(legacy)).toBe((low(exact) | default1) >>> 0)
    expect(low(legacy)).toBe(default1)
    expect((default1 & ~low(exact)) >>> 0).toBe(relaxed)
    expect((low(exact) & ~high(exact)) >>> 0).toBe(0)
  })

  it('secondary controls: none must be 1; what is not done is not allowed', () => {
    const v = get('secondary')
    expect(low(v)).toBe(0)
    const { virtualizeApicAccesses, virtualizeX2apicMode, apicRegisterVirtualization, virtualInterruptDelivery, vmcsShadowing } = Secondary
    expect(high(v) & (virtualizeApicAccesses | virtualizeX2apicMode | apicRegisterVirtualization | virtualInterruptDelivery | vmcsShadowing)).toBe(0)
    expect(high(get('pin')) & Pin.processPostedInterrupts).toBe(0)
    expect(high(get('primary')) & Primary.activateTertiaryControls).toBe(0)
    expect([capabilityMsr(VmxMsr.tertiary), capabilityMsr(VmxMsr.exit2), capabilityMsr(0x47f), capabilityMsr(0x494)]).toEqual([undefined, undefined, undefined, undefined])
  })

  it('has what Linux needs of a processor before it loads its hypervisor', () => {
    const wanted = (name: 'pin' | 'primary' | 'exit' | 'entry', bits: number[]): void => {
      for (const n of bits) expect([name, n, Math.floor(high(get(name)) / 2 ** n) % 2]).toEqual([name, n, 1])
    }
    wanted('pin', [0, 3])
    wanted('primary', [2, 3, 7, 9, 10, 11, 15, 16, 19, 20, 23, 24, 29])
    wanted('exit', [2, 9, 15])
    wanted('entry', [2, 9])
    expect((get('basic') >> 50n) & 15n).toBe(6n)
    // in pairs: entry and exit sides of PAT and EFER
    expect([high(get('exit')) & (1 << 18), high(get('exit')) & (1 << 19), high(get('entry')) & (1 << 14)].every((b) => b !== 0)).toBe(true)
    expect([high(get('exit')) & (1 << 20), high(get('exit')) & (1 << 21), high(get('entry')) & (1 << 15)].every((b) => b !== 0)).toBe(true)
  })

  it('IA32_VMX_MISC: reserved bits 0, activity states, at most 256 CR3 targets, LMA stored with unrestricted guests', () => {
    const v = get('misc')
    expect(v & ((1n << 31n) | (0x3fn << 9n))).toBe(0n)
    expect((v >> 6n) & 7n).toBe(7n)
    expect((v >> 16n) & 0x1ffn).toBe(4n)
    expect((v >> 5n) & 1n).toBe(allowedSecondary.may & Secondary.unrestrictedGuest ? 1n : 0n)
    expect(v >> 32n).toBe(0n)
  })

  it('fixed bits of CR0 and CR4', () => {
    expect([get('cr0Fixed0'), get('cr0Fixed1'), get('cr4Fixed0')]).toEqual([0x80000021n, 0xffffffffn, 0x2000n])
    expect(get('cr4Fixed1')).toBe(CR4_FIXED1)
    expect(get('cr4Fixed1') & 0x2000n).toBe(0x2000n)
  })

  it('EPT and VPID: only bits that exist, types only with their instruction', () => {
    const defined = [0, 6, 8, 14, 16, 17, 20, 21, 22, 25, 26, 32, 40, 41, 42, 43].reduce((v, n) => v | (1n << BigInt(n)), 0n)
    expect(eptVpid & ~defined).toBe(0n)
    expect(get('eptVpidCap')).toBe(eptVpid)
    expect([(eptVpid >> 6n) & 1n, (eptVpid >> 14n) & 1n, (eptVpid >> 20n) & 1n, (eptVpid >> 26n) & 1n, (eptVpid >> 32n) & 1n]).toEqual([1n, 1n, 1n, 1n, 1n])
  })
})

describe('fields', () => {
  it('IA32_VMX_VMCS_ENUM is the highest index that VMREAD takes', () => {
    const highest = Math.max(...(Object.keys(vmcsFields) as FieldName[]).filter(fieldExists).map((name) => fieldIndex(vmcsFields[name])))
    expect(get('vmcsEnum')).toBe(BigInt(highest << 1))
    expect(get('vmcsEnum')).toBeGreaterThanOrEqual(0x2an)
  })

  it('exist with their controls', () => {
    const both = (name: FieldName, exists: boolean): void => expect([name, fieldExists(name)]).toEqual([name, exists])
    both('guestRip', true)
    both('eptPointer', (allowedSecondary.may & Secondary.enableEpt) !== 0)
    both('vpid', (allowedSecondary.may & Secondary.enableVpid) !== 0)
    both('tscMultiplier', (allowedSecondary.may & Secondary.useTscScaling) !== 0)
    both('preemptionTimerValue', (allowedPin.may & Pin.activatePreemptionTimer) !== 0)
    for (const name of ['apicAccessAddress', 'eoiExitBitmap0', 'vmreadBitmapAddress', 'guestInterruptStatus', 'postedInterruptDescriptorAddress', 'tertiaryControls', 'guestSCet', 'hostPkrs', 'guestBndcfgs'] as const) both(name, false)
  })
})

describe('rules', () => {
  it('a control may be 0 or 1 as its allowed settings say', () => {
    expect(isAllowed(allowedPin.must, allowedPin)).toBe(true)
    expect(isAllowed(allowedPin.may, allowedPin)).toBe(true)
    expect(isAllowed(allowedPin.must & ~2, allowedPin)).toBe(false)
    expect(isAllowed(allowedPin.must | Pin.processPostedInterrupts, allowedPin)).toBe(false)
    expect(isAllowed(allowedPrimary.may | 0, allowedPrimary)).toBe(true)
    expect(isAllowed((allowedPrimary.must | Primary.activateSecondaryControls) >>> 0, allowedPrimary)).toBe(true)
    expect([isAllowed(0, allowedExit), isAllowed(0, allowedEntry), isAllowed(0, allowedSecondary)]).toEqual([false, false, true])
  })

  it('an EPT pointer: type UC or WB, four levels, reserved bits, width', () => {
    const width = 46
    for (const good of [0x1000_001en, 0x1000_0018n, 0x1000_005en, 0x3fff_ffff_f01en]) expect([good, isValidEptPointer(good, width)]).toEqual([good, true])
    for (const bad of [0x1000_0006n, 0x1000_0026n, 0x1000_001fn, 0x1000_001cn, 0x1000_009en, 0x1000_011en, 0x1000_081en, 1n << 46n | 0x1en, 1n << 63n | 0x1en]) {
      expect([bad, isValidEptPointer(bad, width)]).toEqual([bad, false])
    }
  })
})

describe('seen by software', () => {
  it('RDMSR reads them all and WRMSR none', () => {
    for (const index of Object.values(VmxMsr)) {
      const value = capabilityMsr(index)
      expect([index, readMsr(monitor.core, index)]).toEqual([index, value])
      expect([index, writeMsr(monitor.core, index, value ?? 0n)]).toEqual([index, false])
      const { result } = monitor.run(`mov ecx, ${index}\n rdmsr`)
      expect([index, result.startsWith('#13')]).toEqual([index, value === undefined])
      if (value !== undefined) expect([Number(monitor.core.state.gpr.get(0)), Number(monitor.core.state.gpr.get(2))]).toEqual([low(value), high(value)])
    }
    expect(cpuidLeaf(monitor.core, 1, 0)[2] & 0x20).toBe(0x20)
  })

  it('without the option: no CPUID bit, no MSR, no instruction, no CR4.VMXE, no bit in IA32_FEATURE_CONTROL', () => {
    const plain = new Monitor({ vmx: false })
    expect(cpuidLeaf(plain.core, 1, 0)[2] & 0x20).toBe(0)
    for (const index of Object.values(VmxMsr)) expect([index, plain.run(`mov ecx, ${index}\n rdmsr`).result]).toEqual([index, '#13(0)'])
    for (const text of ['vmxoff', 'vmcall', 'vmlaunch', 'vmresume', 'vmfunc', 'vmread rax, rbx', 'vmwrite rax, rbx', 'vmxon qword [rsp]', 'vmclear qword [rsp]', 'vmptrld qword [rsp]', 'vmptrst qword [rsp]', 'invept rax, oword [rsp]', 'invvpid rax, oword [rsp]']) {
      expect([text, plain.run(text).result]).toEqual([text, '#6(0)'])
    }
    expect(plain.run('mov rax, cr4\n or eax, 2000h\n mov cr4, rax').result).toBe('#13(0)')
    expect(plain.run('mov ecx, 3Ah\n mov edx, 0\n mov eax, 5\n wrmsr').result).toBe('#13(0)')
    expect(plain.run('mov ecx, 3Ah\n mov edx, 0\n mov eax, 1\n wrmsr').result).toBe('ok')
  })
})

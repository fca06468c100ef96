// Which instructions and exceptions leave a guest, by every control that says so; what they tell; what the guest sees otherwise (SDM 3C 25).

import { beforeAll, describe, expect, it } from 'vitest'
import { Pin, Primary, Secondary } from '../../src-core/arch/vmx.ts'
import { Guest, GUEST, GUEST_STACK } from './guest.ts'
import { DATA } from './monitor.ts'

let g: Guest
beforeAll(() => {
  g = new Guest()
})

const left = (controls: Parameters<Guest['prepare']>[0], text: string, fields: Parameters<Guest['prepare']>[1] = {}): string => {
  g.prepare(controls, fields)
  return g.leave(`${text}\n vmcall`)
}

describe('instructions', () => {
  it.each([
    ['cpuid', 'cpuid'], ['invd', 'invd'], ['vmcall', 'vmcall'], ['xor ecx, ecx\n xor edx, edx\n mov eax, 1\n xsetbv', 'xsetbv'],
  ])('%s always leaves', (text, reason) => {
    const osxsave = text.includes('xsetbv') ? { guestCr4: 0x42020n } : {}
    expect(left({}, text, osxsave).split(' ')[0]).toBe(reason)
  })

  it.each([
    ['hlt', Primary.hltExiting, 'hlt'],
    ['invlpg [abs 1234h]', Primary.invlpgExiting, 'invlpg'],
    ['rdpmc', Primary.rdpmcExiting, 'rdpmc'],
    ['rdtsc', Primary.rdtscExiting, 'rdtsc'],
    ['pause', Primary.pauseExiting, 'pause'],
    ['mov rax, dr0', Primary.movDrExiting, 'movDr'],
    ['mov cr3, rax', Primary.cr3LoadExiting, 'controlRegisterAccess'],
    ['mov rbx, cr3', Primary.cr3StoreExiting, 'controlRegisterAccess'],
    ['mov cr8, rdi', Primary.cr8LoadExiting, 'controlRegisterAccess'],
    ['mov rbx, cr8', Primary.cr8StoreExiting, 'controlRegisterAccess'],
    ['in al, 80h', Primary.unconditionalIoExiting, 'ioInstruction'],
  ])('%s leaves when its control says so', (text, control, reason) => {
    const before = `xor edi, edi\n xor ecx, ecx\n mov eax, ${0x20000}\n`
    expect(left({ primary: control | Primary.useMsrBitmaps }, before + text, { msrBitmaps: DATA }).split(' ')[0]).toBe(reason)
    if (text === 'hlt' || text === 'rdpmc') return
    expect(left({ primary: Primary.useMsrBitmaps }, before + text, { msrBitmaps: DATA }).split(' ')[0]).toBe('vmcall')
  })

  it.each([
    ['wbinvd', Secondary.wbinvdExiting, 'wbinvd 0'],
    ['sgdt [abs 60000h]', Secondary.descriptorTableExiting, 'gdtrOrIdtrAccess 60000'],
    ['lidt [rbx + 8]', Secondary.descriptorTableExiting, 'gdtrOrIdtrAccess 8'],
    ['sldt eax', Secondary.descriptorTableExiting, 'ldtrOrTrAccess 0'],
    ['lldt cx', Secondary.descriptorTableExiting, 'ldtrOrTrAccess 0'],
  ])('%s leaves by a secondary control', (text, control, expected) => {
    expect(left({ secondary: control }, `xor ecx, ecx\n mov rbx, 60000h\n sidt [rbx + 8]\n ${text}`.replace('sidt [rbx + 8]\n', control === Secondary.descriptorTableExiting ? '' : 'sidt [rbx + 8]\n'))).toContain(expected)
    expect(left({ secondary: 0 }, `xor ecx, ecx\n mov rbx, 60000h\n sidt [rbx + 8]\n ${text}`)).toContain('vmcall')
  })

  it('RDTSCP and INVPCID exist by their controls', () => {
    const ud = { exceptionBitmap: 1 << 6 }
    expect(left({ secondary: 0 }, 'rdtscp', ud)).toBe('exceptionOrNmi 0 @0')
    expect(left({ secondary: Secondary.enableRdtscp, primary: Primary.rdtscExiting }, 'rdtscp', ud)).toBe('rdtscp 0 @0')
    expect(left({ secondary: Secondary.enableRdtscp }, 'rdtscp', ud)).toContain('vmcall')
    expect(left({ secondary: 0 }, 'xor eax, eax\n invpcid rax, [abs 60000h]', ud)).toBe('exceptionOrNmi 0 @2')
    expect(left({ secondary: Secondary.enableInvpcid, primary: Primary.invlpgExiting }, 'xor eax, eax\n invpcid rax, [rbp + 44h]', ud)).toBe('invpcid 44 @2')
    expect(left({ secondary: Secondary.enableInvpcid }, 'mov eax, 2\n invpcid rax, [abs 60100h]', ud)).toContain('vmcall')
  })

  it('leave with their length, at themselves, and nothing done', () => {
    g.prepare({ primary: Primary.rdtscExiting })
    g.code('mov eax, 55h\n db 0x66\n rdtsc\n vmcall')
    const { at, length } = g.enter()
    expect([at, length, g.gpr(0)]).toEqual([5, 3, 0x55n])
    g.skip()
    expect(g.enter()).toMatchObject({ reason: 'vmcall', at: 8, length: 3 })
  })

  it('of VMX leave with the displacement and the operands (table 27-13)', () => {
    g.prepare()
    expect(g.leave('vmptrld [rax + 2*rcx + 1234h]')).toBe('vmptrld 1234 @0')
    // 64-bit addresses, DS, index RCX, base RAX, scale 1
    expect(g.vmcs.exitInstructionInformation).toBe((1 | (2 << 7) | (3 << 15) | (1 << 18)) >>> 0)
    g.prepare()
    expect(g.leave('vmread rbx, rdi')).toBe('vmread 0 @0')
    expect(g.vmcs.exitInstructionInformation).toBe(((3 << 3) | (1 << 10) | (7 << 28)) >>> 0)
    g.prepare()
    expect(g.leave('vmlaunch')).toBe('vmlaunch 0 @0')
    g.prepare()
    expect(g.leave('db 0xf3, 0x0f, 0xc7, 0x35, 5, 0, 0, 0')).toBe(`vmxon ${(GUEST + 8 + 5).toString(16)} @0`)
  })

  it('fault before they leave where the SDM says so (25.1.1)', () => {
    const gp = { exceptionBitmap: (1 << 13) | (1 << 6) }
    const user = { ...gp, guestCsSelector: 0x23, guestCsAccessRights: 0xa0fb, guestSsSelector: 0x2b, guestSsAccessRights: 0xc0f3 }
    for (const text of ['hlt', 'mov cr3, rax', 'invd', 'rdmsr']) expect([text, left({ primary: Primary.hltExiting }, text, user)]).toEqual([text, 'exceptionOrNmi 0 @0'])
    expect(g.vmcs.exitInterruptionInformation).toBe(0x80000b0d)
    expect(left({ primary: Primary.movDrExiting }, 'mov rax, dr4', { ...user, guestCr4: 0x2028n })).toBe('movDr 14 @0')
    expect(left({}, 'cpuid', user)).toBe('cpuid 0 @0')
    expect(left({}, 'rdmsr', gp)).toBe('rdmsr 0 @0')
  })
})

describe('control registers (24.6.6, 24.6.7, 25.3)', () => {
  it('bits of the monitor read as their shadows, and keep what they are', () => {
    const fields = { cr0GuestHostMask: 0x20n | 8n, cr0ReadShadow: 8n, cr4GuestHostMask: 0x2000n, cr4ReadShadow: 0n }
    expect(left({}, 'mov rbx, cr0\n mov rcx, cr4\n smsw dx\n lea rax, [rbx + 2]\n xor rax, 2\n mov cr0, rax\n mov rsi, rcx\n mov cr4, rsi', fields)).toContain('vmcall')
    expect([g.gpr(3), g.gpr(1), g.gpr(2) & 0xffffn]).toEqual([0x8000001bn, 0x20n, 0x1bn])
    expect([g.vmcs.guestCr0 & 0x28n, g.vmcs.guestCr4]).toEqual([0x20n, 0x2020n])
  })

  it('a write leaves when it differs from the shadow under the mask', () => {
    const fields = { cr0GuestHostMask: 8n, cr0ReadShadow: 0n, cr4GuestHostMask: 0x80n, cr4ReadShadow: 0x80n }
    expect(left({}, 'mov rax, cr0\n or al, 8\n mov cr0, rax', fields)).toBe('controlRegisterAccess 0 @5')
    expect(left({}, 'mov r9, cr4\n and r9, -129\n mov cr4, r9', fields)).toBe('controlRegisterAccess 904 @b')
    expect(left({}, 'mov r9, cr4\n mov cr4, r9\n mov rax, cr0\n mov cr0, rax', fields)).toContain('vmcall')
  })

  it('CLTS and LMSW', () => {
    expect(left({}, 'clts', { cr0GuestHostMask: 8n, cr0ReadShadow: 8n })).toBe('controlRegisterAccess 20 @0')
    expect(left({}, 'clts', { cr0GuestHostMask: 8n, cr0ReadShadow: 0n, guestCr0: 0x8000003bn })).toContain('vmcall')
    expect(g.vmcs.guestCr0).toBe(0x8000003bn)
    expect(left({}, 'clts', { guestCr0: 0x8000003bn })).toContain('vmcall')
    expect(g.vmcs.guestCr0).toBe(0x80000033n)
    expect(left({}, 'mov ax, 0BH\n lmsw ax', { cr0GuestHostMask: 8n, cr0ReadShadow: 0n })).toBe('controlRegisterAccess b0030 @4')
    expect(left({}, `mov word [abs ${DATA}], 0BH\n lmsw [abs ${DATA}]`, { cr0GuestHostMask: 8n, cr0ReadShadow: 0n })).toContain('controlRegisterAccess b0070')
    expect(g.vmcs.guestLinearAddress).toBe(BigInt(DATA))
    expect(left({}, 'mov ax, 0AH\n lmsw ax', { cr0GuestHostMask: 1n, cr0ReadShadow: 0n })).toContain('vmcall')
    expect(g.vmcs.guestCr0 & 0xfn).toBe(0xbn)
  })

  it('fixed bits: a guest cannot clear CR0.NE or CR4.VMXE that it owns (23.8)', () => {
    expect(left({}, 'mov rax, cr0\n and al, 0DFH\n mov cr0, rax', { exceptionBitmap: 1 << 13 })).toBe('exceptionOrNmi 0 @5')
    expect(left({}, 'xor eax, eax\n mov al, 20H\n mov cr4, rax', { exceptionBitmap: 1 << 13 })).toBe('exceptionOrNmi 0 @4')
  })

  it('CR3 targets do not leave', () => {
    const fields = { cr3TargetCount: 2, cr3Target0: 1n, cr3Target1: 0x20000n, cr3Target2: 0x20000n }
    expect(left({ primary: Primary.cr3LoadExiting }, 'mov eax, 20000H\n mov cr3, rax', fields)).toContain('vmcall')
    expect(left({ primary: Primary.cr3LoadExiting }, 'mov eax, 20000H\n mov cr3, rax', { ...fields, cr3TargetCount: 1 })).toBe('controlRegisterAccess 3 @5')
    expect(left({ primary: Primary.cr3StoreExiting }, 'mov r10, cr3')).toBe('controlRegisterAccess a13 @0')
  })

  it('CR8 is the virtual task priority under the TPR shadow (29.3)', () => {
    const fields = { virtualApicAddress: DATA, tprThreshold: 4 }
    g.prepare({ primary: Primary.useTprShadow }, fields)
    g.machine.physical.write(DATA + 0x80, 4, 0x70)
    expect(g.leave('mov rbx, cr8\n mov eax, 5\n mov cr8, rax\n mov rcx, cr8\n mov eax, 3\n mov cr8, rax\n nop')).toBe('tprBelowThreshold 0 @1a')
    expect([g.gpr(3), g.gpr(1)]).toEqual([7n, 5n])
    expect([g.machine.physical.read(DATA + 0x80, 4), g.core.apic.readTaskPriority()]).toEqual([0x30, 0])
  })
})

describe('bitmaps', () => {
  it('ports: every byte of an access counts, and running past FFFFH', () => {
    g.prepare({ primary: Primary.useIoBitmaps | Primary.unconditionalIoExiting }, { ioBitmapA: DATA, ioBitmapB: DATA + 0x1000 })
    const set = (port: number): void => {
      const at = g.machine.physical.host(DATA + (port >> 3))
      g.machine.physical.bytes[at]! |= 1 << (port & 7)
    }
    set(0x83)
    set(0x9000)
    const fields = { ioBitmapA: DATA, ioBitmapB: DATA + 0x1000 }
    const io = (text: string): string => {
      g.set({ ...fields })
      return g.leave(`${text}\n vmcall`)
    }
    expect(io('in eax, 7fh')).toContain('vmcall')
    expect(io('in eax, 80h')).toBe('ioInstruction 80004b @0')
    expect(io('out 83h, al')).toBe('ioInstruction 830040 @0')
    expect(io('mov dx, 9000h\n out dx, ax')).toBe('ioInstruction 90000001 @4')
    expect(io('mov dx, 8fffh\n in ax, dx')).toBe('ioInstruction 8fff0009 @4')
    expect(io('mov dx, 0ffffh\n in ax, dx')).toBe('ioInstruction ffff0009 @4')
    expect(io('mov dx, 0ffffh\n in al, dx')).toContain('vmcall')
  })

  it('strings leave once an iteration, with address, size and segment', () => {
    g.prepare({ primary: Primary.unconditionalIoExiting })
    expect(g.leave(`mov dx, 80h\n mov ecx, 2\n mov esi, ${DATA}\n fs rep outsb`)).toBe('ioInstruction 800030 @e')
    expect([g.vmcs.guestLinearAddress, g.vmcs.exitInstructionInformation, g.vmcs.exitInstructionLength, g.gpr(1)]).toEqual([BigInt(DATA), (2 << 7) | (4 << 15), 3, 2n])
    expect(g.leave('mov dx, 80h\n xor ecx, ecx\n rep insd\n mov edi, 0ffff0000h\n insw')).toBe('ioInstruction 800019 @d')
    expect([g.vmcs.guestLinearAddress, g.vmcs.exitInstructionInformation & ~(7 << 15)]).toEqual([0xffff0000n, 2 << 7])
  })

  it('MSRs: low and high, reads and writes, others always', () => {
    g.prepare({ primary: Primary.useMsrBitmaps }, { msrBitmaps: DATA })
    const msr = (index: number, write: boolean): string =>
      g.leave(`mov ecx, ${index}\n rdmsr\n vmcall`.replace('rdmsr', write ? 'rdmsr\n wrmsr' : 'rdmsr')).split(' ')[0]!
    const { bytes } = g.machine.physical
    const set = (n: number): void => void (bytes[g.machine.physical.host(DATA) + n] = 0xff)
    expect([msr(0x174, false), msr(0x174, true), msr(0xc0000100, false), msr(0xc0000100, true)]).toEqual(['vmcall', 'vmcall', 'vmcall', 'vmcall'])
    set(0x174 >> 3)
    expect([msr(0x174, false), msr(0x277, true)]).toEqual(['rdmsr', 'vmcall'])
    bytes[g.machine.physical.host(DATA) + (0x174 >> 3)] = 0
    set(2048 + (0x174 >> 3))
    expect([msr(0x174, false), msr(0x174, true)]).toEqual(['vmcall', 'wrmsr'])
    set(1024 + (0x100 >> 3))
    expect([msr(0xc0000100, false), msr(0xc0000102, false)]).toEqual(['rdmsr', 'rdmsr'])
    set(3072 + (0x80 >> 3))
    expect(msr(0xc0000080, true)).toBe('wrmsr')
    expect([msr(0x2000, false), msr(0xc0002000, false), msr(0x40000000, false), msr(0xbfffffff, false)]).toEqual(['rdmsr', 'rdmsr', 'rdmsr', 'rdmsr'])
  })
})

describe('time stamps (24.6.5, 25.3)', () => {
  const read = (controls: { primary?: number; secondary?: number }, fields: Parameters<Guest['prepare']>[1]): [bigint, bigint, bigint] => {
    g.prepare({ ...controls, primary: (controls.primary ?? 0) | Primary.useMsrBitmaps }, { ...fields, msrBitmaps: DATA })
    const before = BigInt(g.core.time)
    expect(g.leave('rdtsc\n shl rdx, 32\n lea rbx, [rdx + rax]\n mov ecx, 10h\n rdmsr\n shl rdx, 32\n add rax, rdx\n vmcall')).toContain('vmcall')
    return [before, g.gpr(3), g.gpr(0)]
  }

  it('are offset and scaled, for RDTSC and RDMSR', () => {
    const near = ([from, a, b]: [bigint, bigint, bigint], of: (t: bigint) => bigint): void => {
      expect(a).toBeGreaterThanOrEqual(of(from))
      expect(b).toBeGreaterThanOrEqual(a)
      expect(b).toBeLessThan(of(from) + 40_000n)
    }
    near(read({}, {}), (t) => t)
    near(read({ primary: Primary.useTscOffsetting }, { tscOffset: 1n << 40n }), (t) => t + (1n << 40n))
    near(read({ primary: Primary.useTscOffsetting, secondary: Secondary.useTscScaling }, { tscOffset: 1n << 50n, tscMultiplier: 5n << 47n }), (t) => (t * 5n) / 2n + (1n << 50n))
    near(read({}, { tscOffset: 1n << 40n }), (t) => t)
  })
})

describe('exceptions (24.6.3, 25.2)', () => {
  it('leave by the bitmap, with kind, error code and qualification', () => {
    const fields = { exceptionBitmap: 0xffffffff }
    expect(left({}, 'ud2', fields)).toBe('exceptionOrNmi 0 @0')
    expect(g.vmcs.exitInterruptionInformation).toBe(0x80000306)
    expect(left({}, 'nop\n int3', fields)).toBe('exceptionOrNmi 0 @1')
    expect([g.vmcs.exitInterruptionInformation, g.vmcs.exitInstructionLength]).toEqual([0x80000603, 1])
    expect(left({}, 'int1', fields)).toBe('exceptionOrNmi 0 @0')
    expect([g.vmcs.exitInterruptionInformation, g.vmcs.exitInstructionLength]).toEqual([0x80000501, 1])
    expect(left({}, 'mov ax, 60h\n mov ds, ax', fields)).toBe('exceptionOrNmi 0 @4')
    expect([g.vmcs.exitInterruptionInformation, g.vmcs.exitInterruptionErrorCode]).toEqual([0x80000b0d, 0x60])
    expect(left({}, 'mov rax, [abs 40000000h]', fields)).toBe('exceptionOrNmi 40000000 @0')
    expect([g.vmcs.exitInterruptionErrorCode, g.core.state.cr2]).toEqual([0, 0n])
    expect(left({}, 'xor eax, eax\n int 20h', { ...fields, guestIdtrLimit: 0x0fff })).toContain('exceptionOrNmi')
    expect(g.vmcs.idtVectoringInformation).toBe(0x80000420)
  })

  it('are the guest’s own without a bit', () => {
    g.prepare()
    g.code('ud2')
    expect(g.enter().reason).toBe('none')
    expect(Number(g.core.state.rip)).toBe(0x12000 + 16 * 6 + 1)
  })

  it('page faults leave by mask and match', () => {
    const touch = (write: boolean, fields: object): string => left({}, write ? 'mov [abs 40000000h], al' : 'mov al, [abs 40000000h]', fields).split(' ')[0]!
    const pf = 1 << 14
    // error codes here: 0 reading, 2 writing
    expect([touch(false, { exceptionBitmap: pf }), touch(true, { exceptionBitmap: pf })]).toEqual(['exceptionOrNmi', 'exceptionOrNmi'])
    const only = { exceptionBitmap: pf, pageFaultErrorCodeMask: 2, pageFaultErrorCodeMatch: 2 }
    expect(touch(true, only)).toBe('exceptionOrNmi')
    g.prepare({}, only)
    g.code('mov al, [abs 40000000h]')
    expect(g.enter().reason).toBe('none')
    const reversed = { exceptionBitmap: 0, pageFaultErrorCodeMask: 2, pageFaultErrorCodeMatch: 2 }
    expect(touch(false, reversed)).toBe('exceptionOrNmi')
    g.prepare({}, reversed)
    g.code('mov byte [abs 40000000h], 1')
    expect(g.enter().reason).toBe('none')
  })

  it('a single-step trap leaves with BS, and DR6 untouched', () => {
    const fields = { exceptionBitmap: 2, guestRflags: 0x102 }
    expect(left({}, 'nop\n nop', fields)).toBe('exceptionOrNmi 4000 @1')
    expect([g.vmcs.exitInterruptionInformation, g.core.state.dr.get(6)]).toEqual([0x80000301, 0xffff0ff0n])
  })

  it('a fault while another is delivered leaves with the first as the event on its way', () => {
    // the guest's IDT ends behind #UD's neighbours: #UD → #GP → #DF
    expect(left({}, 'ud2', { guestIdtrLimit: 0x5f, exceptionBitmap: 1 << 13 })).toBe('exceptionOrNmi 0 @0')
    expect([g.vmcs.exitInterruptionInformation, g.vmcs.exitInterruptionErrorCode, g.vmcs.idtVectoringInformation]).toEqual([0x80000b0d, 0x33, 0x80000306])
    expect(left({}, 'mov ax, 60h\n mov ds, ax', { guestIdtrLimit: 0x5f, exceptionBitmap: 1 << 8 })).toBe('exceptionOrNmi 0 @4')
    expect([g.vmcs.exitInterruptionInformation, g.vmcs.idtVectoringInformation]).toEqual([0x80000b08, 0])
    expect(left({}, 'mov ax, 60h\n mov ds, ax', { guestIdtrLimit: 0x5f })).toBe('tripleFault 0 @4')
    expect(g.vmcs.idtVectoringInformation).toBe(0)
  })
})

describe('memory under EPT', () => {
  const [E4, E3, E2, E1] = [0x100000, 0x101000, 0x102000, 0x103000]
  /** Identity over the machine's 4 MiB, the second half as one page of 2 MiB. */
  const tables = (): void => {
    g.poke64(E4, BigInt(E3) | 7n)
    g.poke64(E3, BigInt(E2) | 7n)
    g.poke64(E2, BigInt(E1) | 7n)
    g.poke64(E2 + 8, 0x200000n | 0xb7n)
    for (let n = 0; n < 512; n++) g.poke64(E1 + 8 * n, BigInt(n * 4096) | 0x37n)
  }
  const under = (text: string, prepare: () => void = () => {}, secondary = 0, fields: Parameters<Guest['prepare']>[1] = {}): string => {
    g.prepare({ secondary: Secondary.enableEpt | secondary }, { eptPointer: BigInt(E4) | 0x1en, ...fields })
    tables()
    prepare()
    return g.leave(`${text}\n vmcall`)
  }

  it('a guest runs through both stages, and every kind of refusal leaves with its addresses', () => {
    expect(under(`mov rax, [abs ${DATA}]\n mov [abs 300000h], rax`)).toContain('vmcall')
    expect(under(`mov rax, [abs ${DATA + 8}]`, () => g.poke64(E1 + 8 * 0x60, 0n))).toBe('eptViolation 781 @0')
    expect([g.vmcs.guestPhysicalAddress, g.vmcs.guestLinearAddress]).toEqual([BigInt(DATA + 8), BigInt(DATA + 8)])
    expect(under(`nop\n mov [abs ${DATA + 8}], rax`, () => g.poke64(E1 + 8 * 0x60, 0x60035n))).toBe('eptViolation 7aa @1')
    expect(under(`jmp ${DATA + 0x10}`, () => g.poke64(E1 + 8 * 0x60, 0x60033n))).toBe('eptViolation 79c @10010')
    expect(under('mov rax, [abs 300000h]', () => g.poke64(E2 + 8, 0x2010b7n))).toBe('eptMisconfiguration 0 @0')
    expect([g.vmcs.guestPhysicalAddress, g.vmcs.exitInterruptionInformation]).toEqual([0x300000n, 0])
    expect(under('mov rax, [abs 300008h]', () => g.poke64(E1 + 8 * 0x22, 0n))).toMatch(/^eptViolation 81 /)
    expect(g.vmcs.guestPhysicalAddress).toBe(0x22000n)
  })

  it('goes on where it was once the page is there', () => {
    expect(under(`mov eax, 1\n mov [abs ${DATA + 0x100}], rax\n inc eax`, () => g.poke64(E1 + 8 * 0x60, 0n))).toContain('eptViolation')
    g.poke64(E1 + 8 * 0x60, 0x61037n)
    expect(g.enter().reason).toBe('vmcall')
    expect([g.gpr(0), g.peek64(0x61100), g.peek64(0x60100)]).toEqual([2n, 1n, 0n])
  })

  it('a refusal while an event is delivered keeps the event', () => {
    // the stack's page is not there
    expect(under('int3', () => g.poke64(E1 + 8 * ((GUEST_STACK >> 12) - 1), 0n))).toBe('eptViolation 182 @0'.replace('182', g.vmcs.exitQualification.toString(16)))
    expect([g.vmcs.idtVectoringInformation, g.vmcs.exitInstructionLength, g.vmcs.guestPhysicalAddress >> 12n]).toEqual([0x80000603, 1, BigInt((GUEST_STACK >> 12) - 1)])
    expect(under('ud2', () => g.poke64(E1 + 8 * ((GUEST_STACK >> 12) - 1), 0n))).toContain('eptViolation')
    expect(g.vmcs.idtVectoringInformation).toBe(0x80000306)
  })

  it('logs the pages it dirties, and leaves when the log is full', () => {
    const fields = { eptPointer: BigInt(E4) | 0x5en, pmlAddress: 0x70000, pmlIndex: 0 }
    expect(under(`mov [abs ${DATA}], rax\n mov [abs 300000h], rax`, () => g.set({ pmlIndex: 511 }), Secondary.enablePml, fields)).toContain('vmcall')
    const logged = Array.from({ length: 511 - ((g.vmcs.pmlIndex << 16) >> 16) }, (_, n) => g.peek64(0x70000 + 8 * (511 - n)))
    expect(logged).toContain(BigInt(DATA))
    expect(logged).toContain(0x300000n)
    expect(under(`mov rbx, [abs ${DATA}]\n mov [abs ${DATA}], rax`, () => g.set({ pmlIndex: 0xffff }), Secondary.enablePml, fields)).toContain('pageModificationLogFull 0')
  })

  it('#VE tells the guest itself, once (25.5.6)', () => {
    const fields = { virtualizationExceptionAddress: 0x70000, eptpIndex: 9, exceptionBitmap: 1 << 20 }
    const withoutPage = (): void => g.poke64(E1 + 8 * 0x60, 0n)
    expect(under(`mov rax, [abs ${DATA + 8}]`, withoutPage, Secondary.eptViolationVe, fields)).toBe('exceptionOrNmi 0 @0')
    expect(g.vmcs.exitInterruptionInformation).toBe(0x80000314)
    expect([0, 8, 16, 24].map((n) => g.peek64(0x70000 + n))).toEqual([0xffffffff00000030n, 0x781n, BigInt(DATA + 8), BigInt(DATA + 8)])
    expect(g.enter()).toMatchObject({ reason: 'eptViolation', at: 0 })
    expect(under(`mov rax, [abs ${DATA + 8}]`, () => g.poke64(E1 + 8 * 0x60, 1n << 63n), Secondary.eptViolationVe, fields)).toBe('eptViolation 781 @0')
  })

  it('VMFUNC switches to another EPT pointer of the list (25.5.5.3)', () => {
    const LIST = 0x70000
    const fields = { vmFunctionControls: 1n, eptpListAddress: LIST }
    const switched = (entry: bigint, text = 'xor eax, eax\n mov ecx, 3\n vmfunc'): string =>
      under(`${text}\n mov rbx, [abs ${DATA}]`, () => {
        g.poke64(LIST + 24, entry)
        // a second set of tables in which DATA is another frame
        g.poke64(0x110000, 0x111007n)
        g.poke64(0x111000, 0x112007n)
        g.poke64(0x112000, 0x113007n)
        for (let n = 0; n < 512; n++) g.poke64(0x113000 + 8 * n, BigInt((n === 0x60 ? 0x68 : n) * 4096) | 0x37n)
        g.poke64(0x68000, 0x1234n)
      }, Secondary.enableVmFunctions, fields)
    expect(switched(0x11001en)).toContain('vmcall')
    expect([g.gpr(3), g.vmcs.eptPointer]).toEqual([0x1234n, 0x11001en])
    expect(switched(0x11001fn)).toBe('vmfunc 0 @7')
    expect(switched(0x11001en, 'mov eax, 1\n vmfunc')).toBe('vmfunc 0 @5')
    expect(switched(0x11001en, 'xor eax, eax\n mov ecx, 512\n vmfunc')).toBe('vmfunc 0 @7')
  })
})

describe('what belongs to nobody', () => {
  it('a processor out of VMX operation is asked nothing', () => {
    g.prepare({ primary: Primary.hltExiting, pin: Pin.externalInterruptExiting })
    expect(g.core.intercepts).toBeUndefined()
    expect(g.leave('cpuid')).toBe('cpuid 0 @0')
    expect([g.core.intercepts, g.core.mmu.walker.stage]).toEqual([undefined, undefined])
  })
})

// The VMX instructions as a monitor in 64-bit mode runs them: faults, VMfail codes, launch states, flags (SDM 3C 30.3).

import { beforeEach, describe, expect, it } from 'vitest'
import { vmcsFields, fieldWidth, type FieldName } from '../../src-core/arch/vmcs-fields.ts'
import { EptVpid } from '../../src-core/arch/vmx.ts'
import { Cr0, Cr4 } from '../../src-core/arch/registers.ts'
import { modelRegisters } from '../../src-core/cpu/model-registers.ts'
import { eptVpid, fieldExists } from '../../src-core/vmx/capabilities.ts'
import { REVISION } from '../../src-core/vmx/vmcs.ts'
import { DATA, MEGABYTES, Monitor, VMCS, VMXON } from './monitor.ts'

const m = new Monitor()
beforeEach(() => m.reset())

const MEMORY = `qword [abs ${DATA}]`
const WIDE = 1n << 46n
/** All instructions that need VMX operation, with operands that would do. */
const inOperation = [
  'vmxoff', 'vmlaunch', 'vmresume', `vmclear ${MEMORY}`, `vmptrld ${MEMORY}`, `vmptrst ${MEMORY}`, 'vmread rax, rbx', 'vmwrite rax, rbx',
  `invept rax, oword [abs ${DATA}]`, `invvpid rax, oword [abs ${DATA}]`,
]
const setCr = (n: 0 | 4, value: bigint): void => {
  const s = m.core.state
  if (n === 0) s.cr0 = value
  else s.cr4 = value
  m.core.modeChanged()
}

describe('VMXON', () => {
  it('begins VMX operation with no current VMCS', () => {
    expect(m.on('vmxon', VMXON)).toBe('ok')
    expect([m.vmx.mode, m.vmx.vmxonPointer, m.vmx.current]).toEqual(['root', VMXON, undefined])
    expect(m.result(`vmptrst ${MEMORY}`)).toBe('ok')
    expect(m.peek64(DATA)).toBe(0xffff_ffff_ffff_ffffn)
  })

  it('#UD: register operand, CR4.VMXE clear, compatibility mode', () => {
    expect(m.result('db 0xf3, 0x0f, 0xc7, 0xf0')).toBe('#6(0)')
    setCr(4, m.core.state.cr4 & ~Cr4.VMXE)
    expect(m.on('vmxon', VMXON)).toBe('#6(0)')
    m.reset()
    m.compatibility()
    expect(m.run(`vmxon qword [${DATA}]`, 32).result).toBe('#6(0)')
    expect(m.vmx.mode).toBe('off')
  })

  it('#UD before #GP before the operand', () => {
    m.level(3)
    setCr(4, m.core.state.cr4 & ~Cr4.VMXE)
    expect(m.result('vmxon qword [0]')).toBe('#6(0)')
    m.reset()
    m.level(3)
    expect(m.result('mov rax, 1 << 40\n vmxon qword [rax]')).toBe('#13(0)')
    m.reset()
    expect(m.result('mov rax, 1 << 40\n vmxon qword [rax]')).toBe('#14(0)')
  })

  it.each([
    ['unlocked', 4n],
    ['locked without the enable', 1n],
    ['nothing', 0n],
    ['inside SMX only', 3n],
  ])('#GP(0): IA32_FEATURE_CONTROL %s', (_what, value) => {
    modelRegisters(m.core).featureControl = value
    expect(m.on('vmxon', VMXON)).toBe('#13(0)')
  })

  it('IA32_FEATURE_CONTROL is written once', () => {
    expect(m.run('mov ecx, 3Ah\n mov edx, 0\n mov eax, 5\n wrmsr').result).toBe('#13(0)')
    modelRegisters(m.core).featureControl = 0n
    expect(m.run('mov ecx, 3Ah\n mov edx, 0\n mov eax, 7\n wrmsr').result).toBe('#13(0)') // no SMX
    expect(m.run('mov ecx, 3Ah\n mov edx, 0\n mov eax, 4\n wrmsr').result).toBe('ok')
    expect(m.run('mov ecx, 3Ah\n mov edx, 0\n mov eax, 5\n wrmsr').result).toBe('ok')
  })

  it('#GP(0): CR0.NE clear', () => {
    setCr(0, m.core.state.cr0 & ~Cr0.NE)
    expect(m.on('vmxon', VMXON)).toBe('#13(0)')
  })

  it.each([
    ['misaligned', VMXON + 8],
    ['beyond the address width', WIDE | BigInt(VMXON)],
    ['with bit 63', (1n << 63n) | BigInt(VMXON)],
    ['of another revision', DATA],
    ['outside DRAM', 0xc000_0000],
    ['past all memory', MEGABYTES << 20],
  ])('VMfailInvalid: a region %s', (_what, address) => {
    expect(m.on('vmxon', address)).toBe('invalid')
    expect(m.vmx.mode).toBe('off')
  })

  it('VMfailInvalid: a region marked as shadow VMCS', () => {
    m.poke64(VMXON, BigInt(REVISION) | 0x8000_0000n)
    expect(m.on('vmxon', VMXON)).toBe('invalid')
  })

  it('in root operation: #GP above CPL 0, else VMfail 15', () => {
    expect(m.on('vmxon', VMXON)).toBe('ok')
    expect(m.on('vmxon', VMXON)).toBe('invalid')
    expect([m.on('vmclear', VMCS[0]), m.on('vmptrld', VMCS[0]), m.on('vmxon', VMXON)]).toEqual(['ok', 'ok', 'valid 15'])
    expect(m.result('mov rax, 1 << 40\n vmxon qword [rax]')).toBe('valid 15') // its operand is not read
    m.level(3)
    expect(m.on('vmxon', VMXON)).toBe('#13(0)')
  })
})

describe('VMX operation', () => {
  it('without it the other instructions are #UD', () => {
    for (const text of [...inOperation, 'vmcall', 'vmfunc']) expect([text, m.result(text)]).toEqual([text, '#6(0)'])
  })

  it('is #GP(0) above CPL 0, but VMFUNC #UD', () => {
    m.begin()
    for (const text of [...inOperation, 'vmcall', 'vmfunc']) {
      m.level(3)
      expect([text, m.result(text)]).toEqual([text, text === 'vmfunc' ? '#6(0)' : '#13(0)'])
    }
  })

  it('is #UD in compatibility mode, before privilege', () => {
    m.begin()
    for (const text of [...inOperation, 'vmcall', 'vmfunc']) {
      m.compatibility()
      const narrow = text.replace(/r([abd])x/g, 'e$1x').replace('abs ', '')
      expect([narrow, m.run(narrow, 32).result]).toEqual([narrow, '#6(0)'])
      m.level(0)
    }
  })

  it('is #UD in real-address mode', () => {
    m.vmx.enterMode('root') // no processor gets there in real mode: fixed bits keep PE set
    const s = m.core.state
    m.core.setRflags(2n)
    s.efer = 0n
    s.cr0 = Cr0.NE | Cr0.ET
    for (let i = 0; i < 6; i++) s.segRights.set(i, i === 1 ? 0x9b : 0x93)
    s.segSelector.set(1, 0x3000)
    s.segBase.set(1, 0x30000n)
    m.core.modeChanged()
    const before = m.core.faults
    m.machine.physical.load(0x30000, Uint8Array.of(0x0f, 0x01, 0xc4)) // VMXOFF
    m.machine.physical.load(6 * 4, Uint8Array.of(0x00, 0x50, 0x00, 0x00)) // vector 6: 0:5000H
    m.machine.physical.load(0x5000, Uint8Array.of(0xf4))
    m.machine.code.flush()
    s.idtrBase = 0n
    s.rip = 0n
    s.activity = 0
    m.machine.run(0)
    expect([m.core.faults - before, s.rip, m.vmx.mode]).toEqual([1, 0x5001n, 'root'])
  })

  it('register forms of memory operands are #UD', () => {
    m.begin()
    for (const bytes of ['0x66, 0x0f, 0xc7, 0xf0', '0x0f, 0xc7, 0xf0', '0x0f, 0xc7, 0xf8', '0x66, 0x0f, 0x38, 0x80, 0xc0', '0x66, 0x0f, 0x38, 0x81, 0xc0']) {
      expect([bytes, m.result(`db ${bytes}`)]).toEqual([bytes, '#6(0)'])
    }
  })

  it('keeps CR4.VMXE, CR0.NE, PE and PG', () => {
    m.begin()
    expect(m.result('mov rax, cr4\n btr rax, 13\n mov cr4, rax')).toBe('#13(0)')
    for (const bit of [0, 5, 31]) expect([bit, m.result(`mov rax, cr0\n btr rax, ${bit}\n mov cr0, rax`)]).toEqual([bit, '#13(0)'])
    expect(m.run('mov rax, cr0\n bts rax, 18\n mov cr0, rax').vector).toBeUndefined()
    expect(m.run('clts\n mov eax, 0Bh\n lmsw ax').vector).toBeUndefined()
    expect(m.result('vmxoff')).toBe('ok')
    expect(m.run('mov rax, cr4\n btr rax, 13\n mov cr4, rax\n mov rax, cr0\n btr rax, 5\n mov cr0, rax').vector).toBeUndefined()
    expect([m.core.state.cr4 & Cr4.VMXE, m.core.state.cr0 & Cr0.NE]).toEqual([0n, 0n])
  })

  it('ends with VMXOFF, which forgets the current VMCS', () => {
    m.begin()
    expect(m.result('vmxoff')).toBe('ok')
    expect([m.vmx.mode, m.vmx.current]).toEqual(['off', undefined])
    expect([m.on('vmxon', VMXON), m.result('mov eax, 4000h\n vmread rbx, rax')]).toEqual(['ok', 'invalid'])
  })

  it('blocks INIT until VMXOFF', () => {
    m.begin()
    m.core.signals.init = true
    m.core.attention = true
    expect(m.run('mov ebx, 5').vector).toBeUndefined()
    expect([m.core.signals.init, m.core.state.gpr.get(3)]).toEqual([true, 5n])
    // behind VMXOFF the processor begins anew, in real-address mode, where nothing of the snippet is left
    m.machine.physical.load(0x30000, Uint8Array.of(0x0f, 0x01, 0xc4, 0xb3, 0x07, 0xf4)) // VMXOFF, MOV BL, 7, HLT
    m.machine.code.flush()
    m.core.state.rip = 0x30000n
    m.core.state.activity = 0
    m.machine.run(0)
    expect([m.core.signals.init, m.vmx.mode, m.core.state.cr0 & Cr0.PE]).toEqual([false, 'off', 0n])
    expect(m.core.state.gpr.get(3)).not.toBe(7n)
  })

  it('ends with a reset', () => {
    m.begin()
    m.machine.powerOn()
    expect([m.vmx.mode, m.vmx.vmxonPointer, m.vmx.current]).toEqual(['off', 0, undefined])
  })

  it('VMCALL: error 1, also without a current VMCS', () => {
    m.begin()
    expect(m.result('vmcall')).toBe('valid 1')
    m.on('vmclear', VMCS[0])
    expect(m.result('vmcall')).toBe('invalid')
  })
})

describe('VMCS pointers', () => {
  beforeEach(() => m.begin())

  it('VMPTRST tells the current one', () => {
    expect(m.result(`vmptrst ${MEMORY}`)).toBe('ok')
    expect(m.peek64(DATA)).toBe(BigInt(VMCS[0]))
    expect(m.on('vmptrld', VMCS[1])).toBe('ok')
    expect(m.result(`vmptrst ${MEMORY}`)).toBe('ok')
    expect(m.peek64(DATA)).toBe(BigInt(VMCS[1]))
    expect(m.result('mov rax, 1 << 40\n vmptrst qword [rax]')).toBe('#14(2)')
  })

  it.each([
    ['vmclear', 2, 3],
    ['vmptrld', 9, 10],
  ] as const)('%s: errors %d and %d', (instruction, address, vmxonPointer) => {
    for (const bad of [BigInt(VMCS[0]) + 1n, BigInt(VMCS[0]) + 0x800n, WIDE | BigInt(VMCS[0]), 1n << 63n]) expect([bad, m.on(instruction, bad)]).toEqual([bad, `valid ${address}`])
    expect(m.on(instruction, VMXON)).toBe(`valid ${vmxonPointer}`)
    expect(m.vmx.current!.address).toBe(VMCS[0])
    expect(m.result(`mov rax, 1 << 40\n ${instruction} qword [rax]`)).toBe('#14(0)')
    m.on('vmclear', VMCS[0])
    expect(m.on(instruction, VMXON)).toBe('invalid')
  })

  it('VMPTRLD: error 11 for another revision, the shadow indicator, or no DRAM', () => {
    m.poke64(VMCS[1], BigInt(REVISION ^ 1))
    expect(m.on('vmptrld', VMCS[1])).toBe('valid 11')
    m.poke64(VMCS[1], BigInt(REVISION) | 0x8000_0000n)
    expect(m.on('vmptrld', VMCS[1])).toBe('valid 11')
    expect(m.on('vmptrld', 0xfee0_0000)).toBe('valid 11')
    expect(m.on('vmptrld', 1n << 45n)).toBe('valid 11')
    expect(m.vmx.current!.address).toBe(VMCS[0])
  })

  it('VMCLEAR: clears the launch state wherever the region lies, and the current pointer if it is that; revisions do not matter', () => {
    const other = m.vmx.region(VMCS[1])!
    other.launched = true
    expect(m.on('vmclear', VMCS[1])).toBe('ok')
    expect([other.launched, m.vmx.current!.address]).toEqual([false, VMCS[0]])
    m.poke64(VMCS[1], BigInt(REVISION ^ 1))
    expect(m.on('vmclear', VMCS[1])).toBe('ok')
    expect(m.peek64(VMCS[1]) & 0xffff_ffffn).toBe(BigInt(REVISION ^ 1))
    expect(m.on('vmclear', 0xfee0_0000)).toBe('ok')
    expect(m.on('vmclear', VMCS[0])).toBe('ok')
    expect(m.vmx.current).toBeUndefined()
  })

  it('data survives another VMCS being current, and VMCLEAR', () => {
    m.vmx.current!.guestRip = 0x1234n
    m.on('vmptrld', VMCS[1])
    m.on('vmclear', VMCS[0])
    m.on('vmptrld', VMCS[0])
    expect(m.result('mov eax, 681Eh\n vmread rbx, rax')).toBe('ok')
    expect(m.core.state.gpr.get(3)).toBe(0x1234n)
  })
})

describe('VMREAD and VMWRITE', () => {
  beforeEach(() => m.begin())
  const write = (encoding: bigint | number, value: bigint): string => m.result(`mov rax, ${encoding}\n mov rbx, ${value}\n vmwrite rax, rbx`)
  const read = (encoding: bigint | number): [string, bigint] => [m.result(`mov rax, ${encoding}\n mov rbx, -1\n vmread rbx, rax`), m.core.state.gpr.get(3)]

  it('every field that exists holds as many bits as its width, exit information too', () => {
    const value = 0x8123_4567_89ab_cdefn
    for (const [name, encoding] of Object.entries(vmcsFields) as [FieldName, number][]) {
      if (!fieldExists(name)) {
        expect([name, write(encoding, value), m.vmx.current!.vmInstructionError]).toEqual([name, 'valid 12', 12])
        expect([name, read(encoding)[0]]).toEqual([name, 'valid 12'])
        continue
      }
      const width = fieldWidth(encoding)
      const kept = width === 16 ? 0xcdefn : width === 32 ? 0x89ab_cdefn : value
      expect([name, write(encoding, value)]).toEqual([name, 'ok'])
      expect([name, ...read(encoding)]).toEqual([name, 'ok', kept])
      if (width !== 64) {
        expect([name, read(encoding + 1)[0]]).toEqual([name, 'valid 12'])
        continue
      }
      expect([name, ...read(encoding + 1)]).toEqual([name, 'ok', 0x8123_4567n])
      expect([name, write(encoding + 1, 0xffff_ffff_0000_0001n)]).toEqual([name, 'ok'])
      expect([name, ...read(encoding)]).toEqual([name, 'ok', 0x1_89ab_cdefn])
    }
  }, 60_000)

  it('unknown encodings: error 12', () => {
    for (const encoding of [0x482cn, 0x0c0en, 0x1000n, 0x8000n, 0x1_0000_681en, 1n << 63n, 0xffff_ffff_ffff_ffffn]) {
      expect([encoding, read(encoding)[0]]).toEqual([encoding, 'valid 12'])
      expect([encoding, write(encoding, 0n)]).toEqual([encoding, 'valid 12'])
    }
  })

  it('operands in memory; faults only behind the VM-instruction checks', () => {
    m.poke64(DATA, 0x1122_3344_5566_7788n)
    expect(m.result(`mov eax, 6802h\n vmwrite rax, ${MEMORY}`)).toBe('ok')
    expect(m.result(`mov eax, 6802h\n vmread qword [abs ${DATA + 8}], rax`)).toBe('ok')
    expect(m.peek64(DATA + 8)).toBe(0x1122_3344_5566_7788n)
    const far = 'mov rbx, 1 << 40\n'
    expect(m.result(`${far} mov eax, 6802h\n vmread qword [rbx], rax`)).toBe('#14(2)')
    expect(m.result(`${far} mov eax, 0FFFh\n vmread qword [rbx], rax`)).toBe('valid 12')
    expect(m.result(`${far} mov eax, 0FFFh\n vmwrite rax, qword [rbx]`)).toBe('#14(0)')
    m.on('vmclear', VMCS[0])
    expect(m.result(`${far} mov eax, 6802h\n vmread qword [rbx], rax`)).toBe('invalid')
    expect(m.result(`${far} mov eax, 6802h\n vmwrite rax, qword [rbx]`)).toBe('invalid')
  })

  it('writes all six arithmetic flags, and leaves the error field alone when it succeeds', () => {
    m.result('vmcall')
    expect(m.run('mov eax, 6802h\n mov ecx, -1\n add ecx, ecx\n stc\n vmread rbx, rax').flags).toBe('')
    expect(m.vmx.current!.vmInstructionError).toBe(1)
    expect(m.run('stc\n mov eax, 0FFFh\n vmread rbx, rax').flags).toBe('ZF')
    expect(m.run('xor eax, eax\n vmcall').flags).toBe('ZF')
    m.on('vmclear', VMCS[0])
    expect(m.run('xor eax, eax\n vmread rbx, rax').flags).toBe('CF')
    expect(m.run('xor eax, eax\n vmread rbx, rax\n seto cl\n sets ch\n setp dl\n setz dh').flags).toBe('CF')
    expect([m.core.state.gpr.get(1) & 0xffffn, m.core.state.gpr.get(2) & 0xffffn]).toEqual([0n, 0n])
  })
})

describe('VMLAUNCH and VMRESUME', () => {
  it('VMfailInvalid without a current VMCS', () => {
    m.on('vmxon', VMXON)
    expect([m.result('vmlaunch'), m.result('vmresume')]).toEqual(['invalid', 'invalid'])
    expect(m.result('mov ax, 10h\n mov ss, ax\n vmlaunch')).toBe('invalid')
  })

  it('want the launch state they are for', () => {
    m.begin()
    expect(m.result('vmresume')).toBe('valid 5')
    m.vmx.current!.launched = true
    expect(m.result('vmlaunch')).toBe('valid 4')
    m.on('vmclear', VMCS[0])
    m.on('vmptrld', VMCS[0])
    expect(m.result('vmresume')).toBe('valid 5')
  })

  it('behind MOV SS: error 26, before the launch state', () => {
    m.begin()
    expect(m.result('mov ax, 10h\n mov ss, ax\n vmresume')).toBe('valid 26')
    m.vmx.current!.launched = true
    expect(m.result('mov ax, 10h\n mov ss, ax\n vmlaunch')).toBe('valid 26')
    expect(m.result('sti\n vmlaunch')).toBe('valid 4')
  })

  it('of a VMCS with nothing in it: error 7, and it stays clear', () => {
    m.begin()
    expect(m.result('vmlaunch')).toBe('valid 7')
    expect(m.vmx.current!.launched).toBe(false)
    expect(m.result('vmlaunch')).toBe('valid 7')
  })
})

describe('INVEPT and INVVPID', () => {
  beforeEach(() => m.begin())
  const invalidate = (name: 'invept' | 'invvpid', type: bigint | number, low: bigint | number, high: bigint | number = 0): string => {
    m.poke64(DATA, BigInt(low))
    m.poke64(DATA + 8, BigInt(high))
    return m.result(`mov rax, ${type}\n ${name} rax, oword [abs ${DATA}]`)
  }

  it('INVEPT: types 1 and 2, a valid EPT pointer for 1', () => {
    expect([invalidate('invept', 1, 0x1000_001e), invalidate('invept', 2, 0xffff)]).toEqual(['ok', 'ok'])
    for (const pointer of [0n, 0x1000_0006n, 0x1000_081en, WIDE | 0x1en]) expect([pointer, invalidate('invept', 1, pointer)]).toEqual([pointer, 'valid 28'])
    for (const type of [0n, 3n, 4n, 1n << 32n, 1n << 63n]) expect([type, invalidate('invept', type, 0x1000_001e)]).toEqual([type, 'valid 28'])
  })

  it('INVVPID: four types, VPID not 0 but for all of them, canonical address for one of them', () => {
    for (const type of [0, 1, 2, 3]) {
      expect([type, invalidate('invvpid', type, 1)]).toEqual([type, 'ok'])
      expect([type, invalidate('invvpid', type, 0)]).toEqual([type, type === 2 ? 'ok' : 'valid 28'])
      expect([type, invalidate('invvpid', type, 0x10001)]).toEqual([type, 'valid 28'])
      expect([type, invalidate('invvpid', type, 1, 1n << 62n)]).toEqual([type, type === 0 ? 'valid 28' : 'ok'])
    }
    for (const type of [4n, 1n << 40n]) expect([type, invalidate('invvpid', type, 1)]).toEqual([type, 'valid 28'])
    expect(eptVpid & EptVpid.invvpid).toBe(EptVpid.invvpid)
  })

  it('read their descriptor behind the type', () => {
    const far = 'mov rbx, 1 << 40\n'
    expect(m.result(`${far} mov eax, 2\n invept rax, oword [rbx]`)).toBe('#14(0)')
    expect(m.result(`${far} mov eax, 7\n invept rax, oword [rbx]`)).toBe('valid 28')
    expect(m.result(`${far} mov eax, 2\n invvpid rax, oword [rbx]`)).toBe('#14(0)')
    expect(m.result(`${far} mov eax, 7\n invvpid rax, oword [rbx]`)).toBe('valid 28')
  })
})

describe('any operand', () => {
  /** xorshift32 */
  const numbers = (seed: number) => (): number => {
    seed ^= seed << 13
    seed ^= seed >>> 17
    seed ^= seed << 5
    return seed >>> 0
  }

  it('ends in success, a VMfail or a fault, and pointers stay pages of DRAM with the revision id', () => {
    m.begin()
    const next = numbers(0x1234567)
    const places = [0, VMXON, ...VMCS, DATA, 0xfee0_0000, MEGABYTES << 20]
    const pointer = (): bigint => {
      const base = BigInt(places[next() % places.length]!)
      return next() % 3 === 0 ? base ^ (1n << BigInt(next() % 64)) : base
    }
    const seen = new Set<string>()
    for (let n = 0; n < 400; n++) {
      const instruction = (['vmclear', 'vmptrld', 'vmxon', 'vmread', 'vmwrite', 'invept', 'invvpid', 'vmptrst', 'vmresume'] as const)[next() % 9]!
      const encoding = next() % 2 ? next() % 0x7000 : Object.values(vmcsFields)[next() % Object.values(vmcsFields).length]!
      m.poke64(DATA, pointer())
      m.poke64(DATA + 8, pointer())
      const first = `mov rax, ${instruction.startsWith('inv') ? next() % 6 : encoding}\n mov rbx, ${pointer()}\n`
      const texts = {
        vmread: 'vmread rbx, rax', vmwrite: 'vmwrite rax, rbx', invept: `invept rax, oword [abs ${DATA}]`, invvpid: `invvpid rax, oword [abs ${DATA}]`, vmresume: 'vmresume',
      } as Record<string, string>
      const result = m.result(first + (texts[instruction] ?? `${instruction} ${MEMORY}`))
      seen.add(`${instruction} ${result}`)
      expect([instruction, result]).toEqual([instruction, expect.stringMatching(/^(ok|invalid|valid \d+)$/)])
      const { current } = m.vmx
      if (current) expect([current.header, m.machine.physical.host(current.address) !== 0, current.address % 4096]).toEqual([REVISION, true, 0])
    }
    for (const what of ['vmclear ok', 'vmclear valid 2', 'vmptrld ok', 'vmptrld valid 9', 'vmptrld valid 11', 'vmread valid 12', 'vmwrite ok', 'invept valid 28', 'vmresume valid 5']) {
      expect([...seen]).toContain(what)
    }
  })
})

describe('saved state', () => {
  it('comes back with mode, pointers, launch state and counters', () => {
    m.begin()
    m.vmx.current!.launched = true
    m.vmx.counters.exits[18] = 7
    const own = m.vmx.save()
    const saved = JSON.parse(JSON.stringify(m.machine.save())) as ReturnType<typeof m.machine.save>
    m.result('vmxoff')
    m.vmx.counters.exits[18] = 0
    m.machine.restore(saved)
    expect([m.vmx.mode, m.vmx.vmxonPointer, m.vmx.current!.address, m.vmx.current!.launched, m.vmx.counters.exits[18]]).toEqual(['root', VMXON, VMCS[0], true, 7])
    expect(m.vmx.save()).toEqual(own)
    expect(m.result('mov eax, 4000h\n vmread rbx, rax')).toBe('ok')
  })

  it('refuses what does not fit, and nothing changes', () => {
    m.begin()
    const good = m.vmx.save()
    for (const [name, bad] of [
      ['mode', 'smm'], ['vmxonPointer', '123'], ['vmxonPointer', 5], ['current', 'fee00000'], ['current', 'zz'], ['controls', {}], ['controls', null], ['exits', []],
      ['entries', -1], ['aborted', 1], ['pendingMtf', null], ['preemptionDeadline', 'x'], ['lastFailure', { id: 1 }],
    ] as const) {
      const broken = JSON.parse(JSON.stringify(good)) as typeof good
      broken.fields[name] = bad as never
      expect(() => m.vmx.restore(broken), name).toThrow('VMX')
      expect(m.vmx.save()).toEqual(good)
    }
    expect(() => m.vmx.restore({ ...good, version: 99 })).toThrow('version')
    expect(() => m.vmx.restore({ version: good.version, fields: { ...good.fields, mode: 'nonRoot', current: null } })).toThrow('guest')
  })

  it('is not taken by a machine without VT-x', () => {
    const plain = new Monitor({ vmx: false })
    expect(() => plain.machine.restore(m.machine.save())).toThrow('VT-x')
    expect(() => m.machine.restore(plain.machine.save())).toThrow('VT-x')
  })
})

// One kind of exit at a time: a few instructions in a VM, which write what they saw to the test device's exit port.

import { describe, expect, it } from 'vitest'
import { resolveBoard } from '../../src-core/board/config.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import { VmMachine, type VmStop } from '../../src-core/board/vm.ts'
import { assemble } from '../../src-core/guests/assembler/assemble.ts'

const CODE = 0x100000
const machine = new VmMachine({
  config: resolveBoard(PRESETS.get('uma-1n')!, { megabytes: 64, processors: 1 }),
  guest: { megabytes: 16, processors: 1 },
})

/** Runs 32-bit code at CPL 0, flat, without paging. */
function run(text: string, most = 20e6): VmStop | 'idle' | 'no end' {
  const data = assemble(text, { origin: BigInt(CODE), bits: 32 }).sections[0]!.bytes
  const flat = (selector: number) => ({ selector, base: 0 })
  machine.load([{ address: CODE, data, length: data.length }], { mode: 'protected', rip: CODE, rflags: 2, gprs: { rsp: 0x90000n }, cs: flat(0x10), data: flat(0x18) })
  const end = machine.time + most
  while (machine.time < end) {
    const { stop, idle } = machine.run()
    if (stop) return stop
    if (idle) return 'idle'
  }
  return 'no end'
}

/** EAX at the end of `text`. */
const result = (text: string): number => {
  const stop = run(`${text}\n out 0F4h, eax\n`)
  if (typeof stop === 'string' || stop.kind !== 'exit') throw new Error(JSON.stringify(stop))
  return stop.code
}

/** An IDT at 200000H whose gate `vector` leads to the end, with the vector in EAX; the 8259s are masked. */
const handled = (vector: number, body: string): string => `
  mov word [200000h + ${vector * 8}], handler - 100000h
  mov word [200000h + ${vector * 8 + 2}], 10h
  mov word [200000h + ${vector * 8 + 4}], 8E00h
  mov word [200000h + ${vector * 8 + 6}], 10h
  mov word [1FFF00h], 7FFh
  mov dword [1FFF02h], 200000h
  mov dword [201000h], 0
  mov dword [201004h], 0
  mov dword [201010h], 0FFFFh
  mov dword [201014h], 0CF9B00h
  mov word [1FFF08h], 17h
  mov dword [1FFF0Ah], 201000h
  lgdt [1FFF08h]
  lidt [1FFF00h]
  mov al, 0FFh
  out 21h, al
  out 0A1h, al
  ${body}
  mov eax, 99
  out 0F4h, eax
handler:
  mov eax, ${vector}
`

describe('a guest', () => {
  it('sees the hypervisor in CPUID, and no VMX', () => {
    expect(result('mov eax, 1\n cpuid\n shr ecx, 31\n mov eax, ecx')).toBe(1)
    expect(result('mov eax, 1\n cpuid\n shr ecx, 5\n and ecx, 1\n mov eax, ecx')).toBe(0)
    expect(result('mov eax, 40000000h\n cpuid\n mov eax, ebx')).toBe(Buffer.from('Ring').readUInt32LE())
    expect(result('mov eax, 0Bh\n mov ecx, 1\n cpuid\n mov eax, ebx')).toBe(1)
  })

  it('makes hypercalls', () => {
    expect(result('xor eax, eax\n vmcall')).toBe(1)
    expect(result('mov eax, 1\n vmcall')).toBe(1)
    expect(result('mov eax, 1234\n vmcall')).toBe(0xffffffff)
  })

  it.each(['vmxoff', 'vmlaunch', 'vmresume', 'vmclear [300000h]', 'vmptrld [300000h]', 'vmxon [300000h]', 'vmread eax, ecx'])('gets #UD for %s', (text) => {
    expect(result(handled(6, text))).toBe(6)
  })

  it.each([
    ['an MSR that does not exist', 'mov ecx, 4Eh\n rdmsr'],
    ['a VMX capability MSR', 'mov ecx, 480h\n rdmsr'],
    ['a write of the locked IA32_FEATURE_CONTROL', 'mov ecx, 3Ah\n mov eax, 5\n xor edx, edx\n wrmsr'],
    ['an MTRR type that does not exist', 'mov ecx, 2FFh\n mov eax, 2\n xor edx, edx\n wrmsr'],
    ['CR4.VMXE', 'mov eax, cr4\n or eax, 2000h\n mov cr4, eax'],
    ['NW without CD', 'mov eax, cr0\n or eax, 20000020h\n and eax, 0BFFFFFFFh\n mov cr0, eax'],
    ['an XCR0 without x87', 'mov eax, cr4\n or eax, 40000h\n mov cr4, eax\n xor ecx, ecx\n xor edx, edx\n mov eax, 2\n xsetbv'],
  ])('gets #GP for %s', (_what, text) => {
    expect(result(handled(13, text))).toBe(13)
  })

  it('has its own model-specific registers', () => {
    expect(result('mov ecx, 2FFh\n mov eax, 0C06h\n xor edx, edx\n wrmsr\n xor eax, eax\n rdmsr')).toBe(0xc06)
    expect(result('mov ecx, 3Ah\n rdmsr')).toBe(1)
    expect(result('mov ecx, 1Bh\n rdmsr')).toBe(0xfee00900)
  })

  it('sees the CR0.NE it wrote, set or clear', () => {
    expect(result('mov eax, cr0\n and eax, 20h')).toBe(0)
    expect(result('mov eax, cr0\n or eax, 20h\n mov cr0, eax\n mov eax, cr0\n and eax, 20h')).toBe(0x20)
    expect(result('mov eax, cr0\n or eax, 20h\n mov cr0, eax\n and eax, 0FFFFFFDFh\n mov cr0, eax\n mov eax, cr0\n and eax, 20h')).toBe(0)
    expect(result('mov eax, cr4')).toBe(0)
  })

  it('writes its TSC, and TSC_ADJUST follows', () => {
    expect(result('mov ecx, 10h\n xor eax, eax\n mov edx, 1000h\n wrmsr\n rdtsc\n mov eax, edx')).toBe(0x1000)
    expect(result('mov ecx, 3Bh\n xor eax, eax\n mov edx, 2000h\n wrmsr\n rdtsc\n mov eax, edx')).toBe(0x2000)
    expect(result('mov ecx, 3Bh\n xor eax, eax\n mov edx, 2000h\n wrmsr\n xor edx, edx\n rdmsr\n mov eax, edx')).toBe(0x2000)
  })

  it('reaches its chips by MOV of every width', () => {
    const id = '0FEE00020h'
    expect(result('mov dword [0FEE00080h], 50h\n mov eax, [0FEE00080h]')).toBe(0x50)
    expect(result('mov ecx, 50h\n mov [0FEE00080h], ecx\n movzx eax, byte [0FEE00080h]')).toBe(0x50)
    expect(result(`mov ecx, 0FFh\n mov [0FEE000D0h], ecx\n mov eax, [${id}]`)).toBe(0)
    expect(result('mov dword [0FEE000F0h], 1FFh\n movsx eax, byte [0FEE000F0h]')).toBe(0xffffffff)
    // HPET capabilities, 64 bits in two halves, and a byte into AH
    expect(result('mov eax, [0FED00000h]')).toBe(0x8086a201)
    expect(result('xor eax, eax\n mov ah, [0FED00001h]')).toBe(0xa200)
    // where no chip is
    expect(result('mov eax, [0FE000000h]')).toBe(0xffffffff)
  })

  it('reads and writes ports by string instructions', () => {
    expect(result("mov esi, 300000h\n mov dword [esi], 12345678h\n mov dx, 0E0h\n mov ecx, 2\n rep outsw\n mov eax, esi")).toBe(0x300004)
    expect(result('mov edx, 71h\n mov al, 0Fh\n out 70h, al\n mov edi, 300000h\n mov ecx, 3\n rep insb\n mov eax, edi')).toBe(0x300003)
  })

  it('waits in HLT for its timer', () => {
    const stop = result(handled(0x40, `
      mov dword [0FEE000F0h], 1FFh
      mov dword [0FEE00320h], 40h
      mov dword [0FEE003E0h], 0Bh
      mov dword [0FEE00380h], 1000
      sti
      hlt`))
    expect(stop).toBe(0x40)
    expect(machine.vm!.figures().exits).toMatchObject({ hlt: 1, externalInterrupt: 1 })
  })

  it('waits for ever in HLT without interrupts', () => {
    const stop = run('mov al, 0FFh\n out 21h, al\n out 0A1h, al\n cli\n hlt')
    expect(stop).not.toMatchObject({ kind: 'exit' })
    expect(machine.deaf).toBe(true)
  })

  it('gets an interrupt as soon as it can take it', () => {
    // a self-IPI with interrupts off, which an interrupt window lets in behind STI and one more instruction
    expect(result(handled(0x41, 'mov dword [0FEE000F0h], 1FFh\n mov dword [0FEE00300h], 44041h\n nop\n sti\n nop\n nop'))).toBe(0x41)
    expect(machine.vm!.figures().exits.interruptWindow).toBe(1)
  })

  it('ends with a triple fault that says where', () => {
    expect(run('lidt [zero]\n ud2\nzero: dd 0, 0')).toEqual({ kind: 'tripleFault', processor: 0 })
    expect(machine.vm!.failure).toMatch(/^triple fault of virtual processor 0: RIP 100/)
  })

  it.each([
    ['a chip by an instruction that is not emulated', 'add dword [0FEE00080h], 1', /reached the chip at FEE00080H with an instruction that is not emulated: 83 05/],
    ['code where there is no memory', 'mov eax, 0F0000000h\n jmp eax', /fetched code at F0000000H/],
    ['paging structures where there is no memory', 'mov eax, 0F0000000h\n mov cr3, eax\n mov eax, cr0\n or eax, 80000000h\n mov cr0, eax', /paging structures/],
  ])('stops over %s', (_what, text, reason) => {
    expect(run(text)).toEqual({ kind: 'monitor', reason: expect.stringMatching(reason) })
  })
})

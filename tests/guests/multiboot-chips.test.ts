// Multiboot 1 kernels on the machine and the chips they look for: the tick of virtual wire mode, LAPIC and x2APIC, HPET,
// ACPI's RSDP, PCI.

import { describe, expect, it } from 'vitest'
import { firmware } from '../../src-core/board/firmware.ts'
import { ended, run, start } from './multiboot-kernel.ts'

describe('interrupt controllers', () => {
  it('tick 18.2 times a second at vector 8, through the 8259 and LINT0, from the start (MP 1.4 3.6.2.2)', async () => {
    const { stop, answer, machine } = await run(
      start(`
    gate    8, tick
    lidt    [pointer]
    sti
    hlt
    rdtsc
    mov     ebx, eax
    hlt
    hlt
    rdtsc
    sub     eax, ebx
    answer  0, eax
    answer  1, ebp
    mov     al, 0xff                    ; masked: nothing more
    out     0x21, al
    rdtsc
    mov     ebx, eax
.wait:
    rdtsc
    sub     eax, ebx
    cmp     eax, 300000000
    jb      .wait
    answer  2, ebp
    exit    0
tick:
    inc     ebp
    push    eax
    mov     al, 0x20
    out     0x20, al
    pop     eax
    iretd`),
    )
    expect(stop).toEqual(ended())
    const tick = (machine.config.topology.frequency * 65_536) / 1_193_182
    expect(Math.abs(answer(0) / (2 * tick) - 1)).toBeLessThan(0.001)
    expect([answer(1), answer(2)]).toEqual([3, 3])
  })

  it('the LAPIC goes away and comes back through IA32_APIC_BASE (SDM 3A 10.4.3)', async () => {
    const { stop, answer } = await run(
      start(`
    read_msr 0x1b
    answer  0, eax
    mov     esi, eax
    mov     dword [APIC + 0x80], 0x30
    and     eax, ~0x800
    wrmsr
    mov     eax, 1
    cpuid
    shr     edx, 9
    and     edx, 1
    answer  1, edx
    mov     eax, [APIC + 0x30]
    answer  2, eax
    mov     ecx, 0x1b
    xor     edx, edx
    mov     eax, esi
    wrmsr
    mov     eax, 1
    cpuid
    shr     edx, 9
    and     edx, 1
    answer  3, edx
    mov     eax, [APIC + 0x30]
    movzx   eax, al
    answer  4, eax
    mov     eax, [APIC + 0x80]          ; CR8 survives, the rest is as after reset
    answer  5, eax
    mov     eax, [APIC + 0xf0]
    answer  6, eax
    write_msr 0x1b, 0, 0xfed00900 + 0x200000 ; moved to FEF00000H, bootstrap processor
    mov     eax, [0xfef00030]
    movzx   eax, al
    answer  7, eax
    exit    0`),
    )
    expect(stop).toEqual(ended())
    expect([0, 1, 2, 3, 5, 6].map(answer)).toEqual([0xfee00900, 0, 0xffffffff, 1, 0x30, 0xff])
    expect(answer(4)).toBeGreaterThanOrEqual(0x14)
    expect(answer(7)).toBe(answer(4))
  })

  it('x2APIC: registers are MSRs, the page is gone, IPIs reach oneself, and the way back leads over "disabled" (SDM 3A 10.12)', async () => {
    const { stop, answer } = await run(
      start(`
    gate    0x50, handler
    gate    13, refused
    lidt    [pointer]
    mov     al, 0xff                    ; no ticks
    out     0x21, al
    write_msr 0x1b, 0, 0xfee00d00
    read_msr 0x802
    answer  0, eax
    mov     eax, [APIC + 0x20]
    answer  1, eax
    write_msr 0x80f, 0, 0x1ff
    sti
    write_msr 0x83f, 0, 0x50            ; self IPI
    nop
    answer  2, ebp
    write_msr 0x830, 0, 0x50            ; ICR in one write, to ID 0
    nop
    answer  3, ebp
    write_msr 0x1b, 0, 0xfee00900       ; #GP
    answer  4, edi
    write_msr 0x1b, 0, 0xfee00100
    write_msr 0x1b, 0, 0xfee00900
    answer  5, edi
    mov     eax, [APIC + 0xf0]
    answer  6, eax
    read_msr 0x802                      ; #GP in xAPIC mode
    answer  7, edi
    exit    0
handler:
    inc     ebp
    write_msr 0x80b, 0, 0
    iretd
refused:
    inc     edi
    add     dword [esp + 4], 2          ; RDMSR and WRMSR have two bytes
    add     esp, 4
    iretd`),
    )
    expect(stop).toEqual(ended())
    expect([0, 1, 2, 3, 4, 5, 6, 7].map(answer)).toEqual([0, 0xffffffff, 1, 2, 1, 1, 0xff, 2])
  })
})

describe('what a PC is searched for', () => {
  it('the HPET counts at what its capabilities say (IA-PC HPET 1.0a 2.3.4)', async () => {
    const { stop, answer, machine } = await run(
      start(`
    mov     eax, [0xfed00000]
    answer  0, eax
    mov     eax, [0xfed00004]
    answer  1, eax
    mov     eax, [0xfed000f0]
    answer  2, eax
    mov     dword [0xfed00010], 1
    rdtsc
    mov     ebx, eax
.wait:
    rdtsc
    sub     eax, ebx
    cmp     eax, 2200000
    jb      .wait
    mov     ecx, [0xfed000f0]
    rdtsc
    sub     eax, ebx
    answer  3, ecx
    answer  4, eax
    exit    0`),
    )
    expect(stop).toEqual(ended())
    expect([answer(0) >>> 16, answer(0) & 0xff, answer(2)]).toEqual([0x8086, 1, 0])
    const seconds = (answer(3) * answer(1)) / 1e15
    expect(Math.abs(seconds / (answer(4) / machine.config.topology.frequency) - 1)).toBeLessThan(0.01)
  })

  it('the RSDP lies on a 16-byte boundary between E0000H and FFFFFH with both checksums (ACPI 6.5 5.2.5)', async () => {
    const { stop, answer, machine } = await run(
      start(`
    mov     esi, 0xe0000
.search:
    cmp     dword [esi], "RSD "
    jne     .next
    cmp     dword [esi + 4], "PTR "
    je      .found
.next:
    add     esi, 16
    cmp     esi, 0x100000
    jb      .search
    exit    1
.found:
    answer  0, esi
    mov     ecx, 20
    call    sum
    answer  1, eax
    mov     ecx, [esi + 20]
    call    sum
    answer  2, eax
    mov     esi, [esi + 24]             ; XSDT
    mov     eax, [esi]
    answer  3, eax
    mov     ecx, [esi + 4]
    call    sum
    answer  4, eax
    exit    0
sum:
    xor     eax, eax
    mov     edi, esi
.byte:
    add     al, [edi]
    inc     edi
    loop    .byte
    ret`),
    )
    expect(stop).toEqual(ended())
    expect(answer(0)).toBe(firmware(machine.config).rsdp)
    expect([1, 2, 3, 4].map(answer)).toEqual([0, 0, Buffer.from('XSDT').readUInt32LE(), 0])
  })

  it('PCI answers through CF8H and CFCH: host bridge, ISA bridge, power management; absent functions read all ones (PCI 3.0 3.2.2.3)', async () => {
    const read = (address: number, to: number): string => `
    mov     edx, 0xcf8
    mov     eax, ${address}
    out     dx, eax
    mov     edx, 0xcfc
    in      eax, dx
    answer  ${to}, eax`
    const { stop, answer } = await run(
      start(`
${read(0x80000000, 0)}
${read(0x80000800, 1)}
${read(0x80000b00, 2)}
${read(0x8000f800, 3)}
${read(0, 4)}
    mov     edx, 0xcf8
    in      eax, dx
    answer  5, eax
${read(0x80000808, 6)}
    mov     edx, 0xcff
    xor     eax, eax
    in      al, dx
    answer  7, eax
    exit    0`),
    )
    expect(stop).toEqual(ended())
    expect([0, 1, 2, 3, 4, 5].map(answer)).toEqual([0x12378086, 0x70008086, 0x71138086, 0xffffffff, 0xffffffff, 0])
    expect([answer(6) >>> 16, answer(7)]).toEqual([0x0601, 6])
  })
})

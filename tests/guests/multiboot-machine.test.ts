// Multiboot 1 kernels on the machine: what they are handed, and the ports that test kernels by others use: exit, shutdown,
// fw_cfg, the test device, the start of other processors.

import { describe, expect, it } from 'vitest'
import { firmware } from '../../src-core/board/firmware.ts'
import { assemble } from '../../src-core/guests/assembler/assemble.ts'
import { random } from './images.ts'
import { ANSWERS, ended, HEADER, MEGABYTES, run, start } from './multiboot-kernel.ts'

describe('entry (Multiboot 0.6.96, 3.2 and 3.3)', () => {
  const BODY = `
bits 32
entry start
start:
    answer  0, eax
    answer  1, ebx
    mov     eax, cr0
    answer  2, eax
    mov     esp, stack
    pushfd
    pop     eax
    answer  3, eax
    mov     eax, [ebx]
    answer  4, eax
    mov     eax, [ebx + 20]             ; modules
    answer  5, eax
    mov     esi, [ebx + 24]
    mov     edx, [esi]
    answer  6, edx
    mov     ecx, [esi + 4]
    answer  7, ecx
    sub     ecx, edx
    xor     eax, eax
.sum:
    movzx   edi, byte [edx]
    rol     eax, 3
    xor     eax, edi
    inc     edx
    loop    .sum
    answer  8, eax
    mov     esi, [ebx + 16]             ; the command line, to the console
.letter:
    lodsb
    test    al, al
    jz      .map
    out     0xe9, al
    jmp     .letter
.map:
    mov     esi, [ebx + 48]             ; each entry: size of the rest, base, length, type
    mov     edi, ${ANSWERS + 0x100}
    mov     ecx, [ebx + 44]
    mov     edx, ecx
    shr     ecx, 2
    rep movsd
    answer  9, edx
    mov     eax, [ebx + 4]
    answer  10, eax
    mov     eax, [ebx + 8]
    answer  11, eax
    exit    0
`
  it('hands over magic, flat protected mode without paging, command line, module and memory map', async () => {
    const next = random(5)
    const initrd = Uint8Array.from({ length: 5003 }, () => next() & 0xff)
    const { stop, console, answer, machine } = await run(BODY, { append: 'one  two=3', initrd })
    expect(stop).toEqual(ended())
    expect(answer(0)).toBe(0x2badb002)
    expect(answer(2) & 0x80000001).toBe(1)
    expect(answer(3) & 0x20200).toBe(0)
    expect(answer(4) & 0x4d).toBe(0x4d)
    expect(console).toBe('kernel.elf one  two=3')
    expect([answer(5), answer(7) - answer(6)]).toEqual([1, initrd.length])
    expect(answer(6)).toBeGreaterThan(0x100000 + 0x1000)
    expect(answer(8)).toBe(initrd.reduce((sum, b) => ((sum << 3) | (sum >>> 29)) ^ b, 0) >>> 0)
    const entries = answer(9) / 24
    const map = Array.from({ length: entries }, (_, n) => {
      const at = 0x40 + 6 * n
      expect(answer(at)).toBe(20)
      return { address: answer(at + 1) + answer(at + 2) * 2 ** 32, length: answer(at + 3) + answer(at + 4) * 2 ** 32, type: answer(at + 5) }
    })
    expect(map).toEqual(firmware(machine.config).map)
    // KiB below 640 K, and from 1 MiB up
    expect([answer(10), answer(11)]).toEqual([639, (MEGABYTES - 1) * 1024])
  })

  it('loads an image with address fields', async () => {
    // 12 header, load, load end, bss end, entry
    const flat = (): Uint8Array => {
      const body = `
    dd      header, header, 0, header + 0x2000, start
bits 32
start:
    mov     ecx, [header + 0x1ffc]      ; behind the file: zero
    answer  0, eax
    answer  1, ecx
    exit    9
`
      return assemble(HEADER(0x10003) + body, { bits: 32 }).flat()
    }
    const { stop, answer } = await run('', { file: flat })
    expect(stop).toEqual(ended(9))
    expect([answer(0), answer(1)]).toEqual([0x2badb002, 0])
  })
})

describe('ports of test kernels', () => {
  it.each([0, 1, 19, 0x7f, 0x12345, 0xffffffff])('a double word of %i to F4H ends the machine with it', async (code) => {
    expect((await run(start(`exit ${code}`))).stop).toEqual(ended(code))
  })

  it('the bytes "Shutdown" to 8900H switch off, others do not', async () => {
    const spell = (text: string): string =>
      start(`
    mov     esi, text
    mov     ecx, ${text.length}
    mov     edx, 0x8900
    rep outsb
    exit    5
text: db "${text}"`)
    expect((await run(spell('Shutdown'))).stop).toEqual({ kind: 'powerOff' })
    expect((await run(spell('ShutShutdown'))).stop).toEqual({ kind: 'powerOff' })
    expect((await run(spell('shutdown Shutdow'))).stop).toEqual(ended(5))
  })

  it('fw_cfg tells memory, processors, and 0 under key 11H', async () => {
    const key = (n: number, bytes: number, to: number): string => `
    mov     dx, 0x510
    mov     ax, ${n}
    out     dx, ax
    inc     dx
    mov     ecx, ${bytes}
    mov     edi, ${ANSWERS + 4 * to}
    rep insb`
    const { stop, answer } = await run(
      start(`${key(3, 8, 0)}${key(5, 2, 2)}
    mov     dword [${ANSWERS + 12}], -1
${key(0x11, 4, 3)}${key(0, 4, 4)}
    exit    0`),
      { processors: 3 },
    )
    expect(stop).toEqual(ended())
    expect([0, 1, 2, 3].map(answer)).toEqual([MEGABYTES * 2 ** 20, 0, 3, 0])
    expect(answer(4)).toBe(Buffer.from('QEMU').readUInt32LE())
  })

  it('the test device echoes at E0H in every width, takes page flushes, and has memory at FF000000H', async () => {
    const { stop, answer } = await run(
      start(`
    mov     eax, 0x12345678
    out     0xe0, eax
    xor     eax, eax
    in      eax, 0xe0
    answer  0, eax
    mov     ax, 0xabcd
    out     0xe0, ax
    in      eax, 0xe0
    answer  1, eax
    mov     al, 0x5a
    out     0xe3, al
    xor     eax, eax
    in      ax, 0xe2
    answer  2, eax
    mov     eax, ${ANSWERS}
    out     0xe4, eax
    mov     edi, 0xff000ffc
    mov     dword [edi], 0xcafef00d
    mov     word [edi + 4], 0x1234      ; the next page
    mov     eax, [edi + 2]
    answer  3, eax
    mov     al, [0xff000fff]
    movzx   eax, al
    answer  4, eax
    exit    0`),
    )
    expect(stop).toEqual(ended())
    expect([0, 1, 2, 3, 4].map(answer)).toEqual([0x12345678, 0x1234abcd, 0x5a34, 0x1234cafe, 0xca])
  })

  it('2000H + n drives interrupt line n: edge and level at the IOAPIC (82093AA 3.2.4)', async () => {
    const { stop, answer } = await run(
      start(`
    gate    0x40, handler
    gate    0x41, level
    lidt    [pointer]
    mov     al, 0xff
    out     0x21, al
    out     0xa1, al
    mov     dword [APIC + 0xf0], 0x1ff
    mov     dword [0xfec00000], 0x10 + 2 * 5
    mov     dword [0xfec00010], 0x40    ; edge
    mov     dword [0xfec00000], 0x10 + 2 * 20
    mov     dword [0xfec00010], 0x8041  ; level
    sti
    mov     edx, 0x2005
    mov     al, 1
    out     dx, al
    nop
    out     dx, al                      ; no edge
    nop
    answer  0, ebp
    mov     al, 0
    out     dx, al
    mov     al, 1
    out     dx, al
    nop
    answer  1, ebp
    mov     edx, 0x2000 + 20
    mov     al, 1
    out     dx, al
    nop
    answer  2, edi                      ; until the handler has let it go
    exit    0
handler:
    inc     ebp
    mov     dword [APIC + 0xb0], 0
    iretd
level:
    inc     edi
    cmp     edi, 3
    jne     .still
    mov     al, 0
    out     dx, al
.still:
    mov     dword [APIC + 0xb0], 0
    iretd`),
    )
    expect(stop).toEqual(ended())
    expect([0, 1, 2].map(answer)).toEqual([1, 2, 3])
  })
})

describe('processors', () => {
  it.each([1, 2, 4, 16])(
    'INIT and one start-up IPI at vector 0 start all the others, %i in all, once (SDM 3A 8.4.4)',
    async (processors) => {
      const { stop, answer, machine } = await run(
        start(`
    mov     esi, trampoline
    xor     edi, edi
    mov     ecx, trampoline_end - trampoline
    rep movsb
    mov     dword [APIC + 0xf0], 0x1ff
    mov     dword [APIC + 0x300], 0xc4500
    mov     dword [APIC + 0x300], 0xc4600
    rdtsc
    mov     ebx, eax
.wait:
    pause
    rdtsc
    sub     eax, ebx
    cmp     eax, 2000000
    jb      .wait
    exit    0
trampoline:
bits 16
    mov     ax, cs
    test    ax, ax
    jnz     $                           ; not at 0:0
    lgdt    [cs:short_pointer - trampoline]
    mov     eax, cr0
    or      al, 1
    mov     cr0, eax
    jmp     dword 8:(application)
align 8
short_table: dq 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
short_pointer: dw 23
    dd      short_table - trampoline
trampoline_end:
bits 32
application:
    mov     ax, 0x10
    mov     ds, ax
    lock inc dword [${ANSWERS}]
    mov     eax, [APIC + 0x20]
    shr     eax, 24
    lock bts [${ANSWERS + 4}], eax
    cli
    hlt
    jmp     $ - 1`),
        { processors },
      )
      expect(stop).toEqual(ended())
      expect(answer(0)).toBe(processors - 1)
      const ids = machine.config.processors.slice(1).reduce((bits, p) => bits + 2 ** p.apicId, 0)
      expect(answer(1)).toBe(ids)
    },
  )
})

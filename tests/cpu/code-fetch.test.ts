// Code that changes while it runs, and where code may be fetched from: self- and cross-modifying code, instructions across pages,
// XD, SMEP, chips, CS's limit (SDM 3A 8.1.3, 11.6; faults of fetches SDM 3A 4.6, 4.7, 5.3).

import { describe, expect, it } from 'vitest'
import { CODE, DATA, Page, Stage64, STACK } from './program.ts'

const stage = new Stage64()

/** Position-independent code of `mov eax, value; ret`. */
const answer = (value: number): string => `mov eax, ${value}\n ret`

describe('self-modifying code (SDM 3A 8.1.3, 11.6)', () => {
  it('sees a change of the next instruction, of one further on in the same block, and of one before', () => {
    stage
      .load(
        `
start:
    xor     ebx, ebx
    mov     byte [rel next + 1], 7
next: mov bl, 1
    mov     byte [rel later + 1], 9
    nop
    nop
later: mov cl, 1
    mov     [data], bl
    mov     [data + 1], cl
    cmp     byte [data + 2], 0
    jne     over_now
    mov     byte [data + 2], 1
    mov     byte [rel next + 1], 3      ; and once more, by the loop
    mov     word [rel start + 2], 0x9090 ; XOR EBX, EBX's place and the first store's beginning stay decodable
    mov     byte [rel later + 1], 5
    jmp     next
over_now:
    quit
`,
      )
      .run()
    expect(stage.get(DATA) & 0xffffffn).toBe(0x1_0903n)
  })

  it('runs a function that is rewritten a thousand times', () => {
    stage
      .load(
        `
start:
    xor     ebx, ebx
    mov     ecx, 1000
again:
    mov     [rel function + 1], ecx
    call    function
    add     rbx, rax
    loop    again
    mov     [data], rbx
    quit
align 64
function:
    ${answer(0)}
`,
      )
      .run()
    expect(stage.get(DATA)).toBe(500_500n)
  })

  it('sees REP STOS over the code that it returns to', () => {
    expect(
      stage.trace(`
start:
    mov     qword [abs on_fault], last
    mov     edi, target
    mov     ecx, 4
    mov     al, 6                       ; PUSH ES, invalid in 64-bit mode
    rep stosb
    jmp     target
align 64
target: dd 0x90909090
last:
    quit
`),
    ).toBe('6 target')
  })
})

/** `mov eax, imm32` so that `before` of its bytes lie in the page before 38000H. */
const CROSS = 0x38000
const crossing = (before: number): string => `
times ${CROSS} - before_pad - ${CODE} - ${before} nop
crossed: mov eax, 0x44332211
    ret
`
const CALLS = (count: number, between: string): string => `
start:
    xor     ebx, ebx
    mov     ebp, ${count}
again:
    call    crossed
    mov     [data + rbx * 8], rax
    inc     ebx
    dec     ebp
    jz      finish
    ${between}
    jmp     again
finish:
    quit
before_pad equ $ - ${CODE}
`

describe('an instruction across two pages', () => {
  it.each([1, 2, 3, 4])('with %i bytes on the first sees its second page rewritten', (before) => {
    const last = CROSS + 5 - before - 1
    stage.load(CALLS(4, `inc byte [abs ${last}]`) + crossing(before))
    expect(stage.at('crossed')).toBe(BigInt(CROSS - before))
    stage.run()
    expect([0, 1, 2, 3].map((n) => stage.get(DATA + 8 * n))).toEqual([0x44332211n, 0x45332211n, 0x46332211n, 0x47332211n])
  })

  it.each([2, 3, 4])('with %i bytes on the first sees its first page rewritten', (before) => {
    stage.load(CALLS(4, `inc byte [abs ${CROSS - before + 1}]`) + crossing(before)).run()
    expect([0, 1, 2, 3].map((n) => stage.get(DATA + 8 * n))).toEqual([0x44332211n, 0x44332212n, 0x44332213n, 0x44332214n])
  })

  it('sees both pages change between calls, in turn', () => {
    stage
      .load(
        CALLS(
          6,
          `
    inc     byte [abs ${CROSS - 1}]
    inc     byte [abs ${CROSS + 1}]
    nop`,
        ) + crossing(3),
      )
      .run()
    expect([0, 1, 2, 3, 4, 5].map((n) => stage.get(DATA + 8 * n))).toEqual(
      [0, 1, 2, 3, 4, 5].map((n) => BigInt(0x44332211 + n * 0x01000100)),
    )
  })

  it.each([0, 1])('sees page %i of the two remapped, behind INVLPG', (which) => {
    const page = CROSS - 0x1000 + which * 0x1000
    stage.load(
      CALLS(
        2,
        `
    mov     rax, ${0x1a0000 | 7}
    mov     [abs ${Stage64.entry(page)}], rax
    invlpg  [abs ${page}]`,
      ) + crossing(3),
    )
    stage.machine.physical.load(0x1a0000, stage.machine.physical.dump(page, 0x1000))
    const changed = which === 0 ? 0x1a0000 + 0xffe : 0x1a0001
    stage.machine.physical.load(changed, Uint8Array.of(0x99))
    stage.run()
    expect([stage.get(DATA), stage.get(DATA + 8)]).toEqual([0x44332211n, which === 0 ? 0x44332299n : 0x99332211n])
  })

  it('whose second page is not present faults with the second page in CR2 (SDM 3A 4.7)', () => {
    stage.load(
      `
start:
    mov     qword [abs on_fault], finish
    call    crossed
finish:
    quit
before_pad equ $ - ${CODE}
` + crossing(2),
    )
    stage.map(CROSS, CROSS, 0n)
    const [event] = stage.run()
    expect([event!.vector, event!.cr2, event!.rip]).toEqual([14, BigInt(CROSS), BigInt(CROSS - 2)])
  })
})

describe('cross-modifying code (SDM 3A 8.1.3)', () => {
  it.each([
    ['in one page', 0],
    ['across two pages', 3],
  ])('a second processor’s stores reach a function %s', (_name, before) => {
    const two = new Stage64(2)
    const head = `
start:
    xor     ebx, ebx
    mov     dword [abs data + 0x100], 1 ; go
again:
    call    crossed
    cmp     eax, 0x7f332211
    jne     again
    mov     [data], rax
    call    crossed
    mov     [data + 8], rax
    quit
other:
    pause
    cmp     dword [abs data + 0x100], 1
    jne     other
    mov     ecx, 200
.wait:
    pause
    loop    .wait
    inc     byte [abs ${before === 0 ? CROSS + 68 : CROSS + 4 - before}]
    cmp     byte [abs ${before === 0 ? CROSS + 68 : CROSS + 4 - before}], 0x7f
    jne     .more
    cli
    hlt
.more:
    mov     ecx, 20
    jmp     .wait
before_pad equ $ - ${CODE}
`
    two.load(head + crossing(before === 0 ? -64 : before))
    two.place(two.machine.cores[1]!, 'other', STACK - 0x4000)
    two.run()
    expect([two.get(DATA), two.get(DATA + 8)]).toEqual([0x7f332211n, 0x7f332211n])
    expect(two.machine.cores[1]!.instructions).toBeGreaterThan(1000)
  })
})

describe('instruction fetch', () => {
  const target = 0x180000
  const jump = (more = ''): Stage64 =>
    stage.load(`
start:
    mov     qword [abs on_fault], finish
    ${more}
    mov     eax, ${target}
    jmp     rax
finish:
    quit
`)
  const onlyEvent = (): unknown[] => {
    const [event, ...rest] = stage.run()
    expect(rest).toEqual([])
    return [event!.vector, event!.error, event!.rip, event!.cr2]
  }

  it('from a page with XD set is #PF, error code I/D and P (SDM 3A 4.6, 4.7)', () => {
    jump().map(target, target, Page.P | Page.W | Page.XD)
    expect(onlyEvent()).toEqual([14, 0x11n, BigInt(target), BigInt(target)])
  })

  it('from a page that is not present is #PF with I/D alone', () => {
    jump().map(target, target, 0n)
    expect(onlyEvent()).toEqual([14, 0x10n, BigInt(target), BigInt(target)])
  })

  it('at CPL 3 from a supervisor page is #PF with I/D, U/S and P', () => {
    jump(`
    to_user user
user:`).map(target, target, Page.P | Page.W)
    expect(onlyEvent()).toEqual([14, 0x15n, BigInt(target), BigInt(target)])
  })

  it('at CPL 0 from a user page is #PF under SMEP (SDM 3A 4.6.1)', () => {
    const text = `
    mov     rax, cr4
    or      rax, 0x100000
    mov     cr4, rax`
    jump(text)
    for (const page of [0x14000, 0x15000, 0x28000, 0x29000, CODE, CODE + 0x1000, CODE + 0x2000, CODE + 0x3000, STACK - 0x1000])
      stage.map(page, page, Page.P | Page.W)
    expect(onlyEvent()).toEqual([14, 0x11n, BigInt(target), BigInt(target)])
  })

  it('from a non-canonical address is #GP(0) at the branch (SDM 1 3.3.7.1)', () => {
    const events = stage
      .load(
        `
start:
    mov     qword [abs on_fault], finish
    mov     rax, 0x800000000000
there: jmp  rax
finish:
    quit
`,
      )
      .run()
    expect(events.map((e) => [e.vector, e.error, e.rip])).toEqual([[13, 0n, stage.at('there')]])
  })

  it('from a chip’s registers executes what they read', () => {
    // the test device's page: MOV EAX, 12345678H; RET
    stage.load(`
start:
    mov     edi, 0x1c0000
    mov     rax, 0xc312345678b8
    mov     [rdi], rax
    xor     eax, eax
    call    rdi
    mov     [data], rax
    mov     dword [rdi + 1], 0x99
    call    rdi
    mov     [data + 8], rax
    quit
`)
    stage.map(0x1c0000, 0xff000000)
    stage.run()
    expect([stage.get(DATA), stage.get(DATA + 8)]).toEqual([0x12345678n, 0x99n])
  })

  it('from an address where nothing is reads all ones: #UD', () => {
    jump().map(target, 0xd0000000)
    expect(onlyEvent().slice(0, 3)).toEqual([6, -1n, BigInt(target)])
  })

  // selector 30H: 16-bit code, base `data`, limit 1FH
  const inSegment = (bytes: number[], start: number): void => {
    stage.load(`
start:
    mov     qword [abs on_fault], finish
    push    code16
    push    ${start}
    retfq
finish:
    quit
`)
    stage.machine.physical.load(DATA, Uint8Array.from(bytes))
    stage.machine.code.flush()
  }
  it.each([
    ['runs the last byte, and behind it', Array(32).fill(0x90), 0, 0x20],
    ['an instruction that ends one byte behind it', [...Array(30).fill(0x90), 0xb8, 0x34, 0x12], 0, 0x1e],
    ['an instruction that ends at it, then the next', [...Array(29).fill(0x90), 0xb8, 0x34, 0x12], 0, 0x20],
    ['a jump behind it faults at the jump (SDM 2A JMP)', [0xeb, 0x30], 0, 0],
    ['a jump to the last byte, then the next', [0xeb, 0x1d, ...Array(29).fill(0xf4), 0xf9], 0, 0x20],
  ])('at the limit of a 16-bit segment: %s: #GP(0) (SDM 3A 5.3)', (_name, bytes, start, rip) => {
    inSegment(bytes as number[], start)
    const [event, ...rest] = stage.run()
    expect(rest).toEqual([])
    expect([event!.vector, event!.error, event!.rip, event!.cs]).toEqual([13, 0n, BigInt(rip), 0x30])
  })
})

// Debug exceptions as whole programs meet them: single steps, instruction and data breakpoints, DR6, RF, and MOV SS
// (SDM 3A 6.8.3, 6.8.1; SDM 3B 17.2, 17.3.1).

import { describe, expect, it } from 'vitest'
import { DATA, Stage64 } from './program.ts'

const stage = new Stage64()
const FIXED = 0xffff0ff0n
const [B0, B1, BD, BS] = [1n, 2n, 1n << 13n, 1n << 14n]
const RF = 1n << 16n
const TF = 1n << 8n
/** The upper half and the bits that read as 1, taken away. */
const causes = (dr6: bigint): bigint => dr6 ^ FIXED

/** DR7: breakpoint n enabled locally, kind 0 execute, 1 write, 3 read or write, bytes 1, 2, 4 or 8. */
const dr7 = (n: number, kind: number, bytes: 1 | 2 | 4 | 8 = 1): number =>
  (1 << (2 * n)) | ((kind | ({ 1: 0, 2: 1, 4: 3, 8: 2 }[bytes] << 2)) << (16 + 4 * n))
const arm = (n: number, address: string | number, control: number): string => `
    mov     rax, ${address}
    mov     dr${n}, rax
    mov     eax, ${control}
    mov     dr7, rax`

describe('single-step traps (SDM 3B 17.3.1.4)', () => {
  it('come behind every instruction after the one that set TF, with BS, and not behind INT n', () => {
    const events = stage
      .load(
        `
start:
    flags_or TF
first:  nop
second: mov rbx, rax
third:
    quit
`,
      )
      .run()
    expect(stage.trail(events)).toBe('1 second, 1 third')
    for (const e of events) {
      expect(causes(e.dr6)).toBe(BS)
      expect(e.rflags & TF).toBe(TF)
    }
  })

  it('come behind the POPF that clears TF', () => {
    expect(
      stage.trace(`
start:
    pushfq
    flags_or TF
    popfq
next:
    nop
    quit
`),
    ).toBe('1 next')
  })

  it('come behind each round of a repeated string instruction (SDM 2B REP)', () => {
    const events = stage
      .load(
        `
start:
    mov     edi, data
    mov     ecx, 3
    flags_or TF
copy: rep stosb
done:
    quit
`,
      )
      .run()
    expect(stage.trail(events)).toBe('1 copy, 1 copy, 1 done')
  })

  it('do not come behind an instruction that faulted, whose handler runs without TF and finds it in the image', () => {
    const events = stage
      .load(
        `
start:
    mov     qword [abs on_fault], after
    mov     rax, -257
    mov     [abs keep], rax
    flags_or TF
bad: ud2
after:
    nop
    quit
`,
      )
      .run()
    expect(stage.trail(events)).toBe('6 bad')
    expect(events[0]!.rflags & TF).toBe(TF)
    expect(causes(events[0]!.dr6)).toBe(0n)
  })

  it('SYSRET with TF in R11 traps at once, before the first instruction at CPL 3 (SDM 2B SYSRET)', () => {
    const events = stage
      .load(
        `
start:
    write_msr 0xc0000081, 0x00180008, 0
    mov     ecx, user
    mov     r11d, 0x3102
    o64 sysret
user:  nop
user2:
    quit
`,
      )
      .run()
    expect(stage.trail(events)).toBe('1 user, 1 user2')
    expect(events.map((e) => e.cs)).toEqual([0x2b, 0x2b])
  })

  it('SYSCALL whose FMASK clears TF does not trap, and keeps TF in R11 (SDM 2B SYSCALL)', () => {
    const events = stage
      .load(
        `
start:
    write_msr 0xc0000081, 0x00180008, 0
    write_msr 0xc0000082, 0, kernel
    write_msr 0xc0000084, 0, 0x100
    to_user user
user:
    flags_or TF
    syscall
back:
    nop
kernel:
    mov     [abs data], r11
    mov     [abs data + 8], rcx
    quit
`,
      )
      .run()
    expect(stage.trail(events)).toBe('')
    expect(stage.get(DATA) & TF).toBe(TF)
    expect(stage.get(DATA + 8)).toBe(stage.at('back'))
  })

  it('SYSCALL that leaves TF set traps at the first kernel instruction', () => {
    const events = stage
      .load(
        `
start:
    write_msr 0xc0000081, 0x00180008, 0
    write_msr 0xc0000082, 0, kernel
    to_user user
user:
    flags_or TF
    syscall
kernel: nop
kernel2:
    quit
`,
      )
      .run()
    expect(stage.trail(events)).toBe('1 kernel, 1 kernel2')
    expect(events.map((e) => e.cs)).toEqual([8, 8])
  })

  it('IRETQ that loads TF traps behind the next instruction', () => {
    expect(
      stage.trace(`
start:
    mov     rax, rsp
    push    0x10
    push    rax
    push    0x102
    push    8
    push    there
    iretq
there: nop
next: nop
last:
    quit
`),
    ).toBe('1 next, 1 last')
  })
})

describe('MOV SS and POP SS (SDM 3A 6.8.3)', () => {
  it.each([
    ['mov ss, ecx', 'mov ecx, 0x10'],
    ['mov ss, [data]', 'mov word [data], 0x10'],
  ])('%s holds a single-step trap back for one instruction', (load, before) => {
    const events = stage
      .load(
        `
start:
    ${before}
    flags_or TF
    ${load}
shadow: nop
next:   nop
last:
    quit
`,
      )
      .run()
    expect(stage.trail(events)).toBe('1 next, 1 last')
    expect(causes(events[0]!.dr6)).toBe(BS)
  })

  it('holds an instruction breakpoint on the next instruction off for good', () => {
    const text = (first: string): string => `
start:
    mov     ecx, 0x10
    mov     qword [abs add_flags], RF
${arm(0, 'target', dr7(0, 0))}
    ${first}
target: nop
next:
    quit
`
    expect(stage.trace(text('mov ss, ecx'))).toBe('')
    expect(stage.trace(text('mov ds, ecx'))).toBe('1 target')
  })

  it('holds a data breakpoint that it hit back for one instruction', () => {
    const events = stage
      .load(
        `
start:
    mov     word [data], 0x10
${arm(0, 'data', dr7(0, 3, 2))}
    mov     ss, [data]
shadow: nop
next: nop
    quit
`,
      )
      .run()
    expect(stage.trail(events)).toBe('1 next')
    expect(causes(events[0]!.dr6)).toBe(B0)
  })

  it('joins that data breakpoint with the single step behind the next instruction', () => {
    const events = stage
      .load(
        `
start:
    mov     word [data], 0x10
${arm(0, 'data', dr7(0, 3, 2))}
    flags_or TF
    mov     ss, [data]
shadow: nop
next: nop
last:
    quit
`,
      )
      .run()
    expect(stage.trail(events)).toBe('1 next, 1 last')
    expect(causes(events[0]!.dr6)).toBe(B0 | BS)
    expect(causes(events[1]!.dr6), 'B0 is of the first only').toBe(BS)
  })

  it('joins it with the #DB of INT1, which comes once', () => {
    const events = stage
      .load(
        `
start:
    mov     word [data], 0x10
${arm(0, 'data', dr7(0, 3, 2))}
    mov     ss, [data]
    int1
next: nop
    quit
`,
      )
      .run()
    expect(stage.trail(events)).toBe('1 next')
    expect(causes(events[0]!.dr6)).toBe(B0)
  })

  it('joins two data breakpoints when the next instruction hits one, too', () => {
    const events = stage
      .load(
        `
start:
    mov     word [data], 0x10
    mov     rax, data + 8
    mov     dr1, rax
${arm(0, 'data', dr7(0, 3, 2) | dr7(1, 1, 4))}
    mov     ss, [data]
    mov     [data + 8], ecx
next: nop
    quit
`,
      )
      .run()
    expect(stage.trail(events)).toBe('1 next')
    expect(causes(events[0]!.dr6)).toBe(B0 | B1)
  })
})

describe('DR6 (SDM 3B 17.2.3)', () => {
  it('loses B0–B3 of an earlier exception and keeps BS and BD, until software clears them', () => {
    const events = stage
      .load(
        `
start:
    mov     eax, 0xffff6ff2             ; B1, BD and BS, as if left over
    mov     dr6, rax
${arm(0, 'data', dr7(0, 1))}
    mov     [data], al
next:
    quit
`,
      )
      .run()
    expect(stage.trail(events)).toBe('1 next')
    expect(causes(events[0]!.dr6)).toBe(B0 | BD | BS)
  })

  it('an access to a debug register under GD faults with BD, clears GD, and then is done (17.2.4)', () => {
    const events = stage
      .load(
        `
start:
    mov     eax, 0x2400
    mov     dr7, rax
access: mov rbx, dr0
    mov     rcx, dr7
    mov     [data], rcx
    quit
`,
      )
      .run()
    expect(stage.trail(events)).toBe('1 access')
    expect(causes(events[0]!.dr6)).toBe(BD)
    expect(stage.get(DATA)).toBe(0x400n)
  })
})

describe('instruction breakpoints and RF (SDM 3B 17.3.1.1; SDM 2A IRET)', () => {
  it('fault before the instruction, without RF in the image, and an IRETQ that sets it lets the instruction pass once', () => {
    const events = stage
      .load(
        `
start:
    mov     qword [abs add_flags], RF
    mov     ecx, 3
    xor     ebx, ebx
${arm(0, 'target', dr7(0, 0))}
target: inc ebx
    loop    target
    mov     [data], rbx
    quit
`,
      )
      .run()
    expect(stage.trail(events)).toBe('1 target, 1 target, 1 target')
    for (const e of events) {
      expect(e.rflags & RF).toBe(0n)
      expect(causes(e.dr6)).toBe(B0)
    }
    expect(stage.get(DATA)).toBe(3n)
  })

  it('come again for ever when the handler does not set RF', () => {
    const events = stage
      .load(
        `
start:
${arm(0, 'target', dr7(0, 0))}
target: nop
    quit
`,
      )
      .run()
    expect(events).toHaveLength(200)
    expect(new Set(events.map((e) => e.rip))).toEqual(new Set([stage.at('target')]))
  })

  it('RF that IRETQ loads lasts for one instruction', () => {
    const text = (flags: string): string => `
start:
    mov     qword [abs add_flags], RF
    mov     rax, second
    mov     dr1, rax
${arm(0, 'first', dr7(0, 0) | dr7(1, 0))}
    mov     rax, rsp
    push    0x10
    push    rax
    push    ${flags}
    push    8
    push    first
    iretq
first: nop
second: nop
    quit
`
    expect(stage.trace(text('0x10002'))).toBe('1 second')
    expect(stage.trace(text('2'))).toBe('1 first, 1 second')
  })

  it('POPF does not set RF (SDM 2B POPF)', () => {
    expect(
      stage.trace(`
start:
    mov     qword [abs add_flags], RF
${arm(0, 'target', dr7(0, 0))}
    push    0x10002
    popfq
target: nop
    quit
`),
    ).toBe('1 target')
  })

  it('an instruction breakpoint comes before a single step of the same instruction, in two exceptions (table 6-2)', () => {
    const events = stage
      .load(
        `
start:
    mov     qword [abs add_flags], RF
${arm(0, 'target', dr7(0, 0))}
    flags_or TF
target: nop
next:
    quit
`,
      )
      .run()
    expect(stage.trail(events)).toBe('1 target, 1 next')
    expect(events.map((e) => causes(e.dr6))).toEqual([B0, BS])
  })

  it('faults push RF, so that a breakpoint at a restarted instruction is not met twice; software interrupts do not', () => {
    const events = stage
      .load(
        `
start:
    mov     qword [abs on_fault], after
bad: ud2
after:
    int3
next:
    quit
`,
      )
      .run()
    expect(stage.trail(events)).toBe('6 bad, 3 next')
    expect(events.map((e) => e.rflags & RF)).toEqual([RF, 0n])
  })
})

describe('data breakpoints (SDM 3B 17.2.5)', () => {
  it.each([
    ['a write of any watched byte', 'mov [data + 3], al', dr7(0, 1, 4), true],
    ['a write that ends in the watched bytes', 'mov [data - 7], rax', dr7(0, 1, 4), true],
    ['a write that begins behind them', 'mov [data + 4], rax', dr7(0, 1, 4), false],
    ['a read, by a breakpoint on writes', 'mov rax, [data]', dr7(0, 1, 4), false],
    ['a read, by a breakpoint on both', 'mov rax, [data]', dr7(0, 3, 4), true],
    ['a push across a page', 'mov rsp, data + 4\n push rax', dr7(0, 3, 1), true],
    ['an exchange', 'xchg [data], al', dr7(0, 1, 1), true],
    ['a string move', 'mov esi, data + 64\n mov edi, data\n movsq', dr7(0, 1, 8), true],
  ] as const)('%s', (_name, code, control, hits) => {
    const events = stage
      .load(
        `
start:
    mov     rbp, rsp
${arm(0, 'data', control)}
    ${code.split('\n').slice(0, -1).join('\n')}
hit: ${code.split('\n').at(-1)!}
next: mov rsp, rbp
    quit
`,
      )
      .run()
    expect(stage.trail(events)).toBe(hits ? '1 next' : '')
  })

  it('an instruction that faults behind its watched access reports the fault alone (table 6-2)', () => {
    stage.load(`
start:
    mov     qword [abs on_fault], next
${arm(0, 'data', dr7(0, 3, 8))}
    mov     esi, data
    mov     edi, 0x180000
bad: movsq
next: nop
    quit
`)
    stage.map(0x180000, 0, 0n)
    expect(stage.trail(stage.run())).toBe('14 bad')
  })
})

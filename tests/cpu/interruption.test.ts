// What interrupts a program, and returns to CPL 3: NMI, STI and MOV SS shadows, HLT (SDM 3A 6.3.1, 6.7.1, 6.8.1; SDM 2A IRET).

import { describe, expect, it } from 'vitest'
import { DATA, Stage64, STACK } from './program.ts'

const stage = new Stage64()
const APIC = 0xfee00000
/** Interrupt command register: to APIC ID 0, fixed with a vector, or NMI (SDM 3A 10.6.1). */
const send = (command: number): string => `
    mov     edx, ${APIC}
    mov     dword [rdx + 0xf0], 0x1ff
    mov     dword [rdx + 0x310], 0
    mov     dword [rdx + 0x300], ${command}`
const SELF = 0x44000
const NMI = 0x400
const VECTOR = 0x41

describe('NMI (SDM 3A 6.7.1)', () => {
  it('comes at the next instruction boundary, whatever IF', () => {
    const events = stage
      .load(
        `
start:
${send(NMI)}
here: nop
    quit
`,
      )
      .run()
    expect(stage.trail(events)).toBe('2 here')
  })

  it('waits while a handler runs, and a pending one comes right behind its IRETQ', () => {
    expect(
      stage.trace(`
start:
    xor     ecx, ecx
${send(NMI)}
here: nop
    mov     [data + 8], rcx
    quit
vector_2:
    inc     ecx
    cmp     ecx, 3
    ja      .back
${send(NMI)}
    nop                                 ; blocked: still in this handler
    mov     rax, [rsp]
    mov     [data + rcx * 8 + 8], rax   ; where each came from
.back:
    iretq
`),
    ).toBe('')
    // three more were sent from inside: each came before the instruction that the first had interrupted
    expect([0, 1, 2].map((n) => stage.get(DATA + 16 + 8 * n))).toEqual(Array(3).fill(stage.at('here')))
    expect(stage.get(DATA + 8)).toBe(4n)
  })

  it('is unblocked by an IRETQ that faults, too: the next comes at the first instruction of the fault’s handler (SDM 3C 25.3)', () => {
    const events = stage
      .load(
        `
start:
${send(NMI)}
here: nop
    quit
vector_2:
    cmp     byte [data], 0
    jne     .second
    mov     byte [data], 1
${send(NMI)}
    mov     qword [abs on_fault], here
    push    0x10
    push    rsp
    push    2
    push    0x1f8                       ; beyond the GDT
    push    here
    iretq
.second:
    mov     rax, [rsp]
    mov     [data + 8], rax
    iretq
`,
      )
      .run()
    expect(events.map((e) => [e.vector, e.error])).toEqual([[13, 0x1f8n]])
    expect(stage.get(DATA + 8)).toBe(stage.at('vector_13'))
  })

  it('wakes HLT with interrupts off and returns behind it (SDM 2A HLT)', () => {
    const two = new Stage64(2)
    two.load(`
start:
    mov     edx, ${APIC}
    mov     dword [rdx + 0xf0], 0x1ff
    cli
    hlt
woken: nop
    quit
other:
    mov     ecx, 1000
    loop    $
${send(NMI)}
    hlt
`)
    two.place(two.machine.cores[1]!, 'other', STACK - 0x4000)
    const events = two.run()
    expect(two.trail(events)).toBe('2 woken')
    expect(two.machine.cores[1]!.instructions).toBeGreaterThan(1000)
  })

  it('does not come between MOV SS and the next instruction (SDM 3A 6.8.3)', () => {
    const arrives = (label: string): string => {
      stage.load(`
start:
    mov     ecx, 0x10
before: mov ss, ecx
shadow: nop
next: nop
    quit
`)
      const core = stage.machine.cores[0]!
      while (core.state.rip !== stage.at(label)) core.run(core.time + 1)
      core.signals.nmi = core.attention = true
      return stage.trail(stage.run())
    }
    expect(arrives('before')).toBe('2 before')
    expect(arrives('shadow')).toBe('2 next')
    expect(arrives('next')).toBe('2 next')
  })
})

describe('STI (SDM 2B STI; SDM 3A 6.8.1)', () => {
  const pending = `
    cli
${send(SELF | VECTOR)}
    nop`
  it('lets one more instruction run before a pending interrupt', () => {
    expect(
      stage.trace(`
start:
${pending}
    sti
shadow: nop
next: nop
    quit
`),
    ).toBe('65 next')
  })

  it('has no shadow when interrupts were on, as POPF has none', () => {
    expect(
      stage.trace(`
start:
${pending}
    flags_or 0x200
next: nop
    quit
`),
    ).toBe('65 next')
    expect(
      stage.trace(`
start:
    sti
    nop
    sti
${send(SELF | VECTOR)}
next: nop
    quit
`),
    ).toBe('65 next')
  })

  it('STI; CLI takes nothing, and STI; HLT with an interrupt pending wakes at once, behind the HLT', () => {
    expect(
      stage.trace(`
start:
${pending}
    sti
    cli
    nop
    sti
    hlt
next: nop
    quit
`),
    ).toBe('65 next')
  })

  it('a fault of the instruction in the shadow is delivered first, and the interrupt waits for its handler to return', () => {
    expect(
      stage.trace(`
start:
    mov     qword [abs on_fault], next
    mov     qword [abs add_flags], 0x200
${pending}
    sti
bad: ud2
next: nop
    quit
`),
    ).toBe('6 bad, 65 next')
  })

  it('MOV SS behind it makes the shadow two instructions long', () => {
    expect(
      stage.trace(`
start:
    mov     ecx, 0x10
${pending}
    sti
    mov     ss, ecx
second: nop
next: nop
    quit
`),
    ).toMatch(/^65 (second|next)$/)
  })
})

describe('returns to CPL 3 (SDM 2A IRET; SDM 2B SYSRET)', () => {
  it('IRETQ keeps the bases of FS and GS whose selectors are null, and of user segments', () => {
    stage
      .load(
        `
start:
    mov     ecx, 0xc0000100             ; FS base
    mov     eax, 0x11112222
    mov     edx, 0x7fff
    wrmsr
    inc     ecx                         ; GS base
    mov     eax, 0x33334444
    wrmsr
    to_user user
user:
    rdfsbase rax
    rdgsbase rbx
    mov     [data], rax
    mov     [data + 8], rbx
    quit
`,
      )
      .run()
    expect([stage.get(DATA), stage.get(DATA + 8)]).toEqual([0x7fff11112222n, 0x7fff33334444n])
  })

  it('IRETQ to CPL 3 makes segments of CPL 0 null (SDM 2A IRET, RETURN-TO-OUTER-PRIVILEGE-LEVEL)', () => {
    stage
      .load(
        `
start:
    mov     ecx, 0x10
    mov     ds, ecx
    mov     fs, ecx
    mov     ecx, user_data
    mov     es, ecx
    to_user user
user:
    mov     ax, ds
    mov     [data], ax
    mov     ax, fs
    mov     [data + 2], ax
    mov     ax, es
    mov     [data + 4], ax
    quit
`,
      )
      .run()
    expect(stage.get(DATA)).toBe(0x23_0000_0000n)
  })

  it('STI at CPL 3 without IOPL is #GP(0), HLT too', () => {
    const events = stage
      .load(
        `
start:
    push    user_data
    push    ${STACK - 0x800}
    push    2
    push    user_code
    push    user
    iretq
user:
    quit
`,
      )
      .run()
    expect(events).toEqual([])
    const denied = (instruction: string): string =>
      stage.trace(`
start:
    mov     qword [abs on_fault], over_there
    push    user_data
    push    ${STACK - 0x800}
    push    2
    push    user_code
    push    user
    iretq
user: ${instruction}
over_there:
    quit
`)
    for (const instruction of ['sti', 'cli', 'hlt', 'mov rax, cr0', 'rdmsr', 'lgdt [data]', 'in al, 0x80'])
      expect(denied(instruction), instruction).toBe('13 user')
  })
})

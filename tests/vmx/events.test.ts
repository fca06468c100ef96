// Events that leave a guest, their order, and what wakes one that waits (SDM 3C 25.2, 25.5.1, 25.5.2, 26.6, 27.1).

import { beforeAll, describe, expect, it } from 'vitest'
import { ExitControl, Pin, Primary, Secondary } from '../../src-core/arch/vmx.ts'
import { TIMER_RATE } from '../../src-core/vmx/capabilities.ts'
import { Guest, GUEST, GUEST_STACK } from './guest.ts'

let g: Guest
beforeAll(() => {
  g = new Guest()
})

const BLOCKED = 8
const STUBS = 0x12000
const VECTOR = 0x1f

/** The local APIC on, and an interrupt of vector 1FH pending. */
function interrupt(): void {
  const { registers } = g.machine.lapics[0]!
  registers.write(0xf0, 4, 0x1ff)
  registers.write(0x300, 4, 0x40000 | VECTOR)
}
const nmi = (): void => {
  g.core.signals.nmi = true
  g.core.attention = true
}
const short = ({ reason, at }: { reason: string; at: number }): string => `${reason} @${at.toString(16)}`
/** Enters guest code and says where it was left. */
function left(text: string): string {
  g.code(text)
  return short(g.enter())
}
/** The vector whose handler a waiting guest halted in. */
const handler = (): number => (Number(g.core.state.rip) - 1 - STUBS) / 16

describe('external interrupts', () => {
  it('leave whatever IF, and stay pending or are acknowledged', () => {
    g.prepare({ pin: Pin.externalInterruptExiting })
    interrupt()
    expect(left('nop')).toBe('externalInterrupt @0')
    expect([g.vmcs.exitInterruptionInformation, g.core.apic.pendingVector()]).toEqual([0, VECTOR])
    g.prepare({ pin: Pin.externalInterruptExiting, exit: ExitControl.acknowledgeInterrupt })
    interrupt()
    expect(left('nop')).toBe('externalInterrupt @0')
    expect([g.vmcs.exitInterruptionInformation, g.core.apic.pendingVector()]).toEqual([0x80000000 + VECTOR, -1])
  })

  it('are the guest’s own without the control, when IF is set', () => {
    g.prepare()
    interrupt()
    expect(left('nop\n hlt')).toBe('none @2')
    g.prepare({}, { guestRflags: 0x202 })
    interrupt()
    g.code('nop\n hlt')
    expect([g.enter().reason, handler()]).toEqual(['none', VECTOR])
  })

  it('reach a guest that waits, which is saved as waiting', () => {
    g.prepare({ pin: Pin.externalInterruptExiting })
    expect(left('hlt\n nop')).toBe('none @1')
    expect(g.wait(1000).reason).toBe('none')
    interrupt()
    expect(short(g.wait(1000))).toBe('externalInterrupt @1')
    expect(g.vmcs.guestActivityState).toBe(1)
  })

  it('do not come between MOV SS or STI and the next instruction', () => {
    g.prepare({ pin: Pin.externalInterruptExiting }, { guestInterruptibilityState: 2 })
    interrupt()
    expect(left('nop\n nop')).toBe('externalInterrupt @1')
  })
})

describe('the interrupt window', () => {
  it('opens behind the instruction that follows STI', () => {
    g.prepare({ primary: Primary.interruptWindowExiting })
    expect(left('nop\n sti\n nop\n nop')).toBe('interruptWindow @3')
    expect(g.vmcs.guestInterruptibilityState).toBe(0)
    g.prepare({ primary: Primary.interruptWindowExiting })
    expect(left('nop\n sti\n sti\n nop')).toBe('interruptWindow @3')
  })

  it('is open at once with IF set, before an interrupt', () => {
    g.prepare({ primary: Primary.interruptWindowExiting, pin: Pin.externalInterruptExiting }, { guestRflags: 0x202 })
    interrupt()
    expect(left('nop')).toBe('interruptWindow @0')
    g.prepare({ primary: Primary.interruptWindowExiting }, { guestRflags: 0x202, guestActivityState: 1 })
    expect(left('nop')).toBe('interruptWindow @0')
    expect(g.vmcs.guestActivityState).toBe(1)
  })
})

describe('NMIs', () => {
  it('leave, and are blocked in the monitor', () => {
    g.prepare({ pin: Pin.nmiExiting })
    g.code('nop')
    nmi()
    g.core.state.interruptibility |= BLOCKED
    g.set({ guestInterruptibilityState: 0 })
    expect(short(g.enter())).toBe('exceptionOrNmi @0')
    expect([g.vmcs.exitInterruptionInformation, g.core.state.interruptibility & BLOCKED, g.core.signals.nmi]).toEqual([0x80000202, BLOCKED, false])
  })

  it('are the guest’s own without the control: its handler runs with them blocked', () => {
    g.prepare()
    g.code('nop')
    g.core.state.interruptibility |= BLOCKED
    nmi()
    expect([g.enter().reason, handler(), g.core.state.interruptibility & BLOCKED]).toEqual(['none', 2, BLOCKED])
  })

  const stack = (rip: string): string => `push 10h\n push ${GUEST_STACK}\n push 2\n push 8\n push ${rip}\n`

  it('the window opens when IRET ends virtual blocking', () => {
    const controls = { pin: Pin.nmiExiting | Pin.virtualNmis, primary: Primary.nmiWindowExiting }
    g.prepare(controls, { guestInterruptibilityState: BLOCKED })
    const code = `${stack(String(GUEST + 0x20))} iretq\n${'\n nop'.repeat(16)}`
    const exit = left(code)
    expect(exit).toBe('nmiWindow @20')
    expect(g.vmcs.guestInterruptibilityState).toBe(0)
    g.prepare(controls)
    expect(left('nop')).toBe('nmiWindow @0')
  })

  it('IRET leaves blocking alone when NMIs exit and are not virtual', () => {
    g.prepare({ pin: Pin.nmiExiting }, { guestInterruptibilityState: BLOCKED })
    expect(left(`${stack(String(GUEST + 0x20))} iretq${'\n nop'.repeat(16)}\n vmcall`)).toContain('vmcall')
    expect(g.vmcs.guestInterruptibilityState).toBe(BLOCKED)
    g.prepare({}, { guestInterruptibilityState: BLOCKED })
    expect(left(`${stack(String(GUEST + 0x20))} iretq${'\n nop'.repeat(16)}\n vmcall`)).toContain('vmcall')
    expect(g.vmcs.guestInterruptibilityState).toBe(0)
  })

  it('a fault on IRET says that NMIs were unblocked by it (27.2.3)', () => {
    for (const [pin, expected] of [[0, 0x80001b0d], [Pin.nmiExiting | Pin.virtualNmis, 0x80001b0d]] as const) {
      g.prepare({ pin }, { guestInterruptibilityState: BLOCKED, exceptionBitmap: 1 << 13 })
      expect(left('push 10h\n push 0\n push 2\n push 60h\n push 0\n iretq')).toContain('exceptionOrNmi')
      expect([g.vmcs.exitInterruptionInformation, g.vmcs.guestInterruptibilityState]).toEqual([expected, 0])
    }
    g.prepare({}, { exceptionBitmap: 1 << 13 })
    left('push 10h\n push 0\n push 2\n push 60h\n push 0\n iretq')
    expect(g.vmcs.exitInterruptionInformation).toBe(0x80000b0d)
  })
})

it('a refusal of EPT on IRET says so too (table 27-7, bit 12)', () => {
  for (const pin of [0, Pin.nmiExiting | Pin.virtualNmis]) {
    g.prepare({ pin, secondary: Secondary.enableEpt }, { eptPointer: 0x10001en, guestInterruptibilityState: BLOCKED, guestRsp: 0x200000 })
    for (const [n, e] of [0x101007n, 0x102007n, 0xb7n].entries()) g.poke64(0x100000 + n * 0x1000, e)
    g.poke64(0x102008, 0n)
    expect(left('nop\n iretq')).toBe('eptViolation @1')
    expect([g.vmcs.exitQualification, g.vmcs.guestPhysicalAddress, g.vmcs.guestInterruptibilityState]).toEqual([0x1781n, 0x200000n, 0])
  }
})

describe('the preemption timer', () => {
  const TICK = 2 ** TIMER_RATE
  /** `cycles` of the TSC, from now. */
  const timer = (cycles: number, controls: Parameters<Guest['prepare']>[0] = {}): void =>
    g.prepare({ ...controls, pin: Pin.activatePreemptionTimer | (controls.pin ?? 0) }, { preemptionTimerValue: cycles / TICK })

  it('ends a loop after its ticks', () => {
    timer(3200, { exit: ExitControl.savePreemptionTimer })
    g.code('again: inc ebx\n jmp again')
    const left = g.enter()
    expect([left.reason, g.vmcs.preemptionTimerValue]).toEqual(['preemptionTimer', 0])
    const rounds = Number(g.gpr(3))
    expect(rounds * 2).toBeGreaterThan(3200 - TICK - 3)
    expect(rounds * 2).toBeLessThanOrEqual(3200)
  })

  it('of 0 leaves before the first instruction; what is left is saved at other exits', () => {
    timer(0)
    expect(left('nop')).toBe('preemptionTimer @0')
    timer(32_000, { exit: ExitControl.savePreemptionTimer })
    expect(left('nop\n cpuid')).toBe('cpuid @1')
    expect(g.vmcs.preemptionTimerValue).toBeGreaterThan(31_900 / TICK)
    expect(g.vmcs.preemptionTimerValue).toBeLessThanOrEqual(32_000 / TICK)
    timer(32_000)
    left('nop\n cpuid')
    expect(g.vmcs.preemptionTimerValue).toBe(32_000 / TICK)
  })

  it('wakes a guest that waits, at its time', () => {
    timer(32_000)
    const from = g.core.time
    expect(left('hlt\n nop')).toBe('none @1')
    expect(short(g.wait(100_000))).toBe('preemptionTimer @1')
    expect(g.vmcs.guestActivityState).toBe(1)
    expect(g.core.time - from).toBeGreaterThan(32_000 - 64)
    expect(g.core.time - from).toBeLessThan(36_000)
  })

  it('a guest saved while it waits is left at the same cycle when it goes on elsewhere', () => {
    timer(32_000, { secondary: Secondary.enableEpt })
    const tables = 0x100000
    for (const [n, e] of [0x101007n, 0x102007n].entries()) g.poke64(tables + n * 0x1000, e)
    for (let n = 0; n < 2; n++) g.poke64(tables + 0x2000 + 8 * n, BigInt(n * 0x200000) | 0xb7n)
    g.set({ eptPointer: BigInt(tables) | 0x1en })
    expect(left('hlt\n nop')).toBe('none @1')
    const saved = g.machine.save()
    const other = new Guest()
    for (const { start, length } of g.machine.physical.ranges) other.machine.physical.load(start, g.machine.physical.dump(start, length))
    other.machine.restore(structuredClone(saved))
    expect(other.vmx.mode).toBe('nonRoot')
    expect(short(g.wait(100_000))).toBe('preemptionTimer @1')
    expect(short(other.wait(100_000))).toBe('preemptionTimer @1')
    expect([other.core.time, other.core.instructions]).toEqual([g.core.time, g.core.instructions])
    expect(other.machine.save()).toEqual(g.machine.save())
  })
})

describe('the monitor trap flag (25.5.2)', () => {
  const mtf = (fields: Parameters<Guest['prepare']>[1] = {}): void => g.prepare({ primary: Primary.monitorTrapFlag }, fields)

  it('leaves behind each instruction', () => {
    mtf()
    expect(left('nop\n mov eax, 5\n jmp there\n nop\n there: nop')).toBe('monitorTrapFlag @1')
    expect([short(g.enter()), short(g.enter()), short(g.enter())]).toEqual(['monitorTrapFlag @6', 'monitorTrapFlag @9', 'monitorTrapFlag @a'])
    expect(g.gpr(0)).toBe(5n)
  })

  it('leaves behind each round of a repeated string', () => {
    mtf()
    expect(left(`mov ecx, 2\n mov edi, 60000h\n rep stosb\n nop`)).toBe('monitorTrapFlag @5')
    g.enter()
    expect([short(g.enter()), g.gpr(1), short(g.enter()), g.gpr(1)]).toEqual(['monitorTrapFlag @a', 1n, 'monitorTrapFlag @c', 0n])
  })

  it('leaves at the first instruction of a handler, of a fault, INT n, or an interrupt', () => {
    const at = (v: number): string => `monitorTrapFlag @${(STUBS + 16 * v - GUEST).toString(16)}`
    mtf()
    expect(left('ud2')).toBe(at(6))
    mtf()
    expect(left('int 10h')).toBe(at(16))
    mtf({ guestRflags: 0x202 })
    interrupt()
    expect(left('nop')).toBe(at(VECTOR))
    mtf({ entryInterruptionInformation: 0x80000306 })
    expect(left('nop')).toBe(at(6))
  })

  it('leaves a guest that halts, as halted', () => {
    mtf()
    expect(left('hlt\n nop')).toBe('monitorTrapFlag @1')
    expect(g.vmcs.guestActivityState).toBe(1)
  })

  it('an exit by the instruction itself leaves no trap behind', () => {
    mtf()
    expect(left('cpuid\n nop')).toBe('cpuid @0')
    g.set({ primaryControls: g.vmcs.primaryControls & ~Primary.monitorTrapFlag })
    g.skip()
    expect(g.enter().reason).not.toBe('monitorTrapFlag')
  })

  it('comes before a single-step trap, which stays pending', () => {
    mtf({ guestRflags: 0x102 })
    expect(left('nop\n nop')).toBe('monitorTrapFlag @1')
    expect(g.vmcs.guestPendingDebugExceptions).toBe(0x4000n)
    g.set({ primaryControls: g.vmcs.primaryControls & ~Primary.monitorTrapFlag, exceptionBitmap: 2 })
    expect(short(g.enter())).toBe('exceptionOrNmi @1')
    expect(g.vmcs.exitQualification).toBe(0x4000n)
  })

  it('an injected event of type 7 is one trap, without the control', () => {
    g.prepare({}, { entryInterruptionInformation: 0x80000700 })
    expect(left('nop')).toBe('monitorTrapFlag @0')
  })
})

describe('INIT and SIPI', () => {
  it('INIT leaves the guest and changes nothing else', () => {
    g.prepare()
    g.code('nop')
    g.core.signals.init = true
    g.core.attention = true
    expect(short(g.enter())).toBe('init @0')
    expect([g.core.signals.init, g.vmx.mode]).toEqual([false, 'root'])
  })

  it('INIT waits while the monitor runs, and while a guest waits for SIPI', () => {
    g.prepare()
    g.core.signals.init = true
    expect(g.result('nop')).toBe('ok')
    expect(g.core.signals.init).toBe(true)
    g.set({ guestActivityState: 3 })
    g.code('nop')
    expect(g.enter().reason).toBe('none')
    g.core.signals.sipi = 0x55
    g.core.attention = true
    const { reason, qualification } = g.wait(1000)
    expect([reason, qualification, g.vmcs.guestActivityState, g.core.signals.init]).toEqual(['sipi', 0x55n, 3, true])
  })
})

describe('priority at a boundary (SDM 3A table 6-2, 25.2)', () => {
  it('MTF, traps, timer, NMI window, NMI, interrupt window, interrupt', () => {
    const controls = {
      pin: Pin.activatePreemptionTimer | Pin.nmiExiting | Pin.virtualNmis | Pin.externalInterruptExiting,
      primary: Primary.nmiWindowExiting | Primary.interruptWindowExiting,
    }
    g.prepare(controls, {
      preemptionTimerValue: 0, guestRflags: 0x202, guestPendingDebugExceptions: 0x4000, exceptionBitmap: 2, entryInterruptionInformation: 0x80000700,
    })
    g.code('nop')
    interrupt()
    g.core.state.interruptibility |= BLOCKED
    nmi()
    const seen: string[] = []
    const next = (): void => void seen.push(g.enter().reason)
    next()
    g.set({ entryInterruptionInformation: 0 })
    g.core.state.interruptibility |= BLOCKED
    next()
    g.set({ guestPendingDebugExceptions: 0 })
    next()
    g.set({ pinControls: g.vmcs.pinControls & ~Pin.activatePreemptionTimer })
    next()
    g.set({ primaryControls: g.vmcs.primaryControls & ~Primary.nmiWindowExiting })
    g.core.state.interruptibility &= ~BLOCKED
    next()
    next()
    g.set({ primaryControls: g.vmcs.primaryControls & ~Primary.interruptWindowExiting })
    next()
    expect(seen).toEqual(['monitorTrapFlag', 'exceptionOrNmi', 'preemptionTimer', 'nmiWindow', 'exceptionOrNmi', 'interruptWindow', 'externalInterrupt'])
  })
})

it('the same guest twice is left at the same cycles', () => {
  const run = (): number[] => {
    const one = new Guest()
    one.prepare({ pin: Pin.activatePreemptionTimer }, { preemptionTimerValue: 50 })
    one.code('again: rdtsc\n mov [abs 60100h], eax\n jmp again')
    const times: number[] = []
    for (let n = 0; n < 5; n++) {
      one.enter()
      times.push(one.core.time, Number(one.gpr(0)))
    }
    return times
  }
  expect(run()).toEqual(run())
})

// Delivery of events in every mode: gates, stacks, error codes, double and triple faults (SDM 3A chapter 6, 20.1.4, 20.3).

import { describe, expect, it } from 'vitest'
import { CS, DS, ES, GS, Rflags, SS } from '../../src-core/arch/registers.ts'
import { deliver, type Event } from '../../src-core/cpu/events.ts'
import { put64 as put, PT } from '../paging/bench.ts'
import { CODE, descriptor, GDT, INNER, Sel, Stage, STACK, TSS, TSS2 } from './protected.ts'
import { taking } from './processor.ts'

const HANDLER = 0x19000
const at = (p: Stage, over: Partial<Event> = {}): Event => ({ vector: 13, kind: 'exception', errorCode: 0, returnRip: p.s.rip, ...over })
const external = (p: Stage, vector = 0x40): Event => ({ vector, kind: 'external', returnRip: p.s.rip })
const rsp = (p: Stage): number => Number(p.s.gpr.get(4))
const IF = 0x202n

/** The handler reached and the error code on its stack, when `vector` cannot be delivered; #GP, #TS, #NP, #SS, #DF have handlers. */
function nested(p: Stage, e: Event): [vector: number, code: number] {
  for (const v of [8, 10, 11, 12, 13, 14]) if (v !== e.vector) p.idt(v, p.mode === 64 ? Sel.code64 : Sel.code0, 0x1000 * v, 0x8e)
  deliver(p.cpu, e)
  return [Number(p.s.rip) / 0x1000, p.mode === 64 ? Number(p.get64(rsp(p))) : p.get32(rsp(p))]
}

describe('IA-32e mode (6.14)', () => {
  it('same privilege: SS RSP RFLAGS CS RIP and error code on an aligned stack; an interrupt gate clears IF', () => {
    const p = new Stage(64)
    p.idt(13, Sel.code64, HANDLER, 0x8e)
    p.s.gpr.set(4, BigInt(STACK - 5))
    p.cpu.setRflags(IF | Rflags.TF | Rflags.NT | Rflags.CF | Rflags.AC)
    deliver(p.cpu, at(p, { errorCode: 0x1234 }))
    expect(rsp(p)).toBe(STACK - 16 - 48)
    expect(p.words(rsp(p), 8, 6)).toEqual([0x1234, CODE, Sel.code64, 0x54303, STACK - 5, Sel.data0])
    expect(p.s.rip).toBe(BigInt(HANDLER))
    expect(p.cpu.rflags()).toBe(0x40003n)
    expect([p.s.segSelector.get(SS), p.s.segSelector.get(CS)]).toEqual([Sel.data0, Sel.code64])
  })
  it('a trap gate leaves IF; external interrupts save RF as it is', () => {
    const p = new Stage(64)
    p.idt(0x40, Sel.code64, HANDLER, 0x8f)
    p.cpu.setRflags(IF | Rflags.RF)
    deliver(p.cpu, external(p))
    expect(p.cpu.rflags()).toBe(IF)
    expect(p.words(rsp(p), 8, 3)).toEqual([CODE, Sel.code64, 0x10202])
  })
  it('to CPL 0: RSP0, SS null with the new CPL; RIP of 64 bits; CS is marked accessed', () => {
    const p = new Stage(64, 3)
    p.idt(0x40, Sel.code64, 0x80001000, 0x8e, 0, 0xffffffff)
    p.s.gpr.set(4, 0x5678n)
    deliver(p.cpu, external(p))
    expect(rsp(p)).toBe(INNER - 40)
    expect(p.words(rsp(p), 8, 5)).toEqual([CODE, Sel.code64user, 2, 0x5678, Sel.data3])
    expect([p.s.segSelector.get(SS), p.s.segRights.get(SS), p.s.cpl]).toEqual([0, 0x10000, 0])
    expect(p.s.rip).toBe(0xffff_ffff_8000_1000n)
    expect((p.get64(GDT + 0x28) >> 40n) & 1n).toBe(1n)
  })
  it('from compatibility mode, too', () => {
    const p = new Stage(64, 3)
    p.s.segRights.set(CS, 0xc0fb)
    p.s.segSelector.set(CS, Sel.code3)
    p.cpu.modeChanged()
    p.idt(0x40, Sel.code64, HANDLER, 0x8e)
    deliver(p.cpu, external(p))
    expect([p.cpu.mode64, p.s.cpl, rsp(p)]).toEqual([true, 0, INNER - 40])
  })
  it('IST replaces any stack, also without a change of privilege', () => {
    const p = new Stage(64)
    p.idt(2, Sel.code64, HANDLER, 0x8e, 1)
    deliver(p.cpu, { vector: 2, kind: 'nmi', returnRip: p.s.rip })
    expect(rsp(p)).toBe(INNER + 0xc00 - 40)
    expect(p.s.segSelector.get(SS)).toBe(Sel.data0)
    expect(p.s.interruptibility & 8).toBe(8)
  })
  it('a conforming handler keeps CPL 3 and its stack', () => {
    const p = new Stage(64, 3)
    p.idt(0x40, Sel.conforming64, HANDLER, 0x8e)
    deliver(p.cpu, external(p))
    expect([p.s.cpl, rsp(p), p.s.segSelector.get(CS), p.s.segSelector.get(SS)]).toEqual([3, STACK - 40, Sel.conforming64 | 3, Sel.data3])
  })
  it('only faults save RF = 1, #DB does not (17.3.1.1)', () => {
    for (const [vector, saved] of [[0, 0x10002], [1, 2], [6, 0x10002], [16, 0x10002], [18, 2]] as const) {
      const p = new Stage(64)
      p.idt(vector, Sel.code64, HANDLER, 0x8e)
      deliver(p.cpu, { vector, kind: 'exception', returnRip: p.s.rip })
      expect([vector, p.words(rsp(p), 8, 3)[2]]).toEqual([vector, saved])
    }
  })
  const refused: [string, (p: Stage) => void, Partial<Event>, [number, number]][] = [
    ['beyond the IDT', (p) => (p.s.idtrLimit = 0x40 * 16 + 14), {}, [13, 0x203]],
    ['not a gate', (p) => p.idt(0x40, Sel.code64, HANDLER, 0x8c), {}, [13, 0x203]],
    ['16-bit gate', (p) => p.idt(0x40, Sel.code64, HANDLER, 0x86), {}, [13, 0x203]],
    ['INT n through a gate of DPL 0', () => {}, { kind: 'software' }, [13, 0x202]],
    ['gate not present', (p) => p.idt(0x40, Sel.code64, HANDLER, 0x0e), {}, [11, 0x203]],
    ['null CS', (p) => p.idt(0x40, 3, HANDLER, 0x8e), {}, [13, 1]],
    ['CS beyond the GDT', (p) => p.idt(0x40, 0x208, HANDLER, 0x8e), {}, [13, 0x209]],
    ['CS in an LDT that is not there', (p) => p.idt(0x40, 0xc, HANDLER, 0x8e), {}, [13, 0xd]],
    ['CS is data', (p) => p.idt(0x40, Sel.data0, HANDLER, 0x8e), {}, [13, Sel.data0 | 1]],
    ['CS is 32-bit code', (p) => p.idt(0x40, Sel.code0, HANDLER, 0x8e), {}, [13, Sel.code0 | 1]],
    ['CS not present', (p) => p.idt(0x40, Sel.absentCode, HANDLER, 0x8e), {}, [11, Sel.absentCode | 1]],
    ['RIP not canonical', (p) => p.idt(0x40, Sel.code64, HANDLER, 0x8e, 0, 0x8000), {}, [13, 1]],
    ['IST beyond the TSS', (p) => { p.idt(0x40, Sel.code64, HANDLER, 0x8e, 7); p.s.segLimit.set(7, 0x58) }, {}, [10, Sel.tss | 1]],
    ['IST not canonical', (p) => { p.idt(0x40, Sel.code64, HANDLER, 0x8e, 1); p.put64(TSS + 0x24, 1n << 47n) }, {}, [12, 1]],
  ]
  it.each(refused)('%s', (_name, prepare, over, expected) => {
    const p = new Stage(64, over.kind === 'software' ? 3 : 0)
    p.idt(0x40, Sel.code64, HANDLER, 0x8e)
    prepare(p)
    if (over.kind === 'software') {
      const before = p.snapshot()
      expect(p.run(0xcd, 0x40)).toBe(`#${expected[0]}(${expected[1].toString(16)}H)`)
      expect(p.snapshot()).toEqual(before)
    } else {
      expect(nested(p, { ...external(p), ...over })).toEqual(expected)
      expect(p.words(rsp(p) + 8, 8, 1)).toEqual([CODE])
    }
  })
  it('a page fault on the new stack leaves nothing changed and is delivered in its turn, with CR2', () => {
    const p = new Stage(64, 3)
    p.idt(0x40, Sel.code64, HANDLER, 0x8e)
    p.idt(14, Sel.code64, HANDLER + 0x100, 0x8e, 1)
    put(p.cpu.bench, PT + 8 * ((INNER - 8) >> 12), 0n)
    deliver(p.cpu, external(p))
    expect(p.s.rip).toBe(BigInt(HANDLER + 0x100))
    expect(p.s.cr2).toBe(BigInt(INNER - 8))
    expect(p.words(rsp(p), 8, 6)).toEqual([2, CODE, Sel.code64user, 0x10002, STACK, Sel.data3])
  })
  it('a frame over two pages is stored as a whole or not at all', () => {
    const p = new Stage(64)
    p.idt(0x40, Sel.code64, HANDLER, 0x8e)
    p.idt(14, Sel.code64, HANDLER, 0x8e, 1)
    p.s.gpr.set(4, BigInt(0x1f010))
    p.put64(0x1f008, 0x77n)
    put(p.cpu.bench, PT + 8 * 0x1e, 0n)
    deliver(p.cpu, external(p))
    expect([p.s.cr2, p.get64(0x1f008)]).toEqual([BigInt(0x1f010 - 40), 0x77n])
  })
})

describe('double and triple faults (6.15, table 6-5)', () => {
  const classes: [string, Partial<Event>, number][] = [
    ['benign, then contributory', { vector: 6 }, 13], ['contributory twice', { vector: 13, errorCode: 0 }, 8], ['#DE, then #GP', { vector: 0 }, 8],
    ['page fault, then contributory', { vector: 14, errorCode: 0, address: 5n }, 8], ['INT-like external vector 13, then #GP', { vector: 13, kind: 'external' }, 13],
    ['#AC, then #GP', { vector: 17, errorCode: 0 }, 13],
  ]
  it.each(classes)('%s', (_name, over, expected) => {
    const p = new Stage(64)
    p.idt(8, Sel.code64, 0x8000, 0x8e)
    p.idt(13, Sel.code64, 0xd000, 0x8e)
    const e: Event = { vector: 6, kind: 'exception', returnRip: p.s.rip, ...over }
    if (e.vector === 13) {
      // the first attempt meets a data segment, the second one the handler
      p.idt(13, Sel.data0, 0xd000, 0x8e)
      const port = taking()
      const taken = port.taken
      port.taken = (point, ...args) => {
        p.idt(13, Sel.code64, 0xd000, 0x8e)
        return taken(point, ...args)
      }
      if (e.kind === 'external') p.cpu.intercepts = port
    } else p.idt(e.vector, Sel.data0, 0x1000, 0x8e)
    deliver(p.cpu, e)
    expect(Number(p.s.rip) >> 12).toBe(expected)
    expect(p.get64(rsp(p))).toBe(expected === 8 ? 0n : BigInt(Sel.data0 | 1))
    expect(p.get64(rsp(p) + 8)).toBe(BigInt(CODE))
  })
  it('contributory, then page fault: in series', () => {
    const p = new Stage(64)
    p.idt(14, Sel.code64, 0xe000, 0x8e, 1)
    p.idt(13, Sel.code64, 0xd000, 0x8e)
    p.s.gpr.set(4, 0x400000n)
    deliver(p.cpu, at(p))
    expect([Number(p.s.rip) >> 12, p.s.cr2]).toEqual([14, 0x400000n - 8n])
  })
  it('page fault, then page fault: #DF, CR2 of the second', () => {
    const p = new Stage(64)
    p.idt(14, Sel.code64, 0xe000, 0x8e)
    p.idt(8, Sel.code64, 0x8000, 0x8e, 1)
    p.s.gpr.set(4, 0x400000n)
    deliver(p.cpu, at(p, { vector: 14, address: 0x1234n }))
    expect([Number(p.s.rip) >> 12, p.s.cr2]).toEqual([8, 0x400000n - 8n])
  })
  it.each([16, 32, 64] as const)('a fault while #DF is delivered shuts down (mode %i)', (mode) => {
    const p = new Stage(mode)
    let down = 0
    p.cpu.board.tripleFault = () => void down++
    p.s.idtrLimit = 0
    deliver(p.cpu, at(p))
    expect([down, p.s.activity, p.s.rip]).toEqual([1, 2, mode === 16 ? 0x100n : BigInt(CODE)])
  })
  it('monitors see the first exception, the nested one, #DF and the triple fault', () => {
    const p = new Stage(64)
    p.s.idtrLimit = 0
    const port = (p.cpu.intercepts = taking('tripleFault'))
    deliver(p.cpu, at(p, { errorCode: 7 }))
    expect(port.seen).toEqual([
      ...[[13, 7], [13, 0x6b], [8, 0], [13, 0x43]].map(([vector, code]) => ['exception', vector, code, undefined, 'exception', undefined]), ['tripleFault'],
    ])
    expect(p.s.activity).toBe(0)
    p.cpu.intercepts = taking('exception')
    deliver(p.cpu, at(p, { vector: 14, address: 9n }))
    expect(p.s.cr2).toBe(0n)
  })
})

describe('protected mode (6.11, 6.12)', () => {
  it.each([[0x8e, 4, 2n], [0x8f, 4, IF], [0x86, 2, 2n], [0x87, 2, IF]] as const)('gate %x, same privilege: %i-byte pushes', (access, width, flags) => {
    const p = new Stage(32)
    p.idt(13, Sel.code0, 0x9abc, access)
    p.cpu.setRflags(IF)
    deliver(p.cpu, at(p, { errorCode: 0x18 }))
    const cs = Sel.code0
    expect(rsp(p)).toBe(STACK - 4 * width)
    expect(p.words(rsp(p), width, 4)).toEqual([0x18, CODE & (2 ** (8 * width) - 1), cs, width === 4 ? 0x10202 : 0x202])
    expect([p.s.rip, p.cpu.rflags()]).toEqual([0x9abcn, flags])
  })
  it.each([[0x8e, 4], [0x86, 2]] as const)('gate %x to CPL 0: SS:ESP from the TSS, the old ones pushed', (access, width) => {
    const p = new Stage(32, 3)
    p.idt(0x40, Sel.code0, 0x9abc, access)
    deliver(p.cpu, external(p))
    expect(p.words(rsp(p), width, 5)).toEqual([CODE & (2 ** (8 * width) - 1), Sel.code3, 2, STACK & (2 ** (8 * width) - 1), Sel.data3])
    expect([rsp(p), p.s.cpl, p.s.segSelector.get(SS), p.s.segSelector.get(CS)]).toEqual([INNER - 5 * width, 0, Sel.data0, Sel.code0])
  })
  it('to CPL 1 through SS1:ESP1; 16-bit TSS', () => {
    const p = new Stage(32, 3)
    p.idt(0x40, 0xb8, 0x9abc, 0x8e)
    p.s.segRights.set(7, 0x83)
    p.put16(TSS + 6, 0x4000)
    p.put16(TSS + 8, Sel.data1)
    deliver(p.cpu, external(p))
    expect([rsp(p), p.s.cpl, p.s.segSelector.get(CS)]).toEqual([0x4000 - 20, 1, Sel.code1])
  })
  it('a conforming handler runs at the old CPL', () => {
    const p = new Stage(32, 3)
    p.idt(0x40, Sel.conforming, 0x9abc, 0x8e)
    deliver(p.cpu, external(p))
    expect([rsp(p), p.s.cpl, p.s.segSelector.get(CS)]).toEqual([STACK - 12, 3, Sel.conforming | 3])
  })
  const refused: [string, (p: Stage) => void, [number, number]][] = [
    ['beyond the IDT', (p) => (p.s.idtrLimit = 0x206), [13, 0x203]],
    ['not a gate', (p) => p.idt(0x40, Sel.code0, HANDLER, 0x8c), [13, 0x203]],
    ['gate not present', (p) => p.idt(0x40, Sel.code0, HANDLER, 0x0e), [11, 0x203]],
    ['null CS', (p) => p.idt(0x40, 0, HANDLER, 0x8e), [13, 1]],
    ['CS beyond the GDT', (p) => p.idt(0x40, 0x208, HANDLER, 0x8e), [13, 0x209]],
    ['CS is data', (p) => p.idt(0x40, Sel.data0, HANDLER, 0x8e), [13, Sel.data0 | 1]],
    ['CS not present', (p) => p.idt(0x40, Sel.absentCode, HANDLER, 0x8e), [11, Sel.absentCode | 1]],
    ['EIP beyond the limit', (p) => p.idt(0x40, Sel.small, HANDLER, 0x8e), [13, 1]],
    ['TSS too short', (p) => p.s.segLimit.set(7, 8), [10, Sel.tss | 1]],
    ['null SS0', (p) => p.put32(TSS + 8, 0), [10, 1]],
    ['SS0 beyond the GDT', (p) => p.put32(TSS + 8, 0x208), [10, 0x209]],
    ['RPL of SS0', (p) => p.put32(TSS + 8, Sel.data0 | 1), [10, Sel.data0 | 1]],
    ['DPL of SS0', (p) => p.put32(TSS + 8, 0x20), [10, 0x21]],
    ['SS0 is code', (p) => p.put32(TSS + 8, Sel.code0), [10, Sel.code0 | 1]],
    ['SS0 not present', (p) => p.put32(TSS + 8, Sel.absentData), [12, Sel.absentData | 1]],
    ['no room on SS0', (p) => { p.put32(TSS + 8, Sel.data16); p.put32(TSS + 4, 8); p.put64(GDT + 0x68, descriptor(0, 0xfff, 0x92, 0)) }, [12, Sel.data16 | 1]],
  ]
  it.each(refused)('%s', (name, prepare, expected) => {
    const p = new Stage(32, 3)
    p.idt(0x40, Sel.code0, HANDLER, 0x8e)
    prepare(p)
    // the nested handler conforms, so that it needs no inner stack
    const vector = expected[0]
    p.idt(vector, Sel.conforming, 0x1000 * vector, 0x8e)
    deliver(p.cpu, external(p))
    expect([name, Number(p.s.rip) / 0x1000, p.get32(rsp(p))]).toEqual([name, ...expected])
    expect(p.words(rsp(p) + 4, 4, 3)).toEqual([CODE, Sel.code3, 0x10002])
  })
  it('no room on the current stack: #SS(EXT), which becomes #DF behind a contributory exception', () => {
    const p = new Stage(32)
    p.idt(0x40, Sel.code0, HANDLER, 0x8e)
    p.s.segLimit.set(SS, 0xfff)
    p.cpu.modeChanged()
    p.idt(12, Sel.tss2, 0, 0x85)
    p.put32(TSS2 + 0x48 + 4, Sel.code0)
    p.put32(TSS2 + 0x50, Sel.data0)
    p.put32(TSS2 + 0x20, 0x7000)
    p.put32(TSS2 + 0x38, 0x5000)
    deliver(p.cpu, external(p))
    expect([p.s.rip, rsp(p), p.get32(0x4ffc), p.s.segSelector.get(7)]).toEqual([0x7000n, 0x4ffc, 1, Sel.tss2])
    expect(p.get32(TSS + 0x20)).toBe(CODE)
  })
  it('INT3 and INTO check the DPL of the gate, INT1 does not; IDT bit without EXT', () => {
    const p = new Stage(32, 3)
    for (const v of [1, 3, 4]) p.idt(v, Sel.code0, HANDLER, 0x8e)
    expect(p.run(0xcc)).toBe('#13(1aH)')
    expect(p.run(0xce)).toBe('done')
    p.cpu.setRflags(2n | Rflags.OF)
    p.s.rip = BigInt(CODE)
    expect(p.run(0xce)).toBe('#13(22H)')
    expect(p.run(0xf1)).toBe('done')
    expect([p.s.rip, p.get32(rsp(p))]).toEqual([BigInt(HANDLER), CODE + 1])
  })
  it('INT n pushes the RIP behind it', () => {
    const p = new Stage(32, 3)
    p.idt(0x80, Sel.code0, HANDLER, 0xef)
    expect(p.run(0xcd, 0x80)).toBe('done')
    expect(p.words(rsp(p), 4, 2)).toEqual([CODE + 2, Sel.code3])
  })
  it('BOUND: signed, both ends included', () => {
    const p = new Stage(32)
    p.put32(0x9000, 0xfffffffe)
    p.put32(0x9004, 5)
    const bound = (v: bigint) => (p.s.gpr.set(0, v), p.run(0x62, 0x05, 0, 0x90, 0, 0))
    expect([bound(5n), bound(6n), bound(0xfffffffen), bound(0xfffffffdn)]).toEqual(['done', '#5', 'done', '#5'])
  })
})

describe('real-address mode (20.1.4)', () => {
  it('IVT through IDTR; FLAGS, CS, IP; no error code; IF TF AC cleared', () => {
    const p = new Stage(16)
    p.put32(0x2000 + 13 * 4, 0x1234_5678)
    p.s.idtrBase = 0x2000n
    p.s.segSelector.set(CS, 0x77)
    p.cpu.setRflags(IF | Rflags.TF | Rflags.AC)
    deliver(p.cpu, at(p, { errorCode: 5 }))
    expect([p.s.rip, p.s.segSelector.get(CS), p.s.segBase.get(CS), p.cpu.rflags()]).toEqual([0x5678n, 0x1234, 0x12340n, 2n])
    expect(p.words(0x7ffa, 2, 3)).toEqual([0x100, 0x77, 0x302])
  })
  it('SP wraps in the 64 KiB', () => {
    const p = new Stage(16)
    p.put32(0x40 * 4, 0x0000_5678)
    p.s.gpr.set(4, 0xabcd_0002n)
    deliver(p.cpu, external(p))
    expect([p.s.gpr.get(4), p.get16(0), p.get16(0xfffe), p.get16(0xfffc)]).toEqual([0xabcd_fffcn, 2, 0, 0x100])
  })
  it('a word that would cross the end is #SS: delivered while SP stays odd, that ends in shutdown', () => {
    const p = new Stage(16)
    p.s.gpr.set(4, 1n)
    deliver(p.cpu, external(p))
    expect(p.s.activity).toBe(2)
  })
})

describe('virtual-8086 mode (20.2, 20.3)', () => {
  const v86 = (iopl = 3): Stage => {
    const p = new Stage(32, 3)
    const s = p.s
    p.cpu.setRflags(0x20202n | (BigInt(iopl) << 12n))
    for (let n = 0; n < 6; n++) {
      s.segSelector.set(n, 0x100 * (n + 1))
      s.segBase.set(n, BigInt(0x1000 * (n + 1)))
      s.segLimit.set(n, 0xffff)
      s.segRights.set(n, 0xf3)
    }
    s.gpr.set(4, 0x800n)
    s.rip = 0x50n
    p.cpu.modeChanged()
    return p
  }
  it('to CPL 0: GS FS DS ES SS ESP EFLAGS CS EIP; data segments become null', () => {
    const p = v86()
    p.idt(13, Sel.code0, HANDLER, 0x8e)
    deliver(p.cpu, at(p, { errorCode: 0 }))
    expect(p.words(rsp(p), 4, 10)).toEqual([0, 0x50, 0x200, 0x33202, 0x800, 0x300, 0x100, 0x400, 0x500, 0x600])
    expect([p.cpu.virtual8086, p.s.cpl, p.s.segSelector.get(GS), p.s.segRights.get(DS), p.s.segRights.get(ES)]).toEqual([false, 0, 0, 0x10000, 0x10000])
  })
  it('conforming or outer handlers are #GP(selector)', () => {
    for (const sel of [Sel.conforming, 0x18]) {
      const p = v86()
      p.idt(0x40, sel, HANDLER, 0x8e)
      p.idt(13, Sel.code0, HANDLER, 0x8e)
      deliver(p.cpu, external(p))
      expect(p.get32(rsp(p))).toBe(sel | 1)
    }
  })
  // bit of the redirection map, IOPL, VME → what happens (table 20-2)
  const methods: [string, boolean, number, number, string][] = [
    ['VME off, IOPL 3: the IDT', false, 3, 0, 'idt'], ['VME off, IOPL < 3: #GP(0)', false, 2, 0, '#13(0H)'], ['bit set, IOPL 3: the IDT', true, 3, 1, 'idt'],
    ['bit set, IOPL < 3: #GP(0)', true, 0, 1, '#13(0H)'], ['bit clear, IOPL 3: own vectors', true, 3, 0, 'own'], ['bit clear, IOPL < 3: own vectors, VIF', true, 0, 0, 'virtual'],
  ]
  it.each(methods)('INT n: %s', (_name, vme, iopl, bit, expected) => {
    const p = v86(iopl)
    p.s.cr4 = vme ? 1n : 0n
    p.idt(0x21, Sel.code0, HANDLER, 0xee)
    p.s.segLimit.set(7, 0x100)
    p.put16(TSS + 0x66, 0x90)
    p.put16(TSS + 0x70 + 4, bit << 1)
    p.put32(0x84, 0x0700_0123)
    if (expected === 'virtual') p.cpu.setRflags(p.cpu.rflags() | Rflags.VIF)
    const before = p.snapshot()
    const result = p.run(0xcd, 0x21)
    if (expected.startsWith('#')) {
      expect(result).toBe(expected)
      return expect(p.snapshot()).toEqual(before)
    }
    expect(result).toBe('done')
    if (expected === 'idt') return expect([p.s.rip, p.s.cpl]).toEqual([BigInt(HANDLER), 0])
    expect([p.s.rip, p.s.segSelector.get(CS), p.s.segBase.get(CS), p.cpu.virtual8086]).toEqual([0x123n, 0x700, 0x7000n, true])
    expect(p.words(0x3000 + 0x800 - 6, 2, 3)).toEqual([0x52, 0x200, expected === 'own' ? 0x3202 : 0x3202])
    expect(p.cpu.rflags() & (Rflags.IF | Rflags.VIF)).toBe(expected === 'own' ? 0n : Rflags.IF)
  })
})

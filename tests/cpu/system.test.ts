// MOV DR, INVLPG, INVPCID, caches, waiting, FS and GS bases, SGDT and SIDT (SDM 2A/2B by mnemonic; SDM 3B 17.2).

import { describe, expect, it } from 'vitest'
import { cacheAssists } from '../../src-core/cpu/cache.ts'
import { debugRegisterAssists as debug } from '../../src-core/cpu/debug-register.ts'
import { descriptorStoreAssists } from '../../src-core/cpu/descriptor-store.ts'
import { fsgsbaseAssists as bases } from '../../src-core/cpu/fsgsbase.ts'
import { haltAssists } from '../../src-core/cpu/halt.ts'
import { load, long, put64, store } from '../paging/bench.ts'
import { instruction, outcome, processor, taking, type TestProcessor } from './processor.ts'

describe('debug registers', () => {
  const write = (cpu: TestProcessor, reg: number, v: bigint): string => outcome(() => debug.writeDr(cpu, instruction(cpu, { reg, operands: [0n, v] })))
  const read = (cpu: TestProcessor, reg: number): bigint => {
    const i = instruction(cpu, { reg })
    debug.readDr(cpu, i)
    return i.written.get(0)!
  }
  it('DR4 and DR5 alias DR6 and DR7 until CR4.DE; DR8 and up are #UD', () => {
    const cpu = processor(64)
    expect(write(cpu, 5, 0x55n)).toBe('done')
    expect([read(cpu, 7), read(cpu, 4)]).toEqual([0x455n, 0xffff0ff0n])
    cpu.state.cr4 |= 8n
    expect([write(cpu, 4, 0n), write(cpu, 5, 0n), write(cpu, 8, 0n)]).toEqual(['#6', '#6', '#6'])
  })
  it('fixed bits; upper halves of DR6 and DR7 are #GP(0), of DR0…DR3 not', () => {
    const cpu = processor(64)
    expect([write(cpu, 6, 1n << 32n), write(cpu, 7, 1n << 32n), write(cpu, 0, 1n << 40n)]).toEqual(['#13(0)', '#13(0)', 'done'])
    write(cpu, 6, 0n)
    write(cpu, 7, 0xffffdfffn)
    expect([read(cpu, 6), read(cpu, 7), read(cpu, 0)]).toEqual([0xffff0ff0n, 0xffff07ffn, 1n << 40n])
    write(cpu, 6, 0xffffffffn)
    expect(read(cpu, 6)).toBe(0xffffefffn)
  })
  it('privilege, then the monitor, then general detect', () => {
    const user = processor(32, 3)
    user.state.dr.set(7, 0x2400n)
    expect(write(user, 0, 0n)).toBe('#13(0)')
    const cpu = processor(32)
    cpu.state.dr.set(7, 0x2400n)
    cpu.intercepts = taking('writeDr')
    expect([write(cpu, 0, 1n), cpu.state.dr.get(6)]).toEqual(['Intercepted', 0xffff0ff0n])
    cpu.intercepts = undefined
    // DR6.BD is set when the exception is delivered, so that a monitor sees the guest's DR6 (SDM 3C 25.2)
    expect([write(cpu, 0, 1n), cpu.state.dr.get(6), cpu.state.dr.get(0)]).toEqual(['#1', 0xffff0ff0n, 0n])
    expect(outcome(() => read(cpu, 0))).toBe('#1')
  })
  it('a breakpoint set holds for translations cached before', () => {
    const cpu = processor(32)
    store(cpu.bench, 0x5000n)
    write(cpu, 0, 0x5004n)
    write(cpu, 7, 0xd0001n | 0x400n)
    store(cpu.bench, 0x5004n, 4)
    expect(cpu.state.pendingDebug).toBe(1)
  })
})

describe('translations', () => {
  const mapped = (): TestProcessor => {
    const cpu = processor(64)
    long(cpu.bench)
    put64(cpu.bench, 0x4008, 0x5103n)
    put64(cpu.bench, 0x4010, 0x5003n)
    load(cpu.bench, 0x1000n)
    load(cpu.bench, 0x2000n)
    put64(cpu.bench, 0x4008, 0x6103n)
    put64(cpu.bench, 0x4010, 0x6003n)
    return cpu
  }
  /** Which of the global and the other page are seen anew. */
  const fresh = (cpu: TestProcessor): boolean[] => [0x1000n, 0x2000n].map((a) => load(cpu.bench, a) === cpu.physical.host(0x6000))

  it('INVLPG: the page, through the segment; a non-canonical address is nothing', () => {
    const cpu = mapped()
    cacheAssists.invlpg(cpu, instruction(cpu, { at: 0x8000_0000_0000n }))
    expect(fresh(cpu)).toEqual([false, false])
    cpu.state.segBase.set(4, 0x1000n)
    cpu.segmentChanged(4)
    cacheAssists.invlpg(cpu, instruction(cpu, { at: 0x10n, segment: 4 }))
    expect(fresh(cpu)).toEqual([true, false])
  })

  const invpcid = (cpu: TestProcessor, type: bigint, pcid: bigint, linear = 0x2000n): string => {
    put64(cpu.bench, 0x7000, pcid)
    put64(cpu.bench, 0x7008, linear)
    return outcome(() => cacheAssists.invpcid(cpu, instruction(cpu, { operands: [type], at: 0x7000n })))
  }
  it.each([[0n, [false, true]], [1n, [false, true]], [2n, [true, true]], [3n, [false, true]]] as const)('INVPCID type %i', (type, seen) => {
    const cpu = mapped()
    expect(invpcid(cpu, type, 0n)).toBe('done')
    expect(fresh(cpu)).toEqual(seen)
  })
  it('INVPCID refuses other types, reserved bits, a PCID without PCIDE, a non-canonical address', () => {
    const cpu = mapped()
    expect([invpcid(cpu, 4n, 0n), invpcid(cpu, 1n << 40n, 0n), invpcid(cpu, 0n, 5n), invpcid(cpu, 1n, 5n), invpcid(cpu, 0n, 0n, 1n << 47n)]).toEqual(Array(5).fill('#13(0)'))
    for (const type of [0n, 1n, 2n, 3n]) expect(invpcid(cpu, type, 0x1000n)).toBe('#13(0)')
    expect(invpcid(cpu, 2n, 5n)).toBe('done')
    cpu.state.cr4 |= 1n << 17n
    expect(invpcid(cpu, 1n, 5n)).toBe('done')
  })
  it.each(['invd', 'wbinvd', 'invlpg', 'invpcid'] as const)('%s needs CPL 0, then asks the monitor', (name) => {
    const user = processor(32, 3)
    expect(outcome(() => cacheAssists[name](user, instruction(user)))).toBe('#13(0)')
    const cpu = processor(32)
    cpu.intercepts = taking(name)
    expect(outcome(() => cacheAssists[name](cpu, instruction(cpu, { operands: [0n], at: 0x9000n })))).toBe('Intercepted')
  })
})

describe('waiting', () => {
  it('HLT: CPL 0, monitor, halted', () => {
    const cpu = processor(32)
    cpu.intercepts = taking('hlt')
    expect([outcome(() => haltAssists.hlt(cpu, instruction(cpu))), cpu.state.activity]).toEqual(['Intercepted', 0])
    cpu.intercepts = undefined
    haltAssists.hlt(cpu, instruction(cpu))
    expect(cpu.state.activity).toBe(1)
    const user = processor(32, 3)
    expect(outcome(() => haltAssists.hlt(user, instruction(user)))).toBe('#13(0)')
  })
  it('PAUSE gives cycles away', () => {
    const cpu = processor(32, 3)
    haltAssists.pause(cpu, instruction(cpu))
    expect(cpu.charged).toBeGreaterThan(0)
  })
  it('MONITOR and MWAIT: #UD above CPL 0, no extensions, MONITOR checks its address', () => {
    const user = processor(32, 3)
    const cpu = processor(32)
    for (const name of ['monitor', 'mwait'] as const) {
      expect(outcome(() => haltAssists[name](user, instruction(user)))).toBe('#6')
      cpu.state.gpr.set(1, 1n)
      expect(outcome(() => haltAssists[name](cpu, instruction(cpu)))).toBe('#13(0)')
      cpu.state.gpr.set(1, 0n)
      expect(outcome(() => haltAssists[name](cpu, instruction(cpu)))).toBe('done')
    }
    cpu.state.segLimit.set(3, 0xfff)
    cpu.segmentChanged(3)
    cpu.state.gpr.set(0, 0x1000n)
    expect(outcome(() => haltAssists.monitor(cpu, instruction(cpu)))).toBe('#13(0)')
    expect(outcome(() => haltAssists.ud(cpu, instruction(cpu)))).toBe('#6')
  })
})

describe('FS and GS bases', () => {
  it('need CR4.FSGSBASE; writes must be canonical', () => {
    const cpu = processor(64, 3)
    for (const name of ['readFsBase', 'readGsBase', 'writeFsBase', 'writeGsBase'] as const) {
      expect(outcome(() => bases[name](cpu, instruction(cpu, { operands: [0n] })))).toBe('#6')
    }
    cpu.state.cr4 |= 1n << 16n
    expect(outcome(() => bases.writeFsBase(cpu, instruction(cpu, { operands: [1n << 47n] })))).toBe('#13(0)')
    bases.writeGsBase(cpu, instruction(cpu, { operands: [0x1234n] }))
    const i = instruction(cpu)
    bases.readGsBase(cpu, i)
    expect([i.written.get(0), cpu.state.segEffective.get(5), cpu.log]).toEqual([0x1234n, 0x1234n, ['segment 5']])
  })
  it('SWAPGS exchanges with IA32_KERNEL_GS_BASE at CPL 0', () => {
    const cpu = processor(64)
    cpu.state.segBase.set(5, 1n)
    cpu.state.kernelGsBase = 2n
    bases.swapgs(cpu, instruction(cpu))
    expect([cpu.state.segBase.get(5), cpu.state.kernelGsBase, cpu.state.segEffective.get(5)]).toEqual([2n, 1n, 2n])
    const user = processor(64, 3)
    expect(outcome(() => bases.swapgs(user, instruction(user)))).toBe('#13(0)')
  })
})

describe('SGDT and SIDT', () => {
  it.each([[32, 6], [64, 10]] as const)('%i-bit mode: limit and base in %i bytes', (mode, length) => {
    const cpu = processor(mode)
    cpu.state.cr0 &= ~0x80000000n
    cpu.state.idtrLimit = 0xabcd
    cpu.state.idtrBase = 0x1122334455667788n
    cpu.memory.writeBytes(0x5ff8n, new Uint8Array(16).fill(0xee))
    descriptorStoreAssists.sidt(cpu, instruction(cpu, { at: 0x5ffcn }))
    const image = [0xcd, 0xab, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11].slice(0, length)
    expect([...cpu.memory.readBytes(0x5ffcn, length + 1)]).toEqual([...image, 0xee])
  })
  it('UMIP refuses above CPL 0; the monitor is asked', () => {
    const cpu = processor(32, 3)
    expect(outcome(() => descriptorStoreAssists.sgdt(cpu, instruction(cpu, { at: 0x5000n })))).toBe('done')
    cpu.state.cr4 = 1n << 11n
    expect(outcome(() => descriptorStoreAssists.sgdt(cpu, instruction(cpu, { at: 0x5000n })))).toBe('#13(0)')
    const kernel = processor(32)
    const port = (kernel.intercepts = taking('descriptorTable'))
    expect(outcome(() => descriptorStoreAssists.sgdt(kernel, instruction(kernel)))).toBe('Intercepted')
    expect(port.seen).toEqual([['descriptorTable', 'sgdt']])
  })
})

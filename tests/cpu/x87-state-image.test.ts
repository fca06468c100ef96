// FXSAVE, XSAVE, FSAVE and relatives against images recorded on a processor and the SDM's formats and faults.

import { beforeEach, describe, expect, it } from 'vitest'
import { processorState } from '../../src-core/isa/state.ts'
import { x87CallImplementations as calls } from '../../src-core/cpu/x87/calls.ts'
import { environmentAssists } from '../../src-core/cpu/x87/environment.ts'
import { inUse, stateImageAssists, type AssistContext } from '../../src-core/cpu/x87/state-image.ts'

const s = processorState(new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }), 4096)
const assists = { ...stateImageAssists, ...environmentAssists }
type Name = keyof typeof assists
class GuestFault extends Error {
  constructor(
    readonly vector: number,
    readonly code?: number,
  ) {
    super(`#${vector}(${code})`)
  }
}
const memory = new Uint8Array(8192)
const BASE = -0x1000 // a canonical address in the upper half
const LIMIT = 4096 // bytes from here on are read-only
interface Options {
  at?: number
  rexW?: boolean
  size?: 16 | 32 | 64
  mode64?: boolean
}
function context({ at = 0, rexW = false, size = 32, mode64 = true }: Options): AssistContext {
  const fault = (vector: number, code?: number): never => {
    throw new GuestFault(vector, code)
  }
  const place = (linear: number, length: number): number => {
    const o = linear - BASE
    return o < 0 || o + length > memory.length ? fault(14, 0) : o
  }
  const probeWrite = (linear: number, length: number): void => {
    if (place(linear, length) + length > LIMIT) fault(14, 2)
  }
  return {
    state: s, rexW, operandSize: size, mode64, fault, probeWrite,
    operandAddress: () => BASE + at,
    readBytes: (linear, length) => memory.subarray(place(linear, length), place(linear, length) + length),
    writeBytes: (linear, data) => {
      probeWrite(linear, data.length)
      memory.set(data, place(linear, data.length))
    },
  }
}
const run = (name: Name, o: Options = {}): void => assists[name](context(o))
const faults = (name: Name, o: Options = {}): string => {
  const before = [memory.join(), s.fsw, s.fcw, s.mxcsr, s.xmm.join(), s.fpr.join()].join('|')
  try {
    run(name, o)
  } catch (e) {
    if (!(e instanceof GuestFault)) throw e
    expect([memory.join(), s.fsw, s.fcw, s.mxcsr, s.xmm.join(), s.fpr.join()].join('|')).toBe(before)
    return e.message
  }
  return 'none'
}
const hex = (from: number, to: number): string => Buffer.from(memory.subarray(from, to)).toString('hex')

/** The recorded state: TOP = 5, FTW = B5H, one register of each class. */
const significands = [1n << 63n, 0n, 1n << 63n, 0xc000000000000001n, 5n, 0xffffffffffffffffn, 0n, 1n << 62n]
const exponents = [0x3fff, 0, 0x7fff, 0xffff, 0, 0x4001, 0x8000, 0x3fff]
const registers =
  '0000000000000080ff3f000000000000000000000000000000000080ff7f01000000000000c0ffff05000000000000000000ffffffffffffffff0140000000000000000000800000000000000040ff3f'
beforeEach(() => {
  s.cr0 = 1n
  s.cr4 = 0x40600n
  s.xcr0 = 3n
  s.rflags = 2n
  s.gpr.set(0, 3n)
  calls.fninit(s)
  s.fsw = 0x2a05
  s.ftw = 0xb5
  s.fop = 0
  s.mxcsr = 0x1f80
  const v = new DataView(s.fpr.buffer, s.fpr.byteOffset, 128)
  significands.forEach((m, i) => {
    v.setBigUint64(((5 + i) & 7) * 16, m, true)
    v.setBigUint64(((5 + i) & 7) * 16 + 8, BigInt(exponents[i]!), true)
  })
  for (let i = 0; i < 256; i++) s.xmm[i] = i ^ 0x5a
  memory.fill(0xee)
})

describe('environment images', () => {
  it('FNSTENV in 32 and 16 bits as recorded, masking afterwards', () => {
    s.fcw = 0x37f
    run('fstenv')
    expect(hex(0, 32)).toBe('7f03ffff052affffceb2ffff0000000000000000000000000000ffffeeeeeeee')
    run('fstenv', { at: 64, size: 16 })
    expect(hex(64, 80)).toBe('7f03052aceb20000000000000000eeee')
    s.fcw = 0x37e
    s.fsw = 0x8081
    run('fstenv')
    expect(hex(0, 8)).toBe('7e03ffff8180ffff')
    expect([s.fcw, s.fsw, s.unavailable]).toEqual([0x37f, 1, 0])
  })
  it('FNSAVE as recorded, then as after FNINIT with the registers kept; FRSTOR brings all back', () => {
    const fpr = s.fpr.slice()
    run('fsave')
    expect(hex(0, 112)).toBe(`7f03ffff052affffceb2ffff0000000000000000000000000000ffff${registers}eeeeeeee`)
    expect([s.fcw, s.fsw, s.ftw]).toEqual([0x37f, 0, 0])
    expect(s.fpr.join()).toBe(fpr.join())
    s.fpr.fill(0)
    run('frstor')
    expect([s.fcw, s.fsw, s.ftw, s.fpr.join()]).toEqual([0x37f, 0x2a05, 0xb5, fpr.join()])
  })
  it('keeps pointers in each format (SDM 1 figures 8-9 to 8-12)', () => {
    const trip = (o: Options, cr0: bigint, rflags = 2n): [bigint, bigint, number] => {
      s.cr0 = cr0
      s.rflags = rflags
      s.fip = 0x9abcdef0n
      s.fdp = 0x87654321n
      s.fop = 0x5a5
      run('fstenv', o)
      s.fip = s.fdp = 1n
      s.fop = 1
      run('fldenv', o)
      return [s.fip, s.fdp, s.fop]
    }
    expect(trip({ size: 32 }, 1n)).toEqual([0x9abcdef0n, 0x87654321n, 0x5a5])
    expect(trip({ size: 32 }, 0n)).toEqual([0x9abcdef0n, 0x87654321n, 0x5a5])
    expect(trip({ size: 32 }, 1n, 0x20002n)).toEqual([0x9abcdef0n, 0x87654321n, 0x5a5])
    expect(trip({ size: 16 }, 1n)).toEqual([0xdef0n, 0x4321n, 0])
    expect(trip({ size: 16 }, 0n)).toEqual([0xcdef0n, 0x54321n, 0x5a5])
    expect(hex(6, 14)).toBe('f0dea5c521430050')
  })
  it('FLDENV works out ES anew, so that an unmasked flag is pending', () => {
    memory.set([0x7e, 3, 0xff, 0xff, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 0)
    run('fldenv')
    expect([s.fsw, s.ftw, s.unavailable]).toEqual([0x8081, 0, 5])
  })
})

describe('FXSAVE and FXRSTOR', () => {
  it('stores the recorded image, XMM behind it, and leaves bytes 464 to 511', () => {
    run('fxsave', { rexW: true })
    expect(hex(0, 32)).toBe('7f03052ab500000000000000000000000000000000000000801f0000ffff0000')
    expect(hex(32, 64)).toBe('0000000000000080ff3f00000000000000000000000000000000000000000000')
    expect(hex(160, 416)).toBe(Buffer.from(s.xmm).toString('hex'))
    expect(hex(464, 512)).toBe('ee'.repeat(48))
    s.fip = 0x123456789abcn
    run('fxsave')
    expect(hex(8, 16)).toBe('bc9a785600000000')
    run('fxsave', { rexW: true })
    expect(hex(8, 16)).toBe('bc9a785634120000')
  })
  it('round-trips, and touches eight XMM registers only outside 64-bit mode', () => {
    const [fpr, xmm] = [s.fpr.slice(), s.xmm.slice()]
    run('fxsave')
    calls.fninit(s)
    s.fpr.fill(0)
    s.xmm.fill(0)
    s.mxcsr = 0x1f00
    run('fxrstor', { mode64: false })
    expect([s.fsw, s.ftw, s.mxcsr, s.fpr.join()]).toEqual([0x2a05, 0xb5, 0x1f80, fpr.join()])
    expect([s.xmm.subarray(0, 128).join(), s.xmm[128]]).toEqual([xmm.subarray(0, 128).join(), 0])
    run('fxrstor')
    expect(s.xmm.join()).toBe(xmm.join())
  })
  it('faults: alignment, CR0.EM and TS, MXCSR reserved bits, a read-only end; nothing changes', () => {
    expect(faults('fxsave', { at: 8 })).toBe('#13(0)')
    expect(faults('fxsave', { at: 4096 - 16 })).toBe('#14(2)')
    run('fxsave')
    memory[27] = 1
    expect(faults('fxrstor')).toBe('#13(0)')
    s.cr0 = 9n
    expect(faults('fxsave')).toBe('#7(undefined)')
    s.cr0 = 13n
    expect(faults('fxrstor')).toBe('#6(undefined)')
  })
})

describe('XSAVE, XSAVEOPT, XRSTOR', () => {
  it('writes what EDX:EAX and XCR0 select, and only those bits of XSTATE_BV', () => {
    memory.fill(0, 512, 576)
    s.gpr.set(0, 2n)
    run('xsave')
    expect(hex(0, 24)).toBe('ee'.repeat(24))
    expect(hex(24, 32)).toBe('801f0000ffff0000')
    expect(hex(512, 520)).toBe('0200000000000000')
    s.gpr.set(0, 0xffffffffn)
    s.xcr0 = 1n
    run('xsave')
    expect([hex(0, 4), hex(512, 513)]).toEqual(['7f03052a', '03'])
  })
  it('tells components in their initial configuration by XSTATE_BV; XSAVEOPT does not write them', () => {
    memory.fill(0, 512, 576)
    calls.fninit(s)
    expect(inUse(s, true)).toBe(3)
    s.fpr.fill(0)
    s.xmm.fill(0, 0, 128)
    expect([inUse(s, true), inUse(s, false)]).toEqual([2, 0])
    run('xsaveopt')
    expect([hex(0, 8), hex(512, 513)]).toEqual(['ee'.repeat(8), '02'])
    run('xsave')
    expect([hex(0, 4), hex(512, 513)]).toEqual(['7f030000', '02'])
  })
  it('XRSTOR loads, initializes or leaves each component; MXCSR always comes from memory', () => {
    memory.fill(0, 512, 576)
    run('xsave')
    memory[512] = 0
    memory[25] = 0x3f
    run('xrstor')
    expect([s.fcw, s.fsw, s.ftw, s.mxcsr]).toEqual([0x37f, 0, 0, 0x3f80])
    expect(s.xmm.every((b) => b === 0) && s.fpr.every((b) => b === 0)).toBe(true)
    memory[512] = 3
    s.gpr.set(0, 1n)
    run('xrstor')
    expect([s.fsw, s.ftw, s.xmm[1]]).toEqual([0x2a05, 0xb5, 0])
    s.gpr.set(0, 2n)
    calls.fninit(s)
    run('xrstor')
    expect([s.fsw, s.xmm[1]]).toEqual([0, 0x5b])
  })
  it('faults: alignment, OSXSAVE, TS, reserved header and MXCSR bits (SDM 1 13.8)', () => {
    memory.fill(0, 512, 576)
    expect(faults('xsave', { at: 16 })).toBe('#13(0)')
    expect(faults('xsave', { at: 4096 - 512 })).toBe('#14(2)')
    run('xsave')
    for (const byte of [519, 520, 527, 528, 535]) {
      memory[byte] = 0x80
      expect(faults('xrstor'), `byte ${byte}`).toBe('#13(0)')
      memory[byte] = 0
    }
    memory[512] = 4
    expect(faults('xrstor')).toBe('#13(0)')
    memory[512] = 3
    memory[26] = 1
    expect(faults('xrstor')).toBe('#13(0)')
    s.gpr.set(0, 1n)
    expect(faults('xrstor')).toBe('none')
    s.cr0 = 9n
    expect(faults('xsaveopt')).toBe('#7(undefined)')
    s.cr4 = 0n
    expect(faults('xsave')).toBe('#6(undefined)')
  })
})

describe('LDMXCSR and STMXCSR', () => {
  it('refuses reserved bits with #GP(0)', () => {
    memory.set([0xff, 0xff, 0, 0])
    run('ldmxcsr')
    expect(s.mxcsr).toBe(0xffff)
    expect(calls.stmxcsr(s)).toBe(0)
    expect(new DataView(s.scratch.buffer, s.scratch.byteOffset).getUint32(0, true)).toBe(0xffff)
    memory[2] = 1
    expect(faults('ldmxcsr')).toBe('#13(0)')
  })
})

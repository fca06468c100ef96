// Guests of random code: whatever they do, the VM runs on or ends with a stop that says why; nothing is thrown, no page is shared.

import { describe, expect, it } from 'vitest'
import { resolveBoard } from '../../src-core/board/config.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import { VmMachine } from '../../src-core/board/vm.ts'

const SEEDS = 200
const CYCLES = 400_000
/** Pieces that exit, in 32-bit code: ports, MSRs, CPUID, control registers, HLT, chips, VMX, strings, descriptor tables. */
const pieces: readonly (readonly number[])[] = [
  [0x0f, 0xa2], [0x0f, 0x32], [0x0f, 0x30], [0xf4], [0xec], [0xee], [0xed], [0xef], [0x6c], [0xf3, 0x6c], [0x6e], [0xf3, 0x6f], [0xfb], [0xfa],
  [0x0f, 0x20, 0xc0], [0x0f, 0x22, 0xc0], [0x0f, 0x22, 0xe0], [0x0f, 0x22, 0xd8], [0x44, 0x0f, 0x20, 0xc0], [0x0f, 0x01, 0xc1], [0x0f, 0x01, 0xd1],
  [0x0f, 0x01, 0xc4], [0x0f, 0x78, 0xc1], [0x0f, 0x08], [0x0f, 0x09], [0x0f, 0x31], [0x0f, 0xaa], [0xcd, 0x80], [0xcc], [0xcf], [0x9d], [0x0f, 0x0b],
  [0xb9, 0x1b, 0, 0, 0], [0xb9, 0xe0, 0x06, 0, 0], [0xb9, 0x80, 0, 0, 0xc0], [0xb9, 0x3b, 0, 0, 0], [0xb9, 0x30, 0x08, 0, 0], [0xba, 0xf8, 0x03, 0, 0],
  [0xba, 0xf8, 0x0c, 0, 0], [0xba, 0x10, 0x05, 0, 0], [0xba, 0x04, 0x06, 0, 0], [0xba, 0x20, 0, 0, 0], [0xba, 0, 0, 0, 0], [0xb8, 0, 0x0c, 0xe0, 0xfe],
  [0xa1, 0x20, 0, 0xe0, 0xfe], [0xa3, 0, 3, 0xe0, 0xfe], [0xa3, 0x80, 3, 0xe0, 0xfe], [0xc7, 5, 0xf0, 0, 0xe0, 0xfe, 0xff, 1, 0, 0], [0xa3, 0, 0, 0xc0, 0xfe],
  [0xa1, 0x10, 0, 0xc0, 0xfe], [0xa3, 0x10, 0, 0xd0, 0xfe], [0x8b, 3], [0x89, 3], [0x88, 0x23], [0x0f, 0x01, 0x13], [0x0f, 0x01, 0x1b], [0x0f, 0, 0xd8],
  [0x8e, 0xd8], [0x8e, 0xd0], [0xbb, 0xfe, 0x0f, 0xe0, 0xfe], [0xbb, 0xfd, 0xff, 0xff, 0],
]

describe('random guests', () => {
  it('never bring the monitor down', () => {
    const vm = new VmMachine({ config: resolveBoard(PRESETS.get('intel-2n')!, { megabytes: 32, processors: 2 }), guest: { megabytes: 16, processors: 2 } })
    let state = 0x2545f491
    const next = (): number => {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      return state >>> 0
    }
    const ends = new Map<string, number>()
    const exits = new Set<string>()
    for (let seed = 0; seed < SEEDS; seed++) {
      const bytes: number[] = []
      while (bytes.length < 300) bytes.push(...(next() % 4 === 0 ? [next() & 0xff] : pieces[next() % pieces.length]!))
      bytes.push(0xe9, ...[0, 8, 16, 24].map((shift) => (-(bytes.length + 5) >> shift) & 0xff))
      const data = Uint8Array.from(bytes)
      const at = 0x100000
      const flat = (selector: number) => ({ selector, base: 0 })
      const gprs = { rsp: 0x7000n, rbx: BigInt(next()), rcx: BigInt(next() & 0xff), rdi: BigInt(next()), rsi: BigInt(next() & 0xffffff) }
      vm.load([{ address: at, data, length: data.length }], { mode: 'protected', rip: at, rflags: 2, gprs, cs: flat(0x10), data: flat(0x18) })
      const end = vm.time + CYCLES
      let why = 'runs'
      for (let n = 0; n < 50 && vm.time < end; n++) {
        const { stop, idle } = vm.run(end)
        if (stop || idle) {
          why = stop?.kind ?? 'idle'
          break
        }
      }
      ends.set(why, (ends.get(why) ?? 0) + 1)
      const figures = vm.vm!.figures()
      for (const name of Object.keys(figures.exits)) exits.add(name)
      expect(vm.vm!.memory.ept.pages).toBe([...vm.vm!.memory.entries()].length)
    }
    expect([...exits]).toEqual(expect.arrayContaining(['cpuid', 'hlt', 'ioInstruction', 'rdmsr', 'wrmsr', 'eptViolation', 'vmcall', 'controlRegisterAccess', 'tripleFault']))
    expect(ends.get('tripleFault')).toBeGreaterThan(20)
    expect(ends.get('monitor')).toBeGreaterThan(0)
    for (const kind of ends.keys()) expect(['runs', 'idle', 'tripleFault', 'monitor', 'powerOff', 'reset', 'exit']).toContain(kind)
  }, 120_000)
})

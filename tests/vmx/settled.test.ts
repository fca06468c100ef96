// A VMCS that passed all checks of VM entry is not checked again while nothing that counts has changed (vmx/entry-checks/settled.ts).

import { describe, expect, it } from 'vitest'
import { vmcsFields, wideFields, type FieldName } from '../../src-core/arch/vmcs-fields.ts'
import { Candidate, firstFailing } from '../../src-core/vmx/entry-checks/check.ts'
import { controlChecks, guestStateChecks, hostStateChecks } from '../../src-core/vmx/entry-checks/lists.ts'
import { countedWords, Settled } from '../../src-core/vmx/entry-checks/settled.ts'
import { fieldExists } from '../../src-core/vmx/capabilities.ts'
import { slots } from '../../src-core/vmx/vmcs.ts'
import { Efer } from '../../src-core/arch/registers.ts'
import { Primary, Secondary } from '../../src-core/arch/vmx.ts'
import { Guest, HOST } from './guest.ts'
import { VMCS } from './monitor.ts'

const g = new Guest()
const all = [...controlChecks, ...hostStateChecks, ...guestStateChecks]
const candidate = (): Candidate => new Candidate(g.core, g.vmcs)
const fresh = (controls: Parameters<Guest['prepare']>[0] = {}, fields: Parameters<Guest['prepare']>[1] = {}): Settled => {
  g.prepare(controls, fields)
  expect(firstFailing(all, candidate())).toBeUndefined()
  const settled = new Settled()
  settled.keep(candidate())
  return settled
}
const word = (n: number): number => g.vmcs.words[g.vmcs.first + n]!
const flip = (n: number, mask: number): void => void (g.vmcs.words[g.vmcs.first + n]! ^= mask)

describe('a VMCS that passed', () => {
  it('holds as it is, and not if any bit that counts differs', () => {
    const settled = fresh()
    expect(settled.holds(candidate())).toBe(true)
    for (const [n, mask] of countedWords) {
      for (const bit of [mask & -mask, 2 ** (31 - Math.clz32(mask))]) {
        flip(n, bit)
        expect([n, settled.holds(candidate())]).toEqual([n, false])
        flip(n, bit)
      }
    }
    expect(settled.holds(candidate())).toBe(true)
  })

  it('counts all bits that any check looks at: without them no check changes its mind', () => {
    const counted = new Map(countedWords)
    const free: [number, number][] = []
    for (const name of Object.keys(vmcsFields) as FieldName[]) {
      if (!fieldExists(name)) continue
      for (const n of name in wideFields ? [slots[name], slots[name] + 1] : [slots[name]]) {
        const mask = ~(counted.get(n) ?? 0) >>> 0
        if (mask !== 0) free.push([n, mask])
      }
    }
    expect(free.length).toBeGreaterThan(10)
    const ept = { secondary: Secondary.enableEpt | Secondary.unrestrictedGuest | Secondary.enableVpid }
    for (const set of [(): Settled => fresh(), (): Settled => fresh({ primary: Primary.useTscOffsetting, ...ept }, { eptPointer: 0x10001en, vpid: 1 })]) {
      set()
      const before = all.map((check) => check.test(candidate()))
      let seed = 0x2545f491
      for (let round = 0; round < 200; round++) {
        for (const [n, mask] of free) {
          seed ^= seed << 13
          seed ^= seed >>> 17
          seed ^= seed << 5
          flip(n, seed & mask)
        }
        expect(all.map((check) => check.test(candidate()))).toEqual(before)
      }
    }
  })

  it('another VMCS, or another EFER.LMA, is checked', () => {
    const settled = fresh()
    g.core.state.efer &= ~Efer.LMA
    expect(settled.holds(candidate())).toBe(false)
    g.core.state.efer |= Efer.LMA
    expect(settled.holds(candidate())).toBe(true)
    const words = g.vmcs.words.slice(g.vmcs.first, g.vmcs.first + 1024)
    g.on('vmptrld', VMCS[1])
    g.vmcs.words.set(words, g.vmcs.first)
    expect(settled.holds(candidate())).toBe(false)
  })

  it('is never settled when its checks look at memory', () => {
    expect(fresh({ primary: Primary.useTprShadow }, { virtualApicAddress: 0x70000 }).holds(candidate())).toBe(false)
    g.prepare({}, { vmcsLinkPointer: VMCS[1] })
    const settled = new Settled()
    settled.keep(candidate())
    expect(settled.holds(candidate())).toBe(false)
  })
})

describe('entries', () => {
  it('after a change that matters fail as at first', () => {
    g.prepare()
    g.code('vmcall\n vmcall\n vmcall')
    expect(g.enter().reason).toBe('vmcall')
    g.skip()
    expect(g.enter().at).toBe(3)
    g.set({ hostCr4: g.vmcs.hostCr4 & ~0x20n })
    expect(g.enter().reason).toBe('VMfail 8')
    expect(g.vmx.lastFailure?.id).toMatch(/^host/)
    g.set({ hostCr4: g.vmcs.hostCr4 | 0x20n, guestRflags: 0 })
    expect(g.enter().reason).toBe('entryFailureGuestState')
    g.set({ guestRflags: 2, pinControls: 0 })
    expect(g.enter().reason).toBe('VMfail 7')
    expect(word(slots.hostRip)).toBe(HOST)
  })
})

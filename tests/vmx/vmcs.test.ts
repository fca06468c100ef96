// The control structure in memory: every field by name, as a property and by encoding; the encodings' own grammar (SDM 3C 24.11, appendix B).

import { describe, expect, it } from 'vitest'
import { fieldIndex, fieldType, fieldWidth, narrowFields, vmcsFields, wideFields, type FieldName } from '../../src-core/arch/vmcs-fields.ts'
import { PhysicalMemory } from '../../src-core/memory/physical.ts'
import { fieldOfEncoding, REGION_SIZE, REVISION, slots, Vmcs, wordsOf } from '../../src-core/vmx/vmcs.ts'

const DRAM = 0x10000
const memory = new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true })
const physical = new PhysicalMemory(memory, DRAM, [{ start: 0, length: 0x20000, node: 0 }])
const words = wordsOf(physical)
const vmcs = new Vmcs(words, 0x3000, physical.host(0x3000))
const names = Object.keys(vmcsFields) as FieldName[]
const properties = vmcs as unknown as Record<FieldName, number | bigint>

describe('encodings', () => {
  it('are unique and say width, type and index', () => {
    expect(new Set(Object.values(vmcsFields)).size).toBe(names.length)
    for (const name of names) {
      const e = vmcsFields[name]
      expect([name, e & ~0x6ffe]).toEqual([name, 0])
      const wide = fieldWidth(e) === 64 || fieldWidth(e) === 'natural'
      expect([name, name in wideFields, name in narrowFields]).toEqual([name, wide, !wide])
      expect([name, name.startsWith('host')]).toEqual([name, fieldType(e) === 'host'])
      if (name.startsWith('guest') && fieldType(e) !== 'information') expect([name, fieldType(e)]).toEqual([name, 'guest'])
      expect(fieldOfEncoding(e)).toBe(name)
    }
    expect(fieldOfEncoding(0x2001)).toBeUndefined()
    expect(fieldIndex(vmcsFields.preemptionTimerValue)).toBe(0x17)
  })

  it('are those of appendix B, a few from each table', () => {
    const few = {
      vpid: 0x0, guestTrSelector: 0x80e, hostTrSelector: 0xc0c, ioBitmapA: 0x2000, eptPointer: 0x201a, tscMultiplier: 0x2032,
      guestPhysicalAddress: 0x2400, vmcsLinkPointer: 0x2800, guestPdpte3: 0x2810, hostEfer: 0x2c02, pinControls: 0x4000, secondaryControls: 0x401e,
      pleWindow: 0x4022, vmInstructionError: 0x4400, exitInstructionInformation: 0x440e, guestIdtrLimit: 0x4812, guestTrAccessRights: 0x4822,
      guestSysenterCs: 0x482a, hostSysenterCs: 0x4c00, cr3Target3: 0x600e, exitQualification: 0x6400, guestLinearAddress: 0x640a, guestCr0: 0x6800,
      guestIdtrBase: 0x6818, guestRip: 0x681e, guestSysenterEip: 0x6826, hostCr0: 0x6c00, hostRip: 0x6c16,
    } as const
    for (const [name, encoding] of Object.entries(few)) expect([name, vmcsFields[name as FieldName]]).toEqual([name, encoding])
  })
})

describe('the region', () => {
  it('has a place of its own for every field, behind the header', () => {
    const at = names.map((name) => slots[name])
    expect(new Set(at).size).toBe(names.length)
    expect(Math.min(...at)).toBeGreaterThanOrEqual(4)
    expect(4 * Math.max(...at) + 8).toBeLessThanOrEqual(REGION_SIZE)
    for (const n of at) expect(n % 2).toBe(0)
  })

  it('keeps fields apart: each holds what was written to it last', () => {
    names.forEach((name, n) => vmcs.write(name, 0x1_0203_0405n * BigInt(n + 1)))
    names.forEach((name, n) => {
      const width = fieldWidth(vmcsFields[name])
      const mask = width === 16 ? 0xffffn : width === 32 ? 0xffff_ffffn : 0xffff_ffff_ffff_ffffn
      const value = (0x1_0203_0405n * BigInt(n + 1)) & mask
      expect([name, vmcs.read(name)]).toEqual([name, value])
      expect([name, vmcs.readNumber(name)]).toEqual([name, Number(value & 0xffff_ffffn)])
      expect([name, BigInt(properties[name])]).toEqual([name, value])
      expect([name, typeof properties[name]]).toEqual([name, name in wideFields ? 'bigint' : 'number'])
      expect([name, vmcs.readEncoded(name, true)]).toEqual([name, name in wideFields ? value >> 32n : 0n])
    })
  })

  it('takes properties like write', () => {
    vmcs.guestEsSelector = 0x12345
    vmcs.pinControls = -1
    vmcs.guestRip = 0xffff_8000_0000_1234n
    expect([vmcs.read('guestEsSelector'), vmcs.read('pinControls'), vmcs.read('guestRip')]).toEqual([0x2345n, 0xffff_ffffn, 0xffff_8000_0000_1234n])
    vmcs.write('guestRip', 0x1_0000_0002)
    vmcs.write('primaryControls', 0xffff_fffe)
    expect([vmcs.guestRip, vmcs.primaryControls]).toEqual([0x1_0000_0002n, 0xffff_fffe])
  })

  it('writes halves of wide fields', () => {
    vmcs.eptPointer = 0n
    vmcs.writeEncoded('eptPointer', true, 0xaaaa_5555_1234_5678n)
    expect(vmcs.eptPointer).toBe(0x1234_5678_0000_0000n)
    vmcs.writeEncoded('eptPointer', false, 0x1en)
    expect([vmcs.eptPointer, vmcs.readEncoded('eptPointer', true)]).toEqual([0x1en, 0n])
  })

  it('lives in guest memory, header first', () => {
    words.narrow[physical.host(0x3000) >> 2] = REVISION
    expect(vmcs.header).toBe(REVISION)
    vmcs.launched = true
    vmcs.abortIndicator = 4
    const again = new Vmcs(words, 0x3000, physical.host(0x3000))
    expect([again.launched, again.abortIndicator, again.header, again.guestRip]).toEqual([true, 4, REVISION, 0x1_0000_0002n])
    expect(physical.view.getUint32(physical.host(0x3004), true)).toBe(4)
    again.launched = false
    expect(vmcs.launched).toBe(false)
    // neighbours
    expect(physical.bytes.subarray(physical.host(0x4000), physical.host(0x5000)).every((b) => b === 0)).toBe(true)
    expect(physical.bytes.subarray(physical.host(0x2000), physical.host(0x3000)).every((b) => b === 0)).toBe(true)
  })

  it('holds any bytes: fields of a region never cleared read as something, and it is not launched by chance', () => {
    const at = physical.host(0x8000)
    for (let n = 0; n < REGION_SIZE; n++) physical.bytes[at + n] = (n * 151 + 7) & 0xff
    const rubbish = new Vmcs(words, 0x8000, at)
    expect(rubbish.launched).toBe(false)
    for (const name of names) expect(rubbish.read(name)).toBeGreaterThanOrEqual(0n)
  })
})

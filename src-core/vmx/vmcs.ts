// A virtual-machine control structure: a 4-KiB region of guest memory (SDM 3C 24.1, 24.2, 24.11) with a layout of our own.
//
//   +0 revision id, bit 31 shadow   +4 VMX-abort indicator   +8 launch state   +16 fields, 8 bytes each, in the order of arch/vmcs-fields.ts
//
// The region is DRAM, so that software that stores to it directly finds what it wrote; that outcome the SDM leaves undefined.

import { vmcsFields, wideFields, fieldWidth, type FieldName, type NarrowField, type WideField } from '../arch/vmcs-fields.ts'
import type { PhysicalMemory } from '../memory/physical.ts'

/** VMCS revision identifier, bits 30:0 of IA32_VMX_BASIC. */
export const REVISION = 0x5231
export const REGION_SIZE = 4096
const ABORT = 1
const LAUNCH = 2
const FIRST = 4

/** Launch states as the region keeps them (24.11.3). A region that was never cleared may hold anything: only this value is launched. */
const LAUNCHED = 0x4c41554e

/** Field name → index of its low half in 32-bit words from the start of the region; the high half of a wide field follows. */
export const slots = Object.fromEntries((Object.keys(vmcsFields) as FieldName[]).map((name, n) => [name, FIRST + 2 * n])) as Readonly<Record<FieldName, number>>
if (FIRST + 2 * Object.keys(slots).length > REGION_SIZE / 4) throw new RangeError('the fields do not fit a VMCS region')

const byEncoding = new Map((Object.entries(vmcsFields) as [FieldName, number][]).map(([name, encoding]) => [encoding, name]))
/** The field of an encoding whose bit 0 is clear, whether or not this processor has it; undefined: no such field. */
export const fieldOfEncoding = (encoding: number): FieldName | undefined => byEncoding.get(encoding)

const isWide = (name: FieldName): name is WideField => name in wideFields
const is16 = new Set((Object.keys(vmcsFields) as FieldName[]).filter((name) => fieldWidth(vmcsFields[name]) === 16))

/** All of a machine's memory as words, shared by the structures in it. */
export interface Words {
  readonly narrow: Uint32Array
  readonly wide: BigUint64Array
}
export const wordsOf = (physical: PhysicalMemory): Words => ({
  narrow: new Uint32Array(physical.memory.buffer),
  wide: new BigUint64Array(physical.memory.buffer),
})

class Region {
  readonly words: Uint32Array
  readonly wide: BigUint64Array
  /** Index of the region's first 32-bit word in `words`. */
  readonly first: number

  /** `address`: guest-physical, 4-KiB aligned; `host`: where that lies in the machine's memory. */
  constructor(
    memory: Words,
    readonly address: number,
    host: number,
  ) {
    this.words = memory.narrow
    this.wide = memory.wide
    this.first = host >>> 2
  }

  /** Revision id with the shadow indicator in bit 31. */
  get header(): number {
    return this.words[this.first]!
  }
  get launched(): boolean {
    return this.words[this.first + LAUNCH] === LAUNCHED
  }
  set launched(value: boolean) {
    this.words[this.first + LAUNCH] = value ? LAUNCHED : 0
  }
  set abortIndicator(value: number) {
    this.words[this.first + ABORT] = value
  }
  get abortIndicator(): number {
    return this.words[this.first + ABORT]!
  }

  /** Any field, as an unsigned value of its width. */
  read(name: FieldName): bigint {
    return isWide(name) ? this.wide[(this.first + slots[name]) >> 1]! : BigInt(this.words[this.first + slots[name]]!)
  }
  /** A field of 16 or 32 bits, unsigned; of a wide one the low half. */
  readNumber(name: FieldName): number {
    return this.words[this.first + slots[name]]!
  }
  /** Bits beyond the field's width are dropped. */
  write(name: FieldName, value: bigint | number): void {
    const at = this.first + slots[name]
    if (isWide(name)) this.wide[at >> 1] = typeof value === 'bigint' ? value : BigInt(value)
    else {
      const narrow = typeof value === 'bigint' ? Number(value & 0xffff_ffffn) : value
      this.words[at] = is16.has(name) ? narrow & 0xffff : narrow
    }
  }

  /** VMREAD of a field (`high`: its upper half), zero-extended. */
  readEncoded(name: FieldName, high: boolean): bigint {
    return high ? BigInt(this.words[this.first + slots[name] + 1]!) : this.read(name)
  }
  /** VMWRITE of a field or of its upper half; the source is already truncated to the operand size, and shorter than the field it clears the rest. */
  writeEncoded(name: FieldName, high: boolean, value: bigint): void {
    if (high) this.words[this.first + slots[name] + 1] = Number(value & 0xffff_ffffn)
    else this.write(name, value)
  }
}

type Accessors = { [K in NarrowField]: number } & { [K in WideField]: bigint }

/** Every field is also a property: numbers up to 32 bits, bigint above. A constant name makes it one load. */
export type Vmcs = Region & Accessors
export const Vmcs = Region as unknown as new (memory: Words, address: number, host: number) => Vmcs

for (const name of Object.keys(vmcsFields) as FieldName[]) {
  const slot = slots[name]
  const mask = is16.has(name) ? 0xffff : 0xffff_ffff
  Object.defineProperty(
    Region.prototype,
    name,
    isWide(name)
      ? {
          get(this: Region) {
            return this.wide[(this.first + slot) >> 1]
          },
          set(this: Region, value: bigint) {
            this.wide[(this.first + slot) >> 1] = value
          },
        }
      : {
          get(this: Region) {
            return this.words[this.first + slot]
          },
          set(this: Region, value: number) {
            this.words[this.first + slot] = mask === 0xffff ? value & 0xffff : value
          },
        },
  )
}

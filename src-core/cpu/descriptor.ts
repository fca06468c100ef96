// Segment, system-segment and gate descriptors (SDM 3A 3.4.5, 3.5, 5.8.3, 6.11, 6.14.1, 7.2.2, 7.2.5). Pure parsing.

import { Rights } from '../arch/registers.ts'

/** System-segment and gate types (SDM 3A table 3-2). IA-32e mode has only LDT, the 32-bit numbers of TSS, call, interrupt and trap gate exist. */
export const SystemType = {
  tss16: 1,
  ldt: 2,
  tss16Busy: 3,
  callGate16: 4,
  taskGate: 5,
  interruptGate16: 6,
  trapGate16: 7,
  tss32: 9,
  tss32Busy: 0xb,
  callGate32: 0xc,
  interruptGate32: 0xe,
  trapGate32: 0xf,
} as const

const S = 1 << 12
const CODE = S | (1 << 11)

//   high  31─────24 23 22  21 20  19──16 15 14─13 12 11──8 7──────0     gate  31───────16 15 14─13 12 11──8 7──5 4────0
//         base31:24 G  D/B L  AVL limit  P  DPL   S  type  base23:16          offset31:16 P  DPL   0  type  0    count/IST
//   low   31──────────────16 15────────────0                            low   31───────16 15───────────0
//         base15:0           limit15:0                                        selector    offset15:0
//   upper (16-byte forms)   base63:32 or offset63:32; the dword behind it holds zeros in bits 12:8

export class Descriptor {
  constructor(
    readonly low: number,
    readonly high: number,
    /** Linear address it was read from. */
    readonly address: bigint,
    /** Third dword of 16-byte forms. */
    readonly upper = 0,
  ) {}

  /** As a segment cache keeps them (`Rights`). */
  get rights(): number {
    return (this.high >>> 8) & 0xf0ff
  }
  /** Bits 11:8, meaningful with `isSegment`. */
  get type(): number {
    return (this.high >>> 8) & 0xf
  }
  get dpl(): number {
    return (this.high >>> 13) & 3
  }
  get present(): boolean {
    return (this.high & 0x8000) !== 0
  }
  /** S: code or data, as against system segments and gates. */
  get isSegment(): boolean {
    return (this.high & S) !== 0
  }
  get isCode(): boolean {
    return (this.high & CODE) === CODE
  }
  get isConforming(): boolean {
    return (this.high & (CODE | 0x400)) === (CODE | 0x400)
  }
  get isWritableData(): boolean {
    return (this.high & (CODE | 0x200)) === (S | 0x200)
  }
  /** Data, or code that may be read. */
  get isReadable(): boolean {
    return (this.high & CODE) === S || (this.high & (CODE | 0x200)) === (CODE | 0x200)
  }
  get accessed(): boolean {
    return (this.high & 0x100) !== 0
  }
  /** L without D: 64-bit code. */
  get isLong(): boolean {
    return (this.high & 0x600000) === 0x200000
  }
  /** L and D together, reserved in IA-32e mode. */
  get isReservedSize(): boolean {
    return (this.high & 0x600000) === 0x600000
  }
  get isBig(): boolean {
    return (this.rights & Rights.DB) !== 0
  }
  get base(): bigint {
    const low = ((this.high & 0xff000000) | ((this.high & 0xff) << 16) | (this.low >>> 16)) >>> 0
    return this.upper === 0 ? BigInt(low) : (BigInt(this.upper) << 32n) | BigInt(low)
  }
  /** Last offset, granularity applied. */
  get limit(): number {
    const raw = (this.high & 0xf0000) | (this.low & 0xffff)
    return this.high & 0x800000 ? ((raw << 12) | 0xfff) >>> 0 : raw
  }

  get gateSelector(): number {
    return this.low >>> 16
  }
  /** Target of the gate; 16-bit types have no upper half. */
  get gateOffset(): bigint {
    const low = this.type & 8 ? ((this.high & 0xffff0000) | (this.low & 0xffff)) >>> 0 : this.low & 0xffff
    return this.upper === 0 ? BigInt(low) : (BigInt(this.upper) << 32n) | BigInt(low)
  }
  get gateParameters(): number {
    return this.high & 0x1f
  }
  get gateIst(): number {
    return this.high & 7
  }
}

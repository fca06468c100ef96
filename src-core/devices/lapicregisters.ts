// Local APIC registers: numbers, bits, and what a local APIC's state is made of (SDM 3A table 11-1, figures 11-8 to 11-12).
// Behaviour is lapic.ts.

import { lapicTimerShape } from './lapictimer.ts'
import { flag, list, record, uint, type Values } from './state.ts'

export const BSP = 1 << 8
export const EXTD = 1 << 10
export const EN = 1 << 11

// Register numbers: page offset / 16, MSR − 800H
export const R = {
  id: 0x2,
  version: 0x3,
  tpr: 0x8,
  apr: 0x9,
  ppr: 0xa,
  eoi: 0xb,
  rrd: 0xc,
  ldr: 0xd,
  dfr: 0xe,
  svr: 0xf,
  isr: 0x10,
  tmr: 0x18,
  irr: 0x20,
  esr: 0x28,
  icr: 0x30,
  icrHigh: 0x31,
  lvt: 0x32,
  initialCount: 0x38,
  currentCount: 0x39,
  divide: 0x3e,
  selfIpi: 0x3f,
} as const

/** LVT entries in register order, and their writable bits. 18:17 timer mode 16 mask 15 level 13 polarity 10:8 delivery 7:0 vector. */
export const LVT = { timer: 0, thermal: 1, performance: 2, lint0: 3, lint1: 4, error: 5 } as const
export const LVT_WRITABLE = [0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff]
export const MASKED = 1 << 16
export const LEVEL = 1 << 15
export const REMOTE_IRR = 1 << 14
export const READ_ONLY_LVT = 0x5000

export const SOFTWARE_ENABLE = 1 << 8
export const SUPPRESS_EOI = 1 << 12
export const VERSION = 0x01050014

// ESR
export const SEND_ILLEGAL_VECTOR = 1 << 5
export const RECEIVE_ILLEGAL_VECTOR = 1 << 6
export const ILLEGAL_REGISTER = 1 << 7

export const lapicShape = {
  page: uint(52),
  enabled: flag,
  extended: flag,
  tpr: uint(8),
  ldr: uint(32), // xAPIC mode
  dfr: uint(32),
  svr: uint(13),
  isr: list(uint(32), 8),
  tmr: list(uint(32), 8),
  irr: list(uint(32), 8),
  esr: uint(8),
  errors: uint(8), // since the last write of ESR
  icrLow: uint(32),
  icrHigh: uint(32),
  lvt: list(uint(19), 6),
  lint: list(flag, 2), // levels of the LINT0 and LINT1 inputs
  extInt: flag, // an ExtINT message waits
  timer: record(lapicTimerShape),
}
export type LapicState = Omit<Values<typeof lapicShape>, 'timer'>

export const words = (): number[] => new Array<number>(8).fill(0)
export const power = (): LapicState => ({
  page: 0xfee00000,
  enabled: true,
  extended: false,
  tpr: 0,
  ldr: 0,
  dfr: 0xffffffff,
  svr: 0xff,
  isr: words(),
  tmr: words(),
  irr: words(),
  esr: 0,
  errors: 0,
  icrLow: 0,
  icrHigh: 0,
  lvt: new Array<number>(6).fill(MASKED),
  lint: [false, false],
  extInt: false,
})

export function highest(bits: readonly number[]): number {
  for (let i = 7; i >= 0; i--) if (bits[i] !== 0) return i * 32 + 31 - Math.clz32(bits[i]!)
  return -1
}
export const test = (bits: readonly number[], n: number): boolean => ((bits[n >> 5]! >>> (n & 31)) & 1) !== 0
export function put(bits: number[], n: number, value: boolean): void {
  const bit = 1 << (n & 31)
  bits[n >> 5] = (value ? bits[n >> 5]! | bit : bits[n >> 5]! & ~bit) >>> 0
}

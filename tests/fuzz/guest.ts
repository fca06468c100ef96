// Random guests: a processor mode with tables that mostly work, random registers, and code of random forms and random bytes.

import { Cr0, Cr4, CS, Efer, LDTR, Rflags, Rights, SS, TR } from '../../src-core/arch/registers.ts'
import { Machine } from '../../src-core/board/machine.ts'
import { features } from '../../src-core/cpu/cpuid.ts'
import { engine } from '../../src-core/cpu/engine.ts'
import type { Core } from '../../src-core/cpu/run.ts'
import { encode } from '../isa/encoder.ts'

export const guestModes = ['real', 'virtual-8086', 'protected 16', 'protected 32', 'compatibility', 'long'] as const
export type GuestMode = (typeof guestModes)[number]

/** Physical addresses. */
const GDT = 0x10000
const IDT = 0x11000
const TSS = 0x13000
const TABLES = 0x20000
const CODE = 0x30000
const CODE_BYTES = 0x2000
const STACK = 0x38000
const DATA = 0x40000
export const GUEST_MEGABYTES = 4

const forms = engine(features()).forms
type Next = () => number

const below = (next: Next, n: number): number => (next() >>> 3) % n
const oneIn = (next: Next, n: number): boolean => below(next, n) === 0
const wide = (next: Next): bigint => (BigInt(next()) << 32n) | BigInt(next())

/** A register's value: an address that works, a small number, or anything. */
function value(next: Next): bigint {
  switch (below(next, 8)) {
    case 0:
      return BigInt(below(next, 256))
    case 1:
      return wide(next)
    case 2:
      return 1n << BigInt(below(next, 64))
    case 3:
      return BigInt.asUintN(64, -BigInt(below(next, 4096)))
    case 4:
      return BigInt(CODE + below(next, CODE_BYTES))
    default:
      return BigInt(DATA + below(next, 0x10000))
  }
}

/** Instructions of every row, with prefixes and ModRM bytes at random; one byte in about thirty is anything. */
export function randomCode(next: Next, mode: 32 | 64, length: number): Uint8Array {
  const out: number[] = []
  while (out.length < length) {
    const form = forms[below(next, forms.length)]!
    const choice = {
      mode,
      reg: below(next, 8),
      rm: below(next, 8),
      address: BigInt(DATA + below(next, 0x8000)),
      immediate: below(next, 1 << 16),
    }
    const bytes = encode(form, choice)
    if (!bytes || (/^(HLT|SYSENTER|JMP|CALL|RETF?|INT1?)$/.test(form.row.mnemonic) && !oneIn(next, 6))) continue
    if (oneIn(next, 6)) out.push([0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x64, 0x48, 0x44][below(next, 10)]!)
    out.push(...bytes)
    if (oneIn(next, 8)) out[out.length - 1 - below(next, bytes.length)] = below(next, 256)
  }
  return Uint8Array.from(out.slice(0, length))
}

const descriptor = (base: number, limit: number, access: number, flags: number): bigint =>
  BigInt(limit & 0xffff) |
  (BigInt(base & 0xffffff) << 16n) |
  (BigInt(access) << 40n) |
  (BigInt((limit >>> 16) & 15) << 48n) |
  (BigInt(flags) << 52n) |
  (BigInt(base >>> 24) << 56n)

/** Selectors of the GDT below: code 64, 32, 16, data, their CPL 3 kin, TSS (two slots), call gate, task gate. */
const selectors = {
  long: 0x08,
  code32: 0x10,
  code16: 0x18,
  data: 0x20,
  user64: 0x2b,
  user32: 0x33,
  user16: 0x3b,
  userData: 0x43,
  tss: 0x48,
} as const

function tables(next: Next, mode: GuestMode): [number, Uint8Array][] {
  const ia32e = mode === 'long' || mode === 'compatibility'
  const gdt = new DataView(new ArrayBuffer(0x100))
  const entries = [
    0n,
    descriptor(0, 0xfffff, 0x9b, 0xa),
    descriptor(0, 0xfffff, 0x9b, 0xc),
    descriptor(0, 0xfffff, 0x9b, 0x8),
    descriptor(0, 0xfffff, 0x93, 0xc),
    descriptor(0, 0xfffff, 0xfb, 0xa),
    descriptor(0, 0xfffff, 0xfb, 0xc),
    descriptor(0, 0xfffff, 0xfb, 0x8),
    descriptor(0, 0xfffff, 0xf3, 0xc),
    descriptor(TSS, 0x1fff, 0x89, 0),
    0n,
    descriptor(0x0008_0000 + CODE, CODE >>> 16, 0xec, 0),
    descriptor(TSS, 0x67, 0xe5, 0),
  ]
  entries.forEach((d, n) => gdt.setBigUint64(8 * n, d, true))
  for (let n = entries.length; n < 32; n++) gdt.setBigUint64(8 * n, wide(next), true)

  const idt = new DataView(new ArrayBuffer(0x1000))
  const selector = ia32e ? selectors.long : mode === 'protected 16' ? selectors.code16 : selectors.code32
  for (let n = 0; n < 256; n++) {
    const at = CODE + below(next, CODE_BYTES)
    const type = oneIn(next, 40) ? below(next, 256) : 0xee | (next() & 1)
    const gate = BigInt(at & 0xffff) | (BigInt(selector) << 16n) | (BigInt(type) << 40n) | (BigInt(at >>> 16) << 48n)
    idt.setBigUint64((ia32e ? 16 : 8) * n, gate, true)
  }

  const vectors = new DataView(new ArrayBuffer(0x400))
  for (let n = 0; n < 256; n++) vectors.setUint32(4 * n, ((CODE >>> 4) << 16) | below(next, CODE_BYTES), true)

  const tss = new DataView(new ArrayBuffer(0x2100))
  for (let at = 4; at < 0x68; at += 4) tss.setUint32(at, oneIn(next, 12) ? next() : at % 8 === 4 ? STACK - 0x400 : selectors.data, true)
  if (ia32e) for (let at = 4; at < 0x5c; at += 8) tss.setBigUint64(at, BigInt(STACK - 0x800), true)
  tss.setUint16(0x66, 0x88, true)

  // 4-level: PML4, PDPT, PD, PT of the first 2 MiB, then the second 2 MiB as one page; 32-bit: a directory of the same pages
  const paging = new DataView(new ArrayBuffer(0x6000))
  const flags = (): number => (oneIn(next, 30) ? below(next, 512) : 0x67)
  paging.setBigUint64(0, BigInt(TABLES + 0x1067), true)
  paging.setBigUint64(0x1000, BigInt(TABLES + 0x2067), true)
  paging.setBigUint64(0x2000, BigInt(TABLES + 0x3067), true)
  paging.setBigUint64(0x2008, 0x2000e7n, true)
  for (let n = 0; n < 512; n++)
    paging.setBigUint64(0x3000 + 8 * n, BigInt((n << 12) | flags()) | (oneIn(next, 50) ? wide(next) & 0xfff0_0000_0000_0000n : 0n), true)
  paging.setUint32(0x4000, TABLES + 0x5067, true)
  for (let n = 0; n < 1024; n++) paging.setUint32(0x5000 + 4 * n, (n << 12) | flags(), true)

  const bytes = (v: DataView): Uint8Array => new Uint8Array(v.buffer)
  const loaded: [number, Uint8Array][] = [
    [0, bytes(vectors)],
    [GDT, bytes(gdt)],
    [IDT, bytes(idt)],
    [TSS, bytes(tss)],
    [TABLES, bytes(paging)],
  ]
  return [
    ...loaded,
    [CODE, randomCode(next, mode === 'long' ? 64 : 32, CODE_BYTES)],
    [DATA, Uint8Array.from({ length: 4096 }, () => below(next, 256))],
  ]
}

function registers(core: Core, next: Next, mode: GuestMode): void {
  const s = core.state
  core.reset(true)
  const real = mode === 'real'
  const ia32e = mode === 'long' || mode === 'compatibility'
  const paging = ia32e || (!real && oneIn(next, 2))
  const user = mode === 'virtual-8086' || (!real && oneIn(next, 2))
  s.cr0 =
    Cr0.ET |
    Cr0.NE |
    (real ? 0n : Cr0.PE) |
    (paging ? Cr0.PG : 0n) |
    (oneIn(next, 2) ? Cr0.WP : 0n) |
    (oneIn(next, 8) ? Cr0.TS : 0n) |
    (oneIn(next, 4) ? Cr0.AM : 0n)
  s.cr3 = BigInt(ia32e ? TABLES : TABLES + 0x4000)
  s.cr4 =
    (ia32e ? Cr4.PAE : 0n) |
    Cr4.OSFXSR |
    Cr4.OSXMMEXCPT |
    (oneIn(next, 2) ? Cr4.FSGSBASE | Cr4.OSXSAVE : 0n) |
    (oneIn(next, 4) ? Cr4.SMEP | Cr4.SMAP | Cr4.UMIP : 0n)
  s.efer = (ia32e ? Efer.LME | Efer.LMA | Efer.NXE : 0n) | Efer.SCE
  s.xcr0 = 3n
  s.gdtrBase = BigInt(GDT)
  s.gdtrLimit = 0xff
  s.idtrBase = BigInt(real ? 0 : IDT)
  s.idtrLimit = real ? 0x3ff : 0xfff
  for (let i = 0; i < 16; i++) s.gpr.set(i, value(next))
  s.gpr.set(4, BigInt(STACK - 8 * below(next, 64)))
  const flat = mode !== 'real' && mode !== 'virtual-8086'
  const code16 = mode === 'protected 16'
  const codeSelector =
    mode === 'long'
      ? user
        ? selectors.user64
        : selectors.long
      : code16
        ? user
          ? selectors.user16
          : selectors.code16
        : user
          ? selectors.user32
          : selectors.code32
  for (let i = 0; i < 6; i++) {
    const selector = flat
      ? i === CS
        ? codeSelector
        : user
          ? selectors.userData
          : selectors.data
      : i === CS
        ? CODE >>> 4
        : i === SS
          ? (STACK - 0x8000) >>> 4
          : DATA >>> 4
    s.segSelector.set(i, selector)
    s.segBase.set(i, flat ? 0n : BigInt(selector << 4))
    s.segLimit.set(i, flat ? 0xffffffff : 0xffff)
    const type = i === CS ? 0xb | (mode === 'long' ? Rights.L : code16 || !flat ? 0 : Rights.DB) : 3 | (flat ? Rights.DB : 0)
    s.segRights.set(i, type | Rights.S | Rights.P | (flat ? Rights.G : 0) | (user ? 3 << Rights.dplShift : 0))
  }
  s.segSelector.set(TR, selectors.tss)
  s.segBase.set(TR, BigInt(TSS))
  s.segLimit.set(TR, 0x1fff)
  s.segRights.set(TR, Rights.P | 0xb)
  s.segRights.set(LDTR, Rights.unusable)
  s.rip = BigInt((flat ? CODE : 0) + below(next, CODE_BYTES))
  if (!flat) s.gpr.set(4, BigInt(0x8000 - 8 * below(next, 64)))
  for (let i = 0; i < 256; i++) s.xmm[i] = next()
  for (let i = 0; i < 128; i++) s.fpr[i] = next()
  s.fcw = oneIn(next, 3) ? below(next, 0x1000) | 0x40 : 0x37f
  s.fsw = below(next, 8) << 11
  s.ftw = below(next, 256)
  s.mxcsr = oneIn(next, 3) ? below(next, 0x10000) : 0x1f80
  const bits = Rflags.CF | Rflags.ZF | Rflags.OF | Rflags.DF | Rflags.AC | Rflags.IF | Rflags.NT
  core.modeChanged()
  core.setRflags(
    2n |
      (wide(next) & bits) |
      (mode === 'virtual-8086' ? Rflags.VM : 0n) |
      (oneIn(next, 20) ? Rflags.TF : 0n) |
      (oneIn(next, 2) ? Rflags.IOPL : 0n),
  )
  core.modeChanged()
  core.mmu.flushAll()
}

/** Powers the machine on and puts a random guest into it; `processors` of them start in random states of the same mode. */
export function placeGuest(machine: Machine, next: Next, mode: GuestMode, processors = 1): void {
  machine.powerOn()
  for (const r of machine.physical.ranges) machine.physical.bytes.fill(0, r.host, r.host + r.length)
  for (const [address, data] of tables(next, mode)) machine.physical.load(address, data)
  for (const core of machine.cores.slice(0, processors)) registers(core, next, mode)
  machine.code.flush()
}

// Register names and classes, from iced-x86's Register enumeration.
import { Register } from './iced.ts'

export type Width =
  '8' | '16' | '32' | '64' | 'ip' | 'segment' | 'xmm' | 'ymm' | 'zmm' | 'k' | 'bnd' | 'cr' | 'dr' | 'st' | 'mm' | 'tr' | 'tmm' | ''

const CLASSES: readonly (readonly [number, number, Width])[] = [
  [Register.AL, Register.R15L, '8'],
  [Register.AX, Register.R15W, '16'],
  [Register.EAX, Register.R15D, '32'],
  [Register.RAX, Register.R15, '64'],
  [Register.EIP, Register.RIP, 'ip'],
  [Register.ES, Register.GS, 'segment'],
  [Register.XMM0, Register.XMM31, 'xmm'],
  [Register.YMM0, Register.YMM31, 'ymm'],
  [Register.ZMM0, Register.ZMM31, 'zmm'],
  [Register.K0, Register.K7, 'k'],
  [Register.BND0, Register.BND3, 'bnd'],
  [Register.CR0, Register.CR15, 'cr'],
  [Register.DR0, Register.DR15, 'dr'],
  [Register.ST0, Register.ST7, 'st'],
  [Register.MM0, Register.MM7, 'mm'],
  [Register.TR0, Register.TR7, 'tr'],
  [Register.TMM0, Register.TMM7, 'tmm'],
]

const widths: Width[] = []
for (const [first, last, width] of CLASSES) for (let n = first; n <= last; n++) widths[n] = width

const names = new Map<string, number>()
for (const [name, value] of Object.entries(Register)) if (typeof value === 'number' && widths[value]) names.set(name.toLowerCase(), value)
for (let n = 8; n < 16; n++) names.set(`r${n}b`, names.get(`r${n}l`) ?? 0)
names.set('st', Register.ST0)

/** iced-x86's number of a register, 0 when the (lower-case) name is none. */
export const registerNamed = (name: string): number => names.get(name) ?? 0
export const widthOf = (register: number): Width => widths[register] ?? ''
export const numberWithin = (register: number): number => {
  for (const [first, last] of CLASSES) if (register >= first && register <= last) return register - first
  return 0
}

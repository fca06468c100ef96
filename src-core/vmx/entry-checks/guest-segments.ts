// VM-entry checks on guest segment registers (SDM 3C 26.3.1.2). One that fails is exit reason 33.
//
//   access rights   16 unusable  15 G  14 D/B  13 L  12 AVL  11:8 0  7 P  6:5 DPL  4 S  3:0 type

import type { NarrowField, WideField } from '../../arch/vmcs-fields.ts'
import { Rights } from '../../arch/registers.ts'
import { Secondary } from '../../arch/vmx.ts'
import { within, type Candidate, type EntryCheck } from './check.ts'

const check = within('26.3.1.2')

interface Segment {
  readonly name: string
  readonly selector: NarrowField
  readonly base: WideField
  readonly limit: NarrowField
  readonly rights: NarrowField
}
const segment = <N extends 'Es' | 'Cs' | 'Ss' | 'Ds' | 'Fs' | 'Gs' | 'Ldtr' | 'Tr'>(name: N): Segment => ({
  name: name.toLowerCase(),
  selector: `guest${name}Selector`,
  base: `guest${name}Base`,
  limit: `guest${name}Limit`,
  rights: `guest${name}AccessRights`,
})
const [cs, ss, ds, es, fs, gs, ldtr, tr] = (['Cs', 'Ss', 'Ds', 'Es', 'Fs', 'Gs', 'Ldtr', 'Tr'] as const).map(segment) as [
  Segment, Segment, Segment, Segment, Segment, Segment, Segment, Segment,
]
const ordinary = [cs, ss, ds, es, fs, gs]
const data = [ds, es, fs, gs]

const V86_RIGHTS = 0xf3
const RESERVED = 0xfffe_0f00
/** Types of code segments start here; bit 1 makes one readable. */
const CODE = 8

const rights = (c: Candidate, s: Segment): number => c.low(s.rights)
const type = (c: Candidate, s: Segment): number => c.low(s.rights) & 15
const dpl = (c: Candidate, s: Segment): number => (c.low(s.rights) >>> Rights.dplShift) & 3
const rpl = (c: Candidate, s: Segment): number => c.low(s.selector) & 3
const usable = (c: Candidate, s: Segment): boolean => (c.low(s.rights) & Rights.unusable) === 0
const unrestricted = (c: Candidate): boolean => (c.secondary & Secondary.unrestrictedGuest) !== 0
/** CS counts whether usable or not. */
const counts = (c: Candidate, s: Segment): boolean => s === cs || usable(c, s)

const granular = (c: Candidate, s: Segment): boolean => {
  const limit = c.low(s.limit)
  return rights(c, s) & Rights.G ? (limit & 0xfff) === 0xfff : limit >>> 20 === 0
}
const GRANULARITY = 'G is 0 unless bits 11:0 of the limit are all 1, and 1 if any of bits 31:20 is'

/** A check of what a register is outside virtual-8086 mode. */
const rule = (s: Segment, id: string, expected: string, test: (c: Candidate) => boolean): EntryCheck =>
  check(`guest.${s.name}.${id}`, [s.rights, s.selector], expected, (c) => c.v86 || !counts(c, s) || test(c))

const everywhere = (s: Segment): readonly EntryCheck[] => [
  check(`guest.${s.name}.v86Base`, [s.base, s.selector], 'the selector times 16 in virtual-8086 mode', (c) => !c.v86 || (c.high(s.base) === 0 && c.low(s.base) === c.low(s.selector) << 4)),
  check(`guest.${s.name}.v86Limit`, [s.limit], 'FFFFH in virtual-8086 mode', (c) => !c.v86 || c.low(s.limit) === 0xffff),
  check(`guest.${s.name}.v86Rights`, [s.rights], 'F3H in virtual-8086 mode', (c) => !c.v86 || rights(c, s) === V86_RIGHTS),
]

const common = (s: Segment): readonly EntryCheck[] => [
  rule(s, 'descriptorType', 'S is 1', (c) => (rights(c, s) & Rights.S) !== 0),
  rule(s, 'present', 'P is 1', (c) => (rights(c, s) & Rights.P) !== 0),
  rule(s, 'reserved', 'bits 31:17 and 11:8 of the access rights are 0', (c) => (rights(c, s) & RESERVED) === 0),
  check(`guest.${s.name}.granularity`, [s.limit, s.rights], GRANULARITY, (c) => c.v86 || !counts(c, s) || granular(c, s)),
]

const highBase = (s: Segment): EntryCheck => check(`guest.${s.name}.base`, [s.base, s.rights], 'bits 63:32 are 0', (c) => !counts(c, s) || c.high(s.base) === 0)
const canonicalBase = (s: Segment): EntryCheck => check(`guest.${s.name}.base`, [s.base, s.rights], 'canonical', (c) => (s === ldtr && !usable(c, s)) || c.canonical(s.base))

/** LDTR and TR: system descriptors, in every mode. */
const system = (s: Segment, types: string, test: (c: Candidate) => boolean): readonly EntryCheck[] => {
  const skip = (c: Candidate): boolean => s === ldtr && !usable(c, s)
  const part = (id: string, expected: string, holds: (c: Candidate) => boolean): EntryCheck =>
    check(`guest.${s.name}.${id}`, [s.rights, s.limit], expected, (c) => skip(c) || holds(c))
  return [
    check(`guest.${s.name}.table`, [s.selector], 'TI is 0', (c) => skip(c) || (c.low(s.selector) & 4) === 0),
    part('type', types, test),
    part('descriptorType', 'S is 0', (c) => (rights(c, s) & Rights.S) === 0),
    part('present', 'P is 1', (c) => (rights(c, s) & Rights.P) !== 0),
    part('reserved', 'bits 31:17 and 11:8 of the access rights are 0', (c) => (rights(c, s) & RESERVED) === 0),
    part('granularity', GRANULARITY, (c) => granular(c, s)),
  ]
}

export const guestSegmentChecks: readonly EntryCheck[] = [
  check('guest.ss.rpl', [ss.selector, cs.selector], 'the RPL of CS', (c) => c.v86 || unrestricted(c) || rpl(c, ss) === rpl(c, cs)),
  ...ordinary.flatMap(everywhere),
  ...[fs, gs, tr, ldtr].map(canonicalBase),
  ...[cs, ss, ds, es].map(highBase),

  rule(cs, 'type', '9, 11, 13 or 15, or 3 in an unrestricted guest', (c) => (type(c, cs) & 9) === 9 || (type(c, cs) === 3 && unrestricted(c))),
  rule(ss, 'type', '3 or 7', (c) => type(c, ss) === 3 || type(c, ss) === 7),
  ...data.flatMap((s) => [
    rule(s, 'accessed', 'type bit 0 is 1', (c) => (type(c, s) & 1) !== 0),
    rule(s, 'readable', 'a code segment is readable', (c) => (type(c, s) & CODE) === 0 || (type(c, s) & 2) !== 0),
  ]),
  ...ordinary.flatMap(common),

  rule(cs, 'dplData', 'DPL is 0 with type 3', (c) => type(c, cs) !== 3 || dpl(c, cs) === 0),
  rule(cs, 'dplNonconforming', 'DPL is that of SS with types 9 and 11', (c) => (type(c, cs) !== 9 && type(c, cs) !== 11) || dpl(c, cs) === dpl(c, ss)),
  rule(cs, 'dplConforming', 'DPL is at most that of SS with types 13 and 15', (c) => (type(c, cs) & 13) !== 13 || dpl(c, cs) <= dpl(c, ss)),
  check('guest.ss.dplRpl', [ss.rights, ss.selector], 'DPL is the RPL unless the guest is unrestricted', (c) => c.v86 || unrestricted(c) || dpl(c, ss) === rpl(c, ss)),
  check(
    'guest.ss.dplReal', [ss.rights, cs.rights, 'guestCr0'], 'DPL is 0 outside protected mode, and with a CS of type 3',
    (c) => c.v86 || (c.protectedMode && type(c, cs) !== 3) || dpl(c, ss) === 0,
  ),
  ...data.map((s) =>
    rule(s, 'dpl', 'DPL is not below RPL unless code is conforming or the guest unrestricted', (c) => unrestricted(c) || type(c, s) > 11 || dpl(c, s) >= rpl(c, s)),
  ),
  rule(cs, 'defaultSize', 'D is 0 in 64-bit code', (c) => !c.ia32e || (rights(c, cs) & Rights.L) === 0 || (rights(c, cs) & Rights.DB) === 0),

  ...system(tr, '11, or 3 outside IA-32e mode', (c) => type(c, tr) === 11 || (type(c, tr) === 3 && !c.ia32e)),
  check('guest.tr.usable', [tr.rights], 'usable', (c) => usable(c, tr)),
  ...system(ldtr, '2', (c) => type(c, ldtr) === 2),
]

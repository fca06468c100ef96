// System instructions (SDM 2A/2B, by mnemonic): control registers, MSRs, caches and TLBs, identification, waiting, fast calls, hints.
// Segments and descriptor tables: segment.ts. Not here: RSM (no system-management mode) and VMX.

import { hex, row, type Row } from './row.ts'
import type { Done } from './value.ts'

const nothing = (): Done => undefined as Done
const digits = [0, 1, 2, 3, 4, 5, 6, 7]

/** LFENCE MFENCE SFENCE: eight encodings each, since ModRM.rm is ignored. One thread runs all processors: no code. */
const fence = (mnemonic: string, modrm: number, feature: 'SSE' | 'SSE2'): Row[] =>
  digits.map((rm) => row(mnemonic, `NP 0F AE ${hex(modrm + rm)}`, '', nothing, { feature }))

// Operands of these are only decoded, so one width stands for all.
/** Opcodes 0F 19 … 0F 1E do nothing: features that use them (MPX, CET) are not offered (SDM 2D appendix A, table A-3). */
const reservedNop = (opcode: string, extensions: readonly number[]): Row[] =>
  extensions.map((n) => row('NOP', `${opcode} /${n}`, '@r/m32, @r32', nothing))
/** Hints in the memory form; in the register form reserved NOPs. */
const prefetch = (mnemonic: string, encoding: string): Row[] => [
  row(mnemonic, encoding, '@m', nothing),
  row('NOP', encoding, '@r32.rm, @r32', nothing),
]

const hints: Row[] = [
  row('NOP', '90', '', nothing),
  row('PAUSE', 'F3 90', '', (e) => e.assist('pause')),
  row('NOP', '0F 1F /0', '@r/m32', nothing),
  ...reservedNop('0F 1F', [1, 2, 3, 4, 5, 6, 7]),
  ...['0F 19', '0F 1A', '0F 1B', '0F 1C', '0F 1D', '0F 1E'].map((opcode) => row('NOP', `${opcode} /r`, '@r/m32, @r32', nothing)),
  ...prefetch('PREFETCHNTA', '0F 18 /0'),
  ...prefetch('PREFETCHT0', '0F 18 /1'),
  ...prefetch('PREFETCHT1', '0F 18 /2'),
  ...prefetch('PREFETCHT2', '0F 18 /3'),
  ...reservedNop('0F 18', [4, 5, 6, 7]),
  ...digits.flatMap((n) => prefetch(n === 1 || n === 3 ? 'PREFETCHW' : n === 2 ? 'PREFETCHWT1' : 'PREFETCH', `0F 0D /${n}`)),
]

const caches: Row[] = [
  row('INVD', '0F 08', '', (e) => e.assist('invd')),
  row('WBINVD', '0F 09', '', (e) => e.assist('wbinvd')),
  row('INVLPG', '0F 01 /7', '@m', (e) => e.assist('invlpg')),
  row('INVPCID', '66 0F 38 82 /r', '@r64, @m128', (e) => e.assist('invpcid'), { modes: 'only64', feature: 'INVPCID' }),
  row('INVPCID', '66 0F 38 82 /r', '@r32, @m128', (e) => e.assist('invpcid'), { modes: 'not64', feature: 'INVPCID' }),
  // Permission checks and faults are those of a byte load (SDM 2A CLFLUSH).
  row('CLFLUSH', 'NP 0F AE /7', 'm8', nothing, { feature: 'CLFSH' }),
  row('CLFLUSHOPT', '66 0F AE /7', 'm8', nothing, { feature: 'CLFLUSHOPT' }),
  ...fence('LFENCE', 0xe8, 'SSE2'),
  ...fence('MFENCE', 0xf0, 'SSE2'),
  ...fence('SFENCE', 0xf8, 'SSE'),
]

const registers: Row[] = [
  row('MOV', '0F 20 /r', '@r64.rm, @CR', (e) => e.assist('readCr'), { modes: 'only64', modIgnored: true }),
  row('MOV', '0F 20 /r', '@r32.rm, @CR', (e) => e.assist('readCr'), { modes: 'not64', modIgnored: true }),
  row('MOV', '0F 21 /r', '@r64.rm, @DR', (e) => e.assist('readDr'), { modes: 'only64', modIgnored: true }),
  row('MOV', '0F 21 /r', '@r32.rm, @DR', (e) => e.assist('readDr'), { modes: 'not64', modIgnored: true }),
  row('MOV', '0F 22 /r', '@CR, @r64.rm', (e) => e.assist('writeCr'), { modes: 'only64', modIgnored: true }),
  row('MOV', '0F 22 /r', '@CR, @r32.rm', (e) => e.assist('writeCr'), { modes: 'not64', modIgnored: true }),
  row('MOV', '0F 23 /r', '@DR, @r64.rm', (e) => e.assist('writeDr'), { modes: 'only64', modIgnored: true }),
  row('MOV', '0F 23 /r', '@DR, @r32.rm', (e) => e.assist('writeDr'), { modes: 'not64', modIgnored: true }),
  row('CLTS', '0F 06', '', (e) => e.assist('clts')),
  row('SMSW', '0F 01 /4', '@m16', (e) => e.assist('smsw')),
  row('SMSW', '0F 01 /4', '@r.rm', (e) => e.assist('smsw')),
  row('LMSW', '0F 01 /6', '@r/m16', (e) => e.assist('lmsw')),
  row('RDMSR', '0F 32', '', (e) => e.assist('rdmsr')),
  row('WRMSR', '0F 30', '', (e) => e.assist('wrmsr')),
  row('XGETBV', 'NP 0F 01 D0', '', (e) => e.assist('xgetbv'), { feature: 'XSAVE' }),
  row('XSETBV', 'NP 0F 01 D1', '', (e) => e.assist('xsetbv'), { feature: 'XSAVE' }),
]

const identification: Row[] = [
  row('CPUID', '0F A2', '', (e) => e.assist('cpuid')),
  row('RDTSC', '0F 31', '', (e) => e.assist('rdtsc')),
  row('RDTSCP', '0F 01 F9', '', (e) => e.assist('rdtscp'), { feature: 'RDTSCP' }),
  row('RDPMC', '0F 33', '', (e) => e.assist('rdpmc')),
  row('RDPID', 'F3 0F C7 /7', '@r64.rm', (e) => e.assist('rdpid'), { modes: 'only64', feature: 'RDPID' }),
  row('RDPID', 'F3 0F C7 /7', '@r32.rm', (e) => e.assist('rdpid'), { modes: 'not64', feature: 'RDPID' }),
]

export const system: Row[] = [
  row('HLT', 'F4', '', (e) => e.assist('hlt')),
  row('MONITOR', 'NP 0F 01 C8', '', (e) => e.assist('monitor'), { feature: 'MONITOR' }),
  row('MWAIT', 'NP 0F 01 C9', '', (e) => e.assist('mwait'), { feature: 'MONITOR' }),
  // Intel parts know SYSCALL and SYSRET in 64-bit mode only.
  row('SYSCALL', '0F 05', '', (e) => e.assist('syscall'), { modes: 'only64', feature: 'SYSCALL' }),
  row('SYSRET', '0F 07', '', (e) => e.assist('sysret'), { modes: 'only64', feature: 'SYSCALL', sizes: [32, 64] }),
  row('SYSENTER', '0F 34', '', (e) => e.assist('sysenter'), { feature: 'SEP' }),
  row('SYSEXIT', '0F 35', '', (e) => e.assist('sysexit'), { feature: 'SEP', sizes: [32, 64] }),
  ...registers,
  ...identification,
  ...caches,
  ...hints,
]

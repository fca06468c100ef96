// What is printed when a processor shuts down (SDM 3A 6.15, "double fault"): its registers and the instruction at RIP.

import type { Core } from '../../src-core/cpu/run.ts'

const GPRS = ['RAX', 'RCX', 'RDX', 'RBX', 'RSP', 'RBP', 'RSI', 'RDI', 'R8 ', 'R9 ', 'R10', 'R11', 'R12', 'R13', 'R14', 'R15']
const SEGMENTS = ['ES ', 'CS ', 'SS ', 'DS ', 'FS ', 'GS ', 'LDT', 'TR ']
const FLAGS: readonly [number, string][] = [
  [0, 'CF'], [2, 'PF'], [4, 'AF'], [6, 'ZF'], [7, 'SF'], [8, 'TF'], [9, 'IF'], [10, 'DF'], [11, 'OF'],
  [14, 'NT'], [16, 'RF'], [17, 'VM'], [18, 'AC'], [19, 'VIF'], [20, 'VIP'], [21, 'ID'],
]
const D_FLAG = 1 << 14
const LONGEST = 15

const hex = (value: bigint | number, digits: number): string => value.toString(16).toUpperCase().padStart(digits, '0')

/** Every register, one group a line. */
export function registers(core: Core): string[] {
  const s = core.state
  const flags = core.rflags()
  const lines: string[] = []
  for (let row = 0; row < 16; row += 4)
    lines.push([0, 1, 2, 3].map((n) => `${GPRS[row + n]} ${hex(s.gpr.get(row + n), 16)}`).join('  '))
  const set = FLAGS.filter(([bit]) => (flags >> BigInt(bit)) & 1n).map(([, name]) => name)
  lines.push(`RIP ${hex(s.rip, 16)}  RFLAGS ${hex(flags, 8)} [${set.join(' ')}] IOPL ${(flags >> 12n) & 3n}  CPL ${s.cpl}`)
  SEGMENTS.forEach((name, n) => {
    lines.push(`${name} ${hex(s.segSelector.get(n), 4)}  base ${hex(s.segBase.get(n), 16)}  limit ${hex(s.segLimit.get(n), 8)}  rights ${hex(s.segRights.get(n), 5)}`)
  })
  lines.push(`GDT base ${hex(s.gdtrBase, 16)}  limit ${hex(s.gdtrLimit, 4)}`)
  lines.push(`IDT base ${hex(s.idtrBase, 16)}  limit ${hex(s.idtrLimit, 4)}`)
  lines.push(`CR0 ${hex(s.cr0, 8)}  CR2 ${hex(s.cr2, 16)}  CR3 ${hex(s.cr3, 16)}  CR4 ${hex(s.cr4, 8)}  EFER ${hex(s.efer, 4)}`)
  return lines
}

/** Bytes at RIP as far as they can be read. */
function codeBytes(core: Core): Uint8Array {
  const s = core.state
  const bytes: number[] = []
  while (bytes.length < LONGEST) {
    try {
      bytes.push(core.memory.read8((s.rip + s.csBase + BigInt(bytes.length)) & s.linearMask, 'system'))
    } catch {
      break // not mapped
    }
  }
  return Uint8Array.from(bytes)
}

/** `bytes  instruction`, or why there is none. */
export async function instruction(core: Core): Promise<string> {
  const bytes = codeBytes(core)
  if (bytes.length === 0) return 'the instruction cannot be read'
  const { Decoder, DecoderOptions, Formatter, FormatterSyntax } = await import('iced-x86')
  const bits = core.mode64 ? 64 : core.state.segRights.get(1) & D_FLAG ? 32 : 16
  const decoder = new Decoder(bits, bytes, DecoderOptions.None)
  decoder.ip = core.state.rip
  const decoded = decoder.decode()
  const formatter = new Formatter(FormatterSyntax.Nasm)
  const invalid = decoded.length === 0 || decoded.isInvalid
  const shown = invalid ? bytes : bytes.subarray(0, decoded.length)
  const text = invalid ? '(no valid instruction)' : formatter.format(decoded)
  for (const part of [formatter, decoded, decoder]) part.free()
  return `${[...shown].map((b) => hex(b, 2)).join(' ')}   ${text}`
}

/** The whole message, lines without a last newline. */
export async function tripleFault(core: Core): Promise<string> {
  const head = `triple fault on processor ${core.index} (APIC id ${core.apicId}) at cycle ${core.time}`
  return [head, ...registers(core), `at ${hex(core.state.rip, 16)}: ${await instruction(core)}`].join('\n')
}

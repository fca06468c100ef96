// `vmx-steps` and `ept` of Minos on our own machine: the steps, every gate, with VT-x and without, and Minos goes on.
import { describe, expect, it } from 'vitest'
import { resolveBoard } from '../../src-core/board/config.ts'
import { firmware } from '../../src-core/board/firmware.ts'
import { Machine, type Stop } from '../../src-core/board/machine.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import { loadImage } from '../../src-core/guests/load.ts'
import { minosImage, minosProgram } from '../../src-core/guests/minos/load.ts'
import { FeatureControl } from '../../src-core/arch/vmx.ts'
import { modelRegisters } from '../../src-core/cpu/model-registers.ts'
import { Vmx } from '../../src-core/vmx/vmx.ts'

const PROMPT = '\nminos> '
const MOST_CYCLES = 6.6e9
const VMXE = 1n << 13n
/** Five descriptors of 8 bytes. */
const GDT_LIMIT = 5 * 8 - 1

/** A machine at Minos's prompt. */
class Console {
  readonly machine: Machine
  output = ''
  /** Called behind each byte. */
  printed: () => void = () => {}
  readonly unimplemented: string[] = []

  private constructor(
    processors: number,
    vmx: boolean,
    private readonly config = resolveBoard(PRESETS.get('intel-4n')!, { processors, megabytes: 128 }),
  ) {
    this.machine = new Machine({
      config,
      vmx,
      serial: (port, byte) => {
        if (port !== 0 || byte === 13) return
        this.output += String.fromCharCode(byte)
        this.printed()
      },
      unimplemented: (what) => void this.unimplemented.push(what),
    })
  }

  static async boot(processors: number, vmx: boolean): Promise<Console> {
    const console = new Console(processors, vmx)
    await console.load()
    return console
  }

  async load(): Promise<void> {
    this.output = ''
    const image = await loadImage({ kernel: { name: 'minos', data: minosImage() }, platform: firmware(this.config) })
    this.machine.load(image.segments, image.entry)
    expect(this.wait()).toBeUndefined()
  }

  /** Runs up to the prompt, or to a stop, which it answers. */
  private wait(): Stop | undefined {
    const end = this.machine.time + MOST_CYCLES
    for (;;) {
      const { stop, idle } = this.machine.run()
      if (stop) return stop
      if (this.output.endsWith(PROMPT)) return undefined
      if (idle || this.machine.time > end) throw new Error(`no prompt after:\n${this.output}`)
    }
  }

  last(line: string): Stop | undefined {
    this.output = ''
    this.machine.chips.serial[0]!.receive(Buffer.from(`${line}\r`, 'latin1'))
    return this.wait()
  }

  /** What follows a line, up to the next prompt. */
  command(line: string): string {
    expect(this.last(line)).toBeUndefined()
    return this.output.slice(line.length + 1, -PROMPT.length + 1)
  }

  /** VMX operation is left, and nothing of it stays on. */
  expectLeft(): void {
    const { gdtrLimit, idtrLimit } = this.machine.cores[0]!.state
    expect([gdtrLimit, idtrLimit]).toEqual([GDT_LIMIT, 256 * 16 - 1])
    for (const core of this.machine.cores) {
      expect(core.vmx instanceof Vmx && core.vmx.mode).toBe('off')
      expect(core.state.cr4 & VMXE).toBe(0n)
    }
  }
}

/** Sends the boot processor an NMI as soon as this was printed. */
function interruptAfter(console: Console, text: string): void {
  const core = console.machine.cores[0]!
  console.printed = () => {
    if (!console.output.endsWith(text)) return
    core.signals.nmi = true
    core.attention = true
    console.printed = () => {}
  }
}

const symbol = (name: string): bigint => minosProgram().symbols.get(name)!.value
const hex = (value: bigint): string => value.toString(16).padStart(16, '0')
/** Fields' lines out of the story. */
const steps = (text: string): string[] => text.split('\n').filter((line) => !/^ {6}[0-9a-f]{4} {2}/.test(line) && line !== '')
const program = symbol('guest_program')
const page = symbol('ept_page')
const OUT = ['VMXOFF, CR4.VMXE = 0: out of VMX operation']

const BEGIN = [
  'CPUID.1:ECX[5] is 1: the processor has VT-x',
  'IA32_FEATURE_CONTROL is 0000000000000005: locked, VMX outside SMX allowed',
  'CR0 80010033: must have 80000021, may have ffffffff: as it must be',
  'CR4 00002620: must have 00002000, may have 00372fff: as it must be',
  `VMXON region at ${hex(symbol('vmxon_page'))}, revision identifier 00005231`,
]
const ON = [...BEGIN, 'VMXON: in VMX root operation', `VMCLEAR ${hex(symbol('vmcs_page'))}: launch state 'clear'`]
const WRITTEN = [
  ...ON,
  'VMPTRLD: this VMCS is the current one',
  'VMWRITE, controls:',
  "VMWRITE, the host's state, to which an exit returns:",
  "VMWRITE, the guest's state, in which it begins:",
]
const FIRST_EXIT = [
  'VMLAUNCH: the guest runs',
  `VM exit, reason 10 CPUID, instruction length 2, RIP ${hex(program + 2n)}`,
  '      The monitor answers CPUID leaf 0 with a name of its own',
  `      RIP advanced to ${hex(program + 4n)}`,
]
const STORY = [
  ...WRITTEN,
  ...FIRST_EXIT,
  'VMRESUME: the guest runs',
  `VM exit, reason 18 VMCALL, instruction length 3, RIP ${hex(program + 4n)}`,
  '      The guest calls: CPUID told it MinosMonitor',
  `      RIP advanced to ${hex(program + 7n)}`,
  'VMRESUME: the guest runs',
  `VM exit, reason 12 HLT, instruction length 1, RIP ${hex(program + 7n)}`,
  '      The guest has halted; it is done.',
  ...OUT,
]

/** Numbers each step that is not indented. */
function numbered(lines: readonly string[]): string[] {
  let n = 0
  return lines.map((line) => (line.startsWith('  ') || line.startsWith('Without ') ? line : `${String(++n).padStart(2)}  ${line}`))
}
const refuses = (instruction: string, answer: string): string[] => [instruction, `  The processor refuses ${instruction}: ${answer}`]
const UD = '#UD invalid opcode'
const GP = '#GP(0) general protection'
const INVALID = 'VMfailInvalid (CF = 1), for there is no current VMCS to hold an error number'
const valid = (text: string): string => `VMfailValid (ZF = 1), error ${text}`
const entered = (qualification: number): string[] => [
  'VMLAUNCH: the checks of controls and host are passed',
  `VM exit, reason 80000021H: the VM entry failed, invalid guest state (33), qualification ${qualification}`,
]
const cleared = (field: string): string => `VMWRITE, for the gate: field ${field} becomes 0`
const WHY = '  Why: '
const replaced = (lines: readonly string[], n: number, line: string): string[] => lines.map((l, i) => (i === n ? line : l))

const region = (right: string, wrong: string): string[] => replaced(BEGIN, 4, BEGIN[4]!.replace(right, wrong))
const ERROR_4 = valid('4: VMLAUNCH of a VMCS that is not clear')
const ERROR_5 = valid('5: VMRESUME of a VMCS that is not launched')
const ERROR_7 = valid('7: VM entry with invalid control fields')
const ERROR_8 = valid('8: VM entry with invalid host-state fields')

/** Gate: what is told, with a line WHY where the reason stands, and a part of that reason. */
const gates: Record<string, readonly [story: readonly string[], why: string]> = {
  cr0: [[...BEGIN, 'CR0 is now 80010013', ...refuses('VMXON', GP), WHY], 'IA32_VMX_CR0_FIXED0'],
  vmxe: [
    [...replaced(BEGIN, 3, 'CR4 00000620: must have 00002000, may have 00372fff: not as it must be'), ...refuses('VMXON', UD), WHY],
    'CR4.VMXE is 0',
  ],
  revision: [[...region('5231', '5230'), ...refuses('VMXON', INVALID), WHY], 'bits 30:0 of IA32_VMX_BASIC'],
  align: [[...region('000,', '008,'), ...refuses('VMXON', INVALID), WHY], 'bits 11:0'],
  vmxon: [[...BEGIN, ...refuses('VMCLEAR', UD), WHY], 'outside VMX operation'],
  load: [[...ON, ...refuses('VMWRITE', INVALID), WHY, ...OUT], 'VMPTRLD makes one current'],
  controls: [[...WRITTEN, cleared('4000'), ...refuses('VMLAUNCH', ERROR_7), WHY, ...OUT], 'default1'],
  host: [[...WRITTEN, cleared('0c02'), ...refuses('VMLAUNCH', ERROR_8), WHY, ...OUT], 'CS selector'],
  guest: [[...WRITTEN, cleared('6820'), ...entered(0), WHY, ...OUT], 'bit 1 of RFLAGS'],
  link: [[...WRITTEN, cleared('2800'), ...entered(4), WHY, ...OUT], 'qualification 4'],
  launch: [[...WRITTEN, ...refuses('VMRESUME', ERROR_5), WHY, ...OUT], "launch state 'launched'"],
  clear: [
    [...WRITTEN, ...FIRST_EXIT, ...refuses('VMLAUNCH', ERROR_4), WHY, ...OUT],
    'a launched VMCS',
  ],
}

function expectGate(console: Console, gate: string): void {
  const [story, why] = gates[gate]!
  const [heading, ...told] = steps(console.command(`vmx-steps without ${gate}`))
  expect(heading).toMatch(/^Without .*:$/)
  const reason = told.find((line) => line.startsWith(WHY))
  expect(reason).toContain(why)
  expect(told.map((line) => (line === reason ? WHY : line))).toEqual(numbered(story))
  console.expectLeft()
}

const EPT_STORY = [
  'VMXON, VMCLEAR, VMPTRLD: in VMX root operation, with a current VMCS',
  `EPT: 4 GiB mapped to themselves, by 2047 pages of 2 MiB and 511 of 4 KiB; absent is ${hex(page)}`,
  'VMWRITE: controls (HLT exits, EPT on), host, guest, and fields of EPT:',
  'VMLAUNCH: the guest runs',
  'VM exit, reason 48 EPT violation',
  '      qualification 0000000000000582:',
  '        bit 0 is 0: a read',
  '        bit 1 is 1: a write',
  '        bit 2 is 0: an instruction fetch',
  '        bit 3 is 0: EPT allowed reads',
  '        bit 4 is 0: EPT allowed writes',
  '        bit 5 is 0: EPT allowed fetches',
  '        bit 7 is 1: the linear address is valid',
  "        bit 8 is 1: the access itself, not the guest's page walk",
  '        bit 9 is 0: for the guest, a user-mode page',
  '        bit 10 is 1: for the guest, a writable page',
  '        bit 11 is 0: for the guest, a page not to execute',
  `The page is put back: EPT entry ${hex(page | 0x37n)}; RIP stays, the instruction is made again`,
  'VMRESUME: the guest runs',
  `VM exit, reason 18 VMCALL, instruction length 3, RIP ${hex(symbol('ept_program') + 24n)}`,
  '      The guest calls: it read 123456789abcdef0',
  `      RIP advanced to ${hex(symbol('ept_program') + 27n)}`,
  'VMRESUME: the guest runs',
  `VM exit, reason 12 HLT, instruction length 1, RIP ${hex(symbol('ept_program') + 27n)}`,
  '      The guest has halted; it is done. In the page the monitor finds 123456789abcdef0',
  ...OUT,
]

describe.each([1, 4])('with VT-x, %i processors', (processors) => {
  it('vmx-steps and ept tell their steps, twice, and Minos goes on to reboot and power-off', async () => {
    const console = await Console.boot(processors, true)
    const boot = console.machine.cores[0]!.vmx as Vmx
    for (let round = 1; round <= 2; round++) {
      const told = console.command('vmx-steps')
      expect(steps(told)).toEqual(numbered(STORY))
      for (const line of [
        '4002  000000000401e1f2  primary', '2800  ffffffffffffffff  VMCS link pointer',
        `681e  ${hex(program)}  RIP`, '6820  0000000000000002  RFLAGS',
      ])
        expect(told).toContain(`      ${line}`)
      console.expectLeft()
      const ept = console.command('ept')
      expect(steps(ept)).toEqual(numbered(EPT_STORY))
      for (const line of [
        '401e  0000000000000002  secondary', `201a  ${hex(symbol('ept_pml4') | 0x1en)}  EPT pointer`,
        `2400  ${hex(page)}  guest-physical address`, `640a  ${hex(page)}  guest-linear address`,
        `681e  ${hex(symbol('ept_program') + 10n)}  RIP`,
      ])
        expect(ept).toContain(`      ${line}`)
      console.expectLeft()
      expect(boot.counters).toMatchObject({ entries: 6 * round, failedEntries: 0 })
      expect([10, 12, 18, 48].map((reason) => boot.counters.exits[reason])).toEqual([round, 2 * round, 2 * round, round])
    }
    expect(console.command('help')).toMatch(/^ {2}vmx-steps {9}a guest .*\n {2}ept {15}a guest .*$/m)
    expect(console.command('cpu')).toMatch(/^Features: .* vmx /m)
    // interrupts and exceptions find Minos's own tables again (27.5.2)
    expect(console.command('irq')).toContain('Timer at 100 Hz: 10 20 30 40 50 ticks\n')
    expect(console.command('int3')).toContain('Back behind the INT3.\n')
    expect(console.command('peek 0x7f00001000')).toContain('#PF page fault')
    expect(console.last('reboot')).toEqual({ kind: 'reset' })
    console.machine.powerOn()
    await console.load()
    expect(steps(console.command('vmx-steps'))).toEqual(numbered(STORY))
    expect(console.last('poweroff')).toEqual({ kind: 'powerOff' })
    expect(console.unimplemented).toEqual([])
  })

  it('every gate is refused and explained, twice, and the way is open again afterwards', async () => {
    const console = await Console.boot(processors, true)
    for (const gate of [...Object.keys(gates), ...Object.keys(gates)]) expectGate(console, gate)
    expect(steps(console.command('vmx-steps'))).toEqual(numbered(STORY))
    expect(console.command('irq')).toContain('Timer at 100 Hz: 10 20 30 40 50 ticks\n')
    expect(console.unimplemented).toEqual([])
  })
})

it('the lock can be left out before the first use only', async () => {
  const console = await Console.boot(1, true)
  const heading = 'Without the lock in IA32_FEATURE_CONTROL:'
  const open = replaced(BEGIN, 1, 'IA32_FEATURE_CONTROL is 0000000000000000: not locked')
  const why = `${WHY}VMXON wants bits 0 (lock) and 2 (VMX outside SMX) of IA32_FEATURE_CONTROL (SDM 3C 23.7).`
  const first = [...open, ...refuses('VMXON', GP), why]
  for (let round = 1; round <= 2; round++) {
    expect(steps(console.command('vmx-steps without lock'))).toEqual([heading, ...numbered(first)])
    console.expectLeft()
  }
  expect(steps(console.command('ept'))).toEqual(numbered(EPT_STORY))
  expect(steps(console.command('vmx-steps without lock'))).toEqual([
    heading,
    ...numbered([
      BEGIN[0]!,
      'IA32_FEATURE_CONTROL is 0000000000000005: locked already',
      'WRMSR to clear the lock',
      `  The processor refuses WRMSR: ${GP}`,
      `${WHY}bit 0 of IA32_FEATURE_CONTROL, once 1, locks it until reset (SDM 3C 23.7).`,
      '  To see VMXON without it: reboot, then vmx-steps without lock before any other use of VT-x.',
    ]),
  ])
  expect(console.last('reboot')).toEqual({ kind: 'reset' })
  console.machine.powerOn()
  await console.load()
  expect(steps(console.command('vmx-steps without lock'))).toEqual([heading, ...numbered(first)])
})

it('a firmware that has locked VT-x away is named', async () => {
  const console = await Console.boot(1, true)
  const { cores } = console.machine
  modelRegisters(cores[0]!).featureControl = FeatureControl.lock
  expect(steps(console.command('vmx-steps'))).toEqual(
    numbered([BEGIN[0]!, 'IA32_FEATURE_CONTROL is 0000000000000001: locked by the firmware, without VMX']),
  )
  expect(console.command('ept')).toBe('IA32_FEATURE_CONTROL is locked by the firmware, without VMX.\n')
  console.expectLeft()
})

it('an exception in between ends the command in VMX operation, and the next one begins anew', async () => {
  for (const [line, text] of [['vmx-steps', 'VMPTRLD'], ['ept', 'absent is ']] as const) {
    const console = await Console.boot(1, true)
    interruptAfter(console, text)
    expect(console.command(line)).toMatch(/\nException 2 NMI [^]*\nBack to the shell\.\n\n$/)
    expect((console.machine.cores[0]!.vmx as Vmx).mode).toBe('root')
    expect(steps(console.command('vmx-steps'))).toEqual(numbered(STORY))
    console.expectLeft()
    expect(steps(console.command('ept'))).toEqual(numbered(EPT_STORY))
    expect(console.last('poweroff')).toEqual({ kind: 'powerOff' })
  }
})

it('words that are no gate list the gates', async () => {
  const console = await Console.boot(1, true)
  const usage = console.command('vmx-steps without')
  expect([...usage.matchAll(/^ {2}(\w+): /gm)].map((m) => m[1])).toEqual(['lock', ...Object.keys(gates)])
  for (const line of ['vmx-steps with host', 'vmx-steps without hos', 'vmx-steps without hosts', 'vmx-steps host'])
    expect(console.command(line)).toBe(usage)
  expect(steps(console.command('  vmx-steps   without   host'))[0]).toBe('Without a code segment for the host:')
})

it.each([1, 4])('without VT-x, %i processors: both say so', async (processors) => {
  const console = await Console.boot(processors, false)
  const none = 'This processor has no VT-x: CPUID.1:ECX[5] is 0.\n'
  for (const line of ['vmx-steps', 'ept', 'ept', 'vmx-steps']) expect(console.command(line)).toBe(none)
  for (const gate of ['lock', ...Object.keys(gates)])
    expect(console.command(`vmx-steps without ${gate}`).split(':\n')).toEqual([expect.stringMatching(/^Without .+$/), none])
  expect(console.command('cpu')).not.toMatch(/ vmx /)
  expect(console.last('poweroff')).toEqual({ kind: 'powerOff' })
  expect(console.unimplemented).toEqual([])
})

it('two runs end at the same cycle with the same text', async () => {
  const run = async (): Promise<unknown[]> => {
    const console = await Console.boot(4, true)
    const told = ['vmx-steps', 'ept', 'vmx-steps without link', 'vmx-steps without cr0'].map((line) => console.command(line))
    return [console.machine.time, console.machine.cores.map((core) => [core.time, core.instructions, core.interrupts]), told]
  }
  expect(await run()).toEqual(await run())
})

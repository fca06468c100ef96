// KVM of Debian's unmodified kernel on the metal: its modules load, and a program of ours drives /dev/kvm through guests to HLT.

import { closeSync, openSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { debianGuest } from '../../scripts/guests/debian.ts'
import { PROMPT } from '../../scripts/guests/initrd.ts'
import { MODULE_PATHS, staticProgram, writeKvmInitrd } from '../../scripts/guests/kvm.ts'
import { buildOnce, folder, ring1, start, type Ran } from '../cli/ring1.ts'

const LIMIT = 400_000
const files = folder()
beforeAll(buildOnce)
afterAll(() => files.remove())

describe('--vtx', () => {
  // mov ecx, 10000000 │ dec ecx │ jnz −4 │ mov eax, 1 │ cpuid │ shr ecx, 5 │ mov al, cl │ and al, 1 │ out F4H, al │ hlt
  const reportsVmx = Uint8Array.of(
    0x66, 0xb9, 0x80, 0x96, 0x98, 0x00, 0x66, 0x49, 0x75, 0xfc, 0x66, 0xb8, 1, 0, 0, 0, 0x0f, 0xa2, 0x66, 0xc1, 0xe9, 5, 0x88, 0xc8, 0x24, 1, 0xe6, 0xf4, 0xf4,
  )
  const board = ['--host', 'uma-1n', '--memory', '16', '--time-limit', '60']
  const guest = ['--kernel', files.write('reports-vmx', reportsVmx), '--load-at', '0x7c00']
  const WITH = 3
  const WITHOUT = 1

  it.each([['on', WITH], ['off', WITHOUT]] as const)('%s is what the guest sees in CPUID', async (value, status) => {
    const ran = await ring1('boot', ...board, ...guest, '--vtx', value)
    expect(ran.status, ran.errors).toBe(status)
  })

  it.each([['on', WITH], ['off', WITHOUT]] as const)('%s comes back with a saved machine', async (value, status) => {
    const saved = files.path(`saved-${value}`)
    const before = await ring1('boot', ...board, ...guest, '--vtx', value, '--stop-at', '1000', '--save', saved)
    expect(before.status, before.errors).toBe(0)
    const after = await ring1('boot', '--time-limit', '60', '--restore', saved)
    expect(after.status, after.errors).toBe(status)
  })
})

const guest = await debianGuest()
const program = await staticProgram(fileURLToPath(new URL('kvm/guest.c', import.meta.url)))
const missing = 'missing' in guest ? `Debian's kernel: ${guest.missing}` : 'missing' in program ? program.missing : undefined
if (missing !== undefined) console.log(`skipped: KVM on the metal, because it cannot be had here: ${missing}`)

/** Options of kvm-intel by which it virtualizes in other ways: real mode in virtual-8086 mode; shadow page tables; without VPIDs and virtual NMIs too. */
const others = ['unrestricted_guest=0', 'ept=0', 'ept=0 vpid=0 vnmi=0']

/** What a kernel's log has when it is not content with the processor or with its own state. */
const complaint = /kvm|vmx|vmread|vmwrite|vt-x|unchecked MSR|WARNING: CPU|BUG:|Oops|Call Trace|general protection/i

describe.skipIf(missing !== undefined)('KVM on the metal', () => {
  if ('missing' in guest || 'missing' in program) return

  /** What the guest printed after it echoed a command, up to the next prompt. */
  const answer = (ran: Ran, command: string): string => {
    const text = ran.text.replace(/\r/g, '')
    const echo = `${PROMPT}${command}\n`
    const at = text.indexOf(echo)
    if (at < 0) throw new Error(`the shell was never given ${command}; standard error: ${ran.errors}; output: …${text.slice(-2000)}`)
    const rest = text.slice(at + echo.length)
    return rest.slice(0, rest.indexOf(PROMPT))
  }

  it('runs guests to HLT in each of its ways, and the kernel has no complaint', async () => {
    const initrd = files.path('kvm.cpio')
    await writeKvmInitrd(initrd, guest, program)
    const intel = MODULE_PATHS.at(-1)!
    const load = MODULE_PATHS.map((m) => `insmod ${m}`)
    const reload = (options: string): string => `rmmod kvm_intel; insmod ${intel} ${options}`
    const programs = ['kvm-guest # default', ...others.map((o) => `kvm-guest # ${o}`)]
    // short enough for the shell to echo them on one line of its terminal
    const parameters = 'cat ept unrestricted_guest vpid vnmi pml'
    const commands = [
      ...load, 'cd /sys/module/kvm_intel/parameters', parameters, 'cd', programs[0]!,
      ...others.flatMap((o, n) => [reload(o), programs[n + 1]!]),
      'dmesg', 'poweroff -f',
    ]
    const fd = openSync(files.write('commands', commands.map((c) => `${c}\n`).join('')), 'r')
    const machine = ['--on', 'metal', '--host', 'uma-1n', '--cpus', '1', '--memory', '512', '--vtx', 'on', '--time-limit', '350', '--until', 'never printed']
    const ran = await start(['boot', ...machine, '--kernel', guest.kernel, '--initrd', initrd, '--append', 'console=ttyS0 quiet'], fd).done
    closeSync(fd)

    expect(ran.status, ran.errors).toBe(0)
    for (const command of [...load, ...others.map(reload)]) expect(answer(ran, command)).toBe('')
    expect(answer(ran, parameters)).toBe('Y\n'.repeat(5))
    for (const command of programs)
      expect(answer(ran, command).split('\n')).toEqual([
        'kvm guest: API version 12',
        'kvm guest: real mode said "real mode, a string at once" in 27 exits and halted',
        'kvm guest: long mode said "338350", runs on "KVMKVMKVM", stored 1600, data page dirty, in 8 exits and halted',
        'kvm guest: interrupted guest said "ir" with 1 windows and halted',
        'kvm guest: all well',
        '',
      ])
    const log = answer(ran, 'dmesg').split('\n')
    expect(log.some((line) => line.includes('Run /init as init process'))).toBe(true)
    expect(log.filter((line) => complaint.test(line))).toEqual([])
  }, LIMIT)
})

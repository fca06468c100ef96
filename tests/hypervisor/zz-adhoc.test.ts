import { readFileSync } from 'node:fs'
import { it } from 'vitest'
import { debianGuest } from '../../scripts/guests/debian.ts'
import { PROMPT } from '../../scripts/guests/initrd.ts'
import { resolveBoard } from '../../src-core/board/config.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import { VmServer } from '../../src-core/board/vm-server.ts'
import { VmMachine } from '../../src-core/board/vm.ts'
import { Terminal } from './terminal.ts'
it('vmcall', () => {
  const m = new VmMachine({ config: resolveBoard(PRESETS.get('uma-1n')!, { megabytes: 64, processors: 1 }), guest: { megabytes: 16, processors: 1 } })
  // mov ecx, N; l: xor eax,eax; vmcall; dec ecx; jnz l; out F4,eax
  const code = new Uint8Array([0xb9, 0x40, 0x0d, 0x03, 0, 0x31, 0xc0, 0x0f, 0x01, 0xc1, 0x49, 0x75, 0xf8, 0xe7, 0xf4])
  for (let k = 0; k < 3; k++) {
    m.load([{ address: 0x100000, data: code, length: code.length }], { mode: 'protected', rip: 0x100000, rflags: 2, gprs: {}, cs: { selector: 16, base: 0 }, data: { selector: 24, base: 0 } })
    const t = process.cpuUsage(), c = m.server.cores[0]!.time
    for (;;) if (m.run().stop) break
    console.log(process.cpuUsage(t).user / 200000, 'us a vmcall', (m.server.cores[0]!.time - c) / 200000, 'cycles', JSON.stringify(m.vm!.figures().exits))
  }
})
it('two linux', async () => {
  const guest = await debianGuest()
  if ('missing' in guest) return
  const file = (path: string) => ({ name: path, data: new Uint8Array(readFileSync(path)) })
  const server = new VmServer({ config: resolveBoard(PRESETS.get('intel-4n')!, { megabytes: 1024, processors: 4 }) })
  const vms = ['a', 'b'].map((id, n) => new Terminal({ guest: { megabytes: 384, processors: 2 }, beside: { server, id, first: 2 * n } }))
  for (const t of vms) await t.load(file(guest.kernel), file(guest.initrdNuma), 'console=ttyS0 quiet')
  while (!vms.every((t) => t.output.endsWith(PROMPT)) && server.machine.time < 8e9) server.machine.run()
  for (const t of vms) console.log(t.output.slice(-300), t.command('numactl -H', PROMPT), JSON.stringify(t.machine.vm!.figures()))
  const frames = vms.map((t) => new Set([...t.machine.vm!.memory.entries()].map(([, f]) => f)))
  console.log('overlap', [...frames[0]!].filter((f) => frames[1]!.has(f)).length, server.machine.time)
}, 200000)

import { readFileSync } from 'node:fs'
import { it } from 'vitest'
import { debianGuest } from '../../scripts/guests/debian.ts'
import { PROMPT } from '../../scripts/guests/initrd.ts'
import { resolveBoard } from '../../src-core/board/config.ts'
import { firmware } from '../../src-core/board/firmware.ts'
import { PRESETS } from '../../src-core/board/presets.ts'
import { Machine } from '../../src-core/board/machine.ts'
import { loadImage } from '../../src-core/guests/load.ts'
it('metal', async () => {
  const guest = await debianGuest()
  if ('missing' in guest) return
  const file = (path: string) => ({ name: path, data: new Uint8Array(readFileSync(path)) })
  let out = ''
  const config = resolveBoard(PRESETS.get('uma-1n')!, { processors: 1, megabytes: 384 })
  const m = new Machine({ config, vmx: !!process.env.VMX, serial: (p, b) => void (p === 0 && b !== 13 && (out += String.fromCharCode(b))) })
  const image = await loadImage({ kernel: file(guest.kernel), initrd: file(guest.initrdNuma), append: 'console=ttyS0 quiet', platform: firmware(config) })
  m.load(image.segments, image.entry)
  const c = process.cpuUsage()
  while (!out.includes(PROMPT)) { const { stop } = m.run(); if (stop) break }
  console.log(out, m.time, m.cores[0]!.instructions, process.cpuUsage(c).user / 1e6, [...m.unimplemented])
}, 300000)

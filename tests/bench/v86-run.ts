// One workload under v86: `v86-run.ts WASM IMAGE COUNT` prints a Measure as its last line. v86 loads Multiboot images itself when
// it is given no BIOS.

import { readFileSync, writeSync } from 'node:fs'
import { V86 } from 'v86'
import { checksumIn, END_MARKER, failureIn, MEMORY, START_MARKER, type Measure } from './engine.ts'

const [wasm, image, count] = process.argv.slice(2) as [string, string, string]
const file = readFileSync(image)
const now = () => {
  const { user, system } = process.cpuUsage()
  return { cpu: (user + system) / 1e6, wall: performance.now() / 1e3 }
}

const end = (descriptor: number, text: string, status: number): never => {
  writeSync(descriptor, `${text}\n`)
  process.exit(status)
}

const emulator = new V86({
  wasm_path: wasm,
  memory_size: MEMORY << 20,
  vga_memory_size: 2 << 20,
  acpi: true, // without it v86 has no local APIC
  multiboot: { buffer: file.buffer.slice(file.byteOffset, file.byteOffset + file.length) as ArrayBuffer },
  cmdline: `n=${count}`,
  autostart: true,
})

let from: { cpu: number; wall: number; instructions: number } | undefined
let took: Measure | undefined
let text = ''
emulator.add_listener('serial0-output-byte', (byte: number) => {
  if (byte === START_MARKER) from = { ...now(), instructions: emulator.get_instruction_counter() }
  else if (byte === END_MARKER && from) {
    const end = now()
    // the counter has 32 bits
    const instructions = (emulator.get_instruction_counter() - from.instructions) >>> 0
    took = { cpu: end.cpu - from.cpu, wall: end.wall - from.wall, instructions }
  } else text += String.fromCharCode(byte)
  const checksum = checksumIn(text)
  const failure = failureIn(text)
  // at once: v86 answers the guest's write to port 0xF4 with an exception
  if (checksum !== undefined && took) end(1, JSON.stringify({ ...took, checksum }), 0)
  else if (failure !== undefined) end(2, failure, 1)
})

// The recorder as a child process: builds recorder.c, writes its case stream, reads its outcomes.
// Needs x86-64 Linux, gcc and the FSGSBASE instructions; `unavailable()` says which is missing.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { arch, platform, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { layout, type Case, type Outcome, type Patch } from './machine.ts'
import { background } from './seeded.ts'

const FX = 416
const INPUT = 12 + 32 + 128 + 8 + FX
const KILLED = 0xfe
const NONE = 0xff

/** The reason why cases cannot be run on this machine, or null. */
export function unavailable(): string | null {
  if (platform() !== 'linux' || arch() !== 'x64') return `the recorder needs x86-64 Linux, this is ${platform()} ${arch()}`
  if (spawnSync('gcc', ['--version']).status !== 0) return 'gcc is not installed'
  const flags = /^flags\s*:(.*)$/m.exec(existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '')?.[1] ?? ''
  const missing = ['fsgsbase', 'sse4_2', 'ssse3', 'popcnt', 'cx16', 'lahf_lm'].filter((f) => !flags.split(' ').includes(f))
  return missing.length > 0 ? `the host processor lacks ${missing.join(', ')}` : null
}

/** Vendor, family and model of the host processor, as /proc/cpuinfo names them. */
export function processor(): { vendor: string; family: number; model: number } {
  const text = readFileSync('/proc/cpuinfo', 'utf8')
  const field = (name: string): string => new RegExp(`^${name}\\s*: (.*)$`, 'm').exec(text)?.[1] ?? '0'
  return { vendor: field('vendor_id'), family: Number(field('cpu family')), model: Number(field('model')) }
}

function stream(cases: readonly Case[]): Buffer {
  const size = 8 + layout.dataSize + cases.reduce((n, c) => n + INPUT + c.patches.reduce((k, p) => k + 4 + p.bytes.length, 0), 0)
  const out = Buffer.alloc(size)
  out.write('R1OI', 0, 'latin1')
  out.writeUInt32LE(cases.length, 4)
  out.set(background, 8)
  let at = 8 + layout.dataSize
  cases.forEach((c, id) => {
    const { state: s } = c
    out.writeUInt32LE(id, at)
    out[at + 4] = c.bytes.length
    out[at + 5] = 1
    out[at + 6] = c.repeat ? 1 : 0
    out.writeUInt16LE(c.patches.length, at + 8)
    out.set(c.bytes, at + 12)
    for (let i = 0; i < 16; i++) out.writeBigUInt64LE(s.gpr[i]!, at + 44 + i * 8)
    out.writeUInt32LE(s.rflags, at + 172)
    const fx = at + 180
    out.writeUInt16LE(s.fcw, fx)
    out.writeUInt16LE(s.fsw, fx + 2)
    out[fx + 4] = s.ftw
    out.writeUInt32LE(s.mxcsr, fx + 24)
    for (let i = 0; i < 8; i++) out.set(s.st.subarray(i * 10, i * 10 + 10), fx + 32 + i * 16)
    out.set(s.xmm, fx + 160)
    at += INPUT
    for (const p of c.patches) {
      out.writeUInt16LE(p.offset, at)
      out.writeUInt16LE(p.bytes.length, at + 2)
      out.set(p.bytes, at + 4)
      at += 4 + p.bytes.length
    }
  })
  return out
}

function outcomes(data: Buffer, cases: readonly Case[]): Outcome[] {
  const all: Outcome[] = []
  let at = 0
  for (const c of cases) {
    const vector = data[at + 4]!
    if (vector === KILLED)
      throw new Error(`${c.code}: ${Buffer.from(c.bytes).toString('hex')} killed the recorder (signal ${data[at + 5]})`)
    const fx = at + 192
    const changes: Patch[] = []
    const st = new Uint8Array(80)
    for (let i = 0; i < 8; i++) st.set(data.subarray(fx + 32 + i * 16, fx + 42 + i * 16), i * 10)
    const state = {
      gpr: new BigUint64Array(16).map((_, i) => data.readBigUInt64LE(at + 32 + i * 8)),
      rflags: data.readUInt32LE(at + 160),
      rip: data.readBigUInt64LE(at + 168),
      fsBase: data.readBigUInt64LE(at + 176),
      gsBase: data.readBigUInt64LE(at + 184),
      fcw: data.readUInt16LE(fx),
      fsw: data.readUInt16LE(fx + 2),
      ftw: data[fx + 4]!,
      mxcsr: data.readUInt32LE(fx + 24),
      st,
      xmm: Uint8Array.from(data.subarray(fx + 160, fx + 416)),
    }
    const errorCode = data.readUInt32LE(at + 12)
    const cr2 = data.readBigUInt64LE(at + 24)
    let runs = data.readUInt16LE(fx + FX)
    at = fx + FX + 4
    for (; runs > 0; runs--) {
      const length = data.readUInt16LE(at + 2)
      changes.push({ offset: data.readUInt16LE(at), bytes: Uint8Array.from(data.subarray(at + 4, at + 4 + length)) })
      at += 4 + length
    }
    all.push(normalize(c, { state, changes, vector: vector === NONE ? null : vector, errorCode, cr2 }))
  }
  return all
}

/** Takes the recording's own TF out of the image PUSHF stored; the case is meant to run with TF = 0. */
function normalize(c: Case, o: Outcome): Outcome {
  o.state.rflags &= ~0x10100 // RF, TF
  if (!c.code.startsWith('Pushf') || o.vector !== null) return o
  const at = Number(o.state.gpr[4]!) + 1 - layout.data
  const before = memoryBefore(c)
  const after = memoryAfter(before, o.changes)
  after[at]! &= ~1
  return { ...o, changes: difference(before, after) }
}

/** The data pages as the instruction finds them. */
export function memoryBefore(c: Pick<Case, 'patches'>): Uint8Array {
  return memoryAfter(background, c.patches)
}

export function memoryAfter(before: Uint8Array, changes: readonly Patch[]): Uint8Array {
  const after = before.slice()
  for (const p of changes) after.set(p.bytes, p.offset)
  return after
}

/** Runs of differing bytes, ascending, not touching. */
export function difference(before: Uint8Array, after: Uint8Array): Patch[] {
  const changes: Patch[] = []
  for (let i = 0; i < before.length; i++) {
    if (before[i] === after[i]) continue
    const offset = i
    while (i < before.length && before[i] !== after[i]) i++
    changes.push({ offset, bytes: after.slice(offset, i) })
  }
  return changes
}

/** Runs cases on the host processor. Throws with the recorder's message if it cannot be built or a case kills it. */
export function record(cases: readonly Case[]): Outcome[] {
  const folder = mkdtempSync(join(tmpdir(), 'oracle-'))
  try {
    const program = join(folder, 'recorder')
    const source = fileURLToPath(new URL('recorder.c', import.meta.url))
    // general registers only: the handler must not disturb x87 and SSE before the frame is read
    execFileSync('gcc', ['-O2', '-fno-stack-protector', '-mno-red-zone', '-mgeneral-regs-only', '-o', program, source], { stdio: 'pipe' })
    const all: Outcome[] = []
    for (let i = 0; i < cases.length; i += 8192) {
      const batch = cases.slice(i, i + 8192)
      const run = spawnSync(program, { input: stream(batch), maxBuffer: 1 << 28 })
      if (run.status !== 0) throw new Error(`recorder: ${run.stderr.toString() || run.error?.message || run.signal}`)
      all.push(...outcomes(run.stdout, batch))
    }
    return all
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

// Case generator: for an opcode and a seed, one instruction with operand values, memory and control words that are
// worth trying. Deterministic. What makes a result undefined in the SDM beyond single flags is avoided here.
import { Decoder, DecoderOptions, Encoder, Instruction, Register, RegisterExt } from 'iced-x86'
import { copyState, layout, type Case } from './machine.ts'
import { opcodes, type Opcode } from './opcodes.ts'
import { aim, canBeMemory, canBeRegister, fill, gprOf, memoryBytes, memorySizeName, poke, type Draft } from './operands.ts'
import { extended, float, integer, lanes, seededState, Seeded, summarize, type Flavor } from './seeded.ts'

/** A case and the seed and flavor its register state starts from. */
export interface Drawn {
  case: Case
  seed: number
  flavor: Flavor
  opcode: Opcode
  /** linear address of the first memory operand, if it has one that is canonical */
  at: bigint | undefined
}

const { data, dataSize, codeEnd } = layout

function flavorOf(op: Opcode, r: Seeded): Flavor {
  if (op.family === 'x87' || op.mnemonic === 'Wait') return 'x87'
  if (/mxcsr/i.test(op.mnemonic)) return 'singles'
  if (/^Pcmp.str/.test(op.mnemonic)) return 'bytes'
  const name = op.mnemonic.toLowerCase()
  const mmx = op.name.includes('_mm') || name === 'emms'
  const source =
    op.family === 'integer' || name.startsWith('p')
      ? undefined
      : (/^cvtt?(ps|pd|ss|sd)2/.exec(name)?.[1] ?? /(ps|pd|ss|sd)$/.exec(name)?.[1])
  const floating: Flavor | undefined = source === undefined ? undefined : source.endsWith('s') ? 'singles' : 'doubles'
  if (mmx) return floating && r.oneIn(2) ? floating : 'mmx'
  if (floating) return floating
  if (op.family === 'integer') return 'integer'
  return name.endsWith('b')
    ? 'bytes'
    : name.endsWith('w')
      ? 'words'
      : name.endsWith('d')
        ? 'dwords'
        : name.endsWith('q')
          ? 'qwords'
          : r.pick(['bytes', 'words', 'dwords', 'qwords'])
}

const little = (value: bigint, bytes: number): Uint8Array =>
  Uint8Array.from({ length: bytes }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn))
/** An address that may be jumped to: canonical, lower half. */
const target = (r: Seeded): bigint =>
  r.pick([BigInt(data + r.below(dataSize)), BigInt(codeEnd - r.below(32)), r.u64() >> 17n, 0n, 0x7ffffffff000n])

/** Memory contents an instruction of this kind reads: numbers of the right format, x87 and FXSAVE images. */
function contents(d: Draft, flavor: Flavor): Uint8Array {
  const { r, op } = d
  const kind = memorySizeName(op)
  const size = memoryBytes(op)
  if (op.mnemonic === 'Call' || op.mnemonic === 'Jmp') return little(target(r), 8)
  if (op.mnemonic === 'Ldmxcsr') return little(BigInt(r.oneIn(6) ? r.u32() & ~0x20000 : r.u32() & 0xffff), 4) // bit 17 exists on AMD only
  if (kind === 'Float80') return extended(r)
  if (kind === 'Float32' && op.family === 'x87') return little(float(r, 8, 23), 4)
  if (kind === 'Float64' && op.family === 'x87') return little(float(r, 11, 52), 8)
  if (kind === 'Bcd') return Uint8Array.from({ length: 10 }, (_, i) => (i === 9 ? r.below(2) << 7 : (r.below(10) << 4) | r.below(10)))
  if (/^Fpu(Env|State)/.test(kind)) {
    const image = r.bytes(size)
    const view = new DataView(image.buffer)
    const wide = /28|108/.test(kind)
    const fcw = 0x40 | (r.u32() & 0xf3f) | (r.oneIn(3) ? 0 : 0x3f)
    view.setUint16(0, fcw, true)
    view.setUint16(wide ? 4 : 2, r.u32() & 0xffff, true)
    for (let i = 0; i < 8 && size > 28; i++) image.set(extended(r), (wide ? 28 : 14) + i * 10)
    return image
  }
  if (kind.startsWith('Fxsave')) {
    const image = r.bytes(size)
    const view = new DataView(image.buffer)
    const fcw = 0x40 | (r.u32() & 0xf00) | (r.oneIn(3) ? r.u32() & 0x3f : 0x3f)
    view.setUint16(0, fcw, true)
    view.setUint16(2, summarize(r.u32() & 0x7f7f, fcw), true)
    view.setUint32(24, r.oneIn(6) ? r.u32() | 0x40000 : r.u32() & 0xffff, true)
    for (let i = 0; i < 8; i++) image.set(extended(r), 32 + i * 16)
    return image
  }
  if (flavor === 'integer' || op.family === 'x87' || size < 4) return little(integer(r, Math.min(64, size * 8)), size)
  const value = lanes(r, flavor)
  return size > 16 ? r.bytes(size) : value.slice(0, size)
}

const exponentOf = (d: Draft, n: number): number => (d.state.st[n * 10 + 8]! | (d.state.st[n * 10 + 9]! << 8)) & 0x7fff
function setExponent(d: Draft, n: number, exponent: number): void {
  d.state.st[n * 10 + 8] = exponent & 0xff
  d.state.st[n * 10 + 9] = (d.state.st[n * 10 + 9]! & 0x80) | (exponent >> 8)
}

/** x87 operands outside of which the SDM or the makers leave the result open. */
function shapeX87(d: Draft): void {
  const { r, op } = d
  if (op.mnemonic === 'F2xm1' && exponentOf(d, 0) >= 0x3fff && exponentOf(d, 0) !== 0x7fff) setExponent(d, 0, 0x3fff - 1 - r.below(40))
  if (op.mnemonic === 'Fyl2xp1' && exponentOf(d, 0) >= 0x3ffd && exponentOf(d, 0) !== 0x7fff) setExponent(d, 0, 0x3ffd - 1 - r.below(40))
  if (/^F(sin|cos|sincos|ptan)$/.test(op.mnemonic) && r.below(8) < 5) setExponent(d, 0, 0x3fff - 20 + r.below(26))
  // a difference of exponents of 64 or more is reduced by an amount the processor chooses (FPREM, FPREM1)
  if (/^Fprem/.test(op.mnemonic)) {
    const e0 = exponentOf(d, 0)
    const e1 = exponentOf(d, 1)
    if (e0 !== 0x7fff && e1 !== 0x7fff && e0 - e1 >= 60) setExponent(d, 1, Math.max(1, e0 - r.below(58)))
  }
}

/** Register values that make an instruction do something: quotients that fit, comparands that match, counts at the boundaries. */
function shape(d: Draft, flavor: Flavor): void {
  const { r, op, state, instruction: i } = d
  const { gpr } = state
  const bits = memoryBytes(op) * 8
  const m = (1n << BigInt(Math.min(64, bits))) - 1n
  const free = (n: number): boolean => !d.pinned.has(n)
  if (d.memoryForm) for (const at of d.at) if (op.mnemonic !== 'Fxsave' && r.below(8) > 0) poke(d, at, contents(d, flavor))
  if (op.family === 'x87') shapeX87(d)
  if (op.name.includes('_mm')) {
    state.mxcsr |= 0x1f80
    if (r.oneIn(30)) state.fsw = summarize(state.fsw | 1, (state.fcw &= ~1)) // a pending x87 exception: #MF
  }
  if (/_CL$/.test(op.name) && free(1)) {
    const count = /^Sh[lr]d_rm16/.test(op.name)
      ? r.below(17) + 32 * r.below(8)
      : r.oneIn(3)
        ? r.below(256)
        : r.pick([0, 1, 2, 7, 8, 9, 15, 16, 17, 18, 27, 31, 32, 33, 63, 64, 65, 128, 255])
    gpr[1] = (gpr[1]! & ~0xffn) | BigInt(count)
  }
  if (/^I?div$/i.test(op.mnemonic) && r.below(4) > 0 && free(0) && free(2)) {
    const signed = op.mnemonic === 'Idiv'
    const width = /rm(\d+)/.exec(op.name)![1]!
    const low = BigInt.asIntN(Number(width), gpr[0]!)
    const high = r.oneIn(3) ? BigInt(r.below(100)) : signed && low < 0n ? -1n : 0n
    if (width === '8') gpr[0] = (gpr[0]! & ~0xff00n) | ((high & 0xffn) << 8n)
    else gpr[2] = BigInt.asUintN(64, high)
  }
  if (op.mnemonic === 'Cmpxchg' && r.oneIn(2)) {
    if (d.memoryForm) poke(d, d.at[0]!, little(gpr[0]! & m, bits / 8))
    else gpr[gprOf(i.op0Register)] = gpr[0]!
  }
  if (/^Cmpxchg\d+b$/.test(op.mnemonic) && r.oneIn(2)) {
    const half = bits / 16
    poke(d, d.at[0]!, little(gpr[0]!, half))
    poke(d, d.at[0]! + BigInt(half), little(gpr[2]!, half))
  }
  if (/^Bt[src]?_rm\d+_r\d+$/.test(op.name) && d.memoryForm) {
    const n = gprOf(i.op1Register) // the bit offset addresses memory: keep it near
    gpr[n] =
      BigInt.asUintN(64, BigInt(r.pick([r.below(64), r.below(4096) - 2048, -1, bits, -bits]))) ^
      (bits < 64 && r.oneIn(2) ? BigInt(r.u32()) << 32n : 0n)
  }
  if (/^Pcmp.str/.test(op.mnemonic) && r.below(5) > 0) {
    // few different elements, and ends of strings
    const text = (): Uint8Array => new Uint8Array(16).map(() => (r.oneIn(16) ? 0 : r.pick([0x61, 0x62, 0x63, 0x80, 0xff])))
    for (const register of [i.op0Register, i.op1Register])
      if (register !== Register.None) state.xmm.set(text(), RegisterExt.number(register) * 16)
    if (d.memoryForm) poke(d, d.at[0]!, text())
    for (const n of [0, 2]) if (free(n)) gpr[n] = BigInt.asUintN(64, BigInt(r.below(40) - 20))
  }
  if (/^(Call|Jmp)_rm64$/.test(op.name) && !d.memoryForm) gpr[gprOf(i.op0Register)] = i.op0Register === Register.RSP ? gpr[4]! : target(r)
  if (/^(Loop|J[er]?cxz)/.test(op.mnemonic) && r.oneIn(2)) gpr[1] = r.pick([0n, 1n, 2n, 0xffffffff00000000n, 0x100000000n, 0x100000001n])
  if (op.mnemonic === 'Leave' || op.mnemonic === 'Enter') gpr[5] = BigInt(aim(r, 8, false))
  if (op.info.isStackInstruction && free(4)) gpr[4] = BigInt(r.oneIn(3) ? aim(r, 8, false) : data + 0x800 + 8 * r.below(0x100))
  if (op.mnemonic === 'Enter' && r.below(4) > 0) gpr[5] = BigInt(data + 0x800 + r.below(0x600))
  if (op.mnemonic === 'Ret') poke(d, gpr[4]!, little(target(r), 8))
  if (/^Popf/.test(op.mnemonic)) poke(d, gpr[4]!, little(integer(r, 32) & ~0x100n, 8))
  if (/^Wr[fg]sbase_r64/.test(op.name) && r.oneIn(2)) gpr[gprOf(i.op0Register)] = integer(r, 47)
}

/** REP forms: count, direction and, for CMPS and SCAS, runs of equal elements. */
function repeat(d: Draft): boolean {
  const { r, op, state, instruction: i } = d
  const compare = /^(Cmps|Scas)/.test(op.mnemonic)
  if (!/^(Movs|Cmps|Stos|Lods|Scas)[bwdq]$/.test(op.mnemonic) || op.kinds.length !== 2 || /xmm/.test(op.name) || r.oneIn(3)) return false
  if (compare && r.oneIn(2)) i.hasRepnePrefix = true
  else i.hasRepPrefix = true
  const size = memoryBytes(op)
  state.gpr[1] = BigInt(r.pick([0, 1, 2, 3, 5, 8, 16, r.below(64), 0xfff]))
  if (r.oneIn(4)) state.gpr[1]! |= i.op0Kind === 0 || r.oneIn(2) ? 0n : 1n << 32n
  for (const n of [6, 7]) {
    // long repetitions end soon at the unmapped page
    const edge = state.rflags & 0x400 ? data + r.below(40) : data + dataSize - size - r.below(40)
    const spot =
      state.gpr[1]! > 100n
        ? edge
        : r.below(3) > 0 || !d.pinned.has(n)
          ? data + 0x300 + r.below(0x1a00)
          : Number(state.gpr[n]! & 0xffffffffn)
    state.gpr[n] = (d.pinned.has(n) ? state.gpr[n]! & ~0xffffffffn : 0n) | BigInt(spot)
  }
  if (r.oneIn(3)) state.gpr[7] = (state.gpr[7]! & ~0xffffffffn) | ((state.gpr[6]! & 0xffffffffn) + BigInt(size * r.pick([0, 1, -1, 2])))
  if (compare && r.below(3) > 0) {
    const element = little(state.gpr[0]! & 0xffffffffffffffffn, size)
    const fill = new Uint8Array(24 * size).map((_, n) => element[n % size]!)
    if (r.oneIn(2)) fill[r.below(fill.length)]! ^= 1
    for (const n of [6, 7]) poke(d, state.gpr[n]! & 0xffffffffn, fill)
  }
  return true
}

const touchesPartly = /^(Fxsave|Fxrstor|Fnsave|Fnstenv|Fldenv|Frstor|Maskmov)/

/** Case `index` of an opcode under a salt. Throws only if the opcode cannot be encoded at all. */
export function draw(opcode: Opcode, index: number, salt: number): Drawn {
  let hash = salt ^ Math.imul(index + 1, 0x27d4eb2f)
  for (const c of opcode.name) hash = Math.imul(hash ^ c.charCodeAt(0), 0x01000193)
  const seed = hash >>> 0
  const r = new Seeded(seed ^ 0x5bd1e995)
  const flavor = flavorOf(opcode, r)
  for (let tries = 0; tries < 200; tries++) {
    const state = copyState(seededState(seed, flavor))
    const instruction = new Instruction()
    instruction.code = opcode.code
    const both = canBeMemory(opcode) && canBeRegister(opcode)
    const d: Draft = {
      r,
      op: opcode,
      instruction,
      state,
      patches: [],
      pinned: new Set(),
      at: [],
      memoryForm: both ? index % 2 === 0 : canBeMemory(opcode),
    }
    // partial accesses before a fault are the processor's choice in these: only whole operands, present or absent
    const mapped = touchesPartly.test(opcode.mnemonic) || r.oneIn(3)
    fill(d, mapped)
    shape(d, flavor)
    const rep = repeat(d)
    if (d.memoryForm && opcode.info.canUseLockPrefix && r.oneIn(3)) instruction.hasLockPrefix = true
    if (mapped && opcode.family === 'integer' && d.memoryForm && !touchesPartly.test(opcode.mnemonic) && r.oneIn(12))
      state.rflags |= 0x40000
    let bytes = encode(instruction)
    const decoded = bytes && decode(bytes)
    const clash = /^Bt[src]?_rm\d+_r\d+$/.test(opcode.name) && d.memoryForm && d.pinned.has(gprOf(instruction.op1Register))
    const same = decoded?.code === opcode.code
    decoded?.free()
    instruction.free()
    if (!bytes || !same || clash) continue
    bytes = prefixed(r, opcode, bytes)
    if (bytes.length > 1 && r.oneIn(80)) bytes = bytes.slice(0, 1 + r.below(bytes.length - 1)) // its rest would lie in the unmapped page
    state.rip = BigInt(codeEnd - bytes.length)
    return {
      case: { code: opcode.name, bytes, patches: d.patches, state, repeat: rep },
      seed,
      flavor,
      opcode,
      at: d.at.find((a) => a >= 0n),
    }
  }
  throw new Error(`${opcode.name} cannot be encoded`)
}

/** Rarely a prefix in front that is refused (LOCK) or means nothing (segment overrides but FS and GS, a REX not next to the opcode). */
function prefixed(r: Seeded, op: Opcode, bytes: Uint8Array): Uint8Array {
  const legacy = [0x66, 0x67, 0xf2, 0xf3, 0x64, 0x65].includes(bytes[0]!)
  const more = r.oneIn(80)
    ? 0xf0
    : !r.oneIn(24) || bytes.length > 12
      ? 0
      : legacy && r.oneIn(2)
        ? 0x40 + r.below(16)
        : r.pick([0x26, 0x2e, 0x36, 0x3e])
  if (more === 0 || bytes[0] === 0xf0) return bytes
  const longer = Uint8Array.of(more, ...bytes)
  const decoded = decode(longer)
  const keep = more === 0xf0 || decoded.code === op.code
  decoded.free()
  return keep ? longer : bytes
}

/** The instruction's bytes as they stand when they end at layout.codeEnd; null if there is no such encoding. */
function encode(instruction: Instruction): Uint8Array | null {
  let length = 8
  for (let pass = 0; pass < 3; pass++) {
    const encoder = new Encoder(64)
    try {
      const actual = encoder.encode(instruction, BigInt(codeEnd - length))
      if (actual === length) return encoder.takeBuffer()
      length = actual
    } catch {
      return null
    } finally {
      encoder.free()
    }
  }
  return null
}

/** One decoded instruction at the place where cases stand; the caller frees it. */
export function decode(bytes: Uint8Array): Instruction {
  const decoder = new Decoder(64, bytes, DecoderOptions.None)
  decoder.ip = BigInt(codeEnd - bytes.length)
  const instruction = decoder.decode()
  decoder.free()
  return instruction
}

/** `perCode` cases of every recorded opcode, in the order of iced-x86's codes. */
export function* drawAll(perCode: (op: Opcode) => number, salt: number): Generator<Drawn> {
  for (const op of opcodes().recorded) for (let n = 0; n < perCode(op); n++) yield draw(op, n, salt)
}

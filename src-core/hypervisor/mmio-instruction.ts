// The instructions with which software reaches memory-mapped chips, decoded from a guest's code bytes (SDM 2A 2.1, 2B MOV MOVZX MOVSX).
// MOV in all its memory forms, MOVZX, MOVSX, MOVSXD. What else touches a chip is undefined here: the VM stops and says so.

export interface MmioInstruction {
  readonly length: number
  /** Bytes at the chip. */
  readonly size: 1 | 2 | 4 | 8
  readonly write: boolean
  /** Register 0…15, with `high`: AH, CH, DH, BH; or the immediate of a write. */
  readonly register: number | undefined
  readonly high: boolean
  readonly immediate: bigint
  /** Bytes of the register that a read changes, and whether it sign-extends into them. */
  readonly width: 1 | 2 | 4 | 8
  readonly signed: boolean
}

const SEGMENTS = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65])

/** Bytes of ModRM, SIB and displacement from `at` on. */
function addressBytes(code: Uint8Array, at: number, addressSize: number): number {
  const modrm = code[at] ?? 0
  const mod = modrm >> 6
  const rm = modrm & 7
  if (mod === 3) return 1
  if (addressSize === 2) return 1 + (mod === 1 ? 1 : mod === 2 || rm === 6 ? 2 : 0)
  const sib = rm === 4
  const absolute = mod === 0 && (rm === 5 || (sib && ((code[at + 1] ?? 0) & 7) === 5))
  return 1 + (sib ? 1 : 0) + (mod === 1 ? 1 : mod === 2 || absolute ? 4 : 0)
}

/** `code`: bytes from RIP on, up to 15; `bits`: 16, 32 or 64 of the code segment. undefined: no MOV with memory. */
export function decodeMmio(code: Uint8Array, bits: 16 | 32 | 64): MmioInstruction | undefined {
  let at = 0
  let operand16 = bits === 16
  let address16 = bits === 16
  for (; ; at++) {
    const b = code[at]
    if (b === 0x66) operand16 = bits !== 16
    else if (b === 0x67) address16 = bits === 32
    else if (b === undefined || !SEGMENTS.has(b)) break
  }
  const address32 = code.subarray(0, at).includes(0x67)
  let rex = 0
  if (bits === 64 && (code[at]! & 0xf0) === 0x40) rex = code[at++]!
  const wide = rex & 8 ? 8 : operand16 ? 2 : 4
  const addressSize = bits === 64 ? (address32 ? 4 : 8) : address16 ? 2 : bits === 16 && !address32 ? 2 : 4
  const opcode = code[at++]
  const modrmLength = (from: number): number => addressBytes(code, from, addressSize)
  const registerAt = (from: number): number => ((code[from]! >> 3) & 7) | (rex & 4 ? 8 : 0)
  const isMemory = (from: number): boolean => code[from] !== undefined && code[from]! >> 6 !== 3
  /** AH … BH: numbers 4…7 of byte registers without REX. */
  const byte = (n: number): { register: number; high: boolean } => (rex === 0 && n >= 4 && n < 8 ? { register: n - 4, high: true } : { register: n, high: false })
  const done = (i: Omit<MmioInstruction, 'immediate' | 'high' | 'signed'> & Partial<MmioInstruction>): MmioInstruction | undefined =>
    i.length > code.length ? undefined : { immediate: 0n, high: false, signed: false, ...i }

  switch (opcode) {
    case 0x88: // MOV r/m8, r8
    case 0x8a: // MOV r8, r/m8
      if (!isMemory(at)) return undefined
      return done({ length: at + modrmLength(at), size: 1, width: 1, write: opcode === 0x88, ...byte(registerAt(at)) })
    case 0x89:
    case 0x8b:
      if (!isMemory(at)) return undefined
      return done({ length: at + modrmLength(at), size: wide, width: wide, write: opcode === 0x89, register: registerAt(at) })
    case 0xa0: // MOV AL, moffs8 … MOV moffs, rAX
    case 0xa1:
    case 0xa2:
    case 0xa3: {
      const size = opcode & 1 ? wide : 1
      return done({ length: at + addressSize, size, width: size, write: opcode >= 0xa2, register: 0 })
    }
    case 0xc6:
    case 0xc7: {
      if (!isMemory(at) || (code[at]! >> 3) & 7) return undefined
      const size = opcode === 0xc6 ? 1 : wide
      const from = at + modrmLength(at)
      const bytes = size === 8 ? 4 : size
      if (from + bytes > code.length) return undefined
      let value = 0n
      for (let n = bytes - 1; n >= 0; n--) value = (value << 8n) | BigInt(code[from + n]!)
      const immediate = BigInt.asUintN(size * 8, BigInt.asIntN(bytes * 8, value))
      return done({ length: from + bytes, size, width: size, write: true, register: undefined, immediate })
    }
    case 0x63: // MOVSXD
      if (bits !== 64 || !isMemory(at)) return undefined
      return done({ length: at + modrmLength(at), size: operand16 && !(rex & 8) ? 2 : 4, width: wide, write: false, register: registerAt(at), signed: true })
    case 0x0f: {
      const second = code[at++]
      if (second !== 0xb6 && second !== 0xb7 && second !== 0xbe && second !== 0xbf) return undefined
      if (!isMemory(at)) return undefined
      return done({ length: at + modrmLength(at), size: second & 1 ? 2 : 1, width: wide, write: false, register: registerAt(at), signed: second >= 0xbe })
    }
    default:
      return undefined
  }
}

/** The register's new value when `value` was read. */
export function readResult(i: MmioInstruction, old: bigint, value: bigint): bigint {
  const extended = i.signed ? BigInt.asUintN(i.width * 8, BigInt.asIntN(i.size * 8, value)) : BigInt.asUintN(i.size * 8, value)
  if (i.width >= 4) return extended
  const shift = i.high ? 8n : 0n
  const mask = i.width === 1 ? 0xffn : 0xffffn
  return (old & ~(mask << shift)) | (extended << shift)
}

/** What a write stores. */
export function writtenValue(i: MmioInstruction, register: bigint): bigint {
  if (i.register === undefined) return i.immediate
  return BigInt.asUintN(i.size * 8, i.high ? register >> 8n : register)
}

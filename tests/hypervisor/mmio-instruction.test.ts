// The MOV decoder against the assembler's encodings, and against bytes of every kind.

import { describe, expect, it } from 'vitest'
import { assemble } from '../../src-core/guests/assembler/assemble.ts'
import { decodeMmio, readResult, writtenValue } from '../../src-core/hypervisor/mmio-instruction.ts'

const decode = (text: string, bits: 16 | 32 | 64 = 64) => {
  const code = assemble(`${text}\n`, { origin: 0n, bits }).sections[0]!.bytes
  const padded = new Uint8Array(15).fill(0x90)
  padded.set(code)
  return { i: decodeMmio(padded, bits), length: code.length }
}
const OLD = 0x1122334455667788n

describe('reads', () => {
  it.each([
    ['mov eax, [rbx]', 0x80000001n, 4, 0x80000001n],
    ['mov rax, [rbx + 8]', 0x8000000100000002n, 8, 0x8000000100000002n],
    ['mov ax, [rbx + rcx * 4 + 12345678h]', 0xabcdn, 2, 0x112233445566abcdn],
    ['mov al, [abs 0FEE00080h]', 0xabn, 1, 0x11223344556677abn],
    ['mov ah, [rbx]', 0xabn, 1, 0x112233445566ab88n],
    ['mov r9b, [r12]', 0xabn, 1, 0x11223344556677abn],
    ['movzx eax, byte [rbx]', 0xabn, 1, 0xabn],
    ['movzx r8, word [r13]', 0xabcdn, 2, 0xabcdn],
    ['movsx eax, byte [rbx]', 0xabn, 1, 0xffffffabn],
    ['movsx rax, word [rsp + 8]', 0xabcdn, 2, 0xffffffffffffabcdn],
    ['movsxd rax, dword [rip + 16]', 0x80000000n, 4, 0xffffffff80000000n],
    ['mov eax, [fs:rbp]', 0x1n, 4, 0x1n],
    ['mov eax, [ebx]', 0x7n, 4, 0x7n],
  ])('%s', (text, value, size, result) => {
    const { i, length } = decode(text)
    expect(i).toMatchObject({ length, size, write: false })
    expect(readResult(i!, OLD, value)).toBe(result)
  })

  it.each([['mov eax, [ebx + 4]', 32], ['mov ax, [bx + si + 1234h]', 16], ['mov eax, [bp]', 16], ['mov al, [ebx]', 16], ['mov ax, [bx]', 32]] as const)('%s in %i bits', (text, bits) => {
    const { i, length } = decode(text, bits)
    expect(i).toMatchObject({ length, write: false })
  })
})

describe('writes', () => {
  it.each([
    ['mov [rbx], eax', 4, 0x55667788n],
    ['mov [rbx + 1000h], rax', 8, OLD],
    ['mov [rbx], ax', 2, 0x7788n],
    ['mov [rbx], al', 1, 0x88n],
    ['mov [rbx], ah', 1, 0x77n],
    ['mov [rbx], sil', 1, 0x88n],
    ['mov byte [rbx], 12h', 1, 0x12n],
    ['mov word [rbx], 1234h', 2, 0x1234n],
    ['mov dword [r9 + 80h], 12345678h', 4, 0x12345678n],
    ['mov qword [rbx + rcx], -2', 8, 0xfffffffffffffffen],
    ['mov qword [r12 + 8], 7FFFFFFFh', 8, 0x7fffffffn],
  ])('%s', (text, size, stored) => {
    const { i, length } = decode(text)
    expect(i).toMatchObject({ length, size, write: true })
    expect(writtenValue(i!, OLD)).toBe(stored)
  })
})

describe('everything else', () => {
  it.each(['mov eax, ebx', 'add [rbx], eax', 'xchg [rbx], eax', 'movsd', 'push qword [rbx]', 'lea eax, [rbx]', 'nop'])('is not taken for one: %s', (text) => {
    expect(decode(text).i).toBeUndefined()
  })

  it('never throws, and never claims more bytes than there are', () => {
    let seed = 1
    const next = (): number => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) >>> 24
    const openings = [0x66, 0x67, 0x48, 0x44, 0x88, 0x89, 0x8a, 0x8b, 0xa0, 0xa3, 0xc6, 0xc7, 0x0f, 0xb6, 0xbf, 0x63]
    let taken = 0
    for (let n = 0; n < 50_000; n++) {
      const code = Uint8Array.from({ length: next() % 16 }, (_, k) => (k < 3 && next() & 1 ? openings[next() & 15]! : next()))
      for (const bits of [16, 32, 64] as const) {
        const i = decodeMmio(code, bits)
        if (!i) continue
        taken++
        expect(i.length).toBeLessThanOrEqual(code.length)
        if (!i.write) expect(i.register).toBeDefined()
      }
    }
    expect(taken).toBeGreaterThan(1000)
  })
})

// The text assembler: directives, sizes, messages, images. Expected bytes are worked out from SDM volume 2, or are NASM's.
import { describe, expect, it } from 'vitest'
import { assemble, AssemblyError, lineAt, type AssembleOptions } from '../../src-core/guests/assembler/assemble.ts'

const hex = (text: string, options: AssembleOptions = {}): string => Buffer.from(assemble(text, options).flat()).toString('hex')

function fault(text: string, options: AssembleOptions = {}): AssemblyError {
  try {
    assemble(text, options)
  } catch (error) {
    if (error instanceof AssemblyError) return error
    throw error
  }
  throw new Error(`assembled: ${text}`)
}

describe('instructions', () => {
  it.each([
    ['add rax, 1', '4883c001'],
    ['add rax, 1000', '4805e8030000'],
    ['mov rax, 5', 'b805000000'],
    ['mov rax, -1', '48c7c0ffffffff'],
    ['mov rax, 0x123456789abcdef0', '48b8f0debc9a78563412'],
    ['mov ds, ax', '8ed8'],
    ['mov al, [rax-1]', '8a40ff'],
    ['mov eax, [gs:0x28]', '658b042528000000'],
    ['fs mov eax, [rax]', '648b00'],
    ['mov eax, fs:[rax]', '648b00'],
    ['lea rax, [rbx*3]', '488d045b'],
    ['mov eax, [rcx+rsp]', '8b040c'],
    ['rep movsb', 'f3a4'],
    ['repne scasb', 'f2ae'],
    ['lock cmpxchg [rdi], rcx', 'f0480fb10f'],
    ['shl eax, 1', 'd1e0'],
    ['imul eax, 5', '6bc005'],
    ['test eax, [rdi]', '8507'],
    ['faddp', 'dec1'],
    ['fadd st1', 'd8c1'],
    ['fadd to st1', 'dcc1'],
    ['cmpltsd xmm1, xmm2', 'f20fc2ca01'],
    ['vmread [rax], rbx', '0f7818'],
    ['vmlaunch', '0f01c2'],
    ['invept rax, [rdi]', '660f388007'],
    ['mov cr3, rax', '0f22d8'],
    ['vaddps zmm1{k1}{z}, zmm2, dword [rax]{1to16}', '62f16cd95808'],
    ['iretq', '48cf'],
    ['retfq', '48cb'],
    ['pushf', '9c'],
    ['jz $', '74fe'],
    ['jmp near $', 'e9fbffffff'],
    ['call $+5', 'e800000000'],
    ['push 5', '6a05'],
    ['push 500', '68f4010000'],
    ['xchg rax, rcx', '4891'],
    ['xchg eax, eax', '87c0'],
    ['int3', 'cc'],
    ['int 3', 'cd03'],
  ])('%s', (text, bytes) => expect(hex(text)).toBe(bytes))

  it.each([
    ['jmp 0x08:0x1234', 32, 'ea341200000800'],
    ['jmp dword 0x08:0x1234', 16, '66ea341200000800'],
    ['mov ax, [bx+si+3]', 16, '8b4003'],
    ['mov eax, [0x1234]', 32, 'a134120000'],
    ['push eax', 16, '6650'],
    ['push 500', 16, '68f401'],
    ['push dword 500', 16, '6668f4010000'],
    ['push word 500', 32, '6668f401'],
    ['o32 lgdt [si]', 16, '660f0114'],
    ['iret', 32, 'cf'],
  ] as const)('%s in %i-bit code', (text, bits, bytes) => expect(hex(text, { bits })).toBe(bytes))

  it('takes the shortest branch that reaches, and grows it when it does not', () => {
    expect(assemble('x: times 126 nop\n jmp x').flat().length).toBe(128)
    expect(assemble('x: times 127 nop\n jmp x').flat().length).toBe(132)
    expect(assemble('jz x\n times 127 nop\nx:').flat().length).toBe(129)
    expect(assemble('jz x\n times 128 nop\nx:').flat().length).toBe(134)
    // each branch is in reach only while the other is short
    const chain = 'a: jmp c\n times 122 nop\nb: jmp a\n nop\n nop\nc: nop'
    expect(assemble(chain).flat()[0]).toBe(0xeb)
  })

  it('repeats branches by times, all of one size', () => {
    expect(hex('x: times 3 jmp x')).toBe('ebfeebfcebfa')
    expect(hex('times 2 jmp $')).toBe('ebfeebfe')
    expect(assemble('x: times 100 jmp x').flat().length).toBe(500)
  })

  it('addresses labels relative to RIP unless told otherwise', () => {
    expect(hex('mov eax, [x]\nx: dd 1', { origin: 0x1000n })).toBe('8b050000000001000000')
    expect(hex('mov eax, [abs x]\nx: dd 1', { origin: 0x1000n })).toBe('8b04250710000001000000')
    expect(hex('default abs\nmov eax, [x]\nx: dd 1', { origin: 0x1000n })).toBe('8b04250710000001000000')
    expect(hex('mov eax, [rbx+x]\nx: dd 1', { origin: 0x1000n })).toBe('8b830610000001000000')
  })
})

describe('directives', () => {
  it('lays data out', () => {
    expect(hex('db 1, "ab", `\\n\\x41`, -1')).toBe('0161620a41ff')
    expect(hex('dw "abc", 0x1234\ndd 1 << 8 | 3\ndq -2')).toBe('61626300341203010000feffffffffffffff')
    expect(hex('db 1\nalign 4, 0xcc\ndb 2')).toBe('01cccccc02')
    expect(hex('section .data\ndb 1\nalign 4\ndb 2')).toBe('0100000002')
    expect(hex('times 3 db 7\nx equ ($-$$) * 2\ndb x, y - x\ny equ 10')).toBe('07070706'.slice(0, 6) + '0604')
    expect(hex('times 510-($-$$) db 0\ndw 0xaa55').length).toBe(1024)
  })

  it('knows numbers, characters and precedence', () => {
    expect(hex("db 0x1F, 1Fh, 101b, 0b11, 0o17, 1_0, 'A', 2+3*4, (2+3)*4, ~0 & 0xf, -7/2 & 0xff, 7 % 4, 1<<3>>1, 6^5|8")).toBe(
      '1f1f05030f0a410e140ffd03040b',
    )
  })

  it('keeps local labels to their label', () => {
    const program = assemble('a: nop\n.x: nop\nb: nop\n.x: jmp .x\n jmp a.x', { origin: 0x100n })
    expect(program.symbols.get('a.x')).toEqual({ value: 0x101n, address: true })
    expect(program.symbols.get('b.x')).toEqual({ value: 0x103n, address: true })
    expect(Buffer.from(program.flat()).toString('hex')).toBe('909090ebfeebfa')
  })

  it('expands macros with arguments and labels of their own', () => {
    const text = '%macro twice 2\n%%again: add %1, %2\n jmp %%again\n%endmacro\ntwice al, 1\ntwice bl, {2}\n%rep 3\ndb %0\n%endrep'
    expect(hex(text)).toBe('0401ebfc' + '80c302ebfb' + '000102')
  })

  it('places sections one after another, those without bytes last, and knows their lines', () => {
    const program = assemble(
      [
        { name: 'one.asm', text: 'org 0x1000\nsection .text\nnop\nsection .bss\nroom: resb 100\nsection .data align=32\nvalue: dd room' },
        { name: 'two.asm', text: 'section .text\n  hlt' },
      ],
      {},
    )
    expect(program.sections.map((s) => [s.name, s.address, s.size, s.bytes.length])).toEqual([
      ['.text', 0x1000n, 2, 2],
      ['.data', 0x1020n, 4, 4],
      ['.bss', 0x1030n, 100, 0],
    ])
    expect(lineAt(program.lines, 0x1001n)).toMatchObject({ file: 'two.asm', line: 2 })
    expect(lineAt(program.lines, 0x1023n)).toMatchObject({ file: 'one.asm', line: 7 })
    expect(lineAt(program.lines, 0x1024n)).toBeUndefined()
    expect(program.flat().length).toBe(0x24)
  })
})

describe('messages', () => {
  it.each([
    ['moov eax, 1', 1, 1, /no instruction or directive 'moov'/, /mov/],
    ['nop\n  mov [rax], 5', 2, 7, /size of this memory operand/, /byte or word or dword or qword/],
    ['mov al, 300', 1, 9, /value \(300\) does not fit/, /wider/],
    ['mov rax, cl', 1, 1, /does not take these operands/, /r64, r\/m64/],
    ['jmp nowhere', 1, 5, /'nowhere' is not defined/, /spelled/],
    ['jmp short x\ntimes 200 nop\nx:', 1, 1, /out of reach/, /short/],
    ['loop x\ntimes 200 nop\nx:', 1, 1, /out of reach/, /near jmp/],
    ['mov eax, [rax+rbx+rcx]', 1, 19, /at most two registers/, /base/],
    ['mov eax, [rax*7]', 1, 11, /scale 7/, /1, 2, 4 or 8/],
    ['db "open', 1, 4, /no closing quote/, /"/],
    ['x: nop\nx: nop', 2, 1, /defined twice/, /program.asm:1/],
    ['bits 32\nmov rax, 1', 2, 5, /only in 64-bit code/, /bits 64/],
    ['bits 64\npusha', 2, 1, /does not exist in 64-bit code/, /16, 32/],
    ['lock mov eax, ebx', 1, 1, /lock cannot be used/, /read-modify-write/],
    ['rep add eax, 1', 1, 1, /rep cannot be used/, /movs/],
    ['mov ah, r8b', 1, 1, /cannot be encoded/, /./],
    ['%macro m 1\nmov %1, 5\n%endmacro\nm [rax]', 4, 1, /size of this memory operand/, /byte/],
    ['%macro m 1\n%endmacro\nm 1, 2', 3, 1, /takes 1 argument, 2 given/, undefined],
    ['%macro m 0\nm\n%endmacro\nm', 4, 1, /nested/, /itself/],
    ['%macro m 0\nnop', 1, 1, /no %endmacro/, /%endmacro/],
    ['a equ b\nb equ a', 1, 7, /by way of itself/, undefined],
    ['times -1 nop', 1, 1, /negative/, /pass the place/],
    ['section .bss\ndb 1', 2, 1, /holds no bytes/, /resb/],
    ['x: times 5-(y-x) db 0\ny:', 1, 1, /never settle|negative/, /./],
    ['add eax, 1 / 0', 1, 12, /division by zero/, undefined],
    ['dd 0x123456789', 1, 4, /does not fit in 32 bits/, /wider/],
    ['mov 5, eax', 1, 1, /does not take these operands/, /./],
  ])('%j', (text, line, column, problem, hint) => {
    const error = fault(text)
    expect(error.problem).toMatch(problem)
    expect([error.line, error.column]).toEqual([line, column])
    if (hint) expect(error.hint).toMatch(hint)
    expect(error.message).toContain(`program.asm:${line}:${column}: `)
  })

  it('lists several faults at once, in order', () => {
    expect(fault('foo eax\nnop\nbar ebx\nmov eax, (').diagnostics.map((d) => d.line)).toEqual([1, 3, 4])
  })
})

describe('ELF', () => {
  const text =
    'org 0x100000\nsection .note\ndd 4, 8, 18\ndb "Xen", 0\ndq start\nsection .text\nentry start\nnop\nstart: hlt\nsection .bss\nresb 16'
  it.each([32, 64] as const)('%i-bit image: segments at their addresses, note, entry, symbols', (bits) => {
    const program = assemble(text, { bits: 32 })
    const image = program.elf(bits)
    const view = new DataView(image.buffer)
    const wide = bits === 64
    expect([...image.subarray(0, 6)]).toEqual([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1])
    expect(view.getUint32(24, true)).toBe(Number(program.entry))
    const count = view.getUint16(wide ? 56 : 44, true)
    const segments = Array.from({ length: count }, (_, n) => {
      const at = (wide ? 64 : 52) + n * (wide ? 56 : 32)
      const word = (w: number, x: number): number => (wide ? Number(view.getBigUint64(at + x, true)) : view.getUint32(at + w, true))
      return { type: view.getUint32(at, true), offset: word(4, 8), address: word(12, 24), file: word(16, 32), memory: word(20, 40) }
    })
    expect(segments.map((s) => s.type)).toEqual([1, 1, 1, 4])
    for (const s of segments) {
      const section = program.sections.find((x) => Number(x.address) === s.address)
      expect(Buffer.from(image.subarray(s.offset, s.offset + s.file))).toEqual(Buffer.from(section?.bytes ?? []))
      expect(s.memory).toBe(section?.size)
      if (s.file && s.type === 1) expect(s.offset % 4096).toBe(s.address % 4096)
    }
    expect(Buffer.from(image).includes('start')).toBe(true)
  })
})

// Any text ends in a program or in an AssemblyError: pieces of valid lines, shuffled by a fixed generator.
describe('fuzz', () => {
  const pieces =
    'mov add lea jmp call rep lock times align db dq equ section .text .bss %macro %endmacro %rep %endrep m n eax rax cl st0 st( xmm1 k1 {k1} {z} {1to8} [ ] ( ) + - * / % << >> ~ ! , : $ $$ 0x 0x10 1b 99999999999999999999 -1 "a" \' ` ; \n \n \n label label: .x .x: byte word qword far short near rel abs fs: [rax] [eax*4+8] [label] org bits 16 32 64 default entry global \u00e9 \0 \t %1 %%x %0 resb vmovaps zmm31 cr0 1 2 %d'.split(
      ' ',
    )
  it('never throws anything but an AssemblyError', () => {
    let state = 12345
    const next = (n: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0
      return Math.floor((state / 2 ** 32) * n)
    }
    let faults = 0
    for (let round = 0; round < 6000; round++) {
      let text = ''
      for (let n = next(24) + 1; n > 0; n--) text += pieces[next(pieces.length)] + (next(4) ? ' ' : '')
      try {
        const program = assemble(text, { bits: ([16, 32, 64] as const)[next(3)] as 16 | 32 | 64 })
        program.flat()
        program.elf(64)
      } catch (error) {
        if (!(error instanceof AssemblyError)) throw new Error(`on ${JSON.stringify(text)}: ${(error as Error).stack}`, { cause: error })
        faults++
      }
    }
    expect(faults).toBeGreaterThan(3000)
  })

  it('ends quickly on texts made to grow', () => {
    for (const text of [
      `${'('.repeat(50000)}1`,
      `db ${'('.repeat(50000)}1`,
      `db ${'-'.repeat(50000)}1`,
      `db ${'1+'.repeat(50000)}1`,
      `mov eax, [${'rax+'.repeat(20000)}1]`,
      'times 1000000000000 db 0',
      'times 100000 times 100000 nop',
      'align 1 << 60',
      'resb -1',
      '%macro a 0\nb\nb\n%endmacro\n%macro b 0\na\na\n%endmacro\na',
      '%rep 9999\n%rep 9999\nnop\n%endrep\n%endrep',
      Array.from({ length: 3000 }, (_, n) => `e${n} equ e${n + 1} + e${n + 1}`).join('\n') + '\ne3000 equ 1\ndb e0',
      `${'nop:'.repeat(20000)}`,
    ])
      expect(fault(text)).toBeInstanceOf(AssemblyError)
  })
})

// Rows of MMX and SSE … SSE4.2 against hashes recorded on hardware (AMD EPYC, family 19H): registers, memory, RFLAGS, MXCSR, exceptions.
// sse-vectors.json holds RECORDED 32-bit hashes per form; sse-cases.ts makes the inputs again.

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { updateSseNative } from '../../src-core/cpu/sse/mxcsr.ts'
import { offsets } from '../../src-core/isa/state.ts'
import { cases, forms, hash, RECORDED, rows, type SseForm } from './sse-cases.ts'
import { MEMORY, RowMachine } from './sse-row.ts'

const recorded = JSON.parse(readFileSync(new URL('sse-vectors.json', import.meta.url), 'utf8')) as Record<string, string>
const machine = new RowMachine()

function failures(form: SseForm): string[] {
  const expected = new Uint32Array(new Uint8Array(Buffer.from(recorded[form.key] ?? '', 'base64')).buffer)
  if (expected.length !== RECORDED) return [`${form.key}: not recorded`]
  const loaded = machine.compile(form.row, form.memory, form.size)
  const out: string[] = []
  let i = 0
  for (const c of cases(form, RECORDED)) {
    // the immediate as the interpreter has it, loaded, and as a compiled region has it, constant
    const runs = form.row.operands.includes('imm8') ? [loaded, machine.compile(form.row, form.memory, form.size, c.immediate)] : [loaded]
    for (const run of runs) {
      const after = machine.execute(run, c)
      if (hash(after) !== expected[i]) out.push(`${form.key} case ${i}: ${after.map((w) => (w >>> 0).toString(16)).join(' ')}`)
    }
    i++
  }
  return out
}

describe('rows against recorded hardware', () => {
  for (const feature of new Set(forms.map((f) => f.row.attributes.feature!))) {
    const list = forms.filter((f) => f.row.attributes.feature === feature)
    it(`${feature}: ${list.length} forms`, () => {
      expect(list.flatMap(failures)).toEqual([])
    })
  }
  it('sees a row that is wrong', () => {
    const wrong = forms.find((f) => f.row.mnemonic === 'PADDB')!
    const other = rows.find((r) => r.mnemonic === 'PADDUSB' && r.operands === wrong.row.operands)!
    expect(failures({ ...wrong, row: other }).length).toBeGreaterThan(0)
  })
})

describe('native and soft arithmetic', () => {
  const arithmetic = forms.filter((f) => /^(ADD|SUB|MUL|DIV|MIN|MAX|SQRT|HADD|HSUB|DPP|CMP[PS]|U?COMI|ROUND|CVT)/.test(f.row.mnemonic))
  it('agree wherever native is allowed, and native is what runs on ordinary numbers', () => {
    expect(arithmetic.length).toBeGreaterThan(100)
    let soft = 0
    let native = 0
    for (const form of arithmetic) {
      const run = machine.compile(form.row, form.memory, form.size)
      const onlySoft = (): number => {
        machine.state.sseNative = 0
        return run()
      }
      for (const c of cases(form, 40, 9)) {
        const masked = { ...c, mxcsr: 0x1fa0 | (c.mxcsr & 0x8040) }
        const before = machine.slowCalls
        const a = machine.execute(run, masked)
        native += machine.slowCalls === before ? 1 : 0
        const b = machine.execute(onlySoft, masked)
        soft += machine.slowCalls > before ? 1 : 0
        expect(a, form.key).toEqual(b)
      }
    }
    expect(native).toBeGreaterThan(soft / 5)
  })
})

describe('x87 state (SDM vol. 1, 9.5.1)', () => {
  const run = (mnemonic: string, operands: string): void => {
    const row = rows.find((r) => r.mnemonic === mnemonic && r.operands === operands)!
    machine.state.fsw = 0x7fff
    machine.state.ftw = 0x12
    machine.compile(row, /\bm\d/.test(operands) && !/mm/.test(operands.split(', ')[0]!), 32)()
  }
  it.each([
    ['PADDB', '+mm, mm/m64'],
    ['MOVD', '=r/m32, mm'],
    ['MOVNTQ', '=m64, mm'],
    ['CVTPI2PS', '=xmm:i64, mm/m64'],
    ['CVTPI2PD', '=xmm, mm.rm'],
    ['MOVDQ2Q', '=mm, xmm.rm:i64'],
  ])('%s %s: TOP 0, all tags valid', (mnemonic, operands) => {
    run(mnemonic, operands)
    expect([machine.state.fsw, machine.state.ftw]).toEqual([0x47ff, 0xff])
  })
  it('CVTPI2PD from memory leaves it alone', () => {
    run('CVTPI2PD', '=xmm, m64')
    expect([machine.state.fsw, machine.state.ftw]).toEqual([0x7fff, 0x12])
  })
  it('EMMS empties the tags and sets TOP to 0 (SDM vol. 3A, table 12-2)', () => {
    run('EMMS', '')
    expect([machine.state.fsw, machine.state.ftw]).toEqual([0x47ff, 0])
  })
})

describe('approximations (SDM vol. 2B, RCPPS, RSQRTPS)', () => {
  const f = new Float32Array(machine.memory.buffer)
  const u = new Uint32Array(machine.memory.buffer)
  const at = MEMORY / 4
  const approximate = (mnemonic: string): ((x: number[], bits?: boolean) => number[]) => {
    const run = machine.compile(
      rows.find((r) => r.mnemonic === mnemonic)!,
      true,
      32,
    )
    return (x, bits) => {
      ;(bits ? u : f).set(x, at)
      expect(run()).toBe(0)
      const r = (offsets.xmm + 16) / 4
      return [...(bits ? u : f).subarray(r, r + 4)]
    }
  }
  it('stay within 1.5 · 2^-12', () => {
    const rcp = approximate('RCPPS')
    const rsqrt = approximate('RSQRTPS')
    for (let i = 0; i < 4000; i++) {
      const x = [1, 3, 5, 7].map((k) => Math.fround((1 + ((i * 7919 + k * 104729) % 65536) / 65536) * 2 ** (((i * k) % 240) - 120)))
      rcp(x).forEach((r, l) => expect(Math.abs(r * x[l]! - 1)).toBeLessThanOrEqual(1.5 * 2 ** -12))
      rsqrt(x).forEach((r, l) => expect(Math.abs(r * Math.sqrt(x[l]!) - 1)).toBeLessThanOrEqual(1.5 * 2 ** -12))
    }
  })
  it('give the special values of the manual and raise nothing', () => {
    machine.state.mxcsr = 0
    updateSseNative(machine.state)
    // ±0 and denormals to infinity, infinity to zero, SNaN made quiet, a tiny result to zero
    expect(approximate('RCPPS')([0x80000000, 0x7fffff, 0xff800000, 0x7f800001], true)).toEqual([
      0xff800000, 0x7f800000, 0x80000000, 0x7fc00001,
    ])
    expect(approximate('RCPPS')([0x7f000001, 0xff7fffff, 0x7e800000, 0xffc12345], true)).toEqual([0, 0x80000000, 0x800000, 0xffc12345])
    expect(approximate('RSQRTPS')([0xbf800000, 0x80000000, 0x80000001, 0xff800000], true)).toEqual([
      0xffc00000, 0xff800000, 0xff800000, 0xffc00000,
    ])
    expect(machine.state.mxcsr).toBe(0)
  })
})

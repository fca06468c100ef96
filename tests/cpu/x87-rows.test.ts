// The x87 rows: encodings against iced-x86, and each row's call against the recorded forms.

import * as iced from 'iced-x86'
import { describe, expect, it } from 'vitest'
import { x87 } from '../../src-core/isa/x87.ts'
import { stateImage } from '../../src-core/isa/state-image.ts'
import { x87Calls } from '../../src-core/isa/x87-calls.ts'
import type { Row } from '../../src-core/isa/row.ts'
import { forms } from './x87-forms.ts'

/** A context that notes calls, gives ones as results and computes with small numbers. */
function probe(row: Row, i: number): { calls: [string, unknown[]][]; available: string[]; result: unknown } {
  const calls: [string, unknown[]][] = []
  const available: string[] = []
  const e = {
    call: (name: keyof typeof x87Calls, ...args: unknown[]) => {
      calls.push([name, args])
      const out: readonly string[] = x87Calls[name].out
      return out.length > 1 ? out.map(() => 0x10001) : out.length ? 0x10001 : undefined
    },
    available: (family: string) => void available.push(family),
    assist: (name: string) => void calls.push([`assist ${name}`, []]),
    low: (v: number, bits: number) => (bits >= 32 ? v : v & ((1 << bits) - 1)),
    zx: (v: number) => v, sx: (v: number) => (v << 16) >> 16, bit: (v: number, n: number) => (v >> n) & 1,
    cond: (c: string) => (['b', 'be', 'ne', 'np'].includes(c) ? 1 : 0), carry: () => 1, select: (c: number, a: number, b: number) => (c ? a : b), flags: () => undefined, no: 0, yes: 1,
  }
  row.attributes.before?.(e as never)
  const operands = row.operands === '' ? [] : row.operands.split(', ')
  const values = operands.filter((o) => !/^[=@]/.test(o)).map((o) => (o === '<STi>' ? i : /m80/.test(o) ? [7, 9] : 0xfffe))
  const result = row.meaning(e as never, ...(values as never[]))
  return { calls, available, result }
}
const codeOf = (row: Row): [number, number] => {
  const [op, second] = row.encoding.split(' ')
  const modrm = second === undefined ? 0 : second.startsWith('/') ? Number(second[1]) * 8 + 7 : parseInt(second.slice(0, 2), 16)
  return [parseInt(op!, 16), modrm]
}

describe('x87 rows', () => {
  it('are exactly what iced-x86 lists, but for 287, SL and Cyrix extensions', () => {
    const listed = new Set<string>()
    for (const code of Object.values(iced.Code)) {
      if (typeof code !== 'number') continue
      const info = new iced.Instruction()
      info.code = code
      const features = [...info.cpuidFeatures()].map((f) => iced.CpuidFeature[f])
      if (!features.some((f) => /^FPU|^FXSR$|^XSAVE$|^XSAVEOPT$/.test(f!)) || features.some((f) => /287XL|387SL|CYRIX/.test(f!))) continue
      const text = info.opCode.opCodeString
      // 9B before an instruction is FWAIT by itself; XGETBV and XSETBV are system rows
      if (!/^9B ./.test(text) && !/0F 01/.test(text)) listed.add(text.replace(/\bo(16|32|64) /, ''))
      info.free()
    }
    const ours = [...x87, ...stateImage].filter((r) => !/MXCSR/.test(r.mnemonic)).map((r) => r.encoding).filter((t) => t !== '9B')
    expect(new Set(ours).size).toBe(ours.length)
    expect([...ours].sort()).toEqual([...listed].sort())
  })

  it('make the calls the recorder was compared with', () => {
    const byCode = new Map(forms.map((f) => [f.code.join(), f]))
    let compared = 0
    for (const row of x87) {
      const form = byCode.get(codeOf(row).join())
      const { calls, result } = probe(row, 3)
      expect(calls.length, row.encoding).toBe(1)
      if (!form) continue
      compared++
      const [name, args] = calls[0]!
      expect(name, `${row.mnemonic} ${row.encoding}`).toBe(form.call)
      if (form.i) expect(args[0], row.encoding).toBe(3)
      if (form.load) expect(args, row.encoding).toEqual(form.load === 10 ? [7, 9] : form.load === 2 && name !== 'fldcw' ? [-2] : [0xfffe])
      if (form.condition) expect(args[1], row.encoding).toBe(form.condition(1) ? 1 : 0)
      if (form.store && !/fnst/.test(name)) {
        expect((result as { when: number }).when, row.encoding).toBe(1)
        expect(row.operands, row.encoding).toBe(`~m${form.store * 8}`)
      }
    }
    expect(compared).toBe(forms.length)
    const used = new Set([...x87, ...stateImage].flatMap((r) => probe(r, 0).calls.map(([n]) => n)))
    expect(Object.keys(x87Calls).filter((n) => !used.has(n))).toEqual([])
  })

  it('wait for pending errors, control instructions that do not excepted', () => {
    for (const row of x87) {
      const want = row.mnemonic === 'FWAIT' ? [] : [/^FN(INIT|CLEX|ENI|DISI|SETPM|STCW|STSW)$/.test(row.mnemonic) ? 'x87NoWait' : 'x87']
      expect(probe(row, 0).available, row.mnemonic).toEqual(want)
      const control = /^FN(INIT|CLEX|ENI|DISI|SETPM|STCW|STSW)$|^FLDCW$|^FWAIT$/.test(row.mnemonic)
      expect(row.attributes.pointers === true, row.mnemonic).toBe(!control)
    }
  })
})

// The oracle checks itself: the reader and writer, the comparison's teeth, and, where there is hardware to ask,
// the recorder against itself and against the committed vectors.
import { createHash, randomInt } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { compare, differences, explain, reportText, type Executor } from './compare.ts'
import { draw, drawAll } from './cases.ts'
import { decodeVectors, encodeVectors, type Vector } from './format.ts'
import { memoryAfter, memoryBefore, record, unavailable } from './hardware.ts'
import { copyState, flagBits, layout, type Case, type Outcome } from './machine.ts'
import { opcodes } from './opcodes.ts'
import { canBeMemory, canBeRegister } from './operands.ts'
import { casesOf, committed, families, recordVectors } from './record.ts'
import { background, flavors, seededState } from './seeded.ts'

const files = new Map(families.map((f) => [f, committed(f)]))
const all = [...files.values()].flatMap((f) => f.vectors)
const copy = (o: Outcome): Outcome => ({
  ...o,
  state: copyState(o.state),
  changes: o.changes.map((p) => ({ ...p, bytes: p.bytes.slice() })),
})
const outcomeOf = new Map(all.map((v) => [v.case, v.outcome]))
const replay = (change: (o: Outcome, c: Case) => void): Executor => ({
  run(c) {
    const o = copy(outcomeOf.get(c)!)
    change(o, c)
    return o
  },
})

describe('committed vectors', () => {
  it('cover every recorded opcode with at least 24 cases, in both forms', () => {
    const counts = new Map<string, number>()
    for (const v of all) counts.set(v.case.code, (counts.get(v.case.code) ?? 0) + 1)
    const { recorded } = opcodes()
    expect([...counts.keys()].sort()).toEqual(recorded.map((o) => o.name).sort())
    for (const [code, n] of counts) expect(n, code).toBeGreaterThanOrEqual(24)
    const either = recorded.filter((o) => canBeMemory(o) && canBeRegister(o))
    expect(either.length).toBeGreaterThan(500)
    for (const o of either.slice(0, 20)) {
      const forms = new Set([0, 1].map((n) => draw(o, n, 3).at !== undefined))
      expect([...forms].sort(), o.name).toEqual([false, true])
    }
  })

  it('contain every exception an instruction can raise by itself in user mode', () => {
    const vectors = new Set(all.map((v) => v.outcome.vector))
    expect([...vectors].filter((v) => v !== null).sort((a, b) => a - b)).toEqual([0, 6, 12, 13, 14, 16, 17, 19])
  })

  it('touch nothing but the data pages and never run from outside the code page', () => {
    for (const v of all) {
      const inside = [...v.case.patches, ...v.outcome.changes].every((p) => p.offset + p.bytes.length <= layout.dataSize)
      if (!inside || v.case.bytes.length > 15) expect.fail(`${v.case.code} ${Buffer.from(v.case.bytes).toString('hex')}`)
    }
  })

  it('leave state and memory alone on faults, except by documented partial work', () => {
    for (const v of all) {
      if (v.outcome.vector === null || v.case.repeat) continue
      const before: Outcome = { ...v.outcome, state: copyState(v.case.state), changes: [] }
      const found = differences(v, before).filter((d) => !(v.outcome.vector === 19 && d.what === 'MXCSR'))
      expect(found, v.case.code).toEqual([])
    }
  })

  it('survive writing and reading', () => {
    for (const file of [files.get('sse3')!, { source: 'some', vectors: all.filter((_, n) => n % 40 === 0) }]) {
      expect(decodeVectors(encodeVectors(file))).toEqual(file)
    }
  })

  it('are refused with a reason when damaged', () => {
    const good = encodeVectors({ source: 'x', vectors: all.slice(0, 4) })
    expect(() => decodeVectors(new Uint8Array(3))).toThrow('not a vector file')
    expect(() => decodeVectors(Uint8Array.from(good, (b, i) => (i === 4 ? 99 : b)))).toThrow('version 99')
    expect(() => decodeVectors(good.slice(0, good.length - 20))).toThrow()
  })
})

describe('generator', () => {
  it('yields the same states for the same seeds as when the vectors were recorded', () => {
    const hash = createHash('sha256').update(background)
    for (const flavor of flavors) {
      for (let seed = 0; seed < 40; seed++) {
        const s = seededState(Math.imul(seed, 0x9e3779b1) >>> 0, flavor)
        hash.update(new Uint8Array(s.gpr.buffer)).update(s.xmm).update(s.st).update([s.rflags, s.mxcsr, s.fcw, s.fsw, s.ftw].join())
      }
    }
    expect(hash.digest('hex').slice(0, 16)).toBe('88ecad9bff7baec7')
  })

  it('is deterministic and never repeats an instruction with the same inputs', () => {
    const once = [...drawAll(() => 2, 77)].map((d) => d.case)
    expect([...drawAll(() => 2, 77)].map((d) => d.case)).toEqual(once)
    const operands = opcodes()
      .recorded.filter((o) => o.info.opCount > 0)
      .slice(0, 50)
    for (const o of operands) expect(new Set(Array.from({ length: 12 }, (_, n) => draw(o, n, 5).seed)).size).toBe(12)
  })
})

describe('comparison', () => {
  it('accepts the recorded outcomes', () => {
    const report = compare(
      all,
      replay(() => {}),
    )
    expect(reportText(report)).toBe(`${all.length} cases of ${report.codes.size} codes, 0 mismatches in 0 codes`)
  })

  const wrong: [string, (o: Outcome, c: Case) => void, string][] = [
    ['a register', (o) => void (o.state.gpr[9]! ^= 1n), 'R9'],
    ['RIP', (o) => void (o.state.rip += 1n), 'RIP'],
    ['a defined flag', (o) => void (o.state.rflags ^= flagBits.DF), 'RFLAGS (DF)'],
    ['MXCSR', (o) => void (o.state.mxcsr ^= 0x20), 'MXCSR'],
    ['TOP', (o) => void (o.state.fsw ^= 0x800), 'FSW'],
    ['a vector register', (o) => void (o.state.xmm[255]! ^= 0x80), 'XMM15'],
    ['an x87 register', (o) => void (o.state.st[79]! ^= 0x40), 'ST7'],
    // prettier-ignore
    ['memory', (o, c) => void o.changes.push({ offset: 4095, bytes: memoryAfter(memoryBefore(c), o.changes).slice(4095, 4096).map(b => b ^ 1) }), 'memory 10000fff'],
    ['an exception', (o) => void (o.vector = o.vector === 6 ? null : 6), 'outcome'],
  ]
  const sample = all.filter((v, n) => n % 97 === 0 && v.masks.ignored.length === 0 && !/^R(cp|sqrt)/.test(v.case.code))
  it.each(wrong)('sees %s that is wrong, in every case', (_, change, name) => {
    const report = compare(sample, replay(change))
    expect(report.mismatches).toBe(sample.length)
    for (const r of report.codes.values()) expect(r.first).toContain(`≠ ${name}`)
  })

  it('does not look at undefined flags, and only at those', () => {
    const v = all.find((x) => x.case.code === 'And_rm32_r32' && x.outcome.vector === null)!
    expect(v.masks.rflags).toBe(flagBits.AF)
    const o = copy(v.outcome)
    o.state.rflags ^= flagBits.AF
    expect(differences(v, o)).toEqual([])
    o.state.rflags ^= flagBits.ZF
    expect(differences(v, o).map((d) => d.what)).toEqual(['RFLAGS (ZF)'])
  })

  it('allows approximations their error and no more', () => {
    const finite = (v: Vector): boolean => {
      const f = new DataView(v.outcome.state.xmm.buffer, n * 16, 4).getFloat32(0, true)
      return v.outcome.vector === null && Math.abs(f) > 1e-30 && Math.abs(f) < 1e30
    }
    let n = 0
    const v = all.find((x) => {
      if (!x.case.code.startsWith('Rcpss') || x.outcome.vector !== null) return false
      n =
        Array.from({ length: 16 }, (_, k) => k).find((k) =>
          x.outcome.state.xmm.some((b, i) => i >> 4 === k && b !== x.case.state.xmm[i]),
        ) ?? 0
      return finite(x)
    })!
    const scaled = (by: number): Outcome => {
      const o = copy(v.outcome)
      const view = new DataView(o.state.xmm.buffer, n * 16, 4)
      view.setFloat32(0, view.getFloat32(0, true) * by, true)
      return o
    }
    expect(differences(v, scaled(1 + 2 * 2 ** -12))).toEqual([])
    expect(differences(v, scaled(1 + 4 * 2 ** -12)).map((d) => d.what)).toEqual([`XMM${n}`])
    const sine = all.find(
      (x) => x.case.code === 'Fsin' && x.outcome.vector === null && x.case.state.st[9] === 0x3f && x.outcome.state.st[7]! > 0x80,
    )!
    const o = copy(sine.outcome)
    o.state.st[0]! ^= 1
    expect(differences(sine, o)).toEqual([])
    o.state.st[3]! ^= 1
    expect(differences(sine, o).map((d) => d.what)).toEqual(['ST0'])
  })

  it('counts an executor that throws as a mismatch and goes on', () => {
    // prettier-ignore
    const report = compare(all.slice(0, 3), { run: () => { throw new Error('not built') } })
    expect(report.mismatches).toBe(3)
    expect(reportText(report)).toContain('not built')
  })
})

const reason = unavailable()
describe.skipIf(reason !== null)(`recorder${reason === null ? '' : ` (skipped: ${reason})`}`, () => {
  it('agrees with the committed vectors', () => {
    const now = record(all.map((v) => v.case))
    const answer = new Map(all.map((v, n) => [v.case, now[n]!]))
    expect(reportText(compare(all, { run: (c) => answer.get(c)! }), 10)).toContain(' 0 mismatches')
  })

  const salt = Number(process.env['ORACLE_SEED'] ?? randomInt(1 << 30))
  it(`agrees with itself on a fresh batch (ORACLE_SEED=${salt})`, () => {
    const drawn = [...drawAll((o) => Math.ceil(casesOf(o) / 8), salt)]
    const vectors = recordVectors(drawn)
    const again = record(drawn.map((d) => d.case))
    vectors.forEach((v, n) => {
      const strict = { ...v, masks: { rflags: 0, fsw: 0, ignored: [] } }
      if (differences(strict, again[n]!).length > 0) expect.fail(explain(strict, differences(strict, again[n]!)))
    })
    const file = { source: 'this machine', vectors: vectors.filter((_, n) => n % 8 === 0) }
    expect(decodeVectors(encodeVectors(file))).toEqual(file)
  })

  it('outlives a case that ends its process, and names it', () => {
    const state = { ...seededState(2, 'integer'), rip: BigInt(layout.codeEnd - 2) }
    state.gpr[0] = 60n // SYSCALL exit
    const good = all[0]!.case
    const bad: Case = { code: 'Syscall', bytes: Uint8Array.of(0x0f, 0x05), patches: [], state, repeat: false }
    expect(() => record([good, bad, good])).toThrow(/Syscall: 0f05 killed the recorder/)
  })

  it('records what the manual says of a few known instructions', () => {
    const run = (code: string, bytes: number[], set: (c: Case) => void): Outcome => {
      const state = seededState(1, 'integer')
      state.rip = BigInt(layout.codeEnd - bytes.length)
      const c: Case = { code, bytes: Uint8Array.from(bytes), patches: [], state, repeat: false }
      set(c)
      return record([c])[0]!
    }
    const add = run('Add_rm8_r8', [0x00, 0xc8], (c) => c.state.gpr.set([0x1_7fn, 1n])) // ADD AL, CL
    expect(add.state.gpr[0]).toBe(0x180n)
    expect(add.state.rflags & 0x8d5).toBe(flagBits.OF | flagBits.SF | flagBits.AF)
    expect(add.state.rip).toBe(BigInt(layout.codeEnd))
    const push = run('Push_r64', [0x50], (c) => void (c.state.gpr[4] = BigInt(layout.data))) // PUSH RAX into the page below
    expect([push.vector, push.errorCode, push.cr2]).toEqual([14, 6, BigInt(layout.data - 8)])
    // prettier-ignore
    const store = run('Mov_rm32_r32', [0x89, 0x0b], c => { c.state.gpr[1] = 0xdeadbeefn; c.state.gpr[3] = BigInt(layout.data + 0xffe) })
    expect([...memoryAfter(memoryBefore({ patches: [] }), store.changes).subarray(0xffe, 0x1002)]).toEqual([0xef, 0xbe, 0xad, 0xde])
    const cut = run('Mov_r32_imm32', [0xb8, 1, 2], () => {})
    expect([cut.vector, cut.errorCode, cut.cr2, cut.state.rip]).toEqual([14, 0x14, BigInt(layout.codeEnd), BigInt(layout.codeEnd - 3)])
  })
})

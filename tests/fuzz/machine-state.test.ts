// Damaged states of a running machine given to restore: StateError or acceptance, nothing else; after a refusal the machine runs
// on as a twin does that was never asked; an accepted state runs, stops or idles, and leaves the host's memory alone.
// FUZZ_CASES: mutations (default 250); FUZZ_SEED: another sequence.

import { describe, expect, it } from 'vitest'
import type { Machine } from '../../src-core/board/machine.ts'
import { StateError, type Json } from '../../src-core/memory/device.ts'
import { Stage64, STACK } from '../cpu/program.ts'
import { random } from '../guests/images.ts'

const CASES = Number(process.env['FUZZ_CASES'] ?? 250)
const SEED = Number(process.env['FUZZ_SEED'] ?? 0x57a7e)
const MOST_MILLISECONDS = 5000

// Both processors compute, print, and take timer interrupts; the second sleeps between them; the first touches many pages.
const PROGRAM = `
start:
    mov     edx, 0xfee00000
    call    timer
    mov     al, 0x34                    ; 8254 channel 0 as a rate generator, through the 8259s and LINT0
    out     0x43, al
    mov     al, 0x99
    out     0x40, al
    out     0x40, al
    mov     byte [abs 0x28030], 1
    sti
work:
    inc     rbx
    mov     rax, rbx
    and     eax, 0xff
    shl     eax, 12
    add     [rax + 0x80000], rbx
    cvtsi2sd xmm0, rbx
    addsd   xmm1, xmm0
    sqrtsd  xmm2, xmm1
    fld1
    fadd    qword [data]
    fstp    qword [data]
    test    bl, 63
    jnz     work
    mov     dx, 0x3f8
    mov     eax, ebx
    out     dx, al
    out     0xe9, al
    in      al, 0x40
    mov     eax, 0xfed000f0
    add     rcx, [rax]
    mov     edx, 0xfee00000
    mov     dword [rdx + 0x310], 0x1000000
    mov     dword [rdx + 0x300], 0x42
    jmp     work
other:
    mov     edx, 0xfee00000
    call    timer
    sti
.sleep:
    hlt
    rdtsc
    add     r8, rax
    lock xadd [data + 64], r8
    push    r8
    pop     r9
    jmp     .sleep
timer:
    mov     dword [rdx + 0xf0], 0x1ff
    mov     dword [rdx + 0x3e0], 3      ; divide by 16
    mov     dword [rdx + 0x320], 0x20041
    mov     dword [rdx + 0x380], 300
    ret
vector_65:
vector_66:
    push    rax
    inc     qword [data + 128]
    mov     eax, 0xfee000b0
    mov     dword [rax], 0
    pop     rax
    iretq
`

function started(debug?: (byte: number) => void): Machine {
  const stage = new Stage64(2, debug)
  stage.load(PROGRAM)
  stage.place(stage.machine.cores[1]!, 'other', STACK - 0x4000)
  for (let n = 0; n < 3; n++) stage.machine.run(stage.machine.time)
  return stage.machine
}

const dram = (m: Machine): Buffer =>
  Buffer.concat(m.physical.ranges.map((r) => Buffer.from(m.physical.bytes.slice(r.host, r.host + r.length))))
function putDram(m: Machine, from: Buffer): void {
  let at = 0
  for (const r of m.physical.ranges) {
    m.physical.bytes.set(from.subarray(at, at + r.length), r.host)
    at += r.length
  }
}

type Holder = { [key: string]: Json }
/** Every place in the tree where a value stands. */
function places(json: Json, out: [Holder, string][] = []): [Holder, string][] {
  if (typeof json !== 'object' || json === null) return out
  for (const key of Object.keys(json)) {
    out.push([json as Holder, key])
    places((json as Holder)[key]!, out)
  }
  return out
}

const VALUES: readonly Json[] = [
  null,
  true,
  false,
  0,
  1,
  -1,
  0.5,
  3,
  7,
  255,
  65_536,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 53 - 1,
  2 ** 53,
  1e300,
  '',
  '0',
  'zz',
  'ffffffffffffffff',
  '-1',
  '10000000000000000',
  'AAAA',
  'AAAAAAAAAAAAAAAAAAAAAA==',
  '====',
  [],
  [0],
  {},
  { version: 1 },
  { version: 1, fields: {} },
  'x'.repeat(5000),
  Array<Json>(300).fill(1),
]

/** Changes one thing; answers what. */
function mutate(state: Json, next: () => number): string {
  const all = places(state)
  const pick = <T>(list: readonly T[]): T => list[(next() >>> 3) % list.length]!
  const [holder, key] = pick(all)
  const was = holder[key]!
  const kind = next() % 10
  const what = `${key} = ${JSON.stringify(was)?.slice(0, 40)}`
  if (kind < 4) {
    if (typeof was === 'string' && was.length > 0) {
      const at = next() % was.length
      holder[key] = was.slice(0, at) + pick([...'0123456789abcdefABZz+/=-']) + was.slice(at + 1)
    } else if (typeof was === 'number')
      holder[key] = next() % 2 ? was ^ (1 << (next() & 31)) : was + pick([1, -1, 2 ** 20, 2 ** 33, 0.5, -(2 ** 40)])
    else if (typeof was === 'boolean') holder[key] = !was
    else holder[key] = pick(VALUES)
    return `${what} → ${JSON.stringify(holder[key])?.slice(0, 40)}`
  }
  if (kind < 7) {
    holder[key] = pick(VALUES)
    return `${what} → ${JSON.stringify(holder[key]).slice(0, 40)}`
  }
  if (kind === 7) {
    if (Array.isArray(holder)) holder.splice(Number(key), 1)
    else delete holder[key]
    return `${what} taken away`
  }
  if (kind === 8) {
    if (Array.isArray(was)) was.push(pick(VALUES))
    else if (Array.isArray(holder)) holder.push(pick(VALUES))
    else
      Object.defineProperty(holder, pick(['more', '__proto__', 'constructor', 'length']), {
        value: pick(VALUES),
        enumerable: true,
        configurable: true,
      })
    return `${what}: more beside it`
  }
  const [other, otherKey] = pick(all)
  ;[holder[key], other[otherKey]] = [structuredClone(other[otherKey]!), structuredClone(was)]
  return `${what} exchanged with ${otherKey}`
}

const copy = (state: Json): Json => JSON.parse(JSON.stringify(state)) as Json

describe('restore', () => {
  it(`takes or refuses ${CASES} damaged states (FUZZ_SEED=${SEED})`, () => {
    const [machine, twin] = [started(), started()]
    const good = machine.save()
    const memory = dram(machine)
    expect(JSON.stringify(good)).toBe(JSON.stringify(twin.save()))
    const hostBytes = machine.physical.bytes
    const beyond = Math.max(...machine.physical.ranges.map((r) => r.host + r.length))
    const parts = new Map<string, number>()
    let accepted = 0
    for (let n = 0; n < CASES; n++) {
      const next = random(SEED + 7919 * n)
      const damaged = copy(good)
      let what = mutate(damaged, next)
      if (next() % 4 === 0) what += `; ${mutate(damaged, next)}`
      const label = `FUZZ_SEED=${SEED}, case ${n}, ${what}`
      try {
        machine.restore(damaged)
      } catch (error) {
        if (!(error instanceof StateError)) throw new Error(`${label}: ${String(error)}`, { cause: error })
        parts.set(error.part, (parts.get(error.part) ?? 0) + 1)
        if (JSON.stringify(machine.save()) !== JSON.stringify(good)) expect.fail(`${label}: refused, and changed something`)
        continue
      }
      accepted++
      const started = performance.now()
      try {
        machine.run(machine.time)
        machine.save()
      } catch (error) {
        throw new Error(`${label}: accepted, then ${String(error)}`, { cause: error })
      }
      expect(performance.now() - started, label).toBeLessThan(MOST_MILLISECONDS)
      machine.restore(copy(good))
      putDram(machine, memory)
    }
    console.log(`${accepted} accepted; refused by ${[...parts].map(([part, count]) => `${part} ${count}`).join(', ')}`)
    expect(accepted).toBeGreaterThan(CASES / 20)
    expect(parts.size).toBeGreaterThan(10)
    for (const part of [hostBytes.subarray(0, machine.cores[0]!.state.base), hostBytes.subarray(beyond)])
      expect(part.every((b) => b === 0)).toBe(true)

    for (let chunk = 0; chunk < 2; chunk++) {
      machine.run(machine.time)
      twin.run(twin.time)
      expect(JSON.stringify(machine.save())).toBe(JSON.stringify(twin.save()))
      expect(dram(machine).equals(dram(twin))).toBe(true)
    }
    expect(machine.cores[0]!.interrupts).toBeGreaterThan(3)
  }, 120_000)

  it('of a state that is refused leaves the machine in the middle of its slice', () => {
    const [machine, twin] = [0, 1].map(() => {
      let armed = false
      const m: Machine = started(() => {
        if (armed) m.interrupt()
      })
      armed = true
      m.run(m.time)
      armed = false
      return m
    }) as [Machine, Machine]
    const good = machine.save() as { slice: Json; chips: Holder }
    expect(good.slice).not.toBeNull()
    for (const part of ['pit', 'lapic1', 'uart3']) {
      const damaged = copy(good as unknown as Json) as unknown as typeof good
      delete damaged.chips[part]
      expect(() => machine.restore(damaged as unknown as Json)).toThrow(StateError)
      damaged.chips[part] = { version: 99, fields: {} }
      expect(() => machine.restore(damaged as unknown as Json)).toThrow(StateError)
    }
    for (const m of [machine, twin]) m.run(m.time)
    expect(JSON.stringify(machine.save())).toBe(JSON.stringify(twin.save()))
    expect(dram(machine).equals(dram(twin))).toBe(true)
  })

  it('takes the state of another machine whenever it was saved, and both go on alike', () => {
    const other = new Stage64(2).machine
    let left = 0
    const machine: Machine = started(() => {
      if (--left === 0) machine.interrupt()
    })
    let slices = 0
    for (let n = 0; n < 30; n++) {
      left = 1 + ((n * 7) % 13)
      machine.run(machine.time)
      const state = copy(machine.save()) as { slice: Json }
      if (state.slice) slices++
      other.restore(state as unknown as Json)
      expect(JSON.stringify(other.save())).toBe(JSON.stringify(state))
    }
    expect(slices).toBeGreaterThan(20)
    putDram(other, dram(machine))
    left = 0
    for (const m of [machine, other]) m.run(m.time)
    expect(JSON.stringify(other.save())).toBe(JSON.stringify(machine.save()))
    expect(dram(other).equals(dram(machine))).toBe(true)
  })

  // numbers that still count by ones, and the last that do
  it.each([
    'time',
    'latest',
    'wakeTimes.0',
    'slice',
    'processors.0.fields.time',
    'processors.1.fields.time',
    'processors.0.fields.instructions',
  ])(
    'ends or refuses with %s at the end of time',
    (path) => {
      const machine = started()
      for (const value of [2 ** 53 - 1, 2 ** 53 - 2 ** 20, 2 ** 52]) {
        const state = copy(machine.save()) as unknown as Holder
        const keys = path.split('.')
        const holder = keys.slice(0, -1).reduce((at, key) => at[key] as unknown as Holder, state)
        holder[keys.at(-1)!] = path === 'slice' ? { processor: 0, end: value } : value
        try {
          machine.restore(state as unknown as Json)
        } catch (error) {
          expect(error).toBeInstanceOf(StateError)
          continue
        }
        const started = performance.now()
        machine.run(machine.time)
        expect(performance.now() - started, `${path} ${value}`).toBeLessThan(MOST_MILLISECONDS)
      }
    },
    30_000,
  )

  it.each([null, 0, '', [], {}, { version: 2 }, 'state'])('refuses %j', (state) => {
    const machine = new Stage64().machine
    expect(() => machine.restore(state as Json)).toThrow(StateError)
  })
})

import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { iasl } from '../../scripts/guests/debian.ts'
import * as aml from '../../src-core/board/acpi/aml.ts'
import { acpiTables, type PlacedTable } from '../../src-core/board/acpi/tables.ts'
import { resolveBoard } from '../../src-core/board/config.ts'
import { firmware } from '../../src-core/board/firmware.ts'
import { ACPI_TABLES, POWER } from '../../src-core/board/layout.ts'
import { PRESETS } from '../../src-core/board/presets.ts'

const tool = await iasl()
if (typeof tool !== 'string') console.log(`skipped: ACPI tables are not checked with iasl: ${tool.missing}`)

const sum = (data: Uint8Array) => data.reduce((a, b) => (a + b) & 0xff, 0)
const view = (t: PlacedTable) => new DataView(t.data.buffer, t.data.byteOffset, t.data.byteLength)
const board = (name = 'intel-4n', processors = 4, megabytes = 1024) => resolveBoard(PRESETS.get(name)!, { megabytes, processors })
const tableOf = (signature: string, config = board()) => acpiTables(config).tables.find((t) => t.signature === signature)!

/** The subtables of an SRAT or MADT: [type, view]. */
function subtables(t: PlacedTable, from: number): [number, DataView][] {
  const out: [number, DataView][] = []
  for (let at = from; at < t.data.length; at += t.data[at + 1]!)
    out.push([t.data[at]!, new DataView(t.data.buffer, t.data.byteOffset + at, t.data[at + 1]!)])
  return out
}

describe('ACPI tables', () => {
  it.each([...PRESETS.keys()])('have right lengths, checksums and places on %s with 1 and 16 processors', (name) => {
    for (const processors of [1, 16]) {
      const { tables, rsdp } = acpiTables(board(name, processors, 3584))
      const end = (t: PlacedTable) => t.address + t.data.length
      for (const [i, t] of tables.entries()) {
        if (i > 0) expect(t.address).toBeGreaterThanOrEqual(end(tables[i - 1]!))
        if (t.signature === 'RSD PTR ' || t.signature === 'FACS') continue
        expect(String.fromCharCode(...t.data.subarray(0, 4))).toBe(t.signature)
        expect(view(t).getUint32(4, true)).toBe(t.data.length)
        expect(sum(t.data)).toBe(0)
        expect(end(t)).toBeLessThanOrEqual(ACPI_TABLES.address + ACPI_TABLES.length)
      }
      expect(rsdp % 16).toBe(0)
    }
  })

  it('can be walked from the RSDP to every table, by the RSDT and by the XSDT', () => {
    const { tables, rsdp } = acpiTables(board())
    const at = (address: number) => tables.find((t) => t.address === address)!
    const root = at(rsdp)
    expect(String.fromCharCode(...root.data.subarray(0, 8))).toBe('RSD PTR ')
    expect(sum(root.data.subarray(0, 20))).toBe(0)
    expect(sum(root.data)).toBe(0)
    expect(root.data[15]).toBe(2)
    const r = at(view(root).getUint32(16, true))
    const x = at(Number(view(root).getBigUint64(24, true)))
    expect([r.signature, x.signature]).toEqual(['RSDT', 'XSDT'])
    const fromX = Array.from({ length: (x.data.length - 36) / 8 }, (_, i) => at(Number(view(x).getBigUint64(36 + i * 8, true))).signature)
    const fromR = Array.from({ length: (r.data.length - 36) / 4 }, (_, i) => at(view(r).getUint32(36 + i * 4, true)).signature)
    expect(fromX).toEqual(['FACP', 'APIC', 'HPET', 'SRAT', 'SLIT', 'HMAT'])
    expect(fromR).toEqual(fromX)
    const f = view(at(tables.find((t) => t.signature === 'FACP')!.address))
    expect(at(f.getUint32(36, true)).signature).toBe('FACS')
    expect(at(f.getUint32(40, true)).signature).toBe('DSDT')
    expect(Number(f.getBigUint64(140, true))).toBe(f.getUint32(40, true))
  })

  it('FADT names the fixed hardware at its offsets (ACPI 6.5 table 5.9)', () => {
    const t = tableOf('FACP')
    const v = view(t)
    expect(t.data.length).toBe(276)
    expect(v.getUint16(46, true)).toBe(9)
    expect([56, 64, 76, 80].map((o) => v.getUint32(o, true))).toEqual([POWER.pm1Event, POWER.pm1Control, POWER.timer, POWER.gpe0])
    expect([88, 89, 91, 92].map((o) => t.data[o])).toEqual([4, 2, 4, 4])
    expect(t.data[108]).toBe(0x32)
    expect(v.getUint16(109, true) & 3).toBe(3)
    expect(v.getUint32(112, true) & (1 << 20)).toBe(0)
    expect([...t.data.subarray(116, 129)]).toEqual([1, 8, 0, 1, 0xf9, 0x0c, 0, 0, 0, 0, 0, 0, 6])
    expect([148, 172, 208, 220].map((o) => Number(v.getBigUint64(o + 4, true)))).toEqual([
      POWER.pm1Event,
      POWER.pm1Control,
      POWER.timer,
      POWER.gpe0,
    ])
  })

  it('MADT lists processors, the I/O APIC and the overrides', () => {
    const config = board('opteron-8n', 16)
    const entries = subtables(tableOf('APIC', config), 44)
    const local = entries.filter(([type]) => type === 0)
    expect(local.map(([, v]) => v.getUint8(3))).toEqual(config.processors.map((p) => p.apicId))
    const io = entries.find(([type]) => type === 1)![1]
    expect([io.getUint32(4, true), io.getUint32(8, true)]).toEqual([0xfec00000, 0])
    const overrides = entries.filter(([type]) => type === 2).map(([, v]) => [v.getUint8(3), v.getUint32(4, true), v.getUint16(8, true)])
    expect(overrides).toEqual([
      [0, 2, 0],
      [9, 9, 0xd],
    ])
    expect(entries.filter(([type]) => type === 4).map(([, v]) => [v.getUint8(2), v.getUint8(5)])).toEqual([[0xff, 1]])
  })

  it('SRAT gives every processor and every byte of DRAM its node', () => {
    const config = board('opteron-8n', 16, 3584)
    const entries = subtables(tableOf('SRAT', config), 48)
    expect(entries.filter(([type]) => type === 0).map(([, v]) => [v.getUint8(2), v.getUint8(3)])).toEqual(
      config.processors.map((p) => [p.node, p.apicId]),
    )
    const memory = entries
      .filter(([type]) => type === 1)
      .map(([, v]) => ({
        node: v.getUint32(2, true),
        start: Number(v.getBigUint64(8, true)),
        length: Number(v.getBigUint64(16, true)),
        flags: v.getUint32(28, true),
      }))
    expect(memory.every((m) => m.flags === 1)).toBe(true)
    for (const r of config.ranges)
      expect(memory.filter((m) => m.node === r.node && m.start <= r.start && r.start + r.length <= m.start + m.length)).toHaveLength(1)
    expect(memory).toHaveLength(9)
  })

  it('SLIT and HMAT hold the topology, cell by cell', () => {
    const config = board('intel-4n', 3)
    const slit = tableOf('SLIT', config)
    expect(Number(view(slit).getBigUint64(36, true))).toBe(4)
    expect([...slit.data.subarray(44)]).toEqual(config.topology.distances.flat())
    const v = view(tableOf('HMAT', config))
    const found: Record<number, number[][]> = {}
    for (let at = 40; at < v.byteLength; at += v.getUint32(at + 4, true)) {
      if (v.getUint16(at, true) !== 1) continue
      const [initiators, targets] = [v.getUint32(at + 12, true), v.getUint32(at + 16, true)]
      const unit = Number(v.getBigUint64(at + 24, true))
      const cells = at + 32 + 4 * (initiators + targets)
      found[v.getUint8(at + 9)] = Array.from({ length: initiators }, (_, i) =>
        Array.from({ length: targets }, (_, t) => v.getUint16(cells + 2 * (i * targets + t), true) * unit),
      )
    }
    expect(found[0]!.map((row) => row.map((ps) => Math.round(ps / 1000)))).toEqual([
      [136, 198, 259, 198],
      [198, 136, 198, 259],
      [259, 198, 136, 198],
    ])
    expect(found[3]).toEqual(config.topology.bandwidth.slice(0, 3))
  })

  it('firmware puts the tables, the BIOS data area and the map together', () => {
    const f = firmware(board())
    const bda = f.segments.find((s) => s.address === 0x400)!
    expect([
      bda.data[0]! | (bda.data[1]! << 8),
      bda.data[0x13]! | (bda.data[0x14]! << 8),
      (bda.data[0x0e]! | (bda.data[0x0f]! << 8)) << 4,
    ]).toEqual([0x3f8, 639, 0x9fc00])
    for (const s of f.segments) expect(f.map.some((m) => m.address <= s.address && s.address + s.length <= m.address + m.length)).toBe(true)
  })
})

describe('AML', () => {
  it('encodes names, numbers and lengths (ACPI 6.5 20.2)', () => {
    expect(aml.path('\\_SB')).toEqual([0x5c, 0x5f, 0x53, 0x42, 0x5f])
    expect(aml.path('PCI0.ISA')).toEqual([0x2e, ...Buffer.from('PCI0ISA_')])
    expect(aml.path('A.B.C')[1]).toBe(3)
    expect(() => aml.path('lower')).toThrow(RangeError)
    expect([0, 1, 2, 0x1234, 0x12345678, 2 ** 40].map((n) => aml.integer(n).length)).toEqual([1, 1, 2, 3, 5, 9])
    expect(aml.eisaId('PNP0A03')).toEqual([0x0c, 0x41, 0xd0, 0x0a, 0x03])
    const lengthOf = (n: number) =>
      aml.scope(
        'X',
        Array.from({ length: n }, () => 0xa3),
      )
    expect(lengthOf(58).slice(1, 2)).toEqual([63])
    expect(lengthOf(59).slice(1, 3)).toEqual([0x41, 0x04])
    expect(lengthOf(5000).slice(1, 4)).toEqual([0x80 | (5007 & 15), (5007 >> 4) & 0xff, 5007 >> 12])
    expect(() => aml.packageOf(...Array.from({ length: 256 }, () => [0]))).toThrow(RangeError)
  })

  it.skipIf(typeof tool !== 'string')('and the tables are accepted by ACPICA without an error or a warning', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ring1-acpi-'))
    const run = async (...args: string[]) => {
      const { stdout, stderr } = await promisify(execFile)(tool as string, args, { cwd: folder }).catch(
        (e: { stdout: string; stderr: string }) => e,
      )
      return stdout + stderr
    }
    try {
      for (const t of acpiTables(board('opteron-8n', 16, 3584)).tables) {
        if (t.signature === 'RSD PTR ') continue
        await writeFile(join(folder, `${t.signature}.dat`), t.data)
        const said = await run('-d', `${t.signature}.dat`)
        expect(said).toMatch(/ASL Output|Formatted output/)
        expect(said).not.toMatch(/warning|error|invalid|incorrect/i)
      }
      expect(await run('-tc', 'DSDT.dsl')).toContain('0 Errors, 0 Warnings')
      const text = await readFile(join(folder, 'DSDT.dsl'), 'utf8')
      for (const word of ['PNP0A03', 'PNP0501', 'PNP0B00', 'PNP0303', 'PNP0F13', 'ACPI0007', 'PNP0103', '_S5', '_PRT'])
        expect(text).toContain(word)
      expect(text.match(/Device \(C0/g)).toHaveLength(16)
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})

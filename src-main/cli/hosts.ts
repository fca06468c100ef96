// `ring1 hosts`: the presets, or one server's nodes and matrices.

import { PRESETS, DEFAULT_PRESET } from '../../src-core/board/presets.ts'
import type { Topology } from '../../src-core/board/topology.ts'
import { findHost } from './host.ts'

const table = (rows: readonly (readonly (string | number)[])[]): string => {
  const cells = rows.map((r) => r.map(String))
  const widths = cells[0]!.map((_, n) => Math.max(...cells.map((r) => r[n]!.length)))
  return cells.map((r) => r.map((c, n) => (n === r.length - 1 ? c : c.padEnd(widths[n]! + 2))).join('').trimEnd()).join('\n')
}

const matrix = (title: string, m: readonly (readonly number[])[]): string => {
  const width = Math.max(...m.flat().map((v) => String(Math.round(v)).length), 2) + 2
  const line = (head: string | number, row: readonly number[]) => `  ${String(head).padStart(2)}${row.map((v) => String(Math.round(v)).padStart(width)).join('')}`
  return [title, line('', m.map((_, n) => n)), ...m.map((row, n) => line(n, row))].join('\n')
}

function list(): string {
  const rows = [...PRESETS.values()].map((t) => [t.name + (t.name === DEFAULT_PRESET ? ' *' : ''), t.sockets, t.nodes.length, t.description])
  return `${table([['name', 'sockets', 'nodes', 'what it is'], ...rows])}\n\n* unless --host says otherwise\n`
}

function show(t: Topology): string {
  const nodes = t.nodes.map((n, i) => [i, n.socket, n.processors, n.megabytes === undefined ? `${n.memoryShare} part(s)` : `${n.megabytes} MB`])
  return `${[
    t.description === '' ? t.name : `${t.name}: ${t.description}`,
    table([['node', 'socket', 'processors', 'memory'], ...nodes]),
    matrix('distance (SLIT)', t.distances),
    matrix('idle read latency, ns', t.latency),
    matrix('bandwidth, MB/s', t.bandwidth),
  ].join('\n\n')}\n`
}

/** Text of `ring1 hosts [name]`. Rejects with CommandError. */
export async function hosts(name?: string): Promise<string> {
  return name === undefined ? list() : show(await findHost(name))
}

// The file of a saved machine: what it is made of, and the pages of its DRAM that are not zero.
//
//   "RING1 SAVED MACHINE 1\n" │ u32 length of JSON │ JSON │ { u32 page number, 4096 bytes }… │ u32 FFFF_FFFFH
//
// Pages count through DRAM in address order, over holes. All numbers are little-endian.

import { resolve } from 'node:path'
import type { Machine } from '../../src-core/board/machine.ts'
import { makeTopology, TopologyError, type Topology, type TopologyForm } from '../../src-core/board/topology.ts'
import { StateError, type Json } from '../../src-core/memory/device.ts'
import { PAGE } from '../../src-core/memory/physical.ts'
import type { OutputFile } from './files.ts'
import type { GuestOptions } from './options.ts'
import { CommandError, Status } from './status.ts'

const MAGIC = new TextEncoder().encode('RING1 SAVED MACHINE 1\n')
const LAST = 0xffffffff
const ENTRY = 4 + PAGE
const BATCH = 256

/** What is needed to build the machine again, and to reload its guest when it reboots. */
export interface SavedBoard {
  readonly topology: Topology
  readonly memory?: number
  readonly cpus?: number
  readonly vtx: boolean
  /** Paths are absolute. */
  readonly guest: GuestOptions
}

interface Contents extends Omit<SavedBoard, 'topology' | 'vtx'> {
  /** Absent: off. */
  readonly vtx?: boolean
  readonly topology: TopologyForm
  readonly machine: Json
}

const form = (t: Topology): TopologyForm => {
  const { name, description, frequency, distances, hops, latency, bandwidth } = t
  return JSON.parse(JSON.stringify({ name, description, frequency, nodes: t.nodes, distances, hops, latency, bandwidth })) as TopologyForm
}

/** Guest options with paths that hold from any folder. */
export function absolute(guest: GuestOptions): GuestOptions {
  return {
    ...(guest.kernel === undefined ? {} : { kernel: resolve(guest.kernel) }),
    ...(guest.initrd === undefined ? {} : { initrd: resolve(guest.initrd) }),
    ...(guest.append === undefined ? {} : { append: guest.append }),
    ...(guest.loadAt === undefined ? {} : { loadAt: guest.loadAt }),
  }
}

function isGuest(value: unknown): value is GuestOptions {
  if (typeof value !== 'object' || value === null) return false
  const { kernel = '', initrd = '', append = '', loadAt = 0 } = value as Record<string, unknown>
  return [kernel, initrd, append].every((t) => typeof t === 'string') && typeof loadAt === 'number'
}

/** Throws CommandError(66) when the file cannot be written. */
export function saveMachine(file: OutputFile, machine: Machine, board: SavedBoard): void {
  const contents: Contents = { ...board, topology: form(board.topology), machine: machine.save() }
  const json = new TextEncoder().encode(JSON.stringify(contents))
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, json.length, true)
  for (const part of [MAGIC, length, json]) file.write(part)

  const { bytes, dramBase, size } = machine.physical
  const words = new BigUint64Array(bytes.buffer, dramBase, size / 8)
  const batch = new Uint8Array(BATCH * ENTRY)
  const view = new DataView(batch.buffer)
  let filled = 0
  for (let page = 0; page < size / PAGE; page++) {
    const first = (page * PAGE) / 8
    let n = 0
    while (n < PAGE / 8 && words[first + n] === 0n) n++
    if (n === PAGE / 8) continue
    view.setUint32(filled * ENTRY, page, true)
    batch.set(bytes.subarray(dramBase + page * PAGE, dramBase + (page + 1) * PAGE), filled * ENTRY + 4)
    if (++filled === BATCH) {
      file.write(batch)
      filled = 0
    }
  }
  file.write(batch.subarray(0, filled * ENTRY))
  file.write(new Uint8Array([0xff, 0xff, 0xff, 0xff]))
}

/** A saved machine's file, opened: what to build, then how to fill it. */
export class SavedMachine {
  private readonly contents: Contents
  readonly board: SavedBoard
  private readonly pages: number

  /** Throws CommandError(65) when the data is no saved machine. */
  constructor(
    readonly name: string,
    private readonly data: Uint8Array,
  ) {
    const start = MAGIC.length + 4
    if (data.length < start || MAGIC.some((b, n) => data[n] !== b)) throw this.bad('not a saved machine of this version')
    const length = new DataView(data.buffer, data.byteOffset).getUint32(MAGIC.length, true)
    if (start + length > data.length) throw this.bad('cut off')
    try {
      this.contents = JSON.parse(new TextDecoder().decode(data.subarray(start, start + length))) as Contents
      const { memory, cpus, vtx = false, guest } = this.contents
      if (!isGuest(guest)) throw new SyntaxError('no guest')
      if (typeof vtx !== 'boolean') throw new SyntaxError('no processors')
      this.board = {
        topology: makeTopology(this.contents.topology, name),
        ...(memory === undefined ? {} : { memory }),
        ...(cpus === undefined ? {} : { cpus }),
        vtx,
        guest,
      }
    } catch (error) {
      if (error instanceof TopologyError) throw new CommandError(Status.data, error.message)
      throw this.bad('its description is damaged')
    }
    this.pages = start + length
  }

  /** Takes the state into a machine built from `board`. Throws CommandError(65) when it does not fit. */
  restore(machine: Machine): void {
    const { physical } = machine
    const view = new DataView(this.data.buffer, this.data.byteOffset, this.data.byteLength)
    for (let at = this.pages, before = -1; ; at += ENTRY) {
      if (at + 4 > this.data.length) throw this.bad('cut off')
      const page = view.getUint32(at, true)
      if (page === LAST) break
      if (at + ENTRY > this.data.length) throw this.bad('cut off')
      if (page <= before || (page + 1) * PAGE > physical.size) throw this.bad('its memory is damaged')
      before = page
      physical.bytes.set(this.data.subarray(at + 4, at + ENTRY), physical.dramBase + page * PAGE)
    }
    try {
      machine.restore(this.contents.machine)
    } catch (error) {
      if (error instanceof StateError) throw this.bad(error.message)
      throw error
    }
  }

  private bad(why: string): CommandError {
    return new CommandError(Status.data, `${this.name}: ${why}`)
  }
}

// The shapes of chips' saved states: what each named field may hold, checked before anything is taken over.
// A chip keeps its registers in one object of such a shape, so that saving and restoring cannot forget one.

import type { Json, SavedState } from '../memory/device.ts'
import { StateError } from '../memory/device.ts'

/** One kind of field: to JSON and back. `load` throws Malformed. */
export interface Field<T> {
  save(value: T): Json
  load(json: Json | undefined): T
}

export type Shape = { readonly [name: string]: Field<unknown> }

/** The object a shape describes. */
export type Values<S extends Shape> = { -readonly [K in keyof S]: S[K] extends Field<infer T> ? T : never }

class Malformed extends Error {}

function field<T>(what: string, accepts: (json: Json | undefined) => boolean): Field<T> {
  return {
    save: (value) => value as Json,
    load: (json) => {
      if (!accepts(json)) throw new Malformed(`is not ${what}`)
      return json as T
    },
  }
}

/** A whole number from `low` to `high`, both included. */
export const integer = (low: number, high: number): Field<number> =>
  field(`a whole number from ${low} to ${high}`, (x) => Number.isSafeInteger(x) && (x as number) >= low && (x as number) <= high)

/** A register of `bits` bits, at most 53. */
export const uint = (bits: number): Field<number> => integer(0, 2 ** bits - 1)

/** A point in virtual time: cycles, or ticks of a slower oscillator. */
export const time = uint(53)

export const flag: Field<boolean> = field('true or false', (x) => typeof x === 'boolean')

/** Absent is null in JSON and undefined in the chip. */
export const optional = <T>(of: Field<T>): Field<T | undefined> => ({
  save: (value) => (value === undefined ? null : of.save(value)),
  load: (json) => (json === null ? undefined : of.load(json)),
})

/** From `shortest` to `longest` items. */
export function queue<T>(of: Field<T>, longest: number, shortest = 0): Field<T[]> {
  return {
    save: (value) => value.map((v) => of.save(v)),
    load: (json) => {
      if (!Array.isArray(json) || json.length < shortest || json.length > longest)
        throw new Malformed(`is not a list of ${shortest} to ${longest}`)
      return json.map((j) => of.load(j))
    },
  }
}

export const list = <T>(of: Field<T>, length: number): Field<T[]> => queue(of, length, length)

export const record = <S extends Shape>(shape: S): Field<Values<S>> => ({
  save: (value) => Object.fromEntries(Object.entries(shape).map(([name, f]) => [name, f.save(value[name as keyof S])])),
  load: (json) => {
    if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new Malformed('is not a record')
    return loadFields(shape, json)
  },
})

/** 64 bits as 16 hex digits. */
export const word64: Field<bigint> = {
  save: (value) => value.toString(16).padStart(16, '0'),
  load: (json) => {
    if (typeof json !== 'string' || !/^[0-9a-f]{16}$/.test(json)) throw new Malformed('is not 16 hex digits')
    return BigInt('0x' + json)
  },
}

/** Binary content as base64. A Uint8Array of `shortest` to `longest` bytes. */
export function bytes(longest: number, shortest = longest): Field<Uint8Array> {
  return {
    save: (value) => {
      let text = ''
      for (let i = 0; i < value.length; i += 4096) text += String.fromCharCode(...value.subarray(i, i + 4096))
      return btoa(text)
    },
    load: (json) => {
      if (typeof json !== 'string' || json.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(json)) throw new Malformed('is not base64')
      const data = Uint8Array.from(atob(json), (c) => c.charCodeAt(0))
      if (data.length < shortest || data.length > longest) throw new Malformed(`holds ${data.length} bytes, not ${shortest} to ${longest}`)
      return data
    },
  }
}

function loadFields<S extends Shape>(shape: S, from: { [name: string]: Json }): Values<S> {
  const known = Object.keys(from).find((name) => !Object.hasOwn(shape, name))
  if (known !== undefined) throw new Malformed(`.${known} is unknown`)
  const out: { [name: string]: unknown } = {}
  for (const [name, f] of Object.entries(shape)) {
    try {
      out[name] = f.load(from[name])
    } catch (e) {
      if (e instanceof Malformed) throw new Malformed(`.${name}${e.message.startsWith('.') ? '' : ' '}${e.message}`)
      throw e
    }
  }
  return out as Values<S>
}

export const saveAs = <S extends Shape>(version: number, shape: S, values: Values<S>): SavedState => ({
  version,
  fields: record(shape).save(values) as SavedState['fields'],
})

/** The values a saved state holds. Throws StateError if it is of another version or shape. */
export function restoreAs<S extends Shape>(part: string, version: number, shape: S, state: SavedState): Values<S> {
  if (state.version !== version) throw new StateError(part, `state version ${String(state.version)}, this machine has ${version}`)
  try {
    return record(shape).load(state.fields)
  } catch (e) {
    if (e instanceof Malformed) throw new StateError(part, `field ${e.message}`)
    throw e
  }
}

// ACPI Machine Language as nested byte arrays: each function is one production of the grammar (ACPI 6.5 20.2).
// Names are given as in ASL: "\_SB", "PCI0", "_CRS"; segments are filled to four characters with underscores.

export type Aml = readonly number[]

const join = (parts: readonly Aml[]): number[] => parts.flatMap((p) => [...p])

const segment = (name: string): number[] => [...name.padEnd(4, '_')].map((c) => c.charCodeAt(0))

/** NameString: root prefix, then one, two or many segments. */
export function path(name: string): Aml {
  const root = name.startsWith('\\')
  const parts = (root ? name.slice(1) : name).split('.').filter((s) => s !== '')
  if (parts.some((s) => !/^[A-Z_][A-Z0-9_]{0,3}$/.test(s))) throw new RangeError(`${name} is not an ACPI name`)
  const prefix = parts.length <= 1 ? [] : parts.length === 2 ? [0x2e] : [0x2f, parts.length]
  return [...(root ? [0x5c] : []), ...prefix, ...parts.flatMap(segment), ...(parts.length === 0 ? [0] : [])]
}

// PkgLength counts itself: 00xxxxxx │ nn00xxxx then n bytes of bits 4 and up (20.2.4)
function withLength(content: readonly number[]): number[] {
  if (content.length + 1 < 0x40) return [content.length + 1, ...content]
  for (const more of [1, 2, 3]) {
    const length = content.length + 1 + more
    if (length < 2 ** (4 + 8 * more)) {
      const tail = Array.from({ length: more }, (_, i) => Math.floor(length / 2 ** (4 + 8 * i)) & 0xff)
      return [(more << 6) | (length & 0xf), ...tail, ...content]
    }
  }
  throw new RangeError('AML package of 2^28 bytes or more')
}

const littleEndian = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) => Math.floor(value / 2 ** (8 * i)) & 0xff)

/** The shortest encoding of an unsigned number up to 2^53. */
export function integer(value: number): Aml {
  if (value === 0 || value === 1) return [value]
  if (value < 2 ** 8) return [0x0a, value]
  if (value < 2 ** 16) return [0x0b, ...littleEndian(value, 2)]
  if (value < 2 ** 32) return [0x0c, ...littleEndian(value, 4)]
  return [0x0e, ...littleEndian(value, 8)]
}

export function string(text: string): Aml {
  return [0x0d, ...[...text].map((c) => c.charCodeAt(0) & 0x7f), 0]
}

export function buffer(data: Aml): Aml {
  return [0x11, ...withLength([...integer(data.length), ...data])]
}

export function packageOf(...elements: Aml[]): Aml {
  if (elements.length > 255) throw new RangeError('a Package holds at most 255 elements')
  return [0x12, ...withLength([elements.length, ...join(elements)])]
}

/** EISAID: three letters of five bits, four hexadecimal digits, as a big-endian number in a DWord (19.3.4). */
export function eisaId(id: string): Aml {
  const [a, b, c] = [...id].slice(0, 3).map((x) => x.charCodeAt(0) - 0x40) as [number, number, number]
  const number = Number.parseInt(id.slice(3), 16)
  const word = (a << 10) | (b << 5) | c
  return [0x0c, word >> 8, word & 0xff, number >> 8, number & 0xff]
}

export function name(of: string, value: Aml): Aml {
  return [0x08, ...path(of), ...value]
}

export function scope(of: string, ...terms: Aml[]): Aml {
  return [0x10, ...withLength([...path(of), ...join(terms)])]
}

export function device(of: string, ...terms: Aml[]): Aml {
  return [0x5b, 0x82, ...withLength([...path(of), ...join(terms)])]
}

/** A method that is not serialized. */
export function method(of: string, argumentCount: number, ...terms: Aml[]): Aml {
  return [0x14, ...withLength([...path(of), argumentCount & 7, ...join(terms)])]
}

export const argument = (n: number): Aml => [0x68 + n]

export function store(value: Aml, target: Aml): Aml {
  return [0x70, ...value, ...target]
}

export function equal(a: Aml, b: Aml): Aml {
  return [0x93, ...a, ...b]
}

export function ifThen(condition: Aml, ...terms: Aml[]): Aml {
  return [0xa0, ...withLength([...condition, ...join(terms)])]
}

export function returnValue(value: Aml): Aml {
  return [0xa4, ...value]
}

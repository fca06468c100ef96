// A cpio archive in the "newc" form that Linux unpacks as its first root (Documentation/driver-api/early-userspace/buffer-format.rst).
// Does not model: checksums ("070702"), hard links, compressed archives.

import { ImageError, type NamedFile } from './image.ts'

export type InitramfsEntry =
  | { readonly kind: 'directory'; readonly path: string; readonly mode?: number }
  | { readonly kind: 'file'; readonly path: string; readonly data: Uint8Array; readonly mode?: number }
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  | { readonly kind: 'character'; readonly path: string; readonly major: number; readonly minor: number; readonly mode?: number }

const Type = { directory: 0o040000, file: 0o100000, link: 0o120000, character: 0o020000 } as const
const DEFAULT_MODE = { directory: 0o755, file: 0o644, link: 0o777, character: 0o600 } as const
const TYPE_MASK = 0o170000
const MAGIC = '070701'
const HEADER_LENGTH = 110
const TRAILER = 'TRAILER!!!'
const MOST_ENTRIES = 100_000
const MOST_NAME = 4096

const align4 = (n: number) => (n + 3) & ~3

/** The archive's bytes. Paths have no leading slash; parents must come before their children. */
export function writeInitramfs(entries: readonly InitramfsEntry[]): Uint8Array {
  const parts: Uint8Array[] = []
  const encoder = new TextEncoder()
  let length = 0
  const add = (bytes: Uint8Array) => {
    const filled = new Uint8Array(align4(length + bytes.length) - length)
    filled.set(bytes)
    parts.push(filled)
    length += filled.length
  }
  // ino │ mode │ uid │ gid │ nlink │ mtime │ filesize │ devmajor │ devminor │ rdevmajor │ rdevminor │ namesize │ check
  const record = (ino: number, mode: number, path: string, data: Uint8Array, major = 0, minor = 0) => {
    const name = encoder.encode(`${path}\0`)
    const fields = [ino, mode, 0, 0, (mode & TYPE_MASK) === Type.directory ? 2 : 1, 0, data.length, 0, 0, major, minor, name.length, 0]
    const head = encoder.encode(MAGIC + fields.map((f) => f.toString(16).toUpperCase().padStart(8, '0')).join(''))
    const both = new Uint8Array(head.length + name.length)
    both.set(head)
    both.set(name, head.length)
    add(both)
    add(data)
  }
  const none = new Uint8Array(0)
  for (const [i, e] of entries.entries()) {
    const mode = Type[e.kind] | ((e.kind === 'link' ? undefined : e.mode) ?? DEFAULT_MODE[e.kind])
    const data = e.kind === 'file' ? e.data : e.kind === 'link' ? encoder.encode(e.target) : none
    if (e.kind === 'character') record(i + 1, mode, e.path, data, e.major, e.minor)
    else record(i + 1, mode, e.path, data)
  }
  record(0, 0, TRAILER, none)
  const out = new Uint8Array(align4(length))
  let at = 0
  for (const p of parts) {
    out.set(p, at)
    at += p.length
  }
  return out
}

/** Reads an uncompressed newc archive; file contents are views into it. Throws ImageError and nothing else. */
export function readInitramfs(file: NamedFile): InitramfsEntry[] {
  const { name, data } = file
  const decoder = new TextDecoder()
  const entries: InitramfsEntry[] = []
  let at = 0
  for (;;) {
    const fail = (reason: string): never => {
      throw new ImageError(name, `cpio record at ${at}: ${reason}`)
    }
    if (at + HEADER_LENGTH > data.length) fail(entries.length === 0 ? 'no record header' : 'the archive ends without its trailer')
    const head = decoder.decode(data.subarray(at, at + HEADER_LENGTH))
    if (!head.startsWith(MAGIC)) fail('not in the newc format')
    const field = (index: number): number => {
      const text = head.slice(6 + index * 8, 14 + index * 8)
      return /^[0-9A-Fa-f]{8}$/.test(text) ? Number.parseInt(text, 16) : fail('a header field is not hexadecimal')
    }
    const mode = field(1)
    const size = field(6)
    const nameSize = field(11)
    if (nameSize < 1 || nameSize > MOST_NAME) fail(`a name of ${nameSize} bytes`)
    const body = align4(at + HEADER_LENGTH + nameSize)
    if (body + size > data.length) fail(`${size} bytes of content are cut off`)
    const path = decoder.decode(data.subarray(at + HEADER_LENGTH, at + HEADER_LENGTH + nameSize - 1))
    if (path === TRAILER) return entries
    if (entries.length >= MOST_ENTRIES) fail(`more than ${MOST_ENTRIES} records`)
    const content = data.subarray(body, body + size)
    const permissions = mode & 0o7777
    switch (mode & TYPE_MASK) {
      case Type.directory:
        entries.push({ kind: 'directory', path, mode: permissions })
        break
      case Type.file:
        entries.push({ kind: 'file', path, data: content, mode: permissions })
        break
      case Type.link:
        entries.push({ kind: 'link', path, target: decoder.decode(content) })
        break
      case Type.character:
        entries.push({ kind: 'character', path, major: field(9), minor: field(10), mode: permissions })
        break
      default:
        fail(`an entry of mode ${mode.toString(8)}`)
    }
    at = align4(body + size)
  }
}

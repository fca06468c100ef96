// The initial file systems that test guests start from: busybox and a first program of ours; with numactl in the NUMA variant.

import type { InitramfsEntry } from '../../src-core/guests/initramfs.ts'

/** What the first program prints on the console once the file systems are mounted. */
export const READY_TEXT = 'Ring -1 guest ready'

/** The shell's prompt. */
export const PROMPT = 'guest# '

const INIT = `#!/bin/sh
export PATH=/bin:/sbin:/usr/bin HOME=/ TERM=linux PS1='${PROMPT}'
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
echo "${READY_TEXT}: Linux $(uname -r), $(nproc) processors"
setsid cttyhack sh
poweroff -f
`

export interface HostFile {
  readonly path: string
  readonly data: Uint8Array
}

const text = (s: string) => new TextEncoder().encode(s)

/** Entries of a root file system with one busybox, a link to it per applet, and `files` (executable, at absolute paths). */
export function rootEntries(busybox: Uint8Array, applets: readonly string[], files: readonly HostFile[] = []): InitramfsEntry[] {
  const directories = new Set(['bin', 'dev', 'etc', 'proc', 'root', 'sys', 'tmp'])
  for (const f of files) {
    const parts = f.path.replace(/^\//, '').split('/').slice(0, -1)
    for (let i = 1; i <= parts.length; i++) directories.add(parts.slice(0, i).join('/'))
  }
  return [
    ...[...directories].map((path): InitramfsEntry => ({ kind: 'directory', path })),
    { kind: 'character', path: 'dev/console', major: 5, minor: 1 },
    { kind: 'character', path: 'dev/null', major: 1, minor: 3, mode: 0o666 },
    { kind: 'file', path: 'init', data: text(INIT), mode: 0o755 },
    { kind: 'file', path: 'bin/busybox', data: busybox, mode: 0o755 },
    ...applets.filter((a) => a !== 'busybox').map((a): InitramfsEntry => ({ kind: 'link', path: `bin/${a}`, target: 'busybox' })),
    ...files.map((f): InitramfsEntry => ({ kind: 'file', path: f.path.replace(/^\//, ''), data: f.data, mode: 0o755 })),
  ]
}

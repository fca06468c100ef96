// The workloads: one C file each in guests/, except `large`, which is generated.

export interface Workload {
  readonly name: string
  /** What it stresses, a few words for the table. */
  readonly stresses: string
  /** Iterations: about one second under QEMU's TCG on a 2020s laptop core. */
  readonly count: number
}

export const WORKLOADS: readonly Workload[] = [
  { name: 'sieve', stresses: 'integer: strided bytes', count: 450 },
  { name: 'crc', stresses: 'integer: dependent loads', count: 2800 },
  { name: 'wide', stresses: 'integer: 64-bit multiply', count: 600 },
  { name: 'stream', stresses: 'memory: in order', count: 10 },
  { name: 'chase', stresses: 'memory: random order', count: 4 },
  { name: 'branches', stresses: 'unpredictable branches', count: 110 },
  { name: 'bytecode', stresses: 'indirect jumps', count: 520 },
  { name: 'calls', stresses: 'calls and returns', count: 480 },
  { name: 'sse', stresses: 'SSE2: double, float, lanes', count: 650 },
  { name: 'x87', stresses: 'x87: 80-bit', count: 140 },
  { name: 'rep', stresses: 'REP strings', count: 150 },
  { name: 'paging', stresses: 'INVLPG, CR3, #PF', count: 110 },
  { name: 'interrupts', stresses: 'INT n, self-IPI', count: 2300 },
  { name: 'syscalls', stresses: 'SYSCALL (32-bit: INT 80h)', count: 15000 },
  { name: 'large', stresses: 'large, cold code', count: 400 },
]

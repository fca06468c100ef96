// The ports kernels under test expect: exit with a status (F4H), "Shutdown" by letters (8900H), echo registers (E0H–E3H),
// page flush (E4H–E7H), interrupt lines (2000H + n), a memory page (FF00_0000H), and the debug console (E9H).

import type { Device, Line, Registers, SavedState } from '../memory/device.ts'
import { byteRegisters } from './registers.ts'
import { bytes, restoreAs, saveAs, uint } from './state.ts'

const SHUTDOWN = 'Shutdown'
/** Bytes of the memory page's region. */
const TEST_MEMORY = 0x10000
const TEST_INTERRUPTS = 24

const shape = { echo: bytes(4), memory: bytes(TEST_MEMORY), letters: uint(3), lines: uint(TEST_INTERRUPTS) }

export interface TestOutputs {
  /** Port F4H: the value written; the machine's status is (code << 1) | 1, modulo 256. */
  readonly exit: (code: number) => void
  /** "Shutdown" was spelled to port 8900H. */
  readonly shutdown: () => void
  /** A byte for the debug console. */
  readonly debug: (byte: number) => void
  /** IOAPIC and 8259 inputs by interrupt number. */
  readonly lines: readonly (Line | undefined)[]
  /** Port E4H: the guest wants this page's translation dropped. */
  readonly flush?: (address: number) => void
}

export class TestPorts implements Device {
  private echo = new Uint8Array(4)
  private memory = new Uint8Array(TEST_MEMORY)
  private letters = 0
  private lines = 0
  /** F4H, four bytes wide. */
  readonly exit: Registers
  /** 8900H. */
  readonly shutdown: Registers
  /** E0H–E3H. */
  readonly echoPorts: Registers
  /** E4H–E7H. */
  readonly flush: Registers
  /** 2000H, TEST_INTERRUPTS ports: a non-zero value asserts the line. */
  readonly interrupts: Registers
  /** TEST_MEMORY bytes at FF00_0000H. */
  readonly page: Registers
  /** E9H; reads E9H, by which software knows it is there. */
  readonly debug: Registers

  constructor(
    readonly id: string,
    private readonly outputs: TestOutputs,
  ) {
    this.exit = { read: () => 0, write: (offset, _, value) => (offset === 0 ? outputs.exit(value) : undefined) }
    this.shutdown = byteRegisters(
      () => 0,
      (offset, value) => {
        if (offset === 0) this.spell(value)
      },
    )
    this.echoPorts = byteRegisters(
      (offset) => this.echo[offset] ?? 0,
      (offset, value) => {
        if (offset < 4) this.echo[offset] = value
      },
    )
    this.flush = { read: () => 0, write: (_offset, _size, value) => outputs.flush?.(value) }
    this.interrupts = byteRegisters(
      (offset) => (offset < TEST_INTERRUPTS ? (this.lines >> offset) & 1 : 0),
      (offset, value) => this.drive(offset, value !== 0),
    )
    this.page = byteRegisters(
      (offset) => this.memory[offset] ?? 0,
      (offset, value) => {
        if (offset < TEST_MEMORY) this.memory[offset] = value
      },
    )
    this.debug = byteRegisters(
      () => 0xe9,
      (offset, value) => {
        if (offset === 0) outputs.debug(value)
      },
    )
  }

  private drive(n: number, level: boolean): void {
    if (n >= TEST_INTERRUPTS || ((this.lines >> n) & 1) === (level ? 1 : 0)) return
    this.lines ^= 1 << n
    this.outputs.lines[n]?.(level)
  }

  private spell(value: number): void {
    if (value === SHUTDOWN.charCodeAt(this.letters)) this.letters++
    else this.letters = value === SHUTDOWN.charCodeAt(0) ? 1 : 0
    if (this.letters < SHUTDOWN.length) return
    this.letters = 0
    this.outputs.shutdown()
  }

  save(): SavedState {
    return saveAs(1, shape, { echo: this.echo, memory: this.memory, letters: this.letters, lines: this.lines })
  }

  restore(state: SavedState): void {
    Object.assign(this, restoreAs(this.id, 1, shape, state))
  }

  reset(): void {
    this.echo.fill(0)
    this.memory.fill(0)
    this.letters = 0
    for (let n = 0; n < TEST_INTERRUPTS; n++) this.drive(n, false)
  }
}

// One decoded instruction as an assist sees it: operands by position in the row, each read or written on demand.

import type { Form } from '../isa/forms.ts'

export interface Instruction {
  readonly form: Form
  /** Linear address arithmetic is done: RIP of this instruction, and of the one behind it (masked to IP, EIP or RIP). */
  readonly rip: bigint
  readonly nextRip: bigint
  readonly length: number
  /** 16, 32 or 64. */
  readonly operandSize: 16 | 32 | 64
  readonly addressSize: 16 | 32 | 64
  readonly rexW: boolean
  /** Repeat prefix that applies to this string instruction: '' for none. */
  readonly rep: '' | 'rep' | 'repne'
  readonly immediate: bigint
  /** Register number from ModRM.reg (with REX.R), or of the opcode; and ModRM.rm in its register form (with REX.B). */
  readonly reg: number
  readonly rm: number
  /** ModRM.rm names memory. */
  readonly memory: boolean
  /** Segment register of the memory operand (0…5), after overrides. */
  readonly segment: number
  /** How its offset is formed: register numbers or undefined, the index shifted left by `scale`, then a signed displacement. */
  readonly base: number | 'rip' | undefined
  readonly index: number | undefined
  readonly scale: number
  readonly displacement: number
  /** Offset of the memory operand inside its segment, masked to the address size. */
  offset(): bigint
  /** Linear address of `length` bytes at the memory operand + `displacement`, after segment checks. Throws Fault. */
  linear(length: number, write: boolean, displacement?: number): bigint
  /** Reads operand `i` of the row (0-based) as an unsigned value of its width. Memory operands throw Fault. */
  operand(i: number): bigint
  /** Writes operand `i`; a 32-bit register write clears the upper half, narrower ones merge. Memory operands throw Fault before any change. */
  setOperand(i: number, value: bigint): void
}

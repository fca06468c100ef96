// The instruction table: every family of rows, in the order of the files.

import { arithmetic } from './arithmetic.ts'
import { bit } from './bit.ts'
import { branch } from './branch.ts'
import { convert } from './convert.ts'
import { flag } from './flag.ts'
import { io } from './io.ts'
import { logic } from './logic.ts'
import { move } from './move.ts'
import { multiply } from './multiply.ts'
import { mmxRows as mmx } from './mmx.ts'
import type { Row } from './row.ts'
import { segment } from './segment.ts'
import { shift } from './shift.ts'
import { sseConvert } from './sse-convert.ts'
import { sseFloat } from './sse-float.ts'
import { sseInteger } from './sse-integer.ts'
import { sseMove } from './sse-move.ts'
import { sseString } from './sse-string.ts'
import { stateImage } from './state-image.ts'
import { stack } from './stack.ts'
import { string } from './string.ts'
import { system } from './system.ts'
import { vmx } from './vmx.ts'
import { x87 } from './x87.ts'

/** Family name → its rows. */
export const families: Readonly<Record<string, readonly Row[]>> = {
  arithmetic,
  logic,
  shift,
  multiply,
  bit,
  move,
  convert,
  stack,
  branch,
  string,
  flag,
  segment,
  system,
  io,
  x87,
  mmx,
  sseMove,
  sseInteger,
  sseFloat,
  sseConvert,
  sseString,
  stateImage,
  vmx,
}

export const table: readonly Row[] = Object.values(families).flat()

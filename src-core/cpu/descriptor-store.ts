// Storing the table registers (SDM 2B SGDT SIDT). Processors since the 386 store all 32 bits of base whatever the operand size.

import { Cr4 } from '../arch/registers.ts'
import type { Assists } from '../isa/assists.ts'
import type { Instruction } from './instruction.ts'
import { generalProtection, intercept } from './privilege.ts'
import type { Processor } from './processor.ts'

type Assist = (cpu: Processor, insn: Instruction) => void

const store = (table: 'sgdt' | 'sidt'): Assist => (cpu, insn) => {
  const s = cpu.state
  if (s.cpl !== 0 && s.cr4 & Cr4.UMIP) throw generalProtection()
  intercept(cpu, 'descriptorTable', table)
  const length = cpu.mode64 ? 10 : 6
  const image = new Uint8Array(length)
  const limit = table === 'sgdt' ? s.gdtrLimit : s.idtrLimit
  const base = table === 'sgdt' ? s.gdtrBase : s.idtrBase
  image[0] = limit
  image[1] = limit >> 8
  for (let n = 2; n < length; n++) image[n] = Number((base >> BigInt(8 * (n - 2))) & 0xffn)
  cpu.memory.writeBytes(insn.linear(length, true), image)
}

export const descriptorStoreAssists = { sgdt: store('sgdt'), sidt: store('sidt') } satisfies Partial<Record<keyof Assists, Assist>>

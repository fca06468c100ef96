// The state-image instructions as assists: their view of the instruction and of memory.

import type { Instruction } from '../instruction.ts'
import { Fault } from '../fault.ts'
import type { Processor } from '../processor.ts'
import { updateSseNative } from '../sse/mxcsr.ts'
import { updateAvailability } from './availability.ts'
import { environmentAssists } from './environment.ts'
import { stateImageAssists, type AssistContext } from './state-image.ts'

type Assist = (cpu: Processor, insn: Instruction) => void

function adapted(run: (c: AssistContext) => void): Assist {
  return (cpu, insn) => {
    const m = cpu.memory
    const address = (linear: number): bigint => BigInt.asUintN(64, BigInt(linear))
    run({
      state: cpu.state,
      operandAddress: () => Number(BigInt.asIntN(64, insn.linear(1, false))),
      readBytes: (linear, length) => m.readBytes(address(linear), length),
      writeBytes: (linear, data) => m.writeBytes(address(linear), data),
      probeWrite: (linear, length) => m.probe(address(linear), length, true),
      rexW: insn.rexW,
      operandSize: insn.operandSize,
      mode64: cpu.mode64,
      fault: (vector, errorCode) => {
        throw new Fault(vector, errorCode)
      },
    } as AssistContext)
    updateAvailability(cpu.state)
    updateSseNative(cpu.state)
  }
}

const all = { ...stateImageAssists, ...environmentAssists } as const
type Name = keyof typeof all

export const x87Assists = Object.fromEntries((Object.keys(all) as Name[]).map((name) => [name, adapted(all[name] as (c: AssistContext) => void)])) as Record<
  Name,
  Assist
>

// Hypercalls: VMCALL at CPL 0 with the number in RAX; RAX has the answer. At other levels, and for numbers that do not exist, it is all ones.
//
//   0  version of this list: 1
//   1  number of virtual processors

import { RAX } from '../../arch/registers.ts'
import type { VirtualProcessor } from '../virtual-processor.ts'

const REFUSED = 0xffff_ffff_ffff_ffffn
const VERSION = 1n
export const HYPERCALLS = 2

export function vmcall(p: VirtualProcessor): void {
  p.port.charge(p.vm.costs.simple)
  const number = p.register(RAX)
  const answers = [VERSION, BigInt(p.vm.topology.processors)]
  p.setRegister(RAX, p.cpl === 0 && number < HYPERCALLS ? answers[Number(number)]! : REFUSED)
  p.skip()
}

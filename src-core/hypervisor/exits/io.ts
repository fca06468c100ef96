// IN, OUT, INS, OUTS (SDM 3C table 27-5): the VM's own chips. String forms do one iteration an exit.

import { Vector } from '../../arch/exceptions.ts'
import { RAX, RCX, RDI, RSI, Rflags } from '../../arch/registers.ts'
import { exception } from '../events.ts'
import type { VirtualProcessor } from '../virtual-processor.ts'

export function ioInstruction(p: VirtualProcessor): void {
  const q = p.getNumber('exitQualification')
  const size = ((q & 7) + 1) as 1 | 2 | 4
  const input = (q & 8) !== 0
  const port = (q >>> 16) & 0xffff
  p.port.charge(input ? p.vm.costs.portRead : p.vm.costs.portWrite)
  if (q & 0x10) return string(p, port, size, input, (q & 0x20) !== 0)
  const rax = p.register(RAX)
  const bits = size * 8
  if (input) {
    const value = BigInt(p.chips.readPort(port, size))
    p.setRegister(RAX, size === 4 ? value : ((rax >> BigInt(bits)) << BigInt(bits)) | value)
  } else p.chips.writePort(port, size, Number(BigInt.asUintN(bits, rax)))
  p.skip()
}

/** 27.2.5: address size in 9:7 of the instruction information; the linear address of the data is in the VMCS. */
function string(p: VirtualProcessor, port: number, size: 1 | 2 | 4, input: boolean, repeated: boolean): void {
  const mask = [0xffffn, 0xffff_ffffn, 0xffff_ffff_ffff_ffffn][(p.getNumber('exitInstructionInformation') >> 7) & 3] ?? 0xffffn
  const linear = p.get('guestLinearAddress')
  const bytes: number[] = []
  for (let n = 0; n < size; n++) {
    const t = p.translate(linear + BigInt(n), input)
    if ('fault' in t) {
      p.port.writeCr2(linear + BigInt(n))
      return p.raise(exception(Vector.PF, t.fault))
    }
    bytes.push(t.address)
  }
  const { memory } = p.vm
  if (input) {
    const value = p.chips.readPort(port, size)
    bytes.forEach((address, n) => memory.write(address, 1, (value >>> (8 * n)) & 0xff))
  } else p.chips.writePort(port, size, bytes.reduce((v, address, n) => v + (memory.read(address, 1) ?? 0xff) * 2 ** (8 * n), 0))
  const merge = (register: number, value: bigint): void => p.setRegister(register, mask === 0xffffn ? (p.register(register) & ~mask) | (value & mask) : value & mask)
  const index = input ? RDI : RSI
  merge(index, p.register(index) + (p.get('guestRflags') & Rflags.DF ? -BigInt(size) : BigInt(size)))
  if (!repeated) return p.skip()
  merge(RCX, (p.register(RCX) & mask) - 1n)
  if ((p.register(RCX) & mask) === 0n) p.skip()
}

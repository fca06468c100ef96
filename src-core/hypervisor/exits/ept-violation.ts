// EPT violations (SDM 3C 28.2.3.2, table 27-7): the first touch of a page of DRAM, which gets its frame now, or an access to a chip,
// which is emulated. EPT misconfigurations would be our own mistake.

import { EptViolation } from '../../arch/ept.ts'
import { decodeMmio, readResult, writtenValue } from '../mmio-instruction.ts'
import type { VirtualProcessor } from '../virtual-processor.ts'

const at = (address: number): string => `${address.toString(16).toUpperCase()}H`

export function eptViolation(p: VirtualProcessor): void {
  const address = p.getNumber('guestPhysicalAddress')
  const { memory, costs } = p.vm
  if (memory.isDram(address)) {
    p.port.charge(costs.fill)
    if (memory.touch(address, p.port.node) === undefined) p.vm.fail(`the server has no memory left for the guest's page at ${at(address)}`)
    return
  }
  const qualification = p.getNumber('exitQualification')
  if (qualification & EptViolation.fetch) return p.vm.fail(`virtual processor ${p.index} fetched code at ${at(address)}, where there is no memory`)
  if (!(qualification & EptViolation.translated)) return p.vm.fail(`paging structures of virtual processor ${p.index} at ${at(address)}, where there is no memory`)
  access(p, address)
}

function access(p: VirtualProcessor, address: number): void {
  const code = p.code()
  const i = decodeMmio(code, p.codeBits())
  const page = address - (address % 4096)
  if (!i || address + i.size > page + 4096) {
    const bytes = [...code].map((b) => b.toString(16).padStart(2, '0')).join(' ')
    return p.vm.fail(`virtual processor ${p.index} reached the chip at ${at(address)} with an instruction that is not emulated: ${bytes}`)
  }
  p.port.charge(p.vm.costs.chip)
  if (i.write) {
    const value = writtenValue(i, i.register === undefined ? 0n : p.register(i.register))
    if (i.size === 8) {
      p.chips.writeMemory(address, 4, Number(value & 0xffff_ffffn))
      p.chips.writeMemory(address + 4, 4, Number(value >> 32n))
    } else p.chips.writeMemory(address, i.size, Number(value))
  } else {
    const value =
      i.size === 8
        ? (BigInt(p.chips.readMemory(address + 4, 4)) << 32n) | BigInt(p.chips.readMemory(address, 4))
        : BigInt(p.chips.readMemory(address, i.size))
    p.setRegister(i.register!, readResult(i, p.register(i.register!), value))
  }
  p.set('exitInstructionLength', i.length) // undefined after an EPT violation (27.2.4)
  p.skip()
}

export function eptMisconfiguration(p: VirtualProcessor): void {
  p.vm.fail(`EPT misconfiguration at ${at(p.getNumber('guestPhysicalAddress'))}`)
}

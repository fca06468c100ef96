// MOV to and from control registers (SDM 3C table 27-3; SDM 2B MOV CR): CR8, which is the virtual APIC's task priority, and writes of
// CR0 and CR4 that touch the bits VMX operation holds.

import { Vector } from '../../arch/exceptions.ts'
import { Cr0, Cr4, Efer } from '../../arch/registers.ts'
import { CR0_HELD } from '../guest-state.ts'
import { exception } from '../events.ts'
import type { VirtualProcessor } from '../virtual-processor.ts'

const [MOVE_TO, MOVE_FROM] = [0, 1]

/** Would MOV to CR0 fault, in what depends on the guest (SDM 2B MOV CR, #GP(0))? */
function cr0Faults(p: VirtualProcessor, value: bigint): boolean {
  const efer = p.get('guestEfer')
  const cr4 = p.get('guestCr4')
  const turnsOn = (value & Cr0.PG) !== 0n && !(p.get('guestCr0') & Cr0.PG)
  if (value >> 32n !== 0n || (value & Cr0.PG && !(value & Cr0.PE)) || (value & Cr0.NW && !(value & Cr0.CD))) return true
  if (turnsOn && efer & Efer.LME && (!(cr4 & Cr4.PAE) || p.codeBits() === 64)) return true
  return !(value & Cr0.PG) && (p.codeBits() === 64 || (cr4 & Cr4.PCIDE) !== 0n)
}

export function controlRegisterAccess(p: VirtualProcessor): void {
  const q = p.getNumber('exitQualification')
  const register = q & 15
  const access = (q >> 4) & 3
  const gpr = (q >> 8) & 15
  p.port.charge(p.vm.costs.simple)
  if (register === 8 && access === MOVE_FROM) {
    p.setRegister(gpr, BigInt(p.apic.readTaskPriority()))
    return p.skip()
  }
  const value = p.codeBits() === 64 ? p.register(gpr) : p.register(gpr) & 0xffff_ffffn
  if (register === 8 && access === MOVE_TO) {
    if (value >> 4n !== 0n) return p.raise(exception(Vector.GP, 0))
    p.apic.writeTaskPriority(Number(value))
    return p.skip()
  }
  // The held bit of CR0 moves in the shadow only; then the guest's instruction runs again, with the processor's own checks.
  if (register === 0 && access === MOVE_TO && !cr0Faults(p, value)) {
    p.set('cr0ReadShadow', (p.get('cr0ReadShadow') & ~CR0_HELD) | (value & CR0_HELD))
    return
  }
  // CR4.VMXE, which a guest without VMX does not have.
  p.raise(exception(Vector.GP, 0))
}

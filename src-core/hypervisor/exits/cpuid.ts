// CPUID (SDM 2A): the server's answers, but for VMX, topology, what follows from the guest's registers, and the leaves of a hypervisor.
//
//   40000000H  EAX highest of these leaves, EBX ECX EDX "Ring-1 VM   "
//   40000001H  EAX number of hypercalls (exits/vmcall.ts)

import { featureBits } from '../../arch/cpuid.ts'
import { Cr4, RAX, RBX, RCX, RDX } from '../../arch/registers.ts'
import type { VirtualProcessor } from '../virtual-processor.ts'
import { HYPERCALLS } from './vmcall.ts'

const SIGNATURE = 'Ring-1 VM   '
const FIRST = 0x40000000
const HYPERVISOR = 2 ** 31
const word = (n: number): number => [0, 1, 2, 3].reduce((v, i) => v + SIGNATURE.charCodeAt(4 * n + i) * 2 ** (8 * i), 0)

type Values = readonly [number, number, number, number]

function answer(p: VirtualProcessor, leaf: number, subleaf: number): Values {
  const { processors, coreBits, threadBits } = p.vm.topology
  if (leaf === FIRST) return [FIRST + 1, word(0), word(1), word(2)]
  if (leaf === FIRST + 1) return [HYPERCALLS, 0, 0, 0]
  const [eax, ebx, ecx, edx] = p.port.cpuid(leaf, subleaf)
  switch (leaf) {
    case 1: {
      const apicOn = ((p.apic.readMsr(0x1b) ?? 0n) & 0x800n) !== 0n
      const vmx = 1 << featureBits.VMX[1]
      const osxsave = p.get('guestCr4') & Cr4.OSXSAVE ? 1 << 27 : 0
      return [
        eax,
        (((p.apicId & 0xff) << 24) | (1 << (16 + coreBits + threadBits)) | (ebx & 0xffff)) >>> 0,
        ((ecx & ~(vmx | (1 << 27))) | osxsave | HYPERVISOR) >>> 0,
        ((edx & ~((1 << 9) | (1 << 28))) | (apicOn ? 1 << 9 : 0) | (processors > 1 ? 1 << 28 : 0)) >>> 0,
      ]
    }
    case 4: {
      if ((eax & 31) === 0) return [eax, ebx, ecx, edx]
      const whole = ((eax >>> 5) & 7) === 3
      const sharing = whole ? 1 << (coreBits + threadBits) : 1 << threadBits
      return [((eax & 0x3fff) | ((sharing - 1) << 14) | (((1 << coreBits) - 1) << 26)) >>> 0, ebx, ecx, edx]
    }
    case 0xb: {
      const level = subleaf & 0xff
      if (subleaf === 0) return [threadBits, Math.min(1 << threadBits, processors), (1 << 8) | level, p.apicId]
      return subleaf === 1 ? [threadBits + coreBits, processors, (2 << 8) | level, p.apicId] : [0, 0, level, p.apicId]
    }
    case 0x80000001: // SYSCALL shows in 64-bit mode only
      return [eax, ebx, ecx, p.codeBits() === 64 ? edx : (edx & ~(1 << 11)) >>> 0]
    default:
      return [eax, ebx, ecx, edx]
  }
}

export function cpuid(p: VirtualProcessor): void {
  const [eax, ebx, ecx, edx] = answer(p, Number(p.register(RAX) & 0xffff_ffffn), Number(p.register(RCX) & 0xffff_ffffn))
  p.setRegister(RAX, BigInt(eax))
  p.setRegister(RBX, BigInt(ebx))
  p.setRegister(RCX, BigInt(ecx))
  p.setRegister(RDX, BigInt(edx))
  p.port.charge(p.vm.costs.cpuid)
  p.skip()
}

// A server that runs monitors: its DRAM in frames, and its processors as a monitor finds them, in 64-bit mode under an identity map.

import { Msr } from '../arch/msr.ts'
import { Cr0, Cr4, Efer } from '../arch/registers.ts'
import { FeatureControl } from '../arch/vmx.ts'
import type { Core } from '../cpu/run.ts'
import { FrameAllocator } from '../hypervisor/frames.ts'
import type { HostMemory } from '../hypervisor/port.ts'
import type { HostContext } from '../hypervisor/virtual-processor.ts'
import { enter } from './entry.ts'
import { MIB } from './layout.ts'
import { Machine, type MachineOptions } from './machine.ts'
import { hostMemory, ProcessorPort } from './vm-port.ts'

const MONITOR = 'monitor'
const SVR = 0x80f
const X2APIC = 0xc00n
const selectors = { codeSelector: 0x10, dataSelector: 0x18, taskSelector: 0x20 } as const
const TWO32 = 2 ** 32

export class VmServer {
  readonly machine: Machine
  /** Frames above the first megabyte, shared by all VMs. */
  readonly frames: FrameAllocator
  readonly memory: HostMemory
  private readonly cr3: number
  private readonly scratch: (number | undefined)[] = []

  /** The machine has VT-x; nothing runs on it yet. Throws RangeError without memory for a monitor. */
  constructor(options: Omit<MachineOptions, 'vmx' | 'serial' | 'debug'>) {
    const machine = new Machine({ ...options, vmx: true })
    this.machine = machine
    const free = machine.config.ranges
      .filter((r) => r.start + r.length > MIB)
      .map((r) => {
        const start = Math.max(r.start, MIB)
        return { start, length: r.start + r.length - start, node: r.node }
      })
    this.frames = new FrameAllocator(free, machine.config.topology.distances)
    this.memory = hostMemory(machine.cores[0]!, this.frames)
    this.cr3 = this.identityMap(machine.config.processors[0]!.node)
  }

  /** A zeroed frame. Throws RangeError when none is left. */
  take(node: number, owner: string): number {
    const frame = this.frames.take(node, owner)
    if (frame === undefined) throw new RangeError('the server has no memory left for its monitor')
    this.memory.clear(frame)
    return frame
  }

  /** One PML4 entry to a table of 512 pages of 1 GiB: linear is physical. Answers CR3. */
  private identityMap(node: number): number {
    const [pml4, pdpt] = [this.take(node, MONITOR), this.take(node, MONITOR)]
    const write = (at: number, value: number): void => {
      this.memory.write(at, 4, value % TWO32)
      this.memory.write(at + 4, 4, Math.floor(value / TWO32))
    }
    write(pml4, pdpt + 3)
    for (let n = 0; n < 512; n++) write(pdpt + 8 * n, n * 2 ** 30 + 0x83)
    return pml4
  }

  /** What a loader and a monitor's first instructions do, after a reset: 64-bit mode, VT-x allowed and locked, the local APIC in x2APIC mode and on. */
  boot(core: Core): { readonly port: ProcessorPort; readonly context: HostContext } {
    const { node } = this.machine.config.processors[core.index]!
    const stack = (this.scratch[core.index] ??= this.take(node, MONITOR))
    const port = new ProcessorPort(core, node, this.memory, stack)
    enter(core, {
      mode: 'long', rip: stack, rflags: 2, gprs: {}, cr3: this.cr3,
      cs: { base: 0, selector: selectors.codeSelector }, data: { base: 0, selector: selectors.dataSelector },
    })
    const s = core.state
    s.cr0 |= Cr0.NE | Cr0.WP
    s.cr4 |= Cr4.VMXE | Cr4.OSFXSR | Cr4.OSXSAVE
    s.efer |= Efer.NXE
    core.modeChanged()
    const before = core.delivering
    core.delivering = true // at power-on no processor waits for others
    port.wrmsr(Msr.FEATURE_CONTROL, FeatureControl.lock | FeatureControl.vmxOutsideSmx)
    port.wrmsr(Msr.APIC_BASE, (port.rdmsr(Msr.APIC_BASE) ?? 0n) | X2APIC)
    port.wrmsr(SVR, 0x1ffn)
    core.delivering = before
    return { port, context: { cr0: s.cr0, cr3: s.cr3, cr4: s.cr4, efer: s.efer, ...selectors, stack } }
  }
}

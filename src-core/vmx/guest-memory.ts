// What a guest's addresses mean while it runs: extended page tables and their switching, page-modification log, cached translations
// (SDM 3C 24.6.11, 25.5.5.3, 28.2, 28.3). Translations are dropped at every VM entry and exit, which 28.3.3.1 allows for any VPID.

import { Secondary } from '../arch/vmx.ts'
import { fromBase64, toBase64 } from '../cpu/core-state.ts'
import { StateError, type Json } from '../memory/device.ts'
import { Ept, type PageLog } from '../paging/ept.ts'
import type { Vmx } from './vmx.ts'

const LOG_ENTRIES = 512

export class GuestMemory {
  readonly ept: Ept
  private readonly log: PageLog

  constructor(private readonly vmx: Vmx) {
    const { physical, mmu } = vmx.core
    this.ept = new Ept(physical, mmu.code)
    // 28.2.5: entries from the last towards the first
    this.log = {
      get full(): boolean {
        return vmx.current!.pmlIndex >= LOG_ENTRIES
      },
      append(address): void {
        const vmcs = vmx.current!
        const index = vmcs.pmlIndex
        const host = physical.host(vmx.controls.pmlAddress + 8 * index)
        if (host !== 0) {
          if (mmu.code.holds[host >>> 12] !== 0) mmu.code.written(host, 8)
          physical.view.setBigUint64(host, BigInt(address), true)
        }
        vmcs.pmlIndex = (index - 1) & 0xffff
      },
    }
    vmx.ept = this.ept
    vmx.guestMemory = this
    vmx.eptPointerChanged = () => this.enter()
  }

  /** VM entry: controls and guest state are loaded. Also when a guest has switched EPT pointers. */
  enter(): void {
    // Processors keep no leaves by guest-physical address alone: without VPIDs a monitor may expect what it changed to count now.
    if ((this.vmx.controls.secondary & Secondary.enableVpid) === 0) this.ept.flush()
    this.stage()
    this.vmx.core.mmu.flushAll()
  }

  private stage(): void {
    const { core, controls } = this.vmx
    const on = (controls.secondary & Secondary.enableEpt) !== 0
    if (on) this.ept.use(controls.eptPointer, (controls.secondary & Secondary.modeBasedExecute) !== 0, controls.secondary & Secondary.enablePml ? this.log : undefined)
    core.mmu.walker.stage = on ? this.ept : undefined
  }

  /** VM exit, before host state that addresses memory is loaded; and the end of VMX operation. */
  leave(): void {
    this.vmx.core.mmu.walker.stage = undefined
    this.vmx.core.mmu.flushAll()
  }

  save(): Json {
    return toBase64(this.ept.save())
  }

  /** `guest`: one runs. Throws StateError for what is not such a state. */
  restore(part: string, json: Json | undefined, guest: boolean): void {
    if (!this.ept.restore(fromBase64(part, json))) throw new StateError(part, 'its mappings are damaged')
    this.vmx.core.mmu.walker.stage = undefined
    if (guest) this.stage()
  }
}

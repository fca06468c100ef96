// VMX operation of one processor (SDM 3C 23, 24.1): its mode, the VMXON region, the current VMCS, and what a running guest's controls are.
// Does not model SMX operation, the dual-monitor treatment, and A20 masking, which the board does not have.

import { Cr0 } from '../arch/registers.ts'
import { EXIT_REASONS, FeatureControl, NO_POINTER, Secondary, type VmError } from '../arch/vmx.ts'
import type { Intercepts } from '../cpu/intercepts.ts'
import { modelRegisters } from '../cpu/model-registers.ts'
import type { VmxPort } from '../cpu/processor.ts'
import type { Core } from '../cpu/run.ts'
import { StateError, type Json, type SavedState } from '../memory/device.ts'
import type { Ept } from '../paging/ept.ts'
import { capabilityMsr, CR0_FIXED0, CR0_FIXED1, CR4_FIXED0, CR4_FIXED1, fieldExists } from './capabilities.ts'
import { Controls } from './controls.ts'
import { Settled } from './entry-checks/settled.ts'
import { REVISION, Vmcs, wordsOf, type Words } from './vmcs.ts'

export type VmxMode = 'off' | 'root' | 'nonRoot'

/** Which check of a VM entry failed: `section` of the SDM, and the values in words. */
export interface EntryFailure {
  readonly id: string
  readonly section: string
  readonly expected: string
  readonly actual: string
}

/**
 * What VM entry answers its instruction: 0 when the processor is where it has to go on (in the guest, or in the host after reason 33 or
 * 34, or shut down by a VMX abort); else a VM-instruction error, 7 or 8, with nothing changed.
 */
export type EntryResult = 0 | typeof VmError.entryControls | typeof VmError.entryHostState

const hasFixed = (value: bigint, ones: bigint, mayBe: bigint): boolean => (ones & ~value) === 0n && (value & ~mayBe) === 0n

const VERSION = 1
const hex = (v: bigint | number): string => v.toString(16)

export class Vmx implements VmxPort {
  mode: VmxMode = 'off'
  /** Guest-physical address of the VMXON region while in VMX operation. */
  vmxonPointer = 0
  current: Vmcs | undefined
  /** The current VMCS's controls as the last VM entry found them; meaningful in non-root operation. */
  readonly controls = new Controls()
  /** What watches a guest's instructions and events; the processor asks it in non-root operation only. */
  guestIntercepts: Intercepts | undefined
  /** The second stage of translation of guests that have one, and what follows from another EPT pointer for a running guest. */
  ept: Ept | undefined
  eptPointerChanged: () => void = () => {}
  /** What a guest's addresses mean: told at each VM entry, with controls and guest state loaded, and at each exit, before host state. */
  guestMemory: { enter(): void; leave(): void; save(): Json; restore(part: string, json: Json | undefined, guest: boolean): void } | undefined
  /** The VMCS that passed all checks last. */
  readonly settled = new Settled()
  /** Why the last VM entry that failed did so. */
  lastFailure: EntryFailure | undefined
  /** A VMX abort: the processor stays shut down until a reset (27.7). */
  aborted = false
  /** Non-root operation: own time (cycles) at which the preemption timer reaches zero, Infinity when it is not active (25.5.1). */
  preemptionDeadline = Infinity
  /** A monitor-trap-flag exit waits for the instruction boundary (25.5.2). */
  pendingMtf = false
  /** Virtual NMIs are blocked (24.4.2, bit 3 with the virtual-NMIs control). */
  virtualNmiBlocking = false
  readonly counters = { entries: 0, failedEntries: 0, exits: new Array<number>(EXIT_REASONS).fill(0) }
  readonly words: Words

  constructor(readonly core: Core) {
    this.words = wordsOf(core.physical)
    core.vmx = this
  }

  /** The processor asks its monitor's controls in non-root operation, nobody otherwise. A transition costs its cycles. */
  enterMode(mode: VmxMode): void {
    const { vmEntry, vmExit } = this.core.board.costs
    if (mode === 'nonRoot') this.core.charge(vmEntry)
    else if (this.mode === 'nonRoot') this.core.charge(vmExit)
    this.setMode(mode)
  }
  private setMode(mode: VmxMode): void {
    this.mode = mode
    this.core.intercepts = mode === 'nonRoot' ? this.guestIntercepts : undefined
    this.core.attention = true
  }

  /** A VMCS over the region at a 4-KiB aligned guest-physical address; undefined when there is no DRAM. */
  region(address: number): Vmcs | undefined {
    const host = this.core.physical.host(address)
    return host === 0 ? undefined : new Vmcs(this.words, address, host)
  }

  /** The first dword of the region is this processor's revision id, with the shadow indicator clear. */
  hasRevision(address: number): boolean {
    return this.region(address)?.header === REVISION
  }

  get currentPointer(): bigint {
    return this.current ? BigInt(this.current.address) : NO_POINTER
  }

  /** In VMX operation some bits are fixed; an unrestricted guest may clear PE and PG (23.8). */
  cr0Allowed(value: bigint): boolean {
    if (this.mode === 'off') return true
    const exempt = this.mode === 'nonRoot' && this.controls.secondary & Secondary.unrestrictedGuest ? Cr0.PE | Cr0.PG : 0n
    return hasFixed(value, CR0_FIXED0 & ~exempt, CR0_FIXED1)
  }
  cr4Allowed(value: bigint): boolean {
    return this.mode === 'off' || hasFixed(value, CR4_FIXED0, CR4_FIXED1)
  }
  /** Could VMX operation begin with these values? */
  wouldAllow(cr0: bigint, cr4: bigint): boolean {
    return hasFixed(cr0, CR0_FIXED0, CR0_FIXED1) && hasFixed(cr4, CR4_FIXED0, CR4_FIXED1)
  }

  /** IA32_FEATURE_CONTROL is locked and allows VMXON outside SMX operation (23.7). */
  get permitted(): boolean {
    const both = FeatureControl.lock | FeatureControl.vmxOutsideSmx
    return (modelRegisters(this.core).featureControl & both) === both
  }

  readMsr(index: number): bigint | undefined {
    return capabilityMsr(index)
  }

  /** INVEPT, of whatever type: every mapping that an EPT entry took part in goes (28.3.3.1). */
  invalidateEpt(): void {
    this.ept?.flush()
    this.core.mmu.flushAll()
  }
  /** INVVPID, of whatever type: every mapping of linear addresses goes. */
  invalidateVpid(): void {
    this.core.mmu.flushAll()
  }
  /** EPTP switching took entry `index` of the list (25.5.5.3). */
  switchEptPointer(pointer: bigint, index: number): void {
    this.controls.eptPointer = pointer
    this.current!.eptPointer = pointer
    if (fieldExists('eptpIndex')) this.current!.eptpIndex = index
    this.eptPointerChanged()
  }

  reset(): void {
    this.setMode('off')
    this.guestMemory?.leave()
    this.ept?.flush()
    this.vmxonPointer = 0
    this.current = undefined
    this.lastFailure = undefined
    this.aborted = false
    this.preemptionDeadline = Infinity
    this.pendingMtf = false
    this.virtualNmiBlocking = false
    this.controls.clear()
    this.counters.entries = this.counters.failedEntries = 0
    this.counters.exits.fill(0)
  }

  save(): SavedState {
    return {
      version: VERSION,
      fields: {
        mode: this.mode,
        vmxonPointer: hex(this.vmxonPointer),
        current: this.current ? hex(this.current.address) : null,
        controls: this.controls.save(),
        lastFailure: this.lastFailure ? { ...this.lastFailure } : null,
        aborted: this.aborted,
        preemptionDeadline: this.preemptionDeadline === Infinity ? null : this.preemptionDeadline,
        pendingMtf: this.pendingMtf,
        virtualNmiBlocking: this.virtualNmiBlocking,
        entries: this.counters.entries,
        failedEntries: this.counters.failedEntries,
        exits: [...this.counters.exits],
        memory: this.guestMemory?.save() ?? null,
      },
    }
  }

  /** Throws StateError when the state is of another version or shape; then nothing was changed. */
  restore(state: SavedState): void {
    const part = `processor${this.core.index} VMX`
    const fail = (what: string): never => {
      throw new StateError(part, what)
    }
    if (state?.version !== VERSION) fail(`state version ${String(state?.version)}, this machine has ${VERSION}`)
    const f = state.fields
    const page = (name: string): number => {
      const text = f[name]
      const value = typeof text === 'string' && /^[0-9a-f]{1,13}$/.test(text) ? parseInt(text, 16) : -1
      return value >= 0 && value % 4096 === 0 ? value : fail(`field ${name} is not the address of a page`)
    }
    const count = (name: string, v: Json | undefined): number => (Number.isSafeInteger(v) && (v as number) >= 0 ? (v as number) : fail(`field ${name} is not a count`))
    const flag = (name: string): boolean => (typeof f[name] === 'boolean' ? f[name] : fail(`field ${name} is not true or false`))
    const mode = f['mode']
    if (mode !== 'off' && mode !== 'root' && mode !== 'nonRoot') return fail('field mode is unknown')
    const vmxonPointer = page('vmxonPointer')
    const current = f['current'] === null ? undefined : (this.region(page('current')) ?? fail('the current VMCS is not in DRAM'))
    if (mode === 'nonRoot' && !current) fail('a guest without a current VMCS')
    const exits = f['exits']
    if (!Array.isArray(exits) || exits.length !== EXIT_REASONS) return fail(`field exits is not a list of ${EXIT_REASONS}`)
    const exitCounts = exits.map((n) => count('exits', n))
    const [entries, failedEntries] = [count('entries', f['entries']), count('failedEntries', f['failedEntries'])]
    const deadline = f['preemptionDeadline'] === null ? Infinity : count('preemptionDeadline', f['preemptionDeadline'])
    const [aborted, pendingMtf, virtualNmiBlocking] = [flag('aborted'), flag('pendingMtf'), flag('virtualNmiBlocking')]
    const failure = f['lastFailure'] as { [name: string]: Json } | null | undefined
    if (failure && !['id', 'section', 'expected', 'actual'].every((name) => typeof failure[name] === 'string')) fail('field lastFailure is not the name of a check')
    if (!this.controls.restore(f['controls'])) fail('field controls is damaged')
    this.guestMemory?.restore(part, f['memory'], mode === 'nonRoot')
    this.vmxonPointer = vmxonPointer
    this.current = current
    this.lastFailure = failure ? (failure as unknown as EntryFailure) : undefined
    this.aborted = aborted
    this.preemptionDeadline = deadline
    this.pendingMtf = pendingMtf
    this.virtualNmiBlocking = virtualNmiBlocking
    this.counters.entries = entries
    this.counters.failedEntries = failedEntries
    exitCounts.forEach((n, i) => (this.counters.exits[i] = n))
    this.setMode(mode)
  }
}

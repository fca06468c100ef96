// One virtual processor on one processor of the server: its VMCS, its exits, and what it enters the guest with.
// It waits for interrupts, and for its start-up IPI, inside the guest's HLT activity state: a host interrupt is what ends that.
// Does not model: several virtual processors on one processor.

import { RSP, Rflags, Rights } from '../arch/registers.ts'
import { ENTRY_FAILURE, EXIT_REASONS, ActivityState, Interruptibility, PendingDebug, VmxMsr } from '../arch/vmx.ts'
import type { FieldName } from '../arch/vmcs-fields.ts'
import { controlWords, msrBitmap, type ControlWords } from './controls.ts'
import { CR0_HELD, CR4_HELD, initialRegisters, initialState, powerOnState, startState, type GuestFields } from './guest-state.ts'
import { PendingEvents, type InjectedEvent } from './events.ts'
import { handlers } from './exits/handlers.ts'
import { translate, type Translation } from './linear-address.ts'
import { ModelRegisters } from './model-registers.ts'
import { expectSuccess, MonitorError, revisionOf, type EntryResult, type VmxPort } from './port.ts'
import type { VirtualApic, VirtualChips } from './virtual-devices.ts'
import type { VirtualMachine } from './virtual-machine.ts'

/** Where the monitor's own descriptors and code are on its processor, for the host-state area. */
export interface HostContext {
  readonly cr0: bigint
  readonly cr3: bigint
  readonly cr4: bigint
  readonly efer: bigint
  readonly codeSelector: number
  readonly dataSelector: number
  readonly taskSelector: number
  /** A frame of the monitor's: what RIP and RSP name while it runs. */
  readonly stack: number
}

export class VirtualProcessor {
  readonly events: PendingEvents
  readonly models = new ModelRegisters()
  /** A host interrupt is needed to be heard. */
  inGuest = false
  halted = false
  waitingForStartup: boolean
  /** IA32_TSC_ADJUST, and what the guest's TSC is ahead of the server's. */
  tscAdjust = 0n
  tscOffset = 0n
  entries = 0
  readonly exits = new Array<number>(EXIT_REASONS).fill(0)
  private launched = false
  private words: ControlWords | undefined
  private primary = 0

  constructor(
    readonly vm: VirtualMachine,
    readonly index: number,
    readonly apicId: number,
    readonly port: VmxPort,
    readonly apic: VirtualApic,
    readonly chips: VirtualChips,
  ) {
    this.events = new PendingEvents(this)
    this.waitingForStartup = index !== 0
  }

  // ---- the VMCS -------------------------------------------------------------------------------------
  get(field: FieldName): bigint {
    const value = this.port.vmread(field)
    if (value === undefined) throw new MonitorError(`VMREAD of ${field} failed`)
    return value
  }
  getNumber(field: FieldName): number {
    return Number(this.get(field))
  }
  set(field: FieldName, value: bigint | number): void {
    expectSuccess(`VMWRITE of ${field}`, this.port.vmwrite(field, value))
  }
  setAll(fields: GuestFields): void {
    for (const [name, value] of Object.entries(fields)) this.set(name as FieldName, value)
  }

  /** Enters VMX operation and makes a VMCS with a processor at power-on in it. Frames are the monitor's own. Throws MonitorError. */
  begin(frames: { vmxon: number; vmcs: number; msrBitmap: number }, host: HostContext): void {
    const { port } = this
    const revision = revisionOf(port.rdmsr(VmxMsr.basic) ?? 0n)
    for (const region of [frames.vmxon, frames.vmcs]) port.memory.write(region, 4, revision)
    expectSuccess('VMXON', port.vmxon(frames.vmxon))
    expectSuccess('INVEPT', port.invept(2, 0n)) // whatever was cached before
    expectSuccess('VMCLEAR', port.vmclear(frames.vmcs))
    expectSuccess('VMPTRLD', port.vmptrld(frames.vmcs))
    port.memory.load(frames.msrBitmap, msrBitmap())
    const words = controlWords(port)
    this.words = words
    this.primary = words.primary
    this.setAll({
      pinControls: words.pin, primaryControls: words.primary, secondaryControls: words.secondary, exitControls: words.exit, entryControls: words.entry,
      msrBitmaps: frames.msrBitmap, vpid: this.index + 1, eptPointer: this.vm.memory.ept.pointer, exceptionBitmap: 0, tscOffset: 0,
      cr0GuestHostMask: CR0_HELD, cr4GuestHostMask: CR4_HELD,
      hostCr0: host.cr0, hostCr3: host.cr3, hostCr4: host.cr4, hostEfer: host.efer, hostPat: 0x0007040600070406n,
      hostCsSelector: host.codeSelector, hostSsSelector: host.dataSelector, hostDsSelector: host.dataSelector, hostEsSelector: host.dataSelector,
      hostTrSelector: host.taskSelector, hostRip: host.stack, hostRsp: host.stack + 4096,
      ...initialState(), ...powerOnState,
    })
    initialRegisters(port)
  }

  // ---- exits -----------------------------------------------------------------------------------------
  /** Deals with the exit that the VMCS describes. Never throws for what a guest did. */
  exit(): void {
    this.inGuest = false
    const reason = this.getNumber('exitReason')
    if (reason >= ENTRY_FAILURE) return this.vm.fail(`VM entry of virtual processor ${this.index} failed: exit reason ${reason % ENTRY_FAILURE}, qualification ${this.get('exitQualification')}`)
    this.exits[reason]!++
    this.events.interrupted()
    const handler = handlers[reason]
    if (handler) handler(this)
    else this.vm.fail(`exit reason ${reason} of virtual processor ${this.index} at RIP ${this.get('guestRip').toString(16).toUpperCase()}H has no handler`)
  }

  /** Loads what is pending and enters the guest. `notYet`: call again, nothing has changed. */
  enter(): EntryResult {
    if (!this.prepared) this.prepare()
    const result = this.launched ? this.port.vmresume() : this.port.vmlaunch()
    if (result.kind === 'succeed') {
      this.inGuest = true
      this.launched = true
      this.prepared = false
      this.entries++
    } else if (result.kind !== 'notYet') this.vm.fail(`VM entry of virtual processor ${this.index}: ${result.kind === 'failValid' ? `VM-instruction error ${result.error}` : 'no current VMCS'}`)
    return result
  }
  private prepared = false

  /** While an entry had to wait, something else became pending. */
  changed(): void {
    if (!this.inGuest && this.prepared) this.unprepare()
  }
  private unprepare(): void {
    this.prepared = false
    this.events.takeBack()
  }

  private prepare(): void {
    const { signals } = this.events
    if (signals.init) {
      signals.init = false
      this.setAll(initialState())
      initialRegisters(this.port)
      this.apic.initialise()
      this.events.clear()
      this.halted = false
      this.waitingForStartup = this.index !== 0
    }
    if (this.waitingForStartup && signals.startup >= 0) {
      this.setAll(startState(signals.startup))
      this.waitingForStartup = false
    }
    signals.startup = -1
    const injecting = this.waitingForStartup ? false : this.events.inject()
    if (injecting) this.halted = false
    this.set('guestActivityState', this.waitingForStartup || this.halted ? ActivityState.hlt : ActivityState.active)
    const windows = this.waitingForStartup ? 0 : this.events.windows()
    const primary = (this.words!.primary | windows) >>> 0
    if (primary !== this.primary) {
      this.set('primaryControls', primary)
      this.primary = primary
    }
    this.prepared = true
  }

  // ---- for handlers ------------------------------------------------------------------------------------
  /** Steps over the instruction that exited; blocking by STI and MOV SS ends, a single-step trap becomes pending (27.3.4, 6.8.3). */
  skip(): void {
    const rip = this.get('guestRip') + this.get('exitInstructionLength')
    this.set('guestRip', this.codeBits() === 64 ? rip : rip & 0xffff_ffffn)
    const blocking = this.getNumber('guestInterruptibilityState')
    const shadow = Interruptibility.sti | Interruptibility.movSs
    if (blocking & shadow) this.set('guestInterruptibilityState', blocking & ~shadow)
    if (this.get('guestRflags') & Rflags.TF) this.set('guestPendingDebugExceptions', this.getNumber('guestPendingDebugExceptions') | PendingDebug.BS)
  }

  raise(event: InjectedEvent): void {
    this.events.set(event)
  }

  register(n: number): bigint {
    return n === RSP ? this.get('guestRsp') : this.port.register(n)
  }
  setRegister(n: number, value: bigint): void {
    if (n === RSP) this.set('guestRsp', value)
    else this.port.setRegister(n, value)
  }

  /** EDX:EAX. */
  get edxEax(): bigint {
    return ((this.port.register(2) & 0xffff_ffffn) << 32n) | (this.port.register(0) & 0xffff_ffffn)
  }
  set edxEax(value: bigint) {
    this.port.setRegister(0, value & 0xffff_ffffn)
    this.port.setRegister(2, value >> 32n)
  }

  get cpl(): number {
    return (this.getNumber('guestSsAccessRights') >> Rights.dplShift) & 3
  }

  codeBits(): 16 | 32 | 64 {
    const rights = this.getNumber('guestCsAccessRights')
    if (rights & Rights.L && this.get('guestEfer') & 0x400n) return 64
    return rights & Rights.DB ? 32 : 16
  }

  /** A linear address of the guest, as an access of its current privilege level. */
  translate(linear: bigint, write: boolean): Translation {
    const state = { cr0: this.get('guestCr0'), cr3: this.get('guestCr3'), cr4: this.get('guestCr4'), efer: this.get('guestEfer') }
    return translate(this.vm.memory, state, linear, write, this.cpl === 3)
  }

  /** Code bytes from RIP on; fewer than 15 where the guest's code ends at a page that is not there. */
  code(): Uint8Array {
    const base = this.codeBits() === 64 ? 0n : this.get(`guestCsBase`)
    const from = base + this.get('guestRip')
    const bytes = new Uint8Array(15)
    for (let n = 0; n < 15; n++) {
      const at = this.translate(from + BigInt(n), false)
      const byte = 'fault' in at ? undefined : this.vm.memory.read(at.address, 1)
      if (byte === undefined) return bytes.subarray(0, n)
      bytes[n] = byte
    }
    return bytes
  }

  moveTsc(offset: bigint): void {
    this.tscOffset = BigInt.asUintN(64, offset)
    this.set('tscOffset', this.tscOffset)
    this.apic.tscChanged()
  }
}


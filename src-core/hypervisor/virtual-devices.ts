// What a virtual processor has around it: its own local APIC and the chips of its VM. The hypervisor drives them on exits;
// they are built elsewhere, from the same chips as the server's.

/** A virtual local APIC. */
export interface VirtualApic {
  /** The vector to deliver (256: the 8259 pair's), or -1. */
  pendingVector(): number
  /** Accepts it and gives its vector. */
  acknowledge(): number
  /** CR8: task-priority class, 0…15. */
  readTaskPriority(): number
  writeTaskPriority(value: number): void
  /** IA32_APIC_BASE, IA32_TSC_DEADLINE, 800H … 8FFH: undefined means #GP(0). */
  readMsr(index: number): bigint | undefined
  /** false means #GP(0). */
  writeMsr(index: number, value: bigint): boolean
  /** INIT was taken. */
  initialise(): void
  /** The guest's TSC has moved against time. */
  tscChanged(): void
}

/** Chips by port and by guest-physical address. Values are unsigned and of `size` bytes; what nobody claims reads as all ones. */
export interface VirtualChips {
  readPort(port: number, size: 1 | 2 | 4): number
  writePort(port: number, size: 1 | 2 | 4, value: number): void
  readMemory(address: number, size: 1 | 2 | 4): number
  writeMemory(address: number, size: 1 | 2 | 4, value: number): void
}

/** Cycles the monitor's handlers take, beyond the VM exit and entry themselves. */
export interface HandlerCosts {
  readonly simple: number
  readonly cpuid: number
  readonly portRead: number
  readonly portWrite: number
  readonly chip: number
  /** A page found a frame: allocated, zeroed and mapped. */
  readonly fill: number
}

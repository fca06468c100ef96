// Every magic address, port and interrupt number of the board, on one page: a PC with an i440FX/PIIX3-style chip set.
// Intel 440FX and 82371SB datasheets; SDM 3A 11.4.1 (LAPIC); ACPI 6.5 5.2.5.1 (RSDP scan area); 82093AA (IOAPIC).
// Does not model: A20 masking, SMRAM, ISA DMA page registers, video memory (A0000H-BFFFFH is left to a display chip).

export const KIB = 1024
export const MIB = 1024 * KIB
const GIB = 1024 * MIB

//   guest-physical memory
//   00000000 ─ real-mode vectors, BIOS data area at 400H
//   00080000 ─ boot area: what a loader leaves for the guest (start info, zero page, page tables, command line)
//   0009FC00 ─ extended BIOS data area
//   000A0000 ─ video window, no DRAM
//   000C0000 ─ DRAM again; E0000 ACPI tables; F0000 FACS, reserved
//   00100000 ─ DRAM up to C0000000 at most
//   C0000000 ─ hole: PCI windows and chips
//  100000000 ─ the rest of DRAM
export const BIOS_DATA_AREA = 0x400
export const BOOT_AREA = { address: 0x80000, length: 0x1f000 } as const
export const EBDA = { address: 0x9fc00, length: 0x400 } as const
export const VIDEO_WINDOW = { address: 0xa0000, length: 0x20000 } as const
export const SHADOW_RAM = 0xc0000
export const ACPI_TABLES = { address: 0xe0000, length: 0x10000 } as const
export const BIOS_RESERVED = { address: 0xf0000, length: 0x10000 } as const
export const FACS_ADDRESS = 0xf0000
export const RAM_HOLE_START = 3 * GIB
export const RAM_HOLE_END = 4 * GIB

/** PCI windows the host bridge decodes: below 4 GiB, and 4 GiB wide at 512 GiB (MAXPHYADDR is at least 40). */
export const PCI_MEMORY = { address: RAM_HOLE_START, length: 0xfec00000 - RAM_HOLE_START } as const
export const PCI_MEMORY_HIGH = { address: 0x80_0000_0000, length: 4 * GIB } as const

export const IOAPIC = { address: 0xfec00000, length: 0x1000 } as const
/** What the I/O APIC's ID register reads after reset (82093AA 3.2.1). */
export const IOAPIC_ID = 0
export const HPET = { address: 0xfed00000, length: 0x400 } as const
/** General capabilities, low half (IA-PC HPET 1.0a 2.3.4): vendor 8086H, legacy route, 64 bits, three comparators, revision 1. */
export const HPET_CAPABILITIES = 0x8086a201
export const HPET_MINIMUM_TICK = 100
export const LAPIC = { address: 0xfee00000, length: 0x1000 } as const
export const TEST_DEVICE_MEMORY = { address: 0xff000000, length: 0x10000 } as const

export const PORT = {
  pic1: 0x20,
  pit: 0x40,
  keyboardData: 0x60,
  systemControlB: 0x61,
  keyboardCommand: 0x64,
  cmosIndex: 0x70,
  cmosData: 0x71,
  debug: 0x80,
  systemControlA: 0x92,
  pic2: 0xa0,
  testEcho: 0xe0,
  testFlush: 0xe4,
  testExit: 0xf4,
  elcr1: 0x4d0,
  elcr2: 0x4d1,
  firmwareSelector: 0x510,
  firmwareData: 0x511,
  firmwareDma: 0x514,
  pciAddress: 0xcf8,
  reset: 0xcf9,
  pciData: 0xcfc,
  testInterrupts: 0x2000,
  shutdownText: 0x8900,
} as const

/** Serial ports COM1–COM4 in order. */
export const SERIAL = [
  { port: 0x3f8, irq: 4 },
  { port: 0x2f8, irq: 3 },
  { port: 0x3e8, irq: 4 },
  { port: 0x2e8, irq: 3 },
] as const
export const SERIAL_LENGTH = 8

/** ACPI fixed hardware (ACPI 6.5 4.8): ports and lengths in bytes. SCI_EN is always 1: no SMI command port. */
export const POWER = {
  pm1Event: 0x600,
  pm1EventLength: 4,
  pm1Control: 0x604,
  pm1ControlLength: 2,
  timer: 0x608,
  timerLength: 4,
  gpe0: 0x60c,
  gpe0Length: 4,
} as const
/** PM1 control SLP_TYP value that, with SLP_EN, switches off (\_S5). */
export const SLEEP_TYPE_S5 = 0
/** Written to port CF9H: full reset (82371SB 2.4.5: RST_CPU | SRST). */
export const RESET_VALUE = 0x06
export const CMOS_CENTURY = 0x32

export const IRQ = { pit: 0, keyboard: 1, cascade: 2, rtc: 8, sci: 9, mouse: 12 } as const
/** The IOAPIC pin the PIT's IRQ 0 arrives on. */
export const PIT_GSI = 2

/** PCI INTA#–INTD# wires PIRQA–D: with the IOAPIC pins 16–19 (level, low), with the 8259s these ISA interrupts. */
export const PIRQ_GSI = [16, 17, 18, 19] as const
export const PIRQ_ISA = [10, 11, 10, 11] as const

/** The PIRQ wire (0–3) of interrupt pin 0–3 (INTA–INTD) of the device in PCI slot 0–31 of bus 0. */
export function pirqOf(slot: number, pin: number): number {
  return (slot + pin) & 3
}

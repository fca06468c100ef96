// Fixed hardware: FADT revision 6.3 (276 bytes) and FACS version 2 (ACPI 6.5 5.2.9, 5.2.10).
// Not hardware-reduced. Does not model: SMI command port (ACPI mode is permanent), sleep states other than S5.

import { CMOS_CENTURY, IRQ, PORT, POWER, RESET_VALUE } from '../layout.ts'
import { table, TableWriter } from './table.ts'

const ENTERPRISE_SERVER = 4

// IA-PC boot architecture flags, table 5.11: 0 legacy devices, 1 8042, 2 no VGA
const BOOT_FLAGS = (1 << 0) | (1 << 1) | (1 << 2)

// Fixed feature flags, table 5.10: 0 WBINVD, 2 C1 on all processors, 5 no fixed sleep button, 6 no fixed RTC wake status,
// 10 reset register. Bit 8 clear: the timer has 24 bits. Bit 4 clear: the power button is a fixed one.
const FLAGS = (1 << 0) | (1 << 2) | (1 << 5) | (1 << 6) | (1 << 10)

/** Latencies above 100 and 1000 µs say: no C2, no C3. */
const NO_C2 = 0x65
const NO_C3 = 0x3e9

/** `dsdt` and `facs` are physical addresses below 4 GiB. */
export function fadt(dsdt: number, facs: number): Uint8Array {
  const w = new TableWriter()
  w.u32(facs, dsdt).u8(0, ENTERPRISE_SERVER).u16(IRQ.sci)
  w.u32(0).u8(0, 0, 0, 0) // SMI_CMD and its values
  w.u32(POWER.pm1Event, 0, POWER.pm1Control, 0, 0, POWER.timer, POWER.gpe0, 0)
  w.u8(POWER.pm1EventLength, POWER.pm1ControlLength, 0, POWER.timerLength, POWER.gpe0Length, 0, 0, 0)
  w.u16(NO_C2, NO_C3, 0, 0) // then FLUSH_SIZE, FLUSH_STRIDE
  w.u8(0, 0, 0, 0, CMOS_CENTURY) // DUTY_OFFSET, DUTY_WIDTH, DAY_ALRM, MON_ALRM, CENTURY
  w.u16(BOOT_FLAGS).u8(0).u32(FLAGS)
  w.port(PORT.reset, 1, 1).u8(RESET_VALUE).u16(0).u8(3)
  w.u64(0, dsdt) // X_FIRMWARE_CTRL is 0 when FIRMWARE_CTRL is used
  w.port(POWER.pm1Event, POWER.pm1EventLength, 2).zeros(12)
  w.port(POWER.pm1Control, POWER.pm1ControlLength, 2).zeros(12).zeros(12)
  w.port(POWER.timer, POWER.timerLength, 3)
  w.port(POWER.gpe0, POWER.gpe0Length, 1).zeros(12)
  w.zeros(12).zeros(12).zeros(8) // sleep control, sleep status, hypervisor vendor
  return table('FACP', 6, w)
}

/** 64 bytes, no checksum: signature, length, hardware signature, waking vectors, global lock, flags, version. */
export function facs(): Uint8Array {
  return new TableWriter().text('FACS').u32(64, 0, 0, 0, 0).u64(0).u8(2).zeros(31).take()
}

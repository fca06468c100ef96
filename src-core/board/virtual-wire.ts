// The interrupt controllers as a PC's firmware leaves them (MP 1.4 3.6.2.2, "virtual wire mode"; IBM PC AT BIOS):
// 8259s at vectors 08H and 70H with the timer, cascade and IRQ 11 open, an 18.2 Hz tick with a handler in the BIOS's area,
// the bootstrap processor's LAPIC enabled with LINT0 as ExtINT. Does not model: other BIOS services.

import type { Registers } from '../memory/device.ts'
import type { Bus } from '../memory/bus.ts'
import type { PhysicalMemory } from '../memory/physical.ts'
import { BIOS_RESERVED, PORT } from './layout.ts'

/** The tick's handler: PUSH AX; MOV AL, 20H; OUT 20H, AL; POP AX; IRET. */
const TICK = new Uint8Array([0x50, 0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf])
const TICK_OFFSET = 0xfea5
const TIMER_VECTOR = 8

const SPURIOUS_VECTOR_REGISTER = 0xf0
const LVT_LINT0 = 0x350

export function enterVirtualWireMode(physical: Pick<PhysicalMemory, 'load'>, io: Bus, bootstrapLapic: Registers): void {
  const segment = BIOS_RESERVED.address >> 4
  physical.load(BIOS_RESERVED.address + TICK_OFFSET, TICK)
  physical.load(TIMER_VECTOR * 4, new Uint8Array([TICK_OFFSET & 0xff, TICK_OFFSET >> 8, segment & 0xff, segment >> 8]))
  // ICW1 edge, cascade; ICW2 vector; ICW3 wiring; ICW4 8086; then masks
  for (const port of [PORT.pic1, PORT.pic2]) io.write(port, 1, 0x11)
  for (const value of [0x08, 0x04, 0x01, 0xfa]) io.write(PORT.pic1 + 1, 1, value)
  for (const value of [0x70, 0x02, 0x01, 0xf7]) io.write(PORT.pic2 + 1, 1, value)
  // channel 0, mode 3, count 65,536
  io.write(PORT.pit + 3, 1, 0x36)
  io.write(PORT.pit, 1, 0)
  io.write(PORT.pit, 1, 0)
  bootstrapLapic.write(SPURIOUS_VECTOR_REGISTER, 4, 0x1ff)
  bootstrapLapic.write(LVT_LINT0, 4, 0x700)
}

// Interrupts: INT n and IRET, and interrupts that the local APIC sends to itself (SDM vol. 3, 6.12 and 11.6).
#include "kernel.h"

#define APIC(offset) (*(volatile uint32_t *)(uintptr_t)(0xfee00000u + (offset)))
#define SVR 0xf0
#define TPR 0x80
#define ICR_LOW 0x300
#define SELF 0x40000u

uint32_t workload(uint32_t n) {
  uint32_t sum = 0;
  APIC(SVR) = 0x100 | VECTOR_SPURIOUS;
  APIC(TPR) = 0;
  for (uint32_t round = 0; round < n; round++) {
    for (uint32_t i = 0; i < 1000; i++) {
      __asm__ volatile("int %0" ::"i"(VECTOR_SOFTWARE) : "memory");
      sum = sum * 5 + software_interrupts;
    }
    for (uint32_t i = 0; i < 250; i++) {
      uint32_t before = ipis;
      APIC(ICR_LOW) = SELF | VECTOR_IPI; // with IF = 0: v86's compiled code loses its stack when a store interrupts it
      __asm__ volatile("sti");
      while (ipis == before) __asm__ volatile("pause");
      __asm__ volatile("cli");
      sum = sum * 3 + ipis;
    }
    sum = mix(sum, software_interrupts ^ ipis << 16);
  }
  return sum;
}

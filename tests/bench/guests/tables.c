// Descriptor tables of the benchmark guests: IDT, TSS, and the SYSCALL MSRs in the 64-bit build (SDM vol. 3, 5.8.8, 6.10, 7.2).
#include "kernel.h"

extern uint8_t vectors[];          // 16 bytes each
extern uint64_t gdt[];             // 5, 6: the TSS
extern uint8_t system_stack_top[];
extern void system_call(void);

page_fault_handler on_page_fault;
volatile uint32_t software_interrupts, ipis;

struct __attribute__((packed)) pointer {
  uint16_t limit;
  uintptr_t base;
};

// Interrupt gate: 0 offset 15–0 │ 16 selector │ 32 IST │ 40 type 0xE, DPL, P │ 48 offset 31–16 │ 64 offset 63–32 (64-bit only)
#ifdef __x86_64__
#define GATE_WORDS 2
#define TSS_BYTES 104
static uint8_t tss[TSS_BYTES] __attribute__((aligned(128))); // 4: RSP0
#define TSS_STACK 4
#else
#define GATE_WORDS 1
#define TSS_BYTES 104
static uint8_t tss[TSS_BYTES] __attribute__((aligned(128))); // 4: ESP0, 8: SS0
#define TSS_STACK 4
#endif

static uint64_t idt[256 * GATE_WORDS] __attribute__((aligned(16)));

static void set_gate(uint32_t vector, uintptr_t to, uint32_t privilege) {
  uint64_t low = to & 0xffff, high = to >> 16 & 0xffff;
  idt[vector * GATE_WORDS] = low | 0x08u << 16 | (uint64_t)(0x8e | privilege << 5) << 40 | high << 48;
#ifdef __x86_64__
  idt[vector * GATE_WORDS + 1] = to >> 32;
#endif
}

#ifdef __x86_64__
static void wrmsr(uint32_t msr, uint64_t value) {
  __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}
#endif

void tables_load(void) {
  for (uint32_t v = 0; v < 256; v++) set_gate(v, (uintptr_t)vectors + v * 16, 0);
#ifndef __x86_64__
  set_gate(0x80, (uintptr_t)system_call, 3);
  *(uint32_t *)(tss + 8) = 0x10;
#endif
  struct pointer limits = {sizeof idt - 1, (uintptr_t)idt};
  __asm__ volatile("lidt %0" ::"m"(limits));

  *(uintptr_t *)(tss + TSS_STACK) = (uintptr_t)system_stack_top;
  *(uint16_t *)(tss + 102) = TSS_BYTES; // no I/O permission map
  uint64_t base = (uintptr_t)tss;
  gdt[5] = (TSS_BYTES - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
  gdt[6] = base >> 32;
  __asm__ volatile("ltr %w0" ::"r"(0x28));
#ifdef __x86_64__
  wrmsr(0xc0000081, 0x10ull << 48 | 0x08ull << 32); // STAR: SYSRET to 0x20/0x18, SYSCALL to 0x08/0x10
  wrmsr(0xc0000082, (uintptr_t)system_call);        // LSTAR
  wrmsr(0xc0000084, 0x700);                         // FMASK: TF, IF, DF
#endif
}

/** From vectors*.S with the vector, its error code (or 0) and the interrupted address. */
void on_interrupt(uintptr_t vector, uintptr_t error, uintptr_t at) {
  uintptr_t address;
  switch (vector) {
    case 14:
      __asm__ volatile("mov %%cr2, %0" : "=r"(address));
      if (!on_page_fault || !on_page_fault((uint32_t)error, address)) fail("page fault", (uint32_t)error, at);
      return;
    case VECTOR_SOFTWARE:
      software_interrupts++;
      return;
    case VECTOR_IPI:
      ipis++;
      *(volatile uint32_t *)0xfee000b0 = 0; // EOI
      return;
    case VECTOR_SPURIOUS:
      return;
    default:
      fail("exception", (uint32_t)vector, at);
  }
}

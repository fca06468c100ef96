// What every benchmark guest is linked with: COM1, ports, descriptor tables, the user mode entry, and the pool of memory.
#pragma once
#include <stdint.h>

#define POOL ((uint8_t *)0x02000000) // 32 MiB … 192 MiB: free for the workload
#define VECTOR_SOFTWARE 0x40
#define VECTOR_IPI 0x50
#define VECTOR_SPURIOUS 0xff

/** The workload: `n` from the command line; returns the checksum, equal in every build and engine. */
uint32_t workload(uint32_t n);

/** #PF: error code and CR2. Returns 0 when the fault is not the workload's. */
typedef int (*page_fault_handler)(uint32_t error, uintptr_t address);
extern page_fault_handler on_page_fault;
extern volatile uint32_t software_interrupts, ipis;

void tables_load(void);
void fail(const char *why, uint32_t a, uintptr_t b);
void enter_user(void (*entry)(uint32_t), uint32_t argument);
uint32_t on_system_call(uint32_t a, uint32_t b, uint32_t number);

static inline void outb(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }
static inline void outl(uint16_t port, uint32_t value) { __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port)); }
static inline uint8_t inb(uint16_t port) {
  uint8_t value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static inline uint32_t mix(uint32_t sum, uint32_t value) {
  sum = (sum ^ value) * 0x9e3779b1u;
  return sum << 13 | sum >> 19;
}

/** xorshift32 (Marsaglia 2003); the state must not be 0. */
static inline uint32_t next_random(uint32_t *state) {
  uint32_t x = *state;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  return *state = x;
}

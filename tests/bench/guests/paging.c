// Page tables: 4 KiB pages mapped, remapped and unmapped with INVLPG, CR3 loads, page faults that map on demand, writes to
// read-only pages, and a scan of accessed and dirty bits (SDM vol. 3, 4.3, 4.5, 4.7, 4.8, 4.10.4).
#include "kernel.h"

#define WINDOW 0x40000000u
#define PAGES 4096u
#define FRAMES 16384u // 64 MiB of the pool
#define P 1u
#define RW 2u
#define US 4u
#define A 0x20u
#define D 0x40u
#define TABLES (POOL + 0x8000000) // 160 MiB

#ifdef __x86_64__
typedef uint64_t entry;
#else
typedef uint32_t entry;
#endif
#define SPAN (4096u / sizeof(entry)) // entries of a table

extern entry pd[]; // consecutive directories for all 4 GiB
static entry *const leaf = (entry *)TABLES;
static uint32_t random = 7, faults;

static uint32_t *page(uint32_t i) { return (uint32_t *)(uintptr_t)(WINDOW + i * 4096); }
static void invalidate(uint32_t i) { __asm__ volatile("invlpg (%0)" ::"r"((uintptr_t)page(i)) : "memory"); }
static void reload(void) {
  uintptr_t cr3;
  __asm__ volatile("mov %%cr3, %0; mov %0, %%cr3" : "=r"(cr3)::"memory");
}
static entry frame(uint32_t i) { return (entry)((uintptr_t)POOL + (i % FRAMES) * 4096); }

static int demand(uint32_t error, uintptr_t address) {
  uint32_t i = (uint32_t)(address - WINDOW) / 4096;
  if (i >= PAGES) return 0;
  faults++;
  if (!(error & P)) leaf[i] = frame(i * 5 + faults) | P | RW;
  else if (error & RW && !(leaf[i] & RW)) leaf[i] |= RW;
  else return 0;
  invalidate(i);
  return 1;
}

uint32_t workload(uint32_t n) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < FRAMES; i++) *(uint32_t *)(uintptr_t)frame(i) = i;
  for (uint32_t i = 0; i < PAGES / SPAN; i++) pd[WINDOW / 4096 / SPAN + i] = ((entry)(uintptr_t)TABLES + i * 4096) | P | RW | US;
  reload();
  on_page_fault = demand;
  for (uint32_t round = 0; round < n; round++) {
    for (uint32_t i = 0; i < PAGES; i++) { // remap and touch
      leaf[i] = frame(next_random(&random)) | P | RW;
      invalidate(i);
      sum += *page(i);
      if (i & 1) *page(i) = sum;
    }
    for (uint32_t k = 0; k < 16; k++) { // flush all, touch some
      reload();
      for (uint32_t i = k; i < PAGES; i += 61) sum = sum * 33 + *page(i);
    }
    uint32_t accessed = 0, dirty = 0;
    for (uint32_t i = 0; i < PAGES; i++) {
      accessed += (leaf[i] & A) != 0;
      dirty += (leaf[i] & D) != 0;
      leaf[i] &= ~(entry)(A | D | (i % 3 == 0 ? RW : 0) | (i % 5 == 0 ? P : 0));
    }
    reload();
    sum = mix(sum, accessed * 5000 + dirty);
    for (uint32_t i = 0; i < PAGES; i++) *page(i) += round + i; // faults on a third and a fifth
    sum = mix(sum, faults);
  }
  return sum;
}

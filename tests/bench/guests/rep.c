// REP: MOVS, STOS, SCAS and CMPS, bytes and doublewords, from 16 bytes to 64 KiB, aligned and not.
#include "kernel.h"

#define COPY(suffix, to, from, count) \
  do { void *d_ = (to); const void *s_ = (from); uintptr_t c_ = (count); \
    __asm__ volatile("rep movs" suffix : "+D"(d_), "+S"(s_), "+c"(c_)::"memory"); } while (0)
#define FILL(suffix, to, value, count) \
  do { void *d_ = (to); uintptr_t c_ = (count); \
    __asm__ volatile("rep stos" suffix : "+D"(d_), "+c"(c_) : "a"(value) : "memory"); } while (0)

static uint32_t scan(const uint8_t *in, uint8_t value, uintptr_t count) {
  const uint8_t *at = in;
  __asm__ volatile("repne scasb" : "+D"(at), "+c"(count) : "a"(value) : "memory", "cc");
  return (uint32_t)(at - in);
}

static uint32_t compare(const uint8_t *a, const uint8_t *b, uintptr_t count) {
  uintptr_t left = count;
  __asm__ volatile("repe cmpsb" : "+D"(a), "+S"(b), "+c"(left)::"memory", "cc");
  return (uint32_t)(count - left);
}

uint32_t workload(uint32_t n) {
  uint8_t *a = POOL, *b = POOL + 0x100000;
  uint32_t sum = 0;
  for (uint32_t round = 0; round < n; round++) {
    for (uint32_t size = 16; size <= 65536; size *= 4) {
      uint32_t skew = round + size / 16 & 7;
      FILL("b", a + skew, 0x11 + round, size);
      FILL("l", b, 0x01010101u * (round & 0xff), size / 4);
      COPY("l", b + skew, a + skew, size / 4);
      a[skew + size - 3] = 0xa5;
      sum = mix(sum, scan(a + skew, 0xa5, size) + compare(a + skew, b + skew, size));
      COPY("b", b + skew, a, size);
      sum = mix(sum, b[size / 2 + skew] + compare(a, b + skew, size / 8));
    }
    for (uint32_t i = 0; i < 512; i++) {
      COPY("b", b + i * 48, a + i * 32 + (i & 3), 24 + (i & 15));
      sum += b[i * 48 + 5];
    }
  }
  return sum;
}

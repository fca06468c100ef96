// Memory: copy, scale and add over three arrays of 4 MiB, in order.
#include "kernel.h"

#define WORDS (1u << 20)

uint32_t workload(uint32_t n) {
  uint32_t *a = (uint32_t *)POOL, *b = a + WORDS, *c = b + WORDS;
  for (uint32_t i = 0; i < WORDS; i++) a[i] = i * 2654435761u, b[i] = ~i;
  uint32_t sum = 0;
  for (uint32_t round = 0; round < n; round++) {
    for (uint32_t i = 0; i < WORDS; i++) c[i] = a[i];
    for (uint32_t i = 0; i < WORDS; i++) b[i] = c[i] * 3 + round;
    for (uint32_t i = 0; i < WORDS; i++) a[i] = b[i] + c[i];
    sum = mix(sum, a[round * 4099 % WORDS]);
  }
  return sum;
}

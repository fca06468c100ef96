// Memory: one random cycle through 262,144 lines of 64 bytes (16 MiB), each load's address from the one before.
#include "kernel.h"

#define LINES (1u << 18)
#define STRIDE 16

uint32_t workload(uint32_t n) {
  uint32_t *lines = (uint32_t *)POOL;
  uint32_t random = 12345;
  for (uint32_t i = 0; i < LINES; i++) lines[i * STRIDE] = i;
  for (uint32_t i = LINES - 1; i > 0; i--) { // Sattolo 1986: one cycle through all
    uint32_t j = next_random(&random) % i, t = lines[i * STRIDE];
    lines[i * STRIDE] = lines[j * STRIDE];
    lines[j * STRIDE] = t;
  }
  uint32_t at = 0, sum = 0;
  for (uint32_t round = 0; round < n; round++) {
    for (uint32_t i = 0; i < 1000000; i++) at = lines[at * STRIDE];
    sum = mix(sum, at);
  }
  return sum;
}

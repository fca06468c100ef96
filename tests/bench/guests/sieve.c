// Integer: the sieve of Eratosthenes over 256 Ki flags; strided byte stores, short loops.
#include "kernel.h"

#define SIZE (1u << 18)

uint32_t workload(uint32_t n) {
  uint8_t *composite = POOL;
  uint32_t sum = 0;
  for (uint32_t round = 0; round < n; round++) {
    for (uint32_t i = 0; i < SIZE; i++) composite[i] = 0;
    for (uint32_t i = 2; i * i < SIZE; i++)
      if (!composite[i])
        for (uint32_t j = i * i; j < SIZE; j += i) composite[j] = 1;
    uint32_t primes = 0, last = 0;
    for (uint32_t i = 2; i < SIZE; i++)
      if (!composite[i]) primes++, last = i;
    sum = mix(sum, primes ^ last << 8 ^ round);
  }
  return sum;
}

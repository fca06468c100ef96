// Branches: quicksort of random words, then binary searches for random keys; half of the comparisons cannot be foreseen.
#include "kernel.h"

#define WORDS (1u << 15)

static void sort(uint32_t *v, int32_t low, int32_t high) {
  while (low < high) {
    uint32_t pivot = v[low + (high - low) / 2];
    int32_t i = low, j = high;
    while (i <= j) {
      while (v[i] < pivot) i++;
      while (v[j] > pivot) j--;
      if (i <= j) {
        uint32_t t = v[i];
        v[i++] = v[j];
        v[j--] = t;
      }
    }
    if (j - low < high - i) {
      sort(v, low, j);
      low = i;
    } else {
      sort(v, i, high);
      high = j;
    }
  }
}

static uint32_t steps(uint32_t x) { // Collatz 3x+1
  uint32_t count = 0;
  while (x != 1) {
    if (x & 1) x = x * 3 + 1;
    else x >>= 1;
    count++;
  }
  return count;
}

uint32_t workload(uint32_t n) {
  uint32_t *v = (uint32_t *)POOL;
  uint32_t random = 99, sum = 0;
  for (uint32_t round = 0; round < n; round++) {
    for (uint32_t i = 0; i < WORDS; i++) v[i] = next_random(&random);
    sort(v, 0, WORDS - 1);
    for (uint32_t k = 0; k < WORDS; k++) {
      uint32_t key = next_random(&random), low = 0, high = WORDS;
      while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (v[middle] < key) low = middle + 1;
        else high = middle;
      }
      sum += low;
    }
    for (uint32_t k = 0; k < 2048; k++) sum += steps((next_random(&random) & 0xffff) + 1);
    sum = mix(sum, v[round % WORDS]);
  }
  return sum;
}

// Integer: 64-bit arithmetic (multiply, rotate, shift, carry), an LCG and a 128-bit product folded; two or more
// instructions for each of these in the 32-bit build.
#include "kernel.h"

static uint64_t fold(uint64_t a, uint64_t b) {
  uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
  uint64_t low = al * bl, middle = ah * bl + (low >> 32), other = al * bh + (uint32_t)middle;
  return (ah * bh + (middle >> 32) + (other >> 32)) ^ (other << 32 | (uint32_t)low);
}

uint32_t workload(uint32_t n) {
  uint64_t a = 0x243f6a8885a308d3ull, b = 0x13198a2e03707344ull, c = 0xa4093822299f31d0ull;
  for (uint32_t round = 0; round < n; round++) {
    for (uint32_t i = 0; i < 100000; i++) {
      a = a * 6364136223846793005ull + 1442695040888963407ull;
      b = (b << 23 | b >> 41) + a;
      c ^= fold(b, a ^ c);
      b -= c >> 29;
    }
  }
  uint64_t h = a ^ b ^ c;
  return mix((uint32_t)h, (uint32_t)(h >> 32));
}

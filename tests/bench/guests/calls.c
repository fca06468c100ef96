// Calls: deep recursion (Fibonacci, Takeuchi) and calls through a table of function pointers.
#include "kernel.h"

#define LONE __attribute__((noipa))

LONE static uint32_t fibonacci(uint32_t n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
LONE static int32_t tak(int32_t x, int32_t y, int32_t z) {
  return y >= x ? z : tak(tak(x - 1, y, z), tak(y - 1, z, x), tak(z - 1, x, y));
}
LONE static uint32_t f0(uint32_t x) { return x + 0x9e37; }
LONE static uint32_t f1(uint32_t x) { return x ^ x >> 5; }
LONE static uint32_t f2(uint32_t x) { return x * 5; }
LONE static uint32_t f3(uint32_t x) { return x << 7 | x >> 25; }
LONE static uint32_t f4(uint32_t x) { return ~x; }
LONE static uint32_t f5(uint32_t x) { return f0(x) - f2(x); }
LONE static uint32_t f6(uint32_t x) { return f1(f3(x)); }
LONE static uint32_t f7(uint32_t x) { return f6(x) + f5(x ^ 1); }
static uint32_t (*const volatile table[8])(uint32_t) = {f0, f1, f2, f3, f4, f5, f6, f7};

uint32_t workload(uint32_t n) {
  uint32_t sum = 1;
  for (uint32_t round = 0; round < n; round++) {
    sum = mix(sum, fibonacci(18 + round % 3));
    sum = mix(sum, (uint32_t)tak(12, 8, (int32_t)(round & 3)));
    for (uint32_t i = 0; i < 20000; i++) sum = table[(sum ^ i) & 7](sum + i);
  }
  return sum;
}

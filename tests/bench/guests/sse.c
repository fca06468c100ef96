// SSE2: a product of 48 × 48 matrices of doubles (scalar and packed), floats with square roots and compares, and integer lanes.
#include "kernel.h"

#define SIDE 48
typedef double v2d __attribute__((vector_size(16)));
typedef float v4f __attribute__((vector_size(16)));
typedef int32_t v4i __attribute__((vector_size(16)));
typedef int16_t v8s __attribute__((vector_size(16)));
typedef char v16b __attribute__((vector_size(16)));

static double a[SIDE][SIDE] __attribute__((aligned(16))), b[SIDE][SIDE] __attribute__((aligned(16))), c[SIDE][SIDE] __attribute__((aligned(16)));

static void product(void) {
  for (int i = 0; i < SIDE; i++)
    for (int j = 0; j < SIDE; j += 4) {
      v2d s = {0, 0}, t = {0, 0};
      for (int k = 0; k < SIDE; k++) {
        v2d x = {a[i][k], a[i][k]};
        s += x * *(v2d *)&b[k][j];
        t += x * *(v2d *)&b[k][j + 2];
      }
      *(v2d *)&c[i][j] = s;
      *(v2d *)&c[i][j + 2] = t;
    }
  for (int i = 0; i < SIDE; i++) { // scalar: back into a, kept near 1
    double largest = 1;
    for (int j = 0; j < SIDE; j++) largest = c[i][j] > largest ? c[i][j] : largest;
    for (int j = 0; j < SIDE; j++) a[i][j] = c[i][j] / largest + 0.001 * (double)(i - j);
  }
}

static v4f floats(v4f x) {
  v4f y = {0.5f, 1.5f, 2.5f, 3.5f};
  for (int i = 0; i < 2000; i++) {
    v4f root = __builtin_ia32_sqrtps(x * x + y);
    v4i above = root > y;
    x = (v4f)(((v4i)root & above) | ((v4i)(y - root * 0.25f) & ~above));
    y = __builtin_ia32_minps(y + x * 0.125f, x + 4.0f);
  }
  return x + y;
}

static v4i lanes(v4i x) {
  v4i sum = {1, 2, 3, 4};
  for (int i = 0; i < 4000; i++) {
    v4i y = __builtin_ia32_pshufd(x, 0x4b);
    sum += __builtin_ia32_pmaddwd128((v8s)x, (v8s)y);
    x = (v4i)__builtin_ia32_paddusb128((v16b)x, (v16b)sum) ^ (sum << 3);
    x = (v4i)__builtin_ia32_punpcklbw128((v16b)x, (v16b)sum) + (x > sum);
  }
  return x ^ sum;
}

uint32_t workload(uint32_t n) {
  uint32_t sum = 0;
  for (int i = 0; i < SIDE; i++)
    for (int j = 0; j < SIDE; j++) a[i][j] = 1.0 / (1 + i + j), b[i][j] = (double)((i * 7 + j * 3) % 11) / 8;
  v4f x = {1, 2, 3, 4};
  v4i y = {0x01234567, 0x12345678, 0x23456789, 0x3456789a};
  for (uint32_t round = 0; round < n; round++) {
    product();
    x = floats(x);
    y = lanes(y);
    union { double d; uint32_t w[2]; } corner = {a[SIDE - 1][round % SIDE]};
    v4i bits = (v4i)x;
    sum = mix(sum, corner.w[0] ^ corner.w[1]);
    for (int k = 0; k < 4; k++) sum = mix(sum, (uint32_t)bits[k] ^ (uint32_t)y[k]);
  }
  return sum;
}

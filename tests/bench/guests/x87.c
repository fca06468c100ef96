// x87: the Mandelbrot set and five bodies under gravity in 80-bit precision: add, multiply, divide, square root, compare.
#include "kernel.h"

typedef long double real;

static uint32_t mandelbrot(real top) {
  uint32_t sum = 0;
  for (int row = 0; row < 24; row++)
    for (int column = 0; column < 32; column++) {
      real cr = (real)column / 12 - 2, ci = (real)row / 12 - top, zr = 0, zi = 0;
      uint32_t k = 0;
      for (; k < 60 && zr * zr + zi * zi < 4; k++) {
        real t = zr * zr - zi * zi + cr;
        zi = 2 * zr * zi + ci;
        zr = t;
      }
      sum = sum * 31 + k;
    }
  return sum;
}

#define BODIES 5
static real at[BODIES][3], speed[BODIES][3], mass[BODIES];

static void move(real step) {
  for (int i = 0; i < BODIES; i++)
    for (int j = i + 1; j < BODIES; j++) {
      real d[3], square = 0.01L;
      for (int k = 0; k < 3; k++) d[k] = at[i][k] - at[j][k], square += d[k] * d[k];
      real pull = step / (square * __builtin_sqrtl(square));
      for (int k = 0; k < 3; k++) speed[i][k] -= d[k] * mass[j] * pull, speed[j][k] += d[k] * mass[i] * pull;
    }
  for (int i = 0; i < BODIES; i++)
    for (int k = 0; k < 3; k++) at[i][k] += step * speed[i][k];
}

uint32_t workload(uint32_t n) {
  uint32_t sum = 0;
  for (int i = 0; i < BODIES; i++) {
    mass[i] = 1 + i;
    for (int k = 0; k < 3; k++) at[i][k] = (i + 1) * (k + 2) % 7, speed[i][k] = ((i + k) % 3 - 1) / (real)4;
  }
  for (uint32_t round = 0; round < n; round++) {
    sum = mix(sum, mandelbrot(1 + (real)(round % 16) / 64));
    for (int i = 0; i < 200; i++) move(0.001L);
    union { real r; uint32_t w[3]; } bits = {at[round % BODIES][round % 3]};
    sum = mix(mix(sum, bits.w[0]), bits.w[1] ^ (bits.w[2] & 0xffff));
  }
  return sum;
}

// Indirect jumps: a bytecode interpreter with a jump at the end of every operation (GNU C labels as values).
#include "kernel.h"

enum { PUSH, DUP, SWAP, OVER, DROP, ADD, SUB, MUL, XOR, SHR, JNZ, LOOP, STORE, LOAD, HALT };

// while (counter--) { x = x * 1664525 + 1013904223; if (x >> 31) y ^= x; else y += x >> 3 }   slots: 0 x, 1 y
static const int32_t program[] = {
    /*  0 */ LOAD, 0, PUSH, 1664525, MUL, PUSH, 1013904223, ADD, DUP, STORE, 0,
    /* 11 */ DUP, PUSH, 31, SHR, JNZ, 27,
    /* 17 */ PUSH, 3, SHR, LOAD, 1, ADD, STORE, 1, LOOP, 0,
    /* 27 */ LOAD, 1, OVER, XOR, SWAP, DROP, STORE, 1, LOOP, 0,
};

uint32_t workload(uint32_t n) {
  static const void *const go[] = {&&push, &&dup, &&swap, &&over, &&drop, &&add, &&sub, &&mul, &&xor, &&shr, &&jnz, &&loop, &&store, &&load, &&halt};
  static uint32_t code[64];
  for (uint32_t i = 0; i < sizeof program / sizeof *program; i++) code[i] = (uint32_t)program[i];
  code[sizeof program / sizeof *program] = HALT;
  uint32_t slots[2] = {1, 2}, stack[16], t, sum = 0;
  for (uint32_t round = 0; round < n; round++) {
    uint32_t counter = 10000, *sp = stack;
    const uint32_t *pc = code;
#define NEXT goto *go[*pc++]
    NEXT;
  push: *sp++ = *pc++; NEXT;
  dup: *sp = sp[-1]; sp++; NEXT;
  swap: t = sp[-1]; sp[-1] = sp[-2]; sp[-2] = t; NEXT;
  over: *sp = sp[-2]; sp++; NEXT;
  drop: sp--; NEXT;
  add: sp--; sp[-1] += *sp; NEXT;
  sub: sp--; sp[-1] -= *sp; NEXT;
  mul: sp--; sp[-1] *= *sp; NEXT;
  xor: sp--; sp[-1] ^= *sp; NEXT;
  shr: sp--; sp[-1] >>= *sp & 31; NEXT;
  jnz: t = *pc++; if (*--sp) pc = code + t; NEXT;
  loop: t = *pc++; if (--counter) { pc = code + t; sp = stack; } else pc = code + sizeof program / sizeof *program; NEXT;
  store: slots[*pc++] = *--sp; NEXT;
  load: *sp++ = slots[*pc++]; NEXT;
  halt: sum = mix(sum, slots[1]);
  }
  return sum;
}

/* Runs one x87 instruction on the processor per record read from stdin and writes the record back with the state after it.
 * A memory operand is at [RDI]. FXRSTOR sets the whole state, FXSAVE takes it without reporting pending exceptions. x86-64 only.
 * Build: gcc -O1 -mno-red-zone x87-recorder.c */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

struct record { uint8_t code[8]; uint64_t rflags, rax; uint8_t memory[16], fx[512]; };

int main(void) {
  static struct record r;
  static uint8_t fx[512] __attribute__((aligned(64))), own[512] __attribute__((aligned(64))), memory[64] __attribute__((aligned(64)));
  uint8_t *code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  while (fread(&r, sizeof r, 1, stdin) == 1) {
    memcpy(code, r.code, sizeof r.code); /* ends in RET */
    memcpy(fx, r.fx, sizeof fx);
    memcpy(memory, r.memory, sizeof r.memory);
    __asm__ volatile("fxsave64 %2\n\tfxrstor64 %3\n\tpush %0\n\tpopfq\n\tcall *%5\n\tpushfq\n\tpop %0\n\t"
                     "fxsave64 %3\n\tfnclex\n\tfxrstor64 %2"
                     : "+r"(r.rflags), "+a"(r.rax), "+m"(own), "+m"(fx) : "D"(memory), "r"(code) : "memory", "cc");
    memcpy(r.fx, fx, sizeof fx);
    memcpy(r.memory, memory, sizeof r.memory);
    fwrite(&r, sizeof r, 1, stdout);
  }
  return 0;
}

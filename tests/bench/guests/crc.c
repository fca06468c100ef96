// Integer: CRC-32 (IEEE 802.3) by a table of 256 words, a byte at a time: a chain of shift, xor and dependent load.
#include "kernel.h"

#define SIZE (1u << 16)

uint32_t workload(uint32_t n) {
  static uint32_t table[256];
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t c = i;
    for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
    table[i] = c;
  }
  uint8_t *data = POOL;
  uint32_t random = 1;
  for (uint32_t i = 0; i < SIZE; i++) data[i] = (uint8_t)next_random(&random);
  uint32_t sum = 0;
  for (uint32_t round = 0; round < n; round++) {
    uint32_t crc = ~sum;
    for (uint32_t i = 0; i < SIZE; i++) crc = crc >> 8 ^ table[(crc ^ data[i]) & 0xff];
    sum = ~crc;
  }
  return sum;
}

// Runs the workload between two marker bytes on COM1 (16550, polled), prints its checksum and ends by port 0xF4.
// Command line: n=COUNT; `wait` stays after the end marker until a byte comes in, `linger` for 60,000 port reads (tens of
// milliseconds, few instructions), so that a host can read its clocks.
#include "kernel.h"

#define COM1 0x3f8
#define LSR_DATA_READY 0x01
#define LSR_THR_EMPTY 0x20
#define START_MARKER 0x02 // STX
#define END_MARKER 0x03   // ETX

static void put(char c) {
  while (!(inb(COM1 + 5) & LSR_THR_EMPTY)) {
  }
  outb(COM1, (uint8_t)c);
}

static void print(const char *text) {
  while (*text) put(*text++);
}

static void print_hex(uintptr_t value, int digits) {
  while (digits--) put("0123456789abcdef"[value >> digits * 4 & 15]);
}

static void end(uint32_t code) {
  outl(0xf4, code);
  for (;;) __asm__ volatile("cli; hlt");
}

void fail(const char *why, uint32_t a, uintptr_t b) {
  print("\nfailed: ");
  print(why);
  put(' ');
  print_hex(a, 8);
  put(' ');
  print_hex(b, sizeof b * 2);
  print("\n");
  end(1);
}

/** What follows the word `name` on the command line, or 0. */
static const char *option(const char *line, const char *name) {
  for (const char *p = line; *p; p++) {
    if (p != line && p[-1] != ' ') continue;
    const char *a = p, *b = name;
    while (*b && *a == *b) a++, b++;
    if (!*b) return a;
  }
  return 0;
}

/** `info`: the Multiboot information (Multiboot 0.6.96, 3.3): flags bit 2 says that offset 16 holds the command line. */
void kernel_main(const uint32_t *info) {
  outb(0x21, 0xff); // 8259s: all lines masked
  outb(0xa1, 0xff);
  const char *line = info[0] & 4 ? (const char *)(uintptr_t)info[4] : "";
  const char *digits = option(line, "n=");
  int stay = option(line, "wait") != 0, linger = option(line, "linger") != 0;
  uint32_t n = 0;
  while (digits && *digits >= '0' && *digits <= '9') n = n * 10 + (uint32_t)(*digits++ - '0');
  if (!n) fail("no n=COUNT on the command line", 0, 0);
  tables_load();

  put(START_MARKER);
  uint32_t sum = workload(n);
  put(END_MARKER);
  if (stay) {
    while (!(inb(COM1 + 5) & LSR_DATA_READY)) // few port reads: they are slow everywhere
      for (int i = 0; i < 256; i++) __asm__ volatile("pause");
    inb(COM1);
  }
  if (linger)
    for (int i = 0; i < 60000; i++) inb(COM1 + 5);
  print("checksum ");
  print_hex(sum, 8);
  print("\ndone\n");
  end(0);
}

void *memset(void *to, int value, __SIZE_TYPE__ length) {
  for (uint8_t *p = to; length--;) *p++ = (uint8_t)value;
  return to;
}

void *memcpy(void *to, const void *from, __SIZE_TYPE__ length) {
  const uint8_t *q = from;
  for (uint8_t *p = to; length--;) *p++ = *q++;
  return to;
}

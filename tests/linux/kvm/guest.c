// Drives /dev/kvm through three guests and prints what each did (Documentation/virt/kvm/api.rst, sections 4 and 5):
// real mode, long mode with paging, and an interrupt injected when the guest's window for it opens.
// Ends with status 0 when all went as it must, else 1 with the reason on the last line.
// Does not use: in-kernel interrupt controllers, more than one processor.

#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

// Guest-physical memory: 64 KiB from 0, code at CODE; in long mode page tables, and a page of nothing at DEVICE.
//   0 │ vectors │ 1000 code │ 2000 PML4 │ 3000 PDPT │ 4000 PD │ 5000 PT │ 6000 data │ 7000 stack │ …  D000_0000 device
#define MEMORY 0x10000
#define CODE 0x1000
#define TABLES 0x2000
#define DATA 0x6000
#define STACK 0x7000
#define DEVICE 0xd0000000u
// Linear addresses of long mode: code, data, stack and device in consecutive pages from BASE.
#define BASE 0x40000000u
#define IDENTITY_MAP 0xfffbc000u
#define LETTERS 0x10
#define STRING 0x11
#define VECTOR 0x20
#define MOST_EXITS 1000

#define CR0_PE 1u
#define CR0_PG 0x80000000u
#define CR4_PAE 0x20u
#define EFER_LME 0x100u
#define EFER_LMA 0x400u
#define PRESENT_WRITABLE 3u
#define ACCESSED_DIRTY 0x60u

__asm__(
    ".pushsection .rodata\n"
    // Letters one by one, then a string at once.
    ".code16\n"
    "real: cld\n"
    "  mov $(real_letters - real + 0x1000), %si\n"
    "1: lodsb\n"
    "  test %al, %al\n"
    "  jz 2f\n"
    "  out %al, $0x10\n"
    "  jmp 1b\n"
    "2: mov $(real_end - real_string), %cx\n"
    "  mov $0x11, %dx\n"
    "  rep outsb\n"
    "  hlt\n"
    "real_letters: .asciz \"real mode\"\n"
    "real_string: .ascii \", a string at once\"\n"
    "real_end:\n"
    // Spins with interrupts on until the handler at VECTOR sets BX.
    "interrupted: xor %bx, %bx\n"
    "  mov $0x8000, %sp\n"
    "  sti\n"
    "1: test %bx, %bx\n"
    "  jz 1b\n"
    "  mov $'r', %al\n"
    "  out %al, $0x10\n"
    "  cli\n"
    "  hlt\n"
    "handler: mov $'i', %al\n"
    "  out %al, $0x10\n"
    "  inc %bx\n"
    "  iret\n"
    "interrupted_end:\n"
    // The sum of n² for n up to 100, in decimal; the hypervisor's signature; a device register doubled.
    ".code64\n"
    "long_mode: xor %eax, %eax\n"
    "  mov $100, %ecx\n"
    "1: mov %ecx, %edx\n"
    "  imul %edx, %edx\n"
    "  add %rdx, %rax\n"
    "  dec %ecx\n"
    "  jnz 1b\n"
    "  call decimal\n"
    "  mov $0x40000000, %eax\n"
    "  cpuid\n"
    "  mov $0x40001000, %edi\n"
    "  mov %ebx, (%rdi)\n"
    "  mov %ecx, 4(%rdi)\n"
    "  mov %edx, 8(%rdi)\n"
    "  mov $0x40003000, %esi\n"
    "  mov 8(%rsi), %eax\n"
    "  add %eax, %eax\n"
    "  mov %eax, 16(%rsi)\n"
    "  hlt\n"
    // RAX in decimal to the port of letters.
    "decimal: mov $10, %ebx\n"
    "  xor %ecx, %ecx\n"
    "1: xor %edx, %edx\n"
    "  div %rbx\n"
    "  push %rdx\n"
    "  inc %ecx\n"
    "  test %rax, %rax\n"
    "  jnz 1b\n"
    "2: pop %rax\n"
    "  add $'0', %al\n"
    "  out %al, $0x10\n"
    "  dec %ecx\n"
    "  jnz 2b\n"
    "  ret\n"
    "long_end:\n"
    ".popsection\n");

extern const uint8_t real[], real_end[], interrupted[], handler[], interrupted_end[], long_mode[], long_end[];

struct guest {
  int vcpu;
  uint8_t *memory;
  struct kvm_run *run;
  char said[256];
  unsigned length, exits, windows;
  uint32_t stored;
};

static int kvm;

static void fail(const char *what) {
  perror(what);
  printf("kvm guest: failed: %s\n", what);
  exit(1);
}

static int ask(int fd, unsigned long request, unsigned long argument, const char *what) {
  int answer = ioctl(fd, request, argument);
  if (answer < 0) fail(what);
  return answer;
}
#define ASK(fd, request, argument) ask(fd, request, (unsigned long)(argument), #request)

/* A virtual machine with `code` at CODE and one processor that sees what KVM supports. */
static struct guest create(const uint8_t *code, const uint8_t *end) {
  struct guest g = {0};
  int vm = ASK(kvm, KVM_CREATE_VM, 0);
  // What Intel processors without unrestricted guests, or without EPT, run real mode with (4.21, 4.42).
  ASK(vm, KVM_SET_IDENTITY_MAP_ADDR, &(uint64_t){IDENTITY_MAP});
  ASK(vm, KVM_SET_TSS_ADDR, IDENTITY_MAP + 0x1000);
  g.memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (g.memory == MAP_FAILED) fail("guest memory");
  memcpy(g.memory + CODE, code, (size_t)(end - code));
  struct kvm_userspace_memory_region region = {.memory_size = MEMORY, .userspace_addr = (uintptr_t)g.memory};
  ASK(vm, KVM_SET_USER_MEMORY_REGION, &region);
  g.vcpu = ASK(vm, KVM_CREATE_VCPU, 0);
  g.run = mmap(NULL, (size_t)ASK(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, g.vcpu, 0);
  if (g.run == MAP_FAILED) fail("kvm_run");
  struct kvm_cpuid2 *cpuid = calloc(1, sizeof *cpuid + 100 * sizeof cpuid->entries[0]);
  cpuid->nent = 100;
  ASK(kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
  ASK(g.vcpu, KVM_SET_CPUID2, cpuid);
  free(cpuid);
  return g;
}

static void begin(struct guest *g, struct kvm_sregs *sregs, uint64_t rip, uint64_t rsp) {
  ASK(g->vcpu, KVM_SET_SREGS, sregs);
  struct kvm_regs regs = {.rip = rip, .rsp = rsp, .rflags = 2};
  ASK(g->vcpu, KVM_SET_REGS, &regs);
}

static void real_mode(struct guest *g) {
  struct kvm_sregs sregs;
  ASK(g->vcpu, KVM_GET_SREGS, &sregs);
  sregs.cs.base = sregs.cs.selector = 0;
  begin(g, &sregs, CODE, 0);
}

static void put64(struct guest *g, uint32_t at, uint64_t value) { memcpy(g->memory + at, &value, 8); }

static void long_mode_with_paging(struct guest *g) {
  put64(g, TABLES, (TABLES + 0x1000) | PRESENT_WRITABLE);
  put64(g, TABLES + 0x1000 + 8, (TABLES + 0x2000) | PRESENT_WRITABLE);
  put64(g, TABLES + 0x2000, (TABLES + 0x3000) | PRESENT_WRITABLE);
  const uint32_t pages[] = {CODE, DATA, STACK, DEVICE};
  for (uint32_t n = 0; n < 4; n++) put64(g, TABLES + 0x3000 + 8 * n, pages[n] | PRESENT_WRITABLE);

  struct kvm_sregs sregs;
  ASK(g->vcpu, KVM_GET_SREGS, &sregs);
  sregs.cr0 |= CR0_PE | CR0_PG;
  sregs.cr3 = TABLES;
  sregs.cr4 |= CR4_PAE;
  sregs.efer |= EFER_LME | EFER_LMA;
  struct kvm_segment segment = {.limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
  sregs.cs = segment;
  segment.selector = 16;
  segment.type = 3;
  segment.l = 0;
  segment.db = 1;
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = segment;
  begin(g, &sregs, BASE, BASE + 0x3000);
}

/* Runs to HLT. Letters and strings that come out of the ports are `said`; a read of the device gives its address's low byte times 100. */
static void run(struct guest *g, const char *name) {
  struct kvm_run *r = g->run;
  for (; g->exits < MOST_EXITS; g->exits++) {
    ASK(g->vcpu, KVM_RUN, 0);
    switch (r->exit_reason) {
      case KVM_EXIT_HLT:
        g->said[g->length] = 0;
        return;
      case KVM_EXIT_IO:
        if (r->io.direction != KVM_EXIT_IO_OUT || r->io.size != 1 || (r->io.port != LETTERS && r->io.port != STRING)) {
          printf("kvm guest: failed: %s: port %x\n", name, r->io.port);
          exit(1);
        }
        for (uint32_t n = 0; n < r->io.count && g->length < sizeof g->said - 1; n++) g->said[g->length++] = ((char *)r)[r->io.data_offset + n];
        break;
      case KVM_EXIT_MMIO:
        if (r->mmio.len != 4 || r->mmio.phys_addr - DEVICE > 0xff) {
          printf("kvm guest: failed: %s: device %llx\n", name, (unsigned long long)r->mmio.phys_addr);
          exit(1);
        }
        if (r->mmio.is_write) memcpy(&g->stored, r->mmio.data, 4);
        else memcpy(r->mmio.data, &(uint32_t){(uint32_t)(r->mmio.phys_addr - DEVICE) * 100}, 4);
        break;
      case KVM_EXIT_IRQ_WINDOW_OPEN:
        g->windows++;
        r->request_interrupt_window = 0;
        ASK(g->vcpu, KVM_INTERRUPT, (&(struct kvm_interrupt){.irq = VECTOR}));
        break;
      default:
        printf("kvm guest: failed: %s: exit reason %u, hardware %llx\n", name, r->exit_reason,
               (unsigned long long)(r->exit_reason == KVM_EXIT_FAIL_ENTRY ? r->fail_entry.hardware_entry_failure_reason : r->hw.hardware_exit_reason));
        exit(1);
    }
  }
  printf("kvm guest: failed: %s: no end after %u exits\n", name, g->exits);
  exit(1);
}

int main(void) {
  setbuf(stdout, NULL);
  kvm = open("/dev/kvm", O_RDWR);
  if (kvm < 0) fail("open /dev/kvm");
  printf("kvm guest: API version %d\n", ASK(kvm, KVM_GET_API_VERSION, 0));

  struct guest first = create(real, real_end);
  real_mode(&first);
  run(&first, "real mode");
  printf("kvm guest: real mode said \"%s\" in %u exits and halted\n", first.said, first.exits);

  struct guest second = create(long_mode, long_end);
  long_mode_with_paging(&second);
  run(&second, "long mode");
  uint64_t entry;
  memcpy(&entry, second.memory + TABLES + 0x3000 + 8, 8);
  printf("kvm guest: long mode said \"%s\", runs on \"%.12s\", stored %u, data page %s, in %u exits and halted\n", second.said,
         second.memory + DATA, second.stored, (entry & ACCESSED_DIRTY) == ACCESSED_DIRTY ? "dirty" : "clean", second.exits);

  struct guest third = create(interrupted, interrupted_end);
  const uint16_t vector[2] = {(uint16_t)(CODE + (handler - interrupted)), 0};
  memcpy(third.memory + 4 * VECTOR, vector, sizeof vector);
  real_mode(&third);
  third.run->request_interrupt_window = 1;
  run(&third, "interrupt");
  printf("kvm guest: interrupted guest said \"%s\" with %u windows and halted\n", third.said, third.windows);
  puts("kvm guest: all well");
  return 0;
}

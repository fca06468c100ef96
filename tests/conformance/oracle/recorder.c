/* Recorder: runs single instructions on the host processor and reports every architectural effect.
 * Linux x86-64 only. One case = one rt_sigreturn into user state with RFLAGS.TF set (SDM vol. 3, 18.3.1.4)
 * and one signal back out. Input and output formats: oracle/hardware.ts. Memory layout: oracle/machine.ts.
 * Not recorded: segment registers, debug registers, anything above x86-64-v2 (YMM, opmask, PKRU). */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum { PAGE = 4096, DATA_SIZE = 2 * PAGE, FX_SIZE = 416, STACK_SIZE = 1 << 16, REPEAT_LIMIT = 1 << 14 };
enum { FLAG_REPEAT = 1 };
enum { VECTOR_NONE = 0xFF, VECTOR_KILLED = 0xFE, VECTOR_DB = 1 };
enum { NT = 1 << 14, AC = 1 << 18, ID = 1 << 21, TF = 1 << 8 };
#define DATA ((uint8_t *)0x10000000)
#define CODE ((uint8_t *)0x20000000)
#define FS_BASE 0x10000080ull
#define GS_BASE 0x10000100ull
#define RECORD_MAX (sizeof(struct outcome) + DATA_SIZE * 2)

struct __attribute__((packed)) header { char magic[4]; uint32_t count; uint8_t background[DATA_SIZE]; };
struct __attribute__((packed)) input {
  uint32_t id;
  uint8_t length, steps, flags, reserved;
  uint16_t patches, reserved2;
  uint8_t code[32];
  uint64_t gpr[16], rflags;
  uint8_t fx[FX_SIZE];
};
struct __attribute__((packed)) run { uint16_t offset, length; };
struct __attribute__((packed)) outcome {
  uint32_t id;
  uint8_t vector, signal, steps, reserved;
  int32_t si_code;
  uint32_t error;
  uint64_t address, cr2, gpr[16], rflags, rip, fs, gs;
  uint8_t fx[FX_SIZE];
  uint16_t runs, reserved2;
};
struct shared { volatile uint32_t next; volatile uint64_t written; uint8_t records[]; };

/* hardware number (RAX RCX RDX RBX RSP RBP RSI RDI R8 … R15) to index in gregs */
static const int greg[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

static struct header *stream;
static uint8_t **cases;
static struct shared *shared;
static uint8_t before[DATA_SIZE];
static uint64_t own_fs, own_gs;
static int started, steps_done, repeats;

static inline uint64_t rdfs(void) { uint64_t v; __asm__ volatile("rdfsbase %0" : "=r"(v)); return v; }
static inline uint64_t rdgs(void) { uint64_t v; __asm__ volatile("rdgsbase %0" : "=r"(v)); return v; }
static inline void wrfs(uint64_t v) { __asm__ volatile("wrfsbase %0" : : "r"(v)); }
static inline void wrgs(uint64_t v) { __asm__ volatile("wrgsbase %0" : : "r"(v)); }

static uint64_t start_of(const struct input *c) { return (uint64_t)CODE + PAGE - c->length; }

/* Memory, code and register state of one case into the signal frame. */
static void load(ucontext_t *uc, const struct input *c)
{
  const uint8_t *p = (const uint8_t *)(c + 1);
  memcpy(before, stream->background, DATA_SIZE);
  for (int i = 0; i < c->patches; i++) {
    struct run r;
    memcpy(&r, p, sizeof r);
    p += sizeof r;
    memcpy(before + r.offset, p, r.length);
    p += r.length;
  }
  memcpy(DATA, before, DATA_SIZE);
  memcpy((void *)start_of(c), c->code, c->length);
  greg_t *g = uc->uc_mcontext.gregs;
  for (int i = 0; i < 16; i++) g[greg[i]] = (greg_t)c->gpr[i];
  g[REG_RIP] = (greg_t)start_of(c);
  g[REG_EFL] = (greg_t)(c->rflags | TF);
  uint8_t *fx = (uint8_t *)uc->uc_mcontext.fpregs;
  memcpy(fx, c->fx, FX_SIZE);
  uint32_t mxcsr_mask = 0xFFFF;
  memcpy(fx + 28, &mxcsr_mask, 4);
  uint64_t bv;
  memcpy(&bv, fx + 512, 8); /* XSTATE_BV (SDM vol. 1, 13.4.2): x87 and SSE come from this image */
  bv |= 3;
  memcpy(fx + 512, &bv, 8);
  steps_done = 0;
  repeats = 0;
}

static uint16_t changes(uint8_t *out, uint64_t *size)
{
  uint16_t runs = 0;
  uint64_t n = 0;
  for (int i = 0; i < DATA_SIZE;) {
    if ((i & 63) == 0 && memcmp(DATA + i, before + i, 64) == 0) { i += 64; continue; }
    if (DATA[i] == before[i]) { i++; continue; }
    int end = i + 1;
    for (int same = 0, j = end; j < DATA_SIZE && same < 4; j++) {
      if (DATA[j] == before[j]) same++;
      else { same = 0; end = j + 1; }
    }
    struct run r = { (uint16_t)i, (uint16_t)(end - i) };
    memcpy(out + n, &r, sizeof r);
    memcpy(out + n + sizeof r, DATA + i, r.length);
    n += sizeof r + r.length;
    runs++;
    i = end;
  }
  *size = n;
  return runs;
}

static void store(int signal, const siginfo_t *info, const ucontext_t *uc, const struct input *c, uint64_t fs, uint64_t gs)
{
  struct outcome o = { .id = c->id, .signal = (uint8_t)signal, .steps = (uint8_t)steps_done, .si_code = info->si_code, .fs = fs, .gs = gs };
  const greg_t *g = uc->uc_mcontext.gregs;
  int trapped = signal == SIGTRAP && g[REG_TRAPNO] == VECTOR_DB;
  o.vector = trapped ? VECTOR_NONE : (uint8_t)g[REG_TRAPNO];
  o.error = trapped ? 0 : (uint32_t)g[REG_ERR];
  o.address = (uint64_t)info->si_addr;
  o.cr2 = o.vector == 14 ? (uint64_t)g[REG_CR2] : 0;
  for (int i = 0; i < 16; i++) o.gpr[i] = (uint64_t)g[greg[i]];
  o.rflags = (uint64_t)g[REG_EFL];
  o.rip = (uint64_t)g[REG_RIP];
  memcpy(o.fx, uc->uc_mcontext.fpregs, FX_SIZE);
  uint8_t *at = shared->records + shared->written;
  uint64_t size;
  o.runs = changes(at + sizeof o, &size);
  memcpy(at, &o, sizeof o);
  shared->written += sizeof o + size;
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
  /* The guest instruction may have left AC, NT and ID set and FS elsewhere: own flags and TLS first. */
  __asm__ volatile("pushfq\n\tandq %0, (%%rsp)\n\tpopfq" : : "i"(~(NT | AC | ID)) : "memory", "cc");
  uint64_t fs = rdfs(), gs = rdgs();
  wrfs(own_fs);
  wrgs(own_gs);
  ucontext_t *uc = context;
  if (started) {
    const struct input *c = (const struct input *)cases[shared->next];
    if (signal == SIGTRAP) {
      int again = (c->flags & FLAG_REPEAT) && (uint64_t)uc->uc_mcontext.gregs[REG_RIP] == start_of(c) && ++repeats < REPEAT_LIMIT;
      if (again || ++steps_done < c->steps) {
        uc->uc_mcontext.gregs[REG_EFL] |= TF;
        wrgs(gs);
        wrfs(fs);
        return;
      }
    }
    store(signal, info, uc, c, fs, gs);
    shared->next++;
  }
  started = 1;
  if (shared->next == stream->count) _exit(0);
  load(uc, (const struct input *)cases[shared->next]);
  wrgs(GS_BASE);
  wrfs(FS_BASE);
}

static void child(void)
{
  static uint8_t stack[STACK_SIZE] __attribute__((aligned(64)));
  stack_t alternate = { .ss_sp = stack, .ss_size = sizeof stack };
  sigaltstack(&alternate, NULL);
  struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
  sigemptyset(&action.sa_mask);
  const int signals[] = { SIGTRAP, SIGSEGV, SIGILL, SIGFPE, SIGBUS };
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &action, NULL);
  own_fs = rdfs();
  own_gs = rdgs();
  alarm(60);
  raise(SIGTRAP);
  _exit(1);
}

static void refuse(const char *what)
{
  fprintf(stderr, "recorder: %s\n", what);
  exit(2);
}

static void read_stream(void)
{
  size_t size = 0, room = 1 << 20;
  uint8_t *data = malloc(room);
  for (;;) {
    if (!data) refuse("out of memory");
    ssize_t n = read(0, data + size, room - size);
    if (n < 0) refuse(strerror(errno));
    if (n == 0) break;
    size += (size_t)n;
    if (size == room) data = realloc(data, room *= 2);
  }
  stream = (struct header *)data;
  if (size < sizeof *stream || memcmp(stream->magic, "R1OI", 4)) refuse("not a case stream");
  cases = calloc(stream->count + 1, sizeof *cases);
  uint8_t *p = data + sizeof *stream, *end = data + size;
  for (uint32_t i = 0; i < stream->count; i++) {
    struct input *c = (struct input *)p;
    if ((size_t)(end - p) < sizeof *c) refuse("case stream ends early");
    if (c->length < 1 || c->length > sizeof c->code || c->steps < 1) refuse("bad code length or step count");
    cases[i] = p;
    p += sizeof *c;
    for (int j = 0; j < c->patches; j++) {
      struct run r;
      if ((size_t)(end - p) < sizeof r) refuse("case stream ends early");
      memcpy(&r, p, sizeof r);
      p += sizeof r;
      if (r.offset + r.length > DATA_SIZE || (size_t)(end - p) < r.length) refuse("bad memory patch");
      p += r.length;
    }
  }
}

static void map_layout(void)
{
  int fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  /* The guards are reserved and given back, so that nothing else is mapped there when a case runs. */
  uint8_t *data = mmap(DATA - PAGE, DATA_SIZE + 2 * PAGE, PROT_NONE, fixed, -1, 0);
  uint8_t *code = mmap(CODE - PAGE, 3 * PAGE, PROT_NONE, fixed, -1, 0);
  if (data != DATA - PAGE || code != CODE - PAGE) refuse("the fixed addresses are taken");
  if (mprotect(DATA, DATA_SIZE, PROT_READ | PROT_WRITE) || mprotect(CODE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC)) refuse("mprotect");
}

int main(void)
{
  read_stream();
  size_t room = sizeof *shared + (size_t)(stream->count + 1) * RECORD_MAX;
  shared = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (shared == MAP_FAILED) refuse("no room for the records");
  map_layout();
  /* A case that kills its child is recorded as killed, and a new child goes on behind it. */
  while (shared->next < stream->count) {
    pid_t pid = fork();
    if (pid < 0) refuse("fork");
    if (pid == 0) child();
    int status;
    waitpid(pid, &status, 0);
    if (shared->next < stream->count) {
      const struct input *c = (const struct input *)cases[shared->next];
      struct outcome o = { .id = c->id, .vector = VECTOR_KILLED, .signal = WIFSIGNALED(status) ? (uint8_t)WTERMSIG(status) : 0 };
      memcpy(shared->records + shared->written, &o, sizeof o);
      shared->written += sizeof o;
      shared->next++;
    }
  }
  for (uint64_t at = 0; at < shared->written;) {
    ssize_t n = write(1, shared->records + at, shared->written - at);
    if (n < 0) refuse(strerror(errno));
    at += (uint64_t)n;
  }
  return 0;
}

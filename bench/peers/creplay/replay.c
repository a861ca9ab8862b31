// A replayer for allocators behind the C interface: whatever malloc is in the
// process, by linking or by LD_PRELOAD, is what is measured. It does what the
// package bench/replay does for allocators behind the Go interface, with the
// same programs, the same order of touches and the same readings, and keeps
// clear of malloc itself: programs come by mmap, results go out by write.
//
//   creplay time PROGRAM REPS     one cold pass, then REPS warm ones
//   creplay memory PROGRAM        resident growth at the points of DESIGN
//   creplay pair SIZE N           malloc and free of one block, N times
//   creplay random COUNT ROUNDS   mixed blocks freed in random order
//   creplay larson THREADS OPS    blocks that another thread freed or will free
//   creplay large THREADS OPS     the same with blocks of 1 to 9 KiB
//   creplay handover BLOCKS       one thread allocates, another frees
//   creplay misuse KIND           double, interior, foreign
//
// Figures are printed one a line, as "name value".
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { op_malloc, op_free, op_realloc, op_calloc };

struct instr {
  uint32_t slot, op, a, b;
};

struct header {
  char magic[8];
  uint32_t slots, ops, left, zero;
  uint64_t peak;
};

static const struct header *head;
static const struct instr *code;
static void **table;

static void die(const char *what) {
  write(2, what, strlen(what));
  write(2, "\n", 1);
  _exit(3);
}

static void print(const char *name, double v) {
  char buf[128];
  int n = snprintf(buf, sizeof buf, "%s %.6f\n", name, v);
  write(1, buf, n);
}

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

// load maps a program and an empty table, both resident before anything is
// measured.
static void load(const char *path) {
  int fd = open(path, O_RDONLY);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) != 0) die("cannot open the program");
  char *p = mmap(0, st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (p == MAP_FAILED) die("no memory for the program");
  for (off_t done = 0; done < st.st_size;) {
    ssize_t n = read(fd, p + done, st.st_size - done);
    if (n <= 0) die("cannot read the program");
    done += n;
  }
  close(fd);
  head = (struct header *)p;
  if (memcmp(head->magic, "mlprog1\n", 8) != 0) die("not a program");
  code = (struct instr *)(p + sizeof *head);
  table = mmap(0, head->slots * sizeof *table, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (table == MAP_FAILED) die("no memory for the table");
}

// pass executes the program, writing the first byte of each block.
static void pass(void) {
  for (uint32_t i = 0; i < head->ops; i++) {
    const struct instr *in = &code[i];
    char *p;
    size_t size;
    switch (in->op) {
    case op_malloc:
      size = in->a;
      p = malloc(size);
      break;
    case op_free:
      p = table[in->slot];
      table[in->slot] = 0;
      free(p);
      continue;
    case op_realloc:
      size = in->a;
      if (size == 0 && table[in->slot]) { // what C says of this is nobody's guess
        free(table[in->slot]);
        p = 0;
        break;
      }
      p = realloc(table[in->slot], size);
      break;
    default:
      size = (size_t)in->a * in->b;
      p = calloc(in->a, in->b);
    }
    if (size > 0) {
      if (!p) die("out of memory");
      *p = (char)i;
    }
    table[in->slot] = p;
  }
}

static void free_left(void) {
  for (uint32_t i = 0; i < head->left; i++) {
    const struct instr *in = &code[head->ops + i];
    free(table[in->slot]);
    table[in->slot] = 0;
  }
}

static void time_program(int reps) {
  double start = now_ns();
  pass();
  double cold = now_ns() - start;
  print("cold", cold / head->ops);
  int passes = cold > 0 ? 20e6 / cold : 1;
  if (passes < 1) passes = 1;
  if (passes > 1000) passes = 1000;
  for (int r = 0; r < reps; r++) {
    double spent = 0;
    for (int k = 0; k < passes; k++) {
      free_left();
      start = now_ns();
      pass();
      spent += now_ns() - start;
    }
    print("warm", spent / passes / head->ops);
  }
}

// kib reads the figure of one line of smaps_rollup, in bytes.
static int64_t kib(const char *text, const char *label) {
  const char *at = strstr(text, label);
  return at ? strtoll(at + strlen(label), 0, 10) << 10 : 0;
}

static int rollup;

static int64_t resident(void) {
  static char buf[2048];
  ssize_t n = pread(rollup, buf, sizeof buf - 1, 0);
  if (n <= 0) die("cannot read smaps_rollup");
  buf[n] = 0;
  return kib(buf, "\nAnonymous:") + kib(buf, "\nPss_Shmem:");
}

static void touch(char *p, size_t size) {
  for (size_t i = 0; i < size; i += 4096) p[i] = 1;
  if (size > 0) p[size - 1] = 1;
}

static void memory(void) {
  rollup = open("/proc/self/smaps_rollup", O_RDONLY);
  resident();
  int64_t before = resident(), live = 0, last_rise = 0, peak = 0;
  uint64_t done = 0;
  double live_sum = 0, grown_sum = 0; // over the even points
  for (uint32_t i = 0; i < head->ops; i++) {
    const struct instr *in = &code[i];
    char *p = 0;
    size_t size = in->op == op_calloc ? (size_t)in->a * in->b : in->op == op_free ? 0 : in->a;
    live += (int64_t)size - (in->op == op_free || in->op == op_realloc ? in->b : 0);
    if (in->op == op_malloc) p = malloc(size);
    else if (in->op == op_calloc) p = calloc(in->a, in->b);
    else if (in->op == op_realloc && size > 0) p = realloc(table[in->slot], size);
    else free(table[in->slot]);
    if (size > 0 && !p) die("out of memory");
    table[in->slot] = p;
    touch(p, size);
    uint64_t due = (uint64_t)(i + 1) * 300 / head->ops;
    int even = due > done, rise = live > last_rise + last_rise / 100;
    if (!even && !rise) continue;
    done = due;
    if (live > last_rise) last_rise = live;
    int64_t grown = resident() - before;
    if (grown > peak) peak = grown;
    if (even && grown > 0) {
      live_sum += live;
      grown_sum += grown;
    }
  }
  print("resident", peak);
  print("utilisation", (double)head->peak / peak);
  print("mean", grown_sum > 0 ? live_sum / grown_sum : 0);
}

static void pair(size_t size, long n) {
  for (int round = 0; round < 8; round++) {
    double start = now_ns();
    for (long i = 0; i < n; i++) {
      char *p = malloc(size);
      *(volatile char *)p = 1;
      free(p);
    }
    print("call", (now_ns() - start) / (2.0 * n));
  }
}

// next is the generator that the Go side uses as well: equal seeds, equal sizes.
static uint32_t next(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return *state >> 33;
}

// below returns a number below n, without a division.
static uint32_t below(uint64_t *state, uint32_t n) { return (uint64_t)next(state) * n >> 31; }

// mixed returns sizes as programs ask for them: mostly small, a few large.
static size_t mixed(uint64_t *state) {
  uint32_t r = next(state), class = r % 100;
  if (class < 70) return 16 + next(state) % 112;
  if (class < 95) return 128 + next(state) % 896;
  return 1024 + next(state) % 7168;
}

static void random_order(int count, int rounds) {
  char **blocks = mmap(0, count * sizeof *blocks, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  uint64_t state = 1;
  for (int r = 0; r < rounds; r++) {
    double frees = 0;
    for (int i = 0; i < count; i++) {
      blocks[i] = malloc(mixed(&state));
      *blocks[i] = 1;
    }
    for (int i = count - 1; i > 0; i--) {
      int k = next(&state) % (i + 1);
      char *t = blocks[i];
      blocks[i] = blocks[k];
      blocks[k] = t;
    }
    double start = now_ns();
    for (int i = 0; i < count; i++) free(blocks[i]);
    frees = now_ns() - start;
    print("call", frees / count);
  }
}

// larson: each thread owns an array of blocks, frees one at random and allocates
// another in its place; arrays move on to the next thread after every turn.
enum { larson_blocks = 1000, larson_turn = 500000, larson_turns = 20 };
static char *arrays[64][larson_blocks];
static int threads;
static long ops_per_thread;
static uint32_t larson_count = larson_blocks, larson_least = 16, larson_sizes = 497;
static _Atomic int meet_here, meet_turn;

// meet holds the threads until all have come. None sleeps: to wake it takes as long as
// thousands of operations.
static void meet(void) {
  int turn = atomic_load(&meet_turn);
  if (atomic_fetch_add(&meet_here, 1) + 1 == threads) {
    atomic_store(&meet_here, 0);
    atomic_fetch_add(&meet_turn, 1);
    return;
  }
  while (atomic_load(&meet_turn) == turn) sched_yield();
}

static void *larson_thread(void *arg) {
  int self = (int)(intptr_t)arg;
  uint64_t state = 100 + self;
  long turns = ops_per_thread / larson_turn;
  if (turns < larson_turns) turns = larson_turns;
  meet();
  for (long turn = 0; turn < turns; turn++) {
    char **mine = arrays[(self + turn) % threads];
    for (long i = 0; i < ops_per_thread / turns; i++) {
      uint32_t k = below(&state, larson_count);
      size_t size = larson_least + below(&state, larson_sizes);
      free(mine[k]);
      mine[k] = malloc(size);
      *mine[k] = 1;
    }
    meet();
  }
  return 0;
}

static void larson(int n, long ops) {
  threads = n;
  ops_per_thread = ops / n;
  for (int round = 0; round < 5; round++) {
    pthread_t id[64];
    double start = now_ns();
    for (int i = 0; i < n; i++) pthread_create(&id[i], 0, larson_thread, (void *)(intptr_t)i);
    for (int i = 0; i < n; i++) pthread_join(id[i], 0);
    print("op", (now_ns() - start) / (ops_per_thread * n));
  }
}

// handover: batches of blocks go from one thread to the other through a ring.
enum { batch = 64, ring = 64 };
static char *queue[ring][batch];
static _Atomic long written, taken;
static long batches;

static void *consume(void *arg) {
  (void)arg;
  for (long i = 0; i < batches; i++) {
    while (atomic_load_explicit(&written, memory_order_acquire) <= i) sched_yield();
    for (int k = 0; k < batch; k++) free(queue[i % ring][k]);
    atomic_store_explicit(&taken, i + 1, memory_order_release);
  }
  return 0;
}

static void handover(long blocks) {
  batches = blocks / batch;
  for (int round = 0; round < 7; round++) {
    pthread_t id;
    uint64_t state = 7;
    written = taken = 0;
    double start = now_ns();
    pthread_create(&id, 0, consume, 0);
    for (long i = 0; i < batches; i++) {
      while (i - atomic_load_explicit(&taken, memory_order_acquire) >= ring) sched_yield();
      for (int k = 0; k < batch; k++) {
        char *p = malloc(16 + next(&state) % 497);
        *p = 1;
        queue[i % ring][k] = p;
      }
      atomic_store_explicit(&written, i + 1, memory_order_release);
    }
    pthread_join(id, 0);
    print("block", (now_ns() - start) / (batches * batch));
  }
}

// misuse frees what must not be freed. If the allocator says nothing, it is
// asked for blocks of the same size until it hands out live memory.
static void misuse(const char *kind) {
  char *volatile a = malloc(64), *volatile b = malloc(64), *volatile c = malloc(64);
  memset(b, 'b', 64);
  if (strcmp(kind, "double") == 0) {
    free(a);
    free(c);
    free(a);
  } else if (strcmp(kind, "interior") == 0) {
    free(b + 16);
  } else {
    char *page = mmap(0, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    free(page + 4096);
  }
  char *got[200];
  for (int i = 0; i < 200; i++) {
    got[i] = malloc(64);
    for (int k = 0; k < i; k++)
      if (got[k] == got[i]) {
        write(1, "twice 1\n", 8);
        _exit(0);
      }
    if (got[i] > b - 64 && got[i] < b + 64 && strcmp(kind, "interior") == 0) {
      write(1, "overlap 1\n", 10);
      _exit(0);
    }
  }
  write(1, "silent 1\n", 9);
  _exit(0);
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "";
  if (argc == 4 && strcmp(mode, "time") == 0) {
    load(argv[2]);
    time_program(atoi(argv[3]));
  } else if (argc == 3 && strcmp(mode, "memory") == 0) {
    load(argv[2]);
    memory();
  } else if (argc == 4 && strcmp(mode, "pair") == 0) {
    pair(atoi(argv[2]), atol(argv[3]));
  } else if (argc == 4 && strcmp(mode, "random") == 0) {
    random_order(atoi(argv[2]), atoi(argv[3]));
  } else if (argc == 4 && strcmp(mode, "larson") == 0) {
    larson(atoi(argv[2]), atol(argv[3]));
  } else if (argc == 4 && strcmp(mode, "large") == 0) {
    larson_count = larson_blocks / 5, larson_least = 1040, larson_sizes = 8000;
    larson(atoi(argv[2]), atol(argv[3]));
  } else if (argc == 3 && strcmp(mode, "handover") == 0) {
    handover(atol(argv[2]));
  } else if (argc == 3 && strcmp(mode, "misuse") == 0) {
    misuse(argv[2]);
  } else {
    die("usage: see the comment at the top of replay.c");
  }
  return 0;
}

// A library to be preloaded: it writes what a program asks of malloc to the file that
// MEMLAB_RECORD names, 32 bytes a call, for convert.go to read.
//
// A lock is held across each call, so that the order of the records is the one in which
// blocks were handed out and came back. The file is mapped a window at a time: what was written
// is there however the process ends. Only the first process to open the file records, not those
// that it forks or starts; if it becomes another program by exec, that one.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// The first record has the magic number as its op, and the process as its size; one whose op is
// 0 is past the end.
enum { op_end, op_malloc, op_realloc, op_free };
#define MAGIC 0x31636572626d656dull // "membrec1" in memory

struct record {
  uint64_t op, size, block, old;
};

enum { window_records = 1 << 17 };
#define WINDOW_BYTES (window_records * sizeof(struct record))

static struct {
  void *(*malloc)(size_t);
  void (*free)(void *);
  void *(*calloc)(size_t, size_t);
  void *(*realloc)(void *, size_t);
  void *(*memalign)(size_t, size_t);
  int (*posix_memalign)(void **, size_t, size_t);
} real;

static enum { unset, setting, set } state;
static atomic_flag lock_word = ATOMIC_FLAG_INIT;
static __thread int inside __attribute__((tls_model("initial-exec"))); // a recorded call

static int file = -1; // -1: nothing is recorded
static struct record *window;
static size_t used; // records in the window
static off_t window_at;
static uint64_t left; // records that may still be written

static void lock(void) {
  while (atomic_flag_test_and_set_explicit(&lock_word, memory_order_acquire)) sched_yield();
}

static void unlock(void) { atomic_flag_clear_explicit(&lock_word, memory_order_release); }

// next_window maps what comes next of the file, or ends the recording.
static void next_window(void) {
  if (window) {
    munmap(window, WINDOW_BYTES);
    window_at += WINDOW_BYTES;
  }
  window = MAP_FAILED;
  if (ftruncate(file, window_at + WINDOW_BYTES) == 0)
    window = mmap(0, WINDOW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, window_at);
  if (window == MAP_FAILED) {
    window = 0;
    close(file);
    file = -1;
  }
  used = 0;
}

static void write_record(uint64_t op, uint64_t size, void *block, void *old) {
  if (file < 0 || left == 0) return;
  if (used == window_records) next_window();
  if (file < 0) return;
  left--;
  struct record *r = &window[used++];
  r->size = size;
  r->block = (uintptr_t)block;
  r->old = (uintptr_t)old;
  r->op = op;
}

// open_first opens the file if there is none, or if this process has made it before an exec.
static int open_first(const char *name) {
  struct record first;
  int made = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (made >= 0) return made;
  int old = open(name, O_RDWR | O_CLOEXEC);
  if (old < 0) return -1;
  if (read(old, &first, sizeof first) == sizeof first && first.size == (uint64_t)getpid() && ftruncate(old, 0) == 0)
    return old;
  close(old);
  return -1;
}

static void begin_recording(void) {
  const char *name = getenv("MEMLAB_RECORD"), *most = getenv("MEMLAB_RECORD_CALLS");
  if (!name) return;
  int low = open_first(name);
  if (low < 0) return;
  file = fcntl(low, F_DUPFD_CLOEXEC, 700); // out of the way of programs that count on low numbers
  if (file < 0)
    file = low;
  else
    close(low);
  left = (most ? strtoull(most, 0, 10) : UINT64_MAX - 1) + 1;
  next_window();
  write_record(MAGIC, getpid(), 0, 0);
}

// What dlsym itself asks for before the real functions are known, and is never freed.
static char early[1 << 16] __attribute__((aligned(16)));
static size_t early_used;

static void *early_malloc(size_t size) {
  size = (size + 15) & ~(size_t)15;
  if (size > sizeof early - early_used) abort();
  early_used += size;
  return early + early_used - size;
}

static int is_early(void *p) { return (char *)p >= early && (char *)p < early + sizeof early; }

// ready looks the real functions up, and reports whether they are known.
static int ready(void) {
  if (state == set) return 1;
  if (state == setting) return 0;
  state = setting;
  real.malloc = dlsym(RTLD_NEXT, "malloc");
  real.free = dlsym(RTLD_NEXT, "free");
  real.calloc = dlsym(RTLD_NEXT, "calloc");
  real.realloc = dlsym(RTLD_NEXT, "realloc");
  real.memalign = dlsym(RTLD_NEXT, "memalign");
  real.posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
  begin_recording();
  state = set;
  return 1;
}

static void stop_in_child(void) {
  file = -1;
  unlock();
}

__attribute__((constructor)) static void start(void) {
  ready();
  pthread_atfork(lock, unlock, stop_in_child);
}

static void enter(void) {
  inside++;
  lock();
}

static void leave(void) {
  unlock();
  inside--;
}

static void *noted(size_t size, void *block) {
  if (block) write_record(op_malloc, size, block, 0);
  leave();
  return block;
}

void *malloc(size_t size) {
  if (!ready()) return early_malloc(size);
  if (inside) return real.malloc(size);
  enter();
  return noted(size, real.malloc(size));
}

void *calloc(size_t count, size_t size) {
  if (!ready()) return early_malloc(count * size);
  if (inside) return real.calloc(count, size);
  enter();
  return noted(count * size, real.calloc(count, size));
}

void *memalign(size_t align, size_t size) {
  if (!ready()) abort();
  if (inside) return real.memalign(align, size);
  enter();
  return noted(size, real.memalign(align, size));
}

void *aligned_alloc(size_t align, size_t size) { return memalign(align, size); }

void *valloc(size_t size) { return memalign(sysconf(_SC_PAGESIZE), size); }

int posix_memalign(void **block, size_t align, size_t size) {
  if (!ready()) abort();
  if (inside) return real.posix_memalign(block, align, size);
  enter();
  int err = real.posix_memalign(block, align, size);
  noted(size, err ? 0 : *block);
  return err;
}

void free(void *block) {
  if (!block || is_early(block) || !ready()) return;
  if (inside) {
    real.free(block);
    return;
  }
  int err = errno;
  enter();
  write_record(op_free, 0, block, 0);
  real.free(block);
  leave();
  errno = err;
}

void *realloc(void *old, size_t size) {
  if (!old) return malloc(size);
  if (is_early(old)) {
    size_t most = early + sizeof early - (char *)old;
    void *block = malloc(size);
    return block ? memcpy(block, old, size < most ? size : most) : 0;
  }
  if (!ready()) abort();
  if (inside) return real.realloc(old, size);
  enter();
  void *block = real.realloc(old, size);
  if (block)
    write_record(op_realloc, size, block, old);
  else if (size == 0)
    write_record(op_free, 0, old, 0);
  leave();
  return block;
}

void *reallocarray(void *old, size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) {
    errno = ENOMEM;
    return 0;
  }
  return realloc(old, bytes);
}

package record

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/bench/trace"
)

// program calls each of the functions once, in two threads and a child, and ends at once.
const program = `
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void *other(void *p) { free(p); return malloc(11111); }
int main(int argc, char **argv) {
  if (argc > 1) execl(argv[0], argv[0], (char *)0);
  void *volatile a = malloc(10001), *volatile b = calloc(2, 5001), *volatile c = memalign(64, 10003), *d;
  if (posix_memalign(&d, 4096, 10004)) return 1;
  c = realloc(c, 20003);
  b = reallocarray(b, 3, 10001);
  if (fork() == 0) { a = malloc(77777); _exit(0); }
  wait(0);
  pthread_t t;
  pthread_create(&t, 0, other, a);
  pthread_join(t, 0);
  free(d);
  b = realloc(b, 0);
  _exit(3);
}
`

// TestRun: the calls of a program are in the trace, in their order, and no others of these sizes.
func TestRun(t *testing.T) {
	exe := build(t, program)
	for name, args := range map[string][]string{"at once": nil, "after an exec": {"again"}} {
		t.Run(name, func(t *testing.T) {
			got, lost, err := Run(t.Context(), exec.Command(exe, args...), 0)
			require.NoError(t, err)
			require.Zero(t, lost)
			require.NoError(t, got.Check())
			require.Equal(t, "p", got.Name)
			require.False(t, got.Prefix)
			require.Equal(t, "a10001 a10002 a10003 a10004 r20003 r30003 f10001 a11111 f10004 f30003 ", large(got))
		})
	}

	first, _, err := Run(t.Context(), exec.Command(exe), 2)
	require.NoError(t, err)
	require.Len(t, first.Ops, 2)
	require.True(t, first.Prefix)

	_, _, err = Run(t.Context(), exec.Command(filepath.Join(t.TempDir(), "none")), 0)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestRunStatic: a program that does not load the library is an error that says so.
func TestRunStatic(t *testing.T) {
	exe := build(t, "int main(void) { return 0; }", "-static")
	_, _, err := Run(t.Context(), exec.Command(exe), 0)
	require.ErrorContains(t, err, "linked statically")
}

// build compiles a C program.
func build(t *testing.T, source string, flags ...string) (exe string) {
	if _, err := exec.LookPath("gcc"); err != nil || runtime.GOOS != "linux" {
		t.Skip("needs Linux and gcc")
	}
	dir := t.TempDir()
	file, exe := filepath.Join(dir, "p.c"), filepath.Join(dir, "p")
	require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
	out, err := exec.Command("gcc", append(flags, "-O0", "-w", "-pthread", "-o", exe, file)...).CombinedOutput()
	require.NoError(t, err, string(out))
	return exe
}

// large formats the operations on blocks of 10000 bytes and more, a free with the size of
// its block.
func large(t *trace.Trace) (out string) {
	size := make([]int64, t.IDs)
	for _, o := range t.Ops {
		if o.Kind != trace.Free {
			size[o.ID] = o.Size
		}
		if n := size[o.ID]; n >= 10_000 {
			out += o.Kind.String() + strconv.FormatInt(n, 10) + " "
		}
	}
	return out
}

package segregated

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// childCase names the case that a copy of the test binary runs.
var childCase = flag.String("segregated.child", "", "run this case and exit (used by death tests)")

// childFile and childSeed tell that case which file to work on, and how.
var (
	childFile = flag.String("segregated.file", "", "the file of the case")
	childSeed = flag.Int("segregated.seed", 0, "the seed of the case")
)

// long makes slow tests thorough.
var long = flag.Bool("segregated.long", false, "every bit flip, ten million misuses")

func TestMain(m *testing.M) {
	flag.Parse()
	if *childCase != "" {
		runChild(*childCase)
		return
	}
	os.Exit(m.Run())
}

// fresh returns a heap in a region of the Go heap, so that the race detector
// and the collector see it.
func fresh(t testing.TB, size int, o *Options) *Heap {
	t.Helper()
	return freshIn(t, size, &arena.Options{Backing: arena.GoHeap}, o)
}

// freshIn returns a heap in a region with the given options. Both are closed
// at the end of the test, after a Check of what is left.
func freshIn(t testing.TB, size int, ro *arena.Options, o *Options) *Heap {
	t.Helper()
	r, err := arena.Reserve(size, ro)
	require.NoError(t, err)
	h, err := New(r, o)
	require.NoError(t, err)
	t.Cleanup(func() {
		if !t.Failed() && h.err == nil {
			require.NoError(t, h.Check())
		}
		if !h.closed {
			h.Close()
		}
		require.NoError(t, r.Close())
	})
	return h
}

// must returns a block or fails the test.
func must(t testing.TB, h alloc.Allocator, size int) []byte {
	t.Helper()
	b, err := h.Malloc(size)
	require.NoError(t, err)
	return b
}

// sizesOfAllKinds has a size of each path: a slot, a small span, a quick span,
// a large one, one with room for a whole record, one that goes back at once.
func sizesOfAllKinds() []int { return []int{1, 16, 64, 500, 1000, 2500, 5000, 20000, 1 << 20} }

// unchanged runs f, which must panic with a fault of the kind want, and checks
// that the heap is as it was before.
func unchanged(t *testing.T, h *Heap, want error, f func()) *alloc.Fault {
	t.Helper()
	before := figures(h)
	err := alloc.Try(f)
	require.ErrorIs(t, err, want)
	require.Equal(t, before, figures(h))
	require.NoError(t, h.Check())
	var fault *alloc.Fault
	require.ErrorAs(t, err, &fault)
	return fault
}

// look is Check of what the region says, which leaves h as it is: for damage that is undone again.
func (h *Heap) look() error { return errors.Join(h.checkCore()...) }

// figures are the statistics of h but for what the system says: a page may
// become resident by being read.
func figures(h *Heap) alloc.Stats {
	s := h.Stats()
	s.Resident = 0
	return s
}

func fill(b []byte, c byte) {
	for i := range b {
		b[i] = c
	}
}

func filled(b []byte, c byte) error {
	for i := range b {
		if b[i] != c {
			return errors.New("byte " + strconv.Itoa(i) + " has changed")
		}
	}
	return nil
}

// blocks collects the blocks of h.
func blocks(h *Heap) []alloc.Block {
	var out []alloc.Block
	for b := range h.Blocks() {
		out = append(out, b)
	}
	return out
}

// pow2 returns 2^e, where int has room for it.
func pow2(e int) int { return 1 << e }

// An otherHeap is a heap, and what its blocks are taken from.
type otherHeap struct {
	a alloc.Allocator
	h *Heap
}

// otherHeaps returns heaps that keep no memory for speed outside of the region: one that reports
// events, one in a file, and that of a Shared.
func otherHeaps(t *testing.T) map[string]otherHeap {
	region := func(o *arena.Options) *arena.Region {
		r, err := arena.Reserve(8<<20, o)
		require.NoError(t, err)
		t.Cleanup(func() { r.Close() })
		return r
	}
	hooked := fresh(t, 8<<20, &Options{Sink: func(alloc.Event) {}})
	file, err := New(region(&arena.Options{Backing: arena.File, Path: filepath.Join(t.TempDir(), "heap")}), nil)
	require.NoError(t, err)
	shared, err := NewShared(region(&arena.Options{Backing: arena.GoHeap}), nil)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, file.Close())
		shared.Close() // its error tells of blocks that are left
	})
	return map[string]otherHeap{"hooked": {hooked, hooked}, "file": {file, file}, "shared": {shared, shared.h}}
}

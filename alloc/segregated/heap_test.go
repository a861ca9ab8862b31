package segregated_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/alloc/segregated"
	"github.com/memlab-go/memlab/arena"
)

// newHeap returns a heap in a region of the given backing, closed at the end.
func newHeap(t testing.TB, b arena.Backing, size int, o *segregated.Options) *segregated.Heap {
	t.Helper()
	r, err := arena.Reserve(size, &arena.Options{Backing: b})
	require.NoError(t, err)
	h, err := segregated.New(r, o)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = alloc.Try(func() { h.Close() }) // a second Close is loud under the invariants tag
		require.NoError(t, r.Close())
	})
	return h
}

func TestConformance(t *testing.T) {
	for _, tc := range []struct {
		name string
		b    arena.Backing
		o    *segregated.Options
	}{
		{"mmap", arena.Mmap, nil},
		{"goheap", arena.GoHeap, nil},
		{"no_classes", arena.GoHeap, &segregated.Options{Classes: []int{}}},
		{"few_classes", arena.GoHeap, &segregated.Options{Classes: []int{16, 48, 1024}}},
		{"zero_on_free", arena.GoHeap, &segregated.Options{ZeroOnFree: true}},
		{"sink", arena.GoHeap, &segregated.Options{Sink: func(alloc.Event) {}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			alloctest.Test(t, func(t testing.TB) alloc.Allocator {
				return newHeap(t, tc.b, 16<<20, tc.o)
			}, alloctest.Detects, alloctest.Bounded)
		})
	}
}

func TestRandom(t *testing.T) {
	for _, b := range []arena.Backing{arena.Mmap, arena.GoHeap} {
		t.Run(b.String(), func(t *testing.T) {
			alloctest.Random(t, func(t testing.TB) alloc.Allocator {
				return newHeap(t, b, 8<<20, nil)
			}, alloctest.Mix{})
		})
	}
}

package segregated_test

import (
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/alloc/segregated"
	"github.com/memlab-go/memlab/arena"
)

// newShared returns a shared heap in a region of the given backing, closed at
// the end.
func newShared(t testing.TB, b arena.Backing, size int, o *segregated.Options) *segregated.Shared {
	t.Helper()
	r, err := arena.Reserve(size, &arena.Options{Backing: b})
	require.NoError(t, err)
	s, err := segregated.NewShared(r, o)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = alloc.Try(func() { s.Close() }) // a second Close is loud under the invariants tag
		require.NoError(t, r.Close())
	})
	return s
}

// A handled heap is a handle with the views of the heap it belongs to, so that
// the conformance suite sees both; Close closes both.
type handled struct {
	*segregated.Handle
	s *segregated.Shared
}

func (h *handled) Stats() alloc.Stats            { return h.s.Stats() }
func (h *handled) Blocks() iter.Seq[alloc.Block] { return h.s.Blocks() }
func (h *handled) Check() error                  { return h.s.Check() }
func (h *handled) Close() error {
	if err := h.Handle.Close(); err != nil {
		return err
	}
	return h.s.Close()
}

func TestSharedConformance(t *testing.T) {
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
				return newShared(t, tc.b, 16<<20, tc.o)
			}, alloctest.Detects, alloctest.Bounded)
		})
		t.Run(tc.name+"/handle", func(t *testing.T) {
			alloctest.Test(t, func(t testing.TB) alloc.Allocator {
				s := newShared(t, tc.b, 16<<20, tc.o)
				return &handled{s.Handle(), s}
			}, alloctest.Detects, alloctest.Bounded)
		})
	}
}

func TestSharedRandom(t *testing.T) {
	for _, b := range []arena.Backing{arena.Mmap, arena.GoHeap} {
		t.Run(b.String(), func(t *testing.T) {
			alloctest.Random(t, func(t testing.TB) alloc.Allocator {
				return newShared(t, b, 8<<20, nil)
			}, alloctest.Mix{})
		})
		t.Run(b.String()+"/handle", func(t *testing.T) {
			alloctest.Random(t, func(t testing.TB) alloc.Allocator {
				s := newShared(t, b, 8<<20, nil)
				return &handled{s.Handle(), s}
			}, alloctest.Mix{})
		})
	}
}

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
		{"traced", arena.GoHeap, &segregated.Options{ProfileRate: 1}},
		{"checked", arena.Mmap, &segregated.Options{Mode: segregated.Checked}},
		{"checked_goheap", arena.GoHeap, &segregated.Options{Mode: segregated.Checked, ProfileRate: 1}},
		{"checked_no_quarantine", arena.GoHeap, &segregated.Options{Mode: segregated.Checked, Quarantine: -1}},
		{"checked_zero_on_free", arena.GoHeap, &segregated.Options{Mode: segregated.Checked, ZeroOnFree: true}},
		{"checked_no_classes", arena.GoHeap, &segregated.Options{Mode: segregated.Checked, Classes: []int{}}},
		{"guarded", arena.Mmap, &segregated.Options{Mode: segregated.Guarded, Guard: segregated.GuardOptions{Mappings: 300}}},
		{"guarded_front", arena.Mmap, &segregated.Options{Mode: segregated.Guarded, Guard: segregated.GuardOptions{Mappings: 300, Front: true}}},
		{"guarded_sampled", arena.Mmap, &segregated.Options{Mode: segregated.Guarded, Seed: 7, Guard: segregated.GuardOptions{Every: 8}}},
		{"guarded_goheap", arena.GoHeap, &segregated.Options{Mode: segregated.Guarded}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			claims := []alloctest.Claim{alloctest.Detects, alloctest.Bounded}
			if tc.o != nil && tc.o.Mode != segregated.Fast {
				claims = append(claims, alloctest.KeepsRequested)
			}
			alloctest.Test(t, func(t testing.TB) alloc.Allocator {
				return newHeap(t, tc.b, 16<<20, tc.o)
			}, claims...)
		})
	}
}

func TestRandom(t *testing.T) {
	for _, b := range []arena.Backing{arena.Mmap, arena.GoHeap} {
		for _, m := range []segregated.Mode{segregated.Fast, segregated.Checked, segregated.Guarded} {
			t.Run(b.String()+"_"+m.String(), func(t *testing.T) {
				mix := alloctest.Mix{}
				if m != segregated.Fast {
					mix.Seeds = 3
				}
				alloctest.Random(t, func(t testing.TB) alloc.Allocator {
					return newHeap(t, b, 8<<20, &segregated.Options{Mode: m, Seed: 1, Guard: segregated.GuardOptions{Every: 4}})
				}, mix)
			})
		}
	}
}

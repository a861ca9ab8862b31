package alloctest

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/memlab-go/memlab/alloc"
)

// Differential runs ops on one heap of each kind, under an [Oracle], and
// compares what must not differ. Addresses and the moment at which memory runs
// out may; once an operation has failed on one heap, that heap's blocks are no
// longer compared.
func Differential(t *testing.T, ops []Op, heaps map[string]func(testing.TB) alloc.Allocator) {
	t.Helper()
	type outcome struct{ live, requested int }
	var want []outcome
	var first string
	for _, name := range slices.Sorted(maps.Keys(heaps)) {
		a := heaps[name](t)
		o := NewOracle(a)
		var got []outcome
		for i, op := range ops {
			err := o.Do(op)
			if errors.Is(err, alloc.ErrNoMemory) {
				break
			}
			if err != nil {
				t.Fatalf("%s: operation %d: %v", name, i, err)
			}
			got = append(got, outcome{o.Live(), o.Requested()})
		}
		if err := errors.Join(o.Verify(), o.FreeAll(), closeHeap(a)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want == nil {
			want, first = got, name
		}
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("after operation %d, %v: %s has %+v, %s has %+v", i, ops[i], name, got[i], first, want[i])
			}
		}
	}
}

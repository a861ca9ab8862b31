package segregated

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/arena"
)

// TestModel drives heaps in both kinds of memory with operations of rapid's
// choice, against a map of what should be there.
func TestModel(t *testing.T) {
	for _, b := range []arena.Backing{arena.Mmap, arena.GoHeap} {
		t.Run(b.String(), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				r, err := arena.Reserve(8<<20, &arena.Options{Backing: b})
				if err != nil {
					rt.Fatal(err)
				}
				defer r.Close()
				h, err := New(r, &Options{Limit: rapid.SampledFrom([]int{0, 1 << 20}).Draw(rt, "limit")})
				if err != nil {
					rt.Fatal(err)
				}
				defer h.Close()
				model(rt, h)
			})
		})
	}
}

// model runs a list of operations on h under the oracle.
func model(rt *rapid.T, h *Heap) {
	size := rapid.OneOf(rapid.IntRange(0, 600), rapid.IntRange(600, 20000), rapid.Custom(func(rt *rapid.T) int {
		// Where paths part: classes, small and large spans, pages.
		edge := rapid.SampledFrom([]int{16, 512, 1024, 2048, largeMin * granule, infoMin * granule, 8192, 65536, 262144}).Draw(rt, "edge")
		return edge + rapid.IntRange(-1, 1).Draw(rt, "off")
	}))
	o := alloctest.NewOracle(h)
	for i := range rapid.IntRange(1, 150).Draw(rt, "ops") {
		op := alloctest.Op{
			Kind: rapid.SampledFrom([]alloctest.OpKind{alloctest.OpMalloc, alloctest.OpMalloc, alloctest.OpFree, alloctest.OpFree, alloctest.OpRealloc, alloctest.OpCalloc}).Draw(rt, "kind"),
			ID:   rapid.IntRange(0, 40).Draw(rt, "id"), Count: 1, Size: size.Draw(rt, "size"),
		}
		if err := o.Do(op); err != nil {
			if _, broken := err.(*alloctest.Violation); broken {
				rt.Fatal(fmt.Errorf("operation %d, %v: %w", i, op, err))
			}
		}
		if i%16 == 0 {
			if rapid.Bool().Draw(rt, "trim") {
				h.Trim()
			}
			if err := o.Verify(); err != nil {
				rt.Fatal(err)
			}
		}
	}
	if err := o.FreeAll(); err != nil {
		rt.Fatal(err)
	}
}

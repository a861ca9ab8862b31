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
				h, err := New(r, &Options{
					Limit:      rapid.SampledFrom([]int{0, 1 << 20}).Draw(rt, "limit"),
					Mode:       rapid.SampledFrom([]Mode{Fast, Fast, Checked, Guarded}).Draw(rt, "mode"),
					Quarantine: rapid.SampledFrom([]int{0, -1, 10000}).Draw(rt, "quarantine"),
					Guard:      GuardOptions{Every: rapid.IntRange(1, 8).Draw(rt, "every"), Front: rapid.Bool().Draw(rt, "front"), Mappings: 200},
					Seed:       7,
				})
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

// TestModelTiny is TestModel in regions so small that most requests find them
// full, with alignments: the ways round a failure are all taken.
func TestModelTiny(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.SampledFrom([]int{32 << 10, 48 << 10, 60<<10 + 2048, 96 << 10}).Draw(rt, "region")
		classes := rapid.SampledFrom([][]int{nil, {}, {16}, {64, 1024}}).Draw(rt, "classes")
		mem := make([]byte, size+16)
		mem = mem[-addrOf(mem)&15:][:size]
		mode := rapid.SampledFrom([]Mode{Fast, Fast, Checked}).Draw(rt, "mode")
		h, err := New(arena.FromBytes(mem), &Options{Classes: classes, ZeroOnFree: rapid.Bool().Draw(rt, "zero"), Mode: mode, Quarantine: -1})
		if err != nil {
			rt.Fatal(err)
		}
		defer h.Close()
		o := alloctest.NewOracle(h)
		kinds := []alloctest.OpKind{alloctest.OpMalloc, alloctest.OpCalloc, alloctest.OpRealloc, alloctest.OpFree}
		for i := range rapid.IntRange(1, 80).Draw(rt, "ops") {
			op := alloctest.Op{
				Kind: rapid.SampledFrom(kinds).Draw(rt, "kind"), ID: rapid.IntRange(0, 15).Draw(rt, "id"), Count: 1,
				Size: rapid.IntRange(0, 1<<rapid.IntRange(1, 16).Draw(rt, "magnitude")).Draw(rt, "size"),
			}
			if op.Kind != alloctest.OpCalloc && rapid.Bool().Draw(rt, "aligned") {
				op.Align = 1 << rapid.IntRange(0, 13).Draw(rt, "align")
			}
			before := h.Stats()
			err := o.Do(op)
			if _, broken := err.(*alloctest.Violation); broken {
				rt.Fatal(fmt.Errorf("operation %d, %v: %w", i, op, err))
			}
			if after := h.Stats(); err != nil && (after.Live != before.Live || after.LiveBlocks != before.LiveBlocks) {
				rt.Fatalf("operation %d, %v: %v, and the heap has changed: %+v, %+v", i, op, err, before, after)
			}
			if err := o.Verify(); err != nil {
				rt.Fatal(fmt.Errorf("operation %d, %v: %w", i, op, err))
			}
		}
		if err := o.FreeAll(); err != nil {
			rt.Fatal(err)
		}
		h.Trim()
		if s := h.Stats(); s.Retained != 0 || s.FreeBlocks != 0 || h.hdr.top != h.hdr.first {
			rt.Fatalf("all is freed: %+v", s)
		}
	})
}

package alloctest

import (
	"errors"
	"testing"

	"github.com/memlab-go/memlab/alloc"
)

// fault calls f, which must panic with a Fault that wraps one of wants and
// change nothing.
func (h *harness) fault(what string, f func(), wants ...error) {
	h.Helper()
	h.unchanged(what, func() {
		err := alloc.Try(f)
		if err == nil {
			h.Fatalf("%s: no fault", what)
		}
		h.wantErr(what, err, wants...)
	})
}

func badFree(h *harness) {
	a, b, c := h.malloc(100), h.malloc(100), h.malloc(5000)
	for _, n := range []int{1, 8, 16, 32, 64, 99} {
		h.fault("Free of an interior address", func() { h.Free(b[n:]) }, alloc.ErrInvalidFree)
		h.fault("Free of an interior address", func() { h.Free(c[n*8:]) }, alloc.ErrInvalidFree)
	}
	h.free(b)
	h.fault("Free twice", func() { h.Free(b) }, alloc.ErrDoubleFree, alloc.ErrInvalidFree)
	h.free(a) // neighbours may coalesce
	h.free(c)
	for _, x := range [][]byte{a, b, c} {
		h.fault("Free twice", func() { h.Free(x) }, alloc.ErrDoubleFree, alloc.ErrInvalidFree)
		h.fault("Free twice", func() { h.Free(x[1:]) }, alloc.ErrDoubleFree, alloc.ErrInvalidFree, alloc.ErrForeign)
	}
	z := h.malloc(0)
	h.free(z)
	h.fault("Free of an empty block twice", func() { h.Free(z) }, alloc.ErrDoubleFree, alloc.ErrInvalidFree)
}

func badRealloc(h *harness) {
	a, b := h.malloc(100), h.malloc(100)
	h.fault("Realloc of an interior address", func() { h.Realloc(a[16:], 10) }, alloc.ErrInvalidFree)
	h.fault("Realloc of a Go slice", func() { h.Realloc(make([]byte, 32), 10) }, alloc.ErrForeign)
	h.free(a)
	h.fault("Realloc of a freed block", func() { h.Realloc(a, 10) }, alloc.ErrDoubleFree, alloc.ErrInvalidFree)
	h.fault("Realloc of a freed block to 0", func() { h.Realloc(a, 0) }, alloc.ErrDoubleFree, alloc.ErrInvalidFree)
	if s, ok := h.Allocator.(alloc.Sizer); ok {
		h.fault("Usable of a freed block", func() { s.Usable(a) }, alloc.ErrDoubleFree, alloc.ErrInvalidFree)
	}
	h.free(b)
}

// foreign frees what belongs to nobody and to another heap.
func (s *suite) foreign(t *testing.T) {
	h := &harness{TB: t, Allocator: s.newHeap(t), claims: s.claims}
	other := &harness{TB: t, Allocator: s.newHeap(t), claims: s.claims}
	mine, theirs := h.malloc(64), other.malloc(64)
	var array [64]byte
	global := []byte("not of the heap")
	for what, b := range map[string][]byte{
		"a Go slice": make([]byte, 64), "an array": array[:], "a literal": global,
		"an empty Go slice": {}, "an appended block": append(mine, 1), "a block of another heap": theirs,
	} {
		h.fault("Free of "+what, func() { h.Free(b) }, alloc.ErrForeign)
	}
	other.check()
	h.free(mine)
	other.free(theirs)
	if err := errors.Join(closeHeap(h.Allocator), closeHeap(other.Allocator)); err != nil {
		t.Fatal(err)
	}
}

func stats(h *harness) {
	first, ok := h.stats()
	if !ok {
		h.Skip("the allocator is no alloc.Statser")
	}
	if first.LiveBlocks != 0 || first.Live != 0 || first.Requested != 0 {
		h.Fatalf("a fresh heap has live blocks: %+v", first)
	}
	sum := 0
	var blocks [][]byte
	for i := range 200 {
		n := i * 13 % 700
		blocks = append(blocks, h.malloc(n))
		sum += n
		s, _ := h.stats()
		if s.LiveBlocks != i+1 || s.Live < sum || s.Requested < sum {
			h.Fatalf("after %d blocks of %d bytes in all: %+v", i+1, sum, s)
		}
		if h.claims&KeepsRequested != 0 && s.Requested != sum {
			h.Fatalf("Requested = %d, want %d", s.Requested, sum)
		}
	}
	for i, b := range blocks {
		if i%2 == 0 {
			continue
		}
		n, err := h.Realloc(b, len(b)+50)
		if err != nil {
			h.Fatal(err)
		}
		blocks[i] = n
		sum += 50
		if s, _ := h.stats(); h.claims&KeepsRequested != 0 && s.Requested != sum {
			h.Fatalf("after realloc: Requested = %d, want %d", s.Requested, sum)
		}
	}
	for _, b := range blocks {
		h.free(b)
	}
	if s, _ := h.stats(); s.LiveBlocks != 0 || s.Live != 0 || s.Requested != 0 || s.Mallocs != s.Frees {
		h.Fatalf("after freeing everything: %+v", s)
	}
}

func randomOps(h *harness) {
	if err := Run(h.Allocator, RandomOps(1, Mix{Ops: 1500}), 50); err != nil {
		h.Fatal(err)
	}
}

// exhaustion fills the heap, twice, and looks at the error.
func exhaustion(h *harness) {
	const most = 64 << 20
	for round := range 2 {
		var blocks [][]byte
		total, err := 0, error(nil)
		for total <= most {
			var b []byte
			if b, err = h.Malloc(1000); err != nil {
				break
			}
			total += 1000
			blocks = append(blocks, b)
		}
		h.wantErr("filling the heap", err, alloc.ErrNoMemory)
		var nm *alloc.NoMemoryError
		if !errors.As(err, &nm) || nm.Requested != 1000 {
			h.Fatalf("round %d: %v (%T) does not give the request", round, err, err)
		}
		if len(blocks) == 0 {
			h.Fatal("the heap has no room for a single block")
		}
		last := blocks[len(blocks)-1]
		for i := range last {
			last[i] = byte(i)
		}
		if _, err := h.Realloc(last, most); !errors.Is(err, alloc.ErrNoMemory) {
			h.Fatalf("Realloc in a full heap: %v", err)
		}
		for i := range last {
			if last[i] != byte(i) {
				h.Fatal("a failed Realloc changed the block")
			}
		}
		h.check()
		h.free(last)
		blocks[len(blocks)-1] = h.malloc(1000) // a freed block makes room
		for _, b := range blocks {
			h.Free(b)
		}
		h.check()
	}
}

// restores compares the heap before and after a busy life.
func restores(h *harness) {
	snapshot := func() (alloc.Stats, []alloc.Block) {
		s, _ := h.stats()
		s.Mallocs, s.Frees, s.Searched, s.Failed, s.Resident = 0, 0, 0, 0, 0
		var blocks []alloc.Block
		if w, ok := h.Allocator.(alloc.Walker); ok {
			for b := range w.Blocks() {
				blocks = append(blocks, b)
			}
		}
		return s, blocks
	}
	wantStats, want := snapshot()
	if err := Run(h.Allocator, RandomOps(2, Mix{MaxSize: 20000}), 0); err != nil {
		h.Fatal(err)
	}
	gotStats, got := snapshot()
	if gotStats != wantStats {
		h.Fatalf("after freeing everything: %+v, fresh: %+v", gotStats, wantStats)
	}
	if len(got) != len(want) {
		h.Fatalf("after freeing everything: %d blocks %v, fresh: %d", len(got), got[:min(len(got), 8)], len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			h.Fatalf("after freeing everything: block %+v, fresh: %+v", got[i], want[i])
		}
	}
}

package alloctest

import (
	"errors"
	"math"

	"github.com/memlab-go/memlab/alloc"
)

func aligned(h *harness) {
	al, ok := h.Allocator.(alloc.Aligned)
	if !ok {
		h.Skip("the allocator is not alloc.Aligned")
	}
	for _, bad := range []int{0, -1, 3, 24, math.MinInt, math.MaxInt} {
		h.unchanged("MallocAligned with a bad alignment", func() {
			_, err := al.MallocAligned(16, bad)
			h.wantErr("MallocAligned", err, alloc.ErrAlign)
		})
	}
	var blocks [][]byte
	for align := 1; align <= 1<<16; align *= 2 {
		for _, n := range []int{0, 1, 17, 100, 3000} {
			b, err := al.MallocAligned(n, align)
			if align > 4096 && (errors.Is(err, alloc.ErrAlign) || errors.Is(err, alloc.ErrNoMemory)) {
				continue // an allocator need not go beyond a page
			}
			if err != nil {
				h.Fatalf("MallocAligned(%d, %d): %v", n, align, err)
			}
			if addr(b)%uintptr(max(align, naturalAlign(n))) != 0 || len(b) != n || cap(b) != n {
				h.Fatalf("MallocAligned(%d, %d) = %#x, len %d, cap %d", n, align, addr(b), len(b), cap(b))
			}
			h.check()
			blocks = append(blocks, b)
		}
	}
	for _, bits := range []int{20, 30, 40} {
		if bits >= intBits-1 {
			break
		}
		align := 1 << bits
		b, err := al.MallocAligned(16, align)
		if err != nil {
			h.wantErr("MallocAligned of a huge alignment", err, alloc.ErrAlign, alloc.ErrNoMemory)
			continue
		}
		if addr(b)%uintptr(align) != 0 {
			h.Fatalf("MallocAligned(16, %d) = %#x", align, addr(b))
		}
		blocks = append(blocks, b)
	}
	for _, b := range blocks {
		h.free(b)
	}
	reallocAligned(h, al)
}

func reallocAligned(h *harness, al alloc.Aligned) {
	b, err := al.MallocAligned(100, 256)
	if err != nil {
		h.Fatal(err)
	}
	for _, n := range []int{50, 5000, 200, 100000, 16} {
		b[0], b[len(b)-1] = 0x5a, 0xa5
		first, last, old := b[0], b[len(b)-1], len(b)
		if b, err = al.ReallocAligned(b, n, 256); err != nil {
			h.Fatalf("ReallocAligned to %d: %v", n, err)
		}
		if addr(b)%256 != 0 || len(b) != n || cap(b) != n {
			h.Fatalf("ReallocAligned(%d, 256) = %#x, len %d, cap %d", n, addr(b), len(b), cap(b))
		}
		if b[0] != first || n >= old && b[old-1] != last {
			h.Fatalf("ReallocAligned to %d did not keep the contents", n)
		}
		h.check()
	}
	h.free(b)
}

func reallocRules(h *harness) {
	b, err := h.Realloc(nil, 30)
	if err != nil || len(b) != 30 || cap(b) != 30 {
		h.Fatalf("Realloc(nil, 30): len %d, cap %d, %v", len(b), cap(b), err)
	}
	before, counts := h.stats()
	n, err := h.Realloc(b, 0)
	if n != nil || err != nil {
		h.Fatalf("Realloc(b, 0) = %v, %v, want nil, nil", n, err)
	}
	if after, _ := h.stats(); counts && after.LiveBlocks != before.LiveBlocks-1 {
		h.Fatal("Realloc(b, 0) did not free b")
	}
	if b, err = h.Realloc(nil, 0); err != nil || b == nil || len(b) != 0 {
		h.Fatalf("Realloc(nil, 0): nil %v, %v, want an empty block", b == nil, err)
	}
	if b, err = h.Realloc(b, 100); err != nil || len(b) != 100 {
		h.Fatalf("Realloc of an empty block to 100: len %d, %v", len(b), err)
	}
	for i := range b {
		b[i] = byte(i)
	}
	// A view of the start stands for the block; all of the block is kept.
	if b, err = h.Realloc(b[:10], 200); err != nil || len(b) != 200 {
		h.Fatalf("Realloc of a prefix: len %d, %v", len(b), err)
	}
	for i := range 10 {
		if b[i] != byte(i) {
			h.Fatalf("Realloc of a prefix: byte %d is %d", i, b[i])
		}
	}
	h.free(b)
}

func reallocKeeps(h *harness) {
	o := NewOracle(h.Allocator)
	sizes := []int{1, 2, 15, 16, 17, 31, 40, 64, 100, 128, 500, 512, 1000, 4000, 4096, 5000, 20000, 33000}
	for id, from := range sizes {
		for _, to := range sizes {
			for _, op := range []Op{
				{Kind: OpMalloc, ID: id, Size: from},
				{Kind: OpMalloc, ID: 1000 + to, Size: 24}, // something in the way
				{Kind: OpRealloc, ID: id, Size: to},
				{Kind: OpFree, ID: id},
			} {
				if err := o.Do(op); err != nil {
					h.Fatal(err)
				}
			}
		}
	}
	if err := o.FreeAll(); err != nil {
		h.Fatal(err)
	}
}

func freeNil(h *harness) {
	h.unchanged("Free(nil)", func() { h.Free(nil) })
}

func freePrefix(h *harness) {
	b := h.malloc(100)
	h.free(b[:10])
	b = h.malloc(100)
	h.free(b[:0])
	b = h.malloc(100)
	h.free(b[len(b):]) // the empty tail has b's base, in Go
}

// reuse allocates and frees far more than any heap should need to hold.
func reuse(h *harness) {
	var blocks [32][]byte
	for i := range 20000 {
		k := i * 7 % len(blocks)
		if blocks[k] != nil {
			h.Free(blocks[k])
		}
		b, err := h.Malloc(16 + i*37%4000)
		if err != nil {
			h.Fatalf("Malloc %d with %d blocks live: %v", i, len(blocks), err)
		}
		blocks[k] = b
	}
	if s, ok := h.stats(); ok && s.Committed > 8<<20 {
		h.Fatalf("at most 128 KB live, but %d bytes committed: freed memory is not used again", s.Committed)
	}
	for _, b := range blocks {
		h.free(b)
	}
}

func usable(h *harness) {
	s, ok := h.Allocator.(alloc.Sizer)
	if !ok {
		h.Skip("the allocator is no alloc.Sizer")
	}
	for _, n := range []int{0, 1, 15, 16, 17, 100, 1000, 5000, 100000} {
		b := h.malloc(n)
		u := s.Usable(b)
		if u < n || s.Usable(b[:0]) != u {
			h.Fatalf("Usable of %d bytes = %d, of its prefix %d", n, u, s.Usable(b[:0]))
		}
		h.free(b)
	}
}

func walk(h *harness) {
	w, ok := h.Allocator.(alloc.Walker)
	if !ok {
		h.Skip("the allocator is no alloc.Walker")
	}
	var blocks [][]byte
	for i := range 50 {
		blocks = append(blocks, h.malloc(10+i*i))
	}
	for i := 0; i < len(blocks); i += 3 {
		h.free(blocks[i])
		blocks[i] = nil
	}
	want := 0
	for _, b := range blocks {
		if b != nil {
			want++
		}
	}
	used, first := 0, true
	var last alloc.Block
	for b := range w.Blocks() {
		if !first && int(b.Off) < int(last.Off) {
			h.Fatalf("Blocks: %#x after %#x", uint64(b.Off), uint64(last.Off))
		}
		if !first && b.Used && last.Used && int(last.Off)+last.Size > int(b.Off) {
			h.Fatalf("Blocks: %#x overlaps %#x", uint64(b.Off), uint64(last.Off))
		}
		if b.Used {
			used++
		}
		first, last = false, b
	}
	if used != want {
		h.Fatalf("Blocks yields %d used blocks, want %d", used, want)
	}
	for range w.Blocks() {
		break // stopping early must be possible
	}
	for _, b := range blocks {
		h.free(b)
	}
}

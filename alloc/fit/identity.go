package fit

import (
	"fmt"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// locate returns the live block whose payload starts at b's address, or panics
// with the fault. O(1) for a good b; O(blocks) to say what is wrong with a bad
// one. b is not dereferenced.
func (h *Heap) locate(op string, b []byte) (off int) {
	d := addr(b) - h.base
	if d >= uintptr(len(h.mem.bytes)) {
		panic(h.foreign(op, b))
	}
	off = int(d) - h.o.Header
	if off < h.start || off >= h.end || (off-h.start)%h.o.Align != 0 || !h.startBit(off) {
		panic(h.explain(op, b, int(d)))
	}
	return off
}

// explain says why no live block starts at payload offset p.
func (h *Heap) explain(op string, b []byte, p int) *alloc.Fault {
	f := &alloc.Fault{Op: op, Addr: addr(b), Off: arena.Offset(p), InRegion: true, Size: len(b), Err: alloc.ErrInvalidFree}
	switch {
	case p < h.start:
		f.Detail = "an address in the heap's metadata, " + alloc.ErrInvalidFree.Error()
		return f
	case p >= h.end:
		f.Detail = "an address that was never allocated, " + alloc.ErrInvalidFree.Error()
		return f
	}
	off, t := h.containing(p)
	if t.used && p == off+h.o.Header {
		h.corrupt(op, off, "the start bit of a used block is clear")
	}
	f.Block = &alloc.Block{Off: arena.Offset(off + h.o.Header), Size: t.size - h.o.Header, Used: t.used}
	aligned := (p-h.o.Header-h.start)%h.o.Align == 0
	if !t.used && aligned && p < h.peak {
		// Free memory, at a place where a block may have started.
		f.Err = alloc.ErrDoubleFree
	}
	return f
}

// containing walks to the block that contains region offset p.
func (h *Heap) containing(p int) (off int, t tag) {
	for off = h.start; ; off += t.size {
		t = h.tagAt(off)
		if p < off+t.size {
			return off, t
		}
	}
}

// checkAlign returns ErrAlign unless align is a power of two that the region
// has room for.
func (h *Heap) checkAlign(align int) error {
	if align <= 0 || align&(align-1) != 0 || align > max(h.max, maxAlign) && !h.closed {
		return fmt.Errorf("fit: alignment %d: %w", align, alloc.ErrAlign)
	}
	return nil
}

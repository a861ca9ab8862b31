package segregated

import (
	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// A program that keeps data in a heap in a file refers from block to block by
// offsets, since addresses are others each time: Offset makes one of a block,
// At a block of one. An offset is never 0, which can stand for no block. The
// root is the block from which the others are found.

// Offset returns where the block b lies, which is the same in every process
// that opens the heap. It panics as [Heap.Free] does if b is not a live block, but
// works in loops over [Heap.Blocks] and inside [Heap.Compact].
func (h *Heap) Offset(b []byte) arena.Offset {
	defer h.catch("offset", b, nil)
	if h.ended() {
		panic(h.badBlock("offset", b, h.state()))
	}
	if h.chk != nil {
		t := h.chk.seek("offset", b)
		return offset(t.user())
	}
	return offset(h.seek("offset", b))
}

// At returns the live block that starts at off, as large as [Heap.Usable] says:
// in mode Fast that is the size asked for rounded up, in the others it is
// exact. The error is an [*alloc.Fault] that says what is there if no live
// block starts at off, [alloc.ErrClosed] and the like; nothing is touched. It works
// where Offset does.
func (h *Heap) At(off arena.Offset) (b []byte, err error) {
	if h.ended() {
		return nil, h.refusal("at")
	}
	if uint64(off) >= uint64(len(h.mem)) {
		return nil, &alloc.Fault{Op: "at", Off: off, InRegion: true, Err: alloc.ErrForeign, Detail: "offset outside of the heap"}
	}
	var fault error
	func() {
		defer h.catch("at", nil, &err)
		fault = alloc.Try(func() {
			if h.chk != nil {
				t := h.chk.seek("at", h.block(uint64(off), 0))
				b = h.block(uint64(off), int(t.size))
			} else {
				h.seek("at", h.block(uint64(off), 0))
				b = h.block(uint64(off), h.usable(uint64(off)))
			}
		})
	}()
	if fault != nil {
		err = fault
	}
	return b, err
}

// SetRoot makes b the root, the block that [Heap.Root] returns, also after the
// heap was closed and opened again; nil means none. The change is one word: a
// process that ends at any moment leaves the old root or the new one. It panics
// as [Heap.Free] does if b is not a live block.
func (h *Heap) SetRoot(b []byte) {
	if h.refused() {
		panic(h.badBlock("root", b, h.state()))
	}
	root := uint64(0)
	if b != nil {
		root = uint64(h.Offset(b))
	}
	h.setRoot(root)
}

// Root returns the block that SetRoot was called with last, as [Heap.At] does,
// and nil if there is none. The heap keeps
// its offset, no more: whoever frees or moves the root sets another. A root that
// was freed is nil only until a new block begins at its place.
func (h *Heap) Root() []byte {
	if h.closed || h.safe.root == 0 {
		return nil
	}
	b, err := h.At(offset(h.safe.root))
	if err != nil {
		return nil
	}
	return b
}

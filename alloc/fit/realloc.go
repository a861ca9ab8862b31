package fit

import (
	"fmt"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// Realloc changes the size of b's block to size bytes and returns it; see
// [alloc.Allocator]. A smaller size splits the end off. A larger one takes the
// next block if that is free and large enough, or the end of the heap if b is
// the last block; else the block moves. O(1) in place, else as Malloc and O(size).
//
// Errors are Malloc's; b is then untouched and still the caller's. Realloc
// panics as Free does if no live block starts at b's address.
func (h *Heap) Realloc(b []byte, size int) ([]byte, error) {
	return h.realloc(b, size, 1)
}

// ReallocAligned is Realloc with a base address that is a multiple of align,
// whether or not the block moves.
func (h *Heap) ReallocAligned(b []byte, size, align int) ([]byte, error) {
	if err := h.checkAlign(align); err != nil {
		return nil, err
	}
	return h.realloc(b, size, align)
}

func (h *Heap) realloc(b []byte, size, align int) (n []byte, err error) {
	if b == nil {
		defer h.returnCorrupt(&n, &err)
		if n, err = h.malloc("realloc", size, align); err == nil {
			h.allocated(alloc.EventMalloc, n)
		}
		return n, err
	}
	if h.closed {
		return nil, fmt.Errorf("fit: realloc to %d bytes: %w", size, alloc.ErrClosed)
	}
	h.mustBeOpen("realloc", b)
	off := h.locate("realloc", b)
	t := h.usedTag("realloc", off)
	if size == 0 {
		h.Free(b)
		return nil, nil
	}
	need, err := h.need("realloc", size)
	if err != nil {
		return nil, h.failure(size, err)
	}
	requested := t.size - h.o.Header - t.slack
	fixed := (h.base+uintptr(off+h.o.Header))&uintptr(align-1) == 0
	if fixed && h.resize(off, t, need, size) {
		n = h.view(off, size)
		if h.o.Zero && size > requested {
			h.clearTail(n, requested)
		}
	} else {
		if n, err = h.malloc("realloc", size, align); err != nil {
			return nil, err
		}
		h.mem.copy(int(addr(n)-h.base), size, off+h.o.Header, requested)
		h.release(off, h.usedTag("realloc", off)) // the tag again: a neighbour may have changed
		h.trim()
	}
	assertSound(h, h.liveBlocks+h.freeBlocks, h.end-h.start)
	if h.o.Sink != nil {
		e := h.event(alloc.EventRealloc, n)
		e.Old = arena.Offset(off + h.o.Header)
		h.emit(e)
	}
	return n, nil
}

// resize makes the used block off need bytes large without moving it, and
// reports whether it could.
func (h *Heap) resize(off int, t tag, need, size int) bool {
	have := t.size
	if need > have {
		next := h.tagAt(off + t.size)
		atEnd := off+t.size == h.end || !next.used && off+t.size+next.size == h.end
		if atEnd && t.size+next.size < need {
			if _, err := h.grow("realloc", need-t.size, size); err != nil {
				return false
			}
			next = h.tagAt(off + t.size)
		}
		if next.used || t.size+next.size < need {
			return false
		}
		h.dropFree(off+t.size, next.size)
		have += next.size
		h.index.joined(off, have)
	}
	h.countUsed(t.size-h.o.Header, t.slack, -1)
	if rest := have - need; rest >= h.minBlock {
		have = need
		after := h.tagAt(off + need + rest)
		h.free(off+need, tag{size: rest, prevUsed: true}, 0, after)
		h.emit(alloc.Event{Kind: alloc.EventSplit, Off: arena.Offset(off), Size: need, Usable: need + rest})
	} else {
		h.setPrevUsed(off+have, true)
	}
	h.setTag(off, tag{size: have, slack: have - h.o.Header - size, used: true, prevUsed: t.prevUsed})
	h.countUsed(have-h.o.Header, have-h.o.Header-size, 1)
	h.peak = max(h.peak, off+have)
	return true
}

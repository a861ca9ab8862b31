package fit

import (
	"fmt"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// growTo makes [end, to) free blocks, each as large as its place allows, joined
// with what is free before them. to is a multiple of the smallest block from
// start.
func (h *Buddy) growTo(to int) error {
	if err := h.commitTo(to, h.at(to)); err != nil {
		return err
	}
	at := max(h.end, h.start)
	h.end = to
	for at < to {
		order := 0
		for order < maxOrders-1 && h.size(order+1) <= to-at && (at-h.start)&(h.size(order+1)-1) == 0 {
			order++
		}
		h.join(at, order)
		at += h.size(order)
	}
	return nil
}

// grow makes room for a block of the order at the next multiple of its size.
func (h *Buddy) grow(op string, order, requested int) error {
	size := h.size(order)
	if size > h.max-h.start {
		return h.noMemory(op, requested, nil)
	}
	place := h.start + roundUp(h.end-h.start, size)
	if last, ok := h.freeAtEnd(size); ok {
		place = last
	}
	if size > h.max-place {
		return h.noMemory(op, requested, nil)
	}
	to := place + size
	more := max(to, min(h.max, h.end+roundUp(h.o.Grow, h.size(0))))
	err := h.growTo(more)
	if err != nil && more > to {
		err = h.growTo(to) // the rest would have been nice to have
	}
	if err != nil {
		return h.noMemory(op, requested, err)
	}
	return nil
}

// freeAtEnd returns the multiple of size from start below the heap's end from
// which on everything is free, if there is one: growing completes it.
func (h *Buddy) freeAtEnd(size int) (off int, ok bool) {
	off = h.start + (h.end-h.start)&^(size-1)
	if off == h.end {
		return 0, false
	}
	for at := off; at < h.end; {
		s := h.stateAt(at)
		if !s.present || s.used {
			return 0, false
		}
		at += h.size(s.order)
	}
	return off, true
}

// trim gives memory back after a block has become free: everything beyond the
// initial size when nothing is live, else free blocks at the heap's end that are
// larger than sixteen times Grow.
func (h *Buddy) trim() {
	if h.liveBlocks == 0 && h.end > h.initial {
		h.restart()
		return
	}
	for h.end > h.initial {
		off, order, ok := h.lastFree()
		if !ok || h.size(order) <= 16*h.o.Grow || off < h.initial {
			return
		}
		h.unlink(off, order) // before its links are gone
		if !h.decommitFrom(off, h.at(off)+stateSize) {
			h.link(off, order)
			return
		}
		h.clearState(off)
		h.end = off
	}
}

// lastFree returns the block at the heap's end, if that is free. O(orders).
func (h *Buddy) lastFree() (off, order int, ok bool) {
	for order = range maxOrders {
		size := h.size(order)
		if size > h.end-h.start || (h.end-h.start)&(size-1) != 0 {
			break
		}
		if s := h.stateAt(h.end - size); s.present && s.order == order {
			return h.end - size, order, !s.used
		}
	}
	return 0, 0, false
}

// restart makes an empty heap as it was when it was fresh.
func (h *Buddy) restart() {
	if !h.decommitFrom(h.initial, h.at(h.initial)) {
		return
	}
	states := h.at(h.end)
	if h.commitFrom > 0 {
		states = min(states, h.metaCommitted)
	}
	h.mem.clear(0, states)
	clear(h.heads[:])
	h.freeBytes, h.freeBlocks = 0, 0
	h.end = h.start
	if err := h.growTo(h.initial); err != nil {
		h.corrupt("free", h.start, "committed memory cannot be committed again: "+err.Error())
	}
}

// realloc is Realloc and ReallocAligned.
func (h *Buddy) realloc(b []byte, size, align int) (n []byte, err error) {
	if b == nil {
		defer h.returnCorrupt(&n, &err)
		return h.malloc("realloc", alloc.EventMalloc, size, align)
	}
	if h.closed {
		return nil, fmt.Errorf("fit: realloc to %d bytes: %w", size, alloc.ErrClosed)
	}
	h.mustBeOpen("realloc", b)
	off, s := h.locate("realloc", b)
	if size == 0 {
		h.Free(b)
		return nil, nil
	}
	order, err := h.need("realloc", size, align)
	if err != nil {
		return nil, h.failure(size, err)
	}
	requested := h.requestedOf(off, s)
	if h.resize(off, s, order, size) {
		n = h.view(off, size)
		if h.o.Zero && size > requested {
			h.clearFrom(n, requested)
		}
	} else {
		if n, err = h.malloc("realloc", alloc.EventRealloc, size, align); err != nil {
			return nil, err
		}
		h.mem.copy(int(addr(n)-h.base), size, off, requested)
		h.release(off, s)
	}
	if h.o.Sink != nil {
		e := h.event(alloc.EventRealloc, n)
		e.Old = arena.Offset(off)
		h.emit(e)
	}
	return n, nil
}

// resize gives the used block off the order without moving it, and reports
// whether it could.
func (h *Buddy) resize(off int, s state, order, size int) bool {
	for o := s.order; o < order; o++ { // all buddies above must be free
		buddy := off + h.size(o)
		if (off-h.start)&(h.size(o+1)-1) != 0 || buddy+h.size(o) > h.end {
			return false
		}
		if b := h.stateAt(buddy); !b.present || b.used || b.order != o {
			return false
		}
	}
	h.unmark(off, s)
	for o := s.order; o < order; o++ {
		h.unlink(off+h.size(o), o)
		h.clearState(off + h.size(o))
	}
	h.cut(off, max(s.order, order), order)
	h.mark(off, order, size)
	return true
}

// view returns the payload of the block off as the caller gets it.
func (h *Buddy) view(off, size int) []byte {
	if size == 0 {
		return emptyView(h.mem.bytes, off)
	}
	return h.mem.bytes[off : off+size : off+size]
}

// clearFrom clears the block of view b from byte from to its usable end.
func (h *Buddy) clearFrom(b []byte, from int) {
	off := int(addr(b) - h.base)
	h.mem.clear(off+from, off+h.usable(off, h.stateAt(off)))
}

// noMemory returns the error of a request of size bytes that finds no room.
func (h *Buddy) noMemory(op string, size int, cause error) error {
	return &alloc.NoMemoryError{Op: op, Requested: size, Limit: h.o.limitOr(h.max - h.start), LargestFree: h.largestFree(), Err: cause}
}

// largestFree returns the bytes of the largest free block. O(orders).
func (h *Buddy) largestFree() int {
	for order := maxOrders - 1; order >= 0; order-- {
		if h.heads[order] != 0 {
			return h.size(order)
		}
	}
	return 0
}

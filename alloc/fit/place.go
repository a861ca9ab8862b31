package fit

import (
	"fmt"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// malloc finds, cuts and marks a block.
func (h *Heap) malloc(op string, size, align int) ([]byte, error) {
	need, err := h.need(op, size)
	if err != nil {
		return nil, h.failure(size, err)
	}
	off, err := h.obtain(op, need, align, size)
	if err != nil {
		return nil, h.failure(size, err)
	}
	t := h.tagAt(off)
	if align > h.o.Align {
		off, t = h.cutFront(off, t, align)
	}
	h.take(off, t, need, size)
	b := h.view(off, size)
	fill(b, freshByte)
	if h.o.Zero {
		h.clearTail(b, 0)
	}
	assertSound(h, h.liveBlocks+h.freeBlocks, h.end-h.start)
	return b, nil
}

// need returns the bytes of a block for a request of size bytes.
func (h *Heap) need(op string, size int) (int, error) {
	if err := h.ready(); err != nil {
		return 0, fmt.Errorf("fit: %s of %d bytes: %w", op, size, err)
	}
	if size < 0 {
		return 0, fmt.Errorf("fit: %s of %d bytes: %w", op, size, alloc.ErrSize)
	}
	if size > h.max-h.start-h.o.Header {
		return 0, h.noMemory(op, size, nil)
	}
	return max(h.minBlock, roundUp(size+h.o.Header, h.o.Align)), nil
}

// obtain returns a free block from which need bytes at a multiple of align can
// be cut. The block is still in the index.
func (h *Heap) obtain(op string, need, align, size int) (int, error) {
	want := need
	if align > h.o.Align {
		if align > h.max-h.start-need-h.minBlock {
			return 0, h.noMemory(op, size, nil)
		}
		want += align + h.minBlock
	}
	if off := h.index.find(want); off != 0 {
		return off, nil
	}
	if h.o.Coalesce == Deferred && h.coalesceAll() {
		if off := h.index.find(want); off != 0 {
			return off, nil
		}
	}
	return h.grow(op, want, size)
}

// cutFront makes the front of the free block off a free block of its own, so
// that the rest's payload is at a multiple of align, and returns the rest.
func (h *Heap) cutFront(off int, t tag, align int) (int, tag) {
	skip := int(-(h.base + uintptr(off+h.o.Header)) & uintptr(align-1))
	for skip != 0 && skip < h.minBlock {
		skip += align
	}
	if skip == 0 {
		return off, t
	}
	h.dropFree(off, t.size)
	rest := tag{size: t.size - skip}
	h.addFree(off+skip, rest.size, false) // first, since the front's writing updates its tag
	h.addFree(off, skip, t.prevUsed)
	return off + skip, rest
}

// take hands out the first need bytes of the free block off, or all of it if
// the rest is too small to be a block.
func (h *Heap) take(off int, t tag, need, size int) {
	rest := t.size - need
	if rest >= h.minBlock {
		h.index.replace(off, t.size, off+need, rest)
		h.writeFree(off+need, rest, true)
		h.freeBytes -= need
		h.emit(alloc.Event{Kind: alloc.EventSplit, Off: arena.Offset(off), Size: need, Usable: t.size})
	} else {
		need = t.size
		h.dropFree(off, t.size)
		h.setPrevUsed(off+need, true)
	}
	h.markUsed(off, tag{size: need, slack: need - h.o.Header - size, used: true, prevUsed: t.prevUsed})
}

// markUsed writes the tag of a block that becomes used, sets its start bit and
// counts it.
func (h *Heap) markUsed(off int, t tag) {
	h.setTag(off, t)
	if h.startBit(off) {
		h.corrupt("malloc", off, "the start bit of a free block is set")
	}
	h.flipStartBit(off)
	h.countUsed(t.size-h.o.Header, t.slack, 1)
	h.mallocs++
	h.peak = max(h.peak, off+t.size)
}

// release makes the used block off free.
func (h *Heap) release(off int, t tag) {
	next := h.tagAt(off + t.size) // validate before anything changes
	prev := 0
	if !t.prevUsed && h.o.Coalesce == Immediate {
		prev = h.before(off)
	}
	h.flipStartBit(off)
	fill(h.mem.bytes[off+h.o.Header:off+t.size], freedByte)
	h.countUsed(t.size-h.o.Header, t.slack, -1)
	h.frees++
	h.free(off, t, prev, next)
}

// free makes [off, off+t.size) a free block, joined with prev (0: none) and
// with the next block, whose tag is next, if coalescing is immediate.
func (h *Heap) free(off int, t tag, prev int, next tag) {
	size, prevUsed := t.size, t.prevUsed
	if h.o.Coalesce == Immediate {
		if !next.used {
			h.dropFree(off+size, next.size)
			size += next.size
		}
		if prev != 0 {
			pt := h.tagAt(prev)
			h.dropFree(prev, pt.size)
			size, off, prevUsed = size+pt.size, prev, pt.prevUsed
		}
		if size != t.size {
			h.emit(alloc.Event{Kind: alloc.EventCoalesce, Off: arena.Offset(off), Size: size})
		}
	}
	h.addFree(off, size, prevUsed)
}

// addFree writes a free block and puts it into the index.
func (h *Heap) addFree(off, size int, prevUsed bool) {
	h.writeFree(off, size, prevUsed)
	h.freeBytes += size
	h.freeBlocks++
	h.index.insert(off, size)
}

// dropFree takes a free block out of the index, to be joined, used or dropped.
func (h *Heap) dropFree(off, size int) {
	h.index.remove(off, size)
	h.freeBytes -= size
	h.freeBlocks--
}

// writeFree writes the words of a free block, except its links, and tells the
// block after it.
func (h *Heap) writeFree(off, size int, prevUsed bool) {
	t := tag{size: size, prevUsed: prevUsed}
	h.setTag(off, t)
	h.mem.put(off+size-wordSize, footerWord, t.value())
	h.setPrevUsed(off+size, false)
}

// coalesceAll joins all free neighbours and builds the index anew, in address
// order. It reports whether it joined any. O(blocks).
func (h *Heap) coalesceAll() (joined bool) {
	type run struct {
		off, size int
		prevUsed  bool
	}
	var runs []run
	for off := h.start; off < h.end; {
		t := h.tagAt(off)
		if !t.used {
			if n := len(runs); n > 0 && runs[n-1].off+runs[n-1].size == off {
				runs[n-1].size += t.size
				joined = true
			} else {
				runs = append(runs, run{off, t.size, t.prevUsed})
			}
		}
		off += t.size
	}
	if !joined {
		return false
	}
	h.index.reset()
	h.freeBytes, h.freeBlocks = 0, 0
	for _, r := range runs {
		h.emit(alloc.Event{Kind: alloc.EventCoalesce, Off: arena.Offset(r.off), Size: r.size})
		h.addFree(r.off, r.size, r.prevUsed)
	}
	return true
}

// view returns the payload of the block off as the caller gets it.
func (h *Heap) view(off, size int) []byte {
	p := off + h.o.Header
	if size == 0 {
		return emptyView(h.mem.bytes, p)
	}
	return h.mem.bytes[p : p+size : p+size]
}

// clearTail clears the block of view b from byte from to its end, usable bytes
// included.
func (h *Heap) clearTail(b []byte, from int) {
	p := int(addr(b) - h.base)
	end := p - h.o.Header + h.tagAt(p-h.o.Header).size
	h.mem.clear(p+from, end)
}

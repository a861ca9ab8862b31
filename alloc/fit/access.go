package fit

import (
	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// readTag reads the tag at off, which may be anything, and says what is wrong
// with it, or "". Nothing outside of [start, end] is read.
func (h *Heap) readTag(off int) (t tag, wrong string) {
	if off < h.start || off > h.end {
		return t, "a block lies outside of the heap"
	}
	v, ok := h.mem.get(off, headerWord)
	if !ok {
		return t, "the tag's check bits are wrong"
	}
	t = tagOf(v)
	switch {
	case off == h.end:
		if t.size != 0 || !t.used {
			return t, "the epilogue is no epilogue"
		}
	case t.size < h.minBlock || t.size > h.end-off || t.size%h.o.Align != 0:
		return t, "the tag's size is impossible"
	case t.slack > t.size-h.o.Header || !t.used && t.slack != 0:
		return t, "the tag's slack is impossible"
	}
	return t, ""
}

// tagAt returns the tag at off, a block's start or the end, or finds the heap
// corrupt.
func (h *Heap) tagAt(off int) tag {
	t, wrong := h.readTag(off)
	if wrong != "" {
		h.corrupt("read", off, wrong)
	}
	return t
}

// usedTag returns the tag at off, where a start bit is set.
func (h *Heap) usedTag(op string, off int) tag {
	t := h.tagAt(off)
	if !t.used {
		h.corrupt(op, off, "the start bit of a free block is set")
	}
	return t
}

// setTag writes the tag at off.
func (h *Heap) setTag(off int, t tag) { h.mem.put(off, headerWord, t.value()) }

// setPrevUsed tells the block at off whether the one before it is used.
func (h *Heap) setPrevUsed(off int, used bool) {
	t := h.tagAt(off)
	if t.prevUsed == used {
		return
	}
	t.prevUsed = used
	h.setTag(off, t)
	if !t.used {
		h.mem.put(off+t.size-wordSize, footerWord, t.value())
	}
}

// before returns the start of the free block that ends at off, by its footer,
// which must agree with its tag.
func (h *Heap) before(off int) int {
	if off-wordSize < h.start {
		h.corrupt("read", off, "the first block has a free block before it")
	}
	v, ok := h.mem.get(off-wordSize, footerWord)
	if !ok {
		h.corrupt("read", off-wordSize, "the footer's check bits are wrong")
	}
	f := tagOf(v)
	if f.size < h.minBlock || f.size > off-h.start || f.size%h.o.Align != 0 {
		h.corrupt("read", off-wordSize, "the footer's size is impossible")
	}
	if h.tagAt(off-f.size) != f {
		h.corrupt("read", off-f.size, "footer and tag differ")
	}
	return off - f.size
}

// startBit reports whether a used block starts at off.
func (h *Heap) startBit(off int) bool {
	i := (off - h.start) / h.o.Align
	h.access(alloc.EventRead, i/8, 1)
	return h.mem.bytes[i/8]>>(i%8)&1 != 0
}

// flipStartBit changes whether a used block starts at off.
func (h *Heap) flipStartBit(off int) {
	i := (off - h.start) / h.o.Align
	h.access(alloc.EventWrite, i/8, 1)
	h.mem.bytes[i/8] ^= 1 << (i % 8)
}

// access reports an access to a part of the metadata that is no word.
func (h *Heap) access(kind alloc.EventKind, off, size int) { h.mem.report(kind, off, size) }

// emit tells the sink of e, if there is one.
func (h *Heap) emit(e alloc.Event) {
	if h.o.Sink != nil {
		h.o.Sink(e)
	}
}

// allocated tells the sink that b was handed out.
func (h *Heap) allocated(kind alloc.EventKind, b []byte) {
	if h.o.Sink != nil {
		h.emit(h.event(kind, b))
	}
}

// event returns an event about the live block b, of which b is the whole view.
func (h *Heap) event(kind alloc.EventKind, b []byte) alloc.Event {
	p := int(addr(b) - h.base)
	return alloc.Event{Kind: kind, Off: arena.Offset(p), Size: len(b), Usable: h.tagAt(p-h.o.Header).size - h.o.Header}
}

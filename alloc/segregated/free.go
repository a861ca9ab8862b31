package segregated

import (
	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// freeSpanAt is Free for b, off bytes behind the first byte of data, in a unit of spans, for
// which Free itself has not found a place in a bucket.
func (h *Heap) freeSpanAt(b []byte, off uintptr) {
	g := h.first + uint64(off>>granuleShift)
	switch {
	case off%granule != 0 || !isMarked(*h.rowOf(g), asUsed, g):
		h.freeRare(b)
	case h.deferred.row >= deferAfter:
		h.freeInRow(b, g)
	default:
		h.freeFar(b, g)
	}
}

// freeFull is freeSpanAt for a large span that Free has counted and marked as one in a bucket that
// is full.
func (h *Heap) freeFull(b []byte, off uintptr) {
	g := h.first + uint64(off>>granuleShift)
	h.reuse(g, 0)
	h.frees--
	h.quick.total -= h.largeSize(g)
	h.freeSpanAt(b, off)
}

// freeFar is Free for the used span at g, for which Free itself has not found a place in a
// bucket. One that goes into a bucket here at once, as large ones do in Free, brings no sweep
// and no row of notes nearer.
func (h *Heap) freeFar(b []byte, g uint64) {
	n, tried := h.largeSize(g), false
	if n == 0 {
		n = h.spanSize(g)
		q := &h.quick
		if tried = n-1 < q.part; tried && q.total+n <= q.most && h.putInto(g, n) { // as in putQuick
			h.frees++
			h.demands(n, -1)
			return
		}
	}
	h.lookForRow(g)
	switch {
	case !h.quick.keeps(n):
		h.frees++
		h.demands(n, -1)
		h.deferred.row++ // it is not deferAfter yet
		h.freeSpan(g, n)
		if h.mallocs+h.frees >= h.sweepAt {
			h.tick()
		}
	case !tried && h.mallocs+h.frees < h.sweepAt && h.putQuick(g, n):
		h.frees++
		h.demands(n, -1)
		return
	default:
		h.releaseSpan(g, n)
	}
	if h.err != nil {
		h.failFree(b)
	}
}

// freeEdge is runEdge for Free of b.
func (h *Heap) freeEdge(b []byte, run uintptr, before uint64) {
	if h.runEdge(run, before); h.err != nil {
		h.failFree(b)
	}
}

// failFree panics as damage was found while b was freed.
//
//go:noinline
func (h *Heap) failFree(b []byte) { panic(h.badBlock("free", b, h.err)) }

// freeRare is Free for nil, for bad blocks, and when every call has to come here.
func (h *Heap) freeRare(b []byte) {
	if b == nil {
		return
	}
	defer h.catch("free", b, nil)
	if h.chk != nil {
		h.chk.free(b)
		return
	}
	off := h.locate("free", b)
	if h.trace != nil {
		h.trace.released(off)
	}
	if h.sink != nil {
		h.emitBlock(alloc.EventFree, off, 0)
	}
	if h.zeroOnFree {
		h.clear(off, off+uint64(h.usable(off)))
	}
	h.release(off)
	if h.err != nil {
		h.failFree(b)
	}
}

// demandOf returns the class of spans of n granules, 0 if there is none.
func (h *Heap) demandOf(n uint64) uintptr {
	if n >= uint64(len(h.classOf)) {
		return 0
	}
	return uintptr(h.classOf[n]) % maxClasses
}

// demands adds d to the live spans that have the class of n granules, if there is one.
func (h *Heap) demands(n uint64, d int32) {
	if n < uint64(len(h.classOf)) {
		if ci := uintptr(h.classOf[n]); ci != 0 {
			h.demand[ci%maxClasses].live += d
		}
	}
}

// release frees the live block at off.
func (h *Heap) release(off uint64) {
	if h.kinds[off>>unitShift] < kindRun {
		g := off >> granuleShift
		h.releaseSpan(g, h.spanSize(g))
		return
	}
	h.endRow() // while the bit is set
	if k := uint64(h.kinds[off>>unitShift]); h.isTiny(k >> 8) {
		h.releaseTiny(off)
		return
	}
	h.frees++
	c, run, slot := h.slotOf(off)
	before := h.units[run]
	h.units[run] = before &^ (1 << slot)
	if uintptr(run) != c.cur && (before == ^uint64(0) || before&^(1<<slot) == c.empty()) {
		h.runEdge(uintptr(run), before)
	}
}

// releaseSpan frees the live span [g, g+n).
func (h *Heap) releaseSpan(g, n uint64) {
	if n == 0 {
		h.fail("span %#x has no end", g<<granuleShift)
		return
	}
	h.frees++
	h.demands(n, -1)
	if !h.quick.keeps(n) || !h.makeRoom(n) || !h.putQuick(g, n) {
		h.letGo(g, n)
	}
	if h.mallocs+h.frees >= h.sweepAt {
		h.tick()
	}
}

// slotOf returns the class and the run that hold offset off, in a run's unit,
// and the number of the slot that contains it.
func (h *Heap) slotOf(off uint64) (c *class, run, slot uint64) {
	u := off >> unitShift
	k := uint64(h.kinds[u])
	c = &h.classes[k>>8%maxClasses]
	run = u - k&runIndex
	return c, run, (off - run<<unitShift) / uint64(max(c.size, 1)) // that of a damaged kind may be 0
}

// usable returns the bytes of the live block at off.
func (h *Heap) usable(off uint64) int {
	if k := h.kinds[off>>unitShift]; k >= kindRun {
		return int(h.classes[k>>8%maxClasses].size)
	}
	return int(h.spanSize(off>>granuleShift) << granuleShift)
}

// Usable returns the bytes that block b occupies: its size rounded up to the
// class or, without one, to 16 and to 64 at least, or more: by up to 48 bytes that are no
// block by themselves, by at most 1/4, if a span that had been freed before was
// taken as a whole, by at most 1/8 in a calm heap, and by what
// [Heap.Realloc] has left it. It panics as [Heap.Free] does if b is not a live block.
//
// In the modes Checked and Guarded it is the size asked for: what lies behind
// it is the canary.
func (h *Heap) Usable(b []byte) int {
	defer h.catch("usable", b, nil)
	if h.chk != nil {
		return h.chk.usable(b)
	}
	return h.usable(h.locate("usable", b))
}

// locate returns the offset of the live block that starts at b's base, or
// panics with what is wrong with b. It dereferences nothing of b.
func (h *Heap) locate(op string, b []byte) uint64 {
	if h.refused() {
		panic(h.badBlock(op, b, h.state()))
	}
	return h.seek(op, b)
}

// seek is locate, also while the heap is being walked.
func (h *Heap) seek(op string, b []byte) uint64 {
	off := uint64(addrOf(b) - addrOf(h.mem))
	if first := h.first << granuleShift; off >= first && off < h.top<<granuleShift {
		u := off >> unitShift
		if k := h.kinds[u]; k != kindMarks && k == h.tiny.kind {
			if r := h.tinyAt(u); r != nil && off%tinySize == 0 && r.isLive(off%unitSize/tinySize) {
				return off
			}
		} else if k >= kindRun {
			c, run, slot := h.slotOf(off)
			if slot < 64 && h.units[run]&c.valid>>slot&1 != 0 && off == run<<unitShift+slot*uint64(c.size) {
				return off
			}
		} else if g := off >> granuleShift; off%granule == 0 && h.isUsed(g) {
			if h.shared == nil || !h.shared.isStocked(g) {
				return off
			}
			panic(h.classifyFreed(op, b, off))
		}
	}
	panic(h.classify(op, b, off))
}

// classify says why off is not the base of a live block.
func (h *Heap) classify(op string, b []byte, off uint64) *alloc.Fault {
	if off >= uint64(len(h.mem)) {
		return h.foreign(op, b)
	}
	f := h.badBlock(op, b, alloc.ErrInvalidFree)
	f.Off, f.InRegion = arena.Offset(off), true
	h.trace.explain(f)
	g := off >> granuleShift
	switch {
	case g < h.first:
		f.Owner = "metadata of the heap"
		return f
	case g >= h.safe.highest:
		return f
	case g >= h.top:
		if off%h.step() == 0 {
			f.Err = alloc.ErrDoubleFree
		}
		return f
	}
	blk, ok := h.containing(off)
	if !ok {
		return f
	}
	f.Block = &blk
	if !blk.Used && (blk.Off == f.Off || off%h.step() == 0 && h.kinds[off>>unitShift] < kindRun) {
		f.Err = alloc.ErrDoubleFree
	}
	return f
}

// step returns what the offsets of all blocks are multiples of.
func (h *Heap) step() uint64 {
	if h.tiny.class != 0 {
		return tinySize
	}
	return granule
}

// classifyFreed is classify for a block that was found to be freed, though it may be somebody's again.
func (h *Heap) classifyFreed(op string, b []byte, off uint64) *alloc.Fault {
	f := h.classify(op, b, off)
	f.Err = alloc.ErrDoubleFree
	return f
}

// containing returns the block that covers offset off below the top, used or
// free. It gives up inside spans of more than 64 MiB.
func (h *Heap) containing(off uint64) (alloc.Block, bool) {
	u := off >> unitShift
	if h.isTiny(uint64(h.kinds[u] >> 8)) {
		slot, r := off%unitSize/tinySize, h.tinyAt(u)
		return alloc.Block{Off: arena.Offset(off &^ (tinySize - 1)), Size: tinySize, Used: r != nil && r.isLive(slot)}, true
	}
	if h.kinds[u] >= kindRun {
		c, run, slot := h.slotOf(off)
		if c.size == 0 || slot >= uint64(c.numSlots()) {
			return alloc.Block{}, false
		}
		used := h.liveSlots(run, uint64(h.kinds[u])>>8)>>slot&1 != 0
		return alloc.Block{Off: arena.Offset(run<<unitShift + slot*uint64(c.size)), Size: int(c.size), Used: used}, true
	}
	g := h.spanAt(off >> granuleShift)
	if g == 0 {
		return alloc.Block{}, false
	}
	return alloc.Block{Off: arena.Offset(g << granuleShift), Size: int(h.spanSize(g) << granuleShift), Used: h.isLive(g)}, true
}

// spanAt returns the start of the span that covers granule g, or 0.
func (h *Heap) spanAt(g uint64) uint64 {
	const maxUnits = 64 << 20 >> unitShift
	u := g >> granuleBits
	for i := 0; i < maxUnits && u >= h.first>>granuleBits; i, u = i+1, u-1 {
		switch k := h.kinds[u]; {
		case k >= kindRun:
			return 0
		case k == kindInfo:
			continue // a row before it has the tag
		case k == kindLarge:
			return h.spanOver((u-1)<<granuleBits|h.units[u]&granuleMask, g)
		case k == kindLast:
			return h.spanOver((u+1)<<granuleBits+h.units[u]&granuleMask-h.units[u]>>granuleBits, g)
		}
		w := h.units[u]
		for ; w != 0; w = marksBefore(w, lastStart(w)) {
			if s := u<<granuleBits + lastStart(w); s <= g {
				return s
			}
		}
	}
	return 0
}

// spanOver returns at if a span starts there that covers granule g, else 0.
func (h *Heap) spanOver(at, g uint64) uint64 {
	if h.isSpan(at) && at+h.spanSize(at) > g {
		return at
	}
	return 0
}

// isSpan reports whether a span, used or free, starts at g.
func (h *Heap) isSpan(g uint64) bool {
	u := g >> granuleBits
	return g >= h.first && g < h.top && h.kinds[u] == kindMarks && isStart(h.units[u], g)
}

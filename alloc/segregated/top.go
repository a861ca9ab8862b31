package segregated

// The top is where the spans and runs end. Past it there is nothing but pages
// that were never touched, a few of which are in memory already, see pages.go, or that
// were and are kept for a while, see sweep.

// extend cuts n granules, placed on a, off the top. It returns 0 if the region,
// the limit or the system has no room.
func (h *Heap) extend(n uint64, a grid) uint64 {
	top := h.hdr.top
	if top != h.top {
		h.fail("the top is %#x, was left at %#x", top<<granuleShift, h.top<<granuleShift)
		return 0
	}
	at, end := a.after(top), h.endGranule()
	if at < top || at > end || n > end-at || !h.grow(at+n) {
		return 0
	}
	clearMark(h.rowOf(top), top)
	if at != top {
		h.setTop(at + n)
		h.putFree(top, at-top)
		return at
	}
	h.setTop(at + n)
	return at
}

// allocTop returns a used span of n granules off the top and its size, which may be more if it
// comes from elsewhere after all, or 0.
//
// Mostly that is where there were spans before.
func (h *Heap) allocTop(n uint64) (uint64, uint64) {
	g := h.top
	end := g + n
	if g != h.hdr.top || end > min(h.safe.dirty, h.safe.commit) {
		return h.allocFresh(n)
	}
	h.topPeak = max(h.topPeak, end)
	h.endAt(end)
	h.moveTop(end)
	*h.rowOf(g) |= mark(liveBit, g) // its bound bit has ended the last span
	if n >= tagMin {
		h.tag(g, n)
	}
	return g, n
}

// allocFresh is allocTop if pages have to be touched that were not. What is kept for speed
// is given up first: then the span may come from elsewhere.
func (h *Heap) allocFresh(n uint64) (uint64, uint64) {
	g := h.top
	end := g + n
	if end > h.safe.dirty && h.keepsMuch() && h.reclaim(n) {
		return h.allocSpan(n) // it may come here again, as often as there is something to reclaim
	}
	if g == h.hdr.top && end <= h.safe.commit {
		h.setTop(end)
	} else if g = h.extend(n, anywhere()); g == 0 {
		return 0, 0
	}
	h.markUsed(g, n)
	return g, n
}

// setTop moves the top to g and ends the last span there.
func (h *Heap) setTop(g uint64) {
	if g > h.topPeak {
		h.topPeak = g
		h.setDirty(max(h.safe.dirty, g))
		if g > h.safe.highest {
			h.setHighest(g)
			h.quick.grown(h.inUse()+g-h.top, h.mallocs+h.frees)
		}
	}
	h.endAt(g)
	h.moveTop(g)
}

// endAt sets the mark that ends the last span at g.
func (h *Heap) endAt(g uint64) { *h.rowOf(g) |= mark(asFree, g) }

// moveTop is setTop for what is not past the highest top since the last sweep, where the
// last span ends.
func (h *Heap) moveTop(g uint64) {
	data := g - h.first
	h.hdr.top, h.top = g, g
	if !h.hooked {
		h.reach = uintptr(data << granuleShift)
		if h.notes.end == 0 {
			h.near = h.reach
		}
	}
	h.quick.fit(data)
}

// lowerTop gives [g, top) to the top. gone, inside it, is forgotten.
func (h *Heap) lowerTop(g uint64, gone gap) {
	if gone.size() != 0 && !h.commit(gone) {
		// The system will not give the pages back: give up all above.
		h.abandon(gap{gone.hi, h.safe.commit})
		h.setCommit(gone.lo)
		h.setDirty(gone.lo)
		h.topPeak = min(h.topPeak, gone.lo) // so that to grow again makes it dirty
	}
	clearMark(h.rowOf(h.top), h.top) // what is in the header may be damaged
	h.endAt(g)
	h.moveTop(g)
}

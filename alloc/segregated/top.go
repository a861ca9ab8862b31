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
	at, end := a.up(top), h.endGranule()
	if at < top || at > end || n > end-at || !h.grow(at+n) {
		return 0
	}
	if at != top {
		u, m := bit(top)
		h.units[u].bound &^= m
		h.hdr.top = at // so that the gap is below it
		h.setTop(at + n)
		h.putFree(top, at-top)
		return at
	}
	u, m := bit(top)
	h.units[u].bound &^= m
	h.setTop(at + n)
	return at
}

// allocTop returns a used span of n granules off the top, or 0. What is kept for speed is
// given up first if pages would have to be touched that were not: then the span may come
// from elsewhere.
func (h *Heap) allocTop(n uint64) uint64 {
	g, d := h.top, h.hdr
	if g+n > d.dirty && h.reclaim() {
		return h.allocSpan(n)
	}
	if g == d.top && g+n <= min(d.commit, h.endGranule()) {
		h.setTop(g + n)
	} else if g = h.extend(n, anywhere()); g == 0 {
		return 0
	}
	h.markUsed(g, n)
	return g
}

// setTop moves the top to g and sets the bound bit that ends the last span.
func (h *Heap) setTop(g uint64) {
	u, m := bit(g)
	h.units[u].bound |= m
	d, data := h.hdr, g-h.first
	d.top, h.top = g, g
	if !h.hooked {
		h.reach = uintptr(data << granuleShift)
	}
	if g > h.topPeak {
		h.topPeak = g
		d.dirty = max(d.dirty, g)
		if highest := d.highest; g > highest {
			if g^highest >= h.pageGranules {
				h.credit += growPages * (g/h.pageGranules - highest/h.pageGranules)
			}
			d.highest = g
			h.quick.grown(data)
		}
	}
	h.quick.fit(data)
}

// lowerTop gives [g, top) to the top. gone, inside it, is forgotten.
func (h *Heap) lowerTop(g uint64, gone gap) {
	if gone.size() != 0 && !h.commit(gone) {
		// The system will not give the pages back: give up all above.
		h.decommit(gap{gone.hi, h.hdr.commit})
		h.hdr.commit, h.hdr.dirty = gone.lo, gone.lo
		h.topPeak = min(h.topPeak, gone.lo) // so that to grow again makes it dirty
	}
	u, m := bit(h.top) // what is in the header may be damaged
	h.units[u].bound &^= m
	h.setTop(g)
}

package segregated

// A run is cut from a free span, and if none has room for one, from the top of the data. There it
// would often lie between blocks that stay, and the next run behind the blocks after those; when the
// runs are empty again they leave holes that are of use to runs only. So where there is much data, the
// top does not rise by a run, but pages that were not touched yet are taken for a reserve of several, from
// which nothing else is cut, and the runs of all classes but those of the longest lie side by side.
//
// The reserve is one span, marked as those in quick lists are: its neighbours take it for used. It is
// given up when it is too short for the next run, in a sweep if nobody has cut from it for idleSweeps of
// them, when memory ends, in Trim, and before Compact moves anything. A heap in a file and a [Shared]
// have none, nor has one that is hooked.
const (
	reserveLeast = 2 << 20 >> granuleShift  // granules of data from which on there is one
	reserveSize  = 16 << 10 >> granuleShift // granules of a new one
)

// usesReserve reports whether the heap is one that has a reserve.
func (h *Heap) usesReserve() bool {
	return h.top-h.first >= reserveLeast && h.shared == nil && !h.durable && !h.hooked
}

// findRun is reserveSpan for a run of n granules, for which the reserve comes before the top, and is
// renewed before pages are touched for it. Of runs that are longer than half of it, it would leave too
// much over.
func (h *Heap) findRun(n uint64, fresh bool) uint64 {
	if !fresh || 2*n > reserveSize || !h.usesReserve() {
		return h.reserveSpan(n, onUnit(), fresh)
	}
	h.coalesce()
	g, size := h.findAligned(n, onUnit())
	switch {
	case h.err != nil:
		return 0
	case g != 0:
		return h.carveOn(g, size, onUnit(), n)
	case h.reserve.size() >= n:
		return h.cutReserve(n)
	}
	if g = h.reserveSpan(n, onUnit(), false); g != 0 || h.err != nil {
		return g
	}
	if h.hasRoom(reserveSize + unitGranules) {
		h.renewReserve()
	}
	if h.err == nil && h.reserve.size() >= n {
		return h.cutReserve(n)
	}
	return h.reserveSpan(n, onUnit(), true)
}

// hasRoom reports whether the region and the limit allow the data to grow by n granules.
func (h *Heap) hasRoom(n uint64) bool {
	end := roundUp(h.top+n, h.pageGranules)
	return end <= h.endGranule() && (end <= h.safe.commit || h.within(end))
}

// renewReserve makes another reserve, if there is room for it.
func (h *Heap) renewReserve() {
	h.dropReserve()
	if g := h.reserveSpan(reserveSize, onUnit(), true); g != 0 {
		h.reserve = gap{g, g + reserveSize}
		h.markReserve()
	}
}

// markReserve marks what is left of the reserve.
func (h *Heap) markReserve() {
	if r := h.reserve; r.size() != 0 {
		h.markUsed(r.lo, r.size())
		h.keep(r.lo)
	}
}

// cutReserve takes the first n granules of the reserve, which has as many, and leaves them without
// marks; 0 if it is not marked.
func (h *Heap) cutReserve(n uint64) uint64 {
	r := &h.reserve
	g := r.lo
	if !h.unmarkReserve() {
		return 0
	}
	r.lo, h.reserveCut = g+n, true
	h.markReserve()
	return g
}

// unmarkReserve leaves the reserve without marks, and reports whether it had those it should have.
func (h *Heap) unmarkReserve() bool {
	g := h.reserve.lo
	if !h.begins(asKept, g) || h.spanSize(g) != h.reserve.size() {
		h.reserve = gap{} // nobody is to look for it again
		return h.fail("the reserve for runs at %#x is not marked as it was", g<<granuleShift)
	}
	clearMark(h.rowOf(g), g)
	if h.reserve.size() >= tagMin {
		h.clearRow(g>>granuleBits + 1)
	}
	return true
}

// dropReserve makes the reserve a free span.
func (h *Heap) dropReserve() {
	r := h.reserve
	if r.size() != 0 && h.unmarkReserve() {
		h.reserve = gap{}
		h.freeSpan(r.lo, r.size())
	}
}

// ageReserve gives the reserve up if nobody has cut from it since the last call.
func (h *Heap) ageReserve() {
	if !h.reserveCut {
		h.dropReserve()
	}
	h.reserveCut = false
}

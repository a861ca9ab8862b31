package segregated

// Pages go back to the system by this rule. Time is counted in operations
// (Mallocs and Frees). At each sweep, sweepEvery operations after the one
// before, the heap looks at its free spans of at least sweepMin granules, the
// largest first, and at what lies past the highest top since the sweep before.
// Whole pages that were free all that time are given back, as long as there is
// credit: one page for each opsPerPage operations, at most maxCredit saved up.
// So the cost of giving pages back and touching them again is bounded per
// operation, and what a program frees and wants again soon stays resident.
// Ranges of at least hugePages are given back without credit: a program that
// takes so much at once spends more on filling it.

const (
	sweepEvery = 4096
	sweepMin   = 16 << 10 >> granuleShift // granules; not below infoMin
	opsPerPage = 1000
	maxCredit  = 1024 // pages
	hugePages  = 1024
	_          = uint(sweepMin - infoMin)
)

// tick sweeps when it is time.
func (h *Heap) tick() {
	if ops := h.mallocs + h.frees; ops >= h.sweepAt {
		h.credit = min(h.credit+(ops-h.sweepAt+sweepEvery)/opsPerPage, maxCredit)
		h.sweepAt = ops + sweepEvery
		h.sweep()
	}
}

// sweep gives back what has been free since the sweep before, for as long as
// there is credit. O(free spans of sweepMin and more).
func (h *Heap) sweep() {
	h.flushQuick()
	h.giveBackTop()
	for bin := numBins - 1; bin >= binOf(sweepMin); bin-- {
		for g, i := h.hdr.bins[bin], 0; g != 0 && i <= h.freeSpans; i++ {
			if !h.isFree(g) {
				h.fail("bin %d has %#x, which is not a free span", bin, g<<granuleShift)
				return
			}
			in := h.info(g)
			h.giveBack(in)
			in.idleLo, in.idleHi = g, g+in.size
			g = in.next
		}
	}
}

// pay reports how many of so many pages may be given back now, and takes them
// off the credit.
func (h *Heap) pay(pages uint64) uint64 {
	if pages >= hugePages {
		return pages
	}
	pages = min(pages, h.credit)
	h.credit -= pages
	return pages
}

// giveBack decommits the whole pages of the idle part of a free span that are
// not given back yet. The gap of a span is one range: it grows at either end.
func (h *Heap) giveBack(in *spanInfo) {
	lo, hi := roundUp(in.idleLo, h.pageGranules), in.idleHi&^(h.pageGranules-1)
	gone := gap{in.goneLo, in.goneHi}
	if lo >= hi || lo >= gone.lo && hi <= gone.hi {
		return
	}
	if gone.size() == 0 {
		gone = gap{lo, lo}
	}
	if lo > gone.hi || hi < gone.lo {
		return // the idle part does not touch the gap; next time it does
	}
	if n := h.pay((gone.lo - min(lo, gone.lo)) / h.pageGranules); n > 0 && h.decommit(gap{gone.lo - n*h.pageGranules, gone.lo}) {
		gone.lo -= n * h.pageGranules
	}
	if n := h.pay((max(hi, gone.hi) - gone.hi) / h.pageGranules); n > 0 && h.decommit(gap{gone.hi, gone.hi + n*h.pageGranules}) {
		gone.hi += n * h.pageGranules
	}
	if gone.size() != 0 {
		in.goneLo, in.goneHi = gone.lo, gone.hi
	}
}

// giveBackTop decommits the pages past the highest top since the last call,
// from the end.
func (h *Heap) giveBackTop() {
	p := roundUp(max(h.hdr.top, h.topPeak), h.pageGranules)
	h.topPeak = h.hdr.top
	if h.hdr.dirty <= p {
		return
	}
	dirty := roundUp(h.hdr.dirty, h.pageGranules)
	p = dirty - h.pay((dirty-p)/h.pageGranules)*h.pageGranules
	if p < dirty && h.decommit(gap{p, h.hdr.commit}) {
		h.hdr.commit, h.hdr.dirty = p, p
	}
}

// Trim gives back every page that holds no block, and the empty runs that are
// kept for speed, and returns by how many bytes the heap's committed memory
// shrank. Operations go on doing that bit by bit; Trim is for a program that
// is about to be idle. O(free spans).
func (h *Heap) Trim() int {
	if h.refused() {
		return 0
	}
	before := h.committed
	h.dropEmpty()
	credit := h.credit
	h.credit = ^uint64(0)
	h.topPeak = h.hdr.top
	h.sweep()
	h.sweep() // what the first one found is idle now
	h.credit = credit
	return int(before - min(before, h.committed))
}

// purge is Trim for a heap that has run out of memory; it reports whether it
// is worth trying again.
func (h *Heap) purge() bool {
	top, spans := h.hdr.top, h.freeSpans
	return h.Trim() > 0 || h.hdr.top != top || h.freeSpans != spans
}

// dropEmpty gives empty current runs back to the best-fit space.
func (h *Heap) dropEmpty() {
	for ci := range h.classes {
		c := &h.classes[ci]
		if c.cur == 0 || *c.live != c.empty {
			continue
		}
		run := c.cur
		c.cur, c.avail = 0, 0
		h.dropRun(uintptr(ci), run)
	}
}

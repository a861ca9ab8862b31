package segregated

// Before the data grows beyond what it ever was, free spans of tradeMin and more give back as
// many pages, however long they have been free, if there is credit, see sweep.go: memory is at
// its peak when it grows, and what it grows by did not fit into them.
//
// Memory also rises when pages that were given back are used again. If that brings it above its
// peak, the heap economizes when it has the span, as long as there is credit: it gives back as
// much, and if need be empties its lists and gives up empty runs for it. A heap that is about to
// grow to where it has been before trades so far as it would come above its peak.
const (
	tradeMin   = 16 << 10 >> granuleShift // granules; not below infoMin
	tradeTries = 16                       // spans that pay each time,
	tradeLooks = 64                       // of so many that are looked at
	tradePages = 16                       // a call for fewer takes nearly as long
	_          = uint(tradeMin - infoMin)
)

// tradeFor trades for the pages that are about to be committed for the data to grow, up to
// granule end, of which it is to use those up to granule to: for all of these if it has never been
// so large, which brings credit, else for those above the peak.
func (h *Heap) tradeFor(to, end uint64) {
	from := h.safe.commit
	if to <= h.credited {
		if need := h.committed + (end-from)<<granuleShift; need > h.peak {
			h.trade((need - h.peak + h.pageSize - 1) / h.pageSize)
		}
		return
	}
	h.credit += h.growthBrings(h.credited, to)
	h.credited = to
	h.trade((to-from)>>h.pageShift + 1)
}

// growthBrings returns what credit it brings when the data grows from one granule to another for
// the first time.
func (h *Heap) growthBrings(from, to uint64) uint64 {
	if h.inRounds() {
		return 0
	}
	return growPages * (to>>h.pageShift - from>>h.pageShift)
}

// grewTo is told that the data may be used up to granule end now, and had been up to from, and
// brought credit up to credited before: what it had been larger by then costs credit again.
func (h *Heap) grewTo(from, end, credited uint64) {
	if again := min(end, credited); again > from {
		h.credit -= min(h.credit, (again-from)/h.pageGranules)
	}
	h.setCommit(end)
	h.peak = max(h.peak, h.committed)
}

// trade gives back so many pages of free spans, or a few more.
func (h *Heap) trade(pages uint64) {
	h.giveHeld(pages)
	if h.credit != 0 {
		h.giveSome(pages)
	}
}

// lookAround is tick after a span was taken, for which pages may have been needed again.
func (h *Heap) lookAround() {
	if h.committed > h.peak {
		h.economize()
	}
	h.tick()
}

// excess returns by how many pages memory is above its peak.
func (h *Heap) excess() uint64 { return (max(h.committed, h.peak) - h.peak) / h.pageSize }

// economize brings memory that has come above its peak by pages which were given back before
// below it again, as far as there is credit, with what is past the top and in free spans, then
// with what the lists hold, then with empty runs; while credit is saved up only with huge blocks
// that are held. What is left of it is the new peak.
func (h *Heap) economize() {
	if h.savesUp() {
		if n := h.excess(); n != 0 {
			h.giveHeld(n) // which takes no credit
		}
		h.peak = max(h.peak, h.committed)
		return
	}
	if !h.shed() && h.credit != 0 && h.top-h.first >= quickTiny && h.flushQuick() {
		h.shed()
	}
	if h.excess() != 0 && h.credit != 0 && h.retireAll() {
		h.shed()
	}
	h.peak = max(h.peak, h.committed)
}

// shed gives back the pages that are above the peak, and reports whether it could.
func (h *Heap) shed() bool {
	if n := h.excess(); n != 0 {
		h.giveLast(h.top, n)
	}
	if n := h.excess(); n != 0 {
		h.trade(n)
	}
	return h.excess() == 0
}

// giveSome gives back so many pages of free spans, and tradePages at least, of the largest first:
// as best fit cuts the end off the smallest that does, the start of these is used last. Damage is
// left to others to report.
func (h *Heap) giveSome(pages uint64) {
	pages = max(pages, tradePages)
	least, looks, tries := binOf(tradeMin), tradeLooks, tradeTries
	for bin := h.lastBin(numBins); bin >= least; bin = h.lastBin(bin) {
		for g := h.hdr.bins[bin]; g != 0; looks-- {
			if looks == 0 || tries == 0 || pages == 0 || !h.remembers(g) {
				return
			}
			in := h.info(g)
			in.setIdle(g)
			if n := h.giveBack(in, pages); n != 0 {
				pages -= min(pages, n)
				tries--
			}
			g = in.next
		}
	}
}

// remembers reports whether a free span that has room for a whole spanInfo starts at g, and
// what it remembers lies inside. It trusts nothing about g: whose pages are given back must
// be free.
func (h *Heap) remembers(g uint64) bool {
	if !h.isFree(g) {
		return false
	}
	n := h.largeSize(g)
	if n < infoMin {
		return false
	}
	return h.hasEnd(g, n) && h.info(g).memory().within(g, n)
}

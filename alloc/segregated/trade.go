package segregated

// Before the data grows beyond what it ever was, free spans give back as many pages, if
// there is credit, see sweep.go: memory is at its peak when it grows, and what it grows
// by did not fit into them. Those of sweepMin and more do so however long they have been
// free. Smaller ones are often taken again soon, and do if they have been free since the
// data was smaller by one part in 1<<tradeShift.
//
// Memory also rises when pages that were given back are used again. If that brings it above its
// peak, the heap economizes at the end of the operation: it gives back as much, and if need be
// empties its lists and gives up empty runs for it. A heap that is about to grow to where it has
// been before trades so far as it would come above its peak.
const (
	tradeTries = 16 // spans looked at each time
	tradePages = 16 // a call for fewer takes nearly as long
	tradeShift = 3
)

// tradeFor trades for the pages that the data is to grow by, up to granule to: for all of them
// if it has never been so large, which brings credit, else for those above the peak, as they cost
// credit.
func (h *Heap) tradeFor(to uint64) {
	pages := (to-h.hdr.commit)>>h.pageShift + 1
	if to > h.credited {
		h.credit += growPages * (to>>h.pageShift - h.credited>>h.pageShift)
		h.credited = to
	} else {
		h.credit -= min(h.credit, pages)
		pages = (max(h.committed+pages*h.pageSize, h.peak) - h.peak) >> (h.pageShift + granuleShift)
	}
	if pages != 0 {
		h.trade(pages)
	}
}

// trade gives back so many pages of free spans, or more if the last of them has more.
func (h *Heap) trade(pages uint64) {
	h.giveHeld()
	if h.credit == 0 {
		return
	}
	h.giveSome(pages)
	if data := h.top - h.first; data > h.traded+h.traded>>tradeShift {
		h.traded = data
		h.markIdle()
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
// below it again, with what is past the top, free spans, what the lists hold, empty runs, in
// this order. What is left of it is the new peak.
func (h *Heap) economize() {
	h.giveLast(h.top, h.excess())
	h.trade(h.excess())
	if h.excess() != 0 && h.top-h.first >= quickTiny && h.flushQuick() {
		h.trade(h.excess())
	}
	if h.excess() != 0 && h.retireAll() {
		h.trade(h.excess())
	}
	h.peak = max(h.peak, h.committed)
}

// giveSome gives back so many pages of free spans, and tradePages at least, of the largest first:
// as best fit cuts the end off the smallest that does, the start of these is used last. Damage is
// left to others to report.
func (h *Heap) giveSome(pages uint64) {
	pages = max(pages, tradePages)
	least, tries := binOf(infoMin), tradeTries
	for bin := h.lastBin(numBins); bin >= least; bin = h.lastBin(bin) {
		for g := h.hdr.bins[bin]; g != 0; tries-- {
			if tries == 0 || pages == 0 || !h.remembers(g) {
				return
			}
			in := h.info(g)
			if in.size >= sweepMin {
				in.idleLo, in.idleHi = g, g+in.size
			}
			pages -= min(pages, h.giveBack(in, pages))
			g = in.next
		}
	}
}

// markIdle says of the free spans of infoMin and more that all of each has been free for
// long, so that the next trade or sweep may give it back. O(such spans).
func (h *Heap) markIdle() {
	for bin := h.nextBin(binOf(infoMin)); bin < numBins; bin = h.nextBin(bin + 1) {
		for g, i := h.hdr.bins[bin], 0; g != 0 && i <= h.freeSpans && h.remembers(g); i++ {
			in := h.info(g)
			in.idleLo, in.idleHi = g, g+in.size
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
	in, last := h.info(g), (g+n)>>granuleBits-1
	m := memory{gap{in.goneLo, in.goneHi}, gap{in.idleLo, in.idleHi}}
	return in.start == g && *h.kind(last) == kindLast && *h.row(last) == unit{g, n} && m.within(g, n)
}

package segregated

// Before the data grows beyond what it ever was, free spans give back as many pages, if
// there is credit, see sweep.go: memory is at its peak when it grows, and what it grows
// by did not fit into them. Those of sweepMin and more do so however long they have been
// free. Smaller ones are often taken again soon, and do if they have been free since the
// data was smaller by one part in 1<<tradeShift.
const (
	tradeTries = 16 // spans looked at each time
	tradeShift = 3
)

// trade gives back so many pages of free spans, or more if the last of them has more, for
// others that the data grows by.
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

// giveSome gives back so many pages of the smallest free spans that have any, or more: a
// span is not divided for it. Damage is left to others to report.
func (h *Heap) giveSome(pages uint64) {
	enough, tries := h.committed-min(h.committed, pages*h.pageSize), tradeTries
	for bin := h.nextBin(binOf(infoMin)); bin < numBins; bin = h.nextBin(bin + 1) {
		for g := h.hdr.bins[bin]; g != 0; tries-- {
			if tries == 0 || h.committed <= enough || !h.remembers(g) {
				return
			}
			in := h.info(g)
			if in.size >= sweepMin {
				in.idleLo, in.idleHi = g, g+in.size
			}
			h.giveBack(in)
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

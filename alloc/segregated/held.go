package segregated

// A block of hugePages and more goes back to the system when it is freed, see sweep.go.
// But a calm heap (quickshare.go) has shown that it does the same over and over: one that
// fills a buffer of many MiB for each picture would pay for all of its pages each time. So
// it holds what is freed, for heldOps operations from the first on, or until the data is
// about to grow beyond what it ever was, or memory comes above its peak. Meanwhile blocks may
// have been cut from it: all that has one part in heldPart of hugePages goes back then.
const (
	heldOps  = 1 << 18
	heldPart = 8
)

// holds reports whether the huge free span at hand is held, and if it is the first one sees to
// it that it is not for longer than heldOps.
func (h *Heap) holds() bool {
	if h.quick.calm == 0 {
		return false
	}
	if h.heldTo == 0 {
		h.heldTo = h.mallocs + h.frees + heldOps
	}
	return true
}

// giveHeld gives back what is held, or left of it. O(free spans of hugePages/heldPart).
func (h *Heap) giveHeld() {
	if h.heldTo == 0 {
		return
	}
	credit, least := h.credit, hugePages/heldPart*h.pageGranules
	h.credit = ^uint64(0)
	if h.hdr.dirty-h.top >= least {
		h.topPeak = h.top
		h.giveBackTop()
	}
	for bin := h.nextBin(binOf(least)); bin < numBins; bin = h.nextBin(bin + 1) {
		for g, i := h.hdr.bins[bin], 0; g != 0 && i <= h.freeSpans && h.remembers(g); i++ {
			in := h.info(g)
			in.setIdle(g)
			h.giveBack(in, allPages)
			g = in.next
		}
	}
	h.credit, h.heldTo = credit, 0
}

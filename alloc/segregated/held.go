package segregated

// A block of hugePages and more goes back to the system when it is freed, see sweep.go.
// But a calm heap (quickshare.go) has shown that it does the same over and over: one that
// fills a buffer of many MiB for each picture would pay for all of its pages each time. So
// it holds what is freed, for heldOps operations from the first on, or as many as heldRounds
// rounds have if it works in rounds (rounds.go). When the data is about to grow beyond what it ever
// was, or memory comes above its peak, so many pages of it go back, or heldLeast. Meanwhile blocks
// may have been cut from it: all that has one part in heldPart of hugePages goes back in the end.
const (
	heldOps   = 1 << 18
	heldPart  = 8
	heldLeast = 512
)

// holds reports whether the huge free span at hand is held, and if it is the first one sees to
// it that it is not for too long.
func (h *Heap) holds() bool {
	if h.quick.calm == 0 && !h.inRounds() {
		return false
	}
	if h.heldTo == 0 {
		h.heldTo = h.mallocs + h.frees + h.holdFor()
	}
	return true
}

// holdFor returns for how many operations huge free spans are held.
func (h *Heap) holdFor() uint64 { return max(heldOps, heldRounds*h.rounds.ops) }

// giveHeld gives back so many pages of what is held, or left of it, and heldLeast at least.
// O(free spans of hugePages/heldPart).
func (h *Heap) giveHeld(pages uint64) {
	if h.heldTo == 0 {
		return
	}
	pages = max(pages, heldLeast)
	credit, least := h.credit, hugePages/heldPart*h.pageGranules
	h.credit = pages
	if h.safe.dirty-h.top >= least {
		h.topPeak = h.top
		h.giveBackTop()
	}
	for bin := h.nextBin(binOf(least)); bin < numBins; bin = h.nextBin(bin + 1) {
		for g, i := h.hdr.bins[bin], 0; g != 0 && i <= h.freeSpans && h.remembers(g); i++ {
			in := h.info(g)
			in.setIdle(g)
			h.giveBack(in, h.credit)
			g = in.next
		}
	}
	if h.credit != 0 {
		h.heldTo = 0
	}
	h.credit = credit
}

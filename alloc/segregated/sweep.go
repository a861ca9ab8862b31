package segregated

// Pages go back to the system by this rule. Time is counted in operations on
// spans and runs (a slot that is taken or freed without either costs nothing
// here). Every sweepEvery of them a sweep gives back the whole pages of each
// free span of at least sweepMin granules that was free at the sweep before,
// and what lies past the highest top since then. So what a program frees and
// wants again soon stays resident, at most what was freed in two intervals.

const (
	sweepEvery = 1024
	sweepMin   = 16 << 10 >> granuleShift // granules; not below infoMin
	_          = uint(sweepMin - infoMin)
)

// tick counts an operation and sweeps when it is time.
func (h *Heap) tick() {
	if h.clock++; h.clock%sweepEvery == 0 {
		h.sweep(h.epoch)
		h.epoch++
	}
}

// sweep gives back the spans that became free before the epoch and what lies
// past the highest top. O(free spans of sweepMin and more).
func (h *Heap) sweep(epoch uint64) {
	for bin := h.nextBin(binOf(sweepMin)); bin < numBins; bin = h.nextBin(bin + 1) {
		for g, i := h.hdr.bins[bin], 0; g != 0 && i <= h.freeSpans; i++ {
			if !h.isFree(g) {
				h.fail("bin %d has %#x, which is not a free span", bin, g<<granuleShift)
				return
			}
			in := h.info(g)
			if in.epoch < epoch {
				h.giveBack(in, g, g+in.size)
			}
			g = in.next
		}
	}
	h.giveBackTop()
}

// giveBack decommits the whole pages of the free span [g, end).
func (h *Heap) giveBack(in *spanInfo, g, end uint64) {
	pages := gap{roundUp(g, h.pageGranules), end &^ (h.pageGranules - 1)}
	if pages.lo >= pages.hi || pages == (gap{in.goneLo, in.goneHi}) {
		return
	}
	if h.decommit(pages) {
		in.goneLo, in.goneHi = pages.lo, pages.hi
	}
}

// giveBackTop decommits the pages past the highest top since the last call.
func (h *Heap) giveBackTop() {
	p := roundUp(max(h.hdr.top, h.topPeak), h.pageGranules)
	h.topPeak = h.hdr.top
	if h.hdr.dirty > p && h.decommit(gap{p, h.hdr.commit}) {
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
	h.topPeak = h.hdr.top
	h.sweep(h.epoch + 1)
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

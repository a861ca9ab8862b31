package segregated

// Pages go back to the system by this rule. Giving a page back and touching it
// again costs as much as hundreds of operations, so there is a credit, in pages:
// growPages for each page that is committed for the data to grow beyond what it ever was,
// since the program pays for touching that page anyhow, and one for each opsPerPage
// operations. A page that is given back costs one of credit, and one more when it is needed
// again: a program that uses all of its memory over and over keeps its pages soon, one that is
// done with it does not. While there is credit the heap sweeps: of its free spans of at
// least sweepMin granules it gives back the whole pages that have been free since
// the sweep before, and so with what lies past the highest top since then. A block of
// soonPages and more goes back when it is freed, unless the heap saves its credit up.
//
// Smaller spans keep their pages until the data grows, or memory comes above its peak, see
// trade.go: they are often taken again soon, and a call for one page takes half as long as one for
// ten. (With a sweepMin of 16 KiB, and still smaller ones that paid for growth, first passes of
// real traces took 6 % longer, up to a third, for half a point of mean utilisation.)
//
// What is gained by giving a page back is its share of the memory for as long as it
// stays away, and those that were free for long stay away for long. So the heap sweeps
// the more seldom the less of its memory is free: every sweepEvery operations while
// that is half or more, four times as seldom when it is half as much, down to
// sweepRarely. It looks every sweepEvery operations whether it is time; without credit, with
// little while Free takes notes (see notes.go) or when the heap is settled, and in a still heap
// (see quickshare.go), after restEvery. Requests for slots look when none is at hand, and
// restEvery later.
//
// A heap that works in rounds has credit from operations alone, see rounds.go.
//
// So a program that grows and shrinks keeps little that it does not use; one
// that does so over and over soon keeps its pages, and then pays at most one
// page for each opsPerPage operations. A block of hugePages and more goes back
// without credit: a program that takes so much at once spends more on filling it. A heap
// that is calm holds it for a while, see held.go.

const (
	sweepEvery  = 256
	sweepRarely = 2048
	restEvery   = 4096
	sweepLeast  = 8                        // pages of credit
	sweepMin    = 64 << 10 >> granuleShift // granules; not below infoMin
	growPages   = 4
	opsPerPage  = 10000
	soonPages   = 64
	hugePages   = 8192
	allPages    = ^uint64(0)
	_           = uint(sweepMin - infoMin)
)

// soonGranules is soonPages in granules: so much goes back to the system when it is freed.
func (h *Heap) soonGranules() uint64 { return soonPages * h.pageGranules }

// overdue reports whether it has been time for a tick for restEvery operations, or there are
// pages that are held until one. Requests for slots ask for it when none is at hand; those for
// spans tick when it is time.
func (h *Heap) overdue() bool { return h.heldTo != 0 || h.mallocs+h.frees >= h.sweepAt+restEvery }

// tick sweeps when it is time and there is credit.
func (h *Heap) tick() {
	ops := h.mallocs + h.frees
	if ops < h.sweepAt {
		return
	}
	h.quick.adapt(h.top-h.first, ops-h.lastTick)
	if h.rounds.watch(&h.quick, h.inUse(), ops) {
		h.endRound(ops)
	}
	h.earned += ops - h.lastTick
	h.lastTick = ops
	h.credit += h.earned / opsPerPage
	h.earned %= opsPerPage
	h.sweepAt = ops + sweepEvery
	if h.heldTo != 0 && ops >= h.heldTo {
		h.giveHeld(allPages)
	}
	since := ops - h.lastSweep
	if h.sweeps() {
		h.coalesce() // so that sweepWait knows what is free
		if since < h.sweepWait() {
			return
		}
	}
	h.lastSweep = ops
	if !h.sweepShrinks() && h.quick.rest(h.top-h.first, since) || !h.sweeps() {
		h.sweepAt = ops + restEvery
	}
}

// sweeps reports whether there is credit for a sweep; if Free takes notes, which are done with
// when it comes, for one that is worth it.
func (h *Heap) sweeps() bool {
	return h.credit != 0 && !h.savesUp() && (h.notes.end == 0 || h.credit >= sweepLeast)
}

// savesUp reports whether the heap saves its credit up: while it is settled, until a sweep is worth
// it. To give back one page and to take it again would cost it two calls for each few thousand
// operations.
func (h *Heap) savesUp() bool { return h.credit < sweepLeast && h.quick.settled() }

// inUse returns how many granules of the data are neither free nor in the quick lists, nor in
// idle runs, nor in the reserve for runs.
func (h *Heap) inUse() uint64 {
	return h.top - h.first - h.freeSum - h.quick.total - h.idle.sum - h.reserve.size()
}

// sweepWait returns how many operations there are to be from one sweep to the next.
func (h *Heap) sweepWait() uint64 {
	all := h.committed>>granuleShift - (h.safe.commit - h.safe.dirty)
	return waitFor(all, all-min(h.top-h.first-h.freeSum, all))
}

// waitFor is sweepWait for a heap of which free of all granules hold no block.
func waitFor(all, free uint64) uint64 {
	w := min(sweepEvery*all/max(2*free, 1), sweepRarely)
	return max(sweepEvery, min(w*w/sweepEvery, sweepRarely))
}

// sweepShrinks sweeps, if there is credit, and reports whether pages were given back.
func (h *Heap) sweepShrinks() bool {
	if !h.sweeps() {
		return false
	}
	before := h.committed
	h.sweep(sweepMin)
	return h.committed < before
}

// sweep gives back what of free spans of least granules and more has been free since the
// sweep before, for as long as there is credit. O(such spans).
func (h *Heap) sweep(least uint64) {
	h.emptyUnused()
	h.ageIdle()
	h.coalesce()
	h.giveBackTop()
	for bin := h.nextBin(binOf(least)); bin < numBins; bin = h.nextBin(bin + 1) {
		for g, i := h.hdr.bins[bin], 0; g != 0 && i <= h.freeSpans; i++ {
			if !h.remembers(g) {
				h.wrongSize(bin, g)
				return
			}
			in := h.info(g)
			h.giveBack(in, allPages)
			in.setIdle(g)
			g = in.next
		}
	}
}

// pay reports how many of so many pages may be given back now, and takes them
// off the credit.
func (h *Heap) pay(pages uint64) uint64 {
	if pages >= hugePages && !h.holds() {
		return pages
	}
	pages = min(pages, h.credit)
	h.credit -= pages
	return pages
}

// afford reports whether there is credit for all of so many pages, and takes it then.
func (h *Heap) afford(pages uint64) bool {
	if pages >= hugePages {
		return true
	}
	return pages <= h.credit && h.pay(pages) == pages
}

// giveBack decommits so many of the whole pages of the idle part of a free span that are not
// given back yet, as far as there is credit, and returns how many. The gap of a span is one
// range: it grows at either end.
func (h *Heap) giveBack(in *spanInfo, most uint64) (pages uint64) {
	m := in.memory()
	lo, hi, gone := roundUp(m.idle.lo, h.pageGranules), m.idle.hi&^(h.pageGranules-1), m.gone
	if lo >= hi || lo >= gone.lo && hi <= gone.hi {
		return 0
	}
	if gone.size() == 0 {
		gone = gap{lo, lo}
	}
	if lo > gone.hi || hi < gone.lo {
		return 0 // the idle part does not touch the gap; next time it does
	}
	if n := h.pay(min((gone.lo-min(lo, gone.lo))/h.pageGranules, most)); n > 0 && h.decommit(gap{gone.lo - n*h.pageGranules, gone.lo}) {
		gone.lo -= n * h.pageGranules
		pages += n
	}
	if n := h.pay(min((max(hi, gone.hi)-gone.hi)/h.pageGranules, most-pages)); n > 0 && h.decommit(gap{gone.hi, gone.hi + n*h.pageGranules}) {
		gone.hi += n * h.pageGranules
		pages += n
	}
	in.gone = pagesOf(gone)
	return pages
}

// giveBackTop decommits the pages past the highest top since the last call,
// from the end.
func (h *Heap) giveBackTop() {
	p := max(h.top, h.topPeak)
	h.topPeak = h.top
	h.giveLast(p, allPages)
}

// giveLast decommits so many pages that can be dirty, or those past granule p, from the end.
func (h *Heap) giveLast(p, pages uint64) {
	p, dirty := roundUp(p, h.pageGranules), roundUp(h.safe.dirty, h.pageGranules)
	if dirty <= p {
		return
	}
	p = dirty - h.pay(min((dirty-p)/h.pageGranules, pages))*h.pageGranules
	if p < dirty && h.decommit(gap{p, h.safe.commit}) {
		h.setCommit(p)
		h.setDirty(p)
		h.topPeak = min(h.topPeak, p) // so that to grow again makes it dirty
	}
}

// Trim gives back the pages that hold no block, but for one that may lie in a free span
// of less than 7 KiB, and the empty runs that are kept for speed, and returns by how
// many bytes the heap's committed memory shrank. Operations go on doing that bit by bit;
// Trim is for a program that is about to be idle. In a closed or damaged heap, within a walk
// and within Compact it does nothing and returns 0. O(free spans).
func (h *Heap) Trim() int {
	if h.refused() {
		return 0
	}
	before := h.committed
	h.dropEmpty()
	h.flushQuick()
	h.dropReserve()
	h.forgetTiny()
	h.deferred, h.notes, h.quick.quickMore, h.idle = deferredFrees{}, notes{}, quickMore{}, idleRuns{}
	credit := h.credit
	h.credit = ^uint64(0)
	h.topPeak = h.top
	h.sweep(infoMin)
	h.sweep(infoMin) // what the first one found is idle now
	h.dropAhead()
	h.credit, h.heldTo, h.peak = credit, 0, h.committed
	return int(before - min(before, h.committed))
}

// dropAhead decommits the pages that were made usable and never used, and what the system
// has kept past the top.
func (h *Heap) dropAhead() {
	if h.kept {
		h.decommit(gap{roundUp(h.safe.commit, h.pageGranules), h.endGranule()})
	}
	if p := roundUp(h.safe.dirty, h.pageGranules); p < h.safe.commit && h.decommit(gap{p, h.safe.commit}) {
		h.setCommit(p)
	}
}

// purge is Trim for a heap that has run out of memory; it reports whether it
// is worth trying again.
func (h *Heap) purge() bool {
	top, free := h.top, h.freeSum
	return h.Trim() > 0 || h.top != top || h.freeSum != free
}

// dropEmpty gives empty current runs back to the best-fit space.
func (h *Heap) dropEmpty() {
	h.endRow()
	h.dropTiny()
	for ci := range h.classes {
		if run := h.takeEmpty(uintptr(ci)); run != 0 {
			h.leaveRun(uintptr(ci), run)
		}
	}
}

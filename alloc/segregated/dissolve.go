package segregated

import "math/bits"

// A run that is half empty for good wastes what its class no longer asks for.
// As blocks are multiples of granules and have no headers, such a run can become
// spans where it lies: its live slots used ones, which are freed like any others,
// the rest free ones, which join with their neighbours. No block moves. Slots of less than
// minSpan are too small for that.
//
// The heap looks for such runs before the data grows by pages that were not
// touched, once in dissolveEvery granules, and twice as seldom, down to once in
// dissolveRarely, each time that it finds none: in the classes that have not taken up
// a run since the look before, and no more than a few at a time, so that what it
// costs is in proportion to the growth that it may spare.
//
// The current run of a class is not among them. If it is empty it is given up, too, at a look
// after the top rose by more than one part in 1<<retireShift of the data, or sank, since that was
// done last; a class that was not reached waits for the next time. All such runs go when memory
// comes above its peak (trade.go).
//
// A heap in a file keeps its runs: there is no order of single words in which a
// run can become spans that leaves a readable heap at each step (see rebuild.go).
const (
	dissolveEvery  = 4 << 10 >> granuleShift
	dissolveRarely = 32 << 10 >> granuleShift
	dissolveLooks  = 64 // runs looked at each time
	dissolveRuns   = 16 // runs dissolved each time
	dissolveFree   = 4  // those of which at least one slot in so many is free
	retireShift    = 3
)

// dissolveState says how far the search for runs to dissolve has come.
type dissolveState struct {
	top     uint64 // the top when the heap looked last
	retired uint64 // and when it gave up empty runs last
	every   uint32 // granules of growth until it looks again, if more than dissolveEvery
	class   uint32 // less 1: the class to look at next
	traces  [maxClasses]classTrace
}

// classTrace is what the search knows of a class.
type classTrace struct {
	now, before uint32 // how many runs it has taken up: until now, until the last look
	next        uint32 // the partial run to look at next; 0: the first
}

// dissolveIdle dissolves sparse runs of idle classes, gives up empty current ones when it is
// time, and reports whether there were any of either.
func (h *Heap) dissolveIdle() bool {
	d := &h.dissolving
	if h.durable || h.shared != nil || h.top-d.top < max(uint64(d.every), dissolveEvery) { // a heap that has shrunk looks at once
		return false
	}
	d.top = h.top
	h.endRow()
	looks, runs := dissolveLooks, dissolveRuns
	retires := h.top-d.retired > (h.top-h.first)>>retireShift
	if retires {
		d.retired = h.top
	}
	n := uintptr(h.safe.classes)
	at := uintptr(d.class)
	for range n {
		if at >= n {
			at = 0
		}
		ci := (at + 1) % maxClasses
		if t := &d.traces[ci]; t.now != t.before {
			t.before = t.now
		} else {
			if h.hdr.partial[ci]|t.next != 0 && h.classes[ci].canDissolve() { // else there is none
				h.dissolveClass(ci, &looks, &runs)
			}
			if retires && runs > 0 && h.retire(ci) {
				runs--
			}
			if looks == 0 || runs == 0 || h.err != nil {
				break
			}
		}
		at++
	}
	d.class = uint32(at)
	if runs < dissolveRuns {
		d.every = dissolveEvery
		return true
	}
	d.every = min(2*max(d.every, dissolveEvery), dissolveRarely)
	return false
}

// retire gives up the current run of class ci if it is empty, and its idle runs then, and reports
// whether it was. Half of the requests are forgotten, so that a class that is seldom asked for gets
// no other soon.
func (h *Heap) retire(ci uintptr) bool {
	run := h.takeEmpty(ci)
	if run == 0 {
		return false
	}
	h.leaveRun(ci, run)
	h.dropIdle(1 << (ci % maxClasses))
	h.joinListed() // of many idle runs: the caller looks for free spans next
	h.demand[ci%maxClasses].total /= 2
	return true
}

// retireAll gives up all current runs that are empty, and reports whether there were any.
func (h *Heap) retireAll() (found bool) {
	if h.durable || h.shared != nil {
		return false
	}
	h.endRow()
	found = h.dropTiny()
	for ci := range h.classes {
		found = h.retire(uintptr(ci)) || found
	}
	return found
}

// dissolveClass dissolves the sparse runs of class ci, as far as it may look.
func (h *Heap) dissolveClass(ci uintptr, looks, runs *int) {
	c, t := &h.classes[ci%maxClasses], &h.dissolving.traces[ci%maxClasses]
	run := uintptr(t.next)
	if run == 0 || run == c.cur || !h.isRun(ci, run) || h.units[run] == ^uint64(0) || h.units[run] == c.empty() {
		run = uintptr(h.hdr.partial[ci%maxClasses]) // it is on the list no more
	}
	for ; run != 0 && *looks > 0 && *runs > 0 && h.err == nil; *looks-- {
		if !h.isListable(ci, run) {
			h.fail("partial run %#x of class %d is none", run<<unitShift, ci)
			return
		}
		next := h.nextRun(ci, run)
		if free := bits.OnesCount64(^h.units[run]); free*dissolveFree >= c.numSlots() {
			h.dissolve(ci, run)
			*runs--
		}
		run = next
	}
	t.next = uint32(run)
}

// canDissolve reports whether slots of c can be spans.
func (c *class) canDissolve() bool { return c.size >= minSpan*granule }

// dissolve makes spans of the run of class ci, which is partial or full: used ones of
// its live slots, free ones of the rest.
func (h *Heap) dissolve(ci, run uintptr) {
	c := &h.classes[ci%maxClasses]
	if h.units[run] != ^uint64(0) && !h.unlinkRun(ci, run) {
		return
	}
	live := h.units[run] & c.valid
	for i := range c.units {
		h.clearRow(uint64(run + i))
	}
	h.hdr.runs[ci%maxClasses]--
	h.demand[ci%maxClasses].total = 0
	g, n := uint64(run)<<granuleBits, uint64(c.size)>>granuleShift
	end := g + uint64(c.units)*unitGranules
	for w := live; w != 0; w &= w - 1 {
		at := g + uint64(bits.TrailingZeros64(w))*n
		size := n
		if !isPiece(end - at - n) {
			size = end - at // what is left over would be no span
		}
		h.markUsed(at, size)
		h.demands(size, 1)
		if size != n && h.chk != nil {
			h.chk.widened(at<<granuleShift, uint64(c.size))
		}
	}
	at := g
	for w := live; w != 0; w &= w - 1 {
		next := g + uint64(bits.TrailingZeros64(w))*n
		if next > at {
			h.freeSpan(at, next-at)
		}
		at = next + n
	}
	if at+minSpan <= end {
		h.freeSpan(at, end-at)
	}
}

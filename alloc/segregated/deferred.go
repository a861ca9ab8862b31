package segregated

import (
	"math"
	"slices"
)

// A program that frees block after block and takes none meanwhile has no use yet for free
// spans that are joined and in their bins: what counts is what they are when the next one
// is asked for. So of those that go back to the best-fit space with none taken from there
// in between, from the deferAfter-th on spans and empty runs are listed, and joined before
// the next is taken, before a sweep, or when the list is full (Wilson et al., section
// 3.10: deferred coalescing). While they are, Free does not even look for a span's size,
// nor whether a quick list would keep it.
//
// If there are deferMany, that is done by address. Neighbours become one span, the free
// spans between them are unlinked once, and when all is freed nothing is put in a bin.
// Fewer are joined one by one as they came: free spans are taken newest first, and by
// address they waste more.
//
// A listed span is marked as one in a quick list is, and counts among the live ones of its
// class; a listed run is empty and on no list of its class. The list lies outside of the
// region, where a stray write does not find it. It has room as memory is at its peak, so it is
// kept small: what starts past the first 64 GiB, which takes more than 32 bits, is never listed.
const (
	deferAfter = 128
	deferMany  = 512
	deferFirst = 256  // spans for which there is room at first; from then on it grows fourfold
	deferMost  = 2048 // spans in the list: to join them takes up to a third of a millisecond
	sortDigit  = 10   // bits of the starts that one pass of sort looks at
)

// deferredFrees are the spans and runs that are free and not joined yet.
type deferredFrees struct {
	row     uint64   // spans and runs that went back since one was taken, and are not listed
	list    []uint32 // their starts in granules
	scratch []uint32 // for sort
}

// takes is told that a span is about to be taken.
func (h *Heap) takes() {
	h.deferred.row = 0
	if len(h.deferred.list) != 0 {
		h.coalesce()
	}
}

// mayList reports whether the list has a place for what starts at granule g.
func mayList(g uint64) bool { return g <= math.MaxUint32 }

// lists reports whether the span at g is listed without a look at the quick lists.
func (d *deferredFrees) lists(g uint64) bool {
	return d.row >= deferAfter && len(d.list) != cap(d.list) && mayList(g)
}

// freeInRow is Free for the used span at g after deferAfter others in a row: it is
// listed. If it is so large that its pages go back at once, the list has no room, or a
// sweep is due, it is left to releaseSpan.
func (h *Heap) freeInRow(b []byte, g uint64) {
	d := &h.deferred
	if h.largeSize(g) >= h.soonGranules() || !d.lists(g) || h.mallocs+h.frees >= h.sweepAt {
		h.releaseSpan(g, h.spanSize(g))
		if h.err != nil {
			h.failFree(b)
		}
		return
	}
	d.list = append(d.list, uint32(g))
	h.keep(g)
	h.frees++
}

// letGo is freeSpan for a span that is not used any more, [g, g+n), at once or with
// others later.
func (h *Heap) letGo(g, n uint64) {
	if n >= h.soonGranules() || !h.defers(g) {
		h.freeSpan(g, n)
		return
	}
	h.demands(n, 1)
	h.keep(g)
}

// letGoRun is dropRun for a run that is not current, if it is not kept, at once or with others
// later.
func (h *Heap) letGoRun(ci, run uintptr) {
	if !h.keepIdle(ci, run) && !h.defers(uint64(run)<<granuleBits) {
		h.dropRun(ci, run)
		return
	}
	h.tick()
}

// defers lists the span or run at g, if it is not to be joined at once, and reports
// whether it has. The list never has room for more than deferMost: freeInRow takes it for
// full when its capacity is used up, and leaves to defers whether it may grow.
func (h *Heap) defers(g uint64) bool {
	d := &h.deferred
	if d.row < deferAfter || h.hooked || !mayList(g) {
		d.row++
		return false
	}
	if len(d.list) == deferMost {
		h.joinListed()
	}
	if n := len(d.list); n == cap(d.list) { // in few steps: each leaves the room before to the collector
		d.list = append(make([]uint32, 0, min(max(4*n, deferFirst), deferMost)), d.list...)
	}
	d.list = append(d.list, uint32(g))
	return true
}

// coalesce joins the listed spans with their neighbours. O(spans in the list), and for
// each a search as in freeSpan.
func (h *Heap) coalesce() {
	h.endRow()
	h.deferred.row = 0
	h.joinListed()
}

// joinListed is coalesce, and lets the row go on.
func (h *Heap) joinListed() {
	d := &h.deferred
	n := len(d.list)
	if n == 0 {
		return
	}
	if n < deferMany {
		for _, g := range d.list {
			h.coalesceOne(uint64(g))
		}
	} else {
		d.sort()
		for n > 0 && h.err == nil { // from the top down, so that it is lowered first
			n = h.coalesceFrom(n - 1)
		}
	}
	d.list = d.list[:0]
}

// coalesceOne frees the listed span or run at g.
func (h *Heap) coalesceOne(g uint64) {
	n := h.listedSize(g)
	if n == 0 {
		h.noEnd(g)
		return
	}
	h.unlist(g, n)
	h.freeSpan(g, n)
}

// coalesceFrom frees span i of the sorted list together with those before it that lie
// beside it, or beside a small free span that lies beside it, and returns how many are
// left. They are not so many that their pages would go back at once.
func (h *Heap) coalesceFrom(i int) int {
	list := h.deferred.list
	g := uint64(list[i])
	n := h.listedSize(g)
	end := g + n
	for ; i > 0 && n != 0; i-- {
		to := uint64(list[i-1])
		size := h.listedSize(to)
		if end-to >= h.soonGranules() || size == 0 || !h.clearBetween(to+size, g) {
			break
		}
		h.unlist(g, n) // not before the one below it is measured
		g, n = to, size
	}
	if n == 0 {
		h.noEnd(g)
		return i
	}
	h.unlist(g, n)
	h.freeSpan(g, end-g)
	return i
}

// clearBetween leaves no span between granules at and g, where the next listed one begins,
// and reports whether it could: it drops a free one, if that remembers nothing.
func (h *Heap) clearBetween(at, g uint64) bool {
	return at == g || g-at < infoMin && h.startsFree(at) && h.spanSize(at) == g-at && h.dropFree(at, g-at)
}

// listedSize returns the size in granules of the listed span or run at g, or 0 if
// the rows make no sense.
func (h *Heap) listedSize(g uint64) uint64 {
	if k := *h.kind(g >> granuleBits); k >= kindRun {
		return uint64(h.classes[k>>8%maxClasses].units) << granuleBits
	}
	return h.spanSize(g)
}

// unlist makes the listed span or run [g, g+n) granules without marks.
func (h *Heap) unlist(g, n uint64) {
	u := g >> granuleBits
	if k := *h.kind(u); k >= kindRun {
		h.unmarkRun(uintptr(k>>8), uintptr(u))
		return
	}
	clearMark(h.row(u), g)
	if n >= tagMin {
		h.clearRow(u + 1)
	}
	h.demands(n, -1)
}

// sort sorts the list, by the digits of the starts, least first.
func (d *deferredFrees) sort() {
	lo := slices.Min(d.list)
	span := slices.Max(d.list) - lo
	if len(d.list) > cap(d.scratch) {
		d.scratch = make([]uint32, cap(d.list)) // no more: see defers
	}
	d.scratch = d.scratch[:len(d.list)]
	for shift := 0; span>>shift != 0; shift += sortDigit {
		var at [1 << sortDigit]uint16 // 2 KiB: a larger one would make the stack grow
		for _, g := range d.list {
			at[(g-lo)>>shift&(1<<sortDigit-1)]++
		}
		sum := uint16(0)
		for i := range at {
			at[i], sum = sum, sum+at[i]
		}
		for _, g := range d.list {
			p := &at[(g-lo)>>shift&(1<<sortDigit-1)]
			d.scratch[*p] = g
			*p++
		}
		d.list, d.scratch = d.scratch, d.list
	}
}

// largestListed returns the size in granules of the largest span or run in the list.
func (h *Heap) largestListed() (n uint64) {
	for _, g := range h.deferred.list {
		n = max(n, h.listedSize(uint64(g)))
	}
	return n
}

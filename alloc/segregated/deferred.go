package segregated

import (
	"math/bits"
	"slices"
)

// A program that frees block after block and takes none meanwhile has no use yet for free
// spans that are joined and in their bins: what counts is what they are when the next one
// is asked for. So from the deferAfter-th on of those that go back to the best-fit space
// with none taken from there in between, spans and empty runs are listed, and joined
// before the next is taken, before a sweep, or when the list is full (Wilson et al.,
// section 3.10: deferred coalescing).
//
// If there are deferMany, that is done by address. Neighbours become one span, the free
// spans between them are unlinked once, and when all is freed nothing is put in a bin.
// Fewer are joined one by one as they came: free spans are taken newest first, and by
// address they waste more.
//
// A listed span is marked as one in a quick list is, and a listed run is empty and on no
// list of its class. The list lies outside of the region, where a stray write does not
// find it.
const (
	deferAfter = 128
	deferMany  = 512
	deferMost  = 4096 // spans in the list
	deferBits  = 16   // of an entry: the size; the rest is the start
	sortDigit  = 11   // bits of the starts that one pass of sort looks at
)

// deferredSpan is a span or a run that is listed: its start and its size in granules.
type deferredSpan uint64

func (e deferredSpan) start() uint64 { return uint64(e >> deferBits) }
func (e deferredSpan) size() uint64  { return uint64(e) & (1<<deferBits - 1) }

// deferredFrees are the spans and runs that are free and not joined yet.
type deferredFrees struct {
	row     uint32 // spans that went back since one was taken
	total   uint64 // granules in the list
	list    []deferredSpan
	scratch []deferredSpan // for sort
}

// takes is told that a span is about to be taken.
func (h *Heap) takes() {
	h.deferred.row = 0
	if len(h.deferred.list) != 0 {
		h.coalesce()
	}
}

// letGo is freeSpan for the used span [g, g+n), at once or with others later.
func (h *Heap) letGo(g, n uint64) {
	if !h.defers(g, n) {
		h.freeSpan(g, n)
		return
	}
	u, m := bit(g)
	h.row(u).bound &^= m
}

// letGoRun is dropRun, at once or with others later.
func (h *Heap) letGoRun(ci, run uintptr) {
	if !h.defers(uint64(run)<<granuleBits, uint64(h.classes[ci%maxClasses].units)<<granuleBits) {
		h.dropRun(ci, run)
		return
	}
	h.tick()
}

// defers lists [g, g+n), if it is not to be joined at once, and reports whether it has.
func (h *Heap) defers(g, n uint64) bool {
	d := &h.deferred
	if d.row < deferAfter || n >= min(soonPages*h.pageGranules, 1<<deferBits) || h.hooked {
		d.row++
		return false
	}
	if len(d.list) == deferMost {
		h.coalesce()
	}
	d.list = append(d.list, deferredSpan(g<<deferBits|n))
	d.total += n
	return true
}

// coalesce joins the listed spans with their neighbours. O(spans in the list), and for
// each a search as in freeSpan.
func (h *Heap) coalesce() {
	d := &h.deferred
	d.row = 0
	switch n := len(d.list); {
	case n == 0:
		return
	case n < deferMany:
		for _, e := range d.list {
			if h.err != nil {
				break
			}
			h.unmark(e)
			h.freeSpan(e.start(), e.size())
		}
	default:
		d.sort()
		for n > 0 && h.err == nil { // from the top down, so that it is lowered first
			n = h.coalesceAt(n - 1)
		}
	}
	d.list, d.total = d.list[:0], 0
}

// coalesceAt frees span i of the sorted list together with those before it that lie
// beside it, or beside a small free span that lies beside it, and returns how many are
// left. They are not so many that their pages would go back at once.
func (h *Heap) coalesceAt(i int) int {
	list, most := h.deferred.list, soonPages*h.pageGranules
	lo := list[i].start()
	end := lo + list[i].size()
	h.unmark(list[i])
	for i > 0 {
		e := list[i-1]
		if end-e.start() >= most {
			break
		}
		if at := e.start() + e.size(); at != lo {
			if g := h.freeUpTo(lo); g != at || lo-g >= infoMin || !h.dropFree(g, lo-g) {
				break
			}
		}
		h.unmark(e)
		lo = e.start()
		i--
	}
	h.freeSpan(lo, end-lo)
	return i
}

// freeUpTo returns the start of the free span that ends at granule g, or 0.
func (h *Heap) freeUpTo(g uint64) uint64 {
	u, m := bit(g)
	row := h.row(u)
	w := row.starts() & (m - 1)
	if w == 0 {
		return h.freeBefore(g)
	}
	if b := uint64(bits.Len64(w)) - 1; row.live>>(b&granuleMask)&1 == 0 {
		return u<<granuleBits + b
	}
	return 0
}

// unmark makes a listed span or run granules without marks.
func (h *Heap) unmark(e deferredSpan) {
	u, m := bit(e.start())
	if k := *h.kind(u); k >= kindRun {
		h.unmarkRun(uintptr(k>>8), uintptr(u))
		return
	}
	h.row(u).live &^= m
	if e.size() >= largeMin {
		h.clearRow(u + 1)
	}
}

// sort sorts the list by address: if it is long, by the digits of the starts, least
// first.
func (d *deferredFrees) sort() {
	lo, hi := d.list[0], d.list[0]
	for _, e := range d.list {
		lo, hi = min(lo, e), max(hi, e)
	}
	lo = lo >> deferBits << deferBits
	d.scratch = slices.Grow(d.scratch[:0], len(d.list))[:len(d.list)]
	for shift := deferBits; (hi-lo)>>shift != 0; shift += sortDigit {
		var at [1 << sortDigit]uint32
		for _, e := range d.list {
			at[(e-lo)>>shift&(1<<sortDigit-1)]++
		}
		sum := uint32(0)
		for i, n := range at {
			at[i], sum = sum, sum+n
		}
		for _, e := range d.list {
			p := &at[(e-lo)>>shift&(1<<sortDigit-1)]
			d.scratch[*p] = e
			*p++
		}
		d.list, d.scratch = d.scratch, d.list
	}
}

// largest returns the size of the largest span in the list.
func (d *deferredFrees) largest() (n uint64) {
	for _, e := range d.list {
		n = max(n, e.size())
	}
	return n
}

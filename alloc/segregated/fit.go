package segregated

// Blocks outside the runs: best fit over spans of granules, split when taken,
// joined with their free neighbours when freed, cut from the top of the data
// when no free span fits.

// gap is a range of granules, whole pages, that has been given back to the
// system inside a free span. Empty when lo == hi.
type gap struct{ lo, hi uint64 }

func (g gap) size() uint64 { return g.hi - g.lo }

// grid is where a span may start: granules g for which g+bias is a multiple of
// align, a power of two.
type grid struct{ align, bias uint64 }

var (
	anywhere = grid{align: 1}            // any granule
	onUnit   = grid{align: unitGranules} // what runs need
)

// up returns the first granule of the grid from g on.
func (a grid) up(g uint64) uint64 { return roundUp(g+a.bias, a.align) - a.bias }

// allocSpan returns a used span of n granules placed on a; 0 if there is no room.
func (h *Heap) allocSpan(n uint64, a grid) uint64 {
	if g := h.reserveSpan(n, a); g != 0 {
		h.mark(g, n, true)
		return g
	}
	return 0
}

// reserveSpan finds n granules as allocSpan does but leaves them without
// marks, so that the caller can make them a span or a run.
func (h *Heap) reserveSpan(n uint64, a grid) uint64 {
	var g, size uint64
	if a.align == 1 {
		g, size = h.find(n)
	} else {
		g, size = h.findAligned(n, a)
	}
	switch {
	case h.err != nil:
		return 0
	case g == 0:
		return h.extend(n, a)
	}
	at := a.up(g)
	if !h.carve(g, size, at, n) {
		return 0
	}
	return at
}

// carve takes [at, at+n) out of the linked free span [g, g+size); what is left
// before and after stays free. It reports whether the pages could be had; if
// not, nothing has changed.
func (h *Heap) carve(g, size, at, n uint64) bool {
	front, back := at-g, g+size-at-n
	var gone gap
	var epoch uint64
	if size >= infoMin {
		in := h.info(g)
		gone, epoch = gap{in.goneLo, in.goneHi}, in.epoch
		if gone.size() != 0 && !h.restore(gone, at, n, front, back) {
			return false
		}
	}
	if !h.unlink(g, size) {
		return false
	}
	h.unmark(g, size)
	if front != 0 {
		h.putFree(g, front, gap{gone.lo, min(gone.hi, at&^(h.pageGranules-1))}, epoch)
	}
	if back != 0 {
		h.putFree(at+n, back, gap{max(gone.lo, roundUp(at+n, h.pageGranules)), gone.hi}, epoch)
	}
	return true
}

// restore commits the part of gone that [at, at+n) needs, and the parts that
// the free rests before and after are too small to remember.
func (h *Heap) restore(gone gap, at, n, front, back uint64) bool {
	need := gone
	if front >= infoMin {
		need.lo = max(need.lo, at&^(h.pageGranules-1))
	}
	if back >= infoMin {
		need.hi = min(need.hi, roundUp(at+n, h.pageGranules))
	}
	if need.lo >= need.hi {
		return true
	}
	if !h.commit(need) {
		return false
	}
	h.restored = need
	return true
}

// putFree makes the unmarked granules [g, g+n) a free span. gone is what of it
// is given back; it is ignored where the span is too small to remember it or
// the gap is empty or inverted.
func (h *Heap) putFree(g, n uint64, gone gap, epoch uint64) {
	h.mark(g, n, false)
	if !h.link(g, n) || n < infoMin {
		return
	}
	in := h.info(g)
	in.epoch = epoch
	if gone.lo < gone.hi {
		in.goneLo, in.goneHi = gone.lo, gone.hi
	}
}

// freeSpan takes the marked, used span [g, g+n) back.
func (h *Heap) freeSpan(g, n uint64) {
	h.unmark(g, n)
	h.freeRange(g, n)
}

// freeRange makes the unmarked granules [g, g+n) free: it joins them with the
// free spans before and after, and gives them to the top if they end there.
func (h *Heap) freeRange(g, n uint64) {
	var gone gap
	end := g + n
	if end != h.hdr.top && h.isFree(end) {
		size := h.spanSize(end)
		var ok bool
		if gone, ok = h.absorb(end, size, gone); !ok {
			return
		}
		end += size
	}
	if p := h.spanBefore(g); p != 0 && h.isFree(p) {
		var ok bool
		if gone, ok = h.absorb(p, g-p, gone); !ok {
			return
		}
		g = p
	}
	if end == h.hdr.top {
		h.lowerTop(g, gone)
		return
	}
	h.putFree(g, end-g, gone, h.epoch)
}

// absorb removes the free span [g, g+n), which is about to be joined with
// another one, and returns what is given back of both.
func (h *Heap) absorb(g, n uint64, other gap) (gap, bool) {
	if n == 0 {
		return gap{}, h.fail("free span %#x has no end", g<<granuleShift)
	}
	var own gap
	if n >= infoMin {
		in := h.info(g)
		own = gap{in.goneLo, in.goneHi}
	}
	if !h.unlink(g, n) {
		return gap{}, false
	}
	h.unmark(g, n)
	if own.size() == 0 {
		return other, true
	}
	if other.size() == 0 {
		return own, true
	}
	return h.joinGaps(own, other), true
}

// joinGaps returns one gap for the two of spans that are joined. A span has
// room for one: the smaller is committed again, without touching it; if the
// system refuses, what lies between them is given back too.
func (h *Heap) joinGaps(a, b gap) gap {
	if a.hi == b.lo || b.hi == a.lo {
		return gap{min(a.lo, b.lo), max(a.hi, b.hi)}
	}
	if a.size() < b.size() {
		a, b = b, a
	}
	if h.commit(b) {
		return a
	}
	between := gap{min(a.hi, b.hi), max(a.lo, b.lo)}
	h.decommit(between)
	return gap{min(a.lo, b.lo), max(a.hi, b.hi)}
}

// findAligned is find for spans that hold n granules placed on a: a few that may happen to, else one that is large enough to.
func (h *Heap) findAligned(n uint64, a grid) (g, size uint64) {
	bin := h.nextBin(binOf(n))
	for range searchNext {
		if bin == numBins {
			return 0, 0
		}
		g := h.hdr.bins[bin]
		for i := 0; i < searchNext && g != 0; i++ {
			h.searched++
			if !h.isFree(g) {
				h.fail("bin %d has %#x, which is not a free span", bin, g<<granuleShift)
				return 0, 0
			}
			size := h.spanSize(g)
			if skip := a.up(g) - g; size >= n && skip <= size-n {
				return g, size
			}
			g = h.links(g, bin).next
		}
		bin = h.nextBin(bin + 1)
	}
	return h.find(n + a.align - 1)
}

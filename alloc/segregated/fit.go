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

// anywhere is the grid of every granule.
func anywhere() grid { return grid{align: 1} }

// onUnit is the grid that runs need.
func onUnit() grid { return grid{align: unitGranules} }

// up returns the first granule of the grid from g on.
func (a grid) up(g uint64) uint64 { return roundUp(g+a.bias, a.align) - a.bias }

// allocSpan returns a used span of n granules, or 0 if there is no room. It
// takes the end of the span it finds, so that a large one with a large rest
// keeps its place and, mostly, its bin. What is kept for speed is given up first
// if pages would have to be touched that were not.
func (h *Heap) allocSpan(n uint64) uint64 {
	g, size := h.find(n)
	if g == 0 {
		if h.err != nil {
			return 0
		}
		if h.top+n > h.hdr.dirty && h.reclaim() {
			return h.allocSpan(n)
		}
		if g = h.extend(n, anywhere()); g != 0 {
			h.markUsed(g, n)
		}
		return g
	}
	rest := size - n
	if h.sink != nil && rest != 0 {
		h.emitSplit(g, rest, size)
	}
	switch {
	case rest == 0:
		return h.takeWhole(g, n)
	case size < largeMin:
		return h.takeSmallEnd(g, size, n)
	case rest >= infoMin && h.info(g).goneHi == 0:
		return h.takeEnd(g, size, n)
	}
	if !h.carve(g, size, g+rest, n) {
		return 0
	}
	h.markUsed(g+rest, n)
	return g + rest
}

// takeWhole makes the free span [g, g+n) used.
func (h *Heap) takeWhole(g, n uint64) uint64 {
	if n >= infoMin {
		in := h.info(g)
		if gone := (gap{in.goneLo, in.goneHi}); gone.size() != 0 {
			if !h.commit(gone) {
				return 0
			}
			h.restored = gone
		}
	}
	if !h.unlink(g, n) {
		return 0
	}
	if n >= largeMin {
		h.untagLast(g, n)
		h.closeInfo(g, n)
	}
	u, m := bit(g)
	h.row(u).live |= m
	return g
}

// takeEnd cuts the used span of n granules off the end of the free span
// [g, g+size), of which at least infoMin granules without a gap remain.
func (h *Heap) takeEnd(g, size, n uint64) uint64 {
	at := g + size - n
	if !h.resizeFree(g, size, size-n) {
		return 0
	}
	if in := h.info(g); in.idleHi > at {
		in.idleHi = max(in.idleLo, at)
	}
	h.markUsed(at, n)
	return at
}

// takeSmallEnd is takeEnd for a span that is not large: its bound bit stays.
func (h *Heap) takeSmallEnd(g, size, n uint64) uint64 {
	if !h.unlink(g, size) || !h.link(g, size-n) {
		return 0
	}
	at := g + size - n
	u, m := bit(at)
	row := h.row(u)
	row.bound |= m
	row.live |= m
	return at
}

// resizeFree changes the size of the linked free span at g, at least infoMin
// granules before and after, and moves it to another bin if need be. The rows
// past its new end are left clear.
func (h *Heap) resizeFree(g, old, n uint64) bool {
	same := binOf(old) == binOf(n)
	if same {
		h.freeSum += n - old
	} else if !h.unlink(g, old) {
		return false
	}
	h.clearRow((g+old)>>granuleBits - 1)
	h.row(g>>granuleBits + 1).bound = n
	last := (g+n)>>granuleBits - 1
	*h.kind(last), *h.row(last) = kindLast, unit{g, n}
	return same || h.link(g, n)
}

// reclaim makes free spans of what the heap keeps for speed: freed spans in the
// quick lists, which a tiny heap keeps, or else sparse runs. It reports whether there
// was anything.
func (h *Heap) reclaim() bool {
	return h.top-h.first >= quickTiny && h.flushQuick() || h.dissolveIdle()
}

// reserveSpan finds n granules placed on a and leaves them without marks, so
// that the caller can make them a span or a run; 0 if there is no room, or only
// on pages that were not touched and fresh does not allow it.
func (h *Heap) reserveSpan(n uint64, a grid, fresh bool) uint64 {
	g, size := h.findAligned(n, a)
	grows := h.top+n > h.hdr.dirty
	if g == 0 && h.err == nil && grows && h.reclaim() {
		g, size = h.findAligned(n, a)
	}
	switch {
	case h.err != nil || g == 0 && grows && !fresh:
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

// carve takes [at, at+n) out of the linked free span [g, g+size) and leaves it
// without marks; what is left before and after stays free. It reports whether
// the pages could be had; if not, nothing has changed.
func (h *Heap) carve(g, size, at, n uint64) bool {
	front, back := at-g, g+size-at-n
	var gone, idle gap
	if size >= infoMin {
		in := h.info(g)
		gone, idle = gap{in.goneLo, in.goneHi}, gap{in.idleLo, in.idleHi}
		if gone.size() != 0 && !h.restore(gone, at, n, front, back) {
			return false
		}
	}
	if !h.unlink(g, size) {
		return false
	}
	h.unmarkFree(g, size)
	if front != 0 {
		h.putFree(g, front, gap{gone.lo, min(gone.hi, at&^(h.pageGranules-1))}, gap{idle.lo, min(idle.hi, at)})
	}
	if back != 0 {
		h.putFree(at+n, back, gap{max(gone.lo, roundUp(at+n, h.pageGranules)), gone.hi}, gap{max(idle.lo, at+n), idle.hi})
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
// is given back, idle what has been free since the last sweep; both are
// ignored where the span is too small to remember them, and where they are
// empty or inverted.
func (h *Heap) putFree(g, n uint64, gone, idle gap) {
	h.markFree(g, n)
	if !h.link(g, n) || n < infoMin {
		return
	}
	in := h.info(g)
	if gone.lo < gone.hi {
		in.goneLo, in.goneHi = gone.lo, gone.hi
	}
	if idle.lo < idle.hi {
		in.idleLo, in.idleHi = idle.lo, idle.hi
	}
}

// freeSpan takes the marked, used span [g, g+n) back.
func (h *Heap) freeSpan(g, n uint64) {
	h.unmarkUsed(g, n)
	h.freeRange(g, n)
}

// freeRange makes the unmarked granules [g, g+n) free: it joins them with the
// free spans before and after, and gives them to the top if they end there.
func (h *Heap) freeRange(g, n uint64) {
	h.freeUnmarked(g, n)
	if h.sink != nil {
		h.emitJoin(g, n)
	}
}

// freeUnmarked is freeRange without its report.
func (h *Heap) freeUnmarked(g, n uint64) {
	end, soon := g+n, n >= soonPages*h.pageGranules
	before, after := h.freeBefore(g), h.isFree(end)
	if !after && !soon && end != h.top {
		switch size := g - before; {
		case before == 0:
			h.putFree(g, n, gap{}, gap{})
			return
		case end-before < largeMin:
			if h.unlink(before, size) {
				h.link(before, end-before)
			}
			return
		case size >= infoMin:
			h.resizeFree(before, size, end-before)
			return
		}
	}
	h.join(g, end, before, after, soon)
}

// join is freeUnmarked for what ends at the top, has a free neighbour after it or
// one that becomes large, or is so much that its pages go back soon.
func (h *Heap) join(g, end, before uint64, after, soon bool) {
	var j joined
	if after {
		size := h.spanSize(end)
		if !h.absorb(end, size, &j) {
			return
		}
		end += size
	}
	if before != 0 && g-before >= infoMin && end != h.top && !soon && j == (joined{}) {
		h.resizeFree(before, g-before, end-before)
		return
	}
	lo := g
	if before != 0 {
		if !h.absorb(before, g-before, &j) {
			return
		}
		lo = before
	}
	if end == h.top {
		h.lowerTop(lo, j.gone)
		if soon {
			h.topPeak = lo
			h.giveBackTop()
		}
		return
	}
	if soon {
		j.idle = gap{lo, end}
	}
	h.putFree(lo, end-lo, j.gone, j.idle)
	if soon {
		h.giveBack(h.info(lo))
	}
}

// joined is what is remembered of the free spans that become one.
type joined struct{ gone, idle gap }

// absorb removes the free span [g, g+n), which is about to be joined with
// another one, and adds what it remembers to j.
func (h *Heap) absorb(g, n uint64, j *joined) bool {
	if n == 0 {
		return h.fail("free span %#x has no end", g<<granuleShift)
	}
	var gone gap
	if n >= infoMin {
		in := h.info(g)
		gone = gap{in.goneLo, in.goneHi}
		if in.idleHi-in.idleLo > j.idle.size() {
			j.idle = gap{in.idleLo, in.idleHi}
		}
	}
	if !h.unlink(g, n) {
		return false
	}
	h.unmarkFree(g, n)
	switch {
	case gone.size() == 0:
	case j.gone.size() == 0:
		j.gone = gone
	default:
		j.gone = h.joinGaps(gone, j.gone)
	}
	return true
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

// How many spans of how many bins findAligned looks at for one that happens to
// fit.
const searchAligned = 4

// findAligned is find for spans that hold n granules placed on a: a few that
// may happen to, else one that is large enough to.
func (h *Heap) findAligned(n uint64, a grid) (g, size uint64) {
	bin := h.nextBin(binOf(n))
	for range searchAligned {
		if bin == numBins {
			return 0, 0
		}
		g := h.hdr.bins[bin]
		for i := 0; i < searchAligned && g != 0; i++ {
			h.searched++
			if h.sink != nil {
				h.emitLook(g, bin)
			}
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

package segregated

// Blocks outside the runs: best fit over spans of granules, split when taken,
// joined with their free neighbours when freed (see join.go), cut from the top of the
// data when no free span fits.

// gap is a range of granules, [lo, hi), empty when lo == hi: mostly whole pages inside a free span
// that have been given back to the system.
type gap struct{ lo, hi uint64 }

func (g gap) size() uint64 { return g.hi - g.lo }

// within reports whether g is none, or a range inside [at, at+n).
func (g gap) within(at, n uint64) bool {
	return g.lo|g.hi == 0 || g.lo <= g.hi && g.lo-at <= n && g.hi-at <= n
}

// grid is where a span may start: granules g for which g+bias is a multiple of
// align, a power of two.
type grid struct{ align, bias uint64 }

// anywhere is the grid of every granule.
func anywhere() grid { return grid{align: 1} }

// onUnit is the grid that runs need.
func onUnit() grid { return grid{align: unitGranules} }

// up returns the first granule of the grid from g on.
func (a grid) up(g uint64) uint64 { return roundUp(g+a.bias, a.align) - a.bias }

// after is up, but leaves nothing between g and what it returns, or a span.
func (a grid) after(g uint64) uint64 {
	if at := a.up(g); isPiece(at - g) {
		return at
	}
	return a.up(g + minSpan)
}

// allocSpan returns a used span of n granules, or of up to minSpan-1 more as no less can be
// left over, and its size; 0 if there is no room. It takes the end of the span it finds, so
// that a large one with a large rest keeps its place and, mostly, its bin.
func (h *Heap) allocSpan(n uint64) (g, size uint64) {
	h.takes()
	switch bin := h.nextBin(binOf(n)); {
	case bin == numBins:
		return h.allocTop(n)
	case bin < exactBins && h.sink == nil:
		return h.allocExact(bin, n)
	default:
		return h.allocFar(bin, n)
	}
}

// allocExact is allocSpan if bin, the first from that of n on that has spans, is one of a
// single size, and there is no sink: it takes the first span, which it looks at as in
// isFree and spanSize.
func (h *Heap) allocExact(bin int, n uint64) (uint64, uint64) {
	h.searched++
	g := h.hdr.bins[bin]
	u := g >> granuleBits
	if g-h.first >= h.top-h.first || *h.kind(u) != kindMarks {
		h.wrongSize(bin, g)
		return 0, 0
	}
	row := h.row(u)
	size := uint64(0)
	if w := marksAfter(*row, g); w != 0 {
		size = toNext(w, g)
	} else {
		size = h.spanSize(g)
	}
	if !isMarked(*row, asFree, g) || size != uint64(bin) {
		h.wrongSize(bin, g)
		return 0, 0
	}
	l := h.smallLinks(g)
	if size < n+minSpan {
		if h.hooked && !h.unlink(g, size, bin, *l) { // before it is marked, as in dropHooked
			return 0, 0
		}
		*row |= mark(liveBit, g)
		if !h.hooked && !h.unlink(g, size, bin, *l) {
			return 0, 0
		}
		return g, size
	}
	at := g + size - n
	*h.rowOf(at) |= mark(asUsed, at)
	if !h.rebin(g, -n, bin, int(size-n), *l, l) {
		return 0, 0
	}
	return at, n
}

// allocFar is allocSpan if bin, the first from that of n on that has spans, is one of
// several sizes. Mostly it has one span, which has a record: this looks at it as in closest,
// takes its end as in cutEnd, and makes that a block as in markUsed.
func (h *Heap) allocFar(bin int, n uint64) (uint64, uint64) {
	d := h.hdr
	g := d.bins[bin]
	if bin < infoBin || g-h.first >= h.top-h.first || h.hooked {
		return h.allocClosest(bin, n)
	}
	in, u := h.info(g), g>>granuleBits
	size := h.taggedSize(g, in.tag, *h.kind(u + 1))
	if in.next|in.prev != 0 || size == 0 || *h.kind(u) != kindMarks ||
		!isMarked(*h.row(u), asFree, g) || wideBinOf(size) != bin || !h.hasEnd(g, size) {
		return h.allocClosest(bin, n)
	}
	h.searched++
	rest := size - n
	at := g + rest
	if size < n+infoMin || in.gone.gap().hi > at {
		return h.allocLone(bin, g, size, n)
	}
	in.idle = in.idle.before(at)
	in.tag = tagOf(g, rest)
	h.freeSum -= n
	h.clearRow((g+size)>>granuleBits - 1)
	h.setEnd(g, rest)
	if to := wideBinOf(rest); to != bin {
		d.bins[bin] = 0
		d.dropBin(uint(bin))
		if !h.putFirst(g, to, &in.links) {
			return 0, 0
		}
	}
	*h.rowOf(at) |= mark(asUsed, at)
	if n >= tagMin {
		h.tag(at, n)
	}
	return at, n
}

// allocLone is allocFar if the one span of bin, [g, g+size), is too small, becomes so small
// that its record changes, or has a gap where it is to be cut.
func (h *Heap) allocLone(bin int, g, size, n uint64) (uint64, uint64) {
	if size >= n {
		return h.allocFrom(g, size, n)
	}
	if bin = h.nextBin(bin + 1); bin != numBins {
		return h.allocFar(bin, n)
	}
	return h.allocTop(n)
}

// allocClosest is allocFar for all cases.
func (h *Heap) allocClosest(bin int, n uint64) (uint64, uint64) {
	g, size := h.findFrom(bin, n)
	if g == 0 {
		if h.err != nil {
			return 0, 0
		}
		return h.allocTop(n)
	}
	return h.allocFrom(g, size, n)
}

// allocFrom takes the last n granules of the free span [g, g+size), or all.
func (h *Heap) allocFrom(g, size, n uint64) (uint64, uint64) {
	if size < n+minSpan {
		return h.takeWhole(g, size)
	}
	at := g + size - n
	if h.sink != nil {
		h.emitSplit(g, at-g, size)
	}
	ok := false
	switch {
	case size < largeMin:
		ok = h.resizeSmall(g, size, at-g)
	case at-g >= infoMin && h.info(g).gone.gap().hi <= at:
		ok = h.cutEnd(g, size, at)
	case size >= infoMin && h.info(g).gone != 0:
		ok = h.carve(g, size, at, n)
	default:
		ok = h.reshape(g, size, at-g)
	}
	if !ok {
		return 0, 0
	}
	h.markUsed(at, n)
	return at, n
}

// cutEnd takes what lies from granule at on from the free span [g, g+size), which has no
// gap there and at least infoMin granules before.
func (h *Heap) cutEnd(g, size, at uint64) bool {
	in := h.info(g)
	in.idle = in.idle.before(at)
	return h.resizeFree(g, size, at-g)
}

// takeWhole makes the free span [g, g+n) used.
func (h *Heap) takeWhole(g, n uint64) (uint64, uint64) {
	if gone := h.recall(g, n).gone; gone.size() != 0 {
		if !h.recommit(gone) {
			return 0, 0
		}
		h.restored = gone
	}
	if h.err != nil || !h.dropFree(g, n) { // nobody knows which pages may be touched
		return 0, 0
	}
	h.markUsed(g, n)
	return g, n
}

// resizeFree changes the size of the free span at g, at least infoMin granules
// before and after, and moves it to another bin if need be. The rows past its new
// end are left clear.
func (h *Heap) resizeFree(g, old, n uint64) bool {
	in := h.info(g)
	in.tag = tagOf(g, n)
	h.clearRow((g+old)>>granuleBits - 1)
	h.setEnd(g, n)
	if from, to := wideBinOf(old), wideBinOf(n); from != to {
		return h.rebin(g, n-old, from, to, in.links, &in.links)
	}
	h.freeSum += n - old
	return true
}

// resizeSmall changes the size of the free span at g, fewer than largeMin granules
// before and after, and moves it to another bin.
func (h *Heap) resizeSmall(g, old, n uint64) bool {
	l := h.smallLinks(g)
	return h.rebin(g, n-old, binOf(old), binOf(n), *l, l)
}

// reshape changes the size of the free span at g, which remembers no gap, from old to n
// granules, of which one is largeMin at least, and moves it to another bin.
func (h *Heap) reshape(g, old, n uint64) bool {
	from, to := binOf(old), binOf(n)
	was := *h.links(g, from)
	h.dropRecord(g, old)
	h.putRecord(g, n)
	return h.rebin(g, n-old, from, to, was, h.links(g, to))
}

// keepsMuch reports whether there may be something for reclaim.
func (h *Heap) keepsMuch() bool {
	d := &h.dissolving
	return h.isMuch() && h.top-h.first >= quickTiny || h.top-d.top >= max(uint64(d.every), dissolveEvery)
}

// reclaim makes free spans of what the heap keeps for speed, for a request of n granules:
// those in the quick lists, which a tiny heap keeps, or else empty and sparse runs. A calm heap
// asks again for what it keeps, and gives up one span of a bucket above that of n, if there is
// one. It reports whether there was anything. A heap that is not near its peak keeps its lists, as
// does one whose lists hold little.
func (h *Heap) reclaim(n uint64) bool {
	if h.isMuch() && h.nearPeak(n) && h.top-h.first >= quickTiny && (h.quick.calm != 0 && h.freeAbove(n) || h.flushQuick()) {
		return true
	}
	return h.dissolveIdle()
}

// isMuch reports whether the lists hold so much that it is worth to empty them before the data
// grows.
func (h *Heap) isMuch() bool { return h.quick.total+h.idle.sum > (h.top-h.first)>>quickLittle }

// nearPeak reports whether n granules more would bring what is committed to within one part in
// 1<<quickPeak of the most that was since Trim, or above; in a settled heap, above.
func (h *Heap) nearPeak(n uint64) bool {
	near := h.peak
	if !h.quick.settled() {
		near -= h.peak >> quickPeak
	}
	return h.committed+n<<granuleShift > near
}

// reserveSpan finds n granules placed on a and leaves them without marks, so
// that the caller can make them a span or a run; 0 if there is no room, or only
// on pages that were not touched and fresh does not allow it.
func (h *Heap) reserveSpan(n uint64, a grid, fresh bool) uint64 {
	h.coalesce()
	g, size := h.findAligned(n, a)
	grows := h.top+n > h.safe.dirty
	if g == 0 && h.err == nil && grows && h.reclaim(n+a.align-1+2*minSpan) {
		g, size = h.findAligned(n, a)
		grows = h.top+n > h.safe.dirty // the top may have sunk
	}
	switch {
	case h.err != nil || g == 0 && grows && !fresh:
		return 0
	case g == 0:
		return h.extend(n, a)
	}
	return h.carveOn(g, size, a, n)
}

// carveOn carves n granules that lie on a out of the free span [g, g+size), which has room for them, and
// returns where; 0 if the pages could not be had.
func (h *Heap) carveOn(g, size uint64, a grid, n uint64) uint64 {
	at := a.after(g)
	if !h.carve(g, size, at, n) {
		return 0
	}
	return at
}

// carve takes [at, at+n) out of the free span [g, g+size) and leaves it without
// marks; what is left before and after stays free: nothing, or as much as is a span. It reports
// whether the pages could be had; if not, nothing has changed.
func (h *Heap) carve(g, size, at, n uint64) bool {
	end := at + n
	front, back := at-g, g+size-end
	if size < infoMin {
		return h.dropFree(g, size) && (front == 0 || h.putFree(g, front)) && (back == 0 || h.putFree(end, back))
	}
	own := h.recall(g, size)
	gone, idle := own.gone, own.idle
	if h.err != nil || gone.size() != 0 && !h.restore(gone, at, n, front, back) {
		return false
	}
	switch {
	case front >= infoMin:
		return h.carveBehind(g, size, at, n)
	case gone.size() == 0 && front == 0 && back >= infoMin:
		return h.moveStart(g, size, end)
	}
	if !h.dropFree(g, size) {
		return false
	}
	if front != 0 {
		h.putFree(g, front)
	}
	if back != 0 {
		h.putFreeWith(end, back, memory{gap{max(gone.lo, roundUp(end, h.pageGranules)), gone.hi}, gap{max(idle.lo, end), idle.hi}})
	}
	return true
}

// carveBehind is carve for a span of which at least infoMin granules stay free before at:
// they stay where they are. What is needed of its gap has been restored.
func (h *Heap) carveBehind(g, size, at, n uint64) bool {
	in, end, page := h.info(g), at+n, h.pageGranules
	gone, idle := in.gone.gap(), in.idle.gap()
	rest := memory{gap{max(gone.lo, roundUp(end, page)), gone.hi}, gap{max(idle.lo, end), idle.hi}}
	in.gone = pagesOf(gap{gone.lo, min(gone.hi, at&^(page-1))})
	if !h.cutEnd(g, size, at) {
		return false
	}
	if end != g+size {
		h.putFreeWith(end, g+size-end, rest)
	}
	return true
}

// moveStart moves the start of the free span [g, g+size) to granule to, before or after
// g: it has at least infoMin granules before and after, and no gap that goes with
// the granules it loses.
func (h *Heap) moveStart(g, size, to uint64) bool {
	in, n := h.info(g), g+size-to
	replaced := h.replaceFirst(g, size, to, n, &in.links)
	if !replaced && !h.unlink(g, size, binOf(size), in.links) {
		return false
	}
	next, gone, idle := in.next, in.gone, in.idle.from(to)
	clearMark(h.rowOf(g), g)
	*in, *h.infoKinds(g) = spanInfo{}, [infoRows]uint16{}
	*h.rowOf(to) |= mark(asFree, to)
	in = h.info(to)
	*h.infoKinds(to) = recordKinds()
	*in = spanInfo{tag: tagOf(to, n), links: links{next: next}, gone: gone, idle: idle}
	h.setEnd(to, n)
	return replaced || h.link(to, n, binOf(n), &in.links)
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
	if !h.recommit(need) {
		return false
	}
	h.restored = need
	return true
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
			var size uint64
			if bin >= infoBin {
				size = h.largeSize(g)
			} else {
				size = h.spanSize(g)
			}
			if rest := size - n - (a.after(g) - g); int64(rest) >= 0 && isPiece(rest) {
				return g, size
			}
			g = h.links(g, bin).next
		}
		bin = h.nextBin(bin + 1)
	}
	return h.find(n + a.align - 1 + 2*minSpan) // some less may be left over on both sides
}

package segregated

// This file makes spans free, and joins them with their free neighbours.

// freeSpan makes [g, g+n) free, a used span or granules without marks: it joins them
// with the free spans before and after, and gives them to the top if they end there.
//
// Mostly nothing after them is free: then they become a span of their own, or the one
// before grows and stays where it is.
func (h *Heap) freeSpan(g, n uint64) {
	u := g >> granuleBits
	row := h.row(u)
	clearMark(row, g)
	if n >= tagMin {
		h.clearRow(u + 1)
	}
	end, before := g+n, uint64(0)
	if w := marksBefore(*row, g); w == 0 {
		before = h.freeBefore(g)
	} else if p := u<<granuleBits + lastStart(w); isMarked(w, asFree, p) {
		before = p
	}
	switch {
	case n >= h.soonGranules():
		h.freeMany(g, n, before)
	case end == h.top:
		h.freeTop(g, before)
		return
	case h.startsFree(end):
		h.freeJoined(g, n, before)
	case before == 0:
		h.putFree(g, n)
	case g-before >= infoMin:
		h.resizeFree(before, g-before, end-before)
	default:
		h.growFree(before, g-before, end-before)
	}
	if h.sink != nil {
		h.emitJoin(g, n)
	}
}

// growFree makes the free span at g one of n granules instead of size: those behind it
// are not marked.
func (h *Heap) growFree(g, size, n uint64) {
	switch {
	case size >= infoMin:
		h.resizeFree(g, size, n)
	case n < largeMin:
		h.resizeSmall(g, size, n)
	default:
		h.reshape(g, size, n)
	}
}

// freeTop is freeSpan for what goes from granule g to the top; before is the free span
// before that, if there is one.
func (h *Heap) freeTop(g, before uint64) {
	var gone gap
	if before != 0 {
		gone = h.recall(before, g-before).gone
		if !h.dropFree(before, g-before) {
			return
		}
		g = before
	}
	h.lowerTop(g, gone)
}

// freeJoined is freeSpan for granules with a free span after them; before is the free
// span before them, if there is one.
func (h *Heap) freeJoined(g, n, before uint64) {
	end, front, back := g+n, uint64(0), h.spanSize(g+n)
	if before != 0 {
		front = g - before
	}
	switch {
	case back < infoMin || front >= infoMin && h.forgot(end):
		if !h.dropFree(end, back) {
			return
		}
		if before == 0 {
			h.putFree(g, n+back)
		} else {
			h.growFree(before, front, front+n+back)
		}
	case front >= infoMin:
		h.freeBetween(g, n, front, back)
	case front == 0 || h.dropFree(before, front):
		h.moveStart(end, back, g-front)
	}
}

// freeMany is freeSpan for so many granules that their pages go back at once.
func (h *Heap) freeMany(g, n, before uint64) {
	end, front, back := g+n, uint64(0), uint64(0)
	if h.isFree(end) {
		if back = h.spanSize(end); back == 0 {
			h.noEnd(end)
			return
		}
	}
	if before != 0 {
		front = g - before
	}
	h.freeBetween(g, n, front, back)
}

// freeBetween is freeSpan for all cases: front and back are the sizes of the free spans
// before and after, 0 if there is none.
func (h *Heap) freeBetween(g, n, front, back uint64) {
	var m memory
	if back != 0 && !h.absorb(g+n, back, &m) || front != 0 && !h.absorb(g-front, front, &m) {
		return
	}
	lo, end, soon := g-front, g+n+back, n >= h.soonGranules() && (!h.savesUp() || n >= hugePages*h.pageGranules)
	switch {
	case end == h.top:
		h.lowerTop(lo, m.gone)
		if soon {
			h.topPeak = lo
			h.giveBackTop()
		}
	case soon:
		m.idle = gap{lo, end}
		h.putFreeWith(lo, end-lo, m)
		h.giveBack(h.info(lo), allPages)
	default:
		h.putFreeWith(lo, end-lo, m)
	}
}

// putFree makes the unmarked granules [g, g+n) a free span of which nothing is
// remembered.
func (h *Heap) putFree(g, n uint64) bool {
	*h.rowOf(g) |= mark(asFree, g)
	h.putRecord(g, n)
	bin := binOf(n)
	return h.link(g, n, bin, h.links(g, bin))
}

// recordKinds returns the kinds of the rows of a spanInfo.
func recordKinds() [infoRows]uint16 {
	return [infoRows]uint16{kindLarge, kindInfo, kindInfo, kindInfo, kindInfo}
}

// putRecord writes the rows inside the free span [g, g+n), if it is large, but for its links.
func (h *Heap) putRecord(g, n uint64) {
	if n < largeMin {
		return
	}
	if n >= infoMin {
		in := h.info(g)
		*h.infoKinds(g), in.gone, in.idle = recordKinds(), 0, 0
	} else {
		*h.kind(g>>granuleBits + 1) = kindLarge
	}
	*h.row(g>>granuleBits + 1) = tagOf(g, n)
	h.setEnd(g, n)
}

// dropRecord clears the rows inside the free span [g, g+n), if it is large.
func (h *Heap) dropRecord(g, n uint64) {
	if n < largeMin {
		return
	}
	h.clearRow((g+n)>>granuleBits - 1)
	if n >= infoMin {
		*h.info(g), *h.infoKinds(g) = spanInfo{}, [infoRows]uint16{}
	} else {
		h.clearRow(g>>granuleBits + 1)
	}
}

// dropFree makes the free span [g, g+n) unmarked granules.
func (h *Heap) dropFree(g, n uint64) bool {
	if n == 0 {
		return h.noEnd(g)
	}
	if h.hooked && n < infoMin {
		return h.dropHooked(g, n)
	}
	clearMark(h.rowOf(g), g)
	bin := binOf(n)
	l := *h.links(g, bin)
	h.dropRecord(g, n)
	return h.unlink(g, n, bin, l)
}

// dropHooked is dropFree for a span of a heap that is hooked, if its links are in it. In mode
// Checked they are wiped while it is still marked: a process may end before they are, and then
// rebuild finds them by the mark.
func (h *Heap) dropHooked(g, n uint64) bool {
	if !h.unlink(g, n, binOf(n), *h.smallLinks(g)) {
		return false
	}
	h.dropRecord(g, n)
	clearMark(h.rowOf(g), g)
	return true
}

// noEnd fails: the rows do not say where the free span at g ends.
//
//go:noinline
func (h *Heap) noEnd(g uint64) bool {
	return h.fail("free span %#x has no end", g<<granuleShift)
}

// memory is what a free span remembers: what of it is given back, and what has been
// free since the last sweep. Empty or inverted ranges are none.
type memory struct{ gone, idle gap }

// within reports whether all of it lies in the span [g, g+n).
func (m memory) within(g, n uint64) bool {
	return m.gone.within(g, n) && (m.idle.lo >= m.idle.hi || m.idle.within(g, n))
}

// memory returns what the record of a free span remembers.
func (in *spanInfo) memory() memory { return memory{in.gone.gap(), in.idle.gap()} }

// setIdle says that all of the free span at g, whose record in is, has been free for long.
func (in *spanInfo) setIdle(g uint64) { in.idle = pagesOf(gap{g, g + in.tag>>granuleBits}) }

// recall returns what the free span [g, g+n) remembers.
func (h *Heap) recall(g, n uint64) memory {
	if n < infoMin {
		return memory{}
	}
	m := h.info(g).memory()
	if !m.within(g, n) {
		h.badMemory(g)
		return memory{}
	}
	return m
}

// badMemory fails: what the free span at g remembers lies outside of it.
//
//go:noinline
func (h *Heap) badMemory(g uint64) {
	h.fail("free span %#x remembers what is not its own", g<<granuleShift)
}

// forgot reports whether the free span at g, of at least infoMin granules, remembers
// nothing.
func (h *Heap) forgot(g uint64) bool {
	in := h.info(g)
	return in.gone|in.idle == 0
}

// putFreeWith is putFree for a span that remembers m, as far as it has room for it.
func (h *Heap) putFreeWith(g, n uint64, m memory) {
	if !h.putFree(g, n) || n < infoMin {
		return
	}
	in := h.info(g)
	in.gone, in.idle = pagesOf(m.gone), pagesOf(m.idle)
}

// absorb is dropFree for a span that is about to be joined with another one, and adds
// what it remembers to m.
func (h *Heap) absorb(g, n uint64, m *memory) bool {
	own := h.recall(g, n)
	if !h.dropFree(g, n) {
		return false
	}
	if own.idle.size() > m.idle.size() {
		m.idle = own.idle
	}
	switch {
	case own.gone.size() == 0:
	case m.gone.size() == 0:
		m.gone = own.gone
	default:
		m.gone = h.joinGaps(own.gone, m.gone)
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
	h.abandon(between)
	return gap{min(a.lo, b.lo), max(a.hi, b.hi)}
}

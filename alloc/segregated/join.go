package segregated

// This file makes spans free, and joins them with their free neighbours.

// freeSpan makes [g, g+n) free, a used span or granules without marks: it joins them
// with the free spans before and after, and gives them to the top if they end there.
//
// Mostly nothing after them is free: then they become a span of their own, or the one
// before grows and stays where it is.
func (h *Heap) freeSpan(g, n uint64) {
	u, m := bit(g)
	row := h.row(u)
	row.bound &^= m
	row.live &^= m
	if n >= largeMin {
		h.clearRow(u + 1)
	}
	end := g + n
	before := h.freeBefore(g)
	if h.isFree(end) || end == h.top || n >= soonPages*h.pageGranules || h.sink != nil {
		h.freeJoined(g, n, before)
		return
	}
	switch size := g - before; {
	case before == 0:
		h.putFree(g, n)
	case size >= infoMin:
		h.resizeFree(before, size, end-before)
	case end-before < largeMin:
		h.rebin(before, size, end-before, h.smallLinks(before))
	default:
		if h.dropFree(before, size) {
			h.putFree(before, end-before)
		}
	}
}

// freeJoined is freeSpan for all cases; before is the free span before, if there is one.
func (h *Heap) freeJoined(g, n, before uint64) {
	var m memory
	lo, end, soon := g, g+n, n >= soonPages*h.pageGranules
	if h.isFree(end) {
		size := h.spanSize(end)
		if !h.absorb(end, size, &m) {
			return
		}
		end += size
	}
	if before != 0 {
		size := g - before
		if size >= infoMin && !soon && end != h.top && m == (memory{}) {
			h.resizeFree(before, size, end-before)
			h.joinedFree(g, n)
			return
		}
		if !h.absorb(before, size, &m) {
			return
		}
		lo = before
	}
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
		h.giveBack(h.info(lo))
	default:
		h.putFreeWith(lo, end-lo, m)
	}
	h.joinedFree(g, n)
}

// joinedFree reports that [g, g+n) is free.
func (h *Heap) joinedFree(g, n uint64) {
	if h.sink != nil {
		h.emitJoin(g, n)
	}
}

// putFree makes the unmarked granules [g, g+n) a free span of which nothing is
// remembered.
func (h *Heap) putFree(g, n uint64) bool {
	u, m := bit(g)
	h.row(u).bound |= m
	l := h.smallLinks(g)
	if n >= largeMin {
		in, kinds := h.info(g), h.infoKinds(g)
		l = &in.links
		if n >= infoMin {
			*kinds = [4]uint16{kindLarge, kindInfo, kindInfo, kindInfo}
			in.goneLo, in.goneHi, in.idleLo, in.idleHi = 0, 0, 0, 0
		} else {
			kinds[0], kinds[1] = kindLarge, kindInfo
		}
		in.start, in.size = g, n
		if last := (g+n)>>granuleBits - 1; last != u+2 {
			*h.kind(last), *h.row(last) = kindLast, unit{g, n}
		}
	}
	return h.link(g, n, binOf(n), l)
}

// dropFree makes the free span [g, g+n) unmarked granules.
func (h *Heap) dropFree(g, n uint64) bool {
	l := h.smallLinks(g)
	if n >= largeMin {
		l = h.largeLinks(g)
	} else if n == 0 {
		return h.fail("free span %#x has no end", g<<granuleShift)
	}
	if !h.unlink(g, n, binOf(n), l) {
		return false
	}
	u, m := bit(g)
	h.row(u).bound &^= m
	if n < largeMin {
		return true
	}
	if last := (g+n)>>granuleBits - 1; last != u+2 {
		h.clearRow(last)
	}
	in, kinds := h.info(g), h.infoKinds(g)
	if n >= infoMin {
		*in, *kinds = spanInfo{}, [4]uint16{}
	} else {
		in.start, in.size, in.links = 0, 0, links{}
		kinds[0], kinds[1] = kindBitmap, kindBitmap
	}
	return true
}

// memory is what a free span remembers: what of it is given back, and what has been
// free since the last sweep. Empty or inverted ranges are none.
type memory struct{ gone, idle gap }

// recall returns what the free span [g, g+n) remembers.
func (h *Heap) recall(g, n uint64) memory {
	if n < infoMin {
		return memory{}
	}
	in := h.info(g)
	return memory{gap{in.goneLo, in.goneHi}, gap{in.idleLo, in.idleHi}}
}

// putFreeWith is putFree for a span that remembers m, as far as it has room for it.
func (h *Heap) putFreeWith(g, n uint64, m memory) {
	if !h.putFree(g, n) || n < infoMin {
		return
	}
	in := h.info(g)
	if m.gone.lo < m.gone.hi {
		in.goneLo, in.goneHi = m.gone.lo, m.gone.hi
	}
	if m.idle.lo < m.idle.hi {
		in.idleLo, in.idleHi = m.idle.lo, m.idle.hi
	}
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
	h.decommit(between)
	return gap{min(a.lo, b.lo), max(a.hi, b.hi)}
}

package segregated

// This file knows how spans are marked and measured. A span of n granules at g is known by
// its mark in a row and, if it is large, by the rows inside it. Every other bit under a span
// is zero. The mark of a free span at the top ends the last one.

// markUsed makes [g, g+n) a used span.
func (h *Heap) markUsed(g, n uint64) {
	*h.rowOf(g) |= mark(asUsed, g)
	if n >= tagMin {
		h.tag(g, n)
	}
}

// keep makes the used span at g one that is kept: in a quick list, or to be joined later.
func (h *Heap) keep(g uint64) { *h.rowOf(g) &^= boundBit << (g & cellMask) }

// soonLeast is the least that soonGranules can be: no page is smaller than 4 KiB.
const soonLeast = soonPages * 4096 >> granuleShift

// tag writes the tag of the large used span [g, g+n).
func (h *Heap) tag(g, n uint64) {
	u := g>>granuleBits + 1
	*h.kind(u), *h.row(u) = kindLarge, tagOf(g, n)
	if n >= soonLeast {
		h.hasSoon = true
	}
}

// untag clears what tag wrote.
func (h *Heap) untag(g uint64) { h.clearRow(g>>granuleBits + 1) }

// clearRow makes unit u one inside a span, of which nothing is kept there. The
// row comes before its kind, and in tag and putFree after it: a row that has no
// marks is not believed when a heap is opened whose process was killed in
// between (see rebuild.go).
func (h *Heap) clearRow(u uint64) { *h.row(u), *h.kind(u) = 0, kindMarks }

// spanSize returns the size in granules of the span that starts at g, below
// the top: the distance to the next start, or what the row inside says. 0 means
// that the rows make no sense. None behind the top is looked at, as there the table may end.
func (h *Heap) spanSize(g uint64) uint64 {
	u := g >> granuleBits
	if w := marksAfter(*h.row(u), g); w != 0 {
		return toNext(w, g)
	}
	u++
	if *h.kind(u) == kindLarge {
		return h.largeSize(g)
	}
	n := u<<granuleBits - g
	for range largeMin/unitGranules + 1 {
		if n > h.top-g {
			return 0
		}
		k := *h.kind(u)
		if k >= kindRun {
			return n
		}
		if k != kindMarks {
			return 0
		}
		if w := *h.row(u); w != 0 {
			if n += firstStart(w); n > h.top-g {
				return 0
			}
			return n
		}
		n += unitGranules
		u++
	}
	return 0
}

// toNext returns the size of the span at g if w, the marks behind its own in the row, are some.
func toNext(w, g uint64) uint64 { return firstStart(w) + cellGranules - g&placeMask }

// largeSize returns the size of the large span that starts at g, used or free, or 0.
func (h *Heap) largeSize(g uint64) uint64 {
	u := g>>granuleBits + 1
	return h.taggedSize(g, *h.row(u), *h.kind(u))
}

// taggedSize is largeSize for the row after that of g, of kind k.
func (h *Heap) taggedSize(g, row uint64, k uint16) uint64 {
	if n := row >> granuleBits; k == kindLarge && (row^g)&granuleMask == 0 && n >= tagMin && n <= h.top-g {
		return n
	}
	return 0
}

// hasEnd reports whether the large free span [g, g+n), below the top, also ends where its
// tag says, if its last row repeats it: what is cut from its end is to be its own.
func (h *Heap) hasEnd(g, n uint64) bool {
	last := (g+n)>>granuleBits - 1
	return *h.kind(last) == kindLast && *h.row(last) == endTagOf(g, n)
}

// setEnd writes the last row of the large free span [g, g+n).
func (h *Heap) setEnd(g, n uint64) {
	last := (g+n)>>granuleBits - 1
	*h.kind(last), *h.row(last) = kindLast, endTagOf(g, n)
}

// smallUnits is how many units before that where a small span ends it may start.
const smallUnits = largeMin / unitGranules

// freeBefore returns the start of the free span that ends at granule g and starts in a
// unit before that of g, or 0 if what is there is used, a run, or the start of the data.
// A small one starts at the last mark before g, a large one has its size in its last row.
func (h *Heap) freeBefore(g uint64) uint64 {
	u, first := g>>granuleBits-1, h.first>>granuleBits
	if u < first {
		return 0
	}
	row := h.row(u)
	switch *h.kind(u) {
	case kindMarks:
		w := *row
		if w == 0 && u >= first+smallUnits {
			kinds, rows := h.kindsTo(u), h.rowsTo(u)
			if kinds[0]|kinds[1] == kindMarks && rows[0]|rows[1] == 0 {
				return 0 // the inside of a large used one
			}
		}
		for n := smallUnits; w == 0; n-- {
			if u--; u < first || n == 1 || *h.kind(u) != kindMarks {
				return 0
			}
			w = *h.row(u)
		}
		p := u<<granuleBits + lastStart(w)
		if isMarked(w, asFree, p) && g-p < largeMin {
			return p
		}
	case kindLast:
		n := *row >> granuleBits
		if p := g - n; *row == endTagOf(p, n) && p < g && p >= h.first && h.startsFree(p) && h.largeSize(p) == n {
			return p
		}
	}
	return 0
}

// isFree reports whether a free span starts at g. It trusts nothing about g.
func (h *Heap) isFree(g uint64) bool { return g-h.first < h.top-h.first && h.startsFree(g) }

// startsFree is isFree for a granule between the first and the top.
func (h *Heap) startsFree(g uint64) bool { return h.begins(asFree, g) }

// isUsed reports whether a used span starts at g. It trusts nothing about g.
func (h *Heap) isUsed(g uint64) bool { return g-h.first < h.top-h.first && h.begins(asUsed, g) }

// isLive reports whether the used span that starts at g, if any, is somebody's block.
func (h *Heap) isLive(g uint64) bool {
	return h.isUsed(g) && (h.shared == nil || !h.shared.isStocked(g))
}

// begins reports whether a span of that kind starts at g, a granule between the first and the
// top.
func (h *Heap) begins(as, g uint64) bool {
	u := g >> granuleBits
	return *h.kind(u) == kindMarks && isMarked(*h.row(u), as, g)
}

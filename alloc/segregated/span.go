package segregated

import "math/bits"

// This file knows how spans are marked and measured. A span of n granules at g
// is known by bit g of the bound rows (a span starts here), bit g of the live
// rows (and it is used), and, if it is large, by the rows inside it. Every
// other bit under a span is zero. A bound bit at the top ends the last span.

// bit returns the unit of granule g and g's bit in the words of its row.
func bit(g uint64) (u, mask uint64) { return g >> granuleBits, 1 << (g & granuleMask) }

// markUsed makes [g, g+n) a used span.
func (h *Heap) markUsed(g, n uint64) {
	u, m := bit(g)
	row := &h.units[u]
	row.bound |= m
	row.live |= m
	if n >= largeMin {
		h.tag(g, n)
	}
}

// markFree makes [g, g+n) a free span, without links yet.
func (h *Heap) markFree(g, n uint64) {
	u, m := bit(g)
	h.units[u].bound |= m
	if n >= largeMin {
		h.tag(g, n)
		h.openInfo(g, n)
	}
}

// unmarkUsed removes the used span [g, g+n), whose granules then belong to the
// span before it or to a new one.
func (h *Heap) unmarkUsed(g, n uint64) {
	u, m := bit(g)
	row := &h.units[u]
	row.bound &^= m
	row.live &^= m
	if n >= largeMin {
		h.untag(g, n)
	}
}

// unmarkFree removes the free span [g, g+n).
func (h *Heap) unmarkFree(g, n uint64) {
	u, m := bit(g)
	h.units[u].bound &^= m
	if n >= largeMin {
		h.closeInfo(g, n)
		h.untag(g, n)
	}
}

// tag writes start and size into the rows inside the large span [g, g+n).
func (h *Heap) tag(g, n uint64) {
	first, last := g>>granuleBits+1, (g+n)>>granuleBits-1
	h.kinds[first], h.kinds[last] = kindLarge, kindLarge
	h.units[first], h.units[last] = unit{g, n}, unit{g, n}
}

// untag clears what tag wrote.
func (h *Heap) untag(g, n uint64) {
	first, last := g>>granuleBits+1, (g+n)>>granuleBits-1
	h.kinds[first], h.kinds[last] = kindBitmap, kindBitmap
	h.units[first], h.units[last] = unit{}, unit{}
}

// openInfo makes room for the spanInfo of the tagged span [g, g+n).
func (h *Heap) openInfo(g, n uint64) {
	u := g>>granuleBits + 2
	h.kinds[u] = kindInfo
	h.units[u] = unit{}
	if n >= infoMin {
		h.kinds[u+1], h.kinds[u+2] = kindInfo, kindInfo
		h.units[u+1], h.units[u+2] = unit{}, unit{}
	}
}

// closeInfo clears the room that openInfo made, but for a last row.
func (h *Heap) closeInfo(g, n uint64) {
	u := g>>granuleBits + 2
	h.kinds[u] = kindBitmap
	h.units[u] = unit{}
	if n >= infoMin {
		h.kinds[u+1], h.kinds[u+2] = kindBitmap, kindBitmap
		h.units[u+1], h.units[u+2] = unit{}, unit{}
	}
}

// spanSize returns the size in granules of the span that starts at g: the
// distance to the next bound bit, or what the rows inside say. 0 means that
// the rows make no sense.
func (h *Heap) spanSize(g uint64) uint64 {
	u := g >> granuleBits
	if w := h.units[u].bound >> (g & granuleMask) >> 1; w != 0 {
		return uint64(bits.TrailingZeros64(w)) + 1
	}
	return h.spanSizeFar(g)
}

// spanSizeFar is spanSize for spans that reach into the next unit.
func (h *Heap) spanSizeFar(g uint64) uint64 {
	u := g>>granuleBits + 1
	n := u<<granuleBits - g
	for i := 0; i < largeMin/unitGranules+1 && u < uint64(len(h.units)); i++ {
		switch k := h.kinds[u]; {
		case k >= kindRun:
			return n
		case k == kindInfo:
			return 0
		case k == kindLarge:
			row := h.units[u]
			if i != 0 || row.live != g || row.bound < largeMin || row.bound > h.hdr.top-g {
				return 0
			}
			return row.bound
		}
		if w := h.units[u].bound; w != 0 {
			return n + uint64(bits.TrailingZeros64(w))
		}
		n += unitGranules
		u++
	}
	return 0
}

// spanBefore returns the start of the span that ends at granule g, or 0 if a
// run or the start of the data is there.
func (h *Heap) spanBefore(g uint64) uint64 {
	if g == h.hdr.first {
		return 0
	}
	u := (g - 1) >> granuleBits
	if h.kinds[u] == kindBitmap {
		if w := h.units[u].bound << (granuleMask - (g-1)&granuleMask); w != 0 {
			return g - 1 - uint64(bits.LeadingZeros64(w))
		}
	}
	for i := 0; i < largeMin/unitGranules+1; i, u = i+1, u-1 {
		switch k := h.kinds[u]; {
		case k >= kindRun:
			return 0
		case k != kindBitmap:
			row := h.units[u]
			if k == kindInfo { // the last row, which is the second
				row = h.units[u-1]
			}
			if row.live < g && row.live+row.bound == g {
				return row.live
			}
			return 0
		}
		if w := h.units[u].bound; w != 0 && i > 0 {
			return u<<granuleBits + 63 - uint64(bits.LeadingZeros64(w))
		}
	}
	return 0
}

// isFree reports whether a free span starts at g. It trusts nothing about g.
func (h *Heap) isFree(g uint64) bool {
	if g < h.hdr.first || g >= h.hdr.top {
		return false
	}
	u, m := bit(g)
	row := h.units[u]
	return h.kinds[u] == kindBitmap && row.bound&m != 0 && row.live&m == 0
}
